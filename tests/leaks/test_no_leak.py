"""No value outside (invariant 4): a lake lives through everything there is, and markers stay in landing and clear tiers."""

from __future__ import annotations

import re
import sqlite3
import sys
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.model import Tier
from tests.control_servers import running_postgres
from tests.leaks.home import Home
from tests.leaks.life import DEATHS, GUEST, VISITOR, Life
from tests.leaks.planting import STEM, Markers, personal
from tests.leaks.scan import Scanner, decoded_files, spellings

pytestmark = pytest.mark.slow

_HEX64 = re.compile(rb"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A home in which everything has happened, with the shipped domains."""
    place = tmp_path_factory.mktemp("no-leak")
    life = Life(Home.make(place / "home"), place / "made")
    life.deliver()
    life.build()
    life.die(*DEATHS)
    life.ask()
    life.change()
    life.overflow()
    return life.home


def test_markers_are_nowhere_but_in_landing_and_in_clear_tiers(lived):
    assert lived.leaks() == []


def test_everything_was_built_and_held_markers(lived):
    """Or there would be nothing to find: every table has rows, and the scan finds the text of staged and curated."""
    scanner, project = Scanner(lived.markers), lived.project
    with lived.lake() as lake:
        assert [str(table.id) for table in project.tables if not storage.exists(lake, table.id)] == []
        for name in (VISITOR, GUEST):
            files = [Path(file) for file in storage.snapshot(lake, name).files]
            found = {leak.marker for file in files for leak in scanner.content(file.name, file.read_bytes())}
            # values of ids are the same in several tables
            columns = {marker.rpartition("/")[2] for marker in found}
            assert {column.name for column in personal(project.table(name))} - columns == set()
        for domain, table in (("retail", "customer"), ("claims", "policyholder"), ("banking", "client_profile")):
            uri = Path(lake.uri(storage_id(project, domain, table)))
            found = {leak.marker.rpartition("/")[2] for leak in scanner.tree(uri)}
            assert {"name", "email", "phone", "address"} <= found
    assert any((lived.root / "dagster").rglob("compute_logs/*")), "Dagster kept what steps printed"


def storage_id(project, domain: str, table: str):
    return next(t.id for t in project.tables if (t.id.domain, t.id.table, t.id.tier) == (domain, table, Tier.STAGED))


def test_every_personal_column_was_planted(lived):
    planted = set(lived.markers.labels.values())
    wanted = {
        f"{table.id}/{column.name}/failing"
        for table in lived.project.tables
        if table.sources
        for column in personal(table)
    }
    assert len(wanted) > 60
    assert wanted - planted == set()


def test_no_statistics_on_personal_columns(lived):
    """Whatever their values are: an enum's or a small number's cannot be told from others by looking for them."""
    with lived.lake() as lake:
        for table in lived.project.tables:
            hidden = {c.name for c in table.columns if c.personal and not c.token_of and c.name != table.event_time}
            for path in Path(lake.uri(table.id)).glob("_delta_log/*.json"):
                for line in path.read_text().splitlines():
                    shown = re.findall(r'\\"(?:min|max)Values\\":\s*\{(.*?)\}', line)
                    names = {name for part in shown for name in re.findall(r'\\"([^"\\]+)\\":', part)}
                    assert names & hidden == set(), path


def test_no_token_is_in_raw(lived):
    with lived.lake() as lake:
        tokens: set[bytes] = set()
        for table in lived.project.tables:
            if table.sources and table.tokenised:
                rows = storage.scan(lake, table.id).select(pl.col(r"^.*__token$")).collect()
                tokens |= {token.encode() for column in rows for token in column.drop_nulls().head(5_000)}
        assert len(tokens) > 100
        some = [bytes.fromhex(token.decode()) for token in sorted(tokens)[:50]]
        for place, content in decoded_files(Path(lake.root) / "raw"):
            assert not tokens & set(_HEX64.findall(content)), place
            assert not [token for token in some if token in content], place


def test_features_name_nobody_beside_a_surrogate(lived):
    """Surrogate and id stand together in staged alone: features have no text that was delivered."""
    scanner, project = Scanner(lived.markers), lived.project
    with lived.lake() as lake:
        for table in project.tables:
            if table.id.tier is Tier.FEATURES:
                found = scanner.tree(Path(lake.uri(table.id)))
                assert [leak for leak in found if leak.spelling != "value"] == [], table.id


@pytest.fixture
def own_postgres(postgres_server):
    """A server that no other test has left anything on; `postgres_server` says what to do where there is none."""
    del postgres_server
    with running_postgres() as url:
        yield url


@pytest.mark.postgres
def test_no_marker_in_postgres(tmp_path_factory, own_postgres):
    """The control database's rows, its server's files, log and journal; everything else once more."""
    place = tmp_path_factory.mktemp("no-leak-postgres")
    home = Home.make(place / "home", control_url=own_postgres, alone=True)
    life = Life(home, place / "made")
    life.deliver()
    assert home.run("take") == 0
    life.die(DEATHS[0], DEATHS[1])
    life.ask()
    life.change()
    assert home.leaks() == []
    server = sa.create_engine(own_postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        data = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
        connection.exec_driver_sql("CHECKPOINT")
    assert Scanner(home.markers).tree(data.parent) == []


@pytest.mark.parametrize("spelling", spellings(STEM))
def test_the_scan_finds_every_spelling_in_every_container(tmp_path, spelling):
    markers = Markers()
    text = spellings(f"--{markers.text('t', 'c')}--")[spelling]
    (tmp_path / "plain").write_bytes(b"x" + text)
    pl.DataFrame({"a": [text]}).write_parquet(tmp_path / "pages.parquet", compression="zstd")
    pl.DataFrame({"a": [text]}).write_parquet(tmp_path / "pages2.parquet", compression="snappy", statistics=False)
    connection = sqlite3.connect(tmp_path / "rows.db")
    connection.execute("create table t (a blob)")
    connection.execute("insert into t values (?)", [text * 3000])
    connection.commit()
    connection.close()
    found = {leak.place.partition(" ")[0] for leak in Scanner(markers).tree(tmp_path)}
    assert found == {"plain", "pages.parquet", "pages2.parquet", "rows.db"}


def test_the_watch_sees_arguments_environments_and_files_that_are_gone(tmp_path):
    home = Home.make(tmp_path / "home", alone=True)
    code = (
        "import os, sys, tempfile, time\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    file.write(sys.stdin.name.encode() if len(sys.argv) < 2 else sys.argv[1][::-1].encode())\n"
        "    file.flush()\n"
        "    time.sleep(0.3)\n"
    )
    home.execute([sys.executable, "-c", code, STEM[::-1]], name="file")
    assert {leak.place for leak in home.temporary} == {"a file that was deleted while it was open"}
    home.execute([sys.executable, "-c", "import time; time.sleep(0.3)", STEM], name="arguments")
    home.execute([sys.executable, "-c", "import time; time.sleep(0.3)"], name="environment", SECRET=STEM)
    assert {leak.place for leak in home.temporary} >= {"the cmdline of a process", "the environ of a process"}
