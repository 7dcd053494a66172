# Every target sets up what it needs. `make` alone lists them.
.DEFAULT_GOAL := help
BIN := .venv/bin
# Tests wait for disks and servers half of the time, so one process more than there are cores; a file stays in one process.
TESTS = scripts/in-memory $(BIN)/pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile
LAKE ?= $(CURDIR)/.lake
export DAGSTER_HOME := $(CURDIR)/.dagster

.PHONY: help venv demo dev check lint test bench test-deps clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

venv: ## set up .venv (uv where installed, else pip)
	@scripts/venv

demo: venv ## sample files through every tier into .lake, with a summary
	@LAKEHOUSE_LAKE=$(LAKE) $(BIN)/lakehouse demo

dev: venv ## Dagster's web page and daemon on the demo lake, http://127.0.0.1:3000
	@mkdir -p $(DAGSTER_HOME) && cp -u dagster.yaml $(DAGSTER_HOME)/dagster.yaml
	@echo "open http://127.0.0.1:3000 (Ctrl-C stops)"
	@LAKEHOUSE_LAKE=$(LAKE) $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

lint: venv ## ruff, pyright, import contracts
	@echo "ruff"; $(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@echo "pyright"; $(BIN)/pyright
	@echo "import contracts"; $(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

check: lint ## lint, types, import contracts, contracts and the fast tests
	@$(BIN)/lakehouse check
	@$(TESTS) -q -m "not slow and not browser and not postgres and not s3 and not trino" tests/unit tests/property tests/golden

test: venv ## every test; what a laptop lacks is skipped loudly
	@$(TESTS)

bench: venv ## side-by-side benchmarks, one table each
	@bench/run

test-deps: venv ## install what marked tests need: chromium, PostgreSQL, two S3 stores
	@scripts/test-deps

clean: ## remove the demo lake and caches, keep .venv
	rm -rf .lake .dagster dbt/target dbt/logs .pytest_cache .ruff_cache .hypothesis .import_linter_cache
