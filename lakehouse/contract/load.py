"""Contract files in, a typed project out; everything that is wrong comes at once.

`policies/domains/<domain>/contract.odcs.yaml` is read with positions, its shape is held against the ODCS schema (with
our keys in it), its meaning table by table, and at last what contracts say about each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakehouse import source
from lakehouse.contract import reading, references, schema, shape, tables
from lakehouse.contract.findings import Findings
from lakehouse.contract.model import Contract, Project, Table
from lakehouse.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.model import Finding
    from lakehouse.source import Node

#: Where a project keeps its contracts, below its root.
DOMAINS = "policies/domains"
FILE = "contract.odcs.yaml"
_DOMAIN = re.compile(r"[a-z][a-z0-9_]{0,40}")


def load_project(root: Path) -> Project:
    """All contracts of the project at `root`.

    Raises:
        ContractError: with every error-level finding of every file.
    """
    findings = Findings()
    project = _project(root, findings)
    if findings.errors:
        raise ContractError(findings.errors)
    return project


def find_mistakes(root: Path) -> list[Finding]:
    """Everything worth saying about the project's contracts, warnings too, in order of file and line."""
    findings = Findings()
    _project(root, findings)
    return findings.all


def load_contract(path: Path) -> Contract:
    """One contract file by itself; references to other files cannot be followed.

    Raises:
        ContractError: with every error-level finding.
    """
    findings = Findings()
    draft = _draft(path, str(path), findings)
    contracts = references.bind([draft], findings) if draft else ()
    if findings.errors or not contracts:
        raise ContractError(findings.errors)
    return contracts[0]


def _project(root: Path, findings: Findings) -> Project:
    drafts: list[references.Draft] = []
    home = root / DOMAINS
    for folder in sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []:
        path = folder / FILE
        if not path.is_file():
            findings.warning("contract-missing", f"{DOMAINS}/{folder.name}", f"there is no `{FILE}` here")
            continue
        draft = _draft(path, path.relative_to(root).as_posix(), findings, domain=folder.name)
        if draft is not None:
            drafts.append(draft)
    return Project(root, references.bind(drafts, findings))


def _draft(path: Path, shown: str, findings: Findings, *, domain: str | None = None) -> references.Draft | None:
    node, found = source.read(path, file=shown)
    findings.extend(found)
    if node is None:
        return None
    if node.kind != "mapping":
        findings.error("contract", node, "a contract is a mapping")
        return None
    shape.judge(node, schema.shipped(), findings)
    domain = _domain(node, domain, findings)
    identity = reading.text(node, "id") or ""
    owner = reading.text(node.get("team"), "name") or ""
    read: list[tuple[Node, Table]] = []
    for entry in reading.mappings(node, "schema"):
        table = tables.read_table(entry, domain, identity, owner=owner, findings=findings)
        if table is not None:
            read.append((entry, table))
    contract = Contract(
        id=identity,
        domain=domain,
        version=reading.text(node, "version") or "",
        tables=(),
        path=path,
        description=reading.text(node.get("description"), "purpose") or "",
        owner=owner,
    )
    return references.Draft(contract, path, node, tuple(read))


def _domain(node: Node, folder: str | None, findings: Findings) -> str:
    """The contract's domain; inside a project its folder has the last word."""
    said = node.get("domain")
    if said is None or said.kind != "scalar" or not said.text:
        return folder or ""
    if folder is not None and said.text != folder:
        message = f"domain `{said.text}` is not the folder's name"
        findings.error("domain-folder", said, message, hint=f"`domain: {folder}`")
        return folder
    if not _DOMAIN.fullmatch(said.text):
        findings.error(
            "domain-name", said, f"domain `{said.text}` cannot be used", hint="small letters, digits and `_`"
        )
    return said.text
