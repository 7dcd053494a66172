"""`lakehouse doctor`: what is misconfigured, and the mend.

Each examination is a function that yields findings of its own; nothing is changed. A finding that stops work is an
error (exit 3), the rest are warnings.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.cli import output, words
from lakehouse.errors import LakehouseError, LakeMissingError
from lakehouse.model import Finding, Level

if TYPE_CHECKING:
    import datetime as dt

    from rich.console import Console

    from lakehouse.contract.model import Project
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

_OLDEST, _NEWEST = (3, 11), (3, 13)
_STUCK_SECONDS = 600
_LITTLE_SPACE = 1_000_000_000


@dataclass(frozen=True)
class Examination:
    """One thing looked at: fine, or with findings."""

    name: str
    detail: str
    findings: tuple[Finding, ...] = ()


def doctor(lake: output.LakeFolder = None, _json: output.Json = False) -> None:
    """Find what is misconfigured, and the mend."""
    done = list(_examine(lake))
    findings = [finding for each in done for finding in each.findings]
    errors = any(finding.level is Level.ERROR for finding in findings)
    document = {
        "healthy": not errors,
        "examinations": [
            {
                "name": each.name,
                "detail": each.detail,
                "findings": [output.finding_document(finding) for finding in each.findings],
            }
            for each in done
        ],
    }

    def show(console: Console) -> None:
        for each in done:
            levels = {finding.level for finding in each.findings}
            mark = "[red]✗[/]" if Level.ERROR in levels else "[yellow]![/]" if levels else "[green]✓[/]"
            console.print(f"{mark} [bold]{each.name}[/]  {each.detail}", soft_wrap=True)
            output.show_findings(console, each.findings)

    output.emit(document, show)
    output.leave(refused=errors)


def _examine(lake: str | None) -> Iterator[Examination]:
    yield _python()
    yield _packages()
    from lakehouse.settings import load_settings

    try:
        settings = load_settings(lake=lake)
    except LakehouseError as error:
        yield Examination("project", "not found", (_finding("project", error),))
        return
    project, examined = _project(settings)
    yield examined
    yield _key_file(settings)
    yield _separation(settings)
    opened, examined = _lake(settings)
    yield examined
    yield from _store(settings, opened)
    if opened is not None:
        yield _keys(opened)
        yield _disk(opened)
        yield _leases(opened)
        if project is not None:
            yield _landing(opened, project)


def _python() -> Examination:
    here = ".".join(str(part) for part in sys.version_info[:3])
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return Examination("python", here)
    hint = "use Python 3.11, 3.12 or 3.13"
    return Examination("python", here, (_warning("python", "this Python is not supported", hint),))


def _packages() -> Examination:
    """What the installed distribution asks for, against what is installed."""
    import importlib.metadata

    try:
        wanted = importlib.metadata.requires("lakehouse") or []
    except importlib.metadata.PackageNotFoundError:
        hint = "run `make venv`, or `pip install -e .`"
        return Examination("packages", "", (_warning("packages", "`lakehouse` itself is not installed", hint),))
    names = [re.split(r"[^A-Za-z0-9_.-]", each, maxsplit=1)[0] for each in wanted if "extra ==" not in each]
    missing = [name for name in names if not _installed(name)]
    found = [
        Finding("packages", Level.ERROR, name, "is needed and not installed", "run `make venv`") for name in missing
    ]
    return Examination("packages", words.plural(len(names) - len(missing), "package"), tuple(found))


def _installed(name: str) -> bool:
    import importlib.metadata

    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _project(settings: Settings) -> tuple[Project | None, Examination]:
    from lakehouse.contract.load import find_mistakes, load_project

    root = settings.project
    findings = list(find_mistakes(root))
    errors = any(finding.level is Level.ERROR for finding in findings)
    for name in ("assets", "resources"):
        if not (root / name).is_dir():
            hint = "Dagster loads the project's assets and resources from there"
            findings.append(Finding("project", Level.ERROR, str(root / name), "there is no such package", hint))
    project = None if errors else load_project(root)
    detail = f"{root}" + (f", {words.plural(len(project.tables), 'table')}" if project else "")
    return project, Examination("project", detail, tuple(findings))


def _key_file(settings: Settings) -> Examination:
    if settings.kek is not None:
        return Examination("key file", "none, the keys are given as text")
    file = settings.key_file
    if not file.exists():
        return Examination("key file", f"{file}, made on first use")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        message = f"others can read the keys that all others are wrapped by (mode {mode:04o})"
        found = Finding("key_file", Level.ERROR, str(file), message, f"run `chmod 600 {file}`")
        return Examination("key file", str(file), (found,))
    return Examination("key file", f"{file}, mode {mode:04o}")


def _separation(settings: Settings) -> Examination:
    """Who loses or steals one disk must not have everything: lake, control database and key file belong apart."""
    import sqlalchemy as sa

    database = sa.make_url(settings.control_url)
    places = {
        "lake": None if "://" in settings.lake else Path(settings.lake),
        "control database": Path(database.database or "") if database.get_backend_name() == "sqlite" else None,
        "key file": None if settings.kek is not None else settings.key_file,
    }
    disks: dict[int, list[str]] = {}
    for name, place in places.items():
        if place is not None:
            there = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
            disks.setdefault(there.stat().st_dev, []).append(name)
    hint = "before there is real data, put each on a disk or service of its own: docs/keys.md"
    found = [
        _warning("separation", f"{' and '.join(names)} are on one disk: who loses or takes it has them all", hint)
        for names in disks.values()
        if len(names) > 1
    ]
    return Examination("separation", f"of {', '.join(name for name in places)}", tuple(found))


def _lake(settings: Settings) -> tuple[Lake | None, Examination]:
    """Opening compares lake.json with the control database."""
    from lakehouse import storage

    try:
        lake = storage.open_lake(settings)
    except LakeMissingError as error:
        found = Finding("lake", Level.WARNING, settings.lake, error.message, error.hint)
        return None, Examination("lake", settings.lake, (found,))
    except LakehouseError as error:
        return None, Examination("lake", settings.lake, (_finding("lake", error),))
    return lake, Examination("lake", f"{lake.root}, agrees with its control database ({lake.environment})")


def _keys(lake: Lake) -> Examination:
    """Whether the provider has the keys of all epochs; nothing is asked of a lake that has none yet."""
    from lakehouse.privacy import verification

    found = verification.verify(lake, at_most=1)
    return Examination("keys", words.plural(len(found.epochs), "epoch"), found.findings)


def _disk(lake: Lake) -> Examination:
    """There must be room, for the lake's files or at least for what sources drop."""
    import shutil

    root = lake.landing_root.parent if "://" in lake.root else Path(lake.root)
    if not root.exists():
        return Examination("disk", "nothing has landed yet")
    free = shutil.disk_usage(root).free
    found: list[Finding] = []
    if free < _LITTLE_SPACE:
        found.append(Finding("disk", Level.WARNING, str(root), f"only {words.size(free)} are free", "make room"))
    return Examination("disk", f"{words.size(free)} free", tuple(found))


def _store(settings: Settings, lake: Lake | None) -> Iterator[Examination]:
    """Of a lake in an S3 store: its buckets answer, raw's can lock if it is to, and the other one forgets what is deleted."""
    from lakehouse.storage import files, s3
    from lakehouse.storage.place import Place

    place = Place.of(settings.lake, settings.raw) if lake is None else lake.place
    locks = (settings.raw_lock_days if lake is None else lake.raw_lock_days) is not None
    roots = {s3.bucket(root): root for root in (place.raw, place.root) if root.startswith(s3.SCHEME)}
    if not roots:
        return
    found: list[Finding] = []
    for root in roots.values():
        try:
            files.names(root)
            if root == place.raw and locks:
                found += _cannot_lock(root)
            elif s3.keeps_versions(root):
                message = "the bucket keeps old versions: what is erased there is hidden and not gone"
                hint = "suspend its versioning and delete old versions, or make a bucket without for all but locked raw"
                found.append(Finding("store", Level.WARNING, root, message, hint))
        except LakehouseError as error:
            found.append(_finding("store", error))
    yield Examination("store", f"{words.plural(len(roots), 'bucket')}: {', '.join(sorted(roots))}", tuple(found))


def _cannot_lock(root: str) -> Iterator[Finding]:
    from lakehouse.storage import s3

    if not s3.can_lock(root):
        message = "raw is to be locked, and its bucket was made without object lock"
        hint = "make a bucket with object lock for raw and name it in `LAKEHOUSE_RAW`; a bucket cannot learn it later"
        yield Finding("store", Level.ERROR, root, message, hint)


def _leases(lake: Lake) -> Examination:
    """A lease past its end that nobody gave back: its holder died, the next holder recovers."""
    import sqlalchemy as sa

    from lakehouse.storage import from_micros, lease_table

    now = lake.now()
    with lake.control.read() as connection:
        rows = connection.execute(sa.select(lease_table).where(lease_table.c.holder.is_not(None))).all()
    hanging = [row for row in rows if from_micros(row.expires) < now]
    hint = "run the table again (`lakehouse ingest`, or in Dagster): the next holder recovers what was left"
    found = [
        Finding("lease", Level.WARNING, row.table_id, f"a holder died {_ago(now, row.expires)} ago", hint)
        for row in hanging
    ]
    return Examination("leases", f"{words.plural(len(rows) - len(hanging), 'lease')} held now", tuple(found))


def _ago(now: dt.datetime, expires: int) -> str:
    from lakehouse.storage import from_micros

    return words.age((now - from_micros(expires)).total_seconds())


def _landing(lake: Lake, project: Project) -> Examination:
    """Files that were not taken for a while: no daemon runs, or they were refused."""
    from lakehouse.cli.survey import waiting_files

    now = lake.now().timestamp()
    waiting, found = 0, list[Finding]()
    for table in (each for each in project.tables if each.sources):
        files = waiting_files(lake, table)
        waiting += len(files)
        stuck = [at for at in files if now - at > _STUCK_SECONDS]
        if stuck and not all(source.keep_days for source in table.sources):
            message = f"{words.plural(len(stuck), 'file')} lying for {words.age(now - min(stuck))}"
            hint = "start `make dev` (its sensor takes them), or see rejected files in `lakehouse status`"
            found.append(Finding("landing", Level.WARNING, str(table.id), message, hint))
    return Examination("landing", f"{words.plural(waiting, 'file')} waiting", tuple(found))


def _finding(code: str, error: LakehouseError) -> Finding:
    return Finding(code, Level.ERROR, error.where or code, error.message, error.hint)


def _warning(code: str, message: str, hint: str) -> Finding:
    return Finding(code, Level.WARNING, code, message, hint)
