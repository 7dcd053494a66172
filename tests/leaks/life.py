"""A lake's life in stages: everything that is done to one, with planted files and little memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lakehouse.model import TableId, Tier
from tests.leaks import formats, planting
from tests.leaks.home import KILLED
from tests.leaks.planting import STEM
from tests.leaks.project import FAILING_MODEL, FAILING_TEST, MODEL, contract

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.contract.model import Table
    from tests.leaks.home import Home

VISITOR, GUEST = (TableId(Tier.STAGED, "leak", name) for name in ("visitor", "guest"))
OVERVIEW, HABITS = TableId(Tier.CURATED, "leak", "visitor_overview"), TableId(Tier.FEATURES, "leak", "visitor_habits")
#: Where a process dies: behind the staged file, behind each intent, behind each Delta commit.
DEATHS = ("file.put.after:2", "commit.intent.after:2", "commit.delta.after", "commit.delta.after:2")
#: The mend of the wrong `raw_clear` is among them.
COMMANDS = (
    "plan --json",
    "apply --json",
    "raw reseal leak.visitor --json",
    "raw reseal leak.visitor --yes --json",
    "rebuild leak.visitor --yes --json",
    "quarantine replay leak.visitor --json",
    "quarantine list leak.visitor --json",
    "quarantine list leak.guest",
    "status --json",
    "status",
    "doctor --json",
    "check --json",
    "keys rotate --json",
    "maintain --json",
)
#: Enough rows that their text is several times the memory that a query may take.
MANY = 100_000
#: For DuckDB to sort them.
TOO_LITTLE = "28MB"
TEST_FILE = "dbt/tests/names_are_numbers.sql"
MODEL_FILE = "dbt/models/curated/leak/visitor_overview.sql"


@dataclass
class Life:
    """The stages, in order; each lets workers run in the home."""

    home: Home
    made: Path

    def deliver(self, *, rows: int = 2000) -> None:
        """Files of every table land: good ones, failing ones, broken ones."""
        project = self.home.project
        others = replace(project, contracts=tuple(c for c in project.contracts if c.domain != "leak"))
        files: dict[Table, list[Path]] = {}
        if others.contracts:
            files = planting.planted_files(others, self.home.markers, self.made, rows=rows)
        for name, endings in ((VISITOR, formats.FORMATS), (GUEST, (".csv", ".jsonl"))):
            table = project.table(name)
            files[table] = self.own(table, "good") + self.own(table, "bad", endings=endings)
        for table, paths in files.items():
            self.home.land(table, paths)

    def own(self, table: Table, kind: str, *, endings: tuple[str, ...] = formats.FORMATS) -> list[Path]:
        """Files of one of the domain's tables."""
        place = self.made / "leak" / table.id.table / kind
        make = formats.good_files if kind == "good" else formats.bad_files
        return make(table, self.home.markers, place, formats=endings)

    def build(self) -> None:
        """The job takes the files, whose broken ones fail their steps; then what is made of them is built."""
        self.home.run("job")
        self.home.run(
            "job", *(str(t.id) for t in self.home.project.tables if t.id.tier in {Tier.CURATED, Tier.FEATURES})
        )

    def die(self, *deaths: str) -> None:
        """A process is killed while it takes a file, again and again, until one comes through and recovers."""
        table = self.home.project.table(VISITOR)
        for number, death in enumerate(deaths):
            frame = formats.rows(table, self.home.markers, 100 + number, 3)
            file = self.made / f"{self.home.markers.text(str(table.id), 'file name')}.csv"
            file.write_bytes(formats.as_format(frame, ".csv"))
            self.home.land(table, [file])
            assert self.home.run("take", LAKEHOUSE_FAULT=death) == KILLED, death
        assert self.home.run("take") == 0

    def ask(self) -> None:
        """The sensor asks for files that wait, and the command line takes one; then engines and our own code stumble."""
        table = self.home.project.table(VISITOR)
        self.home.land(table, self.own(table, "good", endings=(".csv", ".jsonl")))
        self.home.run("tick")
        frame = formats.rows(table, self.home.markers, 200, 3)
        file = self.made / "delivered.csv"
        file.write_bytes(formats.as_format(frame, ".csv"))
        self.home.run("command", "ingest", "leak.visitor", str(file), "--downstream", "--json")
        self.home.run("stumble", "dagster", "command")

    def change(self) -> None:
        """The contract's mistake is mended and everything that a person would run is run; a model fails on a value."""
        root = self.home.project_root
        (root / "policies/domains/leak/contract.odcs.yaml").write_text(contract(mended=True))
        self.home.generate_sources()
        self.home.run("commands", *COMMANDS)
        (root / MODEL_FILE).write_text(FAILING_MODEL)
        self.home.run("job", str(OVERVIEW))
        (root / MODEL_FILE).write_text(MODEL)
        (root / TEST_FILE).parent.mkdir()
        (root / TEST_FILE).write_text(FAILING_TEST)
        self.home.run("job", str(OVERVIEW))
        (root / TEST_FILE).unlink()

    def overflow(self) -> None:
        """More rows than fit in memory: taken, sorted, built."""
        table = self.home.project.table(VISITOR)
        file = self.made / f"{self.home.markers.text(str(table.id), 'file name')}.parquet"
        many(table, MANY).write_parquet(file)
        self.home.land(table, [file])
        self.home.run("take")  # too little memory for the gate too, so the file stays where it is
        assert self.home.run("take", POLARS_OOC_MEMORY_BUDGET_MB="4000") == 0
        self.home.run("job", str(VISITOR), str(OVERVIEW), str(HABITS), LAKEHOUSE_DUCKDB_MEMORY=TOO_LITTLE)


def many(table: Table, rows: int) -> pl.DataFrame:
    """Many rows with a marker in each text."""
    number = pl.int_range(rows, eager=True)
    plain = {"id": "9{}", "amount": "1.50", "born": "1950-01-01", "seen": "2020-01-01 00:00:00"}
    made = {c.name: plain.get(c.name, f"{STEM}9999N{{}}{c.name}") for c in table.delivered}
    mixed = pl.select((number * 7919 % 1_000_003).cast(pl.String).alias("n"))
    shown = [(pl.format(text, "n") if "{}" in text else pl.lit(text)).alias(name) for name, text in made.items()]
    return mixed.select(shown)
