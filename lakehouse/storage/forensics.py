"""Where a chain was forged or cut: its entries held against the intents of the control database, the second witness.

Whoever rewrites an entry and links all later ones anew is found at the head, which names no place; of a missing entry
nothing says what it told. The intents do. They are only asked once the chain is known to be broken: else they say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lakehouse.model import Tier
from lakehouse.storage.chain import RAW, Entry
from lakehouse.storage.control import intent_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.storage.history import Account
    from lakehouse.storage.lake import Lake

_TOLD = ("path", "size", "sha256", "rows", "object_version")


def hold(lake: Lake, accounts: Mapping[str, Account], *, table: str | None) -> None:
    """Note in the accounts what the chain tells otherwise than the intents; they learn commits that it does not tell of."""
    columns = intent_table.c
    wanted = sa.select(columns.table_id, columns.version, columns.kind, columns.body)
    wanted = wanted.where(columns.state == "done", columns.table_id.startswith(f"{Tier.RAW.value}.")).order_by(
        columns.version
    )
    if table is not None:
        wanted = wanted.where(columns.table_id == table)
    seen: set[tuple[str, int]] = set()
    with lake.control.read() as connection:
        for row in connection.execute(wanted):
            account = accounts.get(row.table_id)
            if account is None or row.version <= account.after:
                continue
            seen.add((row.table_id, row.version))
            entry = account.commits.get(row.version)
            if entry is None:
                _learn(account, row.version, row.kind, row.body)
            elif odd := _odd(entry.body, row.kind, row.body):
                what = f"the entry tells of other {odd} than the control database: it was forged"
                account.breaks("raw_chain", row.version, what, entry=entry.number)
    for key, account in accounts.items():
        for version, entry in sorted(account.commits.items()):
            if (key, version) not in seen:
                what = "the control database knows no such commit: the entry was forged"
                account.breaks("raw_chain", version, what, entry=entry.number)


def _learn(account: Account, version: int, kind: str, body: Mapping[str, Any]) -> None:
    what = "no entry of the chain tells of the commit any more; the control database does"
    account.breaks("raw_chain", version, what)
    told = {"version": version, "kind": kind, "files": _files(body), "removes": sorted(body["removes"])}
    account.take(Entry(RAW, account.next_entry(version), "", 0, told))


def _files(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name: add[name] for name in _TOLD if add.get(name) is not None} for add in body["adds"]]


def _odd(body: Mapping[str, Any], kind: str, intent: Mapping[str, Any]) -> str | None:
    """In what an entry differs from the intent; one that a recovery learnt from the log has no digests."""
    if body["kind"] != kind:
        return "work"
    if body["removes"] != sorted(intent["removes"]):
        return "removed files"
    adds = _files(intent)
    same = [{name: each.get(name) for name in add} for each, add in zip(body["files"], adds, strict=False)]
    return None if same == adds and len(adds) == len(body["files"]) else "files"
