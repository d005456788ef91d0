"""The exercises: every check fails on the stubs, because they are empty, and passes on the solutions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = ROOT / "exercises"
NAMES = sorted(path.stem for path in EXERCISES.glob("*.py"))


@cache
def outcomes(*options: str) -> dict[str, list[str | None]]:
    """Exercise -> for each of its checks what it failed with; None where it passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "exercises/checks", "-p", "no:cacheprovider"]
        subprocess.run([*command, f"--junitxml={report}", *options], cwd=ROOT, capture_output=True, check=False)
        cases = ElementTree.parse(report).findall(".//testcase")
    found: dict[str, list[str | None]] = {}
    for case in cases:
        failed = [problem.get("message", "") for kind in ("failure", "error", "skipped") for problem in case.iter(kind)]
        name = case.get("classname", "").rsplit("test_", 1)[1]
        found.setdefault(name, []).append(failed[0] if failed else None)
    return found


def described(path: Path) -> dict[str, tuple[str, str | None]]:
    """Function (and the module, '') -> its signature and its docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    found = {
        f.name: (ast.unparse(f.args) + str(f.returns and ast.unparse(f.returns)), ast.get_docstring(f))
        for f in functions
    }
    return {"": ("", ast.get_docstring(tree)), **found}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_check_of_a_stub_fails_because_it_is_empty(name: str) -> None:
    problems = outcomes()[name]
    assert all(problem is not None and "NotImplementedError" in problem for problem in problems), problems


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_check_of_a_solution_passes(name: str) -> None:
    assert set(outcomes("--solutions")[name]) == {None}


@pytest.mark.parametrize("name", NAMES)
def test_stub_and_solution_ask_the_same(name: str) -> None:
    stub, solution = (described(folder / f"{name}.py") for folder in (EXERCISES, EXERCISES / "solutions"))
    assert stub == solution
    assert all(docstring for _, docstring in stub.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_holds_its_formula_its_source_and_how_to_check_it_and_no_answer(name: str) -> None:
    text = (EXERCISES / f"{name}.py").read_text("utf-8")
    assert " = " in text.split('"""')[1]
    assert "Source: " in " ".join(text.split())
    assert f"python -m pytest exercises/checks/test_{name}.py" in text
    bodies = [node.body for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert all(len(body) == 2 and ast.unparse(body[1]) == "raise NotImplementedError" for body in bodies)


def test_there_is_one_solution_one_check_and_one_row_of_the_page_for_each_exercise() -> None:
    assert sorted(path.stem for path in (EXERCISES / "solutions").glob("*.py")) == NAMES
    assert sorted(path.stem.removeprefix("test_") for path in (EXERCISES / "checks").glob("test_*.py")) == NAMES
    rows = re.findall(r"^\| \[(\w+)\]", (EXERCISES / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(rows) == NAMES


def test_every_path_that_an_exercise_names_exists() -> None:
    for path in [*EXERCISES.glob("*.py"), *(EXERCISES / "checks").glob("*.py")]:
        for name in re.findall(r"\b(?:papers|docs|exercises)/[\w/.-]*\w", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name}: {name}"
