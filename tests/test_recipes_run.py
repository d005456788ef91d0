"""Every packaged recipe trains: its CPU twin makes the whole run, and every file of it is what its format says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smallm.core.files import read_json, write_text
from smallm.core.formats import validate_run
from smallm.core.recipe import dump_recipe, load_recipe, packaged_recipes
from smallm.core.run import Run
from smallm.pipeline import run_pipeline
from smallm.plan.twin import cpu_twin

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of these models are nobody's."""
    monkeypatch.setenv("SMALLM_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_the_twin_of_a_recipe_makes_a_whole_run(name: str, tmp_path: Path) -> None:
    twin = cpu_twin(load_recipe(name))
    run = Run(tmp_path / twin.name)
    outcomes = run_pipeline(twin, run)
    assert [o.made for o in outcomes] == [True] * 6
    validate_run(run.path)
    facts = read_json(run.path / "base" / "smallm.json")
    assert facts["steps"] == 2
    assert facts["tokens_seen"] > 0
    assert (run.path / "report" / "index.html").stat().st_size > 10_000
    assert [o.made for o in run_pipeline(twin, Run(run.path))] == [False] * 6


@pytest.mark.slow
def test_a_run_that_is_done_answers_in_five_seconds_without_torch(tmp_path: Path) -> None:
    twin = cpu_twin(load_recipe("quickstart"))
    write_text(tmp_path / "twin.yaml", dump_recipe(twin))
    run_pipeline(twin, Run(tmp_path / "runs" / twin.name))
    code = (
        "import sys; sys.argv = ['smallm', 'run', 'twin.yaml']; import smallm.cli, atexit; "
        "atexit.register(lambda: print('torch' in sys.modules)); smallm.cli.main()"
    )
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert time.monotonic() - began < 5
    assert result.stdout.splitlines() == [f"runs/{twin.name}/report/index.html", "False"]
    assert "Nothing to do: every stage is done." in result.stderr
