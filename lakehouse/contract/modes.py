"""How deliveries meet what is there: load mode, order of versions, changes, drift; and what of it cannot be meant.

`upsert`, `snapshot` and `changes` are only right if versions have an order of their own: without one, the result would
depend on which file came first. So a missing order is a mistake of the contract.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast, get_args

from lakehouse.contract import reading, thresholds
from lakehouse.contract.model import PATH, Changes, Check, CheckKind, Drift, DriftMode, LoadMode, Logical, Rule
from lakehouse.model import Tier

if TYPE_CHECKING:
    from lakehouse.contract.findings import Findings
    from lakehouse.contract.model import Column, Table
    from lakehouse.source import Node

#: Keys that only mean something in one load mode.
_OF_MODE = {"vanish_tolerance": ("snapshot",), "changes": ("changes",), "as_of": ("upsert", "snapshot", "changes")}
_NAMED = {"plain": (), "debezium": ("d",)}


def read_drift(own: Node | None) -> Drift:
    """What a delivery does that differs; one word speaks of columns only."""
    said = own.get("drift") if own else None
    if said is None:
        return Drift()
    if said.kind == "mapping":
        given = {key: _word(said, key) for key in ("unknown", "missing", "type")}
        return replace(Drift(), **{key: word for key, word in given.items() if word is not None})
    word = _word(own, "drift")
    return Drift(word, word) if word is not None else Drift()


def _word(node: Node | None, key: str) -> DriftMode | None:
    said = reading.text(node, key)
    return cast("DriftMode", said) if said in get_args(DriftMode) else None


def drift_checks(table: Table) -> list[Check]:
    """What the drift of a staged table makes of rows and batches that differ."""
    if table.id.tier is not Tier.STAGED:
        return []
    row, at = CheckKind.ROW, table.where
    found: list[Check] = []
    if table.drift.unknown == "discard_row":
        words = "nothing was delivered that the contract does not know"
        found.append(Check("drift_unknown", row, Rule.UNKNOWN, description=words, where=at))
    if table.drift.missing == "discard_row":
        words = "every column of the contract was delivered"
        found.append(Check("drift_missing", row, Rule.MISSING, description=words, where=at))
    if table.drift.type == "freeze":
        words = "no value is of another type than its column"
        found.append(Check("drift_type", CheckKind.BATCH, Rule.TYPE, description=words, where=at))
    return found


def read_modes(node: Node, own: Node | None, table: Table, findings: Findings) -> Table:
    """The table with its load mode and the order of its versions."""
    said = reading.text(own, "load_mode")
    mode = cast("LoadMode", said) if said in get_args(LoadMode) else "append"
    tolerance = thresholds.share(own, "vanish_tolerance")
    table = replace(
        table,
        load_mode=mode,
        as_of=reading.text(own, "as_of"),
        vanish_tolerance=0.1 if tolerance is None else tolerance,
        changes=_changes(own, table, findings),
    )
    if own is None or (said is not None and said != mode):
        return table  # `shape` has said that there is no such mode
    _judge_keys(own, table, findings)
    _judge_order(node, own, table, findings)
    return _with_order_required(table)


def _changes(own: Node | None, table: Table, findings: Findings) -> Changes | None:
    found = own.get("changes") if own else None
    if found is None or found.kind != "mapping":
        return None
    form = "debezium" if reading.text(found, "form") == "debezium" else "plain"
    operation = found.get("operation")
    known = [column.name for column in table.delivered]
    if operation is not None and operation.text not in known:
        findings.unknown("column-unknown", operation, "`operation` column", known=known)
    deletes = reading.texts(found, "deletes") or _NAMED[form]
    if not deletes and found.entries.keys() <= {"operation", "deletes", "form"}:
        hint = "`deletes: [D]`: the words that end a key"
        findings.error("changes", found, "`changes` does not say what a delete is", hint=hint)
    column = next((column for column in table.delivered if operation and column.name == operation.text), None)
    if form == "debezium" and column is not None and not column.path.startswith("$."):
        message = f"column `{column.name}` is looked for in the row, not in the envelope"
        findings.error("changes", found, message, hint="`physicalName: $.op`")
    for source in table.sources:
        if form == "debezium" and source.format != "ndjson":
            message = f"source `{source.name}` cannot hold envelopes"
            findings.error("changes", found, message, hint="`form: debezium` needs `format: ndjson`")
    return Changes(reading.text(found, "operation") or "", deletes, form)


def _judge_keys(own: Node, table: Table, findings: Findings) -> None:
    if "load_mode" in own.entries and table.id.tier is not Tier.STAGED:
        findings.error("load-mode", own.key("load_mode"), "only staged tables are loaded", hint="say `refresh`")
        return
    for key, modes in _OF_MODE.items():
        if key in own.entries and table.load_mode not in modes:
            words = " or ".join(f"`{mode}`" for mode in modes)
            message = f"`{key}` has no meaning for `load_mode: {table.load_mode}`"
            findings.error("load-mode", own.key(key), message, hint=f"it is of {words}")
    if table.load_mode == "changes" and "changes" not in own.entries:
        hint = "`changes: {operation: column, deletes: [D]}`"
        findings.error("changes", own.entries["load_mode"], "`load_mode: changes` needs `changes`", hint=hint)


def _judge_order(node: Node, own: Node, table: Table, findings: Findings) -> None:
    if table.load_mode == "append":
        return
    if table.order is None:
        needed = "`as_of` or `event_time`" if table.load_mode == "upsert" else "`as_of`"
        at = own.entries.get("load_mode", node)
        hint = "`as_of: path` (with `delivered_at`), or a date or timestamp column"
        findings.error("order-missing", at, f"`load_mode: {table.load_mode}` needs {needed}", hint=hint)
    if table.as_of == PATH:
        without = [source.name for source in table.sources if source.delivered_at is None]
        if without:
            message = f"`as_of: path` needs `delivered_at` in source `{without[0]}`"
            findings.error("order-path", own.entries["as_of"], message, hint="a strptime pattern of the file's name")
    elif table.as_of is not None:
        _judge_column(own.entries["as_of"], table, findings)


def _judge_column(at: Node, table: Table, findings: Findings) -> None:
    column = next((column for column in table.columns if column.name == table.as_of), None)
    if column is None:
        known = [PATH, *(c.name for c in table.columns if _is_moment(c))]
        findings.unknown("column-unknown", at, "`as_of` column", known=known)
    elif not _is_moment(column):
        findings.error("order-type", at, f"`as_of` column `{column.name}` is a {column.type}, not a date or timestamp")


def _is_moment(column: Column) -> bool:
    return column.type.logical in {Logical.DATE, Logical.TIMESTAMP}


def _with_order_required(table: Table) -> Table:
    """A row that does not say when it was true has no place among the versions: its null is a failed row."""
    columns = tuple(replace(c, required=True) if c.name == table.order else c for c in table.columns)
    return replace(table, columns=columns)
