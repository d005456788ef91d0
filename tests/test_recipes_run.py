"""Every packaged recipe trains: its CPU twin makes the whole run, and every file of it is what its format says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finetune.tiny_phi3 import make_phi3

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
    recipe = load_recipe(name)
    if recipe.finetune.data and recipe.finetune.model:
        make_phi3(tmp_path / "phi3")
    twin = cpu_twin(recipe, tuned_model=str(tmp_path / "phi3"))
    run = Run(tmp_path / twin.name)
    outcomes = run_pipeline(twin, run)
    stages = (5 if twin.data.sources else 0) + (3 if twin.finetune.data else 0) + 1
    assert [o.made for o in outcomes] == [True] * stages
    validate_run(run.path)
    made = [path for path in (run.path / "base", run.path / "tuned" / twin.finetune.name) if path.is_dir()]
    assert len(made) == bool(twin.data.sources) + bool(twin.finetune.data)
    for path in made:
        facts = read_json(path / "smallm.json")
        assert facts["steps"] == 2
        assert facts["tokens_seen"] > 0
    assert (run.path / "report" / "index.html").stat().st_size > 10_000
    assert [o.made for o in run_pipeline(twin, Run(run.path))] == [False] * stages


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
