"""Fills a vault, rotates its keys and destroys what is due; killed at a fault point by `test_rotation_crash.py`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from pathlib import Path

import polars as pl

from lakehouse import storage
from lakehouse.model import TableId, Tier
from lakehouse.privacy import entities, rotation, vault
from lakehouse.settings import load_settings

RAW = TableId(Tier.RAW, "clinic", "visit")
PEOPLE = 100
PORTION = 15


def opened(folder: str) -> storage.Lake:
    """No backups, so that what is scheduled is due at once."""
    lake = storage.create_lake(load_settings(Path(__file__).parents[2], lake=folder))
    return dataclasses.replace(lake, backup_days=0)


def everything(lake: storage.Lake) -> list[object]:
    """All keys; those that are missing are made."""
    ids = pl.Series([str(number) for number in range(PEOPLE)])
    people = entities.with_keys(lake, "patient", ("trim",), ids, scope="main").sort("id")
    later = lake.now() + dt.timedelta(days=1)
    batches = [vault.batch_key(lake, number, table=RAW, destroy_after=later) for number in range(3)]
    secrets = [vault.secret(lake, name) for name in ("entity", "file name", "token/mail")]
    return [*people.rows(), *batches, *secrets, vault.period_key(lake, RAW, "2026-11")]


def main(folder: str, act: str) -> None:
    rotation.PORTION = PORTION
    lake = opened(folder)
    if act == "fill":
        everything(lake)
        return
    vault.batch_key(lake, 99, table=RAW, destroy_after=lake.now() - dt.timedelta(days=1))
    rotation.rotate(lake)
    rotation.destroy_due(lake)
    vault.destroy_due(lake, lake.now())


if __name__ == "__main__":
    main(*sys.argv[1:])
