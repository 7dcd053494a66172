"""Settings come from the environment, and are read when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.errors import ProjectError
from lakehouse.settings import find_project, load_settings

if TYPE_CHECKING:
    from pathlib import Path


def test_project_is_found_from_a_folder_below(project_root: Path) -> None:
    assert find_project(project_root / "lakehouse" / "contract") == project_root


def test_folder_without_project_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        find_project(tmp_path)
    assert "tool.lakehouse" in (caught.value.hint or "")


def test_everything_moves_with_the_lake(project_root: Path, tmp_path: Path) -> None:
    settings = load_settings(project_root, lake=str(tmp_path / "other"))
    assert settings.key_file.is_relative_to(tmp_path)
    assert str(tmp_path / "other") in settings.control_url


def test_secret_url_may_come_from_a_file(project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql+psycopg://somewhere/lake\n")
    monkeypatch.setenv("LAKEHOUSE_CONTROL_URL_FILE", str(file))
    assert load_settings(project_root).control_url == "postgresql+psycopg://somewhere/lake"


def test_unreadable_secret_file_is_named(project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_CONTROL_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(ProjectError, match="LAKEHOUSE_CONTROL_URL_FILE"):
        load_settings(project_root)
