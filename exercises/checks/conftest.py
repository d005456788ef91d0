"""Checks of the exercises: on what you wrote in exercises/, or with --solutions on exercises/solutions/."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXERCISES = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--solutions", action="store_true", help="check exercises/solutions/ instead of the stubs")


@pytest.fixture
def exercise(request: pytest.FixtureRequest) -> ModuleType:
    """The exercise that the test's file is named after, as a module."""
    folder = EXERCISES / "solutions" if request.config.getoption("--solutions") else EXERCISES
    path = folder / f"{request.path.stem.removeprefix('test_')}.py"
    spec = importlib.util.spec_from_file_location(f"exercise_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
