"""What `test_read_only` runs as another user: reads the lake, ingests into it, or writes over a file of raw.

It begins as root and imports everything, also what is imported late, by a rehearsal on a lake of its own: this Python may be
in a folder that nobody else can read.
"""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
from pathlib import Path

from lakehouse import storage
from lakehouse.errors import LakehouseError, of_system
from lakehouse.model import Tier
from tests.crash import scenarios


def become_nobody() -> None:
    other = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(other.pw_gid)
    os.setuid(other.pw_uid)


def read(place: Path) -> str:
    lake = storage.open_lake(scenarios.settings_of(place))
    return f"{storage.scan(lake, scenarios.OLD.id).collect().height} rows"


def write(place: Path) -> str:
    settings = scenarios.settings_of(place)
    lake = storage.open_lake(settings)
    landed = sorted(lake.landing("shop", "sale").iterdir())
    scenarios.ingest(lake, scenarios.shop.project_of(scenarios.OLD), scenarios.OLD, landed, now=scenarios.NOW)
    return "written"


def overwrite(place: Path) -> str:
    lake = storage.open_lake(scenarios.settings_of(place))
    for path in Path(lake.uri(scenarios.OLD.id.at(Tier.RAW))).glob("*.parquet"):
        with path.open("r+b") as stream:
            stream.write(b"other")
    return "written"


def rehearse() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lake"
        scenarios.take(scenarios.settings_of(place))
        read(place)
        write(place)


def main(place: str, wanted: str) -> None:
    rehearse()
    become_nobody()
    try:
        said = {"read": read, "write": write, "overwrite": overwrite}[wanted](Path(place))
    except (LakehouseError, OSError) as error:
        told = error if isinstance(error, LakehouseError) else of_system(error)
        assert told is not None
        said = f"{told.exit_code} {told}" if wanted == "write" else f"{told.exit_code} {told.message}"
    sys.stdout.write(said + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
