"""What `verify worm` finds broken: which table, which link of the chain, which version and file, and what was done there.

Names of files that storage would never give are told by a digest only: whoever put such a file may have named it after a
person.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lakehouse.model import Finding, Level

_PLAIN = re.compile(r"([\w.~=-]{1,60}/)?[\w.~=#-]{1,120}/?", re.ASCII)
_RESTORE = (
    "restore what is named from a backup, byte for byte; nothing of the lake is to be trusted behind it until then"
)
_PUT_BACK = "the store still has the version that was committed: `lakehouse recover --yes` puts it back"
_REVIEW = "find out who did it; docs/worm.md says what it means and what mends it"


@dataclass(frozen=True, order=True)
class Broken:
    """One broken link.

    Attributes:
        entry: the entry of the chain that vouches for it; where none does, the next one of the table, or the one to come.
        version: the Delta version, -1 when no version is concerned.
        file: the file's name, empty when no file is concerned.
        code: `raw_` and what is broken, for programs.
        what: what was done.
        table: what the control database calls the table.
        told: whether the entry tells of it.
        mends: whether the bytes of before would mend it.
        kept: whether the store still has them.
    """

    entry: int
    version: int
    file: str
    code: str
    what: str
    table: str
    told: bool = True
    mends: bool = True
    kept: bool = False

    def finding(self) -> Finding:
        """The same for people."""
        place = [f"entry {self.entry}"] if self.told else []
        place += [f"version {self.version}"] if self.version >= 0 else []
        place += [f"file `{shown(self.file)}`"] if self.file else []
        message = f"{', '.join(place)}: {self.what}" if place else self.what
        hint = _PUT_BACK if self.kept else _RESTORE if self.mends else _REVIEW
        return Finding(self.code, Level.ERROR, self.table, message, hint)


def shown(name: str) -> str:
    """A file's name, or a digest of it when it is none of ours."""
    if _PLAIN.fullmatch(name):
        return name
    return f"a name that is none of ours, sha256 {hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"
