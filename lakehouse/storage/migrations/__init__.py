"""The control database's tables through time: revisions of alembic, run by the program itself.

`versions/` holds one module per revision; a released one is never changed. A change of `storage.control` needs a new one
and a new `HEAD`; a test holds the two to each other. alembic is imported when a database is changed, not to look at one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lakehouse.errors import FormatVersionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.script import ScriptDirectory

#: The revision that this program's `storage.control` describes.
HEAD = "0002"
_version = sa.table("alembic_version", sa.column("version_num", sa.Text))


def revision(connection: sa.Connection) -> str | None:
    """The revision of a control database; None if it has no tables of ours."""
    if not sa.inspect(connection).has_table(_version.name):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()


def require_head(connection: sa.Connection, *, where: str) -> None:
    """Refuse a control database of another revision.

    Raises:
        FormatVersionError: it is older or newer than this program.
    """
    found = revision(connection)
    if found == HEAD:
        return
    older = found is not None and found < HEAD
    raise FormatVersionError(
        f"the control database has revision `{found}`, this program works with `{HEAD}`",
        where=where,
        hint="back it up, then run `lakehouse migrate`" if older else "use the program's version that migrated it",
    )


def upgrade(connection: sa.Connection) -> tuple[str | None, str]:
    """Bring a control database to `HEAD`, all of it in the running transaction.

    Returns:
        The revisions before and after.

    Raises:
        FormatVersionError: it is newer than this program, or was made before there were revisions.
    """
    before = revision(connection)
    if before == HEAD:
        return before, HEAD
    # newer, or made before there were revisions
    if (before is not None and before > HEAD) or (before is None and sa.inspect(connection).has_table("lake")):
        require_head(connection, where=connection.engine.url.render_as_string())
    from alembic.operations import Operations  # noqa: PLC0415 - see above
    from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep  # noqa: PLC0415

    found = scripts()

    def steps(heads: tuple[str, ...], _context: MigrationContext) -> Iterable[RevisionStep]:
        down = found.iterate_revisions(HEAD, heads[0] if heads else "base")
        return [MigrationStep.upgrade_from_script(found.revision_map, each) for each in reversed(list(down))]

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
    return before, HEAD


def scripts() -> ScriptDirectory:
    """The revisions there are."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    folder = Path(__file__).parent
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
