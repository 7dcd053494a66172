"""The gate judges what the gateway has in memory; opened from raw, the same rows give the same tables."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import storage
from lakehouse.contract.model import Check, CheckKind, Drift, Role, Rule
from lakehouse.ingest import gate, ingest, landing, quarantine, resume
from lakehouse.ingest.rebuild import rebuild
from lakehouse.settings import Settings

_spec = importlib.util.spec_from_file_location(
    "ingest_domain", Path(__file__).parents[1] / "unit" / "ingest" / "ingest_domain.py"
)
domain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(domain)

IDS = st.sampled_from(["1", "2", "3", "x", ""])
PEOPLE = st.sampled_from(["7", "07", "8.0", "", "nobody"])
TEXTS = st.one_of(st.just(""), st.text("ab'\u00e9\u4e2d;\u0001\u001f", max_size=4))
ROWS = st.lists(st.tuples(IDS, PEOPLE, st.sampled_from(["1", "2.5", "many", ""]), TEXTS, TEXTS, TEXTS), max_size=6)
FILES = st.lists(ROWS, min_size=1, max_size=3)


def table(*, optional: bool):
    order = domain.order_table(
        checks=(
            Check("person_is_named", CheckKind.ROW, Rule.ENTITY, ("person",)),
            Check("short_note", CheckKind.ROW, Rule.LENGTH, ("note",), maximum="3"),
        )
    )
    note = replace(order.columns[3], category="user.contact")
    payee = replace(note, id="payee", name="payee", role="payee")
    return replace(
        order,
        columns=(*order.columns[:3], note, payee),
        entity=replace(order.entity, optional=optional),
        roles=(Role("payee", "account", "payee", ("trim",)),),
        drift=Drift(unknown="evolve"),
    )


def written(place: Path, rows) -> None:
    lines = ["id,person,amount,note,payee,more"]
    lines += [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    place.write_text("\n".join([*lines, "torn,row"]) + "\n", encoding="utf-8")


def taken(root: Path, files, one, clock, *, between=None):
    settings = Settings(
        root,
        str(root / "lake"),
        landing=root / "lake" / "landing",
        control_url=f"sqlite:///{root / 'lake' / 'control.db'}",
        key_file=root / "lake" / "kek.key",
    )
    (root / "lake").mkdir(parents=True)
    lake = storage.create_lake(settings)
    place = landing.folder(lake, one)
    place.mkdir(parents=True)
    for number, rows in enumerate(files):
        written(place / f"{number}.csv", rows)
        between(lake, [place / f"{number}.csv"]) if between else ingest(
            lake, domain.project_of(one), one, [place / f"{number}.csv"], now=clock
        )
    return lake


def seen(lake, one):
    """Staged rows, pointers and account; surrogates are random, so only which rows share one."""
    rows = storage.scan(lake, one.id).collect().sort("_batch", "_row")
    for name in ("_entity", "_entity_payee"):
        rows = (
            rows.with_columns(pl.col(name).rank("dense").over(pl.lit(1)).alias(name))
            if rows.is_empty()
            else (
                rows.with_columns(
                    pl.col(name)
                    .replace_strict(
                        {v: str(i) for i, v in enumerate(rows[name].drop_nulls().unique(maintain_order=True))},
                        default=None,
                    )
                    .alias(name)
                )
            )
        )
    pointers = storage.scan(lake, quarantine.place(one.id)).collect().sort("_batch", "_row")
    return rows, pointers, storage.balance(lake, one.id).rows.sort("batch")


@pytest.mark.slow
@settings(max_examples=25)
@given(FILES, st.booleans())
def test_both_ways_give_equal_tables(files, optional):
    import datetime as dt

    clock = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    one = table(optional=optional)
    project = domain.project_of(one)
    root = Path(tempfile.mkdtemp())

    def dying(lake, paths):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate.Gate, "close", _die)
            with pytest.raises(KeyboardInterrupt):
                ingest(lake, project, one, paths, now=clock)
        resume(lake, project, one)

    try:
        fused = taken(root / "a", files, one, clock)
        from_raw = taken(root / "b", files, one, clock, between=dying)
        for left, right in zip(seen(fused, one), seen(from_raw, one), strict=True):
            assert left.equals(right)
        rebuild(fused, project, one)
        for left, right in zip(seen(fused, one), seen(from_raw, one), strict=True):
            assert left.equals(right)
    finally:
        shutil.rmtree(root)


def _die(self, version):
    raise KeyboardInterrupt
