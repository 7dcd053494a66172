"""Serving: why people read. Each purpose with a grant is an asset below the tables that it shows.

Nothing here is particular to a purpose: it stands in `policies/purposes.yaml`, what it shows in the domains' `access.yaml`.
"""

from collections.abc import Sequence

import dagster as dg

from lakehouse.contract.model import Project
from lakehouse.orchestration.serving import served
from lakehouse.policy.load import load_policy


def load(project: Project) -> Sequence[dg.AssetsDefinition]:
    """Every purpose under which something is shown, and consent; a project without policies has none."""
    return served(project, load_policy(project.root, project))
