"""Raw: what arrived, as delivered, one table for each staged table with a source.

Raw and staged are filled by one step, so the assets themselves are made in `staged`; this says which tables there are.
"""

from collections.abc import Sequence

from lakehouse.contract.model import Project, Table


def delivered_tables(project: Project) -> Sequence[Table]:
    """The staged tables that files are delivered for."""
    return [table for table in project.tables if table.sources]
