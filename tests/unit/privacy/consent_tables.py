"""Staged tables of banking with a few rows, committed as the gate would: who owns which account."""

from __future__ import annotations

import polars as pl

from lakehouse import storage
from lakehouse.contract.arrow import schema
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities
from lakehouse.storage.delta import polars_schema

FORMS = ("trim", "integer")


def put(lake, project, dispositions, *, clients=(), accounts=()) -> None:
    """Replace dispositions (number, account, client, role), and the clients and accounts where some are given."""
    tables = {
        "client": [{"client_id": int(each)} for each in clients],
        "account": [{"account_id": int(each)} for each in accounts],
        "disposition": [
            {"disp_id": number, "account_id": int(account), "client_id": int(client), "role": role}
            for number, account, client, role in dispositions
        ],
    }
    for name, rows in tables.items():
        if rows:
            _replace(lake, project, TableId(Tier.STAGED, "banking", name), rows)


def _replace(lake, project, name, rows) -> None:
    table = project.table(name)
    types = polars_schema(schema(table, Tier.STAGED))
    ids = pl.Series([str(row[table.entity.key]) for row in rows])
    surrogates = entities.resolve(lake, table.entity.type, FORMS, ids).to_list()
    full = [{**dict.fromkeys(types.names()), **row, "_entity": who} for row, who in zip(rows, surrogates, strict=True)]
    with storage.lease(lake, name, holder="test") as held:
        tx = storage.begin(lake, name, held, schema(table, Tier.STAGED))
        if storage.exists(lake, name):
            tx.remove(storage.snapshot(lake, name).files)
        tx.write(pl.DataFrame(full, schema=types))
        tx.commit("stage")
