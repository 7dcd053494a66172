"""`verify worm`: exit codes, what it prints, the heads and what it says of a lake that other commands refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a few ingests


@pytest.fixture
def landed(lakehouse, fleet):
    for number in range(2):
        (fleet / f"{number}.csv").write_text(f"trip_id,kilometres\n{number}1,10\n{number}2,7\n")
        assert lakehouse("ingest", "trip", f"{number}.csv").code == 0
    return Path(fleet, ".lake")


def files(lake: Path) -> list[Path]:
    return sorted(lake.glob("raw/fleet/trip/*.parquet"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[9] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_a_clean_lake(lakehouse, landed):
    ran = lakehouse("verify", "worm")
    assert (ran.code, ran.err) == (0, "")
    assert "✓ raw is as it was committed: 2 entries, 2 files" in ran.out
    told = json.loads(lakehouse("verify", "worm", "trip", "--json").out)
    assert (told["verified"], told["files"], told["findings"]) == (True, 2, [])
    assert [(each["table"], each["entries"]) for each in told["tables"]] == [("raw.fleet.trip", 2)]
    assert told["bytes"] == sum(path.stat().st_size for path in files(landed))


def test_findings_exit_with_3_and_name_the_first_broken_link(lakehouse, landed):
    flip(files(landed)[0])
    files(landed)[1].unlink()
    ran = lakehouse("verify", "worm")
    assert ran.code == 3
    assert "✗ 2 findings" in ran.out
    assert "first broken link of raw.fleet.trip: entry 1, version 0, file" in ran.out
    told = json.loads(lakehouse("verify", "worm", "--json").out)
    assert [each["code"] for each in told["findings"]] == ["raw_file_changed", "raw_file_missing"]
    assert told["tables"][0]["first_broken"].startswith("entry 1, version 0, file")
    ran = lakehouse("verify", "worm", "--since", "2")
    assert (ran.code, "raw_file_changed" in ran.out, "raw_file_missing" in ran.out) == (3, False, True)


def test_heads_are_printed_published_and_expected(lakehouse, fleet, landed):
    ran = lakehouse("verify", "worm", "--print-head")
    head, erasure = ran.out.splitlines()
    assert (ran.code, head[:6], erasure[:10]) == (0, "raw 2 ", "erasure 0 ")
    assert "raw is as it was committed" in ran.err
    (fleet / "2.csv").write_text("trip_id,kilometres\n21,10\n")
    assert lakehouse("ingest", "trip", "2.csv").code == 0
    for said in (head, head.replace(" ", ":"), head.removeprefix("raw ").replace(" ", ":")):
        assert lakehouse("verify", "worm", "--expect-head", said).code == 0
    both = ("--expect-head", head, "--expect-head", erasure, "--since", "2")
    assert lakehouse("verify", "worm", *both).code == 0
    ran = lakehouse("verify", "worm", "--expect-head", f"2:{'0' * 64}")
    assert (ran.code, "entry 2 of chain `raw` is not the published one" in ran.out) == (3, True)
    ran = lakehouse("verify", "worm", "--expect-head", f"9:{'0' * 64}", "--print-head")
    assert (ran.code, ran.out, "it was cut off" in ran.err) == (3, "", True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--expect-head", "nonsense"), "not a head"),
        (("--since", "9"), "ends at entry 2, before 9"),
        (("nothing",), "there is no table `nothing`"),
    ],
)
def test_wrong_words(lakehouse, landed, arguments, says):
    ran = lakehouse("verify", "worm", *arguments)
    assert (ran.code, says in ran.err) == (2, True)


def test_a_lake_that_other_commands_refuse_is_told_about(lakehouse, fleet, landed, monkeypatch):
    shutil.copytree(landed, fleet / "backup")
    (fleet / "2.csv").write_text("trip_id,kilometres\n21,10\n")
    assert lakehouse("ingest", "trip", "2.csv").code == 0
    for folder in ("raw", "staged", "system"):
        shutil.rmtree(landed / folder)
        shutil.copytree(fleet / "backup" / folder, landed / folder)
    assert lakehouse("status").code == 3
    ran = lakehouse("verify", "worm")
    assert ran.code == 3
    assert "entry 3 of chain `raw` is missing" in ran.out
    assert "first broken link of raw.fleet.trip" in ran.out
