"""Derived columns are at least as sensitive as what they are made of, or declassified by something that is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.contract.model import (
    Check,
    CheckKind,
    Column,
    ColumnType,
    Contract,
    Declassified,
    EntityKey,
    Logical,
    Project,
    Role,
    Rule,
    Table,
)
from lakehouse.model import TableId, Tier
from lakehouse.policy import taint
from lakehouse.policy.model import Ceiling, Policy, Sensitivity
from lakehouse.policy.treatments import HIDE

TEXT, DATE, NUMBER, FLAG = (
    ColumnType(each) for each in (Logical.STRING, Logical.DATE, Logical.INTEGER, Logical.BOOLEAN)
)
S = Sensitivity
POLICY = Policy(
    classes={
        "user": S.CONFIDENTIAL,
        "user.location": S.CONFIDENTIAL,
        "user.health_and_medical": S.RESTRICTED,
        "user.financial": S.RESTRICTED,
        "system": S.INTERNAL,
    },
    defaults={},
    identifying=("user.name", "user.contact", "user.unique_id", "user.government_id"),
    ceilings=(Ceiling("no-gender", HIDE, ("user.demographic.gender",)),),
)


def column(name: str, category: str, type_: ColumnType = TEXT, **more) -> Column:
    return Column(name, name, type_, category, **more)


CLIENT = Table(
    TableId(Tier.STAGED, "bank", "client"),
    "client",
    (
        column("id", "user.unique_id", canonical=("trim",), pseudonym_domain="bank.client"),
        column("email", "user.contact.email", canonical=("trim",), pseudonym_domain="bank.email"),
        column("name", "user.name"),
        column("born", "user.demographic.date_of_birth", DATE),
        column("sex", "user.demographic.gender"),
        column("city", "user.location.imprecise"),
        column("wants", "user.privacy_preferences", FLAG),
        column("branch", "system.operations", NUMBER),
        column("seen", "system.operations", classification="confidential"),
    ),
    ("id",),
    entity=EntityKey("client", "id"),
)
MOVE = Table(
    TableId(Tier.STAGED, "bank", "move"),
    "move",
    (
        column("account", "user.financial.bank_account", canonical=("trim",), pseudonym_domain="bank.account"),
        column("amount", "user.financial", NUMBER),
        column("illness", "user.health_and_medical"),
        column("day", "system.operations", DATE),
        column("shop", "system.operations"),
        column("other", "user.financial.bank_account"),
    ),
    ("account",),
    entity=EntityKey("account", "account"),
    roles=(Role("payee", "payee", "other"),),
)
OUT = TableId(Tier.CURATED, "bank", "out")


def judge(
    sql: str, *columns: Column, policy: Policy | None = POLICY, entity: EntityKey | None = None, roles=()
) -> list:
    out = Table(OUT, "out", columns, (), inputs=(CLIENT.id, MOVE.id), entity=entity, roles=roles)
    project = Project(Path("/p"), (Contract("b", "bank", "1", (CLIENT, MOVE, out)),))
    written = sql.replace(" client", " staged_bank.client").replace(" move", " staged_bank.move")
    written = (
        written.replace("select ", "select max(_landed_at) over () as _landed_at, ", 1)
        if "_landed_at" not in sql
        else written
    )
    return taint.judge_model(
        project,
        out,
        written,
        policy=policy,
        relation=lambda each: f"{each.tier}_{each.domain}.{each.table}",
        where="out.sql",
    )


def codes(*args, **more) -> list[str]:
    return [finding.code for finding in judge(*args, **more)]


@pytest.mark.parametrize("policy", [POLICY, None, Policy({}, {})], ids=["policy", "none", "empty"])
def test_an_address_under_another_name_is_found_with_its_path(policy):
    (finding,) = judge(
        "with stg as (select _landed_at, email from client) select _landed_at, email as note from stg",
        column("note", "system.operations"),
        policy=policy,
    )
    assert finding.code == "taint"
    assert finding.where == "out.sql"
    assert "`curated.bank.out.note`" in finding.message
    assert "staged.bank.client.email -> stg.email -> note" in finding.message


@pytest.mark.parametrize(
    ("expression", "category", "fine"),
    [
        ("email", "user.contact.email", True),
        ("email", "user.contact", True),
        ("email", "user.name", False),  # another kind of identifier
        ("email", "user.unique_id.pseudonymous", False),  # a clear value is no pseudonym
        ("email", "user.privacy_preferences", False),
        ("email", "user.financial", False),  # a higher class does not make it less of an identifier
        ("city", "user.location.precise", True),
        ("city", "user.account", False),  # another class prefix: an entry for accounts must not open places
        ("city", "user.financial", True),  # a higher class
        ("sex", "user.demographic.gender", True),
        ("sex", "user.demographic", False),  # a ceiling covers it, and would not any more
        ("born", "user.demographic.age_range", True),
        ("born", "system.operations", False),
        ("branch", "system.operations", True),
        ("branch", "user.account", True),
        ("seen", "system.operations", False),  # raised by its contract
        ("_entity", "user.account", True),
        ("_entity", "system.operations", False),
        ("email__token", "user.account", True),
        ("_row", "system.operations", True),
        ("city || branch::varchar", "user.location", True),
        ("count(*) over ()", "system.operations", True),
        ("case when city = 'x' then 1 else 0 end", "system.operations", False),
        ("email is not null", "user.privacy_preferences", False),
    ],
    ids=str,
)
def test_an_output_weighs_as_much_as_its_inputs(expression, category, fine):
    found = codes(f"select _landed_at, {expression} as out from client", column("out", category))
    assert found == ([] if fine else ["taint"])


def test_a_raised_class_suffices():
    sql = "select _landed_at, seen as out from client"
    assert codes(sql, column("out", "system.operations", classification="confidential")) == []


def test_of_equally_sensitive_inputs_one_gives_the_category():
    sql = "select _landed_at, m.amount::varchar || m.illness as out from move m"
    assert codes(sql, column("out", "user.financial")) == []
    assert codes(sql, column("out", "user.account")) == ["taint"]


def test_what_only_decides_on_rows_is_no_input():
    sql = "select c._landed_at, c.branch as out from client c join move m on c.id = m.account where c.email like 'a%'"
    assert codes(sql, column("out", "system.operations")) == []


def declared(how: str, **more) -> Declassified:
    return Declassified(how, "because", **more)


G, WORDS = "generalise", Declassified("generalise", "because", to="words")


@pytest.mark.parametrize(
    ("to", "expression", "fine"),
    [
        ("year", "date_trunc('year', born)", True),
        ("year", "extract(year from born)", True),
        ("year", "year(born) - 1900", True),
        ("year", "date_part('year', born)", True),
        ("year", "date_trunc('decade', born)", True),
        ("year", "date_trunc('month', born)", False),
        ("year", "month(born) + 100 * year(born)", False),
        ("year", "year(born + to_days(1))", False),  # the day shifts: asked often, it tells the date
        ("year", "year(born)::varchar || born::varchar", False),
        ("month", "date_trunc('month', born)", True),
        ("month", "date_trunc('year', born)", True),
        ("month", "date_trunc('week', born)", False),
        ("month", "coalesce(date_trunc('quarter', born), current_date)", True),
        ("prefix(2)", "left(name, 2)", True),
        ("prefix(2)", "substr(name, 1, 1)", True),
        ("prefix(2)", "substring(name, 1, 2) || '…'", True),
        ("prefix(2)", "name[1:2]", True),
        ("prefix(2)", "name[:2]", False),
        ("prefix(2)", "left(name, 3)", False),
        ("prefix(2)", "left(name, -2)", False),
        ("prefix(2)", "substr(name, 2, 2)", False),
        ("prefix(2)", "left(reverse(name), 2)", False),
        ("prefix(2)", "left(name, branch)", False),
        ("prefix(2)", "left(left(name, 4), 2)", False),
        ("presence", "name is null", True),
        ("presence", "name is not null and wants", True),
        ("presence", "name = 'x'", False),
        ("words", "case when name like 'A%' then 'early' else 'late' end", True),
        ("words", "case name when 'A' then 1 end", True),
        ("words", "if(name > 'M', true, false)", True),
        ("words", "case when name like 'A%' then name end", False),
        ("words", "case when name < 'B' then 'a' end || case when name < 'C' then 'b' end", False),
        ("words", "name like 'A%'", False),
    ],
    ids=str,
)
def test_a_generalised_value_is_as_coarse_as_declared(to, expression, fine):
    sql = f"select _landed_at, {expression} as out from client"
    found = judge(sql, column("out", "system.operations", declassified=declared(G, to=to)))
    found = [finding for finding in found if "privacy" not in finding.message]
    if "wants" in expression:  # `wants` itself is not coarsened
        assert codes(sql, column("out", "user.privacy_preferences", declassified=declared(G, to=to))) == []
    else:
        assert [finding.code for finding in found] == ([] if fine else ["taint"])
        assert all("`declassified` does not hold" in finding.message for finding in found)


@pytest.mark.parametrize(
    ("to", "expression", "fine"),
    [
        ("bucket(10)", "amount - amount % 10", True),
        ("bucket(10)", "amount - (amount % 100)", True),
        ("bucket(10)", "amount // 10", True),
        ("bucket(10)", "floor(amount / 50) * 50", True),
        ("bucket(10)", "amount - amount % 5", False),
        ("bucket(10)", "amount % 10", False),
        ("bucket(10)", "(amount + 1) - (amount + 1) % 10", False),
        ("bucket(10)", "amount - other::integer % 10", False),
        ("bucket(10)", "floor(amount, 2)", False),
    ],
    ids=str,
)
def test_a_bucket_is_as_wide_as_declared(to, expression, fine):
    sql = f"select _landed_at, {expression} as out from move"
    assert codes(sql, column("out", "system.operations", declassified=declared(G, to=to))) == (
        [] if fine else ["taint"]
    )


HAVING = "group by shop having count(distinct _entity) >= 5"


@pytest.mark.parametrize(
    ("sql", "fine"),
    [
        (f"select sum(amount) as out from move {HAVING}", True),
        (f"select avg(amount) * 12 as out from move {HAVING}", True),
        ("select sum(amount) as out from move having count(distinct _entity) > 4", True),
        ("select sum(amount) as out from move group by shop having 5 <= count(distinct _entity) and shop > 'a'", True),
        ("select sum(amount) as out from move group by shop having (count(distinct _entity) = 7)", True),
        (
            "select sum(m.amount) as out from move m join client c on true group by 1 + 1 having count(distinct m._entity) >= 5",
            True,
        ),
        (
            (
                "with p as (select shop, _entity, sum(amount) as a from move group by all) "
                "select sum(a) as out from p group by shop having count(distinct _entity) >= 5"
            ),
            True,
        ),
        ("select sum(amount) as out from move group by shop", False),
        ("select sum(amount) as out from move group by shop having count(distinct _entity) >= 4", False),
        ("select sum(amount) as out from move group by shop having count(distinct _entity) <= 5", False),
        ("select sum(amount) as out from move group by shop having count(_entity) >= 5", False),
        ("select sum(amount) as out from move group by shop having count(distinct day) >= 5", False),
        ("select sum(amount) as out from move group by shop having count(distinct _entity) >= 5 or shop = 'x'", False),
        ("select sum(amount) as out from move group by shop having not count(distinct _entity) >= 5", False),
        (
            "select sum(amount) as out from move group by shop having count(distinct coalesce(_entity, shop)) >= 5",
            False,
        ),
        (f"select max(amount) as out from move {HAVING}", False),
        (f"select median(amount) as out from move {HAVING}", False),
        (f"select list(amount) as out from move {HAVING}", False),
        (f"select sum(case when shop = 'x' then amount end) as out from move {HAVING}", False),
        (f"select sum(amount) filter (where _entity < 'b') as out from move {HAVING}", False),
        (f"select sum(amount) + max(amount) as out from move {HAVING}", False),
        ("select amount as out from move group by amount having count(distinct _entity) >= 5", False),
        (
            "select sum(m.amount) as out from move m join client c on true group by m.shop having count(distinct c._entity) >= 5",
            False,
        ),
        (
            (
                "select sum(n.amount) as out from move m left join move n on n._entity = 'x' group by m.shop "
                "having count(distinct m._entity) >= 5"
            ),
            False,
        ),
        (
            (
                "with p as (select shop, _entity, case when _entity = 'x' then amount end as a from move) "
                "select sum(a) as out from p group by shop having count(distinct _entity) >= 5"
            ),
            False,
        ),
        (
            (
                "with p as (select shop, _entity, max(amount) over () as a from move) "
                "select sum(a) as out from p group by shop having count(distinct _entity) >= 5"
            ),
            False,
        ),
        (
            (
                "with p as (select shop, sum(amount) as a, max(_entity) as _entity from move group by shop, day) "
                "select sum(a) as out from p group by shop having count(distinct _entity) >= 5"
            ),
            False,
        ),
        (
            (
                "with p as (select shop, sum(amount) as a from move group by shop, _entity) "
                "select sum(a) as out from p group by shop having count(*) >= 5"
            ),
            False,
        ),
    ],
    ids=lambda value: str(value)[:120],
)
def test_an_aggregate_is_over_as_many_entities_as_declared(sql, fine):
    sql = sql.replace("select ", "select max(now()) as _landed_at, ", 1) if not sql.startswith("with") else sql
    sql = sql.replace("select sum(a)", "select max(now()) as _landed_at, sum(a)")
    out = column("out", "system.operations", declassified=declared("aggregate", min_entities=5))
    assert codes(sql, out) == ([] if fine else ["taint"])


def test_a_token_is_passed_on_whole():
    token = column("out", "user.unique_id.pseudonymous", declassified=declared("token"))
    assert codes("select _landed_at, upper(id) as out from client", token) == ["taint"]
    assert codes("select _landed_at, id__token as out from client", token) == ["declassified-unneeded"]


def test_a_declaration_that_lifts_nothing_is_told():
    out = column("out", "user.contact", declassified=WORDS)
    assert codes("select _landed_at, email as out from client", out) == ["declassified-unneeded"]


def test_a_model_that_cannot_be_followed_is_an_error():
    (finding,) = judge("select _landed_at, columns('e.*') from client", column("email", "user.contact.email"))
    assert (finding.code, finding.where) == ("lineage-unknown", "out.sql")


def test_a_table_that_is_no_input_is_an_error():
    (finding,) = judge("select _landed_at, x as out from staged_bank.secret", column("out", "user"))
    assert "`staged_bank.secret` is not among its inputs" in finding.message


ACCOUNT = EntityKey("account", surrogate="ref")
REF = column("ref", "user.unique_id.pseudonymous")


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select _landed_at, _entity, _entity as ref from move", []),
        ("select _landed_at, min(_entity) as _entity, any_value(_entity) as ref from move", []),
        ("select _landed_at, _entity as ref from move", ["model-column-missing"]),
        ("select _landed_at, _entity, _entity as ref from client", ["owner", "owner"]),
        ("select _landed_at, _entity_payee as _entity, _entity as ref from move", ["owner"]),
        ("select _landed_at, md5(_entity) as _entity, _entity as ref from move", ["owner"]),
        ("select _landed_at, account__token as _entity, _entity as ref from move", ["owner"]),
        ("select _landed_at, 'x' as _entity, _entity as ref from move", ["owner"]),
        ("select _landed_at, _entity, null as ref from move", ["owner"]),
        (
            "select m._landed_at, coalesce(m._entity, c._entity) as _entity, m._entity as ref from move m, client c",
            ["owner"],
        ),
        ("select now() as x, _entity, _entity as ref from move", ["model-column-missing"]),
    ],
    ids=lambda value: str(value)[:100],
)
def test_a_model_passes_on_whose_its_rows_are(sql, found):
    sql = sql if "_landed_at" in sql else sql.replace("now() as x", "_landed_at as x")
    assert codes(sql, REF, entity=ACCOUNT) == found


def test_a_role_is_of_its_own_type():
    roles = (Role("payee", "payee", "other"),)
    other = column("other", "user.financial.bank_account", role="payee")
    assert codes("select _landed_at, _entity_payee, other from move", other, roles=roles) == []
    assert codes("select _landed_at, _entity as _entity_payee, other from move", other, roles=roles) == ["owner"]
    assert codes("select _landed_at, other from move", other, roles=roles) == ["model-column-missing"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("email__token", []),
        ("coalesce(email__token, null)", []),
        ("id__token", ["owner"]),
        ("md5(email__token)", ["owner"]),
        ("_entity", ["owner"]),
        ("null", []),
    ],
)
def test_tokens_are_of_their_domain(expression, found):
    token = column("out", "user.unique_id.pseudonymous", token_of="user.contact.email", pseudonym_domain="bank.email")
    assert codes(f"select _landed_at, {expression} as out from client", token) == found


def test_a_column_of_a_domain_brings_its_tokens():
    email = column("email", "user.contact.email", canonical=("trim",), pseudonym_domain="bank.email")
    assert codes("select _landed_at, email from client", email) == ["model-column-missing"]
    assert codes("select _landed_at, email, email__token from client", email) == []


# ------------------------------------------------------------------ features
FEATURE = TableId(Tier.FEATURES, "bank", "signals")


def judge_feature(*columns: Column, made_of: tuple[str, ...] = (), checks: tuple[Check, ...] = ()) -> list[str]:
    table = Table(FEATURE, "signals", columns, (), inputs=(CLIENT.id, MOVE.id), made_of=made_of, checks=checks)
    project = Project(Path("/p"), (Contract("b", "bank", "1", (CLIENT, MOVE, table)),))
    return [finding.code for finding in taint.judge_feature(project, table, policy=POLICY)]


def test_without_a_word_a_feature_is_made_of_everything():
    assert judge_feature(column("x", "system.operations")) == ["taint"]
    assert judge_feature(column("x", "user.financial")) == ["taint"]  # of addresses too


@pytest.mark.parametrize(
    ("made_of", "category", "fine"),
    [
        (("shop",), "system.operations", True),
        (("move.shop", "day"), "system.operations", True),
        (("amount",), "system.operations", False),
        (("amount", "shop"), "user.financial", True),
        (("client.city",), "user.location", True),
        (("_entity",), "user.account", True),  # of both inputs
        (("_entity_payee",), "system.operations", False),
        (("email__token",), "system.operations", False),
    ],
    ids=str,
)
def test_a_feature_is_made_of_what_it_says(made_of, category, fine):
    expected = [] if fine else ["taint"]
    assert judge_feature(column("x", category, made_of=made_of)) == expected
    assert judge_feature(column("x", category), made_of=made_of) == expected


def test_of_a_function_only_a_few_words_can_be_known():
    flag = column("x", "system.operations", FLAG, made_of=("city",), declassified=WORDS)
    text = replace(flag, type=TEXT)
    listed = Check("enum_x", CheckKind.ROW, Rule.ENUM, ("x",), values=("a", "b"))
    assert judge_feature(flag) == []
    assert judge_feature(text) == ["taint"]
    assert judge_feature(text, checks=(listed,)) == []
    assert judge_feature(text, checks=(replace(listed, severity="warning"),)) == ["taint"]
    assert judge_feature(text, checks=(replace(listed, tolerance=0.1),)) == ["taint"]
    assert judge_feature(replace(flag, declassified=declared("aggregate", min_entities=5))) == ["taint"]
