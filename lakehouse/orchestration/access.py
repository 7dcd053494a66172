"""What assets and sensors expect of the project's resources, by shape, and the tags that runs carry.

The platform never imports the project's `resources` package; an object under the key `lake` or `dbt` that has these
methods will do.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lakehouse.model import TableId
    from lakehouse.storage import Lake

#: The resource keys.
LAKE, DBT = "lake", "dbt"
#: Tags of a run: the id of the request that says what to take, and the table it is for.
REQUEST_TAG, TABLE_TAG = "lakehouse/request", "lakehouse/table"


class LakeAccess(Protocol):
    """Opens the lake that the settings name."""

    def open(self) -> "Lake":
        """The lake; refuses when it is missing or does not fit its control database."""
        ...


class DbtAccess(Protocol):
    """Builds curated tables with dbt."""

    def build(
        self, tables: "Sequence[TableId]", *, versions: "Mapping[TableId, int]"
    ) -> "Mapping[TableId, Sequence[str]]":
        """Build these tables from exactly these versions of their inputs; gives the names of dbt's failed tests."""
        ...
