"""What is let run has the same outcome, answer or failure, as on a lake that holds only what the reader may see."""

from __future__ import annotations

import traceback

import pytest

from lakehouse.errors import LakehouseError
from tests.attacks import embedded_lake
from tests.attacks.embedded_oracles import FALLIBLE, ORACLES, USUAL

#: These fail on visible rows as well.
FAILING = {"masked_cast", "date_format", "implicit_cast"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return embedded_lake.make(tmp_path_factory.mktemp("oracles"))


def outcome(session, sql):
    """Columns and rows in any order, or the failure."""
    try:
        table = session.run(sql)
    except LakehouseError as error:
        return type(error).__name__, str(error), "".join(traceback.format_exception(error))
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return [str(item.type) for item in table.schema], sorted(map(repr, rows))


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_outcome_is_that_of_what_may_be_seen(name, site, capfd):
    sql = ORACLES[name]
    before = embedded_lake.left_files(site.folder)

    got, expected = outcome(site.session, sql), outcome(site.twin, sql)

    assert got[:2] == expected[:2]
    shown = str(got).replace(sql, "")
    assert not embedded_lake.leaks(shown.replace("%zqxj%", "").replace("-918273645", "")), "something hidden was told"
    out, err = capfd.readouterr()
    assert not out + err
    assert embedded_lake.left_files(site.folder) == before


@pytest.mark.parametrize("what", sorted(set(FALLIBLE) - FAILING))
def test_expressions_are_answered(what, site):
    """So that the comparison is of answers, not of equal failures."""
    for place in USUAL:
        assert isinstance(outcome(site.session, ORACLES[f"{what}-in-{place}"])[0], list)
