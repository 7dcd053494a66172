"""The lake's files by URI: put, read, size, list, delete; local paths and an S3 store alike.

The only module that touches data files' bytes. A file is put whole under a name that nobody else uses and its SHA-256 is
of the bytes that were put, so a reader of the store can prove what was written. Local files are synchronised to disk.
"""

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lakehouse.storage.faults as faults
import lakehouse.storage.s3 as s3
from lakehouse.errors import StorageError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence


READ_ONLY = 0o444
_PIECE = 1 << 20
_ASKED_AT_ONCE = 16


def is_local(uri: str) -> bool:
    """Whether the URI is a path on this machine.

    Raises:
        StorageError: it is neither that nor a place in an S3 store.
    """
    if "://" not in uri:
        return True
    if uri.startswith(s3.SCHEME):
        return False
    raise StorageError(f"`{uri}` is not a place that can be written", hint="use a path or an s3:// address")


def join(uri: str, *parts: str) -> str:
    """A URI below another."""
    return "/".join((uri.rstrip("/"), *parts))


def put(uri: str, content: bytes | memoryview, *, worm: bool = False, until: dt.datetime | None = None) -> s3.Stored:
    """Write one new file whole.

    Args:
        uri: where.
        content: its bytes.
        worm: it is never to change: read-only on a local disk.
        until: in a store, nobody may delete it before.

    Raises:
        FileExistsError: there is a file of that name.
    """
    with faults.around("file.put"):
        if not is_local(uri):
            return s3.put(uri, content, until=until)
        _put_local(Path(uri), content, read_only=worm)
        return s3.Stored(hashlib.sha256(content).hexdigest())


def put_once(uri: str, content: bytes) -> bool:
    """Write one small file whole, or not at all: whether there was none of this name.

    Locally a link gives the finished file its name, which fails if the name is taken; a store does the same by itself.
    """
    with faults.around("file.put"):
        if is_local(uri):
            beside = _beside(Path(uri))
            _put_local(beside, content)
            return _name(beside, Path(uri))
        try:
            s3.put(uri, content)
        except FileExistsError:
            return False
        return True


def replace(uri: str, content: bytes) -> None:
    """Put a small file in place of another one: readers see the old bytes or the new ones."""
    with faults.around("file.replace"):
        if is_local(uri):
            beside = _beside(Path(uri))
            _put_local(beside, content)
            beside.replace(uri)
            for left in beside.parent.glob(f".{Path(uri).name}.*.part"):  # of whoever died while he wrote one
                left.unlink(missing_ok=True)
            synchronise(uri)
        else:
            s3.put(uri, content, once=False)


def read(uri: str) -> bytes | None:
    """The file's bytes, or None when there is none."""
    found = read_version(uri)
    return None if found is None else found[0]


def read_version(uri: str) -> tuple[bytes, str | None] | None:
    """The file's bytes and, where a store keeps versions, which one they are; None when there is none."""
    if is_local(uri):
        try:
            return Path(uri).read_bytes(), None
        except FileNotFoundError:
            return None
    found = s3.get(uri)
    return None if found is None else (found.content, found.version)


def digest(uri: str, *, version: str | None = None) -> tuple[int, str] | None:
    """Size and SHA-256 of a file (or of one version of it) by reading all of its bytes; None when there is none."""
    if is_local(uri):
        try:
            with Path(uri).open("rb", buffering=0) as stream:
                return _digest(stream)
        except FileNotFoundError:
            return None
    return s3.digest(uri, version=version)


def sizes(uris: Sequence[str]) -> dict[str, int | None]:
    """Size by URI, None for a file that is not there."""
    if len(uris) < 2 or is_local(uris[0]):  # noqa: PLR2004 - one question needs no pool
        return {uri: _size(uri) for uri in uris}
    with ThreadPoolExecutor(min(_ASKED_AT_ONCE, len(uris))) as pool:
        return dict(zip(uris, pool.map(_size, uris), strict=True))


def names(uri: str) -> list[str]:
    """Names of the files directly in a folder; empty when there is no folder."""
    if is_local(uri):
        try:
            return sorted(entry.name for entry in os.scandir(uri) if entry.is_file())
        except FileNotFoundError:
            return []
    return s3.names(uri)[0]


def folders(uri: str) -> list[str]:
    """Names of the folders directly in a folder; empty when there is no folder."""
    if is_local(uri):
        try:
            return sorted(entry.name for entry in os.scandir(uri) if entry.is_dir())
        except FileNotFoundError:
            return []
    return s3.names(uri)[1]


def delete(uri: str) -> bool:
    """Delete one file; a missing one is no error. Whether nothing of it is left: a store may keep what is locked."""
    with faults.around("file.delete"):
        if is_local(uri):
            Path(uri).unlink(missing_ok=True)
            return True
        return s3.delete(uri)


def protect(uri: str, version: str | None, *, until: dt.datetime | None) -> None:
    """What another library wrote is never to change: read-only on a local disk (it may still be deleted), else locked."""
    with faults.around("file.protect"):
        if is_local(uri):
            with suppress(OSError):
                Path(uri).chmod(READ_ONLY)
        elif until is not None:
            s3.lock(uri, version, until)


def synchronise(uri: str) -> None:
    """Make a local file that another library wrote, and its folder's entry, survive a power cut."""
    if not is_local(uri):
        return
    for path in (Path(uri), Path(uri).parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest(stream: Any) -> tuple[int, str]:
    found, buffer, size = hashlib.sha256(), bytearray(_PIECE), 0
    view = memoryview(buffer)
    while count := stream.readinto(buffer):
        found.update(view[:count])
        size += count
    return size, found.hexdigest()


def _put_local(path: Path, content: bytes | memoryview, *, read_only: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        try:
            stream.write(content)
            stream.flush()
            if read_only:
                with suppress(OSError):  # a file system without modes
                    os.fchmod(stream.fileno(), READ_ONLY)
            os.fsync(stream.fileno())
        except BaseException:
            # on a full disk: nobody knows of half a file, so nobody would take it away
            path.unlink(missing_ok=True)
            raise


def _beside(path: Path) -> Path:
    """A name of one's own in the same folder."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")


def _name(beside: Path, path: Path) -> bool:
    """Give a finished file its name; false if the name is taken."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    except OSError:
        # a file system without links: whole all the same, and who writes at once writes the same bytes
        if path.exists():
            return False
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    synchronise(str(path))
    return True


def _size(uri: str) -> int | None:
    if is_local(uri):
        try:
            return Path(uri).stat().st_size
        except FileNotFoundError:
            return None
    return s3.size(uri)
