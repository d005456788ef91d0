"""Laws of train/loop.py, train/feed.py: what a step computes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from train.tokens import documents_of, write_shard

from smallm.core.config import ModelConfig, TrainConfig
from smallm.evaluate.bits_per_byte import Document, score_documents, summarise
from smallm.model.decoder import Decoder
from smallm.train.corpus import IGNORE, Batch, Corpus, trained_positions
from smallm.train.feed import Feed, Global
from smallm.train.job import Job, Validation
from smallm.train.journal import read
from smallm.train.loop import Trainer
from smallm.train.loss import LossModel
from smallm.train.pack import Cursor, Rows, validation_batches

T = 16


def trainer_at(path: Path, *, micro: int = 4, lengths: tuple[int, ...] = (9, 30, 5, 40) * 20, **train) -> Trainer:
    shard = write_shard(path / "train-00000.bin", documents_of(lengths))
    decoder = Decoder(ModelConfig(layers=2, width=32, heads=2, context=T, vocab_size=64, zero_init_projections=False))
    feed = Feed(Rows(Corpus([shard], 64), T, 0), 8, micro, "cpu", "sdpa")
    return Trainer(Job(LossModel(decoder), feed, TrainConfig(**train), 10, path / "checkpoints"))


def gradients(trainer: Trainer, batch: Global) -> list[torch.Tensor]:
    trainer.optimizers.zero_grad()
    trainer.backward(batch)
    return [p.grad.clone() for p in trainer.optimizers.parameters if p.grad is not None]


def global_of(batches: list[Batch]) -> Global:
    return Global(batches, sum(b.n_trained for b in batches), [], Cursor())


def mask(batch: Batch, rows: slice | list[int], from_: int = 0) -> Batch:
    targets = batch.targets_BT.clone()
    targets[rows, from_:] = IGNORE
    n = int((targets != IGNORE).sum())
    return dataclasses.replace(batch, targets_BT=targets, n_trained=n, trained_N=trained_positions(targets))


@pytest.mark.parametrize("micro", [1, 3, 4])
def test_k_micro_batches_give_the_gradient_of_one_batch(tmp_path: Path, micro: int) -> None:
    trainer = trainer_at(tmp_path)
    # Very different numbers of trained tokens: a mean of means would be far off.
    batch = mask(trainer.job.feed.rows.batch(8), [0, 1, 2, 5], from_=2)
    whole = gradients(trainer, global_of([batch]))
    parts = gradients(trainer, global_of(batch.split(micro)))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_fully_masked_micro_batch_changes_nothing(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    batch, other = trainer.job.feed.rows.batch(4), trainer.job.feed.rows.batch(4)
    alone = gradients(trainer, global_of([batch]))
    beside = gradients(trainer, global_of([batch, mask(other, slice(None))]))
    for a, b in zip(alone, beside, strict=True):
        assert torch.equal(a, b)


def test_a_fully_masked_global_batch_gives_zero_gradients_not_nan(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    for g in gradients(trainer, global_of([mask(trainer.job.feed.rows.batch(4), slice(None))])):
        assert (g == 0).all()


def test_the_gradient_is_exactly_zero_for_untrained_rows(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    batch = mask(trainer.job.feed.rows.batch(8), [1, 3])
    changed = dataclasses.replace(batch, input_ids_BT=batch.input_ids_BT.clone())
    changed.input_ids_BT[[1, 3]] = torch.randint(0, 64, (2, T))
    for a, b in zip(gradients(trainer, global_of([batch])), gradients(trainer, global_of([changed])), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_changing_one_document_of_a_row_leaves_the_loss_of_its_neighbours_alone(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    batch = trainer.job.feed.rows.batch(8)
    first = batch.segments_BT == 0
    others = dataclasses.replace(batch, targets_BT=batch.targets_BT.masked_fill(first, IGNORE))
    random = torch.randint_like(batch.input_ids_BT, 64)
    changed = dataclasses.replace(others, input_ids_BT=torch.where(first, random, batch.input_ids_BT))
    a, b = (trainer.job.model(trainer.job.feed.to_device(x))[0] for x in (others, changed))
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_the_accumulated_gradient_is_clipped_once(tmp_path: Path) -> None:
    norms = []
    for micro in (8, 2):
        trainer = trainer_at(tmp_path / str(micro), micro=micro, grad_clip=0.01, optimizer="adamw")
        seen: list[float] = []
        step = trainer.optimizers.step

        def look(trainer: Trainer = trainer, seen: list[float] = seen, step=step) -> None:
            seen.append(float(torch.nn.utils.get_total_norm([p.grad for p in trainer.optimizers.parameters])))
            step()

        trainer.optimizers.step = look  # type: ignore[method-assign]
        trainer.step(next(iter(trainer.job.feed.batches(1))))
        assert seen[0] == pytest.approx(0.01, rel=1e-3)
        norms.append(trainer.grad_norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    assert norms[0] > 0.01


def test_one_segment_a_row_without_mask_equals_the_masked_computation(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path, lengths=(4000,))
    assert trainer.job.feed.rows.stream
    batch = trainer.job.feed.rows.batch(8)
    assert batch.single
    plain = trainer.job.model(batch)[0]
    masked = trainer.job.model(trainer.job.feed.to_device(dataclasses.replace(batch, single=False)))[0]
    torch.testing.assert_close(plain, masked, rtol=1e-6, atol=1e-5)


def test_validation_in_training_is_the_evaluations_bits_per_byte_where_windows_are_full(tmp_path: Path) -> None:
    # A last window that is not full gets a longer context in the evaluation (lm-eval's rule) than in a packed row.
    trainer = trainer_at(tmp_path)
    documents = documents_of((33, 5, 65, 16, 17, 2), seed=5)
    held_out = Corpus([write_shard(tmp_path / "validation-00000.bin", documents)], 64)
    trainer.job.validation = Validation(held_out, *validation_batches(held_out, T, 10_000, 3))
    ours = trainer.validate()
    named = [Document(str(i), "s", ids.astype(np.int64), 3 * len(ids)) for i, ids in enumerate(documents)]
    scores = score_documents(trainer.job.model.decoder.eval(), named)
    assert ours["validation_bits_per_byte"] == pytest.approx(summarise(scores)["bits_per_byte"]["value"], rel=1e-5)
    assert ours["validation_loss"] == pytest.approx(float(scores.nats_N.sum() / scores.tokens_N.sum()), rel=1e-5)


def test_an_evaluation_and_samples_leave_the_next_gradient_alone(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    batch = global_of([trainer.job.feed.to_device(trainer.job.feed.rows.batch(4))])
    before = gradients(trainer, batch)
    held_out = trainer.job.feed.rows.corpus
    trainer.job.validation = Validation(held_out, *validation_batches(held_out, T, 500, 3))
    trainer.job.sample = lambda step: [{"prompt": "", "text": str(torch.rand(1)), "seed": 0}]
    state = torch.get_rng_state()
    trainer.validate()
    trainer.write_samples()
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(before, gradients(trainer, batch), strict=True):
        assert torch.equal(a, b)


def test_scoring_tasks_leaves_the_generators_and_the_mode_alone_and_writes_no_figure_that_is_none(
    tmp_path: Path,
) -> None:
    trainer = trainer_at(tmp_path)
    modes = []

    def tasks() -> dict[str, dict[str, float]]:
        modes.append(trainer.job.model.training)
        trainer.job.model.decoder.eval()
        return {"a": {"acc": float(torch.rand(1)), "perplexity": math.inf}, "b": {"acc": math.nan}}

    trainer.job.tasks = tasks
    trainer.job.model.train()
    state = torch.get_rng_state()
    found = trainer.score_tasks()
    assert torch.equal(torch.get_rng_state(), state)
    assert modes == [False]
    assert all(module.training for module in trainer.job.model.modules())
    assert found["tasks"].keys() == {"a", "b"}
    assert found["tasks"]["a"].keys() == {"acc"}
    assert found["tasks"]["b"] == {}


@pytest.mark.parametrize(("every", "steps"), [(4, [0, 4, 8, 10]), (0, [0, 10]), (5, [0, 5, 10])])
def test_tasks_are_scored_every_so_many_steps_and_at_both_ends(tmp_path: Path, every: int, steps: list[int]) -> None:
    trainer = trainer_at(tmp_path, micro=8, log_every=100, validate_every=100, checkpoint_every=100)
    trainer.job.tasks, trainer.job.tasks_every = lambda: {"a": {"acc": 0.5}}, every
    trainer.run()
    rows = read(tmp_path / "checkpoints" / "metrics.jsonl")
    assert [row["step"] for row in rows if "tasks" in row] == steps
    assert all(row["tasks"] == {"a": {"acc": 0.5}} for row in rows if "tasks" in row)


def test_timing_a_step_changes_nothing(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    before = [p.detach().clone() for p in trainer.optimizers.parameters]
    cursor, random = trainer.job.feed.rows.cursor, torch.get_rng_state()
    assert trainer.time_a_step() > 0
    assert trainer.job.feed.rows.cursor == cursor
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in trainer.optimizers.parameters)
    for a, b in zip(before, trainer.optimizers.parameters, strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, inside its compiler
def test_a_compiled_step_computes_what_the_eager_one_does(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    batch = global_of([trainer.job.feed.rows.batch(8)])
    eager = gradients(trainer, batch)
    trainer.job.model.compile()
    for a, b in zip(eager, gradients(trainer, batch), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_untrained_loss_is_that_of_the_uniform_distribution(tmp_path: Path) -> None:
    trainer = trainer_at(tmp_path)
    loss, n = trainer.job.model(trainer.job.feed.to_device(trainer.job.feed.rows.batch(8)))
    assert float(loss.detach()) / n == pytest.approx(math.log(64), rel=0.05)
