"""Tokens: keyed hashes of canonical values, one key per domain and version, null where there is nothing to stand for."""

from __future__ import annotations

import hmac

import polars as pl
import pytest

from lakehouse.errors import StorageError
from lakehouse.privacy import hashing, tokens, vault


def made(lake, texts, *, domain="d", forms=("integer",), **more):
    return tokens.tokens(lake, domain, forms, pl.Series(texts, dtype=pl.String), **more).to_list()


def test_a_token_is_hmac_sha256_of_the_canonical_value(lake):
    secret = vault.secret(lake, "token/d")
    expected = hmac.digest(secret.encode(), b"17850", "sha256").hex()
    assert made(lake, ["17850.0", " 017850", "17850"]) == [expected] * 3


def test_nothing_has_no_token(lake):
    assert made(lake, [None, "", "abc", "17850.5"]) == [None] * 4
    assert made(lake, []) == []
    assert made(lake, [" "], forms=("trim",)) == [None]


def test_domains_and_versions_do_not_join(lake):
    first = made(lake, ["1"])
    assert made(lake, ["1"], domain="e") != first
    assert vault.renew_secret(lake, "token/d") == 2
    assert made(lake, ["1"]) != first
    assert made(lake, ["1"], version=1) == first
    with pytest.raises(StorageError, match="no version 3"):
        made(lake, ["1"], version=3)


@pytest.mark.parametrize(
    ("forms", "spellings"),
    [
        (("casefold",), ["Éva@Example.com", "E\u0301VA@EXAMPLE.COM", "éva@example.com"]),
        (("e164",), ["+49 30 1234567", "0049 (0)30/123-45-67", "+49301234567"]),
        (("compact", "casefold"), ["DE89 3704 0044", "de89-3704-0044"]),
    ],
)
def test_one_person_has_one_token_however_it_is_spelled(lake, forms, spellings):
    found = made(lake, spellings, forms=forms)
    assert len(set(found)) == 1
    assert found[0] is not None


def test_the_values_of_a_large_column_stay_in_order(lake):
    texts = [str(number % 997) for number in range(20_000)]
    found = made(lake, texts)
    by_text = dict(zip(texts[:997], found[:997], strict=True))
    assert found == [by_text[text] for text in texts]
    assert len(set(found)) == 997


def test_a_library_that_hashes_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(hashing, "_KNOWN", ("Jefe", "another question", hashing._KNOWN[2]))
    hashing._require_known_answer.cache_clear()
    with pytest.raises(StorageError, match="known answer"):
        hashing.keyed(pl.Series(["a"]), "k")
    hashing._require_known_answer.cache_clear()
