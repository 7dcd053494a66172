"""Consent in force follows the files that land, and the rows that say who decides for whom.

INVARIANT: no id, no name of a file and no line of one in anything that Dagster keeps.
"""

# dagster annotates metadata with `PathLike` without its argument: it is partly unknown to the checker.
# pyright: reportUnknownMemberType=false

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import dagster as dg

from lakehouse import storage
from lakehouse.contract.model import Project, Table
from lakehouse.ingest import consent_files, landing
from lakehouse.orchestration import requests
from lakehouse.orchestration.access import REQUEST_TAG, LakeAccess
from lakehouse.orchestration.guard import no_values_in_errors
from lakehouse.policy.load import load_policy
from lakehouse.policy.model import Policy
from lakehouse.privacy import consent
from lakehouse.storage import Lake

_VERSION = "version"


def renew_consent(lake: Lake, project: Project, table: Table) -> None:
    """Renew what is in force, if rows of the table decide whose consent counts and there is any."""
    if not consent.is_concerned(project, table.id) or not storage.exists(lake, consent.CONSENT):
        return
    consent.renew(lake, project, asks=_asks(load_policy(project.root, project)))


def reason_to_run(lake: Lake, last: dg.AssetMaterialization | None) -> str | None:
    """A key for a run now; the same state has the same key.

    There was no run yet (what stands below waits for one), files wait, or what is in force is not what the last run told.
    """
    waiting = sorted(_states(lake))
    version = storage.snapshot(lake, consent.CURRENT).version if storage.exists(lake, consent.CURRENT) else None
    told = last.metadata.get(_VERSION) if last is not None else None
    if last is not None and not waiting and version == (told.value if told is not None else None):
        return None
    return hashlib.sha256(json.dumps([version, waiting]).encode()).hexdigest()[:32]


def attempt(instance: dg.DagsterInstance, key: str) -> str | None:
    """The key's run that is to be asked for: Dagster runs a key once, so one that failed gets another name a few times."""
    for number in range(1, requests.ATTEMPTS + 1):
        request = f"{key}-{number}"
        if not instance.get_run_ids(dg.RunsFilter(tags={REQUEST_TAG: request}), limit=1):
            return request
        if not requests.failed(instance, request):
            return None
    return None


def _states(lake: Lake) -> Iterator[tuple[str, int, int]]:
    """What the complete files are, without their names; somebody else may take one just now."""
    files = consent_files.waiting(lake, lake.now())
    for name, file in zip(landing.name_hashes(lake, files), files, strict=True):
        with suppress(FileNotFoundError):
            state = file.stat()
            yield name, state.st_size, state.st_mtime_ns


def taken(access: LakeAccess, project: Project, policy: Policy, *, check: str) -> dg.MaterializeResult[Any]:
    """Take every complete file and make what is in force anew; told in counts, bad lines by their reasons."""
    asks = _asks(policy)
    with no_values_in_errors("consent"):
        lake = access.open()
        files = consent_files.waiting(lake, lake.now())
        found = [consent_files.take(lake, project, file, asks=asks) for file in files]
        left = consent_files.left(lake)
        consent.renew(lake, project, asks=asks)
        there = storage.exists(lake, consent.CURRENT)
        version = storage.snapshot(lake, consent.CURRENT).version if there else None
    bad = Counter(line.reason for each in found for line in each.bad)
    return dg.MaterializeResult(
        metadata={
            "files": len(found),
            "statements": sum(each.recorded for each in found),
            **({} if version is None else {_VERSION: version}),
        },
        data_version=dg.DataVersion(str(version)),
        check_results=[
            dg.AssetCheckResult(
                check_name=check,
                passed=not left,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"files_waiting": left, "bad_lines": bad.total(), "reasons": dict(bad)},
            )
        ],
    )


def _asks(policy: Policy) -> dict[str, str]:
    return consent.asks_of({name: purpose.consent for name, purpose in policy.purposes.items()})
