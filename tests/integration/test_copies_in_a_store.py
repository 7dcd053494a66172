"""Copies of a purpose in an S3 store: made there, read there, and emptied there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.demo.generate import generate
from lakehouse.policy.load import load_policy
from lakehouse.serving.connection import Connection, Reader
from lakehouse.serving.copying import empty_obsolete, make_copies
from tests.integration.domain_lake import lake_of

pytestmark = [pytest.mark.s3, pytest.mark.slow]
PURPOSE = "fraud_detection"


@pytest.mark.parametrize("any_place", ["s3"], indirect=True)
def test_a_copy_is_made_read_and_emptied_in_a_store(project_root, site):
    with lake_of(project_root, site, "claims") as found:
        made = generate(found.project, found.settings.landing.parent / "made", rows=60, seed=3, faults=0)
        table = found.table("policyholder")
        files = {"policyholder": [file for file in made.files if file.parent.name == "policyholder"]}
        assert found.run(files, table.at(table.tier.RAW), table).success
        project = load_project(project_root)
        viewed = load_policy(project_root, project)
        purpose = replace(viewed.purposes[PURPOSE], isolation="copy")
        copied = replace(viewed, purposes={**viewed.purposes, PURPOSE: purpose})
        assert make_copies(found.lake, project, copied, PURPOSE) == ("claims_policyholder",)

        def seen(policy):
            with Connection(Reader("boris", PURPOSE, policy, project, found.lake)) as reader:
                return reader.arrow("select * from claims_policyholder order by id_client")

        assert seen(copied).num_rows > 1
        assert seen(copied) == seen(viewed)
        (copy,) = storage.system_tables(found.lake, "copy")
        assert all(file.startswith("s3://") for file in storage.snapshot(found.lake, copy).files)
        assert empty_obsolete(found.lake, project, copied) == ()
        assert empty_obsolete(found.lake, project, viewed) == (str(copy),)
        assert storage.snapshot(found.lake, copy).rows == 0
