"""The only way for people to read: masked views of a purpose, on an embedded engine.

`connect(user, purpose)` is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.serving.connection import connect

__all__ = ["connect"]


def __getattr__(name: str) -> Any:
    if name != "connect":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lakehouse.serving import connection  # noqa: PLC0415 - engines load with the first use

    return connection.connect
