"""No write without a fault point: the source is searched for write calls that a crash test could not stop at."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.errors import StorageError
from lakehouse.storage import faults

SOURCE = Path(faults.__file__).parent
#: Calls that change files, the Delta log or the control database.
WRITES = {
    "write",
    "write_bytes",
    "write_text",
    "writelines",
    "unlink",
    "rename",
    "rmtree",
    "rmdir",
    "touch",
    "delete_file",
    "open_output_stream",
    "create_write_transaction",
    "create_table_with_add_actions",
    "sink_parquet",
    "vacuum",
    "begin",
}


def guard(node: ast.With) -> bool:
    """Whether a `with` has the two points: `around(...)`, or the control database's `write("name")`."""
    calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
    return any(_called(call) == "around" or (_called(call) == "write" and named(call)) for call in calls)


def named(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_write(call: ast.Call) -> bool:
    name = _called(call)
    if name not in WRITES or isinstance(call.func, ast.Name):
        # `begin(lake, …)` of commits writes nothing
        return name in WRITES - {"begin"} and isinstance(call.func, ast.Name)
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    # `tx.write` and `control.write("name")` end in calls that this search sees too; an event handler is no write
    return not (name == "write" and (owner == "tx" or owner.endswith("control"))) and owner != "storage"


def unguarded(tree: ast.Module) -> list[str]:
    """Write calls outside a guarding `with`, unless every caller of their function stands in one."""
    open_calls: dict[str, list[str]] = {}
    calls_of: dict[str, list[bool]] = {}

    def visit(node: ast.AST, function: str, *, safe: bool) -> None:
        if isinstance(node, ast.FunctionDef):
            function, safe = node.name, False
        if isinstance(node, ast.With):
            safe = safe or guard(node)
        if isinstance(node, ast.Call):
            calls_of.setdefault(_called(node), []).append(safe)
            if _is_write(node) and not safe:
                open_calls.setdefault(function, []).append(f"{function}:{node.lineno} {_called(node)}")
        for child in ast.iter_child_nodes(node):
            visit(child, function, safe=safe)

    visit(tree, "", safe=False)
    helped = {name for name, states in calls_of.items() if name.startswith("_") and states and all(states)}
    return [call for name, found in open_calls.items() if name not in helped for call in found]


def sources():
    return {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.glob("*.py")}


def test_every_write_call_stands_between_fault_points():
    found = {name: calls for name, tree in sources().items() if (calls := unguarded(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "def f(p):\n    p.write_bytes(b'')",
        "def f(p):\n    p.unlink()",
        "def f(t):\n    t.create_write_transaction([])",
        "def f(c):\n    with c.engine.begin() as x:\n        x.execute(1)",
        "def _g(p):\n    p.unlink()\n\ndef f(p):\n    with around('x'):\n        _g(p)\n    _g(p)",
    ],
)
def test_the_search_finds_a_write_without_a_point(source):
    assert unguarded(ast.parse(source))


def test_the_points_in_the_source_are_the_listed_ones():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.parent.rglob("*.py")]
    used: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and (_called(node) == "around" or _is_control_write(node)):
            used.update({named(node)} - {None})
        if isinstance(node, ast.Call) and _called(node) == "settle":
            used.update(k.value.value for k in node.keywords if k.arg == "name" and isinstance(k.value, ast.Constant))
        if isinstance(node, ast.FunctionDef) and node.name == "settle":
            used.update(d.value for d in node.args.kw_defaults if isinstance(d, ast.Constant) and d.value)
    assert used == set(faults.WRITES)


def _is_control_write(call: ast.Call) -> bool:
    return _called(call) == "write" and ast.unparse(call.func).endswith("control.write")


def test_an_unknown_point_is_an_error():
    with pytest.raises(StorageError, match="not a fault point"):
        faults.point("nowhere")


def test_the_environment_kills_at_the_nth_passing():
    code = "from lakehouse.storage import faults\nfor n in (1, 2, 3):\n  print(n, flush=True); faults.point('file.put.before')"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"LAKEHOUSE_FAULT": "file.put.before:2"}, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout.split()) == (-9, [b"1", b"2"])
