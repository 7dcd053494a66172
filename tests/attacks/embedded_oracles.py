"""Queries that are let run and would tell of hidden rows or values if anything of theirs were computed on them.

Hidden rows hold notes that are no numbers, amounts that have no root, and dates of 1777; see `embedded_lake`.
"""

from __future__ import annotations

V = "claims_claim"
#: Expressions over `claims_claim` that fail, or come out otherwise, on hidden rows only.
FALLIBLE = {
    "cast": "cast(note as int) > 0",
    "cast_short": "note::tinyint is not null",
    "implicit_cast": "note > 0",
    "cast_to_date": "cast(concat('2024-01-', right(concat('0', least(note::int, 28)::varchar), 2)) as date) is not null",
    "logarithm": "ln(amount) >= 0",
    "square_root": "sqrt(amount) > 0",
    "overflow": "cast(amount * 10 as int) * 2 > 0",
    "small_type": "cast(amount as tinyint) > 0",
    "date_parts": "make_date(2024, 1, cast(note as int) % 28 + 1) is not null",
    "date_overflow": "day + to_days(cast(note as int)) > date '1900-01-01'",
    "pattern": "regexp_matches('x', concat('(', note, ')'))",
    "pattern_of_note": "regexp_matches(note, '^z')",
    "date_format": "strptime(concat('2024-', note), '%Y-%d') is not null or true",
    "division": "100 / (cast(note as int) + 0) > 0",
    "deep": "case when length(note) < 3 then cast(note as int) else cast(note as int) end > 0",
    "age": "extract(year from day) < 1950",
    "marker": "note like '%zqxj%'",
    "length": "length(note) > 4",
    "negative": "amount < 0",
    "masked_marker": "email like '%zqxj%' or diagnosis is not null",
    "masked_cast": "cast(right(email, 4) as int) > 0",
}
#: Where an expression can stand.
POSITIONS = {
    "select": "select claim_id, {e} as x from {v}",
    "where": "select claim_id from {v} where {e}",
    "where_and": "select claim_id from {v} where region <> 'UK' and {e}",
    "where_or": "select claim_id from {v} where region = 'UK' or {e}",
    "not": "select count(*) from {v} where not ({e})",
    "group_by": "select {e} as x, count(*) from {v} group by 1",
    "having": "select region, count(*) from {v} group by region having bool_or({e})",
    "order_by": "select claim_id from {v} order by {e}, claim_id limit 5",
    "aggregate": "select count_if({e}), bool_and({e}) from {v}",
    "filter": "select count(*) filter (where {e}) from {v}",
    "qualify": "select claim_id from {v} qualify row_number() over (partition by {e} order by claim_id) = 1",
    "window": "select max(claim_id) over (partition by {e}) as m from {v}",
    "with": "with q as (select * from {v} where {e}) select count(*) from q",
    "with_materialized": "with q as materialized (select *, {e} as x from {v}) select count(*) from q where x",
    "subquery": "select count(*) from (select * from {v}) q where {e}",
    "in_subquery": "select count(*) from {v} where claim_id in (select claim_id from {v} where {e})",
    "exists": "select count(*) from {v} a where exists (select 1 from {v} where {e} and claim_id = a.claim_id)",
    "scalar_subquery": "select (select count(*) from {v} where {e})",
    "join_on": "select count(*) from claims_party p join {v} on p.party_id = claim_id and {e}",
    "left_join": "select count(*) from claims_party p left join {v} on p.party_id = claim_id and {e}",
    "join_then_where": "select count(*) from {v} join claims_party on party_id = claim_id where {e}",
    "lateral": "select count(*) from {v}, lateral (select {e} as x) q where q.x",
    "union": "select claim_id from {v} where {e} union all select party_id from claims_party",
    "except": "select claim_id from {v} except select claim_id from {v} where {e}",
    "distinct": "select distinct {e} as x from {v}",
    "limit": "select claim_id from {v} where {e} order by claim_id limit (select count(*) from {v})",
    "case": "select sum(case when {e} then 1 else 0 end) from {v}",
}
#: Expressions that are tried in every position, and positions that every expression is tried in.
EVERYWHERE = ("cast", "logarithm", "small_type", "marker")
USUAL = ("select", "where", "in_subquery", "join_on")
#: Whole queries.
QUERIES = {
    "everything": f"select * from {V}",
    "everything_of_parties": "select * from claims_party",
    "counts": f"select count(*), count(distinct note), count(distinct email), count(distinct diagnosis) from {V}",
    "extremes": f"select min(note), max(note), min(amount), max(amount), min(day), max(day), min(email), max(email) from {V}",
    "extremes_of_masked": "select min(name), max(name), min(salary), max(salary), min(born), max(born) from claims_party",
    "sums": f"select sum(amount), avg(amount), round(stddev(amount), 6), median(amount), mode(claim_id * 0) from {V}",
    "approximate": f"select approx_count_distinct(claim_id) > 900, approx_quantile(amount, 0.5) > 0 from {V}",
    "whole_text": f"select string_agg(note, ',' order by claim_id) from {V}",
    "self_join": f"select count(*) from {V} a join {V} b on a.note = b.note and a.claim_id < b.claim_id",
    "more_than_one_row": f"select (select note from {V} where region = 'UK')",
    "more_than_one_row_correlated": f"select count(*) from {V} a where note = (select note from {V} b where b.claim_id = a.claim_id)",
    "group_everything": f"select region, count(*) from {V} group by all order by all",
    "grouping_sets": f"select region, note, count(*) from {V} group by cube (region, note)",
    "windows": f"select claim_id, lag(note) over (order by claim_id), lead(note) over (order by claim_id) from {V}",
    "ranks": f"select claim_id, row_number() over (order by claim_id), ntile(7) over (order by claim_id) from {V}",
    "hidden_key": f"select note from {V} where claim_id = 1",
    "hidden_keys": f"select count(*) from {V} where claim_id in (1, 2, 4, 5, 7)",
    "hidden_region": f"select count(*) from {V} where region = 'UK'",
    "not_hidden_region": f"select count(*) from {V} where region not in ('EU')",
    "null_of_masked": f"select count(*) from {V} where diagnosis is null",
    "old_parties": "select count(*) from claims_party where born < date '1800-06-01'",
    "old_dates": f"select count(*) from {V} where day < date '1950-01-01'",
    "big_amounts": f"select count(*) from {V} where amount between -918273645 and -918273645",
    "asof": f"select a.claim_id, b.claim_id from {V} a asof join {V} b on a.claim_id > b.claim_id",
    "anti_join": f"select party_id from claims_party anti join {V} on party_id = claim_id",
    "full_join": f"select count(*) from {V} full join claims_party on party_id = claim_id",
    "row_struct": f"select count(*) from {V} where {V} is not null",
    "file_columns": f"select filename from {V}",
    "file_rows": f"select file_row_number from {V}",
    "file_index": f"select file_index from {V}",
    "file_virtual_star": f"select {V}.file_row_number from {V}",
    "base_alias": f"select t.note from {V}",
    "base_column": f"select given from {V}",
    "inner_alias": f"select visible.note from {V}",
    "hidden_sort": f"select note from {V} order by note limit 1",
    "hidden_sort_desc": f"select note from {V} order by note desc limit 1",
    "limit_zero": f"select cast(note as int) from {V} limit 0",
    "offset_past_the_end": f"select note from {V} order by claim_id offset 499",
    "digest": f"select md5(string_agg(note, '' order by claim_id)) from {V}",
    "digest_of_masked": "select md5(name), sha256(name), count(*) from claims_party group by all",
    "undo_mask": "select salary + 918273645 - 918273645 as x from claims_party where salary <> 0",
    "reverse_mask": f"select reverse(email) as x from {V} where left(reverse(email), 1) <> 't'",
    "quoted_everything": f'select "c"."NOTE" as "a b" from "serve"."fraud"."{V}" as "c" where "c"."claim_id" < 9',
    "comments": f"select /* x */ note -- y\nfrom {V}",
    "text_of_text": f"select '{V}' as x, 'select * from {V}' as y",
}
ORACLES = {
    **{
        f"{what}-in-{where}": sql.format(e=e, v=V)
        for what, e in FALLIBLE.items()
        for where, sql in POSITIONS.items()
        if what in EVERYWHERE or where in USUAL
    },
    **{f"query-{name}": sql for name, sql in QUERIES.items()},
}
