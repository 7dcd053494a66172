"""The one edge to deltalake: fresh handles, refused features, exact schemas, one-attempt commits, the log's entries.

Guards for traps of `notes/delta.md` section 0: field metadata is stripped (5), schemas are compared by us (1), column
mapping, identity columns and deletion vectors are refused (4, 8), commits are file-level and never retried (2, 14).
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

import lakehouse.storage.faults as faults
import lakehouse.storage.files as files
import lakehouse.storage.s3 as s3
from lakehouse.errors import SchemaMismatchError, StorageError, UnsupportedTableError, of_system

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

APP = "lakehouse"
NOTE = "lakehouse"  # our key in commit info
READABLE_FEATURES = frozenset({"timestampNtz"})
APPEND_ONLY = {"delta.appendOnly": "true"}
#: Trap 13: otherwise an ordinary append deletes log entries after 30 days; raw's history is evidence.
KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}
#: Every handle reads the log behind the last checkpoint: with deltalake's hundred entries that is most of a commit's work, and
#: two hundred requests to a store.
CHECKPOINTS = {"delta.checkpointInterval": "20"}
#: What every raw table is made with and keeps.
WORM = {**APPEND_ONLY, **KEEP_LOG}
_LOG = "_delta_log"
_SYSTEM = re.compile(r"\(os error (\d+)\)")


@dataclass(frozen=True)
class Add:
    """A file to be added, as the intent records it."""

    path: str
    size: int
    sha256: str
    rows: int
    stats: str
    object_version: str | None = None


#: What a commit does to the table's metadata: nothing; new columns at the end; schema and description replaced, with all
#: rows (`generation`).
Shape = Literal["same", "columns", "generation"]


@dataclass(frozen=True)
class Change:
    """One commit to be: everything that the log will say, decided before it is written."""

    version: int
    token: int
    schema: pa.Schema
    adds: tuple[Add, ...]
    removes: Mapping[str, int]  # path -> size
    note: Mapping[str, Any]
    at_millis: int
    configuration: Mapping[str, str] = field(default_factory=dict[str, str])
    description: str = ""
    shape: Shape = "same"
    retires: bool = False  # files leave an append-only table: Delta allows that only where rows stay the same


@dataclass(frozen=True)
class Entry:
    """What one version of the log says."""

    note: Mapping[str, Any]
    adds: Mapping[str, int]
    removes: frozenset[str]
    token: int | None
    at_millis: int
    size: int
    sha256: str
    object_version: str | None = None


def handle(uri: str, version: int | None = None) -> DeltaTable | None:
    """A fresh handle, or None when there is no such table; refuses features that read wrongly."""
    try:
        table = DeltaTable(uri, version=version, storage_options=s3.options(uri))
    except TableNotFoundError:
        return None
    except OSError as error:  # the store, or the disk
        raise StorageError(
            "the table's log cannot be read", where=uri, hint="see whether the place can be reached"
        ) from error
    except DeltaError as error:
        wanted = "" if version is None else f" version {version}"
        raise StorageError(f"the table's log{wanted} cannot be read", where=uri) from error
    _refuse_features(table, uri=uri)
    return table


def is_there(uri: str) -> bool:
    """Whether there is a table: one listing, where a handle reads the whole log."""
    try:
        return DeltaTable.is_deltatable(uri, storage_options=s3.options(uri))
    except (DeltaError, OSError) as error:
        raise StorageError(
            "the table's log cannot be read", where=uri, hint="see whether the place can be reached"
        ) from error


def strip(schema: pa.Schema) -> pa.Schema:
    """The schema without any metadata (trap 5: field ids leak into the log and make engines read NULL)."""
    return pa.schema([item.with_metadata({}) for item in schema])


def schema_to_json(schema: pa.Schema) -> str:
    """The schema as Delta writes it down."""
    return Schema.from_arrow(strip(schema)).to_json()


def schema_from_json(text: str) -> pa.Schema:
    """The schema that Delta wrote down."""
    return strip(pa.schema(Schema.from_json(text)))


def polars_schema(schema: pa.Schema) -> pl.Schema:
    """The schema as polars sees it."""
    return pl.Schema(schema)  # not by way of an empty table: making an array imports pandas where it is installed


def table_schema(table: DeltaTable) -> pa.Schema:
    """The table's schema in Arrow."""
    return strip(pa.schema(table.schema()))


def same_schema(table: DeltaTable, schema: pa.Schema) -> bool:
    """Whether the table has exactly this schema: names, order, types, nulls."""
    return json.loads(schema_to_json(schema)) == json.loads(table.schema().to_json())


def require_schema(table: DeltaTable, schema: pa.Schema, *, where: str) -> None:
    """Refuse any difference between the table's schema and this one (trap 1: writers cast silently)."""
    if same_schema(table, schema):
        return
    # not the fields themselves: pyarrow cannot compare one with None
    present = {item.name: (item.type, item.nullable) for item in table_schema(table)}
    wanted = {item.name: (item.type, item.nullable) for item in schema}
    odd = sorted(n for n in present.keys() | wanted.keys() if present.get(n) != wanted.get(n))
    named = ", ".join(f"`{name}`" for name in odd) or "the order of columns"
    raise SchemaMismatchError(
        f"the schema to be written differs from the table's in {named}",
        where=where,
        hint="change the contract back, or rebuild the table",
    )


def active(table: DeltaTable) -> pl.DataFrame:
    """The table's files: path, size_bytes, num_records."""
    found: Any = pa.table(table.get_add_actions(flatten=True))
    paths = [unquote(path) for path in found["path"].to_pylist()]
    counts = found["num_records"].to_pylist() if "num_records" in found.column_names else [None] * len(paths)
    columns = {"path": paths, "size_bytes": found["size_bytes"].to_pylist(), "num_records": counts}
    return pl.DataFrame(columns, schema={"path": pl.String, "size_bytes": pl.Int64, "num_records": pl.Int64})


def last_token(table: DeltaTable) -> int | None:
    """The fencing token of the last commit."""
    return table.transaction_version(APP)


def commit(uri: str, change: Change, table: DeltaTable | None = None) -> None:
    """Commit at exactly `change.version` or raise; one attempt, nothing repeated.

    Args:
        uri: the table's place.
        change: what to commit.
        table: the fresh handle that the change was checked against; its version is pinned.

    Raises:
        StorageError: somebody else has that version, or the log could not be written; read the version to know.
    """
    properties = CommitProperties(
        custom_metadata={NOTE: dict(change.note)},
        app_transactions=[Transaction(APP, change.token)],
        max_commit_retries=0,
    )
    hooks = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
    adds = [AddAction(a.path, a.size, {}, change.at_millis, True, a.stats) for a in change.adds]  # noqa: FBT003
    schema = Schema.from_arrow(strip(change.schema))
    with faults.around("commit.delta"):
        try:
            if table is None or change.shape == "generation":
                # Over a table that is there this is one commit: its removes are all files that the table has by then.
                # The handle cannot be pinned here, so it is looked at once more; `landed` compares the removes.
                if table is not None:
                    _require_version(DeltaTable(uri, storage_options=s3.options(uri)), change)
                create_table_with_add_actions(
                    uri,
                    schema,
                    adds,
                    mode="error" if table is None else "overwrite",
                    description=change.description,
                    configuration=change.configuration,
                    storage_options=s3.options(uri),
                    commit_properties=properties,
                    post_commithook_properties=hooks,
                )
            elif change.shape == "columns":
                _require_version(table, change)
                known = {item.name for item in table.schema().fields}
                fields = [item for item in schema.fields if item.name not in known]
                table.alter.add_columns(fields, commit_properties=properties, post_commithook_properties=hooks)
            else:
                _append(table, change, adds=adds, schema=schema, properties=properties, hooks=hooks)
        except (DeltaError, OSError) as error:
            what = f"version {change.version} could not be committed"
            raise StorageError(what, where=uri, hint=_system_hint(error)) from error
    files.synchronise(log_entry(uri, change.version))


def _system_hint(error: Exception) -> str | None:
    """How to mend a full or read-only disk: delta-rs names it by the system's number and in its own words."""
    found = _SYSTEM.search(str(error))
    told = None if found is None else of_system(OSError(int(found[1]), ""))
    return None if told is None else told.hint


def _append(
    table: DeltaTable,
    change: Change,
    *,
    adds: list[AddAction],
    schema: Schema,
    properties: CommitProperties,
    hooks: PostCommitHookProperties,
) -> None:
    _require_version(table, change)
    changed = not change.retires
    removes = [RemoveAction(p, changed, change.at_millis, size, {}) for p, size in change.removes.items()]
    actions: list[AddAction | RemoveAction] = [*adds, *removes]
    # INVARIANT: always "append": "overwrite" would replace the schema's metadata (trap 10) and add removes of its own.
    table.create_write_transaction(
        actions, "append", schema, commit_properties=properties, post_commithook_properties=hooks
    )


def _require_version(table: DeltaTable, change: Change) -> None:
    # the handle may not have moved: without retries delta-rs commits at its version + 1 or fails
    if table.version() != change.version - 1:
        raise StorageError(f"the handle is at version {table.version()}, not {change.version - 1}")


def log_entry(uri: str, version: int) -> str:
    """Where a version's log entry is."""
    return files.join(uri, _LOG, f"{version:020d}.json")


def entry(uri: str, version: int) -> Entry | None:
    """What a version of the log says, None when it is not there (not yet, or cleaned up)."""
    found = files.read_version(log_entry(uri, version))
    if found is None:
        return None
    content, object_version = found
    info: dict[str, Any] = {}
    adds: dict[str, int] = {}
    removes: set[str] = set()
    token: int | None = None
    for line in content.splitlines():
        action: dict[str, Any] = json.loads(line)
        if "commitInfo" in action:
            info = action["commitInfo"]
        elif "add" in action:
            adds[unquote(action["add"]["path"])] = action["add"]["size"]
        elif "remove" in action:
            removes.add(unquote(action["remove"]["path"]))
        elif "txn" in action and action["txn"]["appId"] == APP:
            token = action["txn"]["version"]
    said = (len(content), hashlib.sha256(content).hexdigest(), object_version)
    return Entry(_note(info), adds, frozenset(removes), token, int(info.get("timestamp", 0)), *said)


def ever_added(uri: str, table: DeltaTable) -> frozenset[str]:
    """Every file that a version of the table has added, as far back as its log goes."""
    entries = (entry(uri, version) for version in range(table.version(), -1, -1))
    return frozenset(path for found in entries if found is not None for path in found.adds)


def _note(info: Mapping[str, Any]) -> Mapping[str, Any]:
    found = info.get(NOTE)
    return json.loads(found) if isinstance(found, str) else found or {}


def _refuse_features(table: DeltaTable, *, uri: str) -> None:
    protocol = table.protocol()
    features = set(protocol.reader_features or ()) - READABLE_FEATURES
    configuration = table.metadata().configuration
    if configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    if configuration.get("delta.enableDeletionVectors", "false") == "true":
        features.add("deletionVectors")
    if "identityColumns" in (protocol.writer_features or ()) or any(
        name.startswith("delta.identity") for item in table.schema().fields for name in item.metadata
    ):
        features.add("identityColumns")
    if features:
        named = ", ".join(f"`{name}`" for name in sorted(features))
        raise UnsupportedTableError(
            f"the table uses {named}, which would be read or written wrongly",
            where=uri,
            hint="rewrite the table without it through `lakehouse.storage`",
        )


def sizes_of(table: DeltaTable, paths: Sequence[str], *, where: str) -> dict[str, int]:
    """Sizes of files that the table must have (trap 11: Delta accepts removes of files that are not there)."""
    files_now = active(table)
    known: dict[str, int] = dict(zip(files_now["path"].to_list(), files_now["size_bytes"].to_list(), strict=True))
    missing = len(set(paths) - known.keys())
    if missing:
        raise StorageError(f"{missing} files to be removed are not in the table", where=where, hint="start anew")
    return {path: known[path] for path in paths}
