"""Attempts on the embedded engine that must be refused: nothing hidden is told, nothing is written, the session goes on."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError, RefusedError, UsageError
from tests.attacks import embedded_lake
from tests.attacks.embedded_attempts import REFUSED


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return embedded_lake.make(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="module")
def known(site):
    return site.session.run(embedded_lake.KNOWN).to_pylist()


def test_there_are_at_least_120_attempts():
    assert len(REFUSED) >= 120


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_attempt_is_refused(name, site, known, capfd, caplog):
    tmp_path = Path.cwd()
    planted_frame = [embedded_lake.MARK]  # a replacement scan would find it in this frame
    assert planted_frame
    sql = REFUSED[name].replace("{file}", site.files[0]).replace("{folder}", str(site.folder))
    before, here = embedded_lake.left_files(site.folder), sorted(tmp_path.iterdir())
    started = time.monotonic()

    with pytest.raises(LakehouseError) as caught:
        site.session.run(sql)

    assert isinstance(caught.value, UsageError | RefusedError)
    assert "ran for more than" not in str(caught.value), "it was let run"
    assert time.monotonic() - started < 10
    assert caught.value.hint
    said = "".join(traceback.format_exception(caught.value, chain=False)) + repr(caught.value) + str(caught.value.hint)
    assert caught.value.__context__ is None or "duckdb" not in type(caught.value.__context__).__module__
    out, err = capfd.readouterr()
    assert not embedded_lake.leaks(said)
    assert not embedded_lake.leaks(out + err + caplog.text)
    assert "Traceback" not in out + err
    assert embedded_lake.left_files(site.folder) == before
    assert sorted(tmp_path.iterdir()) == here
    assert site.session.run(embedded_lake.KNOWN).to_pylist() == known
