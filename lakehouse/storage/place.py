"""Where a lake's tables are: below its root, but for raw, which may be in a place of its own.

A store that keeps raw under object lock keeps every version of every object, so nothing that is ever to be deleted may be
in the same bucket.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

from dataclasses import dataclass

import lakehouse.storage.files as files
from lakehouse.model import Tier


@dataclass(frozen=True)
class Place:
    """Two roots, paths or URIs without a slash at the end.

    Attributes:
        root: the lake's.
        raw: the raw tier's, by default `<root>/raw`.
    """

    root: str
    raw: str

    @staticmethod
    def of(root: str, raw: str | None) -> Place:
        """A lake's place; `raw` is None where that tier has no place of its own."""
        return Place(root, raw or files.join(root, Tier.RAW.value))

    def table(self, key: str) -> str:
        """Where a table is that the control database calls so."""
        first, *rest = key.split(".")
        return files.join(self.raw, *rest) if first == Tier.RAW.value else files.join(self.root, first, *rest)
