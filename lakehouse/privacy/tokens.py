"""Tokens: what stands for a value where the value itself may not be seen; equal values of a domain have equal tokens.

A token is HMAC-SHA256 of the value's canonical form under the pseudonym domain's own secret, as 64 hex digits. Nobody who
lacks the secret can make one, not even of a guessed value. A renewed secret gives other tokens to everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lakehouse.privacy import vault
from lakehouse.privacy.forms import canonical_form
from lakehouse.privacy.hashing import keyed

if TYPE_CHECKING:
    from lakehouse.storage import Lake


def tokens(
    lake: Lake, domain: str, forms: tuple[str, ...], values: pl.Series, *, version: int | None = None
) -> pl.Series:
    """The tokens of text values; null where the value is null or names nothing in its canonical form.

    Args:
        lake: the lake whose vault has the domain's secret.
        domain: the pseudonym domain.
        forms: canonical forms.
        values: text.
        version: of the secret; the newest one if nothing is said.
    """
    asked = values.alias("value").to_frame()
    known = asked.unique().with_columns(canonical_form(pl.col("value"), forms).alias("canonical"))
    known = known.drop_nulls("canonical")
    if known.is_empty():
        return pl.Series(values.name, [None] * values.len(), dtype=pl.String)
    secret = vault.secret(lake, secret_name(domain), version)
    known = known.with_columns(keyed(known["canonical"], secret).alias("token"))
    found = asked.join(known, on="value", how="left", maintain_order="left")
    return found["token"].alias(values.name)


def secret_name(domain: str) -> str:
    """What the vault calls the secret of a pseudonym domain."""
    return f"{vault.TOKEN_SECRETS}{domain}"
