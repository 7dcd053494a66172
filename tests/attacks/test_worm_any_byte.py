"""Whatever byte of whatever file of raw or of its chain is another one, `verify worm` finds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.attacks.worm_lake import overwrite, prove, require


def everything(lake) -> list[Path]:
    """Every file that raw consists of, and the chain's."""
    found = [
        path for folder in ("raw", "system/chains") for path in Path(lake.root, folder).rglob("*") if path.is_file()
    ]
    return sorted(found, key=lambda path: (path.suffix, str(path)))


def rows_of(content: bytes) -> object:
    """What readers get of a checkpoint, None when they get nothing."""
    try:
        return pq.read_table(pa.BufferReader(content)).to_pylist()
    except (pa.ArrowException, OSError, ValueError):
        return None


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(file=st.integers(0, 10**6), place=st.integers(0, 10**6), mask=st.integers(1, 255))
@example(file=0, place=0, mask=1)
def test_any_flipped_byte_is_found(attacked, file, place, mask):
    paths = everything(attacked)
    path = paths[file % len(paths)]
    before = path.read_bytes()
    content = bytearray(before)
    content[place % len(content)] ^= mask
    overwrite(path, bytes(content))
    found = prove(attacked).findings
    if "checkpoint.parquet" in path.name:  # derived: held against the log by content, so the same content may pass
        assert found or rows_of(bytes(content)) == rows_of(before)
    else:
        assert found, path
    overwrite(path, before)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    file=st.integers(0, 10**6), other=st.integers(0, 10**6), how=st.sampled_from(["remove", "cut", "double", "swap"])
)
def test_any_file_removed_cut_doubled_or_replaced_is_found(attacked, file, other, how):
    paths = [path for path in everything(attacked) if path.name != "_last_checkpoint"]
    path, source = paths[file % len(paths)], paths[other % len(paths)]
    before = path.read_bytes()
    if how == "remove":
        path.unlink()
    elif how == "double":
        shutil.copy(path, path.with_name(f"{path.name}.copy"))
    else:
        overwrite(path, before[:-1] if how == "cut" else source.read_bytes())
    derived = "checkpoint" in path.name and how == "remove"  # readers go by the entries then
    expected = not derived and not (how == "swap" and source.read_bytes() == before)
    found = prove(attacked).findings
    path.with_name(f"{path.name}.copy").unlink(missing_ok=True)
    overwrite(path, before)
    assert bool(found) or not expected, (path, how)
    require(prove(attacked))
