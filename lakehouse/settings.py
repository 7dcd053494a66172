"""Environment to typed settings: where the project, the lake, the control database and the key are.

Read when asked, never at import. Variables carry the prefix `LAKEHOUSE_` (`LAKEHOUSE_LAKE`, `LAKEHOUSE_RAW`,
`LAKEHOUSE_RAW_LOCK_DAYS`, `LAKEHOUSE_LANDING`, `LAKEHOUSE_CONTROL_URL`, `LAKEHOUSE_KEY_FILE`, `LAKEHOUSE_KEK`,
`LAKEHOUSE_BACKUP_DAYS`, `LAKEHOUSE_ENVIRONMENT`, `LAKEHOUSE_PROJECT`); a secret may also come from a file
(`LAKEHOUSE_CONTROL_URL_FILE`, `LAKEHOUSE_KEK_FILE`). An S3 store is found by its own variables, see `storage.s3`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.errors import ProjectError

PREFIX = "LAKEHOUSE_"
BACKUP_DAYS = 30


@dataclass(frozen=True)
class Settings:
    """Where everything is.

    Attributes:
        project: the project root (holds `policies/`, `assets/`, `resources/`, `dbt/`).
        lake: the lake's root, a path or URI.
        landing: the folder where sources drop files; a path, they hold clear personal data.
        control_url: SQLAlchemy URL of the control database.
        key_file: the file with the keys that everything else is wrapped by, unless `kek` is given.
        environment: a word that lake and control database must agree on.
        kek: those keys themselves, where a deployment gives secrets as text.
        backup_days: how long backups of the control database are kept; keys wrapped anew can be unwrapped from them.
        raw: the raw tier's root where it has a place of its own, such as a bucket with object lock; a lake keeps what it
            was made with.
        raw_lock_days: for how many days that bucket keeps what comes in, whatever anybody does.
    """

    project: Path
    lake: str
    landing: Path
    control_url: str = field(repr=False)
    key_file: Path
    environment: str = "dev"
    kek: str | None = field(default=None, repr=False)
    backup_days: int = BACKUP_DAYS
    raw: str | None = None
    raw_lock_days: int | None = None


def find_project(start: Path | None = None) -> Path:
    """The project root: `LAKEHOUSE_PROJECT`, else the nearest folder with `[tool.lakehouse]` in its `pyproject.toml`.

    Raises:
        ProjectError: no such folder at or above `start` (default: the working directory).
    """
    named = os.environ.get(PREFIX + "PROJECT")
    if start is None and named:
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if _marks_project(folder / "pyproject.toml"):
            return folder
    raise ProjectError(
        "no lakehouse project here",
        where=str(here),
        hint="change into a folder whose `pyproject.toml` has a `[tool.lakehouse]` table, or set `LAKEHOUSE_PROJECT`",
    )


def load_settings(project: Path | None = None, *, lake: str | None = None) -> Settings:
    """Settings from the environment, with defaults inside the project (`.lake`).

    Args:
        project: the project root; found by `find_project` when not given.
        lake: overrides `LAKEHOUSE_LAKE`; everything that defaults to a place in the lake moves along.

    Raises:
        ProjectError: no project, a number that is none, or a `*_FILE` variable names a file that cannot be read.
    """
    root = project.resolve() if project else find_project()
    place = _place(lake or _variable("LAKE") or str(root / ".lake"))
    raw = _variable("RAW")
    private = root / ".lake" if "://" in place else Path(place)
    control = private / "control"
    return Settings(
        project=root,
        lake=place,
        landing=Path(_variable("LANDING") or private / "landing"),
        control_url=_variable("CONTROL_URL") or f"sqlite:///{control / 'control.db'}",
        key_file=Path(_variable("KEY_FILE") or control / "kek.key"),
        environment=_variable("ENVIRONMENT") or "dev",
        kek=_variable("KEK"),
        backup_days=_days("BACKUP_DAYS", BACKUP_DAYS) or 0,
        raw=None if raw is None else _place(raw),
        raw_lock_days=_days("RAW_LOCK_DAYS", None),
    )


def _place(said: str) -> str:
    """A path made absolute, or a URI as it is; without a slash at the end."""
    if "://" in said:
        return said.removeprefix("file://").rstrip("/")
    return str(Path(said).expanduser().resolve())


def _marks_project(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        return "lakehouse" in tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise ProjectError("not readable as TOML", where=str(file), hint="mend the file's syntax") from error


def _days(name: str, default: int | None) -> int | None:
    text = _variable(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ProjectError(f"`{PREFIX}{name}` is not a number of days", hint=f"such as `{PREFIX}{name}={BACKUP_DAYS}`")
    return int(text)


def _variable(name: str) -> str | None:
    """The variable's value, or the content of the file that `<name>_FILE` names."""
    value = os.environ.get(PREFIX + name)
    if value:
        return value
    file = os.environ.get(f"{PREFIX}{name}_FILE")
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ProjectError(
            f"`{PREFIX}{name}_FILE` names a file that cannot be read", where=file, hint="check the path and its mode"
        ) from error
