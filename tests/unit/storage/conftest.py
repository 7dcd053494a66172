"""`visits`: the storage tests' sample table (tests are not a package, so it is loaded by path)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def visits():
    path = Path(__file__).with_name("storage_samples.py")
    spec = importlib.util.spec_from_file_location("storage_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
