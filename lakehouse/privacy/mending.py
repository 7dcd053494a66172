"""Mending a lake after a backup of one side was restored, in the one order that is safe at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.privacy import epochs
from lakehouse.privacy.erasures import replay
from lakehouse.storage import chain
from lakehouse.storage.agreement import DATABASE
from lakehouse.storage.catching_up import catch_up
from lakehouse.storage.going_back import go_back
from lakehouse.storage.marker import publish

if TYPE_CHECKING:
    from lakehouse.storage import Lake
    from lakehouse.storage.restored import Difference


def mend(lake: Lake, difference: Difference) -> None:
    """Make lake and control database agree again, and raise the generation; whoever dies in it starts anew.

    Raises:
        LakeMismatchError: parts of the lake are of different moments.
        KeyUnavailableError: nothing that the older database has wrapped opens; a newer backup may.
    """
    if difference.older is None:
        return
    if difference.older == DATABASE:
        epochs.require_open(lake)
        # INVARIANT: first of all, while every other command still refuses: keys that came back are destroyed again
        replay(lake, difference.heads[chain.ERASURE][1])
        catch_up(lake, difference)
    else:
        go_back(lake, difference)
    chain.flush(lake.root, lake.control)
    publish(lake.root, lake.control, recovered=True)
