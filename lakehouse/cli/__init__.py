"""The `lakehouse` command: one module per command, results to stdout, talk to stderr.

Nothing heavy is imported before a command needs it, so that `lakehouse --help` answers at once. docs/cli.md describes
every command and exit code.
"""

from __future__ import annotations

from importlib import import_module


def main() -> None:
    """Run the command line."""
    # By name: commands import this package, so importing the app above them here would be a cycle.
    import_module("lakehouse.cli.app").run()
