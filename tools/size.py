"""The size table: lines of each folder, and the files and functions over the house's limits.

A file of src/ holds at most 350 lines, a function at most 60 (STYLE: one idea a file).
The exceptions are listed below with their reason; tests/test_house_sizes.py holds the list.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, FUNCTION_LINES = 350, 60
# path or path::function -> why it may be longer.
ALLOWED: dict[str, str] = {}


def python_files(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length in lines (from `def`, decorators not counted) of every function of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def too_long() -> dict[str, int]:
    """What is over a limit in src/, exceptions included: its name to its lines."""
    found: dict[str, int] = {}
    for path in python_files("src"):
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text("utf-8").splitlines())
        if lines > FILE_LINES:
            found[name] = lines
        found.update({f"{name}::{f}": n for f, n in functions(path) if n > FUNCTION_LINES})
    return found


def totals() -> Counter[str]:
    """Lines of Python by folder: the stages of src/smallm, then tests, benchmarks, tools."""
    count: Counter[str] = Counter()
    for top in ("src", "tests", "benchmarks", "tools"):
        for path in python_files(top):
            parts = path.relative_to(ROOT).parts
            inside = parts[2] if top == "src" and len(parts) > 3 else ""
            count[f"smallm/{inside}" if top == "src" else top] += len(path.read_text("utf-8").splitlines())
    return count


if __name__ == "__main__":
    table = totals()
    for folder, lines in table.items():
        print(f"{lines:>7,}  {folder}")
    print(f"{sum(table.values()):>7,}  in all")
    over = {name: lines for name, lines in too_long().items() if name not in ALLOWED}
    for name, lines in over.items():
        print(f"too long: {name} has {lines} lines", file=sys.stderr)
    sys.exit(1 if over else 0)
