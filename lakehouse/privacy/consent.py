"""Who has consented to what: events that are only ever added, and what is in force, one row per entity and purpose.

`consent` (`CONSENT`, append-only) has every event: when it holds from (`valid_from`) and when we learned of it
(`recorded_at`). In force is the event with the greatest (valid_from, recorded_at), a withdrawal first among equals.
`consent_current` (`CURRENT`) is what views join: `entity` (surrogate, 32 hex digits), `purpose`, `given` (boolean),
`expires_on` (date, inclusive, may be null, tested in the view); `type`, `valid_from` and `derived` say where it is from.
Its commit notes what it was made of, so a reader can tell that it is behind (`renew`); links are in `consent_links`.
"""

# pyarrow ships without types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import LeaseTakenError, UsageError
from lakehouse.privacy import consent_links, entities
from lakehouse.storage.chain import ERASURE
from lakehouse.storage.control import alias_table, chain_head_table
from lakehouse.storage.delta import polars_schema

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from lakehouse.contract.model import Project
    from lakehouse.model import TableId
    from lakehouse.storage import Lake, Transaction

CONSENT, CURRENT = storage.SystemTable("consent"), storage.SystemTable("consent_current")
_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("entity", pa.string()),
        ("type", pa.string()),
        ("purpose", pa.string()),
        ("given", pa.bool_()),
        ("source", pa.string()),
        ("valid_from", _INSTANT),
        ("recorded_at", _INSTANT),
        ("expires_on", pa.date32()),
        ("delivery", pa.string()),  # keyed hash of the file that it came in; null from the command line
    ]
)
CURRENT_SCHEMA = pa.schema(
    [
        ("entity", pa.string()),
        ("purpose", pa.string()),
        ("given", pa.bool_()),
        ("expires_on", pa.date32()),
        ("type", pa.string()),
        ("valid_from", _INSTANT),
        ("derived", pa.bool_()),
    ]
)
_EVENTS = storage.Placement("none", statistics_columns=("recorded_at",))
_ROWS = storage.Placement("none", statistics_columns=("purpose",))

#: How often, and after how many seconds again, somebody waits for another who makes what is in force.
_TRIES, _PAUSE = 20, 0.25

Said = Literal["given", "withdrawn"]


@dataclass(frozen=True)
class Statement:
    """What one person said. `id` is personal and is never shown; `repr` leaves it out, as errors may.

    Attributes:
        type: entity type of whoever says it.
        id: as delivered.
        purpose: for what.
        said: given or withdrawn.
        source: where it was said, a word such as `crm`.
        valid_from: since when; None is when it is recorded.
        expires_on: the last day, only of something given.
    """

    type: str
    id: object
    purpose: str
    said: Said
    source: str
    valid_from: dt.datetime | None = None
    expires_on: dt.date | None = None

    def __repr__(self) -> str:
        return f"Statement({self.type}, {self.purpose}, {self.said})"


def refusal(statement: Statement, asks: Mapping[str, str], now: dt.datetime) -> str | None:
    """Why a statement cannot be recorded, without a value of it but purpose and type; None when it can.

    Args:
        statement: the statement.
        asks: purpose -> entity type that must consent, of the purposes that need consent.
        now: when it would be recorded.
    """
    wanted = asks.get(statement.purpose)
    if wanted is None:
        return "purpose is not one that needs consent"
    if wanted != statement.type:
        return f"purpose `{statement.purpose}` needs consent of a `{wanted}`"
    if statement.valid_from is not None and statement.valid_from > now:
        return "`valid_from` lies in the future"
    if statement.expires_on is not None and statement.said == "withdrawn":
        return "a withdrawal does not expire"
    since = statement.valid_from or now
    if statement.expires_on is not None and statement.expires_on < since.date():
        return "`expires_on` is before `valid_from`"
    return None


def asks_of(purposes: Mapping[str, str | None]) -> dict[str, str]:
    """Of purposes with whom they ask, those that ask."""
    return {name: entity for name, entity in purposes.items() if entity is not None}


def forms_of(project: Project, entity: str) -> tuple[str, ...]:
    """The canonical forms of the ids of an entity type.

    Raises:
        UsageError: no contract has ids of that type.
    """
    for table in project.tables:
        if table.entity is not None and table.entity.type == entity and table.entity.key is not None:
            return table.entity.canonical
        for role in table.roles:
            if role.type == entity:
                return role.canonical
    known = sorted({table.entity.type for table in project.tables if table.entity is not None})
    hint = f"known: {', '.join(f'`{name}`' for name in known)}" if known else "no contract names an entity"
    raise UsageError("there is no such entity type", where=entity, hint=hint)


def record(
    lake: Lake,
    project: Project,
    statements: Sequence[Statement],
    *,
    asks: Mapping[str, str],
    delivery: str | None = None,
) -> int:
    """Add statements in one commit, then renew what is in force. Somebody not known yet becomes an entity.

    Args:
        lake: the lake.
        project: every contract.
        statements: what was said.
        asks: purpose -> entity type that must consent.
        delivery: keyed hash of the file that they came in: its second time adds nothing.

    Returns:
        How many were added.

    Raises:
        UsageError: one cannot be recorded; then none is.
    """
    with storage.lease(lake, CONSENT, holder="consent") as held:
        added = 0
        if delivery is None or not _is_delivered(lake, delivery):
            tx = storage.begin(lake, CONSENT, held, SCHEMA, _EVENTS, append_only=True)
            added = _add(lake, project, tx, statements, asks=asks, delivery=delivery)
        renew(lake, project, asks=asks)
    return added


def _add(
    lake: Lake,
    project: Project,
    tx: Transaction,
    statements: Sequence[Statement],
    *,
    asks: Mapping[str, str],
    delivery: str | None,
) -> int:
    now = lake.now()
    for statement in statements:
        if (reason := refusal(statement, asks, now)) is not None:
            raise UsageError(reason, where=f"consent for `{statement.purpose}`", hint="nothing was recorded")
    events = _events(lake, project, statements, now=now, delivery=delivery)
    if events["entity"].null_count():
        raise UsageError("an id cannot be read", where="consent", hint="write it as the entity's contract says")
    if not events.height:
        return 0
    tx.write(events)
    tx.commit("consent")
    return events.height


def _events(
    lake: Lake, project: Project, statements: Sequence[Statement], *, now: dt.datetime, delivery: str | None
) -> pl.DataFrame:
    columns = {
        "event_id": [uuid.uuid4().hex for _ in statements],
        "entity": surrogates(lake, project, statements),
        "type": [each.type for each in statements],
        "purpose": [each.purpose for each in statements],
        "given": [each.said == "given" for each in statements],
        "source": [each.source for each in statements],
        "valid_from": [each.valid_from or now for each in statements],
        "recorded_at": [now for _ in statements],
        "expires_on": [each.expires_on for each in statements],
        "delivery": [delivery for _ in statements],
    }
    return pl.DataFrame(columns, schema=polars_schema(SCHEMA))


def surrogates(lake: Lake, project: Project, statements: Sequence[Statement]) -> list[str | None]:
    """The surrogates of those who said it, made at first sight; None where an id cannot be read."""
    found: list[str | None] = [None] * len(statements)
    for type_ in sorted({each.type for each in statements}):
        places = [place for place, each in enumerate(statements) if each.type == type_]
        ids = pl.Series([str(statements[place].id) for place in places], dtype=pl.String)
        resolved = entities.resolve(lake, type_, forms_of(project, type_), ids).to_list()
        for place, surrogate in zip(places, resolved, strict=True):
            found[place] = surrogate
    return found


def _is_delivered(lake: Lake, delivery: str) -> bool:
    if not storage.exists(lake, CONSENT):
        return False
    seen = storage.scan(lake, CONSENT).filter(pl.col("delivery") == delivery).select(pl.len())
    return seen.collect(engine="streaming").item() > 0


def in_force(events: pl.DataFrame) -> pl.DataFrame:
    """Of each entity and purpose the event in force."""
    # a withdrawal comes last among equals, so that it stays
    ordered = events.sort("valid_from", "recorded_at", pl.col("given").not_(), "event_id")
    return ordered.unique(["entity", "purpose"], keep="last", maintain_order=True)


def renew(lake: Lake, project: Project, *, asks: Mapping[str, str]) -> bool:
    """Make what is in force anew, if anything that it is made of has changed; returns whether it had.

    Whoever reads asks for this first: a withdrawal whose recorder died before it came here is then seen all the same.

    Raises:
        LeaseTakenError: somebody else has been at it for longer than that takes.
    """
    for left in reversed(range(_TRIES)):
        noted = _noted(lake)
        if noted == _made_of(lake, project, asks) or (noted is None and not storage.exists(lake, CONSENT)):
            return False
        try:
            _renew(lake, project, asks)
        except LeaseTakenError:
            if not left:
                raise
            time.sleep(_PAUSE)
        else:
            return True
    return False


def _renew(lake: Lake, project: Project, asks: Mapping[str, str]) -> None:
    with storage.lease(lake, CURRENT, holder="consent") as held:
        sources = _made_of(lake, project, asks)
        if sources == _noted(lake):
            return
        tx = storage.begin(lake, CURRENT, held, CURRENT_SCHEMA, _ROWS)
        if storage.exists(lake, CURRENT):
            tx.remove(storage.snapshot(lake, CURRENT).files)
        tx.write(_current(lake, project, asks, sources))
        tx.commit("consent", inputs=sources)


def _current(lake: Lake, project: Project, asks: Mapping[str, str], sources: Mapping[str, int]) -> pl.DataFrame:
    if str(CONSENT) not in sources:
        return pl.DataFrame(schema=polars_schema(CURRENT_SCHEMA))
    events = storage.scan(lake, CONSENT, version=sources[str(CONSENT)]).collect(engine="streaming")
    whom = pl.DataFrame(
        {"purpose": list(asks), "type": list(asks.values())}, schema=dict.fromkeys(("purpose", "type"), pl.String)
    )
    events = _as_merged(lake, events.join(whom, on=["purpose", "type"], how="semi"))
    own = in_force(events).with_columns(derived=pl.lit(value=False)).select(CURRENT_SCHEMA.names)
    own = own.filter(~entities.erased(lake, own["entity"]))
    links = consent_links.deciding(lake, project, versions=sources)
    spoken = links.join(own, left_on=["decider", "decider_type"], right_on=["entity", "type"])
    derived = spoken.with_columns(derived=pl.lit(value=True)).select(CURRENT_SCHEMA.names)
    return pl.concat([own, derived]).sort("purpose", "entity")


def _as_merged(lake: Lake, events: pl.DataFrame) -> pl.DataFrame:
    """With the entity that each one's rows are since two ids were merged."""
    merged = entities.aliases(lake, events["entity"]).rename({"surrogate": "entity"})
    joined = events.join(merged, on="entity", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("other", "entity").alias("entity")).drop("other")


def _made_of(lake: Lake, project: Project, asks: Mapping[str, str]) -> dict[str, int]:
    """The versions and counts that what is in force depends on."""
    links = consent_links.links_that_decide(project)
    tables: list[storage.Target] = [CONSENT, *consent_links.tables_of(project)]
    versions = {str(table): storage.snapshot(lake, table).version for table in tables if storage.exists(lake, table)}
    rules = json.dumps([sorted(asks.items()), [repr(link) for link in links]])
    digest = int.from_bytes(hashlib.sha256(rules.encode()).digest()[:6])
    with lake.control.read() as connection:
        merged = connection.execute(sa.select(sa.func.count()).select_from(alias_table)).scalar_one()
        head = sa.select(chain_head_table.c.number).where(chain_head_table.c.name == ERASURE)
        erasures = connection.execute(head).scalar_one_or_none()
    return {**versions, "rules": digest, "aliases": merged, "erasures": erasures or 0}


def _noted(lake: Lake) -> dict[str, int] | None:
    return storage.inputs_of(lake, CURRENT) if storage.exists(lake, CURRENT) else None


def is_concerned(project: Project, table: TableId) -> bool:
    """Whether what is in force depends on rows of the table."""
    return table in consent_links.tables_of(project)
