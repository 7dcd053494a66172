"""What became of the files of one ingest: figures per batch, checks by name; counts only, never values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.quality import CheckResult

BatchState = Literal["staged", "held", "rejected", "skipped"]


@dataclass(frozen=True)
class BatchReport:
    """What became of one delivered file.

    Attributes:
        batch: its number, 0 for a file that was not there; the file's name is not repeated here, it may be personal.
        rows: records read now; 0 for a file that was skipped or rejected.
        state: `skipped` is a file that had been taken before, unless its batch is still `held`.
        superseded: rows that a later word about their key beat, or will have been beaten by.
        deleted: deletes, and rows that they ended.
        erased: rows that stay closed, because their entity was erased.
        reason: why it was held, rejected or skipped, or why a dump's deletes were held.
    """

    batch: int
    state: BatchState
    rows: int = 0
    staged: int = 0
    quarantined: int = 0
    duplicate: int = 0
    conflict: int = 0
    superseded: int = 0
    deleted: int = 0
    erased: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class IngestReport:
    """What became of all files.

    Attributes:
        batches: one report per file, and one per earlier batch that was finished now.
        raw_version: raw's Delta version after the last commit, None when nothing was committed.
        staged_version: likewise of staged; its tail is merged by then, so readers see this version.
        row_checks: rows that failed, by check name; all row checks are there once a row was judged.
        batch_checks: every batch check of every judged batch.
    """

    batches: tuple[BatchReport, ...] = ()
    raw_version: int | None = None
    staged_version: int | None = None
    row_checks: Mapping[str, int] = field(default_factory=dict[str, int])
    batch_checks: tuple[CheckResult, ...] = ()

    def __add__(self, later: IngestReport) -> IngestReport:
        """Both reports as one."""
        names = [*self.row_checks, *(name for name in later.row_checks if name not in self.row_checks)]
        return IngestReport(
            batches=(*self.batches, *later.batches),
            raw_version=self.raw_version if later.raw_version is None else later.raw_version,
            staged_version=self.staged_version if later.staged_version is None else later.staged_version,
            row_checks={name: self.row_checks.get(name, 0) + later.row_checks.get(name, 0) for name in names},
            batch_checks=(*self.batch_checks, *later.batch_checks),
        )

    @property
    def refused(self) -> bool:
        """Whether a file was rejected or a batch held."""
        return any(batch.state in {"rejected", "held"} for batch in self.batches)
