"""Tasks scored in training: what they say is what an evaluation says, and training does not notice them."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from smallm.core.config import DataConfig, EvalConfig, ModelConfig, Recipe, SourceConfig, TokenizerConfig, TrainConfig
from smallm.core.files import write_json, write_text
from smallm.core.run import Run
from smallm.data.build import build_data
from smallm.evaluate.during import cheap_tasks
from smallm.evaluate.run_tasks import run_task
from smallm.evaluate.scorer import load_scorer
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import read_task
from smallm.model.load import load_model
from smallm.tokenizer.directory import load_tokenizer
from smallm.tokenizer.encode import encode_data
from smallm.tokenizer.train import make_tokenizer
from smallm.train.journal import read
from smallm.train.loop import Trainer
from smallm.train.stage import pretrain

NAMES = ["Mia", "Tom", "Lena", "Oskar", "Ida", "Finn", "Anna", "Paul", "Ella", "Ben"]
QUESTIONS = [f'{{"q": "There once was {n}. The name is", "c": ["{n}", "{m}"]}}' for n, m in pairwise(NAMES)]
CHOICE = """
task: names
data: names.jsonl
prompt: "{{q}}"
choices: c
answer: 0
"""
SUITE = """
suite: mine
tasks:
  - names.yaml
  - {task: endings, data: names.jsonl, prompt: "{{q}}", continuation: "{{c[0]}}"}
  - {task: told, data: names.jsonl, prompt: "{{q}}", answer: "{{c[0]}}", max_new_tokens: 4}
"""
STEPS, ROWS, CONTEXT = 8, 4, 64


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its tokens, and a suite beside it."""
    path = tmp_path_factory.mktemp("during")
    recipe, run = recipe_of(path), Run(path / "run")
    build_data(recipe, run)
    make_tokenizer(recipe, run)
    encode_data(recipe, run)
    write_json(run.path / "resolved.json", {"threads": 1})
    write_text(path / "suite.yaml", SUITE)
    write_text(path / "names.yaml", CHOICE)
    write_text(path / "names.jsonl", "\n".join(QUESTIONS))
    return path


def recipe_of(folder: Path, **evaluation: Any) -> Recipe:
    return Recipe(
        name="tiny",
        data=DataConfig(sources=[SourceConfig(synth="stories", size=100_000)], validation=0.25),
        tokenizer=TokenizerConfig(vocab_size=512),
        model=ModelConfig(layers=1, width=32, heads=2, context=CONTEXT, dropout=0.1),
        train=TrainConfig(
            tokens=STEPS * ROWS * CONTEXT,
            batch_tokens=ROWS * CONTEXT,
            validate_every=4,
            checkpoint_every=2,
            log_every=100,
            compile="off",
            learning_rate=0.02,
        ),
        eval=EvalConfig(**({"suites": [str(folder / "suite.yaml")], "every": 3, "every_items": 5} | evaluation)),
    )


def trained(prepared: Path, to: Path, **evaluation: Any) -> Path:
    """A training in a directory of its own, on the prepared tokens."""
    for name in ("data", "tokenizer", "tokens"):
        if not (to / name).exists():
            (to / name).symlink_to(prepared / "run" / name)
    write_json(to / "resolved.json", {"threads": 1})
    return pretrain(recipe_of(prepared, **evaluation), Run(to))


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(prepared, tmp_path_factory.mktemp("undisturbed"))


def test_cheap_tasks_are_scored_at_the_start_every_so_many_steps_and_at_the_end(undisturbed: Path) -> None:
    rows = read(undisturbed / "metrics.jsonl")
    assert [row["step"] for row in rows if "tasks" in row] == [0, 3, 6, STEPS]
    for row in rows:
        assert row.get("tasks", {}).keys() in ({"names", "endings"}, set())  # generating is not cheap
    assert rows[0]["tasks"]["names"].keys() == {"acc", "acc_norm"}
    assert len({str(row["tasks"]) for row in rows if "tasks" in row}) > 1


def test_the_last_figures_are_what_an_evaluation_of_the_same_items_says(
    undisturbed: Path, prepared: Path, tmp_path: Path
) -> None:
    task = load_task(read_task(prepared / "names.yaml")).limited(5)
    figures = run_task(task, load_scorer(undisturbed, device="cpu")).summary.metrics
    said = read(undisturbed / "metrics.jsonl")[-1]["tasks"]["names"]
    assert said == pytest.approx({name: figure["value"] for name, figure in figures.items()})


def test_training_with_tasks_is_bit_identical_to_training_without(
    undisturbed: Path, prepared: Path, tmp_path: Path
) -> None:
    without = trained(prepared, tmp_path, every=0)
    assert not any("tasks" in row for row in read(without / "metrics.jsonl"))
    assert (without / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    last = [read(path / "metrics.jsonl")[-1]["validation_loss"] for path in (without, undisturbed)]
    assert last[0] == last[1]


@pytest.mark.parametrize("step", [3, 5])
def test_stopped_and_resumed_the_journal_with_tasks_is_byte_identical(
    undisturbed: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    backward = Trainer.backward

    def stopping(self: Trainer, batch: Any) -> torch.Tensor:
        loss = backward(self, batch)
        if self.state.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "backward", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(prepared, tmp_path)
    resumed = trained(prepared, tmp_path)
    for name in ("metrics.jsonl", "samples.jsonl", "model.safetensors"):
        assert (resumed / name).read_bytes() == (undisturbed / name).read_bytes()


def test_without_the_libraries_of_evaluation_training_goes_on_and_says_so(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "smallm.evaluate.during", None)
    base = trained(prepared, tmp_path)
    assert "no tasks during training: " in capsys.readouterr().err
    assert not any("tasks" in row for row in read(base / "metrics.jsonl"))


def test_a_task_that_cannot_be_done_is_left_out_once_and_aloud(
    undisturbed: Path, prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(undisturbed)
    evaluation = recipe_of(prepared).eval
    score = cheap_tasks(evaluation, loaded.model, load_tokenizer(undisturbed))  # type: ignore[arg-type]
    assert score is not None
    assert score().keys() == {"names", "endings"}
    with torch.no_grad():
        loaded.model.head.weight.fill_(float("nan"))
    capsys.readouterr()
    assert score() == {}
    assert capsys.readouterr().err.count("is not scored during training") == 2
    assert score() == {}
    assert "not scored" not in capsys.readouterr().err


def test_tasks_of_one_name_in_two_suites_are_told_apart_and_no_cheap_task_is_none(
    undisturbed: Path, prepared: Path, tmp_path: Path
) -> None:
    loaded = load_model(undisturbed)
    write_text(tmp_path / "other.yaml", SUITE.replace("suite: mine", "suite: other"))
    for name in ("names.yaml", "names.jsonl"):
        (tmp_path / name).write_bytes((prepared / name).read_bytes())

    def tasks(*suites: Path) -> set[str] | None:
        evaluation = dataclasses.replace(recipe_of(prepared).eval, suites=[str(s) for s in suites])
        score = cheap_tasks(evaluation, loaded.model, load_tokenizer(undisturbed))  # type: ignore[arg-type]
        return score and set(score())

    both = {f"{suite}/{task}" for suite in ("mine", "other") for task in ("names", "endings")}
    assert tasks(prepared / "suite.yaml", tmp_path / "other.yaml") == both
    write_text(tmp_path / "told.yaml", SUITE.split("tasks:")[0] + "tasks:\n" + SUITE.strip().split("\n")[-1])
    assert tasks(tmp_path / "told.yaml") is None
