"""If the guard had a hole: what the closed database itself withstands, and that rows stay behind the barrier."""

from __future__ import annotations

import contextlib
import json

import duckdb
import pytest

from lakehouse.errors import LakehouseError
from lakehouse.serving import guard
from tests.attacks import embedded_lake
from tests.attacks.embedded_attempts import FILES, STATEMENTS

V = "claims_claim"
#: These read a table's own file, which a database that shows the table must be able to read.
OWN_FILES = {name for name, sql in FILES.items() if "{file}" in sql}
#: These change or show what is in the query's own database, which ends with the query.
OWN_DATABASE = {
    *("create_table", "create_view", "replace_view", "create_macro", "create_function", "drop_view", "alter", "delete"),
    *("explain", "explain_analyze", "summarize", "summarize_query", "describe", "describe_inside", "summarize_inside"),
    *("show_tables", "show_inside", "prepare", "execute", "begin", "checkpoint", "vacuum", "comment_on", "values_only"),
    *("two_statements", "second_statement_after_comment", "from_first", "from_first_select", "table_statement", "pivot"),
    *("pivot_in_from", "unpivot", "set_variable", "attach_memory", "use", "pragma", "call", "create_type", "detach"),
    *("only_a_comment", "only_semicolons", "empty", "create_secret"),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return embedded_lake.make(tmp_path_factory.mktemp("lockdown"))


@pytest.fixture
def without_guard(monkeypatch):
    def wave_through(sql, *, purpose, views):
        return guard.Checked(sql, tuple(views))

    monkeypatch.setattr("lakehouse.serving.session.guard.check", wave_through)


@pytest.mark.parametrize("name", sorted({**FILES, **STATEMENTS}.keys() - OWN_FILES - OWN_DATABASE))
def test_closed_database_refuses(name, site, without_guard, capfd):
    sql = {**FILES, **STATEMENTS}[name].replace("{file}", site.files[0]).replace("{folder}", str(site.folder))
    before = embedded_lake.left_files(site.folder)
    with pytest.raises(LakehouseError) as caught:
        site.session.run(sql)
    assert not embedded_lake.leaks(str(caught.value))
    assert embedded_lake.left_files(site.folder) == before


@pytest.mark.parametrize("name", sorted(OWN_DATABASE))
def test_nothing_of_a_query_outlives_it(name, site, without_guard):
    sql = STATEMENTS[name].replace("{file}", site.files[0]).replace("{folder}", str(site.folder))
    before = embedded_lake.left_files(site.folder)
    with contextlib.suppress(LakehouseError):
        site.session.run(sql)
    assert embedded_lake.left_files(site.folder) == before
    assert site.session.run(embedded_lake.KNOWN).to_pylist() == [{"n": 500, "low": 0}]


def plan(site, view, sql):
    """DuckDB's plan over one view, as the session makes it."""
    served = site.session._serve([view])[0]
    with duckdb.connect(config={"preserve_insertion_order": False}) as connection:
        connection.execute(served.statement().sql(dialect="duckdb", identify=True))
        return json.loads(connection.execute(f"explain (format json) {sql}").fetchall()[0][1])[0]


def below(node, *, barrier=False):
    """Every operator with whether a barrier is above it."""
    yield node, barrier
    for child in node["children"]:
        yield from below(child, barrier=barrier or "LIMIT" in node["name"])


@pytest.mark.parametrize(
    "sql",
    [
        f"select claim_id from {V} where cast(note as int) > 0",
        f"select claim_id from {V} where note = '5'",
        f"select claim_id from {V} where cast(note as int) > 0 and region <> 'x' and amount in (1, 2)",
        f"select a.claim_id from {V} a join {V} b on cast(a.note as int) = b.claim_id where a.amount > 0",
        f"select count(*) from (select distinct note from {V}) q where cast(note as int) > 0",
        f"with q as (select * from {V}) select * from q where cast(note as int) > 0",
        f"select * from {V} where claim_id in (select claim_id from {V} where note = '5')",
    ],
)
def test_no_filter_of_a_reader_is_below_the_barrier(sql, site):
    operators = list(below(plan(site, V, sql)))
    read = [(node, barrier) for node, barrier in operators if node["name"].strip() in {"READ_PARQUET", "FILTER"}]
    claims = [node for node, barrier in read if barrier]
    assert claims, "the engine has taken the barrier away"
    conditions = [str({k: v for k, v in node["extra_info"].items() if k != "Projections"}) for node in claims]
    assert not [text for text in conditions if "note" in text or "amount" in text]
    assert any("note" in str(node["extra_info"]) for node, barrier in operators if not barrier)


def test_a_view_without_hidden_rows_has_no_barrier_and_filters_reach_the_file(site):
    operators = list(below(plan(site, "claims_party", "select party_id from claims_party where city = 'Bonn'")))
    assert not any(barrier for _, barrier in operators)
    assert "city" in str([node["extra_info"].get("Filters") for node, _ in operators if "PARQUET" in node["name"]])


def test_only_columns_asked_for_are_read(site):
    text = json.dumps(plan(site, V, f"select claim_id from {V}"))
    assert "claim_id" in text
    assert "diagnosis" not in text
    assert "note" not in text
