"""Raw may be in a place of its own, and locked there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to the lake's row where raw is, and for how many days a store locks it; neither before."""
    op.add_column("lake", sa.Column("raw", sa.Text(), nullable=True))
    op.add_column("lake", sa.Column("raw_lock_days", sa.Integer(), nullable=True))
