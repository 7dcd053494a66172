"""Masked reading of a lake in an S3 store: the closed database reads the table's own objects there, and nothing else."""

from __future__ import annotations

import duckdb
import pytest

from lakehouse.demo.generate import generate
from lakehouse.serving import connect, lockdown
from lakehouse.storage import open_lake, snapshot
from lakehouse.storage.views import let_read, rows_tree
from tests.integration.domain_lake import lake_of

pytestmark = [pytest.mark.s3, pytest.mark.slow]


@pytest.fixture
def claims(project_root, site):
    with lake_of(project_root, site, "claims") as found:
        made = generate(found.project, found.settings.landing.parent / "made", rows=60, seed=3, faults=0)
        table = found.table("policyholder")
        files = {"policyholder": [file for file in made.files if file.parent.name == "policyholder"]}
        assert found.run(files, table.at(table.tier.RAW), table).success
        yield found


@pytest.mark.parametrize("any_place", ["s3"], indirect=True)
def test_a_query_reads_the_store(claims, project_root):
    with connect("boris", "fraud_detection", lake=claims.settings.lake, project=project_root) as reader:
        seen = reader.pl("select count(*) as n, count(distinct email) as mails from claims_policyholder")
    assert seen.row(0) == (claims.rows("policyholder").height, seen["mails"][0])
    assert seen["mails"][0] > 1


@pytest.mark.parametrize("any_place", ["s3"], indirect=True)
def test_a_closed_database_reads_no_other_object(claims):
    lake = open_lake(claims.settings)
    staged, raw = (
        snapshot(lake, claims.table("policyholder").at(tier))
        for tier in (claims.table("policyholder").tier, claims.table("policyholder").tier.RAW)
    )
    with duckdb.connect(":memory:", config=dict(lockdown.SETTINGS)) as connection:
        let_read(connection, staged)
        lockdown.close(connection, list(staged.files))
        assert connection.sql(rows_tree(staged).sql(dialect="duckdb")).fetchall()
        with pytest.raises(duckdb.PermissionException):
            connection.sql(rows_tree(raw).sql(dialect="duckdb")).fetchall()
