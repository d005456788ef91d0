"""Laws of train/stage.py and of training as a whole: killed, stopped, damaged, continued, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from train.runs import outcome, pretrain_at, recipe_of, run_at, with_steps
from train.tokens import TOKENIZER_SHA256

from smallm.core.config import Recipe
from smallm.core.errors import TrainingDiverged, UserError
from smallm.core.files import read_json, write_json
from smallm.model.families import load_pretrained
from smallm.train import checkpoint, journal
from smallm.train.loop import Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed")
    pretrain_at(path)
    return path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, how: Any) -> None:
    """Call `how` in the middle of `step`."""
    backward = Trainer.backward

    def stopping(self: Trainer, batch: Any) -> torch.Tensor:
        loss = backward(self, batch)
        if self.state.step + 1 == step:
            how()
        return loss

    monkeypatch.setattr(Trainer, "backward", stopping)


@pytest.mark.parametrize("step", [3, 13])
def test_killed_and_run_again_is_byte_identical_to_never_killed(undisturbed: Path, tmp_path: Path, step: int) -> None:
    run_at(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-m", "train.runs", str(tmp_path), str(step)], env=environment(), cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "base").exists()
    pretrain_at(tmp_path)
    assert outcome(tmp_path) == outcome(undisturbed)


def test_stopped_by_ctrl_c_and_run_again_is_byte_identical(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            pretrain_at(tmp_path)
    assert checkpoint.steps_in(tmp_path / "checkpoints" / "base")[0] == 7
    pretrain_at(tmp_path)
    assert outcome(tmp_path) == outcome(undisturbed)


@pytest.mark.parametrize("damage", ["altered", "torn", "no hashes"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 18, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            pretrain_at(tmp_path)
    newest = tmp_path / "checkpoints" / "base" / "step-18"
    data = bytearray((newest / "model.safetensors").read_bytes())
    if damage == "altered":
        data[-5] ^= 1
        (newest / "model.safetensors").write_bytes(data)
    elif damage == "torn":
        (newest / "model.safetensors").write_bytes(data[: len(data) // 2])
    else:
        (newest / "hashes.json").unlink()
    capsys.readouterr()
    pretrain_at(tmp_path)
    said = capsys.readouterr().err
    assert "step-18 is damaged" in said
    assert "resuming from step 15" in said
    assert outcome(tmp_path) == outcome(undisturbed)


def test_raising_the_budget_continues_as_if_it_had_been_larger_from_the_start(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = with_steps(recipe_of(), 36)
    pretrain_at(tmp_path / "a", longer)
    capsys.readouterr()
    pretrain_at(tmp_path / "b")
    assert outcome(tmp_path / "b") == outcome(undisturbed)
    pretrain_at(tmp_path / "b", longer)
    assert "resuming from step 12" in capsys.readouterr().err  # where the decay of the shorter one began
    assert outcome(tmp_path / "b") == outcome(tmp_path / "a")


def test_raising_the_budget_of_a_cosine_continues_and_says_that_it_is_not_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = recipe_of(10, schedule="cosine")
    pretrain_at(tmp_path, short)
    pretrain_at(tmp_path, with_steps(short, 14))
    assert "not identical" in capsys.readouterr().err
    rows = journal.read(tmp_path / "base" / "metrics.jsonl")
    assert [r["step"] for r in rows] == sorted({r["step"] for r in rows})
    assert rows[-1]["step"] == 14


def test_a_finished_training_is_not_trained_again(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outcome(undisturbed)
    stop_at(monkeypatch, 25, lambda: pytest.fail("trained beyond its budget"))
    pretrain_at(undisturbed)
    assert outcome(undisturbed) == before


def test_checkpoints_of_other_settings_are_set_aside_not_mixed(tmp_path: Path) -> None:
    pretrain_at(tmp_path, recipe_of(6))
    pretrain_at(tmp_path, recipe_of(6, learning_rate=1e-4))
    assert (tmp_path / "checkpoints" / "base.old").is_dir()
    assert journal.read(tmp_path / "base" / "metrics.jsonl")[-1]["learning_rate"] == 0.0
    pretrain_at(tmp_path, recipe_of(6, learning_rate=2e-4))
    assert (tmp_path / "checkpoints" / "base.old2").is_dir()


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before_whole(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file = checkpoint.save_file

    def full(tensors: Any, path: Path) -> None:
        if "step-10" in str(path) and "optimizer" in str(path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(UserError, match=r"disk is full.*step 5 stands"):
            pretrain_at(tmp_path)
    assert checkpoint.load(tmp_path / "checkpoints" / "base" / "step-5").step == 5
    assert not list((tmp_path / "checkpoints" / "base").glob("*.partial"))
    pretrain_at(tmp_path)
    assert outcome(tmp_path) == outcome(undisturbed)


def test_decisions_are_kept_for_a_resume_and_taken_anew_for_another_training(tmp_path: Path) -> None:
    pretrain_at(tmp_path, recipe_of(4, micro_batch=0))
    first = read_json(tmp_path / "resolved.json")
    assert {"device", "threads", "dtype", "micro_batch", "attention", "compile"} <= first.keys()
    write_json(tmp_path / "resolved.json", first | {"micro_batch": 2})
    pretrain_at(tmp_path, recipe_of(4, micro_batch=0))
    assert read_json(tmp_path / "resolved.json")["micro_batch"] == 2
    pretrain_at(tmp_path, recipe_of(4, micro_batch=0, learning_rate=1e-4))
    again = read_json(tmp_path / "resolved.json")
    assert again["micro_batch"] == first["micro_batch"]
    assert again["threads"] == first["threads"] == 1


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_non_finite_loss_or_gradient_stops_with_step_documents_and_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    backward = Trainer.backward

    def poisoned(self: Trainer, batch: Any) -> torch.Tensor:
        loss = backward(self, batch)
        if self.state.step + 1 == 8:
            if what == "loss":
                return loss * float("nan")
            self.optimizers.parameters[0].grad.fill_(float("inf"))  # type: ignore[union-attr]
        return loss

    monkeypatch.setattr(Trainer, "backward", poisoned)
    with pytest.raises(TrainingDiverged, match=r"step 8.*Documents of its batch: [0-9a-f]{32}.*step-5") as error:
        pretrain_at(tmp_path)
    assert error.value.exit_code == 1
    directory = tmp_path / "checkpoints" / "base"
    assert checkpoint.steps_in(directory) == [5]
    assert all(torch.isfinite(t).all() for t in checkpoint.load(directory / "step-5").model.values())
    assert journal.read(directory / "metrics.jsonl")[-1]["step"] == 4


def test_the_newest_checkpoints_and_the_start_of_the_decay_are_kept(undisturbed: Path) -> None:
    assert checkpoint.steps_in(undisturbed / "checkpoints" / "base") == [24, 20, 12]


def test_base_holds_the_model_its_facts_and_the_journals(undisturbed: Path) -> None:
    facts = read_json(undisturbed / "base" / "smallm.json")
    assert facts["tokenizer_sha256"] == TOKENIZER_SHA256
    assert facts["steps"] == 24
    rows = journal.read(undisturbed / "base" / "metrics.jsonl")
    assert [r["step"] for r in rows] == [0, 4, 8, 10, 12, 16, 20, 24]
    assert [r["step"] for r in rows if "validation_loss" in r] == [0, 10, 20, 24]
    assert rows[-1]["tokens"] == facts["tokens_seen"]
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]
    timing = journal.read(undisturbed / "base" / "timing.jsonl")
    assert all(row["mfu"] is None for row in timing)  # no CPU has a cited peak
    decoder = load_pretrained(undisturbed / "base")
    saved = checkpoint.load(undisturbed / "checkpoints" / "base" / "step-24").model
    for name, p in decoder.named_parameters():
        assert torch.equal(p, saved[name])


def test_micro_batches_of_any_size_give_the_same_training(tmp_path: Path) -> None:
    """k micro-batches are one batch; dropout off, since its draws depend on the shapes."""
    found = []
    for micro in (8, 3, 1):
        pretrain_at(tmp_path / str(micro), recipe_of(6, micro_batch=micro, model={"dropout": 0.0}, log_every=1))
        found.append([r["loss"] for r in journal.read(tmp_path / str(micro) / "base" / "metrics.jsonl")[1:]])
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[2] == pytest.approx(found[0], rel=1e-5)


def test_training_goes_on_from_another_model_with_the_same_tokenizer(undisturbed: Path, tmp_path: Path) -> None:
    recipe = recipe_of(6, init_from=str(undisturbed / "base"), optimizer="adamw", learning_rate=1e-4)
    pretrain_at(tmp_path, recipe)
    first = journal.read(tmp_path / "base" / "metrics.jsonl")[0]
    last = journal.read(undisturbed / "base" / "metrics.jsonl")[-1]
    assert first["validation_loss"] == pytest.approx(last["validation_loss"], rel=1e-5)


def test_another_tokenizer_under_init_from_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    other.mkdir()
    for path in (undisturbed / "base").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    write_json(other / "smallm.json", read_json(other / "smallm.json") | {"tokenizer_sha256": "cd" * 32})
    with pytest.raises(UserError, match="another tokenizer"):
        pretrain_at(tmp_path / "run", recipe_of(6, init_from=str(other)))


def changed_tokens(path: Path) -> Recipe:
    run_at(path)
    shard = path / "tokens" / "base" / "train-00000.bin"
    data = bytearray(shard.read_bytes())
    data[400] ^= 1
    shard.write_bytes(data)
    return recipe_of()


def no_tokens(path: Path) -> Recipe:
    run_at(path)
    (path / "tokens" / "base" / "manifest.json").unlink()
    return recipe_of()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (changed_tokens, "changed since it was written"),
        (no_tokens, "Rerun `smallm run`"),
        (lambda path: recipe_of(model={"context": 20_000}), r"model\.context"),
        (lambda path: recipe_of(batch_tokens=10_000_000), r"train\.batch_tokens"),
        (lambda path: recipe_of(model={"heads": 3}), "does not divide"),
    ],
)
def test_bad_input_is_refused_with_what_to_change(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        pretrain_at(tmp_path, make(tmp_path))


def test_a_context_longer_than_every_document_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(4, model={"context": 256}, batch_tokens=512)
    pretrain_at(tmp_path, replace(recipe, train=replace(recipe.train, tokens=2048)))
    assert "shorter context" in capsys.readouterr().err


def test_training_from_files_needs_none_of_the_data_and_serving_packages(tmp_path: Path) -> None:
    run_at(tmp_path)
    code = (
        "import sys\n"
        "blocked = ['pydantic', 'numba', 'daft', 'datasets', 'fastapi', 'gradio', 'pyarrow', 'rich', 'jinja2', 'typer',"
        " 'matplotlib', 'pandas', 'yaml', 'psutil', 'sentencepiece']\n"
        "sys.modules.update(dict.fromkeys(blocked))\n"
        "from pathlib import Path\n"
        "from train.runs import pretrain_at, recipe_of\n"
        "pretrain_at(Path(sys.argv[1]), recipe_of(2))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment(), cwd=ROOT, check=True)
    assert read_json(tmp_path / "base" / "smallm.json")["steps"] == 2
