"""Who holds the outermost keys: a small port, and the two holders that need no service.

A provider wraps epoch keys and nothing else, so a process asks it once for each epoch. Each epoch has a key version of its
own at the provider: once that is destroyed, not even a backup of the control database opens what it wrapped.
A new provider passes `tests/conformance/test_key_providers.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lakehouse.errors import KeyUnavailableError, RefusedError
from lakehouse.storage.control import epoch_table

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from lakehouse.storage import Lake

KEY_BYTES = 32
NONCE_BYTES = 12
_LINE = re.compile(r"([1-9][0-9]{0,8}) ([0-9a-f]{64}|destroyed)")
_DESTROYED = "destroyed"
_SHAPE = "each line is `<version> <64 hex digits>`"
_RESTORE = (
    "restore the keys from their backup, never make new ones in their place: without them the sealed rows of raw never open "
    "again, while staged, curated and features stay readable (docs/keys.md)"
)


class KeyProvider(Protocol):
    """Holds key encryption keys, in versions that only rise."""

    def newest(self) -> int:
        """The newest version there is; 0 before the first."""
        ...

    def create(self) -> int:
        """A new version; for providers that people fill, the one they have put there."""
        ...

    def wrap(self, version: int, key: bytes) -> bytes:
        """A key, wrapped by a version."""
        ...

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """What `wrap` wrapped.

        Raises:
            KeyUnavailableError: the version is missing, destroyed, or not the one that wrapped.
        """
        ...

    def destroy(self, version: int) -> None:
        """Destroy a version for good; nothing happens when it is gone already."""
        ...


def provider(lake: Lake) -> KeyProvider:
    """The provider that the settings name: text if there is one, else the key file."""
    if lake.kek is None:
        return KeyFile(lake.key_file)
    newest = sa.select(sa.func.max(epoch_table.c.provider_version))
    with lake.control.read() as connection:
        used = connection.execute(newest).scalar_one()
    return SecretText(lake.kek, used=used or 0)


@dataclass(frozen=True)
class KeyFile:
    """Versions in a file of its own, mode 0600, made on first use.

    Attributes:
        path: the file.
    """

    path: Path

    def versions(self) -> list[int]:
        """The versions in the file."""
        return _living(self._read())

    def newest(self) -> int:
        """The newest version in the file; 0 when there is no file."""
        return max(self._read(), default=0)

    def create(self) -> int:
        """Add a version of fresh random bits."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._alone():
            keys = self._read()
            version = max(keys, default=0) + 1
            self._put({**keys, version: secrets.token_hex(KEY_BYTES)})
        if not keys:
            sys.stderr.write(f"made a new key file: {self.path} - back it up, apart from lake and control database\n")
        return version

    def wrap(self, version: int, key: bytes) -> bytes:
        """A key, wrapped by a version."""
        return _wrap(self._cipher(version), version, key)

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """What `wrap` wrapped."""
        return _unwrap(self._cipher(version), version, wrapped, where=str(self.path))

    def destroy(self, version: int) -> None:
        """Overwrite a version where it stands, then write the file without it."""
        if version not in self._read():
            return
        with self._alone():
            keys = self._read()
            content = self.path.read_bytes()
            place = content.find(keys[version].encode("ascii"))
            with self.path.open("r+b") as stream:
                stream.seek(place)
                stream.write(_DESTROYED.encode("ascii").ljust(len(keys[version])))
                stream.flush()
                os.fsync(stream.fileno())
            self._put({**keys, version: _DESTROYED})

    def _cipher(self, version: int) -> AESGCM:
        if not self.path.exists():
            raise KeyUnavailableError("the key file is missing", where=str(self.path), hint=_RESTORE)
        return _cipher(self._read(), version, where=str(self.path))

    def _read(self) -> dict[int, str]:
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            content = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            hint = "check its owner and mode"
            raise KeyUnavailableError("the key file cannot be read", where=str(self.path), hint=hint) from error
        if mode & 0o077:
            raise KeyUnavailableError(
                f"others can read the key file (mode {mode:04o})",
                where=str(self.path),
                hint=f"run `chmod 600 {self.path}`, and `lakehouse keys rotate` if others may have read it",
            )
        return _parse(content, where=str(self.path))

    def _put(self, keys: dict[int, str]) -> None:
        """Write the whole file beside its place, then rename it there."""
        new = self.path.with_name(f".{self.path.name}.new")
        new.unlink(missing_ok=True)  # left by one who died; nobody else writes now
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.writelines(f"{version} {key}\n" for version, key in sorted(keys.items()))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self.path)
        with self._folder() as descriptor:
            os.fsync(descriptor)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """One process at a time; the folder is locked, because the file itself is replaced."""
        with self._folder() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _folder(self) -> Generator[int]:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class SecretText:
    """Versions that a deployment gives as text, by `LAKEHOUSE_KEK` or a secret file; people add and take away lines.

    Attributes:
        text: the lines of a key file.
        used: the newest version that is in use.
    """

    text: str = field(repr=False)
    used: int = 0

    def versions(self) -> list[int]:
        """The versions in the text."""
        return _living(self._read())

    def newest(self) -> int:
        """The newest version in the text."""
        return max(self._read(), default=0)

    def create(self) -> int:
        """The newest version, if it is newer than those in use.

        Raises:
            RefusedError: there is no newer one.
        """
        newest = self.newest()
        if newest <= self.used:
            line = f"{newest + 1} <64 hex digits>"
            raise RefusedError(
                "the secret text has no newer key version",
                where=_PLACE,
                hint=f"add a line `{line}` to the secret, for example by `openssl rand -hex 32`",
            )
        return newest

    def wrap(self, version: int, key: bytes) -> bytes:
        """A key, wrapped by a version."""
        return _wrap(_cipher(self._read(), version, where=_PLACE), version, key)

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """What `wrap` wrapped."""
        return _unwrap(_cipher(self._read(), version, where=_PLACE), version, wrapped, where=_PLACE)

    def destroy(self, version: int) -> None:
        """See that people have taken the version away.

        Raises:
            RefusedError: it is still there.
        """
        if self._read().get(version, _DESTROYED) != _DESTROYED:
            raise RefusedError(
                f"key version {version} is still in the secret text",
                where=_PLACE,
                hint=f"take the line `{version} …` out of the secret and all its backups, then run this again",
            )

    def _read(self) -> dict[int, str]:
        return _parse(self.text, where=_PLACE)


_PLACE = "LAKEHOUSE_KEK"


def _parse(content: str, *, where: str) -> dict[int, str]:
    keys: dict[int, str] = {}
    for line in filter(None, map(str.strip, content.splitlines())):
        found = _LINE.fullmatch(line)
        if found is None or int(found[1]) in keys:
            raise KeyUnavailableError(f"the keys are not readable: {_SHAPE}", where=where, hint=_RESTORE)
        keys[int(found[1])] = found[2]
    return keys


def _living(keys: dict[int, str]) -> list[int]:
    return sorted(version for version, key in keys.items() if key != _DESTROYED)


def _cipher(keys: dict[int, str], version: int, *, where: str) -> AESGCM:
    key = keys.get(version)
    if key is None:
        raise KeyUnavailableError(f"key version {version} is missing", where=where, hint=_RESTORE)
    if key == _DESTROYED:
        hint = "what it wrapped is gone for good, as it was meant to be"
        raise KeyUnavailableError(f"key version {version} was destroyed", where=where, hint=hint)
    return AESGCM(bytes.fromhex(key))


def _wrap(cipher: AESGCM, version: int, key: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, key, _bound(version))


def _unwrap(cipher: AESGCM, version: int, wrapped: bytes, *, where: str) -> bytes:
    try:
        return cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound(version))
    except (InvalidTag, ValueError):
        # `from None`: a traceback of the cipher says nothing more
        raise KeyUnavailableError(
            f"key version {version} is not the one that wrapped this epoch's key", where=where, hint=_RESTORE
        ) from None


def _bound(version: int) -> bytes:
    return f"epoch key/{version}".encode("ascii")
