"""The documents under `policies/`: found, held against their shapes, and gathered into one draft.

A draft keeps the YAML entry beside each typed value, so that every later finding can point at its line. Which names exist
and what the rules mean for the contracts' tables is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lakehouse import source
from lakehouse.contract import reading, shape
from lakehouse.policy import cases, rules, shapes
from lakehouse.policy.classes import BY_WORD
from lakehouse.policy.model import Age, Purpose
from lakehouse.policy.rules import Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lakehouse.contract.findings import Findings
    from lakehouse.model import Tier
    from lakehouse.policy.model import Ceiling, Grant, PolicyTest, RowCeiling, Sensitivity
    from lakehouse.policy.treatments import Treatment
    from lakehouse.source import Node

HOME = "policies"
DOMAINS = "policies/domains"
_PLATFORM = ("platform", "purposes", "groups", "exceptions")
_DOMAIN = ("access", "tests")
#: Documents that other parts of the platform read.
_OTHERS = ("recipients", "acceptances", "repair", "calendars", "prices", "contract.odcs", "demo")


@dataclass
class Draft:
    """What the documents say, each value beside its entry. `platform` is None while there are no documents."""

    platform: Node | None = None
    classes: dict[str, Said[Sensitivity]] = field(default_factory=dict[str, "Said[Sensitivity]"])
    defaults: dict[Sensitivity, Said[Treatment]] = field(default_factory=dict["Sensitivity", "Said[Treatment]"])
    identifying: list[Node] = field(default_factory=list["Node"])
    forbidden: dict[Tier, list[Node]] = field(default_factory=dict["Tier", "list[Node]"])
    retention: str = "P7Y"
    quarantine_days: int = 30
    purposes: dict[str, Said[Purpose]] = field(default_factory=dict[str, "Said[Purpose]"])
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    grants: list[Said[Grant]] = field(default_factory=list["Said[Grant]"])
    ceilings: list[Said[Ceiling]] = field(default_factory=list["Said[Ceiling]"])
    row_ceilings: list[Said[RowCeiling]] = field(default_factory=list["Said[RowCeiling]"])
    tests: list[Said[PolicyTest]] = field(default_factory=list["Said[PolicyTest]"])


def read_documents(root: Path, findings: Findings) -> Draft | None:
    """The draft of the project at `root`, None when it has no policy documents at all."""
    draft = Draft()
    _misnamed(root, findings)
    paths = list(_paths(root))
    if not paths:
        return None
    if not any(kind == "platform" for kind, _, _ in paths):
        hint = "it says which classes there are and what each shows; docs/policy.md has an example"
        findings.error(
            "policy-missing", f"{HOME}/platform.yaml", "there are policies but no `platform.yaml`", hint=hint
        )
    for kind, domain, path in paths:
        node, found = source.read(path, file=path.relative_to(root).as_posix())
        findings.extend(found)
        if node is not None:
            shape.judge(node, shapes.DOCUMENTS[kind], findings)
            if node.kind == "mapping":
                _READERS[kind](node, domain, draft, findings)
    return draft


def _paths(root: Path) -> Iterator[tuple[str, str | None, Path]]:
    """Every document there is: its kind, its domain, its file."""
    for kind in _PLATFORM:
        if (path := root / HOME / f"{kind}.yaml").is_file():
            yield kind, None, path
    for folder in _folders(root):
        for kind in _DOMAIN:
            if (path := folder / f"{kind}.yaml").is_file():
                yield kind, folder.name, path


def _folders(root: Path) -> list[Path]:
    home = root / DOMAINS
    return sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []


def _misnamed(root: Path, findings: Findings) -> None:
    """A misspelt file would be passed over without a word, and its ceilings with it."""
    for folder, kinds in [(root / HOME, _PLATFORM), *((folder, _DOMAIN) for folder in _folders(root))]:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.suffix not in {".yaml", ".yml"} or path.stem in _OTHERS or path.name in _names(kinds):
                continue
            meant = get_close_matches(path.stem.casefold(), kinds, n=1, cutoff=0.7)
            if meant:
                shown = path.relative_to(root).as_posix()
                hint = f"did you mean `{meant[0]}.yaml`?"
                findings.error("file-name", shown, f"`{path.name}` is no document that is read", hint=hint)


def _names(kinds: Iterable[str]) -> list[str]:
    return [f"{kind}.yaml" for kind in kinds]


def _platform(node: Node, _: str | None, draft: Draft, findings: Findings) -> None:
    draft.platform = node
    for prefix, value in _entries(node, "classes"):
        if value.text in BY_WORD:
            draft.classes[prefix] = Said(node.entries["classes"].key(prefix), BY_WORD[value.text])
    for word, value in _entries(node, "defaults"):
        treatment = rules.read_treatment(value, findings) if value.kind == "scalar" else None
        if word in BY_WORD and treatment is not None:
            draft.defaults[BY_WORD[word]] = Said(value, treatment)
    draft.identifying = [item for item in reading.items(node, "identifying") if item.kind == "scalar"]
    for tier, value in _entries(node, "tiers"):
        if tier in rules.TIERS:
            draft.forbidden[rules.TIERS[tier]] = list(reading.items(value, "forbid"))
    draft.retention = reading.text(node.get("retention"), "default") or draft.retention
    draft.quarantine_days = reading.whole(node.get("retention"), "quarantine_days", draft.quarantine_days)
    _rules(node, None, draft, findings)


def _rules(node: Node, domain: str | None, draft: Draft, findings: Findings) -> None:
    for entry in reading.mappings(node, "ceilings"):
        draft.ceilings.append(rules.read_ceiling(entry, domain, findings))
    for entry in reading.mappings(node, "row_ceilings"):
        row_ceiling = rules.read_row_ceiling(entry, domain, findings)
        if row_ceiling is not None:
            draft.row_ceilings.append(row_ceiling)


def _purposes(node: Node, _: str | None, draft: Draft, findings: Findings) -> None:  # noqa: ARG001 - one of the readers
    for name, entry in _entries(node, "purposes"):
        if entry.kind == "mapping":
            draft.purposes[name] = Said(entry, _purpose(name, entry, node.entries["purposes"].key(name).where))


def _purpose(name: str, node: Node, where: str) -> Purpose:
    consent = node.get("consent")
    age = reading.text(node, "max_age") or ""
    return Purpose(
        name=name,
        description=reading.text(node, "description") or "",
        groups=tuple(sorted(set(reading.texts(node, "groups")))),
        legal_basis=reading.text(node, "legal_basis") or "",
        consent=reading.text(consent, "of") if consent is not None and consent.kind == "mapping" else None,
        max_age=_age(age),
        isolation="copy" if reading.text(node, "isolation") == "copy" else "view",
        data_use=reading.text(node, "data_use"),
        dpv=reading.text(node, "dpv"),
        legal=reading.flag(node, "legal"),
        stewardship=reading.flag(node, "stewardship"),
        where=where,
    )


def _age(text: str) -> Age | None:
    count, unit = text[1:-1], text[-1:]
    if not count.isdigit():
        return None
    match unit:
        case "Y" | "M" | "D":
            return Age(int(count), unit)
        case _:
            return None


def _groups(node: Node, _: str | None, draft: Draft, findings: Findings) -> None:  # noqa: ARG001 - one of the readers
    for name, entry in _entries(node, "groups"):
        members = (item.text for item in entry if item.kind == "scalar")
        draft.groups[name] = tuple(sorted(set(members)))


def _exceptions(node: Node, _: str | None, draft: Draft, findings: Findings) -> None:
    draft.grants += [rules.read_grant(entry, None, findings) for entry in reading.mappings(node, "exceptions")]


def _access(node: Node, domain: str | None, draft: Draft, findings: Findings) -> None:
    draft.grants += [rules.read_grant(entry, domain, findings) for entry in reading.mappings(node, "grants")]
    _rules(node, domain, draft, findings)


def _tests(node: Node, domain: str | None, draft: Draft, findings: Findings) -> None:
    for entry in reading.mappings(node, "tests"):
        test = cases.read_test(entry, domain or "", findings)
        if test is not None:
            draft.tests.append(test)


def _entries(node: Node, key: str) -> Iterator[tuple[str, Node]]:
    found = node.get(key)
    yield from found.entries.items() if found is not None else ()


_READERS = {
    "platform": _platform,
    "purposes": _purposes,
    "groups": _groups,
    "exceptions": _exceptions,
    "access": _access,
    "tests": _tests,
}
