"""Laws of what a training keeps: the best checkpoint, an early end, minutes, float16's scale, 8-bit moments."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from train.test_loop import T, trainer_at
from train.tokens import documents_of, write_shard

from smallm.core.errors import TrainingDiverged, UserError
from smallm.train import checkpoint, keeping, measure
from smallm.train.corpus import Corpus
from smallm.train.job import Validation, looking
from smallm.train.journal import read
from smallm.train.loop import Trainer
from smallm.train.optim import Optimizers
from smallm.train.pack import validation_batches
from smallm.train.scaler import GROWTH_STEPS, LossScale


def judged(path: Path, losses: list[float], **job: Any) -> Trainer:
    """A trainer of ten steps whose validations (one a step, after step 0's) give `losses`."""
    trainer = trainer_at(path, micro=8, validate_every=1, log_every=100, checkpoint_every=100, keep_checkpoints=1)
    for name, value in job.items():
        setattr(trainer.job, name, value)
    shard = write_shard(path / "validation-00000.bin", documents_of((9, 12)))
    held_out = Corpus([shard], 64)
    trainer.job.validation = Validation(held_out, *validation_batches(held_out, T, 100, 2))

    def validate() -> dict[str, float]:
        return {"validation_loss": losses[trainer.state.step], "validation_bits_per_byte": 1.0}

    trainer.validate = validate  # type: ignore[method-assign]
    return trainer


FALLS_AND_RISES = [9, 5, 4, 3, 3.5, 4, 2.9, 4, 5, 6, 7]


def test_the_result_is_the_best_checkpoint_which_is_kept_though_others_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = judged(tmp_path, FALLS_AND_RISES, keep_best=True)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    step = trainer.step

    def stepped(batch: Any) -> None:
        step(batch)
        seen[trainer.state.step] = {n: p.detach().clone() for n, p in trainer.trained().items()}

    trainer.step = stepped  # type: ignore[method-assign]
    state = trainer.run()
    assert (state.best_step, state.best_loss, state.step) == (6, 2.9, 10)
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [10, 6, 5]  # 5: where the decay of wsd begins
    for name, p in trainer.trained().items():
        assert torch.equal(p, seen[6][name])
        assert not torch.equal(p, seen[10][name]) or p.numel() == 0
    assert "the result is step 6, not the last one (10)" in capsys.readouterr().err


def test_without_keep_best_the_result_is_the_last_step(tmp_path: Path) -> None:
    trainer = judged(tmp_path, FALLS_AND_RISES)
    assert trainer.run().best_step == 0
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [10, 5]  # 5: where the decay of wsd begins


def test_patience_ends_the_training_early_and_a_second_start_does_not_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = [9, 5, 4, 6, 6, 6, 1, 1, 1, 1, 1]
    state = judged(tmp_path, losses, keep_best=True, patience=3).run()
    assert (state.step, state.stopped, state.best_step) == (5, True, 2)
    assert "stopped early at step 5 of 10: 3 validations" in capsys.readouterr().err
    again = judged(tmp_path, losses, keep_best=True, patience=3)
    assert again.run().step == 5
    assert [row["step"] for row in read(tmp_path / "checkpoints" / "metrics.jsonl")] == [0, 1, 2, 3, 4, 5]


def test_a_run_that_was_stopped_knows_its_best_checkpoint_afterwards(tmp_path: Path) -> None:
    trainer = judged(tmp_path, FALLS_AND_RISES, keep_best=True)
    step = trainer.step

    def interrupted(batch: Any) -> None:
        if trainer.state.step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        step(batch)

    trainer.step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert judged(tmp_path, FALLS_AND_RISES, keep_best=True).run().best_step == 6


def test_a_best_checkpoint_that_was_damaged_is_an_error_not_another_result(tmp_path: Path) -> None:
    trainer = judged(tmp_path, FALLS_AND_RISES, keep_best=True)
    trainer.run()
    file = tmp_path / "checkpoints" / "step-6" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(UserError, match="the best checkpoint"):
        keeping.finish(trainer)


def test_a_checkpoint_is_written_when_the_minutes_are_over(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path, micro=8, log_every=100, validate_every=100, checkpoint_every=100, keep_checkpoints=9)
    trainer.job.checkpoint_minutes = 1.0
    step = trainer.step

    def slow(batch: Any) -> None:
        step(batch)
        if trainer.state.step in (3, 7):
            trainer.saved_at = time.monotonic() - 61

    trainer.step = slow  # type: ignore[method-assign]
    trainer.run()
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [10, 7, 5, 3]


def test_a_look_at_the_model_restores_every_modules_mode_and_the_generators(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    model = trainer.job.model.train()
    kept = next(m for m in model.modules() if m is not model)
    for module in kept.modules():
        module.eval()
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    assert len(set(modes)) == 2 or not any(modes[1:])
    with looking(model):
        assert not any(m.training for m in model.modules())
        torch.rand(3)
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


# ---------------------------------------------------------------------------------------------- float16


def test_the_scale_follows_torchs_grad_scaler() -> None:
    twin, ours = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=GROWTH_STEPS), LossScale(64.0)
    p = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([p], 1e-9)
    for n in range(2 * GROWTH_STEPS + 50):
        overflow = n in (10, 11, 700)
        p.grad = torch.full((2,), float("inf") if overflow else 1.0)
        twin.scale(torch.zeros(()))
        twin.unscale_(optimizer)
        twin.step(optimizer)
        twin.update()
        assert ours.update(not overflow) == (not overflow)
        assert ours.value == twin.get_scale()
    assert ours.skipped == 3


def overflowing(path: Path, steps: set[int]) -> Trainer:
    settings = {"optimizer": "adamw", "schedule": "constant", "log_every": 1, "validate_every": 100}
    trainer = trainer_at(path, micro=4, checkpoint_every=2, **settings)
    trainer.job.scaler = True
    trainer = Trainer(trainer.job)
    backward = trainer.backward

    def over(batch: Any) -> torch.Tensor:
        loss = backward(batch)
        if trainer.state.step + 1 in steps:
            trainer.optimizers.parameters[0].grad[0] = float("inf")  # type: ignore[index]
        return loss

    trainer.backward = over  # type: ignore[method-assign]
    return trainer


def test_a_step_whose_gradient_overflows_is_left_out_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = overflowing(tmp_path, {3})
    before: list[torch.Tensor] = []
    step = trainer.step

    def look(batch: Any) -> None:
        before[:] = [p.detach().clone() for p in trainer.optimizers.parameters]
        step(batch)
        same = all(torch.equal(a, p) for a, p in zip(before, trainer.optimizers.parameters, strict=True))
        assert same == (trainer.state.step == 3)

    trainer.step = look  # type: ignore[method-assign]
    trainer.run()
    assert (trainer.scale.value, trainer.scale.skipped) == (2.0**15, 1)
    assert "step 3: a gradient overflowed in float16; left out" in capsys.readouterr().err
    rows = read(tmp_path / "checkpoints" / "metrics.jsonl")
    assert [row.get("skipped_steps") for row in rows] == [None] * 3 + [1] * 8


def test_the_scale_changes_no_update_and_resumes(tmp_path: Path) -> None:
    settings = {"optimizer": "adamw", "schedule": "constant", "log_every": 1, "validate_every": 100}
    plain = trainer_at(tmp_path / "a", micro=4, **settings)
    plain.run()
    scaled = overflowing(tmp_path / "b", set())
    scaled.run()
    for a, b in zip(plain.optimizers.parameters, scaled.optimizers.parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(*(read(tmp_path / n / "checkpoints" / "metrics.jsonl") for n in "ab"), strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    halved = overflowing(tmp_path / "c", {1, 2})
    halved.run()
    again = overflowing(tmp_path / "c", set())
    assert keeping.resume(again)
    assert again.scale == halved.scale == LossScale(2.0**14, 8, 2)


def test_a_loss_that_is_not_finite_is_no_matter_of_the_scale(tmp_path: Path) -> None:
    trainer = overflowing(tmp_path, set())
    backward = trainer.backward
    trainer.backward = lambda batch: backward(batch) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged, match="the loss is nan"):
        trainer.run()


def test_gradients_that_always_overflow_end_the_training(tmp_path: Path) -> None:
    trainer = overflowing(tmp_path, set(range(1, 11)))
    trainer.scale.value = 2.0**-5
    with pytest.raises(TrainingDiverged, match="the gradient's norm is inf"):
        trainer.run()


# ---------------------------------------------------------------------------------------------- memory, 8 bits


def test_micro_batches_are_halved_until_they_fit_and_nothing_else_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_at(tmp_path, micro=8)
    backward, cursor = trainer.backward, trainer.job.feed.rows.cursor

    def small(batch: Any) -> torch.Tensor:
        if len(batch.parts[0].input_ids_BT) > 3:
            raise torch.OutOfMemoryError("no room")
        return backward(batch)

    trainer.backward = small  # type: ignore[method-assign]
    assert measure.fit(trainer) == trainer.job.feed.micro == 2
    assert "micro-batches of 4 rows do not fit; trying 2" in capsys.readouterr().err
    assert trainer.job.feed.rows.cursor == cursor
    assert trainer.job.feed.rows.tally.rows == 0
    assert all(p.grad is None for p in trainer.optimizers.parameters)


@pytest.mark.parametrize("kind", ["adamw8bit", "paged_adamw8bit"])
def test_8_bit_moments_go_through_a_checkpoint_exactly(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = trainer_at(tmp_path, micro=8)
    model = trainer.job.model
    with torch.no_grad():  # one matrix over 4,096 elements: 8 bits; the others keep float32
        model.decoder.head.weight = torch.nn.Parameter(torch.randn(200, 32))  # type: ignore[union-attr]
    first = Optimizers(model, trainer.job.train, kind)
    assert ("pages are CUDA's" in capsys.readouterr().err) == (kind == "paged_adamw8bit")

    def steps(optimizers: Optimizers, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for p in optimizers.parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizers.step()

    steps(first, 1)
    steps(first, 2)
    path = checkpoint.save(tmp_path, 2, dict(model.named_parameters()), first.tensors(), {})
    found = checkpoint.load(path)
    assert any(t.dtype == torch.uint8 for t in found.optimizer.values())
    assert any(name.startswith("qmap1/") for name in found.optimizer)
    steps(first, 3)
    expected = [p.detach().clone() for p in first.parameters]
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(found.model[name])
    second = Optimizers(model, trainer.job.train, kind)
    second.load(found.optimizer)
    steps(second, 3)
    assert all(torch.equal(a, b) for a, b in zip(expected, second.parameters, strict=True))


def test_8_bit_moments_train_about_as_float32_ones_do(tmp_path: Path) -> None:
    losses = []
    for name, kind in (("a", ""), ("b", "adamw8bit")):
        trainer = trainer_at(tmp_path / name, micro=8, optimizer="adamw", learning_rate=1e-2, log_every=1)
        trainer.job.optimizer = kind
        trainer = Trainer(trainer.job)
        trainer.run()
        losses.append(read(tmp_path / name / "checkpoints" / "metrics.jsonl")[-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_resume_looks_at_the_loss_again_and_says_another_arithmetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chunked loss is checked against the model on every start; a checkpoint of bf16 has no scale for float16."""
    first = trainer_at(tmp_path)
    first.job.total = first.state.total = 4
    first.run()
    again, looked = trainer_at(tmp_path), list[int]()
    again.job.model.verify = lambda batch: looked.append(1) or 0.0  # type: ignore[method-assign]
    again.job.dtype, again.job.scaler = "float16", True
    again.scale = LossScale(65536.0)
    assert keeping.resume(again)
    assert again.scale.value == 65536.0
    assert "multiplied in float32, the rest are in float16" in capsys.readouterr().err
    again.job.dtype, again.job.scaler = "float32", False
    again.run()
    assert looked == [1]


def test_a_rank_without_held_out_rows_gives_zero_and_no_error(tmp_path: Path) -> None:
    trainer = judged(tmp_path, FALLS_AND_RISES)
    trainer.job.validation = Validation(trainer.job.validation.corpus, [], 0)  # type: ignore[union-attr]
    assert Trainer.validate(trainer) == {"validation_loss": 0.0}


def test_released_memory_is_that_of_weights_and_moments(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    trainer.run()
    trainer.release()
    assert sum(p.numel() for p in trainer.job.model.parameters()) == 0
    assert not hasattr(trainer, "optimizers")
