"""The readers of delivered text, in MB of delivered bytes per second of this process's processor time.

Acceptance: pre-pass at 500 MB/s or more, exact reader at 40 MB/s or more. Processor time of one process and not wall
time, because the machine is shared; the best of a few rounds. Rows look like a till's: seven columns, about 80 bytes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from side_by_side import OUT

NAMES = ("id", "name", "price", "at", "country", "sku", "note")
ROWS = 300_000
ROUNDS = 3
LEAST = {"pre-pass": 500, "exact": 40}


def rows(count: int):
    for n in range(count):
        name, price = f"Name {n}", f"{n * 7 % 1000}.{n % 100:02}"
        yield n, name, price, f"2011-03-{n % 28 + 1:02} 10:00:00", "United Kingdom", f"SKU{n % 5000}", f"note about {n}"


def delimited(kind: str) -> bytes:
    lines = []
    for number, row in enumerate(rows(ROWS)):
        cells = [str(value) for value in row]
        if kind == "quoted":
            cells = [f'"{cell}"' for cell in cells]
        elif kind == "commas":
            cells[1] = f'"{cells[1]}, Inc."'
        elif kind == "escaped":
            cells[1] = f'"a \\"{cells[1]}\\" b"'
        lines.append(",".join(cells))
        if kind == "1 % bad" and number % 100 == 0:
            lines.append("torn,line")
    return ("\n".join(lines) + "\n").encode()


def json_lines(kind: str) -> bytes:
    lines = []
    for number, row in enumerate(rows(ROWS // 3)):
        record = dict(zip(NAMES, row, strict=True))
        if kind == "nested":
            record["note"] = {"text": record["note"], "tags": [1, 2]}
        lines.append(
            json.dumps(record) if kind != "mixed" or number % 10 else json.dumps(record, indent=None)[:-1] + " }"
        )
    return ("\n".join(lines) + "\n").encode()


def seconds(work) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def parts(content: bytes):
    """The two proofs alone, without making a frame."""
    from lakehouse.ingest.readers import prepass, splitter

    dialect = splitter.Dialect(len(NAMES))
    return lambda: prepass.prove(content, dialect), lambda: splitter.split(content, dialect, at_end=True)


def whole(content: bytes, folder: Path, *, exact: bool = False, **options):
    """From file to frame of text, by the same way that a delivery takes."""
    from lakehouse.contract.model import Column, ColumnType, Logical, Source
    from lakehouse.ingest.readers import delimited as csv
    from lakehouse.ingest.readers import ndjson
    from lakehouse.ingest.readers.delivery import Delivery

    path = folder / "delivered"
    path.write_bytes(content)
    columns = [Column(id=n, name=n, type=ColumnType(Logical.STRING), category="system.operations") for n in NAMES]
    prove, shape = csv.prove, ndjson.shape_of

    def run():
        if exact:
            csv.prove, ndjson.shape_of = (lambda *_: None), (lambda *_: None)
        try:
            with Delivery(path, Source("s", **options), columns) as delivery:
                for _ in delivery.blocks():
                    pass
        finally:
            csv.prove, ndjson.shape_of = prove, shape

    return run


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for kind in ("plain", "commas", "quoted", "1 % bad", "escaped"):
            content = delimited(kind)
            size = len(content) / 1e6
            prove, split = parts(content)
            more = {"header": False, **({"escape": "\\"} if kind == "escaped" else {})}
            if kind not in {"1 % bad", "escaped"}:
                figures[f"pre-pass, {kind}"] = size / seconds(prove)
                figures[f"polars after the pre-pass, {kind}"] = size / seconds(whole(content, folder, **more))
            if kind != "escaped":
                figures[f"exact splitter, {kind}"] = size / seconds(split)
            figures[f"exact, file to frame, {kind}"] = size / seconds(whole(content, folder, exact=True, **more))
        for encoding in ("windows-1250", "utf-16"):
            content = delimited("plain").decode().encode(encoding)
            run = whole(content, folder, header=False, encoding=encoding)
            figures[f"{encoding}, file to frame"] = len(content) / 1e6 / seconds(run)
        for kind in ("alike", "mixed", "nested"):
            content = json_lines(kind)
            figures[f"ndjson, {kind}"] = len(content) / 1e6 / seconds(whole(content, folder, format="ndjson"))
        run = whole(json_lines("alike"), folder, exact=True, format="ndjson")
        figures["ndjson, alike, exact"] = len(json_lines("alike")) / 1e6 / seconds(run)
    table = Table(title="readers: MB per second of processor time")
    table.add_column("reader")
    table.add_column("MB/s", justify="right")
    table.add_column("least", justify="right")
    for name, rate in figures.items():
        least = next((floor for start, floor in LEAST.items() if name.startswith(start)), None)
        table.add_row(name, f"{rate:.0f}", "" if least is None else str(least))
    Console(width=90).print(table)
    OUT.mkdir(exist_ok=True)
    (OUT / "readers.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
