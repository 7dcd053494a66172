"""The policy, for assets and notebooks: tables as somebody may see them for a purpose, as polars frames.

Whoever runs such code can read the lake's files as well: this keeps honest code from taking more than it needs, and shows
in the graph whose eyes it uses. It does not lock anybody out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from lakehouse.errors import LakehouseError
from resources.lake import LakeResource

if TYPE_CHECKING:
    import polars as pl

    from lakehouse.serving.connection import Connection
    from lakehouse.serving.session import Limits


class PolicyResource(LakeResource):
    """Reads the lake at the same place as a person and for a purpose."""

    def frame(
        self,
        name: str,
        *,
        user: str,
        purpose: str,
        columns: Sequence[str] | None = None,
        limits: "Limits | None" = None,
    ) -> "pl.DataFrame":
        """What a view (`claims_notice`), or a table by its view (`staged.claims.notice`), shows to this person.

        Args:
            name: the view or the table.
            user: a member of groups in `policies/groups.yaml`.
            purpose: one of `policies/purposes.yaml`.
            columns: which of its columns; default: all.
            limits: how far it may go; default: a million rows, 1 GiB, 60 s.

        Raises:
            dagster.Failure: denied, refused, or not to be read; never with a value of a row.
        """
        from lakehouse.serving.frames import frame  # noqa: PLC0415 - engines load with the first step

        with _told(purpose), self._connected(user, purpose, limits) as connection:
            return frame(connection, name, columns=columns)

    def query(self, sql: str, *, user: str, purpose: str, limits: "Limits | None" = None) -> "pl.DataFrame":
        """The result of one select over the views of the purpose, as this person sees them; raises what `frame` does."""
        with _told(purpose), self._connected(user, purpose, limits) as connection:
            return connection.pl(sql)

    def _connected(self, user: str, purpose: str, limits: "Limits | None") -> "Connection":
        from lakehouse.serving.connection import connect  # noqa: PLC0415 - engines load with the first step

        settings = self.settings()
        return connect(user, purpose, lake=settings.lake, project=settings.project, limits=limits)


@contextmanager
def _told(purpose: str) -> Iterator[None]:
    """Errors of ours as a failed step that is not tried again: asking twice makes nobody's grant."""
    try:
        yield
    except LakehouseError as error:
        asked = {"purpose": purpose, "hint": error.hint or ""}
        where = error.where or "policy"
        raise dg.Failure(f"{where}: {error.message}", metadata=asked, allow_retries=False) from None
