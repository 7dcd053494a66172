"""Small files of the lake, where there are no links, and entries of chains; `conformance/test_stores.py` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import StorageError
from lakehouse.storage import chain, files


def test_a_file_is_put_once_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    place = str(tmp_path / "x")
    assert (files.put_once(place, b"abc"), files.put_once(place, b"other")) == (True, False)
    assert (files.read(place), files.names(str(tmp_path))) == (b"abc", ["x"])


def test_entries_follow_each_other_in_canonical_bytes(lake):
    body = {"b": 1, "a": ["é"]}
    with lake.control.write("lake.recover") as connection:
        first, second = (chain.append(connection, chain.RAW, body, at=at) for at in (1, 2))
    assert first.content == (
        b'{"at":1,"body":{"a":["\\u00e9"],"b":1},"chain":"raw","number":1,"previous":"'
        + chain.origin(lake.id, chain.RAW).encode()
        + b'"}'
    )
    assert second.previous == first.hash
    assert chain.heads(lake.control)[chain.RAW] == chain.Head(2, second.hash, (1, 2))
    assert chain.flush(lake.root, lake.control) == 2
    assert list(chain.entries(lake.root, chain.RAW)) == [first, second]
    assert chain.verify(lake.root, lake.control, chain.RAW) == chain.Walk(chain.RAW, 2, second.hash)


def test_a_chain_that_the_database_does_not_have_is_an_error(lake):
    with pytest.raises(StorageError, match="no chain `audit`"), lake.control.write("lake.recover") as connection:
        chain.append(connection, "audit", {}, at=1)
    assert chain.verify(lake.root, lake.control, "audit").findings
