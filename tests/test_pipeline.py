"""Laws of the pipeline: each change redoes what depends on it and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from smallm import pipeline
from smallm import stages as table
from smallm.core.config import DataConfig, FinetuneConfig, Recipe, SourceConfig, TuneSource
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_json, write_json, write_text
from smallm.core.recipe import load_recipe
from smallm.core.run import REDO_SECONDS, Run, Stage
from smallm.pipeline import check_directory, run_pipeline
from smallm.stages import STAGES

RECIPE = Recipe(name="x", data=DataConfig(sources=[SourceConfig(synth="stories", size=1000)]))
ALL = ["data", "tokenizer", "tokens", "train", "eval", "report"]


def fake(stage: Stage, made: list[str], borrows: bool = False) -> Stage:
    """The stage with its real key, and a function that writes what its inputs and configuration come to."""

    def make(recipe: Recipe, run: Run) -> Path:
        made.append(stage.name)
        inputs = [read_json(run.path / name / "out")["hash"] for name in stage.inputs]
        with new_directory(run.path / stage.artefact) as directory:
            write_json(directory / "out", {"hash": sha256_json([inputs, stage.config(recipe)])})
        return run.path / stage.artefact

    return dataclasses.replace(
        stage, make=make, fingerprint=lambda recipe, hashes: {}, owns=None, borrows=borrows and stage.borrows
    )


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    written: list[str] = []
    monkeypatch.setattr(pipeline, "write_cards", lambda recipe, run: written.append(run.name))
    return written


def run_of(recipe: Recipe, path: Path, borrows: bool = False, **options: object) -> list[str]:
    """The stages that were made."""
    made: list[str] = []
    stages = tuple(fake(stage, made, borrows) for stage in STAGES)
    outcomes = run_pipeline(recipe, Run(path), stages=stages, **options)  # type: ignore[arg-type]
    assert [o.stage for o in outcomes if o.made] == made
    return made


def with_key(**sections: dict[str, object]) -> Recipe:
    changed = {name: dataclasses.replace(getattr(RECIPE, name), **values) for name, values in sections.items()}
    return dataclasses.replace(RECIPE, **changed)


def test_a_second_run_makes_nothing(tmp_path: Path, cards: list[str]) -> None:
    assert run_of(RECIPE, tmp_path / "x") == ALL
    assert cards == ["x", "x"]
    assert run_of(RECIPE, tmp_path / "x") == []
    assert load_recipe(tmp_path / "x") == RECIPE


@pytest.mark.parametrize(
    ("changed", "redone"),
    [
        (with_key(train={"learning_rate": 0.5}), ["train", "eval", "report"]),
        (with_key(train={"seed": 5}), ["train", "eval", "report"]),
        (with_key(model={"layers": 2}), ["train", "eval", "report"]),
        (with_key(tokenizer={"vocab_size": 512}), ["tokenizer", "tokens", "train", "eval", "report"]),
        (with_key(data={"validation": 0.1}), ALL),
        (with_key(eval={"max_tokens": 5}), ["eval", "report"]),
        (with_key(eval={"suites": ["smallm"]}), ["eval", "report"]),
        (with_key(eval={"items": 5}), ["eval", "report"]),
        (with_key(eval={"every": 5, "every_items": 7}), ["report"]),
        (with_key(report={"price_per_hour": 1.0}), ["report"]),
        (with_key(train={"log_every": 3}), ["report"]),
        (dataclasses.replace(RECIPE, description="other"), ["report"]),
        (dataclasses.replace(RECIPE, prompts=["Hello"]), ["eval", "report"]),
        (dataclasses.replace(RECIPE, seed=1), ALL),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(
    tmp_path: Path, cards: list[str], changed: Recipe, redone: list[str]
) -> None:
    run_of(RECIPE, tmp_path)
    assert run_of(changed, tmp_path) == redone
    assert load_recipe(tmp_path) == changed


def test_moving_the_sources_redoes_nothing(tmp_path: Path, cards: list[str]) -> None:
    here, there = (with_key(data={"sources": [SourceConfig(path=f"/{d}/a.txt")]}) for d in ("here", "there"))
    run_of(here, tmp_path)
    assert run_of(there, tmp_path) == ["report"]


def test_moving_a_suite_or_the_folder_of_its_data_redoes_nothing(
    tmp_path: Path, cards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "check_suites", lambda recipe: None)  # these are not there
    here, there = (with_key(eval={"suites": [f"/{d}/a.yaml"], "data": [f"/{d}"]}) for d in ("here", "there"))
    run_of(here, tmp_path)
    assert run_of(there, tmp_path) == ["report"]


def test_a_trial_beside_a_run_makes_only_what_its_change_touches(
    tmp_path: Path, cards: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The samples' temperature is another: training is never borrowed, what comes before it is."""
    assert run_of(RECIPE, tmp_path / "runs" / "a") == ALL
    trial = dataclasses.replace(RECIPE, temperature=0.1)
    assert run_of(trial, tmp_path / "runs" / "b", borrows=True) == ALL[3:]
    assert "[1/6] data: copied; there it was made in" in capsys.readouterr().err
    assert cards.count("b") == cards.count("a"), "the copied data gets its card"
    assert run_of(trial, tmp_path / "runs" / "b", borrows=True) == []


def test_only_makes_what_it_names(tmp_path: Path, cards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="tokenizer` needs it"):
        run_of(RECIPE, tmp_path, only=["tokenizer"])
    assert run_of(RECIPE, tmp_path, only=["data"]) == ["data"]
    assert run_of(RECIPE, tmp_path, only=["tokenizer", "data"]) == ["tokenizer"]
    capsys.readouterr()
    assert run_of(with_key(data={"validation": 0.1}), tmp_path, only=["tokenizer"]) == []
    assert "data: does not match the recipe, and --only leaves it as it is" in capsys.readouterr().err


def test_an_unknown_stage_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean `train`"):
        run_of(RECIPE, tmp_path, only=["trian"])


def test_a_recipe_without_text_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set data.sources=\[FILE\]"):
        run_of(Recipe(name="x"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_recipe_or_of_no_run_is_left_alone(tmp_path: Path, cards: list[str]) -> None:
    run_of(RECIPE, tmp_path / "x")
    with pytest.raises(UserError, match="run of another recipe \\(`x`, this one is `y`\\)"):
        run_of(dataclasses.replace(RECIPE, name="y"), tmp_path / "x")
    assert load_recipe(tmp_path / "x").name == "x"
    write_text(tmp_path / "home" / "diary.txt", "dear")
    with pytest.raises(UserError, match="is not a run"):
        run_of(RECIPE, tmp_path / "home")
    write_text(tmp_path / "file", "x")
    with pytest.raises(UserError, match="is not a run"):
        check_directory(RECIPE, tmp_path / "file")


def test_a_stop_in_the_middle_keeps_what_is_finished(tmp_path: Path, cards: list[str]) -> None:
    made: list[str] = []
    stages = [fake(stage, made) for stage in STAGES]

    def stopped(recipe: Recipe, run: Run) -> Path:
        raise KeyboardInterrupt

    broken = (*stages[:3], dataclasses.replace(stages[3], make=stopped), *stages[4:])
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(RECIPE, Run(tmp_path), stages=broken)
    assert made == ALL[:3]
    assert run_of(RECIPE, tmp_path) == ALL[3:]


def test_raising_the_budget_continues_a_long_training_and_another_change_asks(tmp_path: Path, cards: list[str]) -> None:
    run_of(RECIPE, tmp_path)
    record = read_json(tmp_path / "base" / "stage.json")
    write_json(tmp_path / "base" / "stage.json", record | {"seconds": REDO_SECONDS + 1})
    with pytest.raises(UserError, match="--redo"):
        run_of(with_key(train={"tokens": 6_000_000, "beta1": 0.5}), tmp_path)
    with pytest.raises(UserError, match="--redo"):
        run_of(with_key(train={"tokens": 4_000_000}), tmp_path)
    assert run_of(with_key(train={"tokens": 6_000_000}), tmp_path) == ["train", "eval", "report"]


def test_weights_to_start_from_and_a_given_tokenizer_count_by_their_content(tmp_path: Path, cards: list[str]) -> None:
    run = Run(tmp_path / "run")
    write_text(tmp_path / "m" / "config.json", "{}")
    recipe = with_key(train={"init_from": str(tmp_path / "m")}, tokenizer={"path": str(tmp_path / "m")})
    first = table.train_fingerprint(recipe, run.hashes), table.tokenizer_fingerprint(recipe, run.hashes)
    write_text(tmp_path / "m" / "config.json", '{"a": 1}')
    second = table.train_fingerprint(recipe, run.hashes), table.tokenizer_fingerprint(recipe, run.hashes)
    assert all(a.keys() == b.keys() and a != b for a, b in zip(first, second, strict=True))
    with pytest.raises(UserError, match="no such directory"):
        table.tokenizer_fingerprint(with_key(tokenizer={"path": "/nowhere"}), run.hashes)


def test_every_stage_reads_only_artefacts_made_before_it() -> None:
    before: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= before
        before.add(stage.artefact)


def test_results_that_another_command_put_into_eval_make_the_report_again_and_nothing_else(tmp_path):
    made = []

    def maker(name: str):
        def make(recipe: Recipe, run: Run) -> Path:
            made.append(name)
            (run.path / name).mkdir(exist_ok=True)
            (run.path / name / "out.json").write_text("{}")
            return run.path / name

        return make

    stages = (
        Stage("eval", "eval", maker("eval"), lambda recipe: {}, owns=lambda path: ["out.json"]),
        Stage("report", "report", maker("report"), lambda recipe: {}, inputs=("eval",), beside=("eval/*.json",)),
    )
    recipe = Recipe(name="x", data=DataConfig(sources=[SourceConfig(synth="stories")]))
    run = Run(tmp_path / "x")
    run_pipeline(recipe, run, stages=stages)
    run_pipeline(recipe, Run(tmp_path / "x"), stages=stages)
    assert made == ["eval", "report"]
    (tmp_path / "x" / "eval" / "compare-a-b.json").write_text("{}")
    run_pipeline(recipe, Run(tmp_path / "x"), stages=stages)
    assert made == ["eval", "report", "report"]


def test_a_process_that_is_not_the_first_makes_nothing_and_follows(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    followed: list[str] = []
    monkeypatch.setattr(pipeline, "follow", lambda recipe, run: followed.append(recipe.name))
    tuned = dataclasses.replace(RECIPE, finetune=FinetuneConfig(data=[TuneSource(synth="translation")]))
    path = tmp_path / "run"
    path.mkdir()  # another process has just begun it
    assert run_pipeline(tuned, Run(path)) == []
    assert followed == [RECIPE.name]
    assert run_pipeline(tuned, Run(path), only=("examples",)) == []
    assert followed == [RECIPE.name]  # nobody waits for a training that --only leaves out
    assert list(path.iterdir()) == []
    with pytest.raises(UserError, match="this recipe has none"):
        run_pipeline(RECIPE, Run(path))
