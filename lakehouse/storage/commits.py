"""The commit protocol: files first, then the intent, then one Delta commit, then the control database.

Nothing written is visible before `commit`. Every change of a governed table goes this way, by `begin` and `Transaction`;
`recovery` finishes or drops what a holder left half done.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import io
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

import lakehouse.storage.delta as delta
import lakehouse.storage.files as files
import lakehouse.storage.intents as intents
from lakehouse.errors import SchemaMismatchError, StorageError
from lakehouse.model import TableId, Tier
from lakehouse.storage.intents import Effects
from lakehouse.storage.layout import FRESH, FileName, Part, Placement, arrange, file_name, kept_part, months_between
from lakehouse.storage.protocol import RETIRE, Design, append_only_refused, commit_change
from lakehouse.storage.statistics import statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from lakehouse.model import LedgerEvent
    from lakehouse.storage.intents import Applied, BatchUpdate
    from lakehouse.storage.lake import Lake, Target
    from lakehouse.storage.leases import Held

WRITERS = 2
MOST_REWRITTEN = 32  # files between two looks at the lease
SMALL_ROW_GROUP, ROW_GROUP = 32_768, 262_144


@dataclass(frozen=True)
class DataFile:
    """A written file, not yet visible."""

    path: str
    size: int
    sha256: str
    rows: int
    stats: str
    object_version: str | None
    months: tuple[str, ...] | None


class Transaction:
    """One change of one table in the making; made by `begin`."""

    def __init__(
        self,
        held: Held,
        *,
        schema: pa.Schema,
        placement: Placement,
        append_only: bool,
        generation: bool = False,
        retires: bool = False,
    ) -> None:
        self.held = held
        self.uri = held.lake.uri(held.table)
        self.placement = placement
        self.append_only = append_only or _is_raw(held.table)
        self._shape: delta.Shape = "generation" if generation else "same"
        self._retires = retires
        self._schema = delta.strip(schema)
        self._columns = delta.polars_schema(self._schema)
        self._required = [item.name for item in schema if not item.nullable]
        self._id = uuid.uuid4().hex[:12]
        self._files: list[DataFile] = []
        self._numbered = 0
        self._removes: list[str] = []
        self._renewed = time.monotonic()
        self._closed = False
        self._tried = False

    def write(
        self, frame: pl.DataFrame, *, exact_months: bool = False, level: str = FRESH, cells: int | None = None
    ) -> list[DataFile]:
        """Write rows as files that `commit` will make visible.

        Args:
            frame: rows with exactly the table's schema.
            exact_months: never let one file span several months.
            level: `t0` for rows that come in, `b` for a body in its final order.
            cells: how many months the whole table has, if the frame holds a part of a body.

        Raises:
            SchemaMismatchError: names, order, types or nulls differ from the schema; nothing is cast.
        """
        self._require_open()
        self._require_schema(frame)
        self._keep_lease()
        parts = list(arrange(frame, self.placement, exact=exact_months, level=level, cells=cells))
        numbered = list(enumerate(parts, start=self._numbered))
        self._numbered += len(numbered)
        if len(numbered) > 1:
            with ThreadPoolExecutor(WRITERS) as pool:
                written = list(pool.map(self._put, numbered))
        else:
            written = [self._put(one) for one in numbered]
        self._files += written
        return written

    def rewrite(self, paths: Sequence[str], kept: Callable[[str], pl.DataFrame]) -> None:
        """Let the commit replace files by others with some of their rows: same level, same months, same order.

        Args:
            paths: files of the table or of this transaction, relative to the table or absolute.
            kept: what stays of a file's rows, in their order; asked in several threads. A file of which nothing stays is
                just removed.

        Raises:
            RefusedError: the table is append-only.
        """
        self._require_open()
        self._require_removable()

        def rewritten(numbered: tuple[int, str]) -> DataFile | None:
            number, path = numbered
            frame = kept(path)
            self._require_schema(frame)
            return self._put((number, kept_part(path, frame, self.placement))) if frame.height else None

        for start in range(0, len(paths), MOST_REWRITTEN):
            self._keep_lease()
            some = [path.removeprefix(self.uri + "/") for path in paths[start : start + MOST_REWRITTEN]]
            numbered = list(enumerate(paths[start : start + MOST_REWRITTEN], start=self._numbered))
            self._numbered += len(numbered)
            with ThreadPoolExecutor(WRITERS) as pool:
                written = [file for file in pool.map(rewritten, numbered) if file is not None]
            ours = {file.path for file in self._files}
            self._files += written
            self.discard(path for path in some if path in ours)
            self.remove(path for path in some if path not in ours)

    @property
    def files(self) -> tuple[DataFile, ...]:
        """What was written so far."""
        return tuple(self._files)

    def discard(self, paths: Iterable[str]) -> None:
        """Give up some of the written files."""
        self._require_open()
        given_up = set(paths)
        self._files = [file for file in self._files if file.path not in given_up]
        self._delete(sorted(given_up))

    def remove(self, paths: Iterable[str]) -> None:
        """Let the commit remove files of the table; paths relative to the table or absolute.

        Raises:
            RefusedError: the table is append-only.
        """
        self._require_open()
        wanted = [path.removeprefix(self.uri + "/") for path in paths]
        if wanted:
            self._require_removable()
        self._removes += wanted

    def commit(
        self,
        kind: str,
        *,
        events: Sequence[LedgerEvent] = (),
        batches: Sequence[BatchUpdate] = (),
        inputs: Mapping[str, int] | None = None,
        flushed: Sequence[str] = (),
        applied: Sequence[Applied] = (),
    ) -> int:
        """Make the written files visible and the removed ones not, in one Delta version.

        Args:
            kind: a word for the log: `raw`, `stage`, `replace`, `merge`, …
            events: ledger events, recorded exactly once with the commit.
            batches: manifest updates, likewise.
            inputs: versions of the tables this was made of.
            flushed: outbox events that the written files hold.
            applied: contracts that tables stand under from now on.

        Returns:
            The Delta version.

        Raises:
            FencedOutError: a newer holder is at work.
            RefusedError: files leave an append-only table by a commit that is no retirement.
            StorageError: the table was changed by somebody else, or files are missing.
        """
        self._require_open()
        if self._retires and kind != RETIRE:
            raise append_only_refused(self.held.table)
        self._closed = True
        note: dict[str, Any] = {"kind": kind, "inputs": dict(inputs or {}), "months": self._months()}
        configuration = _configuration(append_only=self.append_only)
        design = Design(self._schema, _describe(self.placement), configuration, self._shape, self._retires)
        adds = tuple(delta.Add(f.path, f.size, f.sha256, f.rows, f.stats, f.object_version) for f in self._files)
        effects = Effects(events, batches, flushed, applied)
        self._tried = True
        version = commit_change(self.held, design, adds=adds, removes=self._removes, note=note, effects=effects)
        self._files = []
        return version

    def abandon(self) -> None:
        """Forget everything and delete what was written; nothing to do after a commit.

        Files that nobody has seen are in no table, so they leave an append-only one too: they may hold clear values.
        """
        self._closed = True
        # INVARIANT: after a commit that failed only files without an intent go: another process may finish an intent.
        kept = intents.named_paths(self.held.lake, self.held.table) if self._tried and self._files else set[str]()
        self._delete([written.path for written in self._files if written.path not in kept])
        self._files = []

    def _delete(self, paths: Sequence[str]) -> None:
        """Delete files that were never committed; what a lock keeps nevertheless is noted, or it would be a stranger's."""
        locked = [path for path in paths if not files.delete(files.join(self.uri, path))]
        if locked:
            intents.give_up(self.held.lake, self.held, locked)

    def _put(self, numbered: tuple[int, Part]) -> DataFile:
        number, part = numbered
        path = file_name(token=self.held.token, transaction=self._id, number=number, part=part)
        buffer = io.BytesIO()
        rows = SMALL_ROW_GROUP if self.placement.laid_out else ROW_GROUP
        part.frame.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=rows)
        content = buffer.getbuffer()
        place, lake = files.join(self.uri, path), self.held.lake
        worm = _is_raw(self.held.table)
        stored = files.put(place, content, worm=worm, until=lake.locked_until(lake.now()) if worm else None)
        stats = statistics(part, self.placement)
        return DataFile(path, content.nbytes, stored.sha256, part.frame.height, stats, stored.version, part.months)

    def _require_removable(self) -> None:
        if self.append_only and not self._retires:
            raise append_only_refused(self.held.table)

    def _require_open(self) -> None:
        if self._closed:
            raise StorageError("the transaction is closed", where=str(self.held.table), hint="begin another one")

    def _require_schema(self, frame: pl.DataFrame) -> None:
        if list(frame.schema.items()) != list(self._columns.items()):
            odd = sorted(
                name
                for name in {*frame.columns, *self._columns.names()}
                if frame.schema.get(name) != self._columns.get(name)
            )
            named = ", ".join(f"`{name}`" for name in odd) or "the order of columns"
            raise SchemaMismatchError(
                f"the rows differ from the table's schema in {named}",
                where=str(self.held.table),
                hint="cast them first; storage never does",
            )
        if self._required:
            nulls = frame.select(pl.col(self._required).null_count()).row(0, named=True)
            empty = sorted(name for name, count in nulls.items() if count)
            if empty:
                named = ", ".join(f"`{name}`" for name in empty)
                raise SchemaMismatchError(f"{named} must not be null", where=str(self.held.table))

    def _keep_lease(self) -> None:
        if time.monotonic() - self._renewed > self.held.ttl.total_seconds() / 5:
            self.held.renew()
            self._renewed = time.monotonic()

    def _months(self) -> list[str] | None:
        """Event months that change, None when that is unknown."""
        touched: set[str] = set()
        for written in self._files:
            if written.months is None:
                return None
            touched.update(written.months)
        for path in self._removes:
            name = FileName.parse(path)
            if name is None or name.first == "all":
                return None
            touched.update(months_between(name.first, name.last))
        return sorted(touched)


def begin(
    lake: Lake,
    table: Target,
    held: Held,
    schema: pa.Schema,
    layout: Placement | None = None,
    *,
    append_only: bool = False,
    generation: bool = False,
    retires: bool = False,
) -> Transaction:
    """Start a change of a table whose lease is held.

    Args:
        lake: the lake.
        table: the table.
        held: its lease.
        schema: the table's exact schema.
        layout: how rows are placed; none by default.
        append_only: tables that nothing may be removed from; raw is one whatever this says.
        generation: the commit removes every file that is there, so schema and layout may be others than the table's.
        retires: files leave an append-only table; they are deleted by `delete_retired` after the commit.

    Raises:
        RefusedError: raw is to be replaced.
        StorageError: the lease is another table's.
    """
    if generation and (append_only or _is_raw(table)):
        raise append_only_refused(table)
    if held.table != table or held.lake is not lake:
        raise StorageError("the lease is another table's", where=str(table), hint=f"it is for `{held.table}`")
    placement = layout or Placement()
    return Transaction(
        held, schema=schema, placement=placement, append_only=append_only, generation=generation, retires=retires
    )


def _is_raw(table: Target) -> bool:
    return isinstance(table, TableId) and table.tier is Tier.RAW


def _configuration(*, append_only: bool) -> tuple[tuple[str, str], ...]:
    return tuple({**delta.CHECKPOINTS, **(delta.WORM if append_only else {})}.items())


def _describe(placement: Placement) -> str:
    """The layout as the table's description: custom properties are refused at creation by deltalake."""
    return json.dumps(
        {"layout": placement.layout, "time": placement.time_column, "entity": placement.entity_column},
        separators=(",", ":"),
    )
