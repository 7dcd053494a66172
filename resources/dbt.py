"""dbt: builds curated tables in process, reading and writing Delta through the platform's storage."""

from collections.abc import Mapping, Sequence

from lakehouse.model import TableId
from resources.lake import LakeResource


class DbtResource(LakeResource):
    """Runs the project's dbt models on DuckDB, on the lake at the same place."""

    def build(self, tables: Sequence[TableId], *, versions: Mapping[TableId, int]) -> Mapping[TableId, Sequence[str]]:
        """Build these curated tables from exactly these versions of their inputs; gives dbt's failed tests by table."""
        from lakehouse.transform import dbt_run  # noqa: PLC0415 - engines load with the first build

        built = dbt_run.build(self.settings(), tables, versions=versions)
        return {each.table: each.failed_tests for each in built}
