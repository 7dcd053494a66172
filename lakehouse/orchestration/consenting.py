"""Consent in force follows the rows that say who decides for whom: renewed after those tables changed."""

from lakehouse import storage
from lakehouse.contract.model import Project, Table
from lakehouse.policy.load import load_policy
from lakehouse.privacy import consent
from lakehouse.storage import Lake


def renew_consent(lake: Lake, project: Project, table: Table) -> None:
    """Renew what is in force, if rows of the table decide whose consent counts and there is any."""
    if not consent.is_concerned(project, table.id) or not storage.exists(lake, consent.CONSENT):
        return
    purposes = load_policy(project.root, project).purposes
    consent.renew(lake, project, asks=consent.asks_of({name: each.consent for name, each in purposes.items()}))
