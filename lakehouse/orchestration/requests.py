"""Which landed files are to be taken by a run now.

The same files are asked for once: their request is the run key, and Dagster runs a key once. A run that failed is asked
for again a few times with a new request; after that the files wait for a person, or for any change of the folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from lakehouse import storage
from lakehouse.contract.model import Table
from lakehouse.errors import StorageError
from lakehouse.ingest import landing
from lakehouse.model import Tier
from lakehouse.orchestration.access import REQUEST_TAG, TABLE_TAG
from lakehouse.orchestration.metadata import asset_key
from lakehouse.storage import Lake

#: Files that failed this often wait for a person, or for any change of the folder.
ATTEMPTS = 3

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def landing_requests(
    instance: dg.DagsterInstance, lake: Lake, tables: Sequence[Table], *, seen: dict[str, str]
) -> Iterator[dg.RunRequest]:
    """Requests for tables with new complete files; `seen` (table -> last request) is brought up to date."""
    now = lake.now()
    for table in tables:
        files = landing.complete_files(lake, table, now)
        if not files or _is_running(instance, table):
            continue
        request = _request_for(instance, lake, table, files=files, last=seen.get(str(table.id)))
        if request is None:
            continue
        seen[str(table.id)] = request
        yield dg.RunRequest(
            run_key=request,
            tags={REQUEST_TAG: request, TABLE_TAG: str(table.id)},
            asset_selection=[asset_key(table.id.at(Tier.RAW)), asset_key(table.id)],
        )


def _request_for(
    instance: dg.DagsterInstance, lake: Lake, table: Table, *, files: Sequence[Path], last: str | None
) -> str | None:
    """A request id for these files: new ones get a new id, failed ones a few more attempts, others wait."""
    names = landing.name_hashes(lake, files)
    states = [file.stat() for file in files]
    waiting = sorted([name, state.st_size, state.st_mtime_ns] for name, state in zip(names, states, strict=True))
    attempt = 1
    if last is not None:
        try:
            before = storage.get_request(lake, last)
        except (KeyError, StorageError):
            before = {}
        if before.get("waiting") == waiting:
            attempt = int(before.get("attempt", 1)) + 1
            if attempt > ATTEMPTS or not failed(instance, last):
                return None
    payload = {"files": {str(table.id): names}, "waiting": waiting, "attempt": attempt}
    return storage.put_request(lake, "ingest", payload)


def _is_running(instance: dg.DagsterInstance, table: Table) -> bool:
    return bool(instance.get_run_ids(dg.RunsFilter(tags={TABLE_TAG: str(table.id)}, statuses=_UNFINISHED), limit=1))


def failed(instance: dg.DagsterInstance, request: str) -> bool:
    """Whether a run of the request has ended badly."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return bool(instance.get_run_ids(dg.RunsFilter(tags={REQUEST_TAG: request}, statuses=ended), limit=1))
