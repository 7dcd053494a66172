"""The S3 stores a lake can be in, as fixtures: servers of our own on this machine, a fresh bucket for each test.

`make test-deps` builds both; where they are missing, tests that ask for them skip, or fail with LAKEHOUSE_REQUIRE=all.
LAKEHOUSE_TEST_PLACE=s3 puts every lake of these fixtures in a store, also those of tests that otherwise stay on this disk.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = Path(os.environ.get("LAKEHOUSE_TEST_BIN") or Path.home() / ".cache" / "lakehouse" / "bin")
#: Where the rest of a lake is, and raw in a bucket of its own that locks.
_IN_STORE = [pytest.mark.s3, pytest.mark.slow]
_S3 = pytest.param("s3", marks=_IN_STORE)
#: Fixtures take their parameters when they are imported, before any of them could ask.
STORE_ALONE = bool(_asked := os.environ.get("LAKEHOUSE_TEST_PLACE"))
if STORE_ALONE and _asked != "s3":
    raise pytest.UsageError("`LAKEHOUSE_TEST_PLACE` is `s3` or nothing")
PLACES = (_S3,) if STORE_ALONE else ("local", _S3)
#: For a test that is too long to be run twice: in a store only when nothing else is asked for.
ONE_PLACE = (_S3,) if STORE_ALONE else ("local",)
ON_DISK = pytest.mark.parametrize("any_place", ONE_PLACE, indirect=True)
LOCKING = [pytest.param(name, marks=_IN_STORE) for name in ("versitygw", "minio")]
_numbers = itertools.count()


def everywhere(cases: Mapping[str, tuple[Any, ...]], *in_store: str) -> list[Any]:
    """Parameters: every case on this disk, those named in a store too; for tests with more cases than places matter to."""
    names = cases if STORE_ALONE else in_store
    there = [pytest.param("s3", *cases[name], id=f"s3-{name}", marks=_IN_STORE) for name in names]
    here = [pytest.param("local", *case, id=f"local-{name}") for name, case in cases.items()]
    return there if STORE_ALONE else [*here, *there]


@dataclass(frozen=True)
class Store:
    """A running server."""

    name: str
    endpoint: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """How any S3 program finds it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    @functools.cache  # noqa: B019 - a handful of stores, and making a client takes 50 ms
    def client(self):
        """A client with the root's rights."""
        from boto3.session import Session
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2, "mode": "standard"})
        told = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret, "region_name": "us-east-1"}
        return Session().client("s3", endpoint_url=self.endpoint, config=config, **told)

    def bucket(self, *, locks: bool = False) -> str:
        """A fresh bucket."""
        name = f"lake-{os.getpid()}-{next(_numbers)}"
        self.client().create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locks else {}))
        return name


@dataclass(frozen=True)
class Site:
    """Where a test's lakes are: whole in a folder, or in buckets with database, keys and landing in that folder.

    Attributes:
        folder: on this disk.
        place: the same folder, or the address of a bucket.
        locks: the address of a bucket with object lock for raw, None where raw is to be with the rest.
    """

    folder: Path
    place: str
    locks: str | None = None

    @property
    def is_local(self) -> bool:
        return "://" not in self.place

    @property
    def with_raw(self) -> Site:
        """The same with raw below the lake's root, for who takes raw away by hand, which no lock would allow."""
        return dataclasses.replace(self, locks=None)

    def settings(self, root: Path, name: str = "lake", *, control_url: str | None = None):
        """Settings of the lake of that name in the project at `root`."""
        from lakehouse.settings import load_settings

        found = load_settings(root, lake=f"{self.place}/{name}")
        own = self.folder / name
        if not self.is_local:
            found = dataclasses.replace(
                found,
                landing=own / "landing",
                control_url=f"sqlite:///{own / 'control' / 'control.db'}",
                key_file=own / "control" / "kek.key",
                raw=None if self.locks is None else f"{self.locks}/{name}/raw",
                raw_lock_days=None if self.locks is None else 1,
            )
        return found if control_url is None else dataclasses.replace(found, control_url=control_url)

    def environment(self, root: Path, name: str = "lake") -> dict[str, str]:
        """The same for who reads settings by himself."""
        found = self.settings(root, name)
        told = {"LAKE": found.lake, "LANDING": found.landing, "CONTROL_URL": found.control_url}
        told |= {"KEY_FILE": found.key_file, "RAW": found.raw, "RAW_LOCK_DAYS": found.raw_lock_days}
        return {f"LAKEHOUSE_{name}": str(value) for name, value in told.items() if value is not None}


def site_on_disk(folder: Path) -> Site:
    """Everything in a folder."""
    return Site(folder, str(folder))


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(str(PROGRAMS / name))
    if found is None:
        what = f"s3: `{name}` is not here; run `make test-deps`"
        if os.environ.get("LAKEHOUSE_REQUIRE") == "all":
            pytest.fail(what)
        pytest.skip(what)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"the S3 server ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("the S3 server does not listen")


@contextmanager
def _versitygw(folder: Path):
    data, versions, users = folder / "data", folder / "versions", folder / "users"
    for each in (data, versions, users):
        each.mkdir()
    port = _free_port()
    command = [_program("versitygw"), "--quiet", "--port", f"127.0.0.1:{port}", "--iam-dir", str(users), "posix"]
    command += ["--versioning-dir", str(versions), str(data)]  # absolute, or it refuses to start
    store = Store("versitygw", f"http://127.0.0.1:{port}", "lake", "lake-secret")
    secrets = {"ROOT_ACCESS_KEY": store.key, "ROOT_SECRET_KEY": store.secret}
    with _running(command, secrets, folder) as process:
        _wait_for(port, process)
        yield store


@contextmanager
def _minio(folder: Path):
    port = _free_port()
    command = [_program("minio"), "server", "--address", f"127.0.0.1:{port}", "--quiet", str(folder / "data")]
    store = Store("minio", f"http://127.0.0.1:{port}", "lake", "lake-secret")
    told = {"MINIO_ROOT_USER": store.key, "MINIO_ROOT_PASSWORD": store.secret}
    told |= {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"}
    with _running(command, told, folder) as process:
        _wait_for(port, process)
        yield store


@contextmanager
def _running(command: list[str], told: dict[str, str], folder: Path):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **told}, cwd=folder, **quiet) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _folder(name: str):
    # of its own: what is locked is thrown away with the server's folder, not emptied
    folder = Path(tempfile.mkdtemp(prefix=f"lakehouse-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def versitygw():
    with _folder("versitygw") as folder, _versitygw(folder) as store:
        yield store


@pytest.fixture(scope="session")
def minio():
    with _folder("minio") as folder, _minio(folder) as store:
        yield store


@pytest.fixture
def in_store(monkeypatch):
    """Let this process and its children find a store."""

    def enter(store: Store) -> Store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        return store

    return enter


@pytest.fixture
def s3(versitygw, in_store) -> Store:
    """The usual store, found by the environment."""
    return in_store(versitygw)


@pytest.fixture(params=LOCKING)
def locking_store(request, in_store) -> Store:
    """Each store that knows object lock."""
    return in_store(request.getfixturevalue(request.param))


@pytest.fixture(params=PLACES)
def any_place(request, tmp_path, monkeypatch) -> str:
    """Where a test's lakes may be, on this disk and in a store: a folder's path, or the address of a fresh bucket."""
    if request.param == "local":
        return str(tmp_path)
    store: Store = request.getfixturevalue("s3")
    # what stays on this disk: database, keys, landing
    monkeypatch.setenv("LAKEHOUSE_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("LAKEHOUSE_KEY_FILE", str(tmp_path / "control" / "kek.key"))
    monkeypatch.setenv("LAKEHOUSE_CONTROL_URL", f"sqlite:///{tmp_path / 'control' / 'control.db'}")
    return f"s3://{store.bucket()}"


@pytest.fixture
def site(any_place, tmp_path) -> Site:
    """The same with what belongs to a lake beside its files; in a store raw is in a bucket of its own that locks."""
    if "://" not in any_place:
        return site_on_disk(tmp_path)
    return Site(tmp_path, any_place, f"s3://{_store_in_use().bucket(locks=True)}")


@pytest.fixture(scope="module", params=ONE_PLACE)
def module_site(request, tmp_path_factory):
    """One for all tests of a file, where a lake takes long to fill."""
    folder = tmp_path_factory.mktemp("site")
    if request.param == "local":
        yield site_on_disk(folder)
        return
    store: Store = request.getfixturevalue("versitygw")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield Site(folder, f"s3://{store.bucket()}", f"s3://{store.bucket(locks=True)}")


def _store_in_use() -> Store:
    found = [os.environ[f"AWS_{name}"] for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    return Store("", *found)


# --- files by place, whatever it is: what a test does to them behind the lake's back


def _of(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key


def names_below(place: str) -> list[str]:
    """All files below a place, by their names from there, sorted."""
    if "://" not in place:
        root = Path(place)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    bucket, key = _of(place.rstrip("/") + "/")
    pages = _store_in_use().client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    return sorted(each["Key"][len(key) :] for page in pages for each in page.get("Contents", ()))


def read_at(place: str) -> bytes:
    """A file's bytes."""
    if "://" not in place:
        return Path(place).read_bytes()
    bucket, key = _of(place)
    return _store_in_use().client().get_object(Bucket=bucket, Key=key)["Body"].read()


def write_at(place: str, content: bytes) -> None:
    """Put a file, over another one if there is one."""
    if "://" not in place:
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be read-only
        path.write_bytes(content)
        return
    bucket, key = _of(place)
    _store_in_use().client().put_object(Bucket=bucket, Key=key, Body=content)


def remove_at(place: str) -> None:
    """Take a file away."""
    if "://" not in place:
        Path(place).unlink()
        return
    bucket, key = _of(place)
    _store_in_use().client().delete_object(Bucket=bucket, Key=key)


def bytes_below(place: str) -> bytes:
    """All files below a place, one behind the other."""
    return b"".join(read_at(f"{place}/{name}") for name in names_below(place))


def copy_below(place: str, other: str) -> None:
    """Let a place have another one's files and no more, as a backup that is put back does."""
    wanted = names_below(place)
    for name in set(names_below(other)) - set(wanted):
        remove_at(f"{other}/{name}")
    for name in wanted:
        write_at(f"{other}/{name}", read_at(f"{place}/{name}"))
