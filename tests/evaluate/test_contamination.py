"""Laws of contamination: a run's hits are read, no file means unchecked, a damaged file is no clean bill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallm.core.errors import UserError
from smallm.evaluate.contamination import load_contamination, run_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for folder in ("data", "base", "tuned/law", "checkpoints/base/step-10"):
        (tmp_path / "x" / folder).mkdir(parents=True)
    (tmp_path / "x" / "recipe.yaml").write_text("name: x\n")
    return tmp_path / "x"


def test_the_run_of_a_model_is_found_from_its_base_and_its_tuned_models(run: Path):
    assert {run_of(run), run_of(run / "base"), run_of(run / "tuned" / "law")} == {run}
    assert run_of(run / "checkpoints" / "base" / "step-10") is None
    assert run_of(run.parent) is None
    assert run_of("owner/model") is None


def test_a_run_is_found_from_inside_itself(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(run / "base")
    found = run_of(".")
    assert found is not None
    assert found.resolve() == run.resolve()


def test_hits_are_those_of_the_task(run: Path):
    hits = [{"task": t, "item_id": i, "doc_id": "d", "ngram": "n"} for t, i in (("a", "1"), ("a", "2"), ("b", "3"))]
    (run / "data" / "contamination.json").write_text(json.dumps(hits))
    found = load_contamination(run)
    assert found is not None
    assert (found.items("a"), found.items("b"), found.items("c")) == ({"1", "2"}, {"3"}, set())


def test_no_file_means_that_nobody_looked(run: Path):
    assert load_contamination(run) is None
    assert load_contamination(None) is None


@pytest.mark.parametrize("content", ["{", "{}", '[{"task": "a"}]', "[1]"])
def test_a_damaged_file_is_refused_and_not_taken_for_clean(run: Path, content: str):
    (run / "data" / "contamination.json").write_text(content)
    with pytest.raises(UserError, match=r"contamination\.json"):
        load_contamination(run)
