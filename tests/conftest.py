"""Shared parts of the tests: a fresh lake, a fixed clock, the real files, and what to do when a service is missing."""

from __future__ import annotations

import datetime as dt
import gc
import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.control_servers import any_lake, any_settings, postgres_server, postgres_url  # noqa: F401 - fixtures
from tests.forgetting import forget  # noqa: F401 - a fixture
from tests.stores import any_place, in_store, locking_store, minio, module_site, s3, site, versitygw  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

#: marker -> programs, one of which must be there
NEEDS = {"browser": ("chromium", "chromium-browser", "google-chrome")}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: the garbage collector need not walk half a million objects again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Extension modules complain of what is left when the process ends."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip loudly what a laptop lacks; with LAKEHOUSE_REQUIRE=all fail instead."""
    for item in items:
        for marker, programs in NEEDS.items():
            if item.get_closest_marker(marker) and not any(shutil.which(program) for program in programs):
                if os.environ.get("LAKEHOUSE_REQUIRE") == "all":
                    item.add_marker(pytest.mark.usefixtures("missing_part"))
                else:
                    item.add_marker(pytest.mark.skip(reason=f"{marker}: none of {programs}; run `make test-deps`"))


@pytest.fixture
def missing_part() -> None:
    pytest.fail("a part that this test needs is missing and LAKEHOUSE_REQUIRE=all; run `make test-deps`")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's lake."""
    kept = {"LAKEHOUSE_REQUIRE", "LAKEHOUSE_SCREENSHOTS", "LAKEHOUSE_TEST_BIN"}
    for name in [name for name in os.environ if name.startswith(("LAKEHOUSE_", "AWS_")) and name not in kept]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _unit_tests_stay_offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests open no connection."""
    if "unit" not in request.path.parts:
        return

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a unit test opened a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real files; tests that read them skip where they are absent."""
    if not SHARED.is_dir():
        pytest.skip("the real files of ../shared/data are not here")
    return SHARED


@pytest.fixture(scope="session")
def project_root() -> Path:
    return ROOT


@pytest.fixture
def clock() -> dt.datetime:
    """A fixed instant."""
    return dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture
def lake_settings(tmp_path: Path):
    from lakehouse.settings import load_settings

    return load_settings(ROOT, lake=str(tmp_path / "lake"))


@pytest.fixture
def lake(lake_settings):
    """A fresh lake in a temporary folder."""
    from lakehouse import storage

    return storage.create_lake(lake_settings)
