"""The public collections of hostile files go through whole: csv-spectrum, JSONTestSuite, naughty strings, parquet-testing."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
import pytest

from lakehouse import storage
from lakehouse.contract.model import (
    Check,
    CheckKind,
    Column,
    ColumnType,
    Contract,
    Drift,
    Logical,
    Project,
    Rule,
    Source,
    Table,
)
from lakehouse.errors import FileRejectedError
from lakehouse.ingest import ingest, landing
from lakehouse.ingest.readers.delivery import Delivery
from lakehouse.model import TableId, Tier

if TYPE_CHECKING:
    from pathlib import Path

TEXT = ColumnType(Logical.STRING)
#: Python takes what JSON does not: these are bad lines all the same.
NOT_JSON = ("n_number_NaN", "n_number_infinity", "n_number_minus_infinity")


def column(path: str, number: int = 0) -> Column:
    return Column(id=path, name=f"c{number}", source_name=path, type=TEXT, category="user")


def read(path: Path, paths: list[str], *, form: str = "csv", drift: Drift | None = None, **more) -> pl.DataFrame:
    columns = [column(name, number) for number, name in enumerate(paths)]
    with Delivery(path, Source("s", format=form, **more), columns, drift=drift) as delivery:
        before = delivery.fingerprint()
        frames = list(delivery.blocks())
        delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


def table(*names: str, form: str) -> Table:
    return Table(
        id=TableId(Tier.STAGED, "hostile", "line"),
        odcs_id="line",
        columns=(
            *(Column(id=name, name=name, type=TEXT, category="system.operations") for name in names),
            Column("nth", "nth", ColumnType(Logical.INTEGER), "system.operations", derived="occurrence", derived_over=names),
        ),
        key=(*names, "nth"),
        sources=(Source("s", format=form),),
        drift=Drift("discard_value", "evolve"),
        checks=(Check("required", CheckKind.ROW, Rule.REQUIRED, (names[0],), tolerance=1.0),),
    )  # fmt: skip


def taken(lake, of: Table, files: dict[str, bytes], clock):
    place = landing.folder(lake, of)
    place.mkdir(parents=True)
    paths = []
    for name, content in files.items():
        paths.append(place / name)
        paths[-1].write_bytes(content)
    report = ingest(lake, Project(place, (Contract("h", "hostile", "1", (of,)),)), of, paths, now=clock)
    assert storage.balance(lake, of.id).unbalanced == ()
    assert not any(path.exists() for path in paths)
    return report


def test_csv_spectrum_is_read_as_its_authors_say(shared_data: Path) -> None:
    home = shared_data / "hostile/csv-spectrum"
    paths = sorted((home / "csvs").glob("*.csv"))
    assert len(paths) == 12
    for path in paths:
        wanted = json.loads((home / "json" / f"{path.stem}.json").read_text(encoding="utf-8"))
        wanted = wanted if isinstance(wanted, list) else [wanted]
        names = list(wanted[0])
        if path.stem == "location_coordinates":
            # seconds of arc within a bare field: no quoting is what the contract must say then; its number is made up
            assert read(path, names)["_bad"].to_list() == ["quotes are out of place"]
            assert read(path, names, quote="").row(0)[2:5] == tuple(wanted[0].values())[1:]
            continue
        frame = read(path, names)
        assert frame["_bad"].is_null().all(), path.name
        # newlines.json says `\n` where the CRLF file has `\r\n`: what was delivered stays
        found = [[text.replace("\r\n", "\n") for text in row[1 : 1 + len(names)]] for row in frame.rows()]
        assert found == [[text.replace("\r\n", "\n") for text in row.values()] for row in wanted], path.name


def test_json_test_suite_is_judged_line_by_line(shared_data: Path, lake, clock) -> None:
    paths = sorted((shared_data / "hostile/JSONTestSuite/test_parsing").glob("*.json"))
    assert len(paths) >= 149
    # each document is the value of a line's only key; line ends within one would cut it
    documents = {p.stem: p.read_bytes() for p in paths if not set(p.read_bytes()) & {0x0A}}
    lines = {f"{name}.json": b'{"a":' + document + b"}\n" for name, document in documents.items()}
    report = taken(lake, table("a", form="ndjson"), lines, clock)
    states = Counter(batch.state for batch in report.batches)
    assert set(states) <= {"staged", "rejected"}
    raw = storage.scan(lake, TableId(Tier.RAW, "hostile", "line")).collect()
    by_batch = dict(zip(sorted(batch.batch for batch in report.batches), lines, strict=True))
    bad = {by_batch[batch] for batch in raw.filter(pl.col("_bad").is_not_null())["_batch"]}
    good = {by_batch[batch] for batch in raw.filter(pl.col("_bad").is_null())["_batch"]}
    assert {name for name in lines if name.startswith("n_")} - bad <= {
        # as a value, with a bracket around it, these are right after all
        name
        for name in lines
        if _is_right(lines[name])
    }
    assert {f"{name}.json" for name in NOT_JSON} <= bad
    wrong = {name for name in lines if name.startswith("y_")} - good
    assert wrong <= {
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
        "y_string_null_escape.json",
    }


def _is_right(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def test_json_test_suite_as_files_never_stops_the_others(shared_data: Path, lake, clock) -> None:
    paths = sorted((shared_data / "hostile/JSONTestSuite/test_parsing").glob("*.json"))
    files = {path.name: path.read_bytes() for path in paths} | {"zz_good.json": b'{"a":"good"}\n'}
    report = taken(lake, table("a", form="ndjson"), files, clock)
    assert len(report.batches) == len(files)
    assert {batch.state for batch in report.batches} <= {"staged", "rejected"}
    staged = storage.scan(lake, TableId(Tier.STAGED, "hostile", "line")).collect()
    assert staged.filter(pl.col("a") == "good").height == 1


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_naughty_strings_arrive_letter_by_letter(shared_data: Path, lake, clock, form: str) -> None:
    strings = json.loads((shared_data / "hostile/naughty-strings/blns.json").read_text(encoding="utf-8"))
    assert len(strings) > 500
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([("a", "b"), *((f"{n}", text) for n, text in enumerate(strings))])
        content = out.getvalue()
    else:
        content = "".join(json.dumps({"a": str(n), "b": text}) + "\n" for n, text in enumerate(strings))
    report = taken(lake, table("a", "b", form=form), {"blns": content.encode()}, clock)
    nul = sum("\0" in text for text in strings)
    assert [(batch.rows, batch.quarantined) for batch in report.batches] == [(len(strings), nul)]
    staged = storage.scan(lake, TableId(Tier.STAGED, "hostile", "line")).collect()
    found = dict(staged.select("a", "b").rows())
    assert {int(n): text or "" for n, text in found.items()} == {n: t for n, t in enumerate(strings) if "\0" not in t}


@pytest.mark.slow
def test_parquet_testing_is_read_or_rejected_file_by_file(shared_data: Path) -> None:
    paths = sorted((shared_data / "hostile/parquet-testing").rglob("*.parquet*"))
    outcomes: Counter[str] = Counter()
    for path in (path for path in paths if path.suffix != ".json"):
        names, rows = _known(path)
        try:
            frame = read(path, names, form="parquet", drift=Drift("discard_value", "evolve"))
        except FileRejectedError as error:
            outcomes[error.message.split("`")[0]] += 1
            continue
        outcomes["read"] += 1
        assert frame.height == rows or path.name == "repeated_no_annotation.parquet"  # its footer says 0, its pages 6
    assert outcomes["read"] >= 45
    assert set(outcomes) <= {"read", "column ", "the Parquet data is broken or encrypted"}


def _known(path: Path) -> tuple[list[str], int]:
    """A file's columns and number of rows, if they can be known."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError):
        return ["x"], 0
    return list(dict.fromkeys(file.schema_arrow.names)), file.metadata.num_rows
