"""The lake's files by URI: put, read, size, list, delete; local paths and object stores alike.

The only module that touches data files' bytes. A file is put whole under a name that nobody else uses and its SHA-256 is
of the bytes that were put, so a reader of the store can prove what was written. Local files are synchronised to disk.
"""

# pyarrow and deltalake ship no or partial types: what they give back is unknown to the checker in every line of this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false

# ruff: noqa: PLR0402 - `from lakehouse.storage import x` would go through the package's re-exports, an import cycle.

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.fs as pafs

import lakehouse.storage.faults as faults
from lakehouse.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence


READ_ONLY = 0o444
_PIECE = 1 << 20


def is_local(uri: str) -> bool:
    """Whether the URI is a path on this machine."""
    return "://" not in uri


def join(uri: str, *parts: str) -> str:
    """A URI below another."""
    return "/".join((uri.rstrip("/"), *parts))


def put(uri: str, content: bytes | memoryview, *, read_only: bool = False) -> str:
    """Write one new file whole, on a local disk read-only if asked; returns the SHA-256 of its bytes."""
    said = hashlib.sha256(content).hexdigest()
    with faults.around("file.put"):
        if is_local(uri):
            _put_local(Path(uri), content, read_only=read_only)
        else:
            _put_remote(uri, content)
    return said


def put_once(uri: str, content: bytes) -> bool:
    """Write one small file whole, or not at all: whether there was none of this name.

    Locally a link gives the finished file its name, which fails if the name is taken. Object stores show an object only
    once it is whole; there the name is looked at before.
    """
    with faults.around("file.put"):
        if is_local(uri):
            beside = _beside(Path(uri))
            _put_local(beside, content)
            return _name(beside, Path(uri))
        if _size(uri) is not None:
            return False
        _put_remote(uri, content)
        return True


def replace(uri: str, content: bytes) -> None:
    """Put a small file in place of another one: readers see the old bytes or the new ones."""
    with faults.around("file.replace"):
        if is_local(uri):
            beside = _beside(Path(uri))
            _put_local(beside, content)
            beside.replace(uri)
            synchronise(uri)
        else:
            _put_remote(uri, content)


def read(uri: str) -> bytes | None:
    """The file's bytes, or None when there is none."""
    if is_local(uri):
        try:
            return Path(uri).read_bytes()
        except FileNotFoundError:
            return None
    filesystem, path = _remote(uri)
    if filesystem.get_file_info(path).type != pafs.FileType.File:
        return None
    with filesystem.open_input_stream(path) as stream:
        return stream.read()


def digest(uri: str) -> tuple[int, str] | None:
    """Size and SHA-256 of a file by reading all of its bytes, a piece at a time; None when there is none."""
    if is_local(uri):
        try:
            with Path(uri).open("rb", buffering=0) as stream:
                return _digest(stream)
        except FileNotFoundError:
            return None
    filesystem, path = _remote(uri)
    if filesystem.get_file_info(path).type != pafs.FileType.File:
        return None
    with filesystem.open_input_stream(path) as stream:
        return _digest(stream)


def sizes(uris: Sequence[str]) -> dict[str, int | None]:
    """Size by URI, None for a file that is not there."""
    return {uri: _size(uri) for uri in uris}


def names(uri: str) -> list[str]:
    """Names of the files directly in a folder; empty when there is no folder."""
    if is_local(uri):
        try:
            return sorted(entry.name for entry in os.scandir(uri) if entry.is_file())
        except FileNotFoundError:
            return []
    filesystem, path = _remote(uri)
    infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in infos if info.type == pafs.FileType.File)


def folders(uri: str) -> list[str]:
    """Names of the folders directly in a folder; empty when there is no folder."""
    if is_local(uri):
        try:
            return sorted(entry.name for entry in os.scandir(uri) if entry.is_dir())
        except FileNotFoundError:
            return []
    filesystem, path = _remote(uri)
    infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory)


def delete(uri: str) -> None:
    """Delete one file; a missing one is no error."""
    with faults.around("file.delete"):
        if is_local(uri):
            Path(uri).unlink(missing_ok=True)
        else:
            filesystem, path = _remote(uri)
            with suppress(FileNotFoundError):
                filesystem.delete_file(path)


def protect(uri: str) -> None:
    """Make a local file read-only, where the file system knows that; it may still be deleted."""
    if is_local(uri):
        with suppress(OSError):
            Path(uri).chmod(READ_ONLY)


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
        stream.write(content)
        stream.flush()
        if read_only:
            with suppress(OSError):  # a file system without modes
                os.fchmod(stream.fileno(), READ_ONLY)
        os.fsync(stream.fileno())


def _put_remote(uri: str, content: bytes | memoryview) -> None:
    filesystem, path = _remote(uri)
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


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
    filesystem, path = _remote(uri)
    info = filesystem.get_file_info(path)
    return info.size if info.type == pafs.FileType.File else None


def _remote(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        return pafs.FileSystem.from_uri(uri)
    except ValueError as error:
        raise StorageError(
            f"`{uri}` is not a place that can be written", hint="use a path or an s3:// address"
        ) from error
