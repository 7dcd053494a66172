"""The tour: synthetic files land, and go through every tier of a lake as they would in production; then people ask for them.

Stages are the tiers, and serving; each is a Dagster run in this process, so the web page shows the same runs. The tour says what it
does through `Watch` and prints nothing itself. A second tour on the same lake finds every file taken already.
"""

from __future__ import annotations

import difflib
import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.demo.asking import Asked, ask
from lakehouse.demo.generate import Generated, generate
from lakehouse.demo.recipe import load_recipe
from lakehouse.errors import RefusedError, UsageError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration import runs

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from lakehouse.contract.model import Project
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

#: Files of the demo are whole when they appear; landing folders take files that have lain still for a while.
_SETTLED_SECONDS = 3_600
_POLL_SECONDS = 0.25
_MARKER = "demo.json"
_LANDED, _MADE = (Tier.RAW, Tier.STAGED), (Tier.CURATED, Tier.FEATURES)


class Watch(Protocol):
    """Who wants to see how far the tour is."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins; `total` is 0 when nobody knows how long it is."""
        ...

    def reached(self, done: int) -> None:
        """So much of the stage is done."""
        ...


@dataclass(frozen=True)
class Tour:
    """What the tour did, the domains it was about, and what people were shown; it ends with the first run that failed."""

    lake: Lake
    project: Project
    generated: Generated
    runs: Mapping[str, runs.RunReport]
    asked: tuple[Asked, ...] = ()

    @property
    def success(self) -> bool:
        """Whether every tier was built and no blocking check failed."""
        return all(run.success and not run.blocked for run in self.runs.values())


def tour(settings: Settings, *, rows: int, seed: int, faults: float, watch: Watch, domains: Sequence[str] = ()) -> Tour:
    """Generate files into the landing folders and materialize every tier.

    Args:
        settings: project and lake.
        rows: how many rows to make, all tables together.
        seed: equal seeds give equal files.
        faults: share of the rows that get a fault.
        watch: who wants to see how far it is.
        domains: the domains to show; default: those whose recipes do not say `shown: false`.

    Raises:
        RefusedError: the lake holds something else than this demo.
        UsageError: there is no such domain.
    """
    project = only(load_project(settings.project), domains)
    lake = storage.create_lake(settings)
    named = {"domains": sorted(set(domains))} if domains else {}
    _require_own_lake(lake, {"rows": rows, "seed": seed, "faults": faults, **named})
    watch.stage("making files", rows)
    made = 0

    def count(block: int) -> None:
        nonlocal made
        made += block
        watch.reached(made)

    generated = generate(project, lake.landing_root, rows=rows, seed=seed, faults=faults, progress=count)
    _settle(lake, generated)
    done: dict[str, runs.RunReport] = {}
    for name, tables in stages(project):
        landed = len(generated.files) if name == Tier.STAGED.value else 0
        watch.stage("raw and staged" if landed else name, landed)
        with _counting_batches(lake, watch if landed else None):
            done[name] = runs.materialize(settings, tables)
        if not done[name].success or done[name].blocked:
            return Tour(lake, project, generated, done)
    return Tour(lake, project, generated, done, _serve(settings, lake, project, done=done, watch=watch))


def _serve(
    settings: Settings, lake: Lake, project: Project, *, done: dict[str, runs.RunReport], watch: Watch
) -> tuple[Asked, ...]:
    """Open every purpose that shows something of these domains, and ask their questions."""
    watch.stage("serving", 0)
    opened = runs.open_purposes(settings, [table.id for table in project.tables])
    if opened is None:
        return ()
    done["serving"] = opened
    if not opened.success:
        return ()
    recipes = [(each.domain, load_recipe(project.root, each.domain)) for each in project.contracts]
    return ask(settings.project, lake, [(domain, recipe.ask) for domain, recipe in recipes if recipe.ask is not None])


def only(project: Project, domains: Sequence[str]) -> Project:
    """The project with some of its domains; without a word, with those that are shown by default, or else with all.

    Raises:
        UsageError: there is no such domain.
    """
    known = [each.domain for each in project.contracts]
    for name in domains:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"domains: {', '.join(known)}"
            raise UsageError(f"there is no domain `{name}`", hint=hint)
    wanted = domains or [name for name in known if load_recipe(project.root, name).shown] or known
    return replace(project, contracts=tuple(each for each in project.contracts if each.domain in wanted))


def stages(project: Project) -> list[tuple[str, list[TableId]]]:
    """The tables of each tier, in order; raw comes with staged."""
    found = [
        (Tier.STAGED.value, [each.id.at(tier) for each in project.tables if each.sources for tier in _LANDED]),
        *((tier.value, [each.id for each in project.tables if each.id.tier is tier]) for tier in _MADE),
    ]
    return [(name, tables) for name, tables in found if tables]


def _require_own_lake(lake: Lake, wanted: Mapping[str, object]) -> None:
    """A lake that holds other data, or a demo of another size, would mix two stories."""
    marker = lake.landing_root.parent / _MARKER
    if marker.exists():
        if json.loads(marker.read_text(encoding="utf-8")) == wanted:
            return
        what = "the lake holds a demo with other rows, seed, faults or domains"
    elif storage.batches(lake).height:
        what = "the lake holds data that is not the demo's"
    else:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(wanted), encoding="utf-8")
        return
    raise RefusedError(what, where=lake.root, hint="give the demo a lake of its own: `lakehouse demo --lake DIR`")


def _settle(lake: Lake, generated: Generated) -> None:
    still = lake.now().timestamp() - _SETTLED_SECONDS
    for file in generated.files:
        os.utime(file, (still, still))


@contextmanager
def _counting_batches(lake: Lake, watch: Watch | None) -> Generator[None]:
    """Tell the watch how many files are staged, while a run works on them."""
    if watch is None:
        yield
        return
    before = _taken(lake)
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(_POLL_SECONDS):
            watch.reached(_taken(lake) - before)

    poller = threading.Thread(target=poll, name="demo-progress", daemon=True)
    poller.start()
    try:
        yield
    finally:
        ended.set()
        poller.join()


def _taken(lake: Lake) -> int:
    states: list[str] = storage.batches(lake)["state"].to_list()
    return sum(state not in {"reserved", "raw"} for state in states)
