"""The tour's last stop: one question of a recipe, asked by several people, each for a purpose.

Everybody gets what the policy shows him, through the same connection as any reader (`lakehouse.serving`). How it is
printed is the command's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError, UsageError
from lakehouse.policy.load import load_policy
from lakehouse.serving.connection import Connection, Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lakehouse.demo.recipe import Asker, Question
    from lakehouse.storage import Lake


@dataclass(frozen=True)
class Answer:
    """What one of them was shown; of a refusal only its words."""

    user: str
    purpose: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    refused: str | None = None


@dataclass(frozen=True)
class Asked:
    """A question and everybody's answer."""

    domain: str
    sql: str
    answers: tuple[Answer, ...]


def ask(root: Path, lake: Lake, questions: Sequence[tuple[str, Question]]) -> tuple[Asked, ...]:
    """Ask each domain's question as everybody whom its recipe names, under the policy of the project at `root`."""
    project = load_project(root)
    policy = load_policy(root, project)

    def answer(sql: str, asker: Asker) -> Answer:
        return _answer(sql, Reader(asker.user, asker.purpose, policy, project, lake))

    return tuple(
        Asked(domain, question.sql, tuple(answer(question.sql, asker) for asker in question.people))
        for domain, question in questions
    )


def _answer(sql: str, reader: Reader) -> Answer:
    try:
        with Connection(reader) as connection:
            cursor = connection.execute(sql)
            columns = tuple(column[0] for column in cursor.description or ())
            return Answer(reader.user, reader.purpose, columns, tuple(cursor.fetchall()))
    except (RefusedError, UsageError) as error:
        # Who edited policies or contracts sees what came of it, not a demo that breaks off.
        return Answer(reader.user, reader.purpose, refused=error.message)
