"""One wrong policy and its right neighbour for each finding of the policies' loader.

The base is the small project in `base/`, in which nothing is wrong. A case replaces one text of one file; the finding has
the case's code, stands at the line that holds `at`, and its hint holds `hint`. The neighbour replaces the same text.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.contract.load import load_project

if TYPE_CHECKING:
    from lakehouse.contract.model import Project

BASE = Path(__file__).parent / "base"
PLATFORM, PURPOSES, GROUPS, EXCEPTIONS = (f"{name}.yaml" for name in ("platform", "purposes", "groups", "exceptions"))
ACCESS, TESTS, CONTRACT = (f"domains/claims/{name}.yaml" for name in ("access", "tests", "contract.odcs"))
SHOP = "domains/shop/access.yaml"


@dataclass(frozen=True)
class Case:
    code: str
    file: str
    old: str
    wrong: str
    right: str
    at: str
    hint: str
    found_in: str = ""
    warning: bool = False


def grant(text: str) -> str:
    """One more grant in the claims domain, and the place it is put."""
    return f"grants:\n  - {{id: extra, why: test, {text}}}\n"


@cache
def base() -> Project:
    """The base's contracts; few cases change them."""
    return load_project(BASE)


def project_with(root: Path, file: str, old: str, new: str) -> Path:
    """A copy of the base with one text replaced."""
    shutil.copytree(BASE, root, dirs_exist_ok=True)
    path = root / "policies" / file
    written = path.read_text(encoding="utf-8")
    assert written.count(old) >= 1, f"{old!r} is not in {file}"
    path.write_text(written.replace(old, new, 1), encoding="utf-8")
    return root


#: Where one more grant goes.
G = "grants:\n"
#: Documents by themselves, and what they say about each other.
DOCUMENT_CASES = [
    # ---- documents by themselves
    Case("key-unknown", ACCESS, "    why: learning", "    wy: learning", "    why: practice", "wy:", "`why`"),
    Case("key-unknown", PLATFORM, "    why: minimum", "    owner: x\n    why: minimum", "    why: x", "owner: x", ""),
    Case("key-needed", ACCESS, "    why: learning\n", "", "    why: x\n", "id: trainees-read", ""),
    Case("key-needed", PLATFORM, "  restricted: hide\n", "", "  restricted: redact\n", "public: clear", ""),
    Case(
        "key-needed",
        PLATFORM,
        "    categories: [user.health_and_medical]\n",
        "",
        '    tables: ["*.claims.*"]\n',
        "health-in-care",
        "tables",
    ),
    Case(
        "key-needed",
        PLATFORM,
        "unless: {purposes: [care]}",
        "unless: {}",
        "unless: {groups: [nurses]}",
        "unless: {}",
        "groups",
    ),
    Case("key-needed", GROUPS, "version: 1\n", "", "version: 1  # one\n", "groups:", "version: 1"),
    Case("shape-choice", GROUPS, "version: 1", "version: 2", "version: 1 ", "version: 2", ""),
    Case(
        "yaml-doubled-key",
        PURPOSES,
        "    legal_basis: contract\n",
        "    legal_basis: contract\n    legal_basis: x\n",
        "    legal_basis: x\n",
        "legal_basis: x",
        "line",
    ),
    Case("shape-pattern", PURPOSES, "P3Y", "P3Y6M", "P36M", "P3Y6M", "`P18M`"),
    Case(
        "shape-doubled",
        ACCESS,
        "groups: [trainees]",
        "groups: [trainees, trainees]",
        "groups: [trainees, analysts]",
        "[trainees, trainees]",
        "",
    ),
    Case("shape-type", ACCESS, "groups: [trainees]", "groups: trainees", "groups: [trainees] ", "groups: trainees", ""),
    Case("day", ACCESS, "2027-06-30", "2027-06-31", "2027-06-29", "2027-06-31", "`2027-06-30`"),
    Case("treatment", ACCESS, "partial(2)", "partal(2)", "partial(3)", "partal(2)", "`partial`"),
    Case("treatment", ACCESS, "partial(2)", "partial(0)", "partial(1)", "partial(0)", ""),
    Case("treatment", PLATFORM, "at_most: hide", "at_most: hidden", "at_most: redact", "at_most: hidden", "`hide`"),
    Case(
        "entry",
        ACCESS,
        "notice.amount: bucket",
        "a.notice.amount: bucket",
        "notice.amount : bucket",
        "a.notice.amount",
        "table.column",
    ),
    Case(
        "predicate",
        ACCESS,
        '"code > 10"',
        '"code > 10 AND length(name) > 3"',
        '"code > 10 AND code < 99"',
        "length(name)",
        "",
    ),
    Case(
        "pattern",
        ACCESS,
        "[curated.claims.total]\n    columns",
        "[curated.claims.t*]\n    columns",
        '["curated.claims.*"]\n    columns',
        "t*",
        "whole name",
    ),
    # ---- names
    Case(
        "id-doubled",
        SHOP,
        "id: analysts-read-orders",
        "id: nurses-read-notices",
        "id: analysts-read",
        "nurses-read",
        "domains/claims/access.yaml:",
    ),
    Case(
        "id-doubled",
        PLATFORM,
        "id: north-only",
        "id: health-in-care",
        "id: north",
        "health-in-care\n    tables",
        "platform.yaml:",
    ),
    Case(
        "group-unknown",
        ACCESS,
        "groups: [trainees]",
        "groups: [traines]",
        "groups: [analysts]",
        "[traines]",
        "`trainees`",
    ),
    Case(
        "group-unknown",
        PLATFORM,
        "groups: [south_staff]",
        "groups: [south_stuff]",
        "groups: [analysts]",
        "south_stuff",
        "`south_staff`",
    ),
    Case(
        "group-unknown",
        PURPOSES,
        "groups: [sellers]",
        "groups: [sellers, buyers]",
        "groups: [sellers, nurses]",
        "buyers",
        "",
    ),
    Case(
        "group-outside-purpose",
        ACCESS,
        "groups: [trainees]",
        "groups: [nurses]",
        "groups: [analysts]",
        "groups: [nurses]\n    purpose: fraud",
        "purposes.yaml:",
    ),
    Case(
        "purpose-unknown",
        ACCESS,
        "purpose: offers",
        "purpose: offer",
        "purpose: offers ",
        "purpose: offer\n",
        "`offers`",
    ),
    Case(
        "purpose-unknown", PLATFORM, "purposes: [care]", "purposes: [cure]", "purposes: [care, fraud]", "cure", "`care`"
    ),
    Case(
        "category-unknown",
        PLATFORM,
        "[user.health_and_medical]",
        "[user.health_and_medicl]",
        "[user.health_and_medical.genetic]",
        "_medicl",
        "`user.health_and_medical`",
    ),
    Case(
        "category-unknown",
        ACCESS,
        "user.contact.email: redact",
        "user.contact.mail: redact",
        "user.contact: redact",
        "user.contact.mail",
        "`user.contact.email`",
    ),
    Case("category-unknown", PLATFORM, "[identifying]", "[identifiable]", "[user.name]", "identifiable", ""),
    Case(
        "default-order",
        PLATFORM,
        "restricted: hide\n",
        "restricted: clear\n",
        "restricted: redact\n",
        "restricted: clear",
        "higher class",
    ),
    Case(
        "default-order",
        PLATFORM,
        "internal: clear",
        "internal: hide",
        "internal: redact",
        "confidential: redact",
        "higher class",
    ),
    Case(
        "exception-long",
        EXCEPTIONS,
        "until: 2026-03-05",
        "until: 2026-03-06",
        "until: 2026-03-04",
        "until:",
        "2026-03-05",
    ),
    Case("key-needed", EXCEPTIONS, "    ticket: OPS-1\n", "", "    ticket: OPS-2\n", "id: flood", ""),
    Case("entity-unknown", PURPOSES, "{of: insured}", "{of: insurer}", "{of: buyer}", "insurer", "`insured`"),
]
