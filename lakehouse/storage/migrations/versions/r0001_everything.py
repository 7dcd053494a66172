"""The first revision: everything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    _commits()
    _batches()
    _people()
    _keys()
    _chains()


def _commits() -> None:
    op.create_table(
        "intent",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("recorded", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state in ('open', 'done', 'dropped')", name="intent_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("intent_by_table", "intent", ["table_id", "state", "version"], unique=False)
    op.create_table(
        "lake",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("format_version", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "lease",
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("table_id"),
    )
    op.create_table(
        "request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "verdict",
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table_id", "version"),
    )


def _batches() -> None:
    op.create_table(
        "applied_contract",
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("odcs_id", sa.Text(), nullable=False),
        sa.Column("contract", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("raw", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table_id"),
        sa.UniqueConstraint("home"),
    )
    op.create_table(
        "batch",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name_hash", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("landed_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("terms", sa.Text(), nullable=True),
        sa.Column("as_of", sa.BigInteger(), nullable=True),
        sa.Column("drift", sa.Text(), nullable=True),
        sa.UniqueConstraint("table_id", "source", "name_hash", "sha256"),
        sa.CheckConstraint("state in ('reserved', 'raw', 'staged', 'held', 'rejected', 'lost')", name="batch_state"),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )


def _people() -> None:
    op.create_table(
        "alias",
        sa.Column("surrogate", sa.LargeBinary(length=16), nullable=False),
        sa.Column("other", sa.LargeBinary(length=16), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.CheckConstraint("cause in ('merged', 'form')", name="alias_cause"),
        sa.PrimaryKeyConstraint("surrogate", "other"),
    )
    op.create_table(
        "entity",
        sa.Column("keyed_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("surrogate", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("keyed_hash"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erased",
        sa.Column("mark", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tombstone",
        sa.Column("keyed_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("keyed_hash"),
        sqlite_with_rowid=False,
    )


def _keys() -> None:
    op.create_table(
        "batch_key",
        sa.Column("batch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("destroy_after", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch"),
    )
    op.create_index("batch_key_by_destruction", "batch_key", ["destroy_after"], unique=False)
    op.create_table(
        "data_key",
        sa.Column("surrogate", sa.LargeBinary(length=16), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("surrogate", "scope"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "epoch",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("destroy_after", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('current', 'old', 'destroyed')", name="epoch_state"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "period_key",
        sa.Column("table_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("table_id", "month"),
    )
    op.create_table(
        "secret",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )


def _chains() -> None:
    op.create_table(
        "chain_head",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "chain_outbox",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", "number"),
    )
