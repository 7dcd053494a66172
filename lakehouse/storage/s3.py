"""The one edge to an S3 store: whole objects, create-only puts, listings, versions, retention.

Place and credentials come from the environment that all S3 programs know (`AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, …, profiles, roles), so no secret passes through settings. Every failure becomes a `StorageError` that
names the place and the store's code, never more of what the store said.
"""

# boto3 makes its clients from data at run time and ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lakehouse.errors import STORE_HINT, StorageError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Generator, Iterator, Mapping

PROTOCOL = "s3"
SCHEME = f"{PROTOCOL}://"
_PIECE = 1 << 20
_GONE = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchVersion"})
_TAKEN = frozenset({"412", "PreconditionFailed"})
#: What stores answer to who would delete or overwrite what is locked: AWS and versitygw, MinIO.
_REFUSED = frozenset({"AccessDenied", "InvalidRequest", "403", "ObjectLocked", "MethodNotAllowed"})
#: To who asks for the lock of what has none: AWS, versitygw and MinIO; a bucket that was made without locks.
_LOCKS_NOTHING = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})
_AMBIGUOUS = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})
_NO_VERSION = "null"
_ATTEMPTS = 4
#: How long a store that says nothing is waited for: with all attempts about a minute. After that, while it says nothing
#: still, tidying up does not wait so long again for each file.
CONNECT_SECONDS, READ_SECONDS, IMPATIENT_SECONDS = 5, 15, 60.0
#: The same for delta-rs (two attempts of 20 s) and for polars, in their own words; their defaults are three minutes and more.
DELTA_PATIENCE = {"timeout": "20s", "connect_timeout": "5s", "retry_timeout": "35s"}
SCAN_PATIENCE: dict[str, Any] = {"max_retries": 2, "retry_timeout_ms": 35_000}
_clients: dict[tuple[int, str | None, str | None, bool], Any] = {}
_alone = threading.Lock()
_silent: dict[str | None, float] = {}  # when an endpoint last did not answer at all


@dataclass(frozen=True)
class Version:
    """One version of an object, or a marker that hides the ones before it."""

    id: str
    latest: bool
    hides: bool


@dataclass(frozen=True)
class Stored:
    """What was put: the SHA-256 of the bytes, and which version of the object they are where a store keeps versions."""

    sha256: str
    version: str | None = None


def options(uri: str) -> dict[str, str] | None:
    """What deltalake has to be told beside the environment; None for a path on this machine."""
    if not uri.startswith(SCHEME):
        return None
    # without a checksum a bucket with object lock refuses what delta-rs puts (notes/services.md, section 3)
    told = {"AWS_CHECKSUM_ALGORITHM": "sha256"}
    endpoint = _endpoint()
    if endpoint is not None:
        told["AWS_ENDPOINT_URL"] = endpoint
        if endpoint.startswith("http://"):
            told["AWS_ALLOW_HTTP"] = "true"
    told["AWS_REGION"] = _region()
    return {**told, **DELTA_PATIENCE}


def scan_options(uri: str) -> dict[str, Any] | None:
    """The same for polars, which knows other words for patience."""
    told = options(uri)
    return None if told is None else {**{n: v for n, v in told.items() if n not in DELTA_PATIENCE}, **SCAN_PATIENCE}


def put(uri: str, content: bytes | memoryview, *, until: dt.datetime | None = None, once: bool = True) -> Stored:
    """Put an object whole, with its SHA-256 for the store to check.

    Args:
        uri: where.
        content: its bytes.
        until: nobody at all may delete this version before (object lock, COMPLIANCE).
        once: only if there is none of that name yet.

    Raises:
        FileExistsError: `once`, and there is another object of that name. One with the same bytes is taken for what an
            attempt of our own has put, whose answer was lost.
        StorageError: the store refuses, or does not answer.
    """
    digest = hashlib.sha256(content)
    told = base64.b64encode(digest.digest()).decode("ascii")
    wanted: dict[str, Any] = {"Body": bytes(content), "ChecksumSHA256": told}
    if once:
        wanted["IfNoneMatch"] = "*"
    if until is not None:
        wanted |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    for attempt in range(_ATTEMPTS):
        with _asking(uri, allowed=_TAKEN | _AMBIGUOUS) as asked:
            return Stored(digest.hexdigest(), _version(_client().put_object(**_at(uri), **wanted)))
        if asked.code in _TAKEN:
            break
        if attempt == _ATTEMPTS - 1:
            raise _failed(uri, asked.code)
    found = get(uri)
    if found is None or hashlib.sha256(found.content).digest() != digest.digest():
        raise FileExistsError(uri)
    return Stored(digest.hexdigest(), found.version)


@dataclass(frozen=True)
class Object:
    """An object's bytes, and which version they are of."""

    content: bytes
    version: str | None


def get(uri: str, *, version: str | None = None) -> Object | None:
    """An object, or one version of it; None when there is none."""
    with _asking(uri, allowed=_GONE):
        answer = _client().get_object(**_at(uri, version))
        return Object(answer["Body"].read(), _version(answer))
    return None


def digest(uri: str, *, version: str | None = None) -> tuple[int, str] | None:
    """Size and SHA-256 of an object by reading all of its bytes, a piece at a time; None when there is none."""
    with _asking(uri, allowed=_GONE):
        body = _client().get_object(**_at(uri, version))["Body"]
        found, size = hashlib.sha256(), 0
        while piece := body.read(_PIECE):
            found.update(piece)
            size += len(piece)
        return size, found.hexdigest()
    return None


def size(uri: str) -> int | None:
    """How many bytes an object has; None when there is none."""
    with _asking(uri, allowed=_GONE):
        return int(_client().head_object(**_at(uri))["ContentLength"])
    return None


def names(uri: str) -> tuple[list[str], list[str]]:
    """Names of the objects and of the folders directly below a place, sorted."""
    bucket, prefix = _split(uri.rstrip("/") + "/")
    objects: list[str] = []
    folders: list[str] = []
    with _asking(uri):
        for page in _pages("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/"):
            objects += [name for each in page.get("Contents", ()) if (name := each["Key"][len(prefix) :])]
            folders += [each["Prefix"][len(prefix) : -1] for each in page.get("CommonPrefixes", ())]
    return sorted(objects), sorted(folders)


def versions(uri: str) -> dict[str, list[Version]]:
    """All versions of all objects below a place, by name, newest first; empty where the bucket keeps none."""
    bucket, prefix = _split(uri.rstrip("/") + "/")
    return _versions_by_name(uri, bucket, prefix)


def versions_of(uri: str) -> list[Version]:
    """All versions of one object, newest first."""
    bucket, key = _split(uri)
    return _versions_by_name(uri, bucket, key).get("", [])


def delete(uri: str) -> bool:
    """Delete an object with all its versions, as far as the store lets us; whether nothing of it is left.

    In a bucket with versions a mere delete hides an object and keeps it.
    """
    found = versions_of(uri)
    if not found:
        with _asking(uri, allowed=_GONE | _REFUSED) as asked:
            _client().delete_object(**_at(uri))
        return asked.code not in _REFUSED
    gone = True
    for each in found:
        with _asking(uri, allowed=_GONE | _REFUSED) as asked:
            _client().delete_object(**_at(uri, each.id))
        gone = gone and asked.code not in _REFUSED
    return gone


def lock(uri: str, version: str | None, until: dt.datetime) -> None:
    """Keep a version that is there already until then."""
    kept = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
    with _asking(uri):
        _client().put_object_retention(**_at(uri, version), Retention=kept)


def locked_until(uri: str, version: str | None) -> dt.datetime | None:
    """Until when a version is kept by the store, None when it is not."""
    found = kept(uri, version)
    return None if found is None else found[1]


def kept(uri: str, version: str | None) -> tuple[dt.datetime, dt.datetime | None] | None:
    """When a version was put, and until when the store keeps it, if it does; None when there is none."""
    with _asking(uri, allowed=_GONE):
        answer = _client().head_object(**_at(uri, version))
        said = {"Mode": answer.get("ObjectLockMode"), "RetainUntilDate": answer.get("ObjectLockRetainUntilDate")}
        if said["Mode"] is None:
            said = _retention(uri, version)
        return answer["LastModified"], said.get("RetainUntilDate") if said.get("Mode") == "COMPLIANCE" else None
    return None


def _retention(uri: str, version: str | None) -> Mapping[str, Any]:
    """What is kept, asked for by itself: versitygw does not tell it of versions that another one lies on top of."""
    with _asking(uri, allowed=_GONE | _LOCKS_NOTHING):
        return _client().get_object_retention(**_at(uri, version)).get("Retention", {})
    return {}


def put_back(uri: str, version: str, until: dt.datetime | None) -> None:
    """Make an older version the newest again, by a copy of it on top."""
    bucket, key = _split(uri)
    kept = {} if until is None else {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    source = {"Bucket": bucket, "Key": key, "VersionId": version}
    with _asking(uri):
        _client().copy_object(Bucket=bucket, Key=key, CopySource=source, ChecksumAlgorithm="SHA256", **kept)


def bucket(uri: str) -> str:
    """The bucket of a place."""
    return _split(uri)[0]


def keeps_versions(uri: str) -> bool:
    """Whether the place's bucket keeps old versions of objects, so that what is deleted there is not gone."""
    with _asking(uri):
        return _client().get_bucket_versioning(Bucket=_split(uri)[0]).get("Status") == "Enabled"


def can_lock(uri: str) -> bool:
    """Whether the place's bucket was made with object lock."""
    with _asking(uri, allowed=_LOCKS_NOTHING):
        answer = _client().get_object_lock_configuration(Bucket=_split(uri)[0])
        return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
    return False


def filesystem() -> Any:
    """The store as fsspec knows file systems, for DuckDB: ranges of files are read through Arrow's client."""
    import pyarrow.fs as pafs  # noqa: PLC0415 - local lakes do without
    from fsspec.implementations.arrow import ArrowFSWrapper  # noqa: PLC0415

    endpoint = urlsplit(_endpoint() or "")
    told = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme} if endpoint.netloc else {}
    # `protocol` says for which addresses; the wrapper's own is those of local files
    store = type("Store", (ArrowFSWrapper,), {"protocol": PROTOCOL, "root_marker": ""})
    return store(pafs.S3FileSystem(region=_region(), **told))


def _versions_by_name(uri: str, bucket: str, prefix: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    with _asking(uri):
        for page in _pages("list_object_versions", Bucket=bucket, Prefix=prefix):
            listed = [(each, False) for each in page.get("Versions", ())]
            listed += [(each, True) for each in page.get("DeleteMarkers", ())]
            for each, hides in sorted(listed, key=lambda one: one[0]["LastModified"], reverse=True):
                version = Version(each["VersionId"], bool(each["IsLatest"]), hides)
                found.setdefault(each["Key"][len(prefix) :], []).append(version)
    # a bucket without versions gives each object one of this name; beside others it was put while they were suspended
    return {name: listed for name, listed in found.items() if any(each.id != _NO_VERSION for each in listed)}


def _pages(operation: str, **wanted: str) -> Iterator[Mapping[str, Any]]:
    yield from _client().get_paginator(operation).paginate(**wanted)


class _Asked:
    """What the store answered, if that was one of the allowed refusals."""

    code: str = ""


@contextmanager
def _asking(uri: str, *, allowed: frozenset[str] | set[str] = frozenset()) -> Generator[_Asked]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - local lakes do without boto3

    asked = _Asked()
    try:
        yield asked
        _silent.pop(_endpoint(), None)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code not in allowed:
            raise _failed(uri, code) from None  # what the store says more may name what nobody should read
        asked.code = code
    except BotoCoreError as error:
        _silent[_endpoint()] = time.monotonic()
        raise _failed(uri, type(error).__name__) from None


def _failed(uri: str, code: str) -> StorageError:
    return StorageError(
        f"the S3 store refused, or did not answer ({code or 'no code'})",
        where=uri,
        hint=STORE_HINT,
    )


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.removeprefix("/")


def _at(uri: str, version: str | None = None) -> dict[str, str]:
    bucket, key = _split(uri)
    place = {"Bucket": bucket, "Key": key}
    return place if version is None else {**place, "VersionId": version}


def _version(answer: Mapping[str, Any]) -> str | None:
    found = answer.get("VersionId")
    return None if found in {None, _NO_VERSION} else str(found)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _client() -> Any:
    """The client of this process and environment; clients may be used by several threads, not across a fork."""
    hasty = time.monotonic() - _silent.get(_endpoint(), -IMPATIENT_SECONDS) < IMPATIENT_SECONDS
    key = (os.getpid(), _endpoint(), os.environ.get("AWS_ACCESS_KEY_ID"), hasty)
    with _alone:
        if key not in _clients:
            _clients[key] = _new_client(hasty=hasty)
        return _clients[key]


def _new_client(*, hasty: bool) -> Any:
    try:
        from boto3.session import Session  # noqa: PLC0415 - local lakes do without
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise StorageError("a lake in an S3 store needs boto3", hint="install `lakehouse[s3]`") from None
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1 if hasty else _ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=32,
        # names of buckets are no names of hosts at an endpoint of one's own
        s3={"addressing_style": "path" if _endpoint() else "auto"},
    )
    return Session().client("s3", region_name=_region(), config=config)
