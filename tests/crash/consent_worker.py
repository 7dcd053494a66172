"""Takes one consent file into a lake; the test kills it by a fault point. Arguments: project root, lake, file."""

from __future__ import annotations

import sys
from pathlib import Path

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.ingest import consent_files
from lakehouse.settings import load_settings


def main() -> None:
    root, place, file = sys.argv[1:]
    lake = storage.create_lake(load_settings(Path(root), lake=place))
    consent_files.take(lake, load_project(Path(root)), Path(file), asks={"offers": "client"})


if __name__ == "__main__":
    main()
