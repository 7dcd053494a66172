"""Each way to change the chain is found, alone and together with what it would have told of."""

from __future__ import annotations

import json
import shutil

import pytest
import sqlalchemy as sa

from lakehouse import storage
from lakehouse.errors import UsageError
from lakehouse.storage import chain, worm
from lakehouse.storage.control import chain_head_table, intent_table
from lakehouse.storage.lake import raise_generation
from tests.attacks.worm_lake import (
    DRUG,
    ENTRY,
    VISIT,
    data,
    first,
    flip,
    link,
    log,
    overwrite,
    prove,
    put,
    require,
    rewrite_chain,
    said,
    set_head,
    settings_of,
    tell,
)


def published(lake) -> worm.Published:
    number, hash_ = prove(lake).heads[chain.RAW]
    return worm.Published(chain.RAW, number, hash_)


# --- an entry


def test_a_flipped_byte_in_an_entry_names_that_entry_and_not_its_neighbour(attacked):
    path = link(attacked, ENTRY[3])
    overwrite(path, path.read_bytes().replace(b'"rows":50', b'"rows":51'))
    proof = prove(attacked)
    require(
        proof,
        (path, "entry 6 of chain `raw` was changed: entry 7 names another SHA-256"),
        (str(VISIT), "entry 6, version 3: the entry tells of other files than the control database: it was forged"),
    )
    assert "entry 6, version 3" in first(proof)


def test_an_entry_that_is_no_json(attacked):
    flip(link(attacked, ENTRY[1]), 0)
    require(
        prove(attacked),
        (link(attacked, 3), "entry 3 of chain `raw` is not readable"),
        (str(VISIT), "version 1: no entry of the chain tells of the commit any more; the control database does"),
    )


def test_an_entry_whose_keys_are_others(attacked):
    path = link(attacked, ENTRY[1])
    for old, new in ((b'"files"', b'"filet"'), (b'"version"', b'"versiom"'), (b'"removes"', b'"removet"')):
        content = path.read_bytes()
        overwrite(path, content.replace(old, new))
        found = said(prove(attacked))
        assert "entry 3 of chain `raw`" in found[0]
        assert "version 1: no entry of the chain tells" in found[1]
        overwrite(path, content)
    require(prove(attacked))


def test_a_removed_entry_in_the_middle(attacked):
    link(attacked, ENTRY[1]).unlink()
    proof = prove(attacked)
    require(
        proof,
        (link(attacked, 3), "entry 3 of chain `raw` is missing"),
        (str(VISIT), "version 1: no entry of the chain tells"),
    )


def test_an_entry_that_became_a_folder(attacked):
    link(attacked, 3).unlink()
    link(attacked, 3).mkdir()
    assert "entry 3 of chain `raw` is" in said(prove(attacked))[0]


def test_the_newest_entry_removed(attacked):
    link(attacked, 8).unlink()
    require(
        prove(attacked),
        ("entry 8 of chain `raw` is missing",),
        (str(VISIT), "version 4: no entry of the chain tells"),
    )


def test_a_truncated_chain(attacked):
    for number in (6, 7, 8):
        link(attacked, number).unlink()
    found = said(prove(attacked))
    assert [text for text in found if "chain `raw` is missing" in text] == found[:3]
    assert {text.partition(":")[0] for text in found[3:]} == {str(VISIT), str(DRUG)}


def test_an_entry_replaced_by_another_one(attacked):
    overwrite(link(attacked, 3), link(attacked, 4).read_bytes())
    assert "entry 3 of chain `raw` is another entry under this name" in said(prove(attacked))[0]


def test_an_entry_too_many(attacked):
    entry = chain.Entry(chain.RAW, 9, "0" * 64, 1, {"kind": "raw"})
    link(attacked, 9).write_bytes(entry.content)
    require(prove(attacked), (link(attacked, 9), "entry 9 of chain `raw` is unknown to the control database"))


def test_the_first_entry_of_another_lake(attacked, tmp_path):
    other = storage.create_lake(settings_of(tmp_path / "other"))
    put(other, VISIT, 1)
    shutil.copy(link(other, 1), link(attacked, 1))
    text = said(prove(attacked))[0]
    assert "entry 1 of chain `raw` was changed" in text
    assert "does not follow from the lake's id" in text


def test_the_erasure_chain_is_walked_too(attacked):
    with attacked.control.write("lake.recover") as connection:
        for at in (1, 2):
            chain.append(connection, chain.ERASURE, {"kind": "erasure", "events": []}, at=at)
    chain.flush(attacked.root, attacked.control)
    require(prove(attacked))
    flip(link(attacked, 1).parents[1] / "erasure" / "000000000001.json", 5)
    proof = prove(attacked)
    require(proof, ("chain `erasure`", "[chain_erasure]"))


# --- the head


def test_a_head_that_the_control_database_says_otherwise(attacked):
    set_head(attacked, 8, "0" * 64)
    require(prove(attacked), ("entry 8 of chain `raw` is not the head that the control database knows",))


def test_a_head_set_back(attacked):
    set_head(attacked, 5, json.loads(link(attacked, 6).read_bytes())["previous"])
    found = said(prove(attacked))
    assert ["is unknown to the control database" in text for text in found[:3]] == [True] * 3
    assert any(f"{VISIT}: version 4: no entry of the chain tells" in text for text in found)


def test_a_head_that_is_gone(attacked):
    with attacked.control.engine.begin() as connection:
        connection.execute(sa.delete(chain_head_table).where(chain_head_table.c.name == chain.RAW))
    assert "in no chain that the control database knows" in said(prove(attacked))[0]


# --- consistent forgeries


def test_a_file_changed_and_its_entry_rewritten(attacked):
    """Later entries are left alone: the one behind names another hash."""
    path = data(attacked, VISIT, 1)
    flip(path)
    entry = json.loads(link(attacked, 3).read_bytes())
    entry["body"]["files"][0].update(tell(path.read_bytes()))
    overwrite(link(attacked, 3), chain.Entry(**entry).content)
    require(
        prove(attacked),
        ("entry 3 of chain `raw` was changed: entry 4 names another SHA-256",),
        (str(VISIT), "entry 3, version 1: the entry tells of other files than the control database"),
    )


def test_a_file_changed_and_the_whole_chain_rewritten_but_not_the_head(attacked):
    path = data(attacked, VISIT, 1)
    flip(path)
    rewrite_chain(attacked, 3, lambda body: body["files"][0].update(tell(path.read_bytes())))
    require(
        prove(attacked),
        ("entry 8 of chain `raw` is not the head that the control database knows",),
        (str(VISIT), "entry 3, version 1: the entry tells of other files than the control database: it was forged"),
    )


def test_log_and_chain_rewritten_but_not_the_head(attacked):
    path = log(attacked, DRUG, 2)
    overwrite(path, path.read_bytes().replace(b'\\"_batch\\": 6', b'\\"_batch\\": 4'))
    rewrite_chain(attacked, 7, lambda body: body["log"].update(tell(path.read_bytes())))
    require(prove(attacked), ("entry 8 of chain `raw` is not the head that the control database knows",))


def test_the_newest_commit_taken_out_of_lake_chain_and_head(attacked):
    """The attacker owns the control database too, but leaves the intents."""
    data(attacked, VISIT, 4).unlink()
    log(attacked, VISIT, 4).unlink()
    last = json.loads(link(attacked, 8).read_bytes())["previous"]
    link(attacked, 8).unlink()
    set_head(attacked, 7, last)
    found = said(prove(attacked))
    assert f"{VISIT}: version 4: no entry of the chain tells of the commit any more" in found[0]
    assert "version 4: the log entry is missing" in "\n".join(found)


def test_only_a_published_head_proves_it_to_who_owns_lake_and_database(attacked):
    """Nothing in lake or database is left to tell, as docs/worm.md says."""
    head = published(attacked)
    data(attacked, VISIT, 4).unlink()
    log(attacked, VISIT, 4).unlink()
    last = json.loads(link(attacked, 8).read_bytes())["previous"]
    link(attacked, 8).unlink()
    set_head(attacked, 7, last)
    with attacked.control.engine.begin() as connection:
        mine = (intent_table.c.table_id == str(VISIT), intent_table.c.version == 4)
        connection.execute(sa.delete(intent_table).where(*mine))
    require(prove(attacked))
    require(
        prove(attacked, expected=[head]),
        ("chain `raw` ends at entry 7, before the published entry 8: it was cut off", "[chain_published]"),
    )


def test_a_published_head_is_found_again_and_a_rewritten_one_is_not(attacked):
    head = published(attacked)
    put(attacked, DRUG, 9)
    require(prove(attacked, expected=[head]))
    require(prove(attacked, expected=[head], since=8))
    require(prove(attacked, expected=[worm.Published(chain.RAW, 0, chain.origin(attacked.id, chain.RAW))]))
    last = rewrite_chain(attacked, 7, lambda body: body.update(batches=[]) or body["log"].update(size=1))
    set_head(attacked, 9, last)
    found = said(prove(attacked, expected=[head]))
    assert "entry 8 of chain `raw` is not the published one" in found[0]
    found = said(prove(attacked, expected=[head], since=9))
    assert "entry 8 of chain `raw` is not the published one" in found[0]


def test_a_head_of_another_lake_is_not_the_origin(attacked):
    wrong = worm.Published(chain.RAW, 0, chain.origin("another", chain.RAW))
    assert "entry 0 of chain `raw` is not the published one" in said(prove(attacked, expected=[wrong]))[0]


def test_sides_of_different_generations(attacked, tmp_path):
    settings = settings_of(tmp_path)
    marker = tmp_path / "lake" / "lake.json"
    before = marker.read_bytes()
    raise_generation(attacked)
    assert worm.open_unjudged(settings)[1] == ()
    marker.write_bytes(before)
    (finding,) = worm.open_unjudged(settings)[1]
    assert "generation 1 and 2" in finding.message


# --- since


def test_since_reads_what_is_new_and_sees_what_is_missing(attacked):
    proof = prove(attacked, since=6)
    require(proof)
    assert [(each.table, each.entries, each.files) for each in proof.tables] == [(str(DRUG), 1, 1), (str(VISIT), 1, 1)]
    flip(data(attacked, VISIT, 1))  # read before: not again
    require(prove(attacked, since=6))
    flip(data(attacked, VISIT, 4))
    require(prove(attacked, since=6), (str(VISIT), "entry 8, version 4", data(attacked, VISIT, 4).name))
    data(attacked, VISIT, 3).unlink()
    log(attacked, DRUG, 0).unlink()
    require(
        prove(attacked, since=6),
        (str(DRUG), "version 0: the log entry is missing"),
        (str(VISIT), "entry 8, version 4", "changed or replaced"),
        (str(VISIT), data(attacked, VISIT, 3).name, "is missing, and no retirement took it out"),
    )


def test_since_the_head_still_sees_commits_by_hand(attacked):
    from deltalake import DeltaTable

    require(prove(attacked, since=8))
    DeltaTable(attacked.uri(VISIT)).restore(1)
    require(prove(attacked, since=8), (str(VISIT), "version 5: a commit without an intent (`RESTORE`)"))


def test_since_an_entry_that_is_yet_to_come(attacked):
    with pytest.raises(UsageError, match="ends at entry 8, before 9"):
        prove(attacked, since=9)
