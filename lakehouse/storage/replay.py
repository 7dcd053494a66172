"""A Delta log replayed from its JSON entries, to compare with what is derived from them: checkpoints, and what readers see.

Checkpoints are written by delta-rs after a commit and are no evidence, but readers start from them: one that says anything
else than the entries before it would change a table without touching a single entry.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

import lakehouse.storage.delta as delta
from lakehouse.errors import LakehouseError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PARTS = ("add", "remove", "metaData", "protocol", "txn")
_PLAIN = ("path", "size", "modificationTime", "stats")
_UNREADABLE = (pa.ArrowException, OSError, KeyError, TypeError, ValueError)
_POINTER = {"version", "size", "sizeInBytes", "numOfAddFiles"}


@dataclass
class State:
    """What a table is after some of its versions.

    Attributes:
        adds: its files by path: size, time, statistics, and whatever else was said.
        removes: files that once were.
        txns: the newest number of each application.
        metadata: schema and properties.
        protocol: what readers and writers must know.
    """

    adds: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    removes: set[str] = field(default_factory=set[str])
    txns: dict[str, int] = field(default_factory=dict[str, int])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    protocol: dict[str, Any] = field(default_factory=dict[str, Any])

    def take(self, actions: Iterable[Mapping[str, Any]]) -> None:
        """Go one version on."""
        for action in actions:
            if "add" in action:
                self.adds[action["add"]["path"]] = _add(action["add"])
                self.removes.discard(action["add"]["path"])
            elif "remove" in action:
                self.adds.pop(action["remove"]["path"], None)
                self.removes.add(action["remove"]["path"])
            elif "txn" in action:
                self.txns[action["txn"]["appId"]] = action["txn"]["version"]
            elif "metaData" in action:
                self.metadata = _bare(action["metaData"])
            elif "protocol" in action:
                self.protocol = _bare(action["protocol"])

    def copy(self) -> State:
        """Another one, to go on from here."""
        return replace(self, adds=dict(self.adds), removes=set(self.removes), txns=dict(self.txns))

    @property
    def configuration(self) -> dict[str, str]:
        """The table's properties."""
        return self.metadata.get("configuration", {})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's content; `rows` and `bytes` are what `_last_checkpoint` repeats."""

    state: State
    rows: int
    bytes: int


def actions(content: bytes) -> list[dict[str, Any]]:
    """What a log entry says.

    Raises:
        StorageError: it is no log entry.
    """
    try:
        found: list[Any] = [json.loads(line) for line in content.splitlines() if line.strip()]
        State().take(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageError("the log entry is not readable") from error
    return found


def read_checkpoint(content: bytes) -> Checkpoint:
    """What a checkpoint says.

    Raises:
        StorageError: it is none, or says what no checkpoint of ours does.
    """
    try:
        table = pq.read_table(pa.BufferReader(content), memory_map=False)
        odd = [name for name in table.column_names if name not in _PARTS and table[name].null_count < len(table)]
        if odd:
            raise StorageError("the checkpoint is of another kind than ours")
        state = State()
        for row in _rows(table, "remove", ("path",)):
            state.removes.add(row[0])
        state.adds = {row[0]: row[1:] for row in _adds(table)}
        state.txns = dict(_rows(table, "txn", ("appId", "version")))
        state.metadata, state.protocol = _last(table, "metaData"), _last(table, "protocol")
    except _UNREADABLE as error:
        raise StorageError("the checkpoint is not readable") from error
    return Checkpoint(state, len(table), len(content))


def differs(found: State, replayed: State) -> str | None:
    """In what a checkpoint's content differs from the replayed log; None when it follows from it."""
    if found.adds.keys() != replayed.adds.keys():
        more, less = len(found.adds.keys() - replayed.adds.keys()), len(replayed.adds.keys() - found.adds.keys())
        return f"it has {more} files that the log does not add and lacks {less} that it does"
    if found.adds != replayed.adds:
        wrong = sum(found.adds[path] != replayed.adds[path] for path in found.adds)
        return f"it says other sizes, times or statistics of {wrong} files"
    if not found.removes <= replayed.removes:  # old tombstones may be left out
        return "it has removed files that the log does not remove"
    named = (("metadata", "schema or properties"), ("protocol", "a protocol"), ("txns", "writers' tokens"))
    odd = [what for name, what in named if getattr(found, name) != getattr(replayed, name)]
    return f"it says other {odd[0]}" if odd else None


def pointer_differs(content: bytes, checkpoint: Checkpoint) -> str | None:
    """What is wrong with `_last_checkpoint` beside the checkpoint that it names."""
    said = json.loads(content)
    told = (said.get("size"), said.get("sizeInBytes"), said.get("numOfAddFiles"))
    if told != (checkpoint.rows, checkpoint.bytes, len(checkpoint.state.adds)) or set(said) != _POINTER:
        return "it says other figures than the checkpoint has"
    return None if json.dumps(said, separators=(",", ":")).encode() == content.strip(b"\n") else "it was rewritten"


def pointed(content: bytes) -> int | None:
    """The version that `_last_checkpoint` names, None when it is not readable."""
    try:
        said = json.loads(content)
        return int(said["version"]) if isinstance(said["version"], int) else None
    except (ValueError, TypeError, KeyError):
        return None


def readers_differ(uri: str, version: int, replayed: State) -> str | None:
    """In what a version as engines read it, with the checkpoint, differs from the replayed log."""
    try:
        table = delta.handle(uri, version)
        if table is None:
            return "readers find no table"
        present = dict(delta.active(table).select("path", "size_bytes").rows())
        configuration = dict(table.metadata().configuration)
    except LakehouseError:
        return "readers cannot open it"
    if present != {unquote(path): said[0] for path, said in replayed.adds.items()}:
        return "readers see other files than the log's entries say"
    if configuration != replayed.configuration:
        return "readers see other properties than the log's entries say"
    return None


def _adds(table: pa.Table) -> Iterable[tuple[Any, ...]]:
    if "add" not in table.column_names:
        return []
    column = _part(table, "add")
    rest = [item.name for item in column.type if item.name not in {*_PLAIN, "dataChange"}]
    odd = [name for name in rest if not _says_nothing(column.field(name))]
    plain = zip(*(column.field(name).to_pylist() for name in _PLAIN), strict=True)
    if not odd:
        return [(*row, "") for row in plain]
    others = zip(*(column.field(name).to_pylist() for name in odd), strict=True)
    rests = (_text(dict(zip(odd, row, strict=True))) for row in others)
    return [(*row, more) for row, more in zip(plain, rests, strict=True)]


def _says_nothing(column: pa.Array) -> bool:
    if column.null_count == len(column):
        return True
    return pa.types.is_map(column.type) and len(column.keys) == 0


def _rows(table: pa.Table, part: str, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    if part not in table.column_names:
        return []
    column = _part(table, part)
    return list(zip(*(column.field(name).to_pylist() for name in names), strict=True))


def _part(table: pa.Table, part: str) -> Any:
    return pa.concat_arrays(table[part].drop_null().chunks or [pa.array([], table.schema.field(part).type)])


def _last(table: pa.Table, part: str) -> dict[str, Any]:
    found = _part(table, part).to_pylist()
    if len(found) != 1:
        raise StorageError("the checkpoint does not say one schema and one protocol")
    return _bare(found[0])


def _add(said: Mapping[str, Any]) -> tuple[Any, ...]:
    rest = {name: value for name, value in said.items() if name not in {*_PLAIN, "dataChange"}}
    return (*(said.get(name) for name in _PLAIN[1:]), _text(rest))


def _text(said: Mapping[str, Any]) -> str:
    bare = _bare(said)
    return json.dumps(bare, sort_keys=True) if bare else ""


def _bare(said: Any) -> Any:
    """Without what says nothing; Arrow gives maps as pairs."""
    if isinstance(said, list) and said and all(isinstance(each, tuple) for each in said):
        return _bare(dict(said))
    if isinstance(said, dict):
        bare = {name: _bare(value) for name, value in said.items()}
        return {name: value for name, value in bare.items() if value not in (None, {}, [])}
    return said
