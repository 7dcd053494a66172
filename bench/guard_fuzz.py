"""Queries drawn from a grammar, sound and broken, against the embedded engine: nothing hidden, nothing written, no surprise.

    bench/guard_fuzz.py [SECONDS] [SEED]      default 600 seconds

Each query runs on a lake with hidden rows and values, and on one in which just the hidden values are others, harmless ones:
the outcomes must be equal, answers, errors and all. A third lake holds what may be seen and nothing else: what both answer
must be equal too. (Whether a query answers or fails may differ there: over fewer rows the engine plans otherwise, and may
come upon an error first, or not at all.) Failures must be errors of ours. Prints one line per finding and exits 1 when there
is one.
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lakehouse.errors import LakehouseError
from lakehouse.serving.session import Limits
from tests.attacks import embedded_lake
from tests.attacks.embedded_attempts import REFUSED

HOSTILE = [
    *("read_parquet('{file}')", "'{file}'", "duckdb_views()", "duckdb_settings()", "information_schema.tables"),
    *("base.curated_claims_claim", "query('select 1')", "range(3)", "(describe claims_claim)", "planted", "_with0"),
]  # fmt: skip
#: What can be written of a kind of value, in terms of others: number, text, date, truth.
KINDS: dict[str, list[str]] = {
    "n": [
        "claim_id",
        "amount",
        "party_id",
        "salary",
        "0",
        "1",
        "-1",
        "5",
        "0.5",
        "null",
        "({n} + {n})",
        "({n} * {n})",
        "({n} - {n})",
        "({n} / {n})",
        "({n} % {n})",
        "({n} // {n})",
        "cast({t} as int)",
        "try_cast({t} as int)",
        "{t}::tinyint",
        "cast({n} as tinyint)",
        "length({t})",
        "ln({n})",
        "sqrt({n})",
        "year({d})",
        "round({n}, 2)",
        "coalesce({n}, {n})",
        "date_diff('day', {d}, {d})",
        "(select {n} from claims_party limit 1)",
        "case when {b} then {n} end",
        "mod({n}, {n})",
        "levenshtein({t}, {t})",
        "greatest({n}, {n})",
        "strpos({t}, {t})",
        "abs({n})",
    ],
    "t": [
        "note",
        "email",
        "diagnosis",
        "region",
        "name",
        "city",
        "'x'",
        "'5'",
        "''",
        "null",
        "({t} || {t})",
        "upper({t})",
        "left({t}, {n}::int)",
        "replace({t}, 'a', 'b')",
        "regexp_extract({t}, {t})",
        "cast({n} as varchar)",
        "md5({t})",
        "substring({t}, 2)",
        "concat({t}, {n})",
        "split_part({t}, ' ', 1)",
        "strftime({d}, '%Y')",
        "reverse({t})",
        "lpad({t}, 9, '-')",
        "trim({t})",
    ],
    "d": [
        "day",
        "born",
        "date '2024-03-01'",
        "cast({t} as date)",
        "try_cast({t} as date)",
        "({d} + interval 1 day)",
        "null",
        "date_trunc('month', {d})",
        "make_date(2024, {n}::int, 1)",
        "strptime({t}, '%Y-%m-%d')",
        "last_day({d})",
        "current_date",
        "({d} + to_days({n}::int))",
    ],
    "b": [
        "({n} > {n})",
        "({n} = {n})",
        "({t} = {t})",
        "({t} < {t})",
        "({d} < {d})",
        "({b} and {b})",
        "({b} or {b})",
        "not {b}",
        "{t} is null",
        "{n} is not null",
        "{t} like 'z%'",
        "{t} like {t}",
        "regexp_matches({t}, {t})",
        "{n} between {n} and {n}",
        "{n} in (1, 2, {n})",
        "claim_id in (select claim_id from claims_claim where {b})",
        "contains({t}, {t})",
        "true",
        "{t}",
        "exists (select 1 from claims_party where {b})",
        "{n} is distinct from {n}",
        "starts_with({t}, 'z')",
        "{t} > {n}",
    ],
}
FORBIDDEN = [
    "stats({n})",
    "getenv('x')",
    "error({t})",
    "repeat({t}, 9)",
    "read_text({t})",
    "{t}::json",
    "list({n})",
    "columns('n')",
]
AGGREGATES = [
    "count(*)",
    "sum({n})",
    "min({t})",
    "max({n})",
    "min({d})",
    "bool_or({b})",
    "count(distinct {t})",
    "max({t})",
]
AGGREGATES += [
    "count_if({b})",
    "sum({n}) filter (where {b})",
    "bit_xor({n}::int)",
    "approx_count_distinct({n})",
]
SIGNS = [*"()'\";,.*-/=<>[]{}$?:@#\\\n\t\0", "--", "/*", "*/", "\u200b", "é", " select ", " from ", " union ", " with "]


class Grammar:
    """Draws one query."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.budget = 14

    def query(self, depth: int = 0) -> str:
        if self.draw.random() < 0.3:
            columns, where = self.draw.choice(AGGREGATES), self.maybe(" where {b}", 0.6)
            tail = self.maybe(" having {b}", 0.05)
            if self.draw.random() < 0.4:
                columns, tail = "{t} as g, " + columns, f" group by g{tail}"
        else:
            columns = ", ".join("{" + self.draw.choice("nntdb") + "}" for _ in range(self.draw.randint(1, 3)))
            where, tail = self.maybe(" where {b}", 0.7), self.maybe(" order by {n}", 0.2) + self.maybe(" limit 0", 0.03)
        text = f"select {self.maybe('distinct ', 0.1)}{columns} from {self.source()}{where}{tail}"
        if depth == 0 and self.draw.random() < 0.1:
            text += f" {self.draw.choice(['union', 'union all', 'except', 'intersect'])} {text}"
        if depth == 0 and self.draw.random() < 0.15:
            text = f"with {self.draw.choice(['q', 'r', 'claims_party'])} as (select * from claims_claim where {{b}}) {text}"
        return self.filled(text) if depth == 0 else text

    def source(self) -> str:
        roll = self.draw.random()
        if roll < 0.03:
            return self.draw.choice(HOSTILE)
        if roll < 0.05:
            return "claims_claim" + self.maybe(" tablesample 10%", 0.2)
        kind = self.draw.choice(
            ["join", "left join", "left join", "right join", "full join", "semi join", "positional join"]
        )
        inner = "claims_claim" if self.draw.random() < 0.6 else "(select * from claims_claim where {b}) c"
        return f"{inner} {kind} claims_party on party_id = claim_id{self.maybe(' and {b}', 0.4)}"

    def filled(self, text: str) -> str:
        """Every `{kind}` replaced by something of the kind, smaller and smaller."""
        while (at := text.find("{")) >= 0 and text[at + 2 : at + 3] == "}":
            self.budget -= 1
            choices = FORBIDDEN if self.draw.random() < 0.01 else KINDS[text[at + 1]]
            text = text[:at] + (self.draw.choice(choices) if self.budget > 0 else choices[0]) + text[at + 3 :]
            if self.budget < -60:
                return text.replace("{n}", "1").replace("{t}", "'x'").replace("{d}", "day").replace("{b}", "true")
        return text

    def maybe(self, text: str, odds: float) -> str:
        return text if self.draw.random() < odds else ""


def broken(draw: random.Random, text: str) -> str:
    """The text with a few characters or words changed."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(text) + 1)
        cut = draw.randint(0, 6)
        text = text[:at] + draw.choice([*SIGNS, "", draw.choice(HOSTILE)]) + text[at + cut :]
    return text


#: Words of queries that answer otherwise each time, or by the order that rows come in.
UNSTEADY = (
    "any_value",
    "arbitrary",
    "first",
    "last",
    "mode",
    "string_agg",
    "listagg",
    "arg_m",
    "_by(",
    "now(",
    "current_t",
)
UNORDERED = (
    "limit",
    "row_number",
    "lag",
    "lead",
    "ntile",
    "nth_value",
    "over",
    "distinct on",
    "quantile",
    "asof",
    "qualify",
)
FLOATING = (
    "stddev",
    "var",
    "corr",
    "covar",
    "regr",
    "kurt",
    "skew",
    "avg",
    "mean",
    "entropy",
    "geomean",
    "product",
    "median",
)


def outcome(session, sql: str) -> tuple[str, object]:
    try:
        table = session.run(sql)
    except LakehouseError as error:
        return "failed", (type(error).__name__, str(error))
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return "answered", sorted(map(repr, rows))


def steady(sql: str) -> bool:
    """Whether the same rows give the same answer, whatever order they come in."""
    lowered = sql.lower()
    return not any(word in lowered for word in (*UNSTEADY, *UNORDERED, *FLOATING, "e300", "approx"))


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    draw, found, counts = random.Random(seed), 0, collections.Counter()
    planted = [embedded_lake.MARK]
    assert planted
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(seconds=2, memory=400 * 1024**2, rows=20_000, threads=1)
        site = embedded_lake.make(Path(folder) / "lake", limits=limits)
        other = embedded_lake.make(Path(folder) / "other", limits=limits, harmless=True)
        before, until = embedded_lake.left_files(site.folder), time.monotonic() + seconds
        seeds = [sql for sql in REFUSED.values() if len(sql) < 2000]
        while time.monotonic() < until:
            roll = draw.random()
            sql = draw.choice(seeds) if roll < 0.1 else Grammar(draw).query()
            sql = (
                (broken(draw, sql) if roll < 0.3 else sql).replace("{file}", site.files[0]).replace("{folder}", folder)
            )
            found += judge(site, other, sql, counts)
            if sum(counts.values()) % 200 == 0 and embedded_lake.left_files(site.folder) != before:
                print("WRITTEN", repr(sql))
                return 1
        known = site.session.run(embedded_lake.KNOWN).to_pylist()
        assert known == site.twin.run(embedded_lake.KNOWN).to_pylist()
        assert embedded_lake.left_files(site.folder) == before
    print(dict(counts), f"{found} findings")
    return 1 if found else 0


def judge(site, other, sql: str, counts: collections.Counter) -> int:
    """Count the query's outcome; 1 when something is wrong with it."""
    try:
        (kind, got), (other_kind, same) = outcome(site.session, sql), outcome(other.session, sql)
        twin_kind, expected = outcome(site.twin, sql)
    except Exception as error:  # noqa: BLE001 - the finding is that it is not ours
        print("TRACEBACK", type(error).__name__, repr(sql), flush=True)
        return 1
    counts[kind if kind == "answered" else f"{kind} {got[0]}"] += 1
    # Arithmetic on what may be seen gives any number, in both lakes.
    if embedded_lake.leaks(str(got)) and not embedded_lake.leaks(str(same)):
        print("LEAK", repr(sql), flush=True)
        return 1
    if any(told in f"{got}{same}{expected}" for told in ("ran for more", "needs more")):
        return 0
    ordered = steady(sql)
    if kind != other_kind or (kind == "failed" and got != same) or (ordered and got != same):
        print("DIFFERENT", kind, other_kind, repr(sql), str(got)[:200], str(same)[:200], flush=True)
        return 1
    if kind == twin_kind == "answered" and ordered and got != expected:
        print("DIFFERENT from what may be seen", repr(sql), str(got)[:200], str(expected)[:200], flush=True)
        return 1
    counts["planned otherwise"] += kind != twin_kind
    return 0


if __name__ == "__main__":
    sys.exit(main())
