"""A policy of 100, 300 and 1,000 tables of 30 columns, 40 purposes and 400 grants: load, check, compile, and one request.

Acceptance: the largest one loaded (static checks included) and compiled to every Trino view and rule in 10 s, growing in
step with the tables; one request decided and compiled in 30 ms (the median; a process's first also loads the dialect). Contracts are made in memory: what is
measured is the policy. Each size runs in a process of its own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from side_by_side import called_rival, race, report_rival

SIZES = (100, 300, 1000)
TABLES_OF_A_DOMAIN, COLUMNS = 10, 30
PURPOSES_OF_1000, GRANTS_OF_1000 = 40, 400
LIMIT_SECONDS, LIMIT_MS = 10, 30
DAY = dt.date(2026, 11, 22)
#: One column in three is personal; what a column's place makes of it.
KINDS = (
    ("email", "user.contact.email", "string"),
    ("name", "user.name", "string"),
    ("illness", "user.health_and_medical", "string"),
    ("income", "user.financial", "decimal"),
    ("born", "user.demographic.date_of_birth", "date"),
    ("city", "user.contact.address.city", "string"),
    ("account", "user.account", "integer"),
    ("seen", "user.behavior", "timestamp"),
    ("iban", "user.financial.bank_account", "string"),
)
PLAIN = ("string", "integer", "decimal", "date", "float", "boolean", "timestamp")
PLATFORM = """\
version: 1
classes: {user: confidential, user.contact: confidential, user.health_and_medical: restricted, user.financial: restricted, system: internal}
defaults: {public: clear, internal: clear, confidential: redact, restricted: hide}
identifying: [user.name, user.contact, user.unique_id]
ceilings:
  - {id: health, categories: [user.health_and_medical], at_most: hide, unless: {purposes: [p0, p7]}, why: minimum necessary}
  - {id: accounts, categories: [user.financial.bank_account], at_most: partial(4), unless: {groups: [g1]}, why: minimum necessary}
row_ceilings:
  - {id: eu, tables: ["curated.*.*"], having: [region], only_rows: "region <> 'EU'", unless: {groups: [g0]}, why: residency}
"""


def project(count: int):
    from lakehouse.contract.model import Column, ColumnType, Contract, EntityKey, Logical, Project, Table
    from lakehouse.model import TableId, Tier

    def column(name: str, category: str, kind: str, domain: str | None = None) -> Column:
        size = {"precision": 12, "scale": 2} if kind == "decimal" else {}
        return Column(name, name, ColumnType(Logical(kind), **size), category, pseudonym_domain=domain)

    personal = [column(name, category, kind, "mail" if name == "email" else None) for name, category, kind in KINDS]
    fixed = [column("ref", "user.unique_id", "string"), column("region", "system.operations", "string"),
             column("happened", "system.operations", "date")]  # fmt: skip
    rest = COLUMNS - len(personal) - len(fixed)
    plain = [column(f"c{place}", "system.operations", PLAIN[place % len(PLAIN)]) for place in range(rest)]
    columns = (*fixed, *personal, *plain)
    contracts: dict[str, list[Table]] = {}
    for place in range(count):
        name = TableId(Tier.CURATED, f"d{place // TABLES_OF_A_DOMAIN}", f"t{place % TABLES_OF_A_DOMAIN}")
        fresh = tuple(dataclasses.replace(each) for each in columns)
        table = Table(name, str(name), fresh, ("ref",), entity=EntityKey("client", "ref"), event_time="happened")
        contracts.setdefault(name.domain, []).append(table)
    return Project(Path(), tuple(Contract(d, d, "1", tuple(tables)) for d, tables in contracts.items()))


def documents(root: Path, count: int) -> None:
    """Policies in step with the tables: every grant is for a domain's tables, two groups and one purpose."""
    purposes = max(1, PURPOSES_OF_1000 * count // 1000)
    grants = GRANTS_OF_1000 * count // 1000
    domains = count // TABLES_OF_A_DOMAIN
    folder = root / "policies"
    folder.mkdir(parents=True)
    (folder / "platform.yaml").write_text(PLATFORM if purposes > 7 else PLATFORM.replace("[p0, p7]", "[p0]"))
    said = [
        f"  p{place}: {{description: reads, groups: [g{place % 5}, g{place % 5 + 1}, g{place % 5 + 2}], legal_basis: contract, "
        f"consent: {'{of: client}' if place % 4 == 0 else 'not_required'}{', max_age: P3Y' if place % 3 == 0 else ''}}}\n"
        for place in range(purposes)
    ]
    (folder / "purposes.yaml").write_text("version: 1\npurposes:\n" + "".join(said))
    groups = [f"  g{place}: [person{place}, person{place + 1}]\n" for place in range(7)]
    (folder / "groups.yaml").write_text("version: 1\ngroups:\n" + "".join(groups))
    for domain in range(domains):
        (folder / "domains" / f"d{domain}").mkdir(parents=True)
        mine = "".join(grant(place, domain, purposes) for place in range(domain, grants, domains))
        (folder / "domains" / f"d{domain}" / "access.yaml").write_text("version: 1\ngrants:\n" + mine)


def grant(place: int, domain: int, purposes: int) -> str:
    purpose = place * 7 // 3 % purposes
    name = ("redact", "partial(2)")[place // 3 % 2]
    email = "token" if purpose % 2 else "partial(2)"
    rows = ("", "\n    rows: \"region IN ('EU', 'UK')\"", '\n    rows: "happened <= current_date AND c1 > 3"')[
        place % 3
    ]
    until = "\n    until: 2027-06-30" if place % 5 == 0 else ""
    return f"""\
  - id: grant-{place}
    groups: [g{purpose % 5 + place % 2}, g{purpose % 5 + 1 + place % 2}]
    purpose: p{purpose}
    tables: [curated.d{domain}.*]
    columns: {{user.contact.email: {email}, user.name: {name}, user.demographic: year, user.financial: {("clear", "hide")[place % 2]}}}{rows}{until}
    why: measured
"""


def measured(size: str) -> dict[str, float]:
    from lakehouse.policy import compile as compiler
    from lakehouse.policy import printing, reach
    from lakehouse.policy.load import load_policy
    from lakehouse.policy.trino import trino_rules

    tables = project(int(size))
    with tempfile.TemporaryDirectory() as folder:
        documents(Path(folder), int(size))
        start = time.perf_counter()
        policy = load_policy(Path(folder), tables)
        loaded = time.perf_counter()
    views = compiler.trino_views(policy, tables)
    built = time.perf_counter()
    written = sum(len(text) for text in printing.trino_sql(views).values())
    printed = time.perf_counter()
    trino_rules(policy, tables)
    ended = time.perf_counter()
    count = len(views)
    del views  # a request runs in a process without a million nodes for the collector to walk
    gc.collect()
    requests = []
    for purpose, table in reach.pairs(policy, tables)[:: max(1, count // 40)]:
        begun = time.perf_counter()
        view = compiler.duckdb_view(policy, tables, purpose, table.id, groups=policy.purposes[purpose].groups, day=DAY)
        if view is not None:
            printing.sql(view)
            requests.append((time.perf_counter() - begun) * 1000)
    return {
        "load": loaded - start,
        "trees": built - loaded,
        "text": printed - built,
        "rules": ended - printed,
        "all": ended - start,
        "views": count,
        "megabytes": written / 1e6,
        "request_ms": statistics.median(requests),
        "request_ms_most": max(requests),
    }


def main() -> None:
    asked = called_rival()
    if asked:
        import lakehouse.policy.compile  # noqa: F401 - what a first import takes is in bench/start.py

        report_rival(lambda: measured(asked[0]))
        return
    from rich.console import Console
    from rich.table import Table

    figures = race(__file__, {f"{size} tables": [str(size)] for size in SIZES}, rounds=2)
    heads = ("load", "trees", "text", "rules", "all", "views", "request_ms", "request_ms_most", "peak_mb")
    shown = Table(title="policy: load (with static checks), compile to Trino, one request on DuckDB")
    for head in ("", *heads):
        shown.add_column(head, justify="right")
    for name, figure in figures.items():
        shown.add_row(
            name, *(f"{figure[head]:.0f}" if head in {"views", "peak_mb"} else f"{figure[head]:.2f}" for head in heads)
        )
    Console(width=130).print(shown)
    largest = figures[f"{SIZES[-1]} tables"]
    met = largest["all"] < LIMIT_SECONDS and largest["request_ms"] < LIMIT_MS
    print(f"limits {LIMIT_SECONDS} s and {LIMIT_MS} ms: {'met' if met else 'MISSED'}")
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "policy.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
