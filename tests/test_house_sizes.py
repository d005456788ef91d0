"""Files and functions stay small; every module says what it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import size


def test_files_and_functions_stay_within_the_limits():
    over = {name: lines for name, lines in size.too_long().items() if name not in size.ALLOWED}
    assert not over, f"split them, or list them in tools/size.py with the reason: {over}"


def test_every_exception_to_the_limits_is_still_needed():
    assert set(size.ALLOWED) <= set(size.too_long())


def test_a_long_function_is_found(tmp_path: Path):
    file = tmp_path / "long.py"
    file.write_text("def f():\n" + "    pass\n" * 70)
    assert size.functions(file) == [("f", 71)]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "tools"])
def test_every_module_opens_with_a_docstring_whose_first_line_is_a_sentence(folder: str):
    for path in size.python_files(folder):
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert docstring, f"{path}: no docstring"
        first = docstring.splitlines()[0]
        assert first.endswith((".", "?", "!", ":")), f"{path}: the first line stands in the README's tree: {first!r}"
