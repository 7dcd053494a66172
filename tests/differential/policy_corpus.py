"""Worlds: a policy, tables with rows, consents and requests, drawn so that every sentence of the language matters.

Every engine is asked the same: `worlds(...)` gives the same ones for the same seeds in every process, and `world(random)`
draws from any `random.Random`, hypothesis' own included. Policies are statically valid by construction: a grant that would
be incomparable to another of its purpose, mix a token with a value, or show a token where there is none, is left out.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.contract.model import Column, ColumnType, Contract, EntityKey, Logical, Project, Table
from lakehouse.model import TableId, Tier
from lakehouse.policy import predicates, reach, treatments
from lakehouse.policy.decide import Consent
from lakehouse.policy.model import (
    Age,
    Ceiling,
    Entry,
    Grant,
    Policy,
    Purpose,
    RowCeiling,
    Sensitivity,
    TablePattern,
    Unless,
)
from lakehouse.policy.treatments import HIDE, TOKEN
from tests.differential.treatment_corpus import at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY = dt.date(2024, 2, 29)
GROUPS = ("ana", "bee", "cod", "dab")
PURPOSES = ("care", "fraud", "audit")
Row = dict[str, object]


@dataclass(frozen=True)
class Request:
    """Somebody of these groups reads a table for a purpose on a day."""

    groups: tuple[str, ...]
    purpose: str
    table: TableId
    day: dt.date


@dataclass(frozen=True)
class World:
    """Everything an engine needs to answer, and what it is asked."""

    policy: Policy
    project: Project
    rows: dict[TableId, list[Row]]
    consents: tuple[Consent, ...]
    requests: tuple[Request, ...]


def column(name: str, category: str, logical: Logical = Logical.STRING, **more: object) -> Column:
    """A column of a contract."""
    size = {"precision": 8, "scale": 2} if logical is Logical.DECIMAL else {}
    return Column(id=name, name=name, type=ColumnType(logical, **size), category=category, **more)


#: What tables are made of; `ref` is the key of the entity and always there in tables with one.
POOL = (
    column("email", "user.contact.email", pseudonym_domain="mail"),
    column("name", "user.name", pseudonym_domain="name"),
    column("phone", "user.contact.phone_number"),
    column("illness", "user.health_and_medical"),
    column("raised", "user.contact.city", classification="restricted"),
    column("made", "user.unique_id.pseudonymous", token_of="user.contact.email", pseudonym_domain="mail"),
    column("income", "user.financial", Logical.DECIMAL),
    column("score", "user.financial.credit", Logical.FLOAT, pseudonym_domain="score"),
    column("size", "user.demographic", Logical.INTEGER, pseudonym_domain="size"),
    column("born", "user.demographic.date_of_birth", Logical.DATE),
    column("seen", "user.behavior", Logical.TIMESTAMP),
    column("member", "user", Logical.BOOLEAN),
    column("region", "system.operations"),
    column("count", "system.operations", Logical.INTEGER),
    column("ratio", "system.operations", Logical.FLOAT),
    column("open", "system.operations", Logical.BOOLEAN),
)
KEY = column("ref", "user.unique_id")
DAY_OF = column("happened", "system.operations", Logical.DATE)
TIME_OF = column("happened", "system.operations", Logical.TIMESTAMP)
SURROGATE = column("who", "user.unique_id.pseudonymous")

TEXTS = (None, "", "a", "ab", "abcdef", "'; --", "%", "Ünï\N{GRINNING FACE}cödé", "\N{GRINNING FACE}\N{GRINNING FACE}")
VALUES: dict[Logical, tuple[object, ...]] = {
    Logical.STRING: TEXTS,
    Logical.INTEGER: (None, 0, 1, -1, 7, -7, 33, 2**63 - 1, -(2**63)),
    Logical.DECIMAL: (None, *map(Decimal, ("0.00", "10.50", "-10.50", "999999.99", "-999999.99"))),
    Logical.FLOAT: (None, 0.0, 1.5, -7.25, math.nan, math.inf, -math.inf, 2.0**53, 1e300),
    Logical.BOOLEAN: (None, True, False),
    Logical.DATE: (None, *map(dt.date.fromisoformat, ("2024-02-29", "2023-02-28", "2021-02-28", "2021-03-01", "1969-12-31", "2030-01-01"))),
    Logical.TIMESTAMP: (None, *map(at, ("2024-02-29T23:59:59.999", "2023-02-28", "2023-02-27T23:59:59.999", "2021-02-28T23:59:59.999", "1969-12-31", "2031-01-01"))),
}  # fmt: skip
REGIONS = (None, "EU", "UK", "US")
CLASSES = (
    "user",
    "user.contact",
    "user.contact.email",
    "user.health_and_medical",
    "user.financial",
    "user.demographic",
)
CATEGORIES = (*CLASSES, "user.name", "user.financial.credit", "user.unique_id", "user.behavior", "system", "system.operations")  # fmt: skip
TREATMENTS = tuple(map(treatments.parse, ("hide", "redact", "year", "month", "prefix(2)", "prefix(3)", "bucket(5)", "bucket(10)", "partial(1)", "partial(4)", "token", "token", "clear", "clear", "clear")))  # fmt: skip
PREDICATES = tuple(map(predicates.parse, (
    "region IN ('EU', 'UK')", "region <> 'EU'", "NOT region = 'US'", "region IS NULL OR region = 'EU'", "open", "NOT open",
    "open OR region = 'EU'", "score > 1e0", "NOT score > 1e0", "ratio <= 1.5e0 OR ratio IS NULL", "count BETWEEN -1 AND 7",
    "income >= 10.5", "NOT (income < 0 AND region = 'UK')", "born < current_date", "born = DATE '2024-02-29' OR count = 1",
    "name LIKE 'a%'", "NOT name LIKE '%b%'", "size IN (1, 7, -7)", "seen < TIMESTAMP '2024-01-01 00:00:00'", "member",
)))  # fmt: skip


def worlds(count: int, *, seed: int = 7) -> Iterator[World]:
    """So many worlds, the same in every process."""
    for place in range(count):
        yield world(random.Random(seed * 1_000_003 + place))


def world(rnd: random.Random) -> World:
    """One world."""
    tables = tuple(_table(rnd, place) for place in range(rnd.randint(1, 3)))
    contracts = tuple(
        Contract(domain, domain, "1", tuple(table for table in tables if table.id.domain == domain))
        for domain in ("north", "south")
    )
    project = Project(Path(), contracts)
    policy = _policy(rnd, tables)
    consents = tuple(
        Consent(entity, purpose, rnd.random() < 0.7, rnd.choice((None, None, DAY, DAY - dt.timedelta(1))))
        for entity in ("e1", "e2", "e3")
        for purpose in PURPOSES
        if rnd.random() < 0.8
    )
    rows = {table.id: [_row(rnd, table, place) for place in range(rnd.randint(3, 12))] for table in tables}
    return World(policy, project, rows, consents, _requests(rnd, policy, tables))


def _table(rnd: random.Random, place: int) -> Table:
    tier = rnd.choice((Tier.STAGED, Tier.CURATED, Tier.FEATURES))
    table = TableId(tier, rnd.choice(("north", "south")), ("claim", "sale", "visit")[place])
    if rnd.random() < 0.15:
        columns = [each for each in POOL if not each.personal]
        return Table(table, str(place), tuple(columns), (), event_time=None)
    chosen = [each for each in POOL if rnd.random() < 0.6]
    named = rnd.random() < 0.7
    entity = EntityKey("client", key="ref") if named else EntityKey("client", surrogate="who")
    columns = (KEY if named else SURROGATE, rnd.choice((DAY_OF, TIME_OF)), *chosen)
    history = tier is Tier.STAGED and rnd.random() < 0.5
    mode = "upsert" if history else "append"
    return Table(table, str(place), columns, (), entity=entity, event_time="happened", history=history, load_mode=mode)


def _row(rnd: random.Random, table: Table, place: int) -> Row:
    row: Row = {"_row": place}
    for each in table.columns:
        pool = REGIONS if each.name == "region" else VALUES[each.type.logical]
        row[each.name] = rnd.choice(pool)
        if each.pseudonym_domain and each.token_of is None:
            row[f"{each.name}__token"] = None if _absent(row[each.name]) else f"tok_{place}_{each.name}"
    row["_entity"] = rnd.choice(("e1", "e1", "e2", "e3", "e4", None))
    if table.entity is not None and table.entity.key:
        row["ref"] = row["_entity"] and f"key of {row['_entity']}"
    elif table.entity is not None:
        row["who"] = row["_entity"]
    row["_restricted_until"] = rnd.choice((None, None, None, DAY))
    if table.versioned:
        row["_valid_to"] = rnd.choice((None, None, at("2024-01-01")))
    return row


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _policy(rnd: random.Random, tables: Sequence[Table]) -> Policy:
    classes = {prefix: Sensitivity(rnd.randint(1, 3)) for prefix in CLASSES if prefix == "user" or rnd.random() < 0.6}
    classes["system"] = Sensitivity(rnd.randint(0, 1))
    lower = rnd.choice(("redact", "redact", "hide", "partial(2)"))
    defaults = dict(zip(Sensitivity, map(treatments.parse, ("clear", "clear", lower, "hide")), strict=True))
    purposes = {name: _purpose(rnd, name) for name in PURPOSES}
    policy = Policy(
        classes=classes,
        defaults=defaults,
        purposes=purposes,
        groups={group: (f"person of {group}",) for group in GROUPS},
        ceilings=tuple(_ceiling(rnd, place, tables) for place in range(rnd.randint(0, 4))),
    )
    policy = replace(policy, row_ceilings=tuple(_row_ceilings(rnd, tables)))
    wanted = rnd.randint(1, 6)
    for place in range(24):
        grant = _grant(rnd, place, policy, tables)
        wider = replace(policy, grants=(*policy.grants, grant))
        if len(policy.grants) < wanted and all(_valid(wider, grant, table) for table in tables):
            policy = wider
    return policy


def _purpose(rnd: random.Random, name: str) -> Purpose:
    age = rnd.choice((None, None, Age(3, "Y"), Age(12, "M"), Age(366, "D"), Age(9999, "Y")))
    consent = "client" if rnd.random() < 0.25 else None
    groups = tuple(group for group in GROUPS if rnd.random() < 0.7) or GROUPS[:1]
    return Purpose(name, name, groups, "contract", consent=consent, max_age=age, legal=name == "audit")


def _patterns(rnd: random.Random, tables: Sequence[Table]) -> tuple[TablePattern, ...]:
    chosen = rnd.choice(tables).id
    exact = TablePattern(chosen.tier, chosen.domain, chosen.table)
    return rnd.choice(
        (
            (exact,),
            (TablePattern(None, chosen.domain, None),),
            (TablePattern(None, None, None),),
            (exact, TablePattern(Tier.CURATED, None, None)),
        )
    )


def _unless(rnd: random.Random) -> Unless | None:
    groups = tuple(group for group in GROUPS if rnd.random() < 0.3)
    purposes = tuple(purpose for purpose in PURPOSES if rnd.random() < 0.3)
    return rnd.choice((None, Unless(groups=groups) if groups else None, Unless(groups, purposes) if groups or purposes else None))  # fmt: skip


def _ceiling(rnd: random.Random, place: int, tables: Sequence[Table]) -> Ceiling:
    categories = tuple(sorted({rnd.choice(CATEGORIES) for _ in range(rnd.randint(0, 2))}))
    covered = _patterns(rnd, tables) if not categories or rnd.random() < 0.3 else ()
    return Ceiling(f"c{place}", rnd.choice(TREATMENTS), categories, covered, _unless(rnd))


def _row_ceilings(rnd: random.Random, tables: Sequence[Table]) -> Iterator[RowCeiling]:
    for place in range(rnd.choice((0, 0, 1, 1, 2))):
        written = rnd.choice(PREDICATES)
        yield RowCeiling(f"r{place}", _patterns(rnd, tables), written, having=written.columns, unless=_unless(rnd))


def _grant(rnd: random.Random, place: int, policy: Policy, tables: Sequence[Table]) -> Grant:
    purpose = policy.purposes[rnd.choice(PURPOSES)]
    patterns = _patterns(rnd, tables)
    entries = {rnd.choice(CATEGORIES): rnd.choice(TREATMENTS) for _ in range(rnd.randint(0, 4))}
    columns = [Entry(said, category=category) for category, said in sorted(entries.items())]
    if rnd.random() < 0.6:
        table = rnd.choice(tables)
        named = rnd.choice(table.columns)
        fitting = [said for said in TREATMENTS if treatments.fits(said, named.type.logical)]
        columns.append(Entry(rnd.choice(fitting), table=table.id.table, column=named.name))
    rows = rnd.choice((None, *PREDICATES)) if rnd.random() < 0.7 else None
    return Grant(
        id=f"g{place}",
        groups=tuple(group for group in purpose.groups if rnd.random() < 0.6) or purpose.groups[:1],
        purpose=purpose.name,
        tables=patterns,
        columns=tuple(columns),
        rows=rows,
        until=rnd.choice((None, None, DAY, DAY - dt.timedelta(1), DAY + dt.timedelta(1))),
    )


def _valid(policy: Policy, grant: Grant, table: Table) -> bool:
    """Whether the static checks would let the newest grant stand, as far as the table is concerned."""
    grants = reach.grants(policy, grant.purpose, table)
    if grant not in grants:
        return True
    if grant.rows and not set(grant.rows.columns) <= {each.name for each in table.columns}:
        return False
    return all(_fits(policy, grants, table, each) for each in table.columns)


def _fits(policy: Policy, grants: Sequence[Grant], table: Table, each: Column) -> bool:
    shown = {reach.treatment(policy, grant, table, each) for grant in grants}
    if TOKEN in shown and not reach.has_token(table, each):
        return False
    if each.type.logical is not Logical.STRING and TOKEN in shown and not shown <= {TOKEN, HIDE}:
        return False
    return all(treatments.join(one, other) is not None for one in shown for other in shown)


def _requests(rnd: random.Random, policy: Policy, tables: Sequence[Table]) -> tuple[Request, ...]:
    days = (DAY, DAY, DAY, DAY - dt.timedelta(1), DAY + dt.timedelta(1), DAY + dt.timedelta(2))
    asked = [
        Request(groups, purpose, table.id, rnd.choice(days))
        for table in tables
        for purpose in sorted({grant.purpose for grant in policy.grants}) or PURPOSES[:1]
        for groups in sorted({GROUPS, *(_some_groups(rnd) for _ in range(3))})
    ]
    return (*sorted(asked, key=str), Request(GROUPS, "nothing", tables[0].id, DAY))


def _some_groups(rnd: random.Random) -> tuple[str, ...]:
    return tuple(group for group in (*GROUPS, "unheard of") if rnd.random() < 0.45)
