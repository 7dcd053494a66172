"""Compiled views, rules and groups of a small policy, byte for byte; `REWRITE_GOLDEN=1` writes the files anew."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.contract.model import Logical
from lakehouse.model import RESTRICTED_UNTIL
from lakehouse.policy import compile as compiler
from lakehouse.policy import printing, views
from lakehouse.policy.model import Grant
from lakehouse.policy.trino import trino_rules
from lakehouse.policy.views import ViewName
from tests.unit.policy.compiled_policy import CLAIM, DAY, PERSON, POLICY, PROJECT, RATE, column, entry, pattern

GOLDEN = Path(__file__).parents[2] / "golden" / "policy"
PRESENT = {RESTRICTED_UNTIL}
REQUESTS = [
    ("fraud", CLAIM, ("analysts",)),
    ("fraud", CLAIM, ("analysts", "seniors", "eu_staff")),
    ("fraud", RATE, ("seniors",)),
    ("study", CLAIM, ("analysts",)),
    ("triage", CLAIM, ("nurses",)),
    ("triage", PERSON, ("nurses",)),
]


def same(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("REWRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def asked(purpose, table, groups):
    return compiler.duckdb_view(POLICY, PROJECT, purpose, table, groups=groups, day=DAY, present=PRESENT)


def test_views_of_requests():
    texts = [
        f"-- {purpose} {table} as {', '.join(groups)}\n{printing.sql(asked(purpose, table, groups))}"
        for purpose, table, groups in REQUESTS
    ]
    same("views.duckdb.sql", "\n".join(texts))


def test_views_for_all_readers():
    texts = printing.trino_sql(compiler.trino_views(POLICY, PROJECT, present=lambda _: PRESENT))
    same("views.trino.sql", "\n".join(texts.values()))


def test_access_rules_and_groups():
    rules = trino_rules(POLICY, PROJECT)
    same("rules.trino.json", rules.access)
    same("groups.trino.txt", rules.groups)


@pytest.mark.parametrize(
    ("purpose", "table", "groups"),
    [
        ("fraud", CLAIM, ()),
        ("fraud", CLAIM, ("nurses",)),
        ("fraud", CLAIM, ("unheard of",)),
        ("nothing", CLAIM, ("analysts",)),
        ("fraud", CLAIM.at(CLAIM.tier.RAW), ("analysts",)),
        ("fraud", PERSON, ("analysts",)),
    ],
)
def test_denied_is_no_view(purpose, table, groups):
    assert asked(purpose, table, groups) is None


def test_a_view_for_one_reader_knows_no_groups():
    for request in REQUESTS:
        text = printing.sql(asked(*request))
        assert not re.search("groups|analysts|seniors|nurses|eu_staff", text, re.IGNORECASE)


def test_a_column_is_text_for_everybody_where_somebody_sees_tokens():
    """Its neighbour, alike in all but its name, keeps its own type."""
    whole = [column(name, "user.unique_id", Logical.INTEGER, pseudonym_domain=name) for name in ("one", "two")]
    table = replace(PROJECT.table(CLAIM), columns=tuple(whole))
    project = replace(PROJECT, contracts=(replace(PROJECT.contracts[0], tables=(table,)),))
    grants = tuple(
        Grant(name, (name,), "fraud", (pattern("*.*.*"),), columns)
        for name, columns in (("analysts", (entry("claim.one", "token"),)), ("seniors", ()))
    )
    fraud = replace(POLICY.purposes["fraud"], consent=None, max_age=None)
    policy = replace(POLICY, grants=grants, ceilings=(), row_ceilings=(), purposes={"fraud": fraud})
    for group in ("analysts", "seniors"):
        text = printing.sql(compiler.duckdb_view(policy, project, "fraud", CLAIM, groups=(group,), day=DAY))
        assert ('"one__token" AS "one"' if group == "analysts" else 'NULL AS TEXT) AS "one"') in text
        assert 'NULL AS BIGINT) AS "two"' in text


def test_platform_columns_are_in_no_view():
    for view in compiler.trino_views(POLICY, PROJECT, present=lambda _: PRESENT):
        names = [each.alias for each in view.tree.expression.expressions]
        assert names == [column.name for column in view.table.columns]


def test_what_a_view_reads():
    assert [str(read.name) for read in asked("fraud", CLAIM, ("analysts",)).reads] == [
        "curated.claims.claim",
        "consent_current",
    ]
    assert [str(read.name) for read in asked("fraud", RATE, ("analysts",)).reads] == ["staged.claims.rate"]
    assert [read.schema for read in asked("study", CLAIM, ("analysts",)).reads] == ["copy"]


def test_views_that_must_not_exist_any_more():
    deployed = [ViewName("fraud", "claims"), ViewName("fraud", "claims_claim"), ViewName("gone", "x")]
    assert views.obsolete(POLICY, PROJECT, deployed) == (ViewName("fraud", "claims_claim"), ViewName("gone", "x"))


def test_rules_say_no_last_in_every_section():
    """A section that is missing allows everything, so does one that no rule of matches everybody."""
    rules = json.loads(trino_rules(POLICY, PROJECT).access)
    assert set(rules) == {
        "catalogs", "schemas", "tables", "functions", "procedures", "queries", "impersonation", "authorization",
        "system_information", "system_session_properties", "catalog_session_properties",
    }  # fmt: skip
    last = {name: found[-1] for name, found in rules.items()}
    assert last.pop("queries") == {"allow": ["execute"]}
    assert last.pop("impersonation")["allow"] is last.pop("authorization")["allow"] is False
    for rule in last.values():
        assert next(iter(rule.values())) in ([], False, "none")
        assert len(rule) == 1


def test_the_first_rule_of_tables_denies_metadata_tables():
    first, *others = json.loads(trino_rules(POLICY, PROJECT).access)["tables"]
    assert first == {"table": r".*\$.*", "privileges": []}
    named = [rule["table"] for rule in others if rule.get("catalog") == "^serve$" and "table" in rule]
    assert named == [
        "^claims$",
        "^claims_rate$",
        "^claims_claim$",
        "^claims_claim$",
        "^claims_person$",
        "^claims_rate$",
    ]
