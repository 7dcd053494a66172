"""The project's contracts as they were in a git revision.

Only the contracts are taken out of the repository, into a folder that is gone afterwards; the working tree is not touched.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.contract.load import DOMAINS, load_project
from lakehouse.errors import ContractError, ProjectError, UsageError

if TYPE_CHECKING:
    from lakehouse.contract.model import Project


def project_at(root: Path, revision: str) -> Project:
    """All contracts of the project at `root` as they were in a revision.

    Raises:
        UsageError: there is no such revision.
        ProjectError: the project is in no git repository, or its contracts of then cannot be read.
    """
    if _git(root, "rev-parse", "--is-inside-work-tree") is None:
        raise ProjectError("the project is not in a git repository", where=str(root))
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UsageError(f"`{revision}` is no revision", where=str(root), hint="name a commit, a branch or a tag")
    with tempfile.TemporaryDirectory() as folder:
        # below the project's folder; a revision without contracts has no such path
        packed = _git(root, "archive", "--format=tar", commit.decode().strip(), "--", DOMAINS)
        if packed is not None:
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
        try:
            return load_project(Path(folder))
        except ContractError as error:
            raise ProjectError(
                f"the contracts of `{revision}` cannot be read by this program: {len(error.findings)} mistakes",
                where=str(root),
                hint="compare with a later revision",
            ) from error


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints, None when it fails."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise ProjectError("git is not installed", hint="`--against` compares with a git revision") from None
    return done.stdout if done.returncode == 0 else None
