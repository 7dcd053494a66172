"""A lake: where its tables are, its marker file and its control database, opened together or refused.

`lake.json` (id, environment, format version, generation) must agree with the control database's row, so that a restored
backup of either side is noticed. Nothing here reads or writes tables.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.faults as faults
import lakehouse.storage.files as files
from lakehouse.errors import FormatVersionError, LakeMismatchError, LakeMissingError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage.control import ControlDatabase, applied_table, lake_table, metadata

if TYPE_CHECKING:
    import datetime as dt

    from lakehouse.settings import Settings

FORMAT_VERSION = 3
MARKER = "lake.json"


@dataclass(frozen=True, order=True)
class SystemTable:
    """A governed table beside the tiers, such as `ledger` or `quarantine/<domain>/<table>`."""

    name: str

    def __str__(self) -> str:
        return f"system.{self.name.replace('/', '.')}"


Target = TableId | SystemTable


@dataclass(frozen=True)
class Lake:
    """An opened lake.

    Attributes:
        root: path or URI of the lake, without a slash at the end.
        id: the lake's random id.
        environment: the word lake and settings agree on.
        control: the control database.
        key_file: the file with the key that entity ids are hashed with.
        homes: of renamed tables, by their names: the names they were first given, see `storage.applied`.
    """

    root: str
    id: str
    environment: str
    control: ControlDatabase
    key_file: Path
    homes: dict[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    def now(self) -> dt.datetime:
        """Now by the control database's clock, aware UTC."""
        return self.control.now()

    def uri(self, table: Target) -> str:
        """Where a table's Delta log and files are."""
        home = self.home(table)
        if isinstance(home, SystemTable):
            return self.system_uri(home.name)
        return files.join(self.root, home.tier.value, home.domain, home.table)

    def key(self, table: Target) -> str:
        """What the control database and the ledger call a table: the name it was first given."""
        return str(self.home(table))

    def home(self, table: Target) -> Target:
        """The name a table was first given. It stays there when it is renamed, so nothing is moved or written anew."""
        if not self.homes:
            return table
        if isinstance(table, SystemTable):
            kind, *rest = table.name.split("/")
            if len(rest) != 2:  # noqa: PLR2004 - `<kind>/<domain>/<table>` belongs to a staged table
                return table
            home = self._home(TableId(Tier.STAGED, *rest))
            return SystemTable(f"{kind}/{home.domain}/{home.table}")
        return self._home(table.at(Tier.STAGED)).at(Tier.RAW) if table.tier is Tier.RAW else self._home(table)

    def _home(self, table: TableId) -> TableId:
        found = self.homes.get(str(table))
        if found is not None:
            tier, domain, name = found.split(".")
            return TableId(Tier(tier), domain, name)
        # The name may be the home of a table that has another name by now: then this one needs a home of its own.
        taken, home = set(self.homes.values()), table
        while str(home) in taken:
            home = replace(home, table=f"{home.table}~")
        return home

    def system_uri(self, name: str) -> str:
        """Where a system table is."""
        return files.join(self.root, "system", name)

    def landing(self, domain: str, table: str) -> Path:
        """The folder where sources drop files of a table.

        Raises:
            StorageError: the lake is in an object store; landing folders are local for now.
        """
        if not files.is_local(self.root):
            raise StorageError("landing folders need a local lake", where=self.root)
        return Path(self.root) / "landing" / domain / table


def create_lake(settings: Settings) -> Lake:
    """Make a lake, or open the one that is already there; finishes a creation that was interrupted.

    Raises:
        LakeMismatchError: marker file and control database belong to different lakes.
        FormatVersionError: the lake has another format version.
    """
    root = settings.lake.rstrip("/")
    _make_folder_of(settings.control_url)
    control = ControlDatabase(settings.control_url)
    with control.write("lake.control") as connection:
        metadata.create_all(connection)
        row = connection.execute(sa.select(lake_table)).mappings().one_or_none()
        if row is None and files.read(files.join(root, MARKER)) is None:
            row = {
                "id": uuid.uuid4().hex,
                "environment": settings.environment,
                "format_version": FORMAT_VERSION,
                "generation": 1,
                "ready": False,
            }
            connection.execute(lake_table.insert().values(row))
    if row is not None and not row["ready"]:
        _write_marker(control, root=root, row=dict(row))
    control.dispose()
    return open_lake(settings)


def open_lake(settings: Settings) -> Lake:
    """Open a lake whose marker file and control database agree.

    Raises:
        LakeMissingError: there is no lake.
        LakeMismatchError: marker file and control database disagree, or the environment is another one.
        FormatVersionError: the lake has another format version.
    """
    root = settings.lake.rstrip("/")
    content = files.read(files.join(root, MARKER))
    if content is None:
        raise LakeMissingError("no lake here", where=root, hint="make one with `lakehouse demo` or `lakehouse ingest`")
    marker = _parse_marker(content, root=root)
    row = _control_row(settings.control_url)
    if row is None:
        raise LakeMismatchError(
            "the lake has no control database", where=root, hint="restore it, or check `LAKEHOUSE_CONTROL_URL`"
        )
    for name in ("id", "environment", "generation"):
        if marker.get(name) != row[name]:
            raise LakeMismatchError(
                f"`{MARKER}` and the control database differ in `{name}`",
                where=root,
                hint="both must come from the same lake and the same backup",
            )
    if row["environment"] != settings.environment:
        raise LakeMismatchError(
            f"the lake is `{row['environment']}`, the settings say `{settings.environment}`",
            where=root,
            hint="set `LAKEHOUSE_ENVIRONMENT` to the lake's",
        )
    control = ControlDatabase(settings.control_url)
    _forbid_spilling()
    lake = Lake(root, str(row["id"]), str(row["environment"]), control, settings.key_file)
    read_homes(lake)
    return lake


def read_homes(lake: Lake) -> None:
    """Learn the homes of renamed tables, again after a table was renamed."""
    moved = sa.select(applied_table.c.table_id, applied_table.c.home).where(
        applied_table.c.table_id != applied_table.c.home
    )
    with lake.control.read() as connection:
        found = {row.table_id: row.home for row in connection.execute(moved)}
    lake.homes.clear()
    lake.homes.update(found)


def _forbid_spilling() -> None:
    """Let polars end a query for want of memory instead of putting clear rows into `/var/tmp` (trap 15, of polars too).

    polars 2.1 spills on its own once a share of the memory is used; a budget of nothing is the only switch there is, and
    with it no spill file is ever opened.
    """
    import polars as pl  # noqa: PLC0415 - opening a lake is the first moment that may cost its import

    pl.Config.load(json.dumps({"environment": {"POLARS_OOC_DISK_BUDGET_MB": "0"}}))


def _parse_marker(content: bytes, *, root: str) -> dict[str, Any]:
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


def _control_row(url: str) -> dict[str, Any] | None:
    path = _sqlite_file(url)
    if path is not None and not path.exists():
        return None
    control = ControlDatabase(url)
    try:
        with control.read() as connection:
            if not sa.inspect(connection).has_table("lake"):
                return None
            row = connection.execute(sa.select(lake_table)).mappings().one_or_none()
            return dict(row) if row is not None and row["ready"] else None
    finally:
        control.dispose()


def _write_marker(control: ControlDatabase, *, root: str, row: dict[str, Any]) -> None:
    place = files.join(root, MARKER)
    content = json.dumps({name: row[name] for name in ("id", "environment", "format_version", "generation")}, indent=2)
    with faults.around("lake.marker"):
        if files.read(place) != content.encode():
            files.delete(place)  # half written by a creation that died
            files.put(place, content.encode())
    with control.write("lake.ready") as connection:
        connection.execute(lake_table.update().where(lake_table.c.id == row["id"]).values(ready=True))


def _sqlite_file(url: str) -> Path | None:
    parsed = sa.make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _make_folder_of(url: str) -> None:
    path = _sqlite_file(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
