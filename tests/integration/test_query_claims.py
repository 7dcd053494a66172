"""Reading generated claims as people of `groups.yaml`: by Python and by the command, masked, and denied where nothing is granted."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest

from lakehouse.errors import QueryError, RefusedError, UsageError
from lakehouse.serving import connect
from tests.integration.domain_lake import lake_of
from tests.stores import PLACES

PURPOSE = "fraud_detection"

pytestmark = pytest.mark.parametrize("module_site", PLACES, indirect=True)


@pytest.fixture(scope="module")
def claims(module_site, project_root):
    """A lake with policyholders alone."""
    from lakehouse.demo.generate import generate

    with lake_of(project_root, module_site, "claims") as found:
        made = generate(found.project, found.settings.landing.parent / "made", rows=200, seed=3, faults=0)
        table = found.table("policyholder")
        files = {"policyholder": [file for file in made.files if file.parent.name == "policyholder"]}
        report = found.run(files, table.at(table.tier.RAW), table)
        assert report.success, report.problems
        yield found


@pytest.fixture
def ask(claims, project_root):
    with connect("boris", PURPOSE, lake=claims.settings.lake, project=project_root) as connection:
        yield connection


@pytest.fixture
def command(claims, capsysbinary, monkeypatch):
    from typer.testing import CliRunner

    from lakehouse.cli.app import app

    def run(*words, given=""):
        return CliRunner().invoke(app, ["query", *words, "--lake", claims.settings.lake], input=given)

    return run


def test_rows_are_those_of_the_table_with_masks(ask, claims):
    seen = ask.pl("select * from claims_policyholder order by id_client")
    stored = claims.rows("policyholder")
    assert seen.height == stored.height
    assert not {name for name in seen.columns if name.startswith("_")}
    assert set(seen["email"].drop_nulls()) <= set(stored["email__token"])
    assert not set(seen["email"].drop_nulls()) & set(stored["email"])
    assert all(day.month == 1 and day.day == 1 for day in seen["birth_date"].drop_nulls())


def test_cursor_is_db_api_like(ask):
    cursor = ask.execute("select id_client, name from claims_policyholder order by 1")
    assert [column[0] for column in cursor.description] == ["id_client", "name"]
    first = cursor.fetchone()
    assert len(first) == 2
    assert len(cursor.fetchmany(3)) == 3
    rest = cursor.fetchall()
    assert rest
    assert cursor.fetchone() is None
    assert cursor.execute("select 1").fetchall() == [(1,)]
    with pytest.raises(UsageError):
        cursor.execute("select 1", [1])
    cursor.close()
    with pytest.raises(QueryError):
        cursor.fetchone()


def test_refused_query_leaves_the_connection(ask):
    with pytest.raises(RefusedError):
        ask.arrow("select * from claims_injury")
    assert ask.arrow("select count(*) as n from claims_policyholder").num_rows == 1


@pytest.mark.parametrize(
    ("user", "purpose"),
    [("nobody", PURPOSE), ("boris", "nothing"), ("ivo", PURPOSE), ("boris", "claims_triage"), ("", "")],
)
def test_who_has_no_grant_is_told_the_same(user, purpose, claims, project_root):
    with pytest.raises(RefusedError) as caught:
        connect(user, purpose, lake=claims.settings.lake, project=project_root)
    assert str(caught.value).startswith("denied: this person may read nothing for this purpose")
    assert "claims" not in str(caught.value)


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "arrow"])
def test_command_writes_every_format(form, command, ask, tmp_path):
    sql = "select id_client, birth_date from claims_policyholder where birth_date is not null order by 1"
    out = tmp_path / "result"
    result = command("--as", "boris", "--purpose", PURPOSE, "--format", form, "--out", str(out), sql)
    assert result.exit_code == 0, result.output
    assert out.stat().st_mode & 0o777 == 0o600
    content = out.read_bytes()
    expected = ask.pl(sql)
    if form == "json":
        assert [row["id_client"] for row in json.loads(content)] == expected["id_client"].to_list()
        return
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc_stream}[form]
    found = read(io.BytesIO(content))
    assert found["id_client"].to_list() == expected["id_client"].to_list()


def test_command_shows_every_column_and_reads_stdin(command):
    result = command("--as", "boris", "--purpose", PURPOSE, "-", given="select * from claims_policyholder limit 2")
    assert result.exit_code == 0, result.output
    assert {"id_client", "email", "birth_date", "updated_at"} <= set(result.stdout.splitlines()[0].split())


def test_command_prints_json(command):
    result = command(
        "--as",
        "boris",
        "--purpose",
        PURPOSE,
        "--json",
        "select count(*) as n, 'nan'::double as x from claims_policyholder",
    )
    document = json.loads(result.stdout)
    assert document["columns"] == [{"name": "n", "type": "int64"}, {"name": "x", "type": "double"}]
    assert document["rows"][0][1] is None
    assert document["count"] == 1


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("--as", "nobody", "--purpose", PURPOSE, "select 1"), RefusedError),
        (("--as", "boris", "--purpose", PURPOSE, "select * from 'x.parquet'"), RefusedError),
        (("--as", "boris", "--purpose", PURPOSE, "selec 1"), UsageError),
        (("--as", "boris", "--purpose", PURPOSE, "--format", "csv", "select 1 as a, 2 as a"), UsageError),
        (("--as", "boris", "--purpose", PURPOSE, "--out", "x", "select 1"), UsageError),
        (("--as", "boris", "--purpose", PURPOSE, "--format", "csv", "--out", "/dev/null", "select 1"), UsageError),
    ],
)
def test_command_fails_with_the_code_of_its_kind(words, kind, command):
    result = command(*words)
    assert type(result.exception) is kind
