"""Help answers at once, loads nothing heavy, and everything it names is documented."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

HEAVY = ["polars", "dagster", "pyarrow", "sqlalchemy", "deltalake", "duckdb", "numpy", "pydantic"]
PROBE = f"""
import json, resource, sys
from lakehouse.cli import main
sys.argv = ["lakehouse", "--help"]
try:
    main()
except SystemExit:
    pass
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)
"""


def commands():
    """Each command's words and its options, from the app itself."""
    import typer.main

    from lakehouse.cli.app import app

    def walk(command, words):
        inner = getattr(command, "commands", None)
        if inner:
            for name, each in inner.items():
                yield from walk(each, [*words, name])
        else:
            options = [
                name
                for p in command.params
                if p.param_type_name == "option"
                for name in p.opts
                if name.startswith("--")
            ]
            yield " ".join(words), [option for option in options if option != "--help"], command

    return list(walk(typer.main.get_command(app), ["lakehouse"]))


def test_help_loads_nothing_heavy_and_is_quick():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert "quarantine" in done.stdout
    # Processor time: the wall clock of a busy machine says nothing about the command.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4


def test_every_command_is_there():
    assert {name for name, _, _ in commands()} == {
        f"lakehouse {name}"
        for name in (
            *(
                "demo",
                "ingest",
                "status",
                "check",
                "plan",
                "apply",
                "rebuild",
                "doctor",
                "init",
                "query",
                "explain-access",
            ),
            *("quarantine list", "quarantine replay"),
            *("keys rotate", "keys backup", "keys verify", "keys renew-token", "maintain", "migrate", "recover"),
            *("consent give", "consent withdraw", "consent load", "entity merge", "raw reseal", "verify worm"),
        )
    }


@pytest.mark.parametrize("name", [name for name, _, _ in commands()])
def test_every_command_has_help_and_takes_json(name):
    (options, command) = next((options, command) for each, options, command in commands() if each == name)
    assert "--json" in options
    assert (command.help or "").rstrip().endswith(".")


@pytest.mark.parametrize("name", [name for name, _, _ in commands()])
def test_every_command_and_option_is_documented(name, project_root):
    text = (project_root / "docs" / "cli.md").read_text()
    heading = f"## {name}\n"
    assert heading in text
    section = text.split(heading, 1)[1].split("\n## ", 1)[0]
    options = next(options for each, options, _ in commands() if each == name)
    assert [option for option in options if f"- `{option}` " not in section] == []


def test_no_command_prints_the_help(lakehouse):
    assert "Usage" in lakehouse().out + lakehouse().err
