"""Lines of JSON: the fast way and the exact one give the same frame, numbers keep their digits, nothing crashes."""

from __future__ import annotations

import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract.model import Changes, Column, ColumnType, Drift, Logical, Source
from lakehouse.errors import FileRejectedError
from lakehouse.ingest.readers import ndjson
from lakehouse.ingest.readers.delivery import Delivery

pytestmark = pytest.mark.slow

PATHS = ("a", "b", "in.c", "d")
COLUMNS = [
    Column(id=path, name=f"c{n}", source_name=path, type=ColumnType(Logical.STRING), category="system.operations")
    for n, path in enumerate(PATHS)
]
OPEN = Drift("evolve", "discard_row")

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
numbers = st.integers().map(str) | st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: f"{d:e}".upper())
plain = st.none() | st.booleans() | texts
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
rows = st.fixed_dictionaries(
    {"a": plain}, optional={"b": values, "in": values | st.fixed_dictionaries({"c": plain}), "d": plain, "x": values}
)
alike = st.lists(st.fixed_dictionaries({"a": plain, "b": plain, "d": plain, "x y": plain}), min_size=1, max_size=8)


def read(
    folder, content: bytes, *, block: int = 1 << 20, exact: bool = False, drift: Drift = OPEN, **more
) -> pl.DataFrame | str:
    path = folder.getbasetemp() / "lines.json"
    path.write_bytes(content)
    encoding = more.pop("encoding", "utf-8")
    columns = more.pop("columns", COLUMNS)
    with pytest.MonkeyPatch.context() as patch:
        if exact:
            patch.setattr(ndjson, "shape_of", lambda *_: None)
        source = Source("s", format="ndjson", encoding=encoding)
        with Delivery(path, source, columns, drift=drift, block=block, **more) as delivery:
            before = delivery.fingerprint()
            try:
                frames = list(delivery.blocks())
            except FileRejectedError as error:
                return error.message
            delivery.require_unchanged(before)
    return pl.concat(frames) if frames else pl.DataFrame()


def agree(folder, content: bytes, *, block: int) -> pl.DataFrame | str:
    found = read(folder, content)
    for exact, size in ((True, 1 << 20), (False, block), (True, block)):
        other = read(folder, content, block=size, exact=exact)
        if isinstance(found, str) or isinstance(other, str):
            assert found == other
        else:
            assert found.equals(other, null_equal=True)
    return found


def shown(value) -> str | None:
    """What a value of a JSON document is as text."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(
    st.lists(rows, min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\n\n", " \n"]),
    st.integers(1, 99),
)
def test_objects_are_laid_out_by_the_contracts_paths(tmp_path_factory, objects, ascii_only, end, block):
    lines = [json.dumps(one, ensure_ascii=ascii_only) for one in objects]
    frame = agree(tmp_path_factory, "".join(line + end for line in lines).encode(), block=block)
    assert isinstance(frame, pl.DataFrame)
    assert frame["_bad"].is_null().all()
    assert frame["_row"].to_list() == list(range(len(objects)))
    for found, one in zip(frame.to_dicts(), objects, strict=True):
        inner = one.get("in")
        assert found["c0"] == shown(one["a"])
        assert found["c1"] == shown(one.get("b"))
        assert found["c2"] == (shown(inner.get("c")) if isinstance(inner, dict) else None)
        assert found["c3"] == shown(one.get("d"))
        told = json.loads(found["_extra"] or "{}")
        absent = {path for path in ("b", "d") if path not in one}
        assert {path for path in ("b", "d") if path in told} == absent
        if one.get("x") is not None:
            assert told["x"] == shown(one["x"])
        if isinstance(inner, dict):
            assert all(told[f"in.{key}"] == shown(v) for key, v in inner.items() if key != "c" and v is not None)
        elif inner is not None:
            assert told["in"] == shown(inner)


@given(alike, st.booleans(), st.integers(1, 99))
def test_lines_that_are_alike_are_read_fast_and_the_same(tmp_path_factory, objects, tight, block):
    separators = (",", ":") if tight else (", ", ": ")
    lines = [json.dumps(one, ensure_ascii=False, separators=separators) for one in objects]
    frame = agree(tmp_path_factory, "\n".join(lines).encode(), block=block)
    assert isinstance(frame, pl.DataFrame)
    assert frame["c0"].to_list() == [shown(one["a"]) for one in objects]


@given(st.lists(numbers, min_size=1, max_size=6))
def test_numbers_keep_the_digits_that_were_delivered(tmp_path_factory, written):
    lines = [f'{{"a": {one}, "b": {{"n": [{one}]}}}}' for one in written] + [f'{{"a":{one}}}' for one in written]
    frame = agree(tmp_path_factory, "\n".join(lines).encode(), block=50)
    assert isinstance(frame, pl.DataFrame)
    assert frame["c0"].to_list() == written * 2
    assert frame["c1"].to_list()[: len(written)] == [f'{{"n":[{one}]}}' for one in written]
    assert all(Decimal(text) == Decimal(one) for text, one in zip(frame["c0"], written * 2, strict=True))


@given(
    st.lists(
        st.sampled_from([b'{"a":', b"1", b'"x"', b"}", b"{", b"[", b"]", b",", b'"b"', b":", b"\n", b"\xff", b"\\u", b"\0", b"01", b"-", b"NaN", b"\xef\xbb\xbf", b" ", b"\r"]),
        min_size=1,
        max_size=40,
    ).map(b"".join),
    st.integers(1, 30),
)  # fmt: skip
def test_hostile_bytes_cost_their_line_both_ways(tmp_path_factory, content, block):
    frame = agree(tmp_path_factory, content + b'\n{"a":"last"}\n', block=block)
    assert isinstance(frame, pl.DataFrame)
    assert frame["c0"][-1] == "last"
    for bad in frame.filter(pl.col("_bad").is_not_null()).iter_rows(named=True):
        assert bad["_bytes"].strip()
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's, Unicode's and ours alike
            _strict(bad["_bytes"])


def _strict(line: bytes) -> None:
    """Python's own judgement, with what it is too kind to."""

    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    found = json.loads(line.decode("utf-8"), object_pairs_hook=once, parse_constant=lambda _: int("x"))
    if not isinstance(found, dict):
        raise ValueError  # noqa: TRY004
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize("encoding", ["utf-16", "windows-1250", "cp852"])
def test_lines_of_other_encodings_are_the_same_lines(tmp_path_factory, encoding):
    content = '{"a":"Plze\u0148 \u0160"}\n{"a":2}\n'.encode(encoding)
    frame = read(tmp_path_factory, content, encoding=encoding)
    assert isinstance(frame, pl.DataFrame)
    assert frame["c0"].to_list() == ["Plze\u0148 \u0160", "2"]


def test_envelopes_give_the_row_as_it_is_or_as_it_was(tmp_path_factory):
    paths = ("id", "$.op", "$.ts_ms", "$.source.lsn")
    columns = [
        Column(id=p, name=f"c{n}", source_name=p, type=COLUMNS[0].type, category="x") for n, p in enumerate(paths)
    ]
    lines = [
        '{"before":null,"after":{"id":1},"op":"c","ts_ms":5,"source":{"lsn":7,"db":"x"}}',
        '{"before":{"id":2},"after":null,"op":"d","ts_ms":6}',
        '{"schema":{"type":"struct"},"payload":{"before":null,"after":{"id":3},"op":"r","ts_ms":8}}',
        '{"before":null,"after":null,"op":"t","ts_ms":9}',
    ]
    changes = Changes("c1", ("d",), "debezium")
    content = "\n".join(lines).encode()
    frame = read(tmp_path_factory, content, changes=changes, columns=columns, drift=Drift())
    assert isinstance(frame, pl.DataFrame)
    assert frame.select("c0", "c1", "c2", "c3").rows() == [
        ("1", "c", "5", "7"),
        ("2", "d", "6", None),
        ("3", "r", "8", None),
        (None, None, None, None),
    ]
    assert frame["_bad"].to_list() == [None, None, None, "an envelope without a row"]
