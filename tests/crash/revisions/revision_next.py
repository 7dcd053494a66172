"""A revision that follows the newest one, for tests: two changes, between which a test kills the process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from lakehouse.storage import migrations

revision = "9998"
down_revision = max(Path(migrations.__file__).parent.glob("versions/r*.py")).stem[1:5]
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table("trial", sa.Column("id", sa.Text, primary_key=True))
    if os.environ.get("TEST_MIGRATION") == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    op.add_column("trial", sa.Column("more", sa.Text))
