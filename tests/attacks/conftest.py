"""A lake of one's own for each attack."""

from __future__ import annotations

import pytest

from lakehouse import storage
from tests.attacks import worm_lake


@pytest.fixture(scope="session")
def worm_template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worm")
    worm_lake.make(folder)
    return folder


@pytest.fixture
def attacked(worm_template, tmp_path):
    """A lake with two raw tables, see `worm_lake.make`."""
    opened = storage.open_lake(worm_lake.settings_of(worm_lake.copy(worm_template, tmp_path)))
    yield opened
    opened.control.dispose()
