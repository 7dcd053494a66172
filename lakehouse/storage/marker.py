"""The lake's marker file `lake.json`, and the generation that it shares with the control database.

The database says first what is to be (`ready` is off), then the file is written, then `ready` is set; who opens the lake
in between finishes that. So a death between the two writes is never taken for a restored backup.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.faults as faults
import lakehouse.storage.files as files
from lakehouse.errors import FormatVersionError, LakeMismatchError
from lakehouse.storage.agreement import RECOVER, require_same_generation
from lakehouse.storage.control import lake_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.storage.control import ControlDatabase

FORMAT_VERSION = 4
MARKER = "lake.json"
_TELLS = ("id", "environment", "format_version", "generation", "raw", "raw_lock_days")


def read_marker(root: str) -> dict[str, Any] | None:
    """What the marker file says, None when there is none.

    Raises:
        LakeMismatchError: it is not readable.
        FormatVersionError: the lake has another format version.
    """
    content = files.read(files.join(root, MARKER))
    if content is None:
        return None
    try:
        marker: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise LakeMismatchError(f"`{MARKER}` is not readable", where=root, hint="restore it from a backup") from error
    if marker.get("format_version") != FORMAT_VERSION:
        raise FormatVersionError(
            f"the lake has format version `{marker.get('format_version')}`, this program reads `{FORMAT_VERSION}`",
            where=root,
            hint="use the program's version that wrote it",
        )
    return marker


def raise_in(connection: sa.Connection, *, above: int = 0) -> None:
    """Raise the generation inside a transaction, also above a given one; `publish` follows, else the next opening does it."""
    now = int(connection.execute(sa.select(lake_table.c.generation).with_for_update()).scalar_one())
    connection.execute(lake_table.update().values(generation=max(now, above) + 1, ready=False))


def publish(root: str, control: ControlDatabase, *, recovered: bool = False) -> None:
    """Let the marker file say what the control database says, if that is not finished.

    Args:
        root: the lake's place.
        control: its control database.
        recovered: whatever generation the file has; only after lake and database were mended.

    Raises:
        LakeMismatchError: the file is another lake's, or of a generation that this one does not follow.
    """
    with control.write("lake.ready") as connection:
        # INVARIANT: the row is locked while the file is written, so that files of two generations come in their order
        row = connection.execute(sa.select(lake_table).with_for_update()).mappings().one_or_none()
        if row is None or row["ready"]:
            return
        _require_followed(root, dict(row), recovered=recovered)
        with faults.around("lake.marker"):
            content = json.dumps({name: row[name] for name in _TELLS if row[name] is not None}, indent=2)
            files.replace(files.join(root, MARKER), content.encode())
        connection.execute(lake_table.update().values(ready=True))


def require_same_lake(root: str, marker: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Refuse the marker file and the control database of different lakes.

    Raises:
        LakeMismatchError: which names what differs.
    """
    for name in ("id", "environment", "raw", "raw_lock_days"):
        if marker.get(name) != row.get(name):
            raise LakeMismatchError(
                f"`{MARKER}` and the control database differ in `{name}`: they belong to different lakes",
                where=root,
                hint="check `LAKEHOUSE_LAKE` and `LAKEHOUSE_CONTROL_URL`; each lake has a database of its own",
            )


def _require_followed(root: str, row: Mapping[str, Any], *, recovered: bool) -> None:
    """The file may be missing or half written only while the lake is made; later it is one generation behind at most."""
    first = row["generation"] == 1
    try:
        marker = read_marker(root)
    except LakeMismatchError:
        if first:
            return
        raise
    if marker is None:
        if first:
            return
        raise LakeMismatchError(f"`{MARKER}` is missing", where=root, hint=RECOVER)
    require_same_lake(root, marker, row)
    if not recovered and marker["generation"] != row["generation"] - 1:
        require_same_generation(root, marker, row)
