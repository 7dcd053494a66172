"""The policy of docs/stores.md is enough for a whole life, and denies what only an attacker wants."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.ingest import landing, reseal
from lakehouse.model import Tier
from lakehouse.storage import intents, s3
from tests.attacks import worm_store
from tests.attacks.worm_lake import ROOT, VISIT, prove, put, require
from tests.attacks.worm_store import refused
from tests.integration import rebuild_domain as shop

if TYPE_CHECKING:
    from tests.stores import Store

LINES = "1,5,2011-01-01,1,x\n2,5,2011-01-02,2,y\n3,6,2011-02-01,bad,z\n"
WRONG = replace(
    (table := shop.sale_table()),
    columns=tuple(replace(c, raw_clear="a test" if c.name == "note" else None) for c in table.columns),
)
MENDED = table
#: A small table of the project, and a file of it.
PRODUCT = "retail.invoice_line"
INVOICES = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,S1,THING,6,2011-01-01 08:26:00,2.55,12346.0,France\n"
    "536366,S2,THING,6,2011-01-02 08:26:00,2.55,12347.0,France\n"
)


def policy(*, raw: str, lake: str) -> dict:
    """The page's policy for these buckets."""
    (said,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/stores.md").read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(said.replace("RAW-BUCKET", raw).replace("LAKE-BUCKET", lake))


def as_user_of_versitygw(store: Store, said: dict) -> dict[str, str]:
    """A user of versitygw, by its signed administration request and the buckets' own policies."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    user = f"user-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]}"
    body = f"<Account><Access>{user}</Access><Secret>secret-of-it</Secret><Role>user</Role></Account>".encode()
    request = AWSRequest(method="PATCH", url=f"{store.endpoint}/create-user", data=body)
    request.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    SigV4Auth(Credentials(store.key, store.secret), "s3", "us-east-1").add_auth(request)
    wanted = urllib.request.Request(request.url, data=body, headers=dict(request.headers), method="PATCH")
    with urllib.request.urlopen(wanted) as answer:
        assert answer.status == 201
    for bucket in {statement["Resource"].split(":::")[1].split("/")[0] for statement in said["Statement"]}:
        mine = [each for each in said["Statement"] if each["Resource"].split(":::")[1].split("/")[0] == bucket]
        theirs = {**said, "Statement": [{**each, "Principal": {"AWS": [user]}} for each in mine]}
        store.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(theirs))
    return {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": "secret-of-it"}


def as_role_of_minio(store: Store, said: dict) -> dict[str, str]:
    """A session of MinIO that may do no more than the policy says."""
    from boto3.session import Session

    told = {"aws_access_key_id": store.key, "aws_secret_access_key": store.secret, "region_name": "us-east-1"}
    sts = Session().client("sts", endpoint_url=store.endpoint, **told)
    role = "arn:aws:iam::000000000000:role/none"
    found = sts.assume_role(RoleArn=role, RoleSessionName="writer", Policy=json.dumps(said))["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }


@pytest.fixture
def limited(locking_store, tmp_path, monkeypatch):
    """A lake made and used with the rights of the page's policy; `client` is the limited one too."""
    root = locking_store.client()
    names = [f"limited-{tmp_path.name[-20:].replace('_', '-')}-{each}" for each in ("lake", "raw")]
    made = iter(names)
    monkeypatch.setattr(type(locking_store), "bucket", lambda *_, **__: next(made))
    root.create_bucket(Bucket=names[0])
    root.create_bucket(Bucket=names[1], ObjectLockEnabledForBucket=True)
    enter = {"versitygw": as_user_of_versitygw, "minio": as_role_of_minio}[locking_store.name]
    environment = enter(locking_store, policy(raw=names[1], lake=names[0]))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    own = worm_store.make(locking_store, tmp_path, filled=False)
    own.client = s3._client()
    own.environment |= environment
    yield own
    own.lake.control.dispose()


def land(own, contract, name: str, content: str, clock):
    place = landing.folder(own.lake, contract)
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(content)
    return shop.ingest(own.lake, shop.project_of(contract), contract, [place / name], now=clock)


def test_a_whole_life_needs_no_more(limited, clock, tmp_path):
    file = tmp_path / "2011-01-01.csv"
    file.write_text(INVOICES)
    for _ in range(2):
        code, document = limited.run("ingest", PRODUCT, str(file))
        assert (code, document["success"]) == (0, True)
        assert {each["rows"] for each in document["tables"]} == {2}
    assert limited.run("status")[0] == 0
    assert limited.run("verify", "worm")[0] == 0
    assert limited.run("recover")[0] == 0
    assert limited.run("maintain")[0] == 0
    for name, content in (("a.csv", LINES), ("b.csv", LINES.replace("2011", "2012").replace("1,5", "9,5"))):
        land(limited, WRONG, name, shop.HEADER + content, clock)
    require(prove(limited.lake))


def test_a_reseal_leaves_the_files_that_it_may_not_delete(limited, clock):
    land(limited, WRONG, "a.csv", shop.HEADER + LINES, clock)
    before = storage.snapshot(limited.lake, WRONG.id.at(Tier.RAW)).files
    found = reseal.reseal(limited.lake, shop.project_of(MENDED), MENDED)
    assert (found.columns, found.rows) == (("note",), 3)
    assert set(before) <= set(limited.objects(WRONG.id.at(Tier.RAW)))
    require(prove(limited.lake))
    land(limited, MENDED, "b.csv", shop.HEADER + LINES.replace("2011", "2012"), clock)
    require(prove(limited.lake))
    assert storage.balance(limited.lake, MENDED.id).unbalanced == ()


def test_a_death_and_a_recovery_need_no_more(limited, monkeypatch):
    put(limited.lake, VISIT, 1)
    for where in ("file.put.after", "commit.delta.after"):
        with monkeypatch.context() as patched:
            worm_store.dying(patched, where)
            with pytest.raises(KeyboardInterrupt):
                put(limited.lake, VISIT, 2)
        worm_store.recover_after_death(limited.lake, monkeypatch)
        require(prove(limited.lake))
    with limited.lake.control.read() as connection:
        assert len(intents.given_up(connection)[str(VISIT)]) == 1
    assert storage.scan(limited.lake, VISIT).collect()["_batch"].unique().sort().to_list() == [1, 2]


def test_what_was_overwritten_is_put_back_without_a_right_to_delete(limited):
    put(limited.lake, VISIT, 1)
    limited.flip(limited.data(VISIT, 0))
    limited.flip(limited.log(VISIT, 0))
    limited.require_found((VISIT, "entry 1, version 0"))
    assert limited.run("recover", "--yes")[0] == 0
    require(prove(limited.lake))


def test_what_only_an_attacker_wants_is_denied(limited):
    put(limited.lake, VISIT, 1)
    c, bucket = limited.client, limited.raw_bucket
    for uri in (limited.data(VISIT, 0), limited.log(VISIT, 0)):
        place = limited.at(uri)
        told = limited.versions(uri)[0].id
        assert refused(c.delete_object, **place)
        assert refused(c.delete_object, **place, VersionId=told)
        assert refused(c.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": place["Key"]}]})
    versions, lock = {"Status": "Suspended"}, {"ObjectLockEnabled": "Enabled"}
    assert refused(c.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versions)
    assert refused(c.put_object_lock_configuration, Bucket=bucket, ObjectLockConfiguration=lock)
    assert refused(c.put_bucket_policy, Bucket=bucket, Policy="{}")
    assert refused(c.delete_bucket, Bucket=bucket)
    require(prove(limited.lake))
