"""A small lake whose raw is in a bucket with object lock, and what attackers do to the objects there."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
from botocore.exceptions import ClientError
from deltalake import DeltaTable
from typer.testing import CliRunner

from lakehouse import storage
from lakehouse.settings import load_settings
from lakehouse.storage import chain, delta, faults, intents, migrations, preserved, recovery, s3
from lakehouse.storage.control import ControlDatabase
from tests.attacks.worm_lake import DRUG, ROOT, VISIT, prove, put, said

#: Versions of the two tables and the entries that tell of them.
ENTRY = {VISIT: {0: 1, 1: 3, 2: 4, 3: 5}, DRUG: {0: 2}}
BATCHES = {VISIT: (1, 3, 5), DRUG: (2,)}
FOREVER = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"}


@dataclass
class Attacked:
    """A lake, and a client with all rights in its store."""

    lake: storage.Lake
    client: object
    environment: dict[str, str]

    def at(self, uri: str) -> dict[str, str]:
        parts = urlsplit(uri)
        return {"Bucket": parts.netloc, "Key": parts.path[1:]}

    @property
    def raw_bucket(self) -> str:
        return urlsplit(self.lake.place.raw).netloc

    def table(self, table) -> DeltaTable:
        uri = self.lake.uri(table)
        return DeltaTable(uri, storage_options=s3.options(uri))

    def data(self, table, version: int) -> str:
        """The data file that a version has added."""
        (told,) = (e for e in intents.settled(self.lake.control, str(table)) if e.version == version)
        return f"{self.lake.uri(table)}/{told.body['adds'][0]['path']}"

    def log(self, table, version: int) -> str:
        return delta.log_entry(self.lake.uri(table), version)

    def read(self, uri: str) -> bytes:
        return self.client.get_object(**self.at(uri))["Body"].read()

    def overwrite(self, uri: str, content: bytes, **how) -> str:
        """Put other bytes over an object."""
        return self.client.put_object(**self.at(uri), Body=content, **how)["VersionId"]

    def flip(self, uri: str, place: int = 40) -> None:
        content = bytearray(self.read(uri))
        content[place % len(content)] ^= 1
        self.overwrite(uri, bytes(content))

    def hide(self, *uris: str) -> None:
        """A delete as any program deletes: a marker on top of each."""
        for uri in uris:
            self.client.delete_object(**self.at(uri))

    def hide_at_once(self, *uris: str) -> None:
        wanted = [{"Key": self.at(uri)["Key"]} for uri in uris]
        self.client.delete_objects(Bucket=self.raw_bucket, Delete={"Objects": wanted})

    def objects(self, table) -> list[str]:
        """Every object of a table that readers see."""
        uri = self.lake.uri(table)
        there = s3.versions(uri).items()
        return [f"{uri}/{name}" for name, found in there if any(each.latest and not each.hides for each in found)]

    def versions(self, uri: str) -> list[s3.Version]:
        return s3.versions_of(uri)

    def link(self, number: int) -> str:
        return chain.place(self.lake.root, chain.RAW, number)

    def run(self, *words: str) -> tuple[int, dict]:
        """A command of the command line: exit code and document."""
        from lakehouse.cli.app import app
        from lakehouse.cli.output import report
        from lakehouse.errors import LakehouseError

        ran = CliRunner().invoke(app, [*words, "--json"], env=self.environment)
        if isinstance(ran.exception, LakehouseError):
            return report(ran.exception), {"error": str(ran.exception)}
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return ran.exit_code, json.loads(ran.stdout)

    def recover(self) -> int:
        """What `lakehouse recover --yes` does for files of raw: how many it put back."""
        found = preserved.hidden(self.lake)
        preserved.put_back(self.lake, found)
        return len(found)

    def require_found(self, *wanted: tuple[str, ...]) -> None:
        """A finding with all of these words for each; the first is the first."""
        found = said(prove(self.lake))
        assert found, "nothing was found"
        for number, words in enumerate(wanted):
            fits = [text for text in found[: 1 if number == 0 else None] if all(str(word) in text for word in words)]
            assert fits, (words, found)

    def require_quiet(self) -> None:
        """No finding, and all rows are read."""
        assert said(prove(self.lake)) == []
        for table, batches in BATCHES.items():
            rows = storage.scan(self.lake, table).collect()
            assert rows.height == 50 * rows["_batch"].n_unique()
            assert set(batches) <= set(rows["_batch"])
            odd = rows.filter(pl.col("name") != pl.concat_str("_batch", pl.lit("-"), "_row"))
            assert odd.is_empty()


def make(store, folder: Path, *, days: int | None = 1, locks: bool = True, filled: bool = True) -> Attacked:
    """Entries 1 to 5: visit 0, drug 0, visit 1, visit 2 (a fence), visit 3."""
    environment = {
        "LAKEHOUSE_PROJECT": str(ROOT),
        "LAKEHOUSE_LAKE": f"s3://{store.bucket()}/lake",
        "LAKEHOUSE_RAW": f"s3://{store.bucket(locks=locks)}/raw",
        "LAKEHOUSE_LANDING": str(folder / "landing"),
        "LAKEHOUSE_CONTROL_URL": f"sqlite:///{folder / 'control' / 'control.db'}",
        "LAKEHOUSE_KEY_FILE": str(folder / "control" / "kek.key"),
        **({} if days is None else {"LAKEHOUSE_RAW_LOCK_DAYS": str(days)}),
    }
    (folder / "control").mkdir()
    (folder / "control" / "control.db").write_bytes(_empty_database())
    lake = storage.create_lake(settings_of(environment))
    attacked = Attacked(lake, store.client(), environment)
    if filled:
        put(lake, VISIT, 1)
        put(lake, DRUG, 2)
        put(lake, VISIT, 3)
        with storage.lease(lake, VISIT) as held:
            storage.fence(held)
        put(lake, VISIT, 5)
    return attacked


@functools.cache
def _empty_database() -> bytes:
    """A control database of today's revision: the migrations cost more than a small lake."""
    with tempfile.TemporaryDirectory() as folder:
        control = ControlDatabase(f"sqlite:///{folder}/control.db")
        with control.write("lake.control") as connection:
            migrations.upgrade(connection)
        control.dispose()
        return Path(folder, "control.db").read_bytes()


def settings_of(environment: dict[str, str]):
    """Settings from these variables, whatever the process has."""
    import os
    from unittest import mock

    with mock.patch.dict(os.environ, environment):
        return load_settings(ROOT)


def refused(action, *told: str, **how) -> bool:
    """Whether the store refuses it."""
    try:
        answer = action(*told, **how)
    except ClientError:
        return True
    return bool(answer.get("Errors"))


def dying(monkeypatch, where: str):
    """Let the process die at a fault point: nothing is tidied up."""
    original = faults.point

    def point(name: str) -> None:
        if name == where:
            raise KeyboardInterrupt
        original(name)

    monkeypatch.setattr(faults, "point", point)
    monkeypatch.setattr(recovery, "release", lambda *_, **__: None)
    monkeypatch.setattr("lakehouse.storage.leases._gone", lambda _: True)


def recover_after_death(lake, monkeypatch) -> None:
    """The next holder of the table's lease; the dead one had this process' id, so he must be taken for gone."""
    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.storage.leases._gone", lambda _: True)
        with storage.lease(lake, VISIT):
            pass
