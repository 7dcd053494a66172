"""Every error a user can meet: what went wrong, where, and how to mend it.

    LakehouseError                1  could not run
    ├── UsageError                2  the command's words are off
    ├── ProjectError              1  project root, settings or environment
    ├── ContractError            3  findings in contract files, all of them at once
    ├── PolicyError              3  findings in policy documents, all of them at once
    ├── RefusedError              3  the request was understood and refused
    │   ├── LakeMissingError      3  no lake at this place
    │   ├── LakeMismatchError     3  lake.json and the control database disagree
    │   ├── FormatVersionError    3  a lake of another format version
    │   ├── SchemaMismatchError   3  data does not have the table's exact schema
    │   ├── UnsupportedTableError 3  a Delta feature that would read wrongly
    │   ├── FileRejectedError     3  a delivered file that cannot be taken
    │   └── KnowledgeTimeError    3  a past `known_at` on a table without history
    ├── QueryError                1  a reader's query could not be computed
    └── StorageError              1  the lake could not be read or written
        ├── LeaseTakenError       1  somebody else works on the table
        ├── FencedOutError        1  a newer holder has committed; this one must not
        └── KeyUnavailableError   1  a key that everything is wrapped by is missing or wrong

Messages are lower case without a full stop, names in backticks, and never hold a data value.
"""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.model import Finding


class LakehouseError(Exception):
    """A failure with a place and a remedy.

    Args:
        message: what is wrong, one line.
        where: `file:line`, table or command concerned.
        hint: the next step that mends it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class UsageError(LakehouseError):
    """The command's words are off."""

    exit_code = 2


class ProjectError(LakehouseError):
    """The project root, its settings or its environment cannot be used."""


class ContractError(LakehouseError):
    """Contract files are wrong; holds every mistake at once."""

    exit_code = 3

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = "\n".join(str(finding) for finding in self.findings)
        super().__init__(f"{len(self.findings)} mistakes in contracts\n{lines}")


class PolicyError(LakehouseError):
    """Policy documents are wrong; holds every mistake at once."""

    exit_code = 3

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = "\n".join(str(finding) for finding in self.findings)
        super().__init__(f"{len(self.findings)} mistakes in policies\n{lines}")


class RefusedError(LakehouseError):
    """The request was understood and refused."""

    exit_code = 3


class LakeMissingError(RefusedError):
    """There is no lake at this place."""


class LakeMismatchError(RefusedError):
    """The lake's marker file and the control database disagree."""


class FormatVersionError(RefusedError):
    """The lake was written by another format version."""


class SchemaMismatchError(RefusedError):
    """The data does not have the table's exact schema."""


class UnsupportedTableError(RefusedError):
    """The table uses a Delta feature that would be read wrongly."""


class FileRejectedError(RefusedError):
    """A delivered file cannot be taken."""


class KnowledgeTimeError(RefusedError):
    """A past `known_at` was asked of a table that keeps no history."""


class QueryError(LakehouseError):
    """A reader's query could not be computed on the rows that it may see."""


class StorageError(LakehouseError):
    """The lake could not be read or written."""


class LeaseTakenError(StorageError):
    """Another holder has the table's lease."""


class FencedOutError(StorageError):
    """A newer holder has committed to the table; this one must not."""


class KeyUnavailableError(StorageError):
    """A key that everything else is wrapped by is missing, destroyed or another one."""


_AGAIN = "then run the command again; it goes on where it was"
#: What the system says of a disk or of rights: no mistake of ours, and no value in it.
_SYSTEM = {
    errno.ENOSPC: ("no space is left on the disk", f"make room, {_AGAIN}"),
    errno.EDQUOT: ("the disk quota is used up", f"make room, {_AGAIN}"),
    errno.EROFS: ("the disk is mounted read-only", f"mount it so that it can be written, {_AGAIN}"),
    errno.EACCES: ("this user may not do that here", f"check owner and mode of the folder, {_AGAIN}"),
    errno.EPERM: ("this user may not do that here", f"check owner and mode of the folder, {_AGAIN}"),
    errno.EIO: ("the disk reports an error", f"check the disk, {_AGAIN}"),
    errno.EMFILE: ("too many files are open", f"raise the limit (`ulimit -n`), {_AGAIN}"),
}


#: How engines that read an S3 store by themselves begin what they say of its failures, before anything of a file.
_STORE = ("object-store error", "Generic S3 error")
STORE_HINT = "check `AWS_ENDPOINT_URL`, `AWS_REGION`, the credentials and their rights, then run it again"


def of_system(error: BaseException, *, where: str | None = None) -> StorageError | None:
    """What to tell of a full or read-only disk, of missing rights or a silent store; None when it is something else.

    Only the folder is named: names of landed files may be personal.
    """
    if isinstance(error, OSError) and error.errno is None and str(error).startswith(_STORE):
        return StorageError("the S3 store refused, or did not answer", where=where, hint=STORE_HINT)
    if not isinstance(error, OSError) or error.errno not in _SYSTEM:
        return None
    what, hint = _SYSTEM[error.errno]
    place = str(Path(error.filename).parent) if isinstance(error.filename, str) else where
    return StorageError(what, where=place, hint=hint)


def withheld(error: BaseException, *, where: str | None = None) -> StorageError:
    """What may be told of an error that is not ours: its kind and the project's line it came through, never its text.

    Any message may quote a cell: an engine's ("could not convert 'x' to int") as well as Python's own.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    place = f" at `{own[-1].filename.rsplit('/', 1)[-1]}:{own[-1].lineno}`" if own else ""
    return StorageError(
        f"`{type(error).__module__}.{type(error).__name__}`{place}; its text may hold values and is withheld",
        where=where,
        hint="run it in a debugger on a machine that may see the data",
    )
