"""Forgetting surrogates the way an erasure does, for tests of what follows."""

from __future__ import annotations

import pytest

from lakehouse.privacy import vault
from lakehouse.privacy.erasures import Erasure, record


def destroy_keys(lake, surrogates, scopes=None) -> None:
    """Destroy the keys of surrogates (hex), all or of some scopes, in one erasure."""
    marks = vault.marks(lake, surrogates.drop_nulls().unique()).to_list()
    record(lake, [Erasure("person", b"", tuple(marks), None if scopes is None else tuple(sorted(scopes)), 1)])


@pytest.fixture
def forget():
    """`destroy_keys`."""
    return destroy_keys
