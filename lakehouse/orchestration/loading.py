"""The project's own modules, imported by name from its root.

The platform never imports `assets` or `resources` as names of its own: whose they are depends on the project at hand.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from lakehouse.errors import ProjectError


def load_module(root: Path, name: str) -> ModuleType:
    """Import the project's module `name` from below `root`, whatever else goes by that name.

    Raises:
        ProjectError: there is no such module in the project.
    """
    package = name.partition(".")[0]
    known = sys.modules.get(package)
    if known is not None and not _is_below(known, root):
        # Another project was loaded in this process before (tests, `init`): its packages must not answer for ours.
        for loaded in [key for key in sys.modules if key == package or key.startswith(f"{package}.")]:
            del sys.modules[loaded]
    place = str(root)
    if sys.path[:1] != [place]:
        sys.path[:] = [place, *(entry for entry in sys.path if entry != place)]
        importlib.invalidate_caches()
    if not (root / package).is_dir():
        raise ProjectError(
            f"the project has no `{package}` package",
            where=str(root),
            hint=f"create `{package}/__init__.py` with a function `load`",
        )
    return importlib.import_module(name)


def _is_below(module: ModuleType, root: Path) -> bool:
    places = [module.__file__] if module.__file__ else list(module.__path__)
    return any(place and Path(place).resolve().is_relative_to(root.resolve()) for place in places)
