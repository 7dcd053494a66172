"""docs/cli.md names exactly the keys that `--json` prints, at the top and in each list of objects."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # together half a minute of `make check`

DELIVERED = "trip_id,kilometres\n1,10\n2,far\n"


def documented(project_root: Path, command: str) -> dict[str, set[str]]:
    """The keys by the key they stand under; the top is ''."""
    sections = (project_root / "docs/cli.md").read_text().split("\n## lakehouse ")
    section = next(text for text in sections if command.startswith(text.split("\n")[0]))
    line = next(line for line in section.splitlines() if line.startswith("- `--json` keys:"))
    inner = {
        key: set(re.findall(r"`(\w+)`", keys)) for key, keys in re.findall(r"`(\w+)` \(((?:`\w+`(?:, )?)+)\)", line)
    }
    outer = re.sub(r"\([^)]*\)", "", line.removeprefix("- `--json` keys:"))
    return {"": set(re.findall(r"`(\w+)`", outer)), **inner}


def shown(document: dict[str, Any], key: str) -> set[str]:
    part = document if key == "" else document[key]
    return set(part) if isinstance(part, dict) else {name for entry in part for name in entry}


@pytest.mark.parametrize(
    ("command", "filled"),
    [
        ("ingest trip trips.csv", {"", "tables", "checks"}),
        ("status", {"", "lake", "tables", "landings"}),
        ("quarantine list trip", {"", "checks", "batches"}),
        ("check", {"", "findings", "policy"}),
        ("explain-access trip", {""}),
        ("plan", {"", "tables"}),
        ("apply", {"", "tables"}),
        ("rebuild trip --yes", {""}),
        ("quarantine replay trip", {""}),
        ("keys rotate --yes", {"", "scheduled"}),
        ("keys verify", {"", "epochs"}),
        ("keys backup copy.keys", {""}),
        ("verify worm", {"", "heads", "tables"}),
        ("maintain", {""}),
        ("migrate", {""}),
        ("recover", {"", "generations", "chains"}),
        ("doctor", {"", "examinations"}),
        ("init other --from trips.csv", {"", "files"}),
    ],
)
def test_json_has_the_documented_keys(lakehouse, fleet, project_root, command, filled):
    (fleet / "trips.csv").write_text(DELIVERED)
    if command.startswith(
        ("status", "quarantine", "plan", "apply", "rebuild", "keys", "maintain", "migrate", "recover", "verify")
    ):
        (fleet / "before.csv").write_text(DELIVERED)
        assert lakehouse("ingest", "trip", "before.csv").code == 0
    if command == "check":
        contract = fleet / "policies/domains/fleet/contract.odcs.yaml"
        contract.write_text(contract.read_text().replace("system.operations}}]}\n", "system.operation}}]}\n", 1))
    if command in {"plan", "apply"}:
        contract = fleet / "policies/domains/fleet/contract.odcs.yaml"
        contract.write_text(
            contract.read_text().replace("kilometres, logicalType: integer", "kilometres, logicalType: string")
        )
    document = json.loads(lakehouse(*command.split(), "--json").out)
    wanted = documented(project_root, command)
    assert filled <= set(wanted)
    assert {key: shown(document, key) for key in filled} == {key: wanted[key] for key in filled}
