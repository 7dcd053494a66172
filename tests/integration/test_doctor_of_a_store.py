"""`lakehouse doctor` on a lake in an S3 store: whether its buckets answer, lock what is to be locked and forget the rest."""

from __future__ import annotations

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from lakehouse import storage
from lakehouse.cli.app import app

pytestmark = [pytest.mark.s3, pytest.mark.slow]


@pytest.fixture
def settings(s3, tmp_path, monkeypatch, project_root):
    """Makes the environment say where the lake is, without making one."""

    def at(bucket: str, raw: str | None = None):
        from lakehouse.settings import load_settings

        told = {"LAKE": f"s3://{bucket}/lake", "LANDING": tmp_path / "landing", "PROJECT": project_root}
        told |= {"CONTROL_URL": f"sqlite:///{tmp_path / 'control.db'}", "KEY_FILE": tmp_path / "kek.key"}
        if raw is not None:
            told |= {"RAW": f"s3://{raw}/raw", "RAW_LOCK_DAYS": 1}
        for name, value in told.items():
            monkeypatch.setenv(f"LAKEHOUSE_{name}", str(value))
        return load_settings()

    return at


def examined() -> tuple[int, str, list[tuple[str, str, str]]]:
    """The exit code, what doctor says of the store, and its findings there."""
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    (store,) = [each for each in json.loads(ran.stdout)["examinations"] if each["name"] == "store"]
    return ran.exit_code, store["detail"], [(f["level"], f["where"], f["message"]) for f in store["findings"]]


def test_two_right_buckets_are_healthy(s3, settings):
    plain, locking = s3.bucket(), s3.bucket(locks=True)
    storage.create_lake(settings(plain, locking))
    assert examined() == (0, f"2 buckets: {', '.join(sorted((plain, locking)))}", [])


def test_a_bucket_that_keeps_versions_does_not_forget(s3, settings):
    bucket = s3.bucket()
    versions = {"Status": "Enabled"}
    s3.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versions)
    storage.create_lake(settings(bucket))
    code, _, [(level, where, message)] = examined()
    assert (code, level, where) == (0, "warning", f"s3://{bucket}/lake")
    assert "not gone" in message


@pytest.mark.parametrize("made", [False, True], ids=["no lake yet", "a lake"])
def test_a_bucket_that_cannot_lock_what_is_to_be_locked_is_an_error(s3, settings, made, monkeypatch):
    plain, raw = s3.bucket(), s3.bucket()
    wanted = settings(plain, raw)
    if made:  # the bucket was made again, without
        with monkeypatch.context() as before:
            before.setattr("lakehouse.storage.s3.can_lock", lambda _: True)
            storage.create_lake(dataclasses.replace(wanted))
    code, _, [(level, where, message)] = examined()
    assert (code, level, where) == (3, "error", f"s3://{raw}/raw")
    assert "without object lock" in message


def test_a_bucket_that_is_not_there_is_an_error(settings):
    settings("no-such-bucket-here")
    code, _, [(level, where, message)] = examined()
    assert (code, level, where) == (3, "error", "s3://no-such-bucket-here/lake")
    assert "NoSuchBucket" in message
