"""Consent: what is in force, for whom it speaks, that nothing counts twice, and that a withdrawal is seen at once."""

from __future__ import annotations

import datetime as dt
import os
import stat
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError, UsageError
from lakehouse.ingest import consent_files
from lakehouse.model import TableId, Tier
from lakehouse.privacy import consent, entities
from lakehouse.privacy.consent import CONSENT, CURRENT, SCHEMA, Statement
from lakehouse.storage.delta import polars_schema

ASKS = {"offers": "client", "letters": "client"}
ID = "4711"
DISPOSITION = TableId(Tier.STAGED, "banking", "disposition")


@pytest.fixture(scope="module")
def banking(project_root_module):
    return load_project(project_root_module)


@pytest.fixture(scope="module")
def project_root_module() -> Path:
    return Path(__file__).resolve().parents[3]


def say(said: str, id_: object = ID, purpose: str = "offers", **more) -> Statement:
    return Statement("client", id_, purpose, said, "crm", **more)


def current(lake) -> pl.DataFrame:
    return storage.scan(lake, CURRENT).collect()


def given(lake, purpose: str = "offers") -> set[str]:
    """The entities whose consent is in force, as a view finds them."""
    rows = current(lake).filter(pl.col("given"), pl.col("purpose") == purpose)
    return set(rows["entity"].to_list())


def surrogate(lake, id_: str = ID, type_: str = "client") -> str:
    return entities.resolve(lake, type_, ("trim", "integer"), pl.Series([id_])).item()


def test_given_then_withdrawn_then_given(lake, banking):
    for said, there in (("given", True), ("withdrawn", False), ("given", True)):
        assert consent.record(lake, banking, [say(said)], asks=ASKS) == 1
        assert (surrogate(lake) in given(lake)) is there
    assert storage.snapshot(lake, CONSENT).rows == 3
    assert current(lake).height == 1


def test_somebody_not_known_yet_becomes_an_entity_and_one_id_is_one(lake, banking):
    consent.record(lake, banking, [say("given", "0815.0"), say("given", " 815 ", "letters")], asks=ASKS)
    assert given(lake) == given(lake, "letters") == {surrogate(lake, "815")}


def test_the_tables_hold_no_id(lake, banking):
    consent.record(lake, banking, [say("given", "987654321")], asks=ASKS)
    files = [path for path in Path(lake.root).rglob("*") if path.is_file()]
    assert files
    assert not any(b"987654321" in path.read_bytes() for path in files)
    assert "987654321" not in repr(say("given", "987654321"))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (say("given", purpose="fraud"), "needs consent"),
        (replace(say("given"), type="account"), "needs consent of a `client`"),
        (say("given", valid_from=dt.datetime(2999, 1, 1, tzinfo=dt.UTC)), "future"),
        (say("withdrawn", valid_from=dt.datetime(2999, 1, 1, tzinfo=dt.UTC)), "future"),
        (say("withdrawn", expires_on=dt.date(2999, 1, 1)), "does not expire"),
        (say("given", expires_on=dt.date(2000, 1, 1)), "before"),
        (say("given", "no number"), "cannot be read"),
        (say("given", ""), "cannot be read"),
    ],
    ids=["purpose", "type", "future", "future withdrawal", "expiring withdrawal", "over", "id", "empty"],
)
def test_what_cannot_be_recorded_records_nothing(lake, banking, statement, reason):
    with pytest.raises(UsageError, match=reason):
        consent.record(lake, banking, [say("given", "1"), statement], asks=ASKS)
    assert not storage.exists(lake, CONSENT)


def test_an_old_withdrawal_does_not_undo_a_later_consent(lake, banking):
    early = lake.now() - dt.timedelta(days=3)
    consent.record(lake, banking, [say("given", valid_from=early + dt.timedelta(days=1))], asks=ASKS)
    consent.record(lake, banking, [say("withdrawn", valid_from=early)], asks=ASKS)
    assert surrogate(lake) in given(lake)


def test_a_consent_keeps_its_last_day(lake, banking):
    consent.record(lake, banking, [say("given", expires_on=dt.date(2999, 1, 2))], asks=ASKS)
    assert current(lake)["expires_on"].to_list() == [dt.date(2999, 1, 2)]


def test_a_purpose_that_asks_no_longer_or_somebody_else_leaves(lake, banking):
    consent.record(lake, banking, [say("given")], asks=ASKS)
    assert consent.renew(lake, banking, asks={"offers": "account"})
    assert current(lake).is_empty()
    assert consent.renew(lake, banking, asks=ASKS)
    assert given(lake)


def test_nothing_is_renewed_without_need(lake, banking):
    assert not consent.renew(lake, banking, asks=ASKS)
    assert not storage.exists(lake, CURRENT)
    consent.record(lake, banking, [say("given")], asks=ASKS)
    version = storage.snapshot(lake, CURRENT).version
    assert not consent.renew(lake, banking, asks=ASKS)
    assert storage.snapshot(lake, CURRENT).version == version


class Died(BaseException):
    pass


def test_a_recorder_who_dies_between_the_commits_is_seen_by_the_next_reader(lake, banking, monkeypatch):
    consent.record(lake, banking, [say("given")], asks=ASKS)

    def die(*_, **__):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(consent, "renew", die)
        with pytest.raises(Died):
            consent.record(lake, banking, [say("withdrawn")], asks=ASKS)
    assert given(lake)
    assert consent.renew(lake, banking, asks=ASKS)
    assert not given(lake)


def test_it_is_the_same_on_postgresql(any_lake, banking):
    """Surrogates, leases, commits and what a renewal depends on, on both control databases."""
    consent.record(any_lake, banking, [say("given"), say("given", "12")], asks=ASKS, delivery="f")
    consent.record(any_lake, banking, [say("withdrawn")], asks=ASKS)
    assert consent.record(any_lake, banking, [say("given")], asks=ASKS, delivery="f") == 0
    assert given(any_lake) == {surrogate(any_lake, "12")}


# ------------------------------------------------------------------ the rule
INSTANTS = st.integers(0, 3).map(lambda day: dt.datetime(2026, 1, 1 + day, tzinfo=dt.UTC))
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("pq"), st.booleans(), INSTANTS, INSTANTS), max_size=12
)


def reference(events) -> dict[tuple[str, str], bool]:
    found: dict[tuple[str, str], tuple] = {}
    for entity, purpose, said, valid_from, recorded_at in events:
        rank = (valid_from, recorded_at, not said)
        found[entity, purpose] = max(found.get((entity, purpose), rank), rank)
    return {key: not withdrawn for key, (_, _, withdrawn) in found.items()}


@drawn(EVENTS, st.randoms(use_true_random=False))
def test_in_force_is_the_greatest_event_whatever_the_order(events, random):
    shuffled = list(events)
    random.shuffle(shuffled)
    rows = {name: [None] * len(shuffled) for name in SCHEMA.names}
    rows["event_id"] = [str(place) for place in range(len(shuffled))]
    for place, name in enumerate(("entity", "purpose", "given", "valid_from", "recorded_at")):
        rows[name] = [event[place] for event in shuffled]
    found = consent.in_force(pl.DataFrame(rows, schema=polars_schema(SCHEMA)))
    assert {(each["entity"], each["purpose"]): each["given"] for each in found.to_dicts()} == reference(events)


# ------------------------------------------------------------------ who decides for whom


CASES = {
    "one owner who consents": ([(1, "10", ID, "OWNER")], {"10"}),
    "one owner who does not": ([(1, "10", "99", "OWNER")], set()),
    "nobody owns it": ([(1, "10", ID, "DISPONENT")], set()),
    "another may use it": ([(1, "10", ID, "OWNER"), (2, "10", "99", "DISPONENT")], {"10"}),
    "two owners": ([(1, "10", ID, "OWNER"), (2, "10", "99", "OWNER")], set()),
    "two owners who both consent": ([(1, "10", ID, "OWNER"), (2, "10", "12", "OWNER")], set()),
    "the same owner twice": ([(1, "10", ID, "OWNER"), (2, "10", ID, "OWNER")], {"10"}),
    "an owner nobody knows": ([(1, "10", "77", "OWNER")], set()),
    "one known and one unknown owner": ([(1, "10", ID, "OWNER"), (2, "10", "77", "OWNER")], set()),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_account_follows_its_one_owner(lake, banking, name):
    from tests.unit.privacy import consent_tables

    rows, expected = CASES[name]
    consent_tables.put(lake, banking, rows, clients=(ID, "12", "99"), accounts=("10",))
    consent.record(lake, banking, [say("given"), say("given", "12")], asks=ASKS)
    accounts = current(lake).filter(pl.col("type") == "client", pl.col("derived"))
    assert not any(each in {surrogate(lake), surrogate(lake, "12")} for each in accounts["entity"])
    assert {each for each in ("10",) if surrogate(lake, each, "account") in given(lake)} == expected


def test_what_is_derived_follows_the_link_and_the_withdrawal(lake, banking):
    from tests.unit.privacy import consent_tables

    consent_tables.put(lake, banking, [(1, "10", ID, "OWNER")], clients=(ID, "99"), accounts=("10",))
    consent.record(lake, banking, [say("given", expires_on=dt.date(2999, 1, 1))], asks=ASKS)
    account = surrogate(lake, "10", "account")
    assert account in given(lake)
    assert set(current(lake)["expires_on"].to_list()) == {dt.date(2999, 1, 1)}
    consent_tables.put(lake, banking, [(1, "10", "99", "OWNER")])
    assert consent.renew(lake, banking, asks=ASKS)
    assert account not in given(lake)
    consent_tables.put(lake, banking, [(1, "10", ID, "OWNER")])
    consent.record(lake, banking, [say("withdrawn")], asks=ASKS)
    assert not given(lake)


def test_a_link_whose_rows_name_nobody_is_refused(banking):
    contracts = []
    for contract in banking.contracts:
        links = tuple(replace(link, target="passer-by") for link in contract.links)
        contracts.append(replace(contract, links=links))
    with pytest.raises(RefusedError, match="its rows name none"):
        consent.is_concerned(replace(banking, contracts=tuple(contracts)), DISPOSITION)


# ------------------------------------------------------------------ files
HEAD = "entity_type,id,purpose,said,valid_from,source,expires_on\n"


def deliver(lake, text: str | bytes, name: str = "a.csv") -> Path:
    folder = lake.landing_root / "consent"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_is_recorded_once_and_removed(lake, banking):
    text = (
        HEAD + f"client,{ID},offers,given,2020-01-01T00:00:00+01:00,crm,2999-01-01\nclient,12,letters,withdrawn,,crm,\n"
    )
    taken = consent_files.take(lake, banking, deliver(lake, text), asks=ASKS)
    assert (taken.recorded, taken.bad, taken.repeated) == (2, (), False)
    again = deliver(lake, text, "another name.csv")
    taken = consent_files.take(lake, banking, again, asks=ASKS)
    assert (taken.recorded, taken.repeated) == (0, True)
    assert not again.exists()
    assert storage.snapshot(lake, CONSENT).rows == 2
    assert given(lake) == {surrogate(lake)}
    assert storage.scan(lake, CONSENT).collect()["valid_from"].min() == dt.datetime(2019, 12, 31, 23, tzinfo=dt.UTC)


def test_bad_lines_are_told_without_a_value_and_the_others_are_taken(lake, banking):
    lines = [
        "client,secret1,offers,given,,crm,",
        "client,4,offers,perhaps,,crm,",
        "client,5,nothing,given,,crm,",
        "account,6,offers,given,,crm,",
        "client,7,offers,given,2999-01-01T00:00:00Z,crm,",
        "client,8,offers,given,2020-01-01,crm,",
        "client,9,offers,given,,,",
        "client,10,offers,given,,crm,31.12.2026",
        "client,11,offers",
        "",
        "client,12,offers,given,0001-01-01T00:00:00+14:00,crm,",
        "client,13,offers,given,,crm,",
    ]
    taken = consent_files.take(lake, banking, deliver(lake, HEAD + "\n".join(lines)), asks=ASKS)
    assert [bad.line for bad in taken.bad] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert taken.recorded == 1
    assert given(lake) == {surrogate(lake, "13")}
    told = " ".join(bad.reason for bad in taken.bad)
    assert not any(value in told for value in ("secret1", "perhaps", "nothing", "31.12"))
    (kept,) = (lake.landing_root / "consent").iterdir()
    assert kept.name.endswith(".bad")
    assert kept.read_text().splitlines() == [HEAD.strip(), *lines[:9], lines[10]]
    os.utime(kept, (0, 0))
    assert consent_files.waiting(lake, lake.now()) == []


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", "id,purpose\n1,2\n", HEAD + '"torn', ""], ids=["encoding", "header", "quote", "empty"]
)
def test_what_is_no_such_file_is_told(lake, banking, text):
    taken = consent_files.take(lake, banking, deliver(lake, text), asks=ASKS)
    assert [bad.line for bad in taken.bad] == [1]
    assert not storage.exists(lake, CONSENT)
    content = text if isinstance(text, bytes) else text.encode()
    kept = [path.read_bytes() for path in (lake.landing_root / "consent").iterdir()]
    assert kept == ([content] if content else [])


def test_a_file_written_anew_meanwhile_stays(lake, banking, monkeypatch):
    path = deliver(lake, HEAD + f"client,{ID},offers,given,,crm,\n")
    record = consent.record

    def meanwhile(*arguments, **more):
        path.write_text(HEAD + f"client,{ID},offers,withdrawn,,crm,\n")
        return record(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(consent, "record", meanwhile)
        consent_files.take(lake, banking, path, asks=ASKS)
    assert path.exists()
    consent_files.take(lake, banking, path, asks=ASKS)
    assert not path.exists()
    assert not given(lake)


def test_only_whole_files_are_taken(lake):
    now = lake.now()
    old = deliver(lake, HEAD, "old.csv")
    os.utime(old, (0, 0))
    for name in (".hidden.csv", "x.part"):
        os.utime(deliver(lake, HEAD, name), (0, 0))
    deliver(lake, HEAD, "new.csv")
    marked = deliver(lake, HEAD, "marked.csv")
    deliver(lake, b"", "marked.csv.done")
    assert consent_files.waiting(lake, now) == sorted([old, marked])


BAD = HEAD + "client,4,offers,perhaps,,crm,\n"


def test_a_link_is_not_followed(lake, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the lake's keys")
    os.utime(secret, (0, 0))
    folder = deliver(lake, HEAD).parent
    (folder / "keys.csv").symlink_to(secret)
    assert (folder / "keys.csv") not in consent_files.waiting(lake, lake.now())


def test_bad_lines_of_a_file_with_the_longest_name_stay(lake, banking):
    path = deliver(lake, BAD, "ü" * 125 + ".csv")
    os.utime(path, (0, 0))
    assert consent_files.waiting(lake, lake.now()) == [path]
    taken = consent_files.take(lake, banking, path, asks=ASKS)
    assert len(taken.bad) == 1
    (kept,) = (lake.landing_root / "consent").iterdir()
    assert (kept.suffix, kept.read_text()) == (".bad", BAD)


def test_bad_lines_are_read_by_whom_the_file_was_read_by(lake, banking):
    path = deliver(lake, BAD)
    path.chmod(0o640)
    consent_files.take(lake, banking, path, asks=ASKS)
    (kept,) = (lake.landing_root / "consent").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


def test_two_may_take_one_file(lake, banking, monkeypatch):
    path = deliver(lake, HEAD + f"client,{ID},offers,given,,crm,\n")
    record = consent.record

    def overtaken(*told, **more):
        monkeypatch.setattr(consent, "record", record)
        assert consent_files.take(lake, banking, path, asks=ASKS).recorded == 1
        return record(*told, **more)

    monkeypatch.setattr(consent, "record", overtaken)
    assert consent_files.take(lake, banking, path, asks=ASKS).recorded == 0
    assert given(lake) == {surrogate(lake)}
    assert consent_files.take(lake, banking, path, asks=ASKS) == consent_files.Taken(0, ())
