"""Shapes of SQL with known answers: which columns of the inputs each column of a query comes from.

Every shape also runs on DuckDB, and is asked there what really has a say: a column of an input that the answer does not
name is changed, and the query must give the same (where nothing but values matters). sqlglot's own lineage must not know
of a column that ours does not.
"""

from __future__ import annotations

from functools import cache

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from lakehouse.model import TableId, Tier
from lakehouse.policy.flows import LineageError
from lakehouse.policy.lineage import Input, lineage

COLUMNS = {
    "client": {
        "_entity": "varchar",
        "ClientNo": "varchar",
        "email": "varchar",
        "name": "varchar",
        "born": "date",
        "score": "integer",
        "tags": "varchar[]",
    },
    "account": {
        "_entity": "varchar",
        "account_no": "varchar",
        "owner": "varchar",
        "amount": "integer",
        "note": "varchar",
    },
}
INPUTS = {
    f"staged_bank.{name}": Input(TableId(Tier.STAGED, "bank", name), tuple(columns))
    for name, columns in COLUMNS.items()
}
C, A = "staged_bank.client", "staged_bank.account"

#: name -> (query, column -> inputs' columns, `c.` of client and `a.` of account)
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "plain": (f"select email as note from {C}", {"note": "c.email"}),
    "literal": (
        f"select 'x' as note, 1 + 1 as n, null as z, current_date as d from {C}",
        {"note": "", "n": "", "z": "", "d": ""},
    ),
    "two_columns": (f"select email || ' ' || name as note from {C}", {"note": "c.email c.name"}),
    "concat_function": (f"select concat_ws('-', email, score::varchar) as note from {C}", {"note": "c.email c.score"}),
    "any_case": (
        "select EMAIL as Note, clientno as x from Staged_Bank.Client",
        {"note": "c.email", "x": "c.ClientNo"},
    ),
    "quoted": (f'select "email" as "Note", "ClientNo" from {C}', {"note": "c.email", "clientno": "c.ClientNo"}),
    "database_named": (f"select memory.{C}.email as note from memory.{C}", {"note": "c.email"}),
    "star": (
        f"select * from {A}",
        {
            "_entity": "a._entity",
            "account_no": "a.account_no",
            "owner": "a.owner",
            "amount": "a.amount",
            "note": "a.note",
        },
    ),
    "star_of_alias": (
        f"select a.*, c.email from {A} as a join {C} as c on a.owner = c.clientno",
        {
            "_entity": "a._entity",
            "account_no": "a.account_no",
            "owner": "a.owner",
            "amount": "a.amount",
            "note": "a.note",
            "email": "c.email",
        },
    ),
    "star_exclude": (
        f"select * exclude (_entity, owner, note) from {A}",
        {"account_no": "a.account_no", "amount": "a.amount"},
    ),
    "star_replace": (
        f"select * exclude (_entity, owner, account_no) replace (note || amount::varchar as note) from {A}",
        {"amount": "a.amount", "note": "a.note a.amount"},
    ),
    "star_rename": (
        f"select * exclude (_entity, owner, account_no, amount) rename (note as said) from {A}",
        {"said": "a.note"},
    ),
    "from_first": (f"from {A} select note", {"note": "a.note"}),
    "inner_join": (
        f"select c.email, a.amount from {C} c join {A} a on c.clientno = a.owner",
        {"email": "c.email", "amount": "a.amount"},
    ),
    "left_join_coalesce": (
        f"select coalesce(a.note, c.name) as said from {C} c left join {A} a on c.clientno = a.owner",
        {"said": "a.note c.name"},
    ),
    "join_using": (
        f"select _entity, name from {C} join {A} using (_entity)",
        {"_entity": "c._entity a._entity", "name": "c.name"},
    ),
    "natural_join": (
        f"select _entity, name from {C} natural join {A}",
        {"_entity": "c._entity a._entity", "name": "c.name"},
    ),
    "joined_in_parentheses": (
        f"select x.name, y.note from ({C} x join {A} y on x.clientno = y.owner)",
        {"name": "c.name", "note": "a.note"},
    ),
    "semi_join": (f"select name from {C} semi join {A} on {C}.clientno = {A}.owner", {"name": "c.name"}),
    "self_join": (
        f"select x.name as mine, y.email as other from {C} x join {C} y on x.score = y.score",
        {"mine": "c.name", "other": "c.email"},
    ),
    "derived_table": (f"select k from (select email as k from {C}) as s", {"k": "c.email"}),
    "derived_column_names": (f"select k from (select email, name from {C}) as s(k, l)", {"k": "c.email"}),
    "cte": (f"with stg as (select email as e from {C}) select e as note from stg", {"note": "c.email"}),
    "cte_of_cte": (
        f"with a as (select email e, name n from {C}), b as (select e || n as pair, n from a) select pair, n from b",
        {"pair": "c.email c.name", "n": "c.name"},
    ),
    "cte_column_names": (f"with s(k) as (select email from {C}) select k from s", {"k": "c.email"}),
    "cte_hides_a_table": (
        f"with client as (select name as email from {C}) select email from client",
        {"email": "c.name"},
    ),
    "nested_with": (
        f"with s as (select email as k from {C}) select k from (with s as (select name as k from {C}) select k from s) t",
        {"k": "c.name"},
    ),
    "recursive": (
        (
            f"with recursive t as (select name as k, 1 as depth from {C} union all "
            f"select t.k || a.note, t.depth + 1 from t join {A} a on true where t.depth < 2) select k, depth from t"
        ),
        {"k": "c.name a.note", "depth": ""},
    ),
    "union_by_place": (
        f"select email as x, name as y from {C} union all select note, owner from {A}",
        {"x": "c.email a.note", "y": "c.name a.owner"},
    ),
    "union_by_name": (
        f"select email as x, name as y from {C} union all by name select note as y, owner as x from {A}",
        {"x": "c.email a.owner", "y": "c.name a.note"},
    ),
    "union_by_name_more": (
        f"select email as x from {C} union by name select note as y from {A}",
        {"x": "c.email", "y": "a.note"},
    ),
    "except": (f"select email from {C} except select note from {A}", {"email": "c.email a.note"}),
    "intersect": (f"select email from {C} intersect select note from {A}", {"email": "c.email a.note"}),
    "union_in_parentheses": (
        f"(select email as x from {C}) union (select note from {A}) order by 1",
        {"x": "c.email a.note"},
    ),
    "aggregate": (
        f"select count(*) as n, count(email) as m, max(born) as b from {C}",
        {"n": "", "m": "c.email", "b": "c.born"},
    ),
    "group_by_ordinal": (f"select upper(name) as k, count(*) as n from {C} group by 1", {"k": "c.name", "n": ""}),
    "group_by_all": (f"select name as k, sum(score) as s from {C} group by all", {"k": "c.name", "s": "c.score"}),
    "aggregate_filter": (
        f"select sum(amount) filter (where note like 'x%') as s from {A}",
        {"s": "a.amount a.note"},
    ),
    "ordered_aggregate": (f"select string_agg(name, ',' order by born) as s from {C}", {"s": "c.name c.born"}),
    "arg_max": (f"select arg_max(email, score) as e from {C}", {"e": "c.email c.score"}),
    "distinct_count": (f"select count(distinct email) as n from {C}", {"n": "c.email"}),
    "having": (
        f"select name, sum(score) as s from {C} group by name having max(email) > 'a'",
        {"name": "c.name", "s": "c.score"},
    ),
    "case": (
        f"select case when email like 'a%' then name else 'other' end as k from {C}",
        {"k": "c.email c.name"},
    ),
    "case_of_value": (f"select case email when 'a' then 1 else 2 end as k from {C}", {"k": "c.email"}),
    "if_function": (f"select if(score > 3, name, 'x') as k from {C}", {"k": "c.score c.name"}),
    "nullif": (f"select nullif(name, email) as k from {C}", {"k": "c.name c.email"}),
    "window": (
        f"select sum(score) over (partition by name order by born) as s, row_number() over (order by score) as r from {C}",
        {"s": "c.score c.born", "r": "c.score"},
    ),
    "named_window": (
        f"select lag(email) over w as before from {C} window w as (order by born)",
        {"before": "c.email c.born"},
    ),
    "qualify": (f"select name from {C} qualify row_number() over (order by score) = 1", {"name": "c.name"}),
    "alias_used_later": (
        f"select email as e, e || 'x' as f, f || name as g from {C}",
        {"e": "c.email", "f": "c.email", "g": "c.email c.name"},
    ),
    "alias_like_a_column": (f"select name as email, email as z from {C}", {"email": "c.name", "z": "c.email"}),
    "scalar_subquery": (
        f"select (select max(amount) from {A}) as top, name from {C}",
        {"top": "a.amount", "name": "c.name"},
    ),
    "correlated_subquery": (
        f"select (select max(a.amount) from {A} a where a.owner = c.clientno) as top from {C} c",
        {"top": "a.amount a.owner c.ClientNo"},
    ),
    "subquery_of_literals": (
        f"select (select 'rich' where c.score > 3) as k from {C} c",
        {"k": "c.score"},
    ),
    "exists": (f"select exists(select 1 from {A} a where a.note = c.email) as k from {C} c", {"k": "a.note c.email"}),
    "in_subquery": (
        f"select name in (select note from {A} where amount > 1) as k from {C}",
        {"k": "c.name a.note a.amount"},
    ),
    "subquery_that_takes_the_first": (
        f"select (select 'x' from {A} order by lower(note), amount limit 1) as k from {C}",
        {"k": "a.note a.amount"},
    ),
    "nested_correlation": (
        f"select (select max(x.e) from (select c.email || a.note as e from {A} a) x) as k from {C} c",
        {"k": "c.email a.note"},
    ),
    "lateral_subquery": (f"select x.v from {C} c, lateral (select c.email || c.name as v) x", {"v": "c.email c.name"}),
    "lateral_of_a_table": (
        f"select x.s from {C} c, lateral (select sum(a.amount) as s from {A} a where a.owner = c.clientno) x",
        {"s": "a.amount"},
    ),
    "unnest_in_from": (f"select u.t from {C} c, unnest(c.tags) as u(t)", {"t": "c.tags"}),
    "unnest_in_select": (f"select unnest(tags) as t, name from {C}", {"t": "c.tags", "name": "c.name"}),
    "values": ("select v.b from (values (1, 'x'), (2, 'y')) as v(a, b)", {"b": ""}),
    "values_joined": (
        f"select v.label, c.name from {C} c join (values (1, 'low'), (2, 'high')) as v(k, label) on c.score = v.k",
        {"label": "", "name": "c.name"},
    ),
    "series": (f"select r.i, c.name from {C} c, range(3) as r(i)", {"i": "", "name": "c.name"}),
    "struct": (f"select s.k.l as v from (select {{'k': {{'l': email}}, 'm': 1}} as s from {C}) t", {"v": "c.email"}),
    "struct_function": (
        f"select struct_extract(s, 'k') as v from (select struct_pack(k := email, m := name) as s from {C}) t",
        {"v": "c.email c.name"},
    ),
    "list_and_map": (
        f"select [email, name] as l, map {{'k': email}} as m, tags[1] as t from {C}",
        {"l": "c.email c.name", "m": "c.email", "t": "c.tags"},
    ),
    "lambda": (
        f"select list_transform(tags, lambda x: x || email) as l, [t || 'y' for t in tags if t > name] as m from {C}",
        {"l": "c.tags c.email", "m": "c.tags c.name"},
    ),
    "whole_row": (
        f"select to_json(a) as j, a as r from {A} a",
        {
            "j": "a._entity a.account_no a.owner a.amount a.note",
            "r": "a._entity a.account_no a.owner a.amount a.note",
        },
    ),
    "casts_and_tests": (
        (
            f"select try_cast(name as integer) a, name is null b, name between 'a' and email c, name like 'x' d, not (score > 1) e, "
            f"name ~ 'x' f, date_trunc('year', born) g, extract(month from born) h, -score i, born at time zone 'UTC' j from {C}"
        ),
        {
            "a": "c.name",
            "b": "c.name",
            "c": "c.name c.email",
            "d": "c.name",
            "e": "c.score",
            "f": "c.name",
            "g": "c.born",
            "h": "c.born",
            "i": "c.score",
            "j": "c.born",
        },
    ),
    "where_decides_on_rows_only": (
        f"select name from {C} where email like 'a%' order by born limit 3",
        {"name": "c.name"},
    ),
    "distinct_on": (
        f"select distinct on (name) name, email from {C} order by name, score",
        {"name": "c.name", "email": "c.email"},
    ),
    "positional_join": (
        f"select c.name, a.note from {C} c positional join {A} a",
        {"name": "c.name", "note": "a.note"},
    ),
    "a_name_that_stands_twice": (
        f"select x.note from (select c.name as note, a.note from {C} c join {A} a on true) x",
        {"note": "c.name a.note"},
    ),
}
#: Where which rows there are, or their order, may change what a value is without being an input of it.
ROWS_DECIDE = {
    *(
        "inner_join",
        "left_join_coalesce",
        "join_using",
        "natural_join",
        "joined_in_parentheses",
        "semi_join",
        "self_join",
    ),
    *("star_of_alias", "having", "window", "qualify", "where_decides_on_rows_only", "distinct_on", "values_joined"),
    *("lateral_of_a_table", "group_by_ordinal", "group_by_all", "positional_join", "unnest_in_select"),
}
#: DuckDB itself takes the name to be ambiguous, or refuses the shape; it stays here because it must not drop anything.
NOT_RUN = {"a_name_that_stands_twice"}


def expected(leaves: str) -> set[str]:
    return {f"staged.bank.{ {'c': 'client', 'a': 'account'}[leaf[0]] }.{leaf[2:]}" for leaf in leaves.split()}


def found(sql: str) -> dict[str, set[str]]:
    return {name: {str(trace.leaf) for trace in traces} for name, traces in lineage(sql, INPUTS).items()}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_column_has_its_inputs(name):
    sql, answer = SHAPES[name]
    assert found(sql) == {column: expected(leaves) for column, leaves in answer.items()}


def rows(changed: tuple[str, str] | None = None) -> dict[str, list[tuple]]:
    """The inputs' rows, one column of one of them changed into other values."""
    made = {
        "client": [
            (f"{i:032x}", f"k{i}", f"{'ab'[i % 2]}{i}@x", f"n{i % 3}", f"19{60 + i}-0{1 + i}-02", i, [f"t{i}", "z"])
            for i in range(6)
        ],
        "account": [(f"{i + 3:032x}", f"a{i}", f"k{i % 4}", i * 10, f"{'xn'[i % 2]}{i % 3}") for i in range(6)],
    }
    if changed:
        table, column = changed
        place = list(COLUMNS[table]).index(column)
        made[table] = [
            tuple(other(cell) if at == place else cell for at, cell in enumerate(row)) for row in made[table]
        ]
    return made


def other(cell):
    if isinstance(cell, int):
        return cell + 1000
    if isinstance(cell, list):
        return ["other", *cell]
    return f"18{cell[2:]}" if cell[4:5] == "-" else f"q{cell}"


@cache
def database(changed: tuple[str, str] | None = None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema staged_bank")
    for table, content in rows(changed).items():
        described = ", ".join(f'"{name}" {type_}' for name, type_ in COLUMNS[table].items())
        connection.execute(f"create table staged_bank.{table} ({described})")
        marks = ", ".join("?" * len(COLUMNS[table]))
        connection.executemany(f"insert into staged_bank.{table} values ({marks})", content)
    return connection


def run(sql: str, changed: tuple[str, str] | None = None) -> dict[str, list[str]]:
    result = database(changed).sql(sql)
    cells = result.fetchall()
    columns = zip(*cells, strict=True) if cells else [()] * len(result.columns)
    return {name.casefold(): sorted(map(repr, column)) for name, column in zip(result.columns, columns, strict=True)}


@pytest.mark.parametrize("name", sorted(set(SHAPES) - NOT_RUN))
def test_what_is_not_named_has_no_say(name):
    sql, answer = SHAPES[name]
    before = run(sql)
    assert set(before) == set(answer)
    if name in ROWS_DECIDE:
        return
    for table, columns in COLUMNS.items():
        for column in columns:
            after = run(sql, (table, column))
            said = {each for each in before if before[each] != after.get(each)}
            named = {each for each, leaves in answer.items() if f"{table[0]}.{column}" in leaves.split()}
            assert said <= named, f"{table}.{column} has a say in {sorted(said - named)}"


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_library_knows_of_nothing_more(name):
    from sqlglot.lineage import lineage as theirs
    from sqlglot.optimizer.qualify import qualify

    sql, answer = SHAPES[name]
    schema = {"staged_bank": COLUMNS}
    tree = qualify(sqlglot.parse_one(sql, read="duckdb"), schema=schema, dialect="duckdb", quote_identifiers=False)
    if name in {"union_by_name", "union_by_name_more"}:
        pytest.skip("sqlglot takes UNION BY NAME by place")
    for column in tree.named_selects:
        leaves = {
            f"{node.source.name}.{node.name.rpartition('.')[2].strip(chr(34))}".casefold()
            for node in theirs(column, tree.copy(), schema=schema, dialect="duckdb").walk()
            if isinstance(node.source, exp.Table) and not node.downstream
        }
        known = {leaf.removeprefix("staged.bank.").casefold() for leaf in expected(answer[column.casefold()])}
        # it takes partitions and, in LATERAL, conditions for inputs of the value
        deciding = {"window": {"client.name"}, "lateral_of_a_table": {"account.owner", "client.clientno"}}.get(
            name, set()
        )
        assert {leaf for leaf in leaves if leaf.split(".")[0] in COLUMNS} <= known | deciding


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (f"select columns('e.*') from {C}", "pattern"),
        (f"select * like 'e%' from {C}", "`*`"),
        (f"select #3 as x from {C}", "place"),
        (f"select email.upper() as x from {C}", "`email` cannot be resolved"),
        (f"pivot {A} on note using sum(amount)", "not one query"),
        (f"select * from {A} pivot (sum(amount) for note in ('a', 'b'))", "PIVOT"),
        (f"select * from (unpivot {A} on amount into name k value v)", ""),
        ("select * from read_parquet('x')", "table function"),
        ("select * from query('select 1')", "table function"),
        ("select email from staged_bank.other", "not among its inputs"),
        ("select email from client", "not among its inputs"),
        ("select nope from staged_bank.client", "`nope`"),
        (f"select note from {A}; select email from {C}", "not one query"),
        (f"insert into {A} select * from {A}", "not one query"),
        ("select from where", ""),
        (f"select getvariable('x') || ? as x from {C}", "placeholder"),
        (f"select $x as x from {C}", ""),
        (f"summarize {C}", "not one query"),
        (f"select max(email) over v as x from {C} window w as (order by name), v as (w partition by score)", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_followed_is_refused(sql, reason):
    with pytest.raises(LineageError) as caught:
        lineage(sql, INPUTS)
    assert reason in str(caught.value)


def test_the_path_names_the_queries_in_between():
    sql = f"with stg as (select email as e from {C}), two as (select e from stg) select e as note from two"
    (trace,) = lineage(sql, INPUTS)["note"]
    assert (str(trace.leaf), trace.via) == ("staged.bank.client.email", ("stg.e", "two.e"))


def test_a_query_that_names_itself_over_and_over_ends():
    sql = (
        f"with recursive t as (select name as a, email as b, score::varchar as c from {C} union all "
        "select b, c, a || 'x' from t where a is not null) select a, b, c from t"
    )
    both = expected("c.name c.email c.score")
    assert found(sql) == {"a": both, "b": both, "c": both}
