"""Files that have landed become runs.

The sensor asks each table's landing folder for complete files and requests one run per table. File names stay in the
landing folder: a run carries the id of a request (`storage.put_request`), which knows files by keyed hashes.
"""

# dagster annotates metadata with `PathLike` without its argument: its decorators are partly unknown to the checker.
# pyright: reportUnknownMemberType=false

import json

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.errors import LakeMissingError
from lakehouse.model import Tier
from lakehouse.orchestration.access import LAKE, LakeAccess
from lakehouse.orchestration.guard import no_values_in_errors
from lakehouse.orchestration.metadata import asset_key

SENSOR = "landed_files"


def landing_sensor(project: Project) -> dg.SensorDefinition:
    """A running sensor that takes the complete files of every table with a source."""
    tables = [table for table in project.tables if table.sources]
    keys = [asset_key(table.id.at(tier)) for table in tables for tier in (Tier.RAW, Tier.STAGED)]

    @dg.sensor(
        name=SENSOR,
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        required_resource_keys={LAKE},
        description="Takes complete files from the landing folders into raw and staged.",
    )
    def landed_files(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from lakehouse.orchestration import requests  # noqa: PLC0415 - engines load with the first tick

        access: LakeAccess = getattr(context.resources, LAKE)
        try:
            lake = access.open()
        except LakeMissingError as error:
            return dg.SkipReason(error.message)
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        with no_values_in_errors("landing"):  # a file that has just gone is named in Python's own words
            wanted = list(requests.landing_requests(context.instance, lake, tables, seen=seen))
        skip = None if wanted else dg.SkipReason("no complete file waits")
        return dg.SensorResult(run_requests=wanted, skip_reason=skip, cursor=json.dumps(seen, sort_keys=True))

    return landed_files
