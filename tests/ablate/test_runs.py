"""Laws of making the runs: done ones are skipped, killed ones go on to the same figures, others stay as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ablate.tiny import TINY, arm_of, line_of, tiny
from typer.testing import CliRunner

from smallm.ablate import runs
from smallm.ablate.design import Ablation
from smallm.ablate.results import append_line, plan_of, planned, read_lines
from smallm.cli import app
from smallm.core.errors import TrainingDiverged
from smallm.core.files import read_json
from smallm.core.formats import validate_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arithmetic on every machine that runs these tests."""
    monkeypatch.setattr(runs, "machine_dtype", lambda: "float32")


def made(ablation: Ablation, to: Path, seeds: tuple[int, ...] = (0, 1), minutes: float = 0.0) -> list[dict[str, Any]]:
    """The lines after making every run at `seeds`."""
    todo = plan_of(ablation, ablation.arms, seeds, "float32")
    runs.make_runs(ablation, todo, to, to / "x.jsonl", runs.Clock(minutes), lambda: None)
    return read_lines(to / "x.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The tiny ablation at two seeds, made once."""
    to = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "machine_dtype", lambda: "float32")
        return to, made(tiny(), to)


@pytest.mark.slow
def test_every_run_has_a_line_and_is_an_ordinary_run_on_one_text(whole: tuple[Path, list[dict[str, Any]]]) -> None:
    to, lines = whole
    assert [(line["run"], line["seed"]) for line in lines] == [
        (name, seed) for seed in (0, 1) for name in ("base", "position.none", "heads.mqa")
    ]
    assert len({line["data"] for line in lines}) == 1
    assert len({line["bits_per_byte"] for line in lines}) == 6
    for line in lines:
        run = to / f"{line['run']}-s{line['seed']}"
        validate_run(run)
        assert not (run / "checkpoints").exists()
        facts = read_json(run / "base" / "smallm.json")
        assert facts["parameters"] == line["parameters"]
        steps = line["tokens"] // 128
        assert facts["steps"] == steps
        [result] = (run / "eval").glob("base-????????.json")
        assert read_json(result)["bits_per_byte"]["value"] == line["bits_per_byte"]
        borrowed = [
            read_json(run / stage / "stage.json").get("borrowed") for stage in ("data", "tokenizer", "tokens/base")
        ]
        assert all(borrowed)


@pytest.mark.slow
def test_what_is_done_is_not_made_again_even_where_only_the_lines_are_left(
    whole: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in whole[1]:
        append_line(tmp_path / "x.jsonl", line)
    monkeypatch.setattr(runs, "make_run", lambda *_: pytest.fail("made again"))
    assert made(tiny(), tmp_path) == whole[1]
    changed = tiny(TINY.replace("model.kv_heads: 1", "model.kv_heads: 2"))
    again: list[str] = []

    def make_run(ablation: Ablation, run: Any, to: Path, data: str) -> dict[str, Any]:
        again.append(f"{run.name} {run.seed}")
        return line_of(changed, "heads.mqa", run.seed, 1.0) | {"data": data}

    monkeypatch.setattr(runs, "make_run", make_run)
    made(changed, tmp_path)
    assert again == ["heads.mqa 0", "heads.mqa 1"]


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_to_the_same_figures(
    whole: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    # A copy of the whole's words in a process of its own, killed when the second run has a checkpoint.
    (tmp_path / "tiny.yaml").write_text(TINY, "utf-8")
    code = (
        "import sys; from smallm.ablate import runs; runs.machine_dtype = lambda: 'float32'; "
        "sys.argv = ['smallm', 'ablate', 'tiny.yaml', '--seeds', '0,1', '--to', 'to', '--json']; "
        "import smallm.cli; smallm.cli.main()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    checkpoints, until = tmp_path / "to" / "position.none-s0" / "checkpoints" / "base", time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    results = tmp_path / "to" / "ablation.jsonl"
    assert len(read_lines(results)) == 1
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    figures = {line["key"]: line["bits_per_byte"] for line in read_lines(results)}
    assert figures == {line["key"]: line["bits_per_byte"] for line in whole[1]}
    assert json.loads(done.stdout)["groups"]["position"]["arms"]["none"]["difference"]["seeds"] == 2


@pytest.mark.slow
def test_the_clock_stops_between_steps_with_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation = tiny(TINY.replace("{tokens: 2560", "{tokens: 50M"))
    todo = plan_of(ablation, ablation.arms, (0,), "float32")
    checkpoints, clock = tmp_path / "base-s0" / "checkpoints" / "base", runs.Clock(0.0)

    def press_when_it_trains() -> None:
        until = time.monotonic() + 120
        while not list(checkpoints.glob("step-*")) and time.monotonic() < until:
            time.sleep(0.01)
        clock._press()

    threading.Thread(target=press_when_it_trains, daemon=True).start()
    assert not runs.make_runs(ablation, todo, tmp_path, tmp_path / "x.jsonl", clock, lambda: None)
    assert list(checkpoints.glob("step-*"))
    assert read_lines(tmp_path / "x.jsonl") == []


def test_a_clock_whose_time_is_over_starts_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = runs.Clock(10.0)

    def text_of(*_: Any) -> str:
        clock.began -= 601.0
        return "a" * 64

    monkeypatch.setattr(runs, "text_of", text_of)
    monkeypatch.setattr(runs, "make_run", lambda *_: pytest.fail("a run was made"))
    todo = plan_of(tiny(), tiny().arms, (0,), "float32")
    assert not runs.make_runs(tiny(), todo, tmp_path, tmp_path / "x.jsonl", clock, lambda: None)


def test_a_training_that_diverges_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise TrainingDiverged("the loss is nan")

    monkeypatch.setattr(runs, "run_pipeline", diverge)
    ablation = tiny()
    run = planned(ablation, arm_of(ablation, "position.none"), 0, "float32")
    line = runs.make_run(ablation, run, tmp_path, "a" * 64)
    assert line["bits_per_byte"] is None
    append_line(tmp_path / "x.jsonl", line)
    assert read_lines(tmp_path / "x.jsonl")[0]["key"] == run.key


def test_a_type_that_this_machine_only_emulates_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation = tiny(TINY.replace("model.kv_heads: 1", "train.dtype: bfloat16"))
    monkeypatch.setattr(runs, "text_of", lambda *_: "a" * 64)
    todo = plan_of(ablation, ablation.arms, (0,), "float32")
    names: list[str] = []

    def make_run(ablation: Ablation, run: Any, to: Path, data: str) -> dict[str, Any]:
        names.append(run.name)
        return line_of(ablation, run.arm.full_name, 0, 1.0)

    monkeypatch.setattr(runs, "make_run", make_run)
    assert not runs.make_runs(ablation, todo, tmp_path, tmp_path / "x.jsonl", runs.Clock(0.0), lambda: None)
    assert names == ["base", "position.none"]


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY, "utf-8")
    for name, bits in (("position.rope", 1.0), ("position.none", 2.0)):
        for seed in (0, 1):
            append_line(tmp_path / "runs/ablations/tiny/ablation.jsonl", line_of(tiny(), name, seed, bits + seed / 10))
    return tmp_path


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["ablate", *words])


def test_the_list_says_what_is_done_and_left(here: Path) -> None:
    result = invoke("tiny.yaml", "--list")
    assert result.exit_code == 0, result.output
    assert [line.split()[:4] for line in result.stdout.splitlines()[:3]] == [
        ["base", "0", "1", "·"],
        ["position.none", "0", "1", "·"],
        ["heads.mqa", "·", "·", "·"],
    ]
    assert "4 of 9 runs are done" in result.stdout
    content = json.loads(invoke("tiny.yaml", "--list", "--json", "--only", "position", "--seeds", "0,1").stdout)
    assert content["left"] == 0
    assert [row["run"] for row in content["runs"]] == ["base", "position.none"] * 2


def test_the_table_alone_runs_nothing_and_renews_the_pages(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "make_runs", lambda *_: pytest.fail("a run was made"))
    result = invoke("tiny.yaml", "--table")
    assert result.exit_code == 0, result.output
    assert "+1.0000 (+1.0000 to +1.0000)" in result.stdout
    (here / "tiny").mkdir()
    (here / "tiny" / "README.md").write_text("<!-- ablation table -->\n\n<!-- /ablation table -->\n", "utf-8")
    (here / "runs/ablations/tiny/ablation.jsonl").rename(here / "tiny" / "ablation.jsonl")
    assert "renewed README.md" in invoke("tiny.yaml", "--table").stderr
    assert "+1.0000 (+1.0000 to +1.0000)" in (here / "tiny" / "README.md").read_text("utf-8")
    assert "every page is fresh" in invoke("tiny.yaml", "--table").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tiny.yaml", "--only", "hads"), "Did you mean `heads`?"),
        (("tiny.yaml", "--seeds", "0,7"), "`7` is no seed of tiny; its seeds are 0, 1, 2"),
        (("paper",), "Did you mean `papers`?"),
    ],
)
def test_a_users_mistake_is_a_message_and_exit_2(words: tuple[str, ...], said: str, here: Path) -> None:
    result = invoke(*words, "--list")
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
def test_every_arm_of_the_papers_trains_when_it_is_shrunken(tmp_path: Path) -> None:
    from dataclasses import replace

    from smallm.ablate.design import load_ablation
    from smallm.core.config import SourceConfig
    from smallm.core.run import Run
    from smallm.pipeline import run_pipeline

    ours = load_ablation("papers")
    done: set[str] = set()
    for run in plan_of(ours, ours.arms, (0,), "float32"):
        if run.dtype == "bfloat16":
            continue
        recipe = run.recipe
        small = replace(
            recipe,
            data=replace(recipe.data, sources=[SourceConfig(synth="stories", size=600_000)], validation=0.1),
            tokenizer=replace(recipe.tokenizer, vocab_size=512),
            model=replace(
                recipe.model,
                width=32,
                heads=4,
                head_width=8,
                context=64,
                vocab_size=512,
                window=recipe.model.window and 16,
            ),
            train=replace(recipe.train, tokens=512, batch_tokens=256, validation_tokens=256),
            eval=replace(recipe.eval, max_tokens=500),
        )
        outcomes = run_pipeline(small, Run(tmp_path / run.name), only=("data", "tokenizer", "tokens", "train"))
        assert outcomes[-1].stage == "train"
        done.add(run.name)
    assert len(done) == len({arm.full_name for arm in ours.arms if arm.keys}) - 1
