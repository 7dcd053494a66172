"""Tokens beside the values of staged columns, and which version of each domain's secret a table's tokens are made by.

Tokens are made of the typed value, so that a number is one number in every table of its domain, whether it was delivered
as `17850`, `017850` or a column of integers. All rows of a table have tokens of one version: a renewed secret counts for a
table once it is rebuilt, and until then later deliveries go on with the version that its rows have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from lakehouse.contract.change import Change, Effect, Kind
from lakehouse.model import Tier, token_of
from lakehouse.privacy import vault
from lakehouse.privacy.tokens import secret_name, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.contract.model import Table
    from lakehouse.storage import Applied, Lake

#: What the lake knows of a table's raw holds the versions under this word.
VERSIONS = "tokens"


def with_tokens(lake: Lake, table: Table, frame: pl.DataFrame, said: Mapping[str, Any]) -> pl.DataFrame:
    """Typed rows with a column of tokens for each column that has a pseudonym domain.

    Args:
        lake: the lake.
        table: the staged table.
        frame: its columns, typed.
        said: what the lake knows of the table, with the versions of its tokens.
    """
    made: list[pl.Series] = []
    for column in table.tokenised:
        version = said.get(VERSIONS, {}).get(column.pseudonym_domain)
        texts = text_of(frame[column.name])
        found = tokens(lake, column.pseudonym_domain or "", column.canonical, texts, version=version)
        made.append(found.alias(token_of(column.name)))
    return frame.with_columns(made)


def text_of(values: pl.Series) -> pl.Series:
    """Typed values as the text that tokens are made of; instants in UTC."""
    if values.dtype == pl.Date:
        return values.dt.strftime("%Y-%m-%d")
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return values.cast(pl.String)


def with_versions(lake: Lake, table: Table, said: Mapping[str, Any], *, renew: bool = False) -> dict[str, Any]:
    """What the lake knows of a table, with a version for each of its pseudonym domains.

    Args:
        lake: the lake.
        table: the staged table.
        said: what was known so far; its versions stay.
        renew: every row is made anew, so the newest versions count.
    """
    before: Mapping[str, int] = {} if renew else said.get(VERSIONS, {})
    domains = sorted({column.pseudonym_domain for column in table.tokenised if column.pseudonym_domain})
    found = {domain: before.get(domain) or vault.secret_version(lake, secret_name(domain)) for domain in domains}
    return {**said, VERSIONS: found}


def renewed(lake: Lake, row: Applied, table: Table) -> tuple[Change, ...]:
    """What renewed secrets mean for a table's rows."""
    if table.id.tier is not Tier.STAGED:
        return ()
    versions: Mapping[str, int] = row.raw.get(VERSIONS, {})
    domains = {column.pseudonym_domain for column in table.tokenised if column.pseudonym_domain}
    stale = [each for each in sorted(domains) if each not in versions or versions[each] != _newest(lake, each)]
    text = "the key of pseudonym domain `{}` is another: its tokens are made anew"
    return tuple(Change(Kind.TOKEN, Effect.REBUILD, text.format(domain), domain) for domain in stale)


def _newest(lake: Lake, domain: str) -> int:
    return vault.secret_version(lake, secret_name(domain))
