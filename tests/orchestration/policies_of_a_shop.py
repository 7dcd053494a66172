"""Policies for the small project of `conftest`: two purposes over its articles and sales."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM = """\
version: 1
classes: {system: confidential}
defaults: {public: clear, internal: clear, confidential: hide, restricted: hide}
ceilings:
  - {id: few-pieces, tables: ["*.shop.sold"], at_most: bucket(10), unless: {groups: [owners]}, why: rivals count as well}
"""
PURPOSES = """\
version: 1
purposes:
  ordering:
    {description: Order what is sold., groups: [buyers, owners], legal_basis: contract, consent: not_required, max_age: P3Y}
  audit: {description: Count again., groups: [owners], legal_basis: legal_obligation, consent: not_required, legal: true}
  unused: {description: For nobody., groups: [owners], legal_basis: contract, consent: not_required}
"""
GROUPS = """\
version: 1
groups: {buyers: [bea], owners: [olga]}
"""
ACCESS = """\
version: 1
grants:
  - id: buyers-read-sold
    groups: [buyers, owners]
    purpose: ordering
    tables: [curated.shop.sold]
    columns: {sold.pieces: clear, sold.number: clear}
    why: what was sold says what to order
  - id: buyers-read-articles
    groups: [buyers]
    purpose: ordering
    tables: [staged.shop.article]
    columns: {article.code: partial(2)}
    rows: "code <> 'secret'"
    as: goods
    why: which goods there are
  - id: owners-audit
    groups: [owners]
    purpose: audit
    tables: ["*.shop.*"]
    columns: {system: clear}
    until: 2100-01-01
    why: somebody must
"""


def write_policies(root: Path, *, access: str = ACCESS) -> None:
    """The documents below the project's `policies/`, and its assets with the purposes."""
    files = {
        "platform.yaml": PLATFORM,
        "purposes.yaml": PURPOSES,
        "groups.yaml": GROUPS,
        "domains/shop/access.yaml": access,
    }
    for name, text in files.items():
        (root / "policies" / name).write_text(text)
    assets = root / "assets" / "__init__.py"
    text = assets.read_text()
    if "served" not in text:
        text = (
            "from lakehouse.orchestration.serving import served\nfrom lakehouse.policy.load import load_policy\n" + text
        )
        text = text.replace(
            "    return [*staged,",
            "    policy = load_policy(project.root, project)\n    return [*served(project, policy), *staged,",
        )
        assets.write_text(text)
