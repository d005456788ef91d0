"""Laws of resuming a fine-tuning: N steps are k, a death, and N - k, to the last byte, packing and NF4 included."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tunes import KINDS, base_at, outcome, recipe_of, run_at, tune_at, with_keys
from safetensors.torch import load_file

from smallm.core.files import read_json
from smallm.train import checkpoint
from smallm.train.loop import Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_at(tmp_path_factory.mktemp("base"))


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ctrl-C in the middle of `step`."""
    backward = Trainer.backward

    def stopping(self: Trainer, batch: Any) -> torch.Tensor:
        loss = backward(self, batch)
        if self.state.step + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    monkeypatch.setattr(Trainer, "backward", stopping)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "qlora", "qlora8bit"])
def test_killed_and_run_again_is_byte_identical_to_never_killed(base: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(base, tmp_path / "a")
    recipe = recipe_of(tmp_path / "a", **KINDS[kind])
    run_at(tmp_path / "a" / "run", recipe)
    undisturbed = tune_at(tmp_path / "b", recipe)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    killed = subprocess.run(
        [sys.executable, "-m", "finetune.tunes", str(tmp_path / "a"), kind, "6"], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.steps_in(tmp_path / "a" / "run" / "checkpoints" / "tuned")[0] == 4
    again = tune_at(tmp_path / "a" / "run", recipe)
    assert outcome(again) == outcome(undisturbed)


@pytest.mark.slow
def test_stopped_by_ctrl_c_and_run_again_is_byte_identical(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(base, **KINDS["lora"])
    undisturbed = tune_at(tmp_path / "b", recipe)
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            tune_at(tmp_path / "a", recipe)
    assert checkpoint.steps_in(tmp_path / "a" / "checkpoints" / "tuned")[0] == 5
    assert outcome(tune_at(tmp_path / "a", recipe)) == outcome(undisturbed)


def test_a_checkpoint_holds_the_trained_parameters_alone(base: Path, tmp_path: Path) -> None:
    tune_at(tmp_path, recipe_of(base, **KINDS["qlora"], steps=2))
    held = load_file(tmp_path / "checkpoints" / "tuned" / "step-2" / "model.safetensors")
    assert held.keys()
    assert all("lora_" in name for name in held)
    facts = read_json(tmp_path / "tuned" / "tuned" / "smallm.json")
    assert sum(t.numel() for t in held.values()) == facts["trained_parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["data", "base", "rate"])
def test_a_resume_with_other_data_base_or_settings_sets_the_checkpoints_aside_and_says_so(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    shutil.copytree(base, tmp_path / "a")
    recipe = recipe_of(tmp_path / "a", steps=4)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            tune_at(tmp_path / "run", recipe)
    if changed == "data":
        lines = (tmp_path / "a" / "rows.jsonl").read_text("utf-8").splitlines(keepends=True)
        (tmp_path / "a" / "rows.jsonl").write_text("".join(lines[:-20]), "utf-8")
        shutil.rmtree(tmp_path / "run" / "tokens")
    elif changed == "base":
        from smallm.finetune.shrunken import make_phi3

        make_phi3(tmp_path / "a" / "phi3", seed=5)
    else:
        recipe = with_keys(recipe, learning_rate=1e-3)
    capsys.readouterr()
    tuned = tune_at(tmp_path / "run", recipe)
    said = capsys.readouterr().err
    assert "set aside as tuned.old" in said
    assert "resuming" not in said
    assert checkpoint.steps_in(tmp_path / "run" / "checkpoints" / "tuned.old") == [3, 2]
    assert outcome(tuned) == outcome(tune_at(tmp_path / "fresh", recipe))


def test_a_finished_training_that_is_run_again_gives_the_same_adapter(base: Path, tmp_path: Path) -> None:
    recipe = recipe_of(base, steps=4)
    first = outcome(tune_at(tmp_path, recipe))
    shutil.rmtree(tmp_path / "tuned")
    assert outcome(tune_at(tmp_path, recipe)) == first


@pytest.mark.slow
def test_other_keys_of_the_console_do_not_change_the_result_and_still_resume(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(base, steps=4, keep_best=False)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            tune_at(tmp_path / "a", recipe)
    other = with_keys(recipe, checkpoint_every=3, checkpoint_minutes=1e-6, max_new_tokens=7)
    a = tune_at(tmp_path / "a", other)
    assert "resuming from step 3 of 4" in capsys.readouterr().err
    b = tune_at(tmp_path / "b", recipe)
    name = "adapter_model.safetensors"
    assert (a / name).read_bytes() == (b / name).read_bytes()
