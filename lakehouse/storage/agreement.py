"""Whether lake and control database are of the same moment: a restored backup of either side is refused.

Three witnesses: the generation, which stands in `lake.json` and in the database; the heads of the chains; the newest
version of each table. All are cheap to ask. What follows from a difference is `restore`'s affair (`lakehouse recover`).
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

import lakehouse.storage.chain as chain
import lakehouse.storage.files as files
from lakehouse.errors import LakeMismatchError
from lakehouse.model import Tier
from lakehouse.storage.control import intent_table, lease_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lakehouse.storage.control import ControlDatabase
    from lakehouse.storage.place import Place

DATABASE, LAKE = "control database", "lake"
RECOVER = "a backup was restored? `lakehouse recover` says what is missing, and mends what can be mended"
_ATTEMPTS = 5
_RAW, _STAGED = f"{Tier.RAW.value}.", f"{Tier.STAGED.value}."


def require_same_generation(root: str, marker: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Refuse a lake and a control database of different generations.

    Raises:
        LakeMismatchError: which says what side is older.
    """
    theirs, ours = marker.get("generation"), row["generation"]
    if theirs == ours:
        return
    side = DATABASE if isinstance(theirs, int) and theirs > ours else LAKE
    raise older(side, root, f"they differ in `generation`: lake {theirs}, database {ours}")


def require_agreement(place: Place, control: ControlDatabase) -> bool:
    """Refuse a lake and a control database of which one is older.

    Returns:
        Whether entries of chains wait to be written.

    Raises:
        LakeMismatchError: which says what side is older.
    """
    waiting = require_heads(place.root, control)
    # two file names a table; in an object store that is asked when the table is changed
    if files.is_local(place.root) and files.is_local(place.raw):
        _require_versions(place, control)
    return waiting


def require_heads(root: str, control: ControlDatabase) -> bool:
    """Refuse chains whose newest entry in the lake is not the control database's.

    Returns:
        Whether entries wait to be written.

    Raises:
        LakeMismatchError: which says what side is older.
    """
    told = chain.heads(control)
    missing = [name for name in chain.NAMES if name not in told]
    if missing:
        raise older(DATABASE, root, f"it has no chain `{missing[0]}`")
    for _ in range(_ATTEMPTS):
        doubt = next((found for name, head in told.items() if (found := _doubt(root, name, head))), None)
        if doubt is None:
            break
        again = chain.heads(control)
        if again == told:
            raise doubt
        told = again  # another process appended just now
    return any(head.waiting for head in told.values())


def _doubt(root: str, name: str, head: chain.Head) -> LakeMismatchError | None:
    if head.number and head.number not in head.waiting:
        content = chain.read(root, name, head.number)
        if content is None:
            return older(LAKE, root, f"entry {head.number} of chain `{name}` is missing")
        if hashlib.sha256(content).hexdigest() != head.hash:
            return LakeMismatchError(
                f"entry {head.number} of chain `{name}` is not the one that the control database knows",
                where=chain.place(root, name, head.number),
                hint=RECOVER,
            )
    # entries that wait follow one that is there; flushing them into an older lake would leave a gap
    before = min(head.waiting, default=1) - 1
    if before and chain.read(root, name, before) is None:
        return older(LAKE, root, f"entry {before} of chain `{name}` is missing")
    behind = chain.place(root, name, head.number + 1)
    if files.sizes([behind])[behind] is not None:
        return older(DATABASE, root, f"it does not know entry {head.number + 1} of chain `{name}`")
    return None


def require_known(place: Place, control: ControlDatabase, key: str, *, version: int) -> None:
    """Refuse a table whose newest version the control database does not know, or knows a newer one of.

    A commit without an intent's name is somebody else's; that is a finding of `verify`.

    Raises:
        LakeMismatchError: which says what side is older.
    """
    last = last_versions(control, key).get(key)
    # a newer holder may have committed just now: then its version is there, and the commit fails by itself
    if last is not None and last > version and files.sizes([entry := _log_entry(place, key, last)])[entry] is None:
        raise older(LAKE, place.root, f"version {last} of `{key}` is missing")
    _require_intent(place, control, key, version=version)


def last_versions(control: ControlDatabase, key: str | None = None) -> dict[str, int]:
    """The newest version of each table, or of one, that a settled intent has made; -1 if none has."""
    mine = (intent_table.c.table_id == lease_table.c.table_id, intent_table.c.state == "done")
    newest = sa.select(sa.func.max(intent_table.c.version)).where(*mine).scalar_subquery()
    wanted = sa.select(lease_table.c.table_id, newest.label("version"))
    if key is not None:
        wanted = wanted.where(lease_table.c.table_id == key)
    with control.read() as connection:
        return {row.table_id: -1 if row.version is None else row.version for row in connection.execute(wanted)}


def knows_intent(control: ControlDatabase, intent: str) -> bool:
    """Whether the control database has an intent of this id."""
    with control.read() as connection:
        return connection.execute(sa.select(intent_table.c.id).where(intent_table.c.id == intent)).first() is not None


def older(side: str, root: str, why: str) -> LakeMismatchError:
    """The error of a side that is older than the other."""
    other = LAKE if side == DATABASE else DATABASE
    return LakeMismatchError(f"the {side} is older than the {other}: {why}", where=root, hint=RECOVER)


def _require_versions(place: Place, control: ControlDatabase) -> None:
    last = last_versions(control)
    for key in [key for key in last if key.startswith(_RAW)]:
        last.setdefault(_STAGED + key.removeprefix(_RAW), -1)  # its first commit may be what the database does not know
    names = {
        key: (_log_entry(place, key, version), _log_entry(place, key, version + 1)) for key, version in last.items()
    }
    found = files.sizes([name for both in names.values() for name in both])
    for key, (there, behind) in names.items():
        if last[key] >= 0 and found[there] is None and not _is_cleaned(place, key, last[key]):
            raise older(LAKE, place.root, f"version {last[key]} of `{key}` is missing")
        if found[behind] is not None:
            # intents are recorded before they are committed, so a commit of this moment is known
            _require_intent(place, control, key, version=last[key] + 1)


def _require_intent(place: Place, control: ControlDatabase, key: str, *, version: int) -> None:
    import lakehouse.storage.delta as delta  # noqa: PLC0415 - opening a lake does without deltalake

    entry = delta.entry(place.table(key), version)
    intent = entry.note.get("intent") if entry is not None else None
    if intent is not None and not knows_intent(control, str(intent)):
        raise older(DATABASE, place.root, f"it does not know version {version} of `{key}`")


def _is_cleaned(place: Place, key: str, version: int) -> bool:
    """Whether the table has the version though its log entry is gone, as old ones of other tiers than raw may be."""
    import lakehouse.storage.delta as delta  # noqa: PLC0415 - opening a lake does without deltalake

    table = delta.handle(place.table(key))
    return table is not None and table.version() >= version


def _log_entry(place: Place, key: str, version: int) -> str:
    return files.join(place.table(key), "_delta_log", f"{version:020d}.json")
