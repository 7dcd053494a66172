"""The consent in force, as of this moment, for views and copies that join it."""

# pyarrow ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse import storage
from lakehouse.privacy import consent
from lakehouse.storage.read import Snapshot

if TYPE_CHECKING:
    from lakehouse.contract.model import Project
    from lakehouse.policy.model import Policy
    from lakehouse.storage import Lake

#: What nobody's consent looks like, where the lake has no table of it yet.
_NO_CONSENT = pa.schema(
    [("entity", pa.string()), ("purpose", pa.string()), ("given", pa.bool_()), ("expires_on", pa.date32())]
)


def consent_in_force(lake: Lake, project: Project, policy: Policy) -> Snapshot:
    """`consent_current`, made anew first where something that it is made of has changed."""
    asks = consent.asks_of({name: purpose.consent for name, purpose in policy.purposes.items()})
    consent.renew(lake, project, asks=asks)  # INVARIANT: a withdrawal is seen by the next query
    if storage.is_there(lake, consent.CURRENT):
        return storage.snapshot(lake, consent.CURRENT)
    return Snapshot(consent.CURRENT, 0, (), _NO_CONSENT, 0, 0)
