"""Small disks of one's own: a tmpfs of a size, made larger or read-only while it is in use, and never left mounted."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = "a tmpfs cannot be mounted here ({}); skipped with LAKEHOUSE_REQUIRE=all too, since CI may refuse mounts"


class Disk:
    """A mounted tmpfs."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def resize(self, kilobytes: int) -> None:
        self._remount(f"size={kilobytes}k")

    def read_only(self) -> None:
        self._remount("ro")

    def writable(self) -> None:
        self._remount("rw")

    def _remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.place)], check=True, capture_output=True)


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Disk]:
    """A disk of so many kilobytes at `place`; the test is skipped where mounting is refused."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(REFUSED.format("there is no `mount`"))
    if done.returncode != 0:
        pytest.skip(REFUSED.format(done.stderr.strip() or f"exit code {done.returncode}"))
    try:
        yield Disk(place)
    finally:
        # lazily: a file that is still open must not keep the disk in the tree
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)
