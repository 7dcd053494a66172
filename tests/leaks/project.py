"""The project under test: a copy of the shipped one with a domain `leak` that has what the others lack.

Every format, a counterparty, drift that keeps unknown columns, a personal event time, history, kept files, a column that
is wrongly clear in raw, a curated table and a feature table that carry text.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_OPERATIONS = "[{property: lakehouse, value: {category: system.operations}}]"


def _column(name: str, kind: str, category: str, *, more: str = "", odcs: str = "") -> str:
    """One property of a contract."""
    said = f"category: {category}{', ' + more if more else ''}"
    return (
        f"      - {{id: {name}, name: {name}, {kind}{', ' + odcs if odcs else ''},"
        f" customProperties: [{{property: lakehouse, value: {{{said}}}}}]}}\n"
    )


_TEXT, _NUMBER = "logicalType: string", "logicalType: integer"
_MONEY = "logicalType: number, physicalType: 'decimal(14,2)'"
_KEY = "primaryKey: true, primaryKeyPosition: 1, required: true"
_SEEN = (
    'logicalType: timestamp, logicalTypeOptions: {format: "yyyy-MM-dd HH:mm:ss", timezone: false, defaultTimezone: UTC}'
)
#: Before the contract is mended the memo may stay clear in raw; then nobody thinks so any more.
MEMO_MENDED = _column("memo", _TEXT, "user.content")
MEMO = _column("memo", _TEXT, "user.content", more="raw_clear: short memos that retention takes")

_VISITOR = (
    _column("id", _NUMBER, "user.unique_id", odcs=_KEY, more="canonical: integer, pseudonym_domain: leak.visit")
    + _column("person", _TEXT, "user.unique_id", odcs="required: true")
    + _column("name", _TEXT, "user.name")
    + _column("email", _TEXT, "user.contact.email", more="canonical: casefold, pseudonym_domain: leak.email")
    + _column("amount", _MONEY, "user.financial")
    + _column("born", "logicalType: date", "user.demographic.date_of_birth")
    + _column("seen", _SEEN, "user.behavior", odcs="required: true")
    + _column("friend", _TEXT, "user.unique_id")
    + _column("friend_name", _TEXT, "user.name", more="entity: friend")
)
_LANDED = """\
          sources:
            - {name: text, pattern: "*.csv*", keep_days: 2}
            - {name: lines, pattern: "*.jsonl*", format: ndjson}
            - {name: pages, pattern: "*.parquet", format: parquet}
            - {name: batches, pattern: "*.arrow", format: arrow}
          entity: {type: visitor, key: person, canonical: [trim, casefold]}
          entities: {friend: {type: visitor, key: friend, canonical: [trim, casefold]}}
"""
CONTRACT = f"""\
apiVersion: v3.2.0
kind: DataContract
id: 5d1f8b3a-0000-4a4a-9b9b-00000000leak
name: Leak
version: VERSION
status: active
domain: leak
team: {{name: leak-data}}
schema:
  - id: visitor
    name: visitor
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          load_mode: upsert
          history: true
          event_time: seen
          layout: time+entity
          retention: P10Y
          drift: {{unknown: evolve, missing: evolve, type: evolve}}
{_LANDED}    properties:
{_VISITOR}MEMO  - id: guest
    name: guest
    customProperties:
      - property: lakehouse
        value:
          tier: staged
          load_mode: append
          layout: entity
          drift: {{unknown: discard_value, missing: discard_value, type: freeze}}
{_LANDED}    properties:
{_VISITOR}  - id: visitor_overview
    name: visitor_overview
    customProperties:
      - {{property: lakehouse, value: {{tier: curated, inputs: [staged.leak.visitor], layout: none, entity: {{type: visitor, surrogate: visitor_ref}}}}}}
    properties:
{_column("visitor_ref", _TEXT, "user.unique_id.pseudonymous", odcs=_KEY)}{_column("name", _TEXT, "user.name")}\
{_column("email", _TEXT, "user.contact.email")}{_column("amount", _MONEY, "user.financial")}  - id: visitor_habits
    name: visitor_habits
    customProperties:
      - {{property: lakehouse, value: {{tier: features, inputs: [staged.leak.visitor], layout: none, entity: {{type: visitor, surrogate: visitor_ref}}}}}}
    properties:
{_column("visitor_ref", _TEXT, "user.unique_id.pseudonymous", odcs=_KEY)}{_column("visits", _NUMBER, "user.behavior")}"""

MODEL = """\
select
  _entity,
  _landed_at,
  _entity as visitor_ref,
  name,
  email,
  amount
from {{ source("staged_leak", "visitor") }}
where _valid_to is null
order by _entity desc
"""
#: A model that stumbles on a value, and says so.
FAILING_MODEL = MODEL.replace("  amount\nfrom", "  cast(cast(name as integer) as decimal(14, 2)) as amount\nfrom")

#: A test that cannot run, for the same reason.
FAILING_TEST = "select name from {{ ref('visitor_overview') }} where cast(name as integer) > 0\n"

FEATURE = '''\
"""Features of the leak domain."""

import polars as pl


def visitor_habits(visits: pl.LazyFrame) -> pl.LazyFrame:
    """Visits of each visitor; sorted by what is widest first, so that a small memory would have to spill."""
    sorted_first = visits.sort("name", "email", "memo").collect(engine="streaming").lazy()
    return sorted_first.group_by("_entity").agg(
        pl.col("_landed_at").max(),
        pl.col("_entity").first().alias("visitor_ref"),
        pl.len().cast(pl.Int64).alias("visits"),
    )
'''


def contract(*, mended: bool = False) -> str:
    """The domain's contract, before or after the memo was found to be personal."""
    memo, version = (MEMO_MENDED, "2.0.0") if mended else (MEMO, "1.0.0")
    return CONTRACT.replace("MEMO", memo).replace("VERSION", version)


def write_project(root: Path, *, alone: bool = False) -> Path:
    """The shipped project with the domain beside its own, or `alone`."""
    others = [place.name for place in (ROOT / "policies" / "domains").iterdir()] if alone else []
    # they speak of the other domains
    others += [place.name for place in (ROOT / "policies").glob("*.yaml")] if alone else []
    for name in ("policies", "assets", "resources", "dbt"):
        without = shutil.ignore_patterns("__pycache__", "target", "logs", *others, *(f"{each}.py" for each in others))
        shutil.copytree(ROOT / name, root / name, ignore=without)
    for name in ("pyproject.toml", "dagster.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    files = {
        "policies/domains/leak/contract.odcs.yaml": contract(),
        "policies/domains/leak/demo.yaml": "shown: false\n",
        "dbt/models/curated/leak/visitor_overview.sql": MODEL,
        "assets/features/leak.py": FEATURE,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
