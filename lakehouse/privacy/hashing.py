"""Keyed hashes of whole columns. The key is 64 hex digits as text, the form that every engine can take."""

from __future__ import annotations

from functools import cache

import polars as pl
import polars_hash as plh

from lakehouse.errors import StorageError

#: RFC 4231, test case 2, as known answer (a key of the wrong kind is taken without a word).
_KNOWN = ("Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")


def keyed(texts: pl.Series, key: str) -> pl.Series:
    """HMAC-SHA256 of each text, as 64 hex digits; null stays null.

    Raises:
        StorageError: the library does not give the known answer.
    """
    _require_known_answer()
    return _hmac(texts, key)


def _hmac(texts: pl.Series, key: str) -> pl.Series:
    return texts.alias("text").to_frame().select(plh.col("text").chash.hmac_sha256(key=key)).to_series()


@cache
def _require_known_answer() -> None:
    key, text, expected = _KNOWN
    if _hmac(pl.Series([text]), key).item() != expected:
        raise StorageError(
            "the keyed hash does not give the known answer", hint="install the pinned version of `polars-hash`"
        )
