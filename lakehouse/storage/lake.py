"""A lake: where its tables are, its marker file and its control database, opened together or refused.

`lake.json` (id, environment, format version, generation) must agree with the control database's row, so that a restored
backup of either side is noticed. Nothing here reads or writes tables.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import datetime as dt
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.files as files
import lakehouse.storage.migrations as migrations
import lakehouse.storage.s3 as s3
from lakehouse.errors import LakeMismatchError, LakeMissingError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.settings import BACKUP_DAYS
from lakehouse.storage.agreement import last_versions, require_agreement, require_same_generation
from lakehouse.storage.control import ControlDatabase, applied_table, lake_table
from lakehouse.storage.marker import FORMAT_VERSION, MARKER, publish, raise_in, read_marker, require_same_lake
from lakehouse.storage.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.settings import Settings

_ATTEMPTS = 5
#: What it means that the control database is gone.
LOST = (
    "check `LAKEHOUSE_CONTROL_URL`; if the database is lost, restore its backup, then run `lakehouse recover`: without its "
    "keys the sealed rows of raw never open again, while staged, curated and features stay readable (docs/keys.md)"
)
_ELSEWHERE = (
    "check `LAKEHOUSE_LAKE` and `LAKEHOUSE_CONTROL_URL`, each lake has a database of its own; if the lake's files are lost, "
    "restore their backup, then run `lakehouse recover`"
)


#: `<kind>/<domain>/<table>` belongs to a staged table, and goes where that goes.
_OF_STAGED = ("quarantine", "ended")


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
        key_file: the file with the keys that everything else is wrapped by, unless `kek` is given.
        landing_root: the folder where sources drop files.
        raw: root of the raw tier where it has a place of its own.
        raw_lock_days: for how many days a store with object lock keeps what comes into raw, whatever anybody does.
        homes: of renamed tables, by their names: the names they were first given, see `storage.applied`.
        kek: those keys themselves, as text.
        backup_days: how long backups of the control database are kept.
    """

    root: str
    id: str
    environment: str
    control: ControlDatabase
    key_file: Path
    landing_root: Path
    raw: str | None = None
    raw_lock_days: int | None = None
    homes: dict[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)
    kek: str | None = field(default=None, repr=False, compare=False)
    backup_days: int = BACKUP_DAYS

    def now(self) -> dt.datetime:
        """Now by the control database's clock, aware UTC."""
        return self.control.now()

    def uri(self, table: Target) -> str:
        """Where a table's Delta log and files are."""
        home = self.home(table)
        if isinstance(home, SystemTable):
            return self.system_uri(home.name)
        return self.place.table(str(home))

    def key(self, table: Target) -> str:
        """What the control database and the ledger call a table: the name it was first given."""
        return str(self.home(table))

    def home(self, table: Target) -> Target:
        """The name a table was first given. It stays there when it is renamed, so nothing is moved or written anew."""
        if not self.homes:
            return table
        if isinstance(table, SystemTable):
            kind, *rest = table.name.split("/")
            if kind not in _OF_STAGED:
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

    @property
    def place(self) -> Place:
        """Where its tables are."""
        return Place.of(self.root, self.raw)

    def locked_until(self, now: dt.datetime) -> dt.datetime | None:
        """Until when what comes into raw now is locked; None where it is not."""
        return None if self.raw_lock_days is None else now + dt.timedelta(days=self.raw_lock_days)

    def landing(self, domain: str, table: str) -> Path:
        """The folder where sources drop files of a table."""
        return self.landing_root / domain / table


def create_lake(settings: Settings) -> Lake:
    """Make a lake, or open the one that is already there; finishes a creation that was interrupted.

    Raises:
        LakeMismatchError: marker file and control database belong to different lakes.
        FormatVersionError: the lake has another format version, or its control database another revision.
    """
    root = settings.lake.rstrip("/")
    with suppress(LakeMismatchError):  # half written by a creation that died
        read_marker(root)  # another format's control database is left alone
    _require_lockable(settings)
    _make_folder_of(settings.control_url)
    control = ControlDatabase(settings.control_url)
    try:
        with control.write("lake.control") as connection:
            if migrations.revision(connection) is None:  # an older one is for `migrate` alone
                migrations.upgrade(connection)
            migrations.require_head(connection, where=root)
            row = connection.execute(sa.select(lake_table)).mappings().one_or_none()
            if row is None and read_marker(root) is None:
                row = {
                    "id": uuid.uuid4().hex,
                    "environment": settings.environment,
                    "format_version": FORMAT_VERSION,
                    "generation": 1,
                    "ready": False,
                    "raw": settings.raw,
                    "raw_lock_days": settings.raw_lock_days,
                }
                connection.execute(lake_table.insert().values(row))
            if row is not None:
                chain.start(connection, str(row["id"]))
        publish(root, control)
    finally:
        control.dispose()
    return open_lake(settings)


def migrate_lake(settings: Settings) -> tuple[str | None, str]:
    """Bring a lake's control database to this program's revision; returns the revisions before and after.

    Raises:
        LakeMissingError: there is no lake, or no control database.
        LakeMismatchError: marker file and control database belong to different lakes.
        FormatVersionError: the lake has another format version, or is newer than this program.
    """
    root = settings.lake.rstrip("/")
    marker = read_marker(root)
    path = _sqlite_file(settings.control_url)
    if marker is None or (path is not None and not path.exists()):
        raise LakeMissingError("no lake with a control database here", where=root, hint="there is nothing to migrate")
    control = ControlDatabase(settings.control_url)
    try:
        with control.write("lake.control") as connection:
            if not sa.inspect(connection).has_table("lake"):
                raise LakeMissingError("the control database is empty", where=root, hint="restore it from its backup")
            wanted = sa.select(lake_table.c.id, lake_table.c.environment)
            require_same_lake(root, marker, dict(connection.execute(wanted).mappings().one()))
            return migrations.upgrade(connection)
    finally:
        control.dispose()


def open_lake(settings: Settings) -> Lake:
    """Open a lake whose marker file and control database agree.

    Raises:
        LakeMissingError: there is no lake.
        LakeMismatchError: marker file and control database disagree, or the environment is another one.
        FormatVersionError: the lake has another format version, or its control database another revision.
    """
    lake, marker, row = open_apart(settings)
    try:
        _require_one_moment(settings, lake, marker, row)
    except BaseException:
        lake.control.dispose()
        raise
    read_homes(lake)
    return lake


def open_apart(settings: Settings) -> tuple[Lake, dict[str, Any], dict[str, Any]]:
    """Open a lake without asking whether both sides are of the same moment; for `restore` only.

    Returns:
        The lake, what the marker file says, and the control database's row of the lake.

    Raises:
        LakeMissingError: there is no lake.
        LakeMismatchError: there is no control database or another lake's, or the environment is another one.
        FormatVersionError: the lake has another format version, or its control database another revision.
    """
    root = settings.lake.rstrip("/")
    marker, row = _both(settings)
    if row["environment"] != settings.environment:
        raise LakeMismatchError(
            f"the lake is `{row['environment']}`, the settings say `{settings.environment}`",
            where=root,
            hint="set `LAKEHOUSE_ENVIRONMENT` to the lake's",
        )
    _require_same_place(settings, row)
    control = ControlDatabase(settings.control_url)
    _forbid_spilling()
    lake = Lake(
        root,
        str(row["id"]),
        str(row["environment"]),
        control,
        settings.key_file,
        settings.landing,
        row["raw"],
        row["raw_lock_days"],
        kek=settings.kek,
        backup_days=settings.backup_days,
    )
    return lake, marker, row


def _require_one_moment(settings: Settings, lake: Lake, marker: dict[str, Any], row: dict[str, Any]) -> None:
    """Finish what a dead process has left of a raised generation or of a chain, and refuse a side that is older."""
    if not row["ready"]:  # a process died while it raised the generation
        publish(lake.root, lake.control)
        marker, row = _both(settings)
    for _ in range(_ATTEMPTS):
        if marker["generation"] == row["generation"]:
            break
        # raised just now by another process? then both have moved on
        seen = (marker, row)
        marker, row = _both(settings)
        if (marker, row) == seen:
            break
    require_same_generation(lake.root, marker, row)
    if require_agreement(lake.place, lake.control):
        with suppress(OSError):  # a lake that cannot be written is still read
            chain.flush(lake.root, lake.control)


def _require_lockable(settings: Settings) -> None:
    """Refuse a lock that cannot be had, or that would keep what is to be deleted.

    Raises:
        StorageError: raw is in no store, in one bucket with the rest of the lake, or its bucket cannot lock.
    """
    if settings.raw_lock_days is None:
        return
    raw = settings.raw or settings.lake
    hint = "make a bucket with object lock for raw alone and name it in `LAKEHOUSE_RAW`"
    if files.is_local(raw):
        raise StorageError("only an S3 store can lock raw", where=raw, hint=hint)
    if not files.is_local(settings.lake) and s3.bucket(raw) == s3.bucket(settings.lake):
        raise StorageError("raw is in one bucket with what is to be deleted some day", where=raw, hint=hint)
    if not s3.can_lock(raw):
        raise StorageError("the bucket for raw was made without object lock", where=raw, hint=hint)


def _require_same_place(settings: Settings, row: Mapping[str, Any]) -> None:
    """Refuse settings that say otherwise than the lake where raw is; who leaves them out gets the lake's."""
    for name in ("raw", "raw_lock_days"):
        said = getattr(settings, name)
        if said is not None and said != row[name]:
            raise LakeMismatchError(
                f"the lake was made with `{row[name]}` as `{name}`, the settings say `{said}`",
                where=settings.lake,
                hint=f"set `LAKEHOUSE_{name.upper()}` to the lake's, or leave it out",
            )


def system_tables(lake: Lake, kind: str) -> list[SystemTable]:
    """The system tables of a kind (`copy` of `copy/<purpose>/<view>`) that were ever committed to, sorted."""
    start = f"{SystemTable(kind)}."
    keys = (key for key, version in last_versions(lake.control).items() if key.startswith(start) and version >= 0)
    return [SystemTable(key.partition(".")[2].replace(".", "/")) for key in sorted(keys)]


def raise_generation(lake: Lake) -> None:
    """Raise the generation on both sides: a backup from before is noticed from now on."""
    with lake.control.write("lake.generation") as connection:
        raise_in(connection)
    publish(lake.root, lake.control)


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


def _both(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What marker file and control database say."""
    root = settings.lake.rstrip("/")
    row = _control_row(settings.control_url)
    marker = read_marker(root)
    if marker is None:
        if row is not None and row["ready"]:  # a lake was made whole with this database, but not here, or it is gone
            raise LakeMismatchError(
                f"there is no `{MARKER}` here, but the control database belongs to a lake", where=root, hint=_ELSEWHERE
            )
        raise LakeMissingError("no lake here", where=root, hint="make one with `lakehouse demo` or `lakehouse ingest`")
    if row is None:
        raise LakeMismatchError("the lake has no control database", where=root, hint=LOST)
    require_same_lake(root, marker, row)
    return marker, row


def _control_row(url: str) -> dict[str, Any] | None:
    path = _sqlite_file(url)
    if path is not None and not path.exists():
        return None
    control = ControlDatabase(url)
    try:
        with control.read() as connection:
            if not sa.inspect(connection).has_table("lake"):
                return None
            migrations.require_head(connection, where=control.engine.url.render_as_string())
            row = connection.execute(sa.select(lake_table)).mappings().one_or_none()
            return None if row is None else dict(row)
    finally:
        control.dispose()


def _sqlite_file(url: str) -> Path | None:
    parsed = sa.make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _make_folder_of(url: str) -> None:
    path = _sqlite_file(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
