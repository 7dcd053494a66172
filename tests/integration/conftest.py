"""Lakes of these tests are on this disk, then in a store with raw in a bucket of its own that locks."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT


@pytest.fixture
def lake_settings(site):
    return site.settings(ROOT)


@pytest.fixture(autouse=True)
def _module_site_is_found(request, monkeypatch, _own_environment) -> None:
    """A test that forgets its caller's environment still finds what is in a store for all tests of its file."""
    if "module_site" not in request.fixturenames:
        return
    site = request.getfixturevalue("module_site")
    if not site.is_local:
        request.getfixturevalue("s3")
        for name, value in site.environment(ROOT).items():
            monkeypatch.setenv(name, value)
