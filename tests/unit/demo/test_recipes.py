"""Recipes: every mistake is told with its place, and text can be made for the patterns contracts use."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lakehouse.demo.generate import generate
from lakehouse.demo.patterns import matching
from lakehouse.demo.recipe import Recipe, load_recipe
from lakehouse.errors import ProjectError


@pytest.mark.parametrize(
    "pattern",
    [
        r"[CA]?[0-9]{6}",
        r"[0-9]{5}(\.0)?",
        r"[^@\s]+@[^@\s]+",
        r"^(AB|CD{2,3}|\d)-x*$",
        r"[a-f0-9]{32}",
        r"a{2,}|b",
        r"\w\.",
        "",
    ],
)
def test_text_matches_its_pattern(pattern):
    made = matching(np.random.default_rng(3), 200, pattern)
    assert len(made) == 200
    assert all(re.fullmatch(pattern, text) for text in made)


@pytest.mark.parametrize("pattern", [r"(?=x)y", "a{", r"\b", "[", "(", "a**", "x)"])
def test_patterns_it_does_not_speak_are_refused(pattern):
    with pytest.raises(ProjectError, match="cannot make text"):
        matching(np.random.default_rng(3), 1, pattern)


def test_without_a_recipe_the_contract_is_enough(bank_root):
    assert load_recipe(bank_root, "bank") == Recipe()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tables: {payment: {rows: 3}}", "tables.payment.rows"),
        ("period: {first: never}", "period.first"),
        ("tables: [", "not readable as YAML"),
    ],
)
def test_a_recipe_that_is_off_is_told_with_its_place(bank_root, text, told):
    file = bank_root / "policies" / "domains" / "bank" / "demo.yaml"
    file.write_text(text)
    with pytest.raises(ProjectError) as caught:
        load_recipe(bank_root, "bank")
    assert told in caught.value.message
    assert caught.value.where == str(file)


def test_a_recipe_that_names_an_unknown_column_is_refused(bank_root, bank, tmp_path):
    (bank_root / "policies" / "domains" / "bank" / "demo.yaml").write_text(
        "tables: {payment: {columns: {amuont: {serial: 1}}}}"
    )
    with pytest.raises(ProjectError, match="`amuont`"):
        generate(bank, tmp_path / "out", rows=10)


def test_the_recipe_decides_how_values_look(bank_root, bank, tmp_path):
    (bank_root / "policies" / "domains" / "bank" / "demo.yaml").write_text(
        "period: {first: 2020-01-06, last: 2020-01-12, closed: [sat, sun]}\n"
        "tables: {payment: {file: all.csv, columns: {code: {choice: {x: 1, y: 3}, prefix: '<', suffix: '>'}}}}"
    )
    made = generate(bank, tmp_path / "out", rows={next(t.id for t in bank.tables if t.id.table == "payment"): 400})
    text = made.files[0].read_text()
    assert made.files[0].name == "all.csv"
    assert {"<x>", "<y>"} == set(re.findall(r"<\w>", text))
    assert set(re.findall(r"2020-01-\d\d", text)) == {f"2020-01-{day:02}" for day in range(6, 11)}
