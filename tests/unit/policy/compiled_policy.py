"""A small policy in which each shape of a compiled view occurs once: what the golden files are made of."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from lakehouse.contract.model import Column, ColumnType, Contract, EntityKey, Logical, Project, Table
from lakehouse.model import TableId, Tier
from lakehouse.policy import predicates, treatments
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


def column(name: str, category: str, logical: Logical = Logical.STRING, **more: object) -> Column:
    return Column(id=name, name=name, type=ColumnType(logical), category=category, **more)


def entry(name: str, treatment: str) -> Entry:
    """As a policy writes it: a category, or `table.column`."""
    shows = treatments.parse(treatment)
    if name.partition(".")[0] in {"user", "system"}:
        return Entry(shows, category=name)
    table, _, named = name.partition(".")
    return Entry(shows, table=table, column=named)


def pattern(text: str) -> TablePattern:
    tier, domain, table = (None if part == "*" else part for part in text.split("."))
    return TablePattern(Tier(tier) if tier else None, domain, table)


CLAIM = TableId(Tier.CURATED, "claims", "claim")
PERSON = TableId(Tier.STAGED, "claims", "person")
RATE = TableId(Tier.STAGED, "claims", "rate")
DAY = dt.date(2026, 3, 31)

PROJECT = Project(
    Path(),
    (
        Contract(
            "claims",
            "claims",
            "1",
            (
                Table(
                    CLAIM,
                    "1",
                    (
                        column("policy", "user.unique_id"),
                        column("email", "user.contact.email", pseudonym_domain="mail"),
                        column("name", "user.name"),
                        column("age", "user.demographic", Logical.INTEGER),
                        column("diagnosis", "user.health_and_medical"),
                        column("region", "system.operations"),
                        column("reported", "system.operations", Logical.TIMESTAMP),
                    ),
                    ("policy",),
                    entity=EntityKey("client", "policy"),
                    event_time="reported",
                ),
                Table(
                    PERSON,
                    "2",
                    (
                        column("number", "user.unique_id", Logical.INTEGER, pseudonym_domain="number"),
                        column("born", "user.demographic", Logical.DATE),
                    ),
                    ("number",),
                    entity=EntityKey("client", "number"),
                    load_mode="upsert",
                    history=True,
                ),
                Table(RATE, "3", (column("rate", "system.operations", Logical.FLOAT),), ()),
            ),
        ),
    ),
)

POLICY = Policy(
    classes={
        "user": Sensitivity.CONFIDENTIAL,
        "user.health_and_medical": Sensitivity.RESTRICTED,
        "system": Sensitivity.INTERNAL,
    },
    defaults=dict(zip(Sensitivity, map(treatments.parse, ("clear", "clear", "redact", "hide")), strict=True)),
    ceilings=(
        Ceiling("health", treatments.HIDE, ("user.health_and_medical",), unless=Unless(purposes=("triage",))),
        Ceiling("names", treatments.REDACT, ("user.name",), unless=Unless(groups=("seniors",))),
    ),
    row_ceilings=(
        RowCeiling(
            "eu",
            (pattern("*.*.*"),),
            predicates.parse("region <> 'EU'"),
            having=("region",),
            unless=Unless(groups=("eu_staff",)),
        ),
    ),
    purposes={
        "fraud": Purpose("fraud", "", ("analysts", "seniors"), "interest", consent="client", max_age=Age(3, "Y")),
        "study": Purpose("study", "", ("analysts",), "consent", isolation="copy", max_age=Age(18, "M")),
        "triage": Purpose("triage", "", ("nurses",), "contract", legal=True),
    },
    groups={"analysts": ("ana", "boris"), "eu_staff": ("ana",), "nurses": ("carl",), "seniors": ()},
    grants=(
        Grant(
            "analysts-claims",
            ("analysts",),
            "fraud",
            (pattern("curated.claims.claim"),),
            (entry("user.contact", "token"), entry("user.name", "partial(2)"), entry("claim.age", "bucket(10)")),
            rows=predicates.parse("region IN ('EU', 'UK') OR reported IS NULL"),
        ),
        Grant(
            "seniors-claims",
            ("seniors",),
            "fraud",
            (pattern("curated.claims.*"),),
            (entry("user", "clear"),),
            until=dt.date(2027, 6, 30),
            view="claims",
        ),
        Grant("all-rates", ("analysts", "seniors"), "fraud", (pattern("staged.claims.rate"),)),
        Grant("study-claims", ("analysts",), "study", (pattern("curated.claims.claim"),), until=dt.date(2026, 12, 31)),
        Grant(
            "triage-claims",
            ("nurses",),
            "triage",
            (pattern("*.claims.*"),),
            (entry("user.health_and_medical", "clear"), entry("person.number", "token")),
        ),
    ),
)
