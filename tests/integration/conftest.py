"""Lakes of these tests are on this disk, then in a store with raw in a bucket of its own that locks."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT


@pytest.fixture
def lake_settings(site):
    return site.settings(ROOT)
