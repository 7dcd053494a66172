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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.fs as pafs

import lakehouse.storage.faults as faults
from lakehouse.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_local(uri: str) -> bool:
    """Whether the URI is a path on this machine."""
    return "://" not in uri


def join(uri: str, *parts: str) -> str:
    """A URI below another."""
    return "/".join((uri.rstrip("/"), *parts))


def put(uri: str, content: bytes | memoryview) -> str:
    """Write one new file whole; returns the SHA-256 of its bytes."""
    digest = hashlib.sha256(content).hexdigest()
    with faults.around("file.put"):
        if is_local(uri):
            _put_local(Path(uri), content)
        else:
            filesystem, path = _remote(uri)
            with filesystem.open_output_stream(path) as stream:
                stream.write(content)
    return digest


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


def delete(uri: str) -> None:
    """Delete one file; a missing one is no error."""
    with faults.around("file.delete"):
        if is_local(uri):
            Path(uri).unlink(missing_ok=True)
        else:
            filesystem, path = _remote(uri)
            with suppress(FileNotFoundError):
                filesystem.delete_file(path)


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


def _put_local(path: Path, content: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


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
