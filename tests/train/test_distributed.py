"""Laws of train/distributed.py, on two gloo ranks in this process tree: sums, untrained rows, one stop for all."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from train.tokens import documents_of, write_shard

from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.files import write_json
from smallm.model.decoder import Decoder
from smallm.train import checkpoint, distributed
from smallm.train.corpus import Corpus
from smallm.train.distributed import World
from smallm.train.feed import Feed
from smallm.train.job import Job, Validation
from smallm.train.loop import Trainer
from smallm.train.loss import LossModel
from smallm.train.pack import Rows, held_out_rows

T, ROWS = 24, 6
LENGTHS = (9, 23, 5, 14, 3, 19, 7) * 12


def masked(path: Path, trained: Any) -> Corpus:
    documents = documents_of(LENGTHS, seed=3)
    shard = write_shard(path, documents)
    mask = torch.cat([torch.tensor([trained(i, n) for n in range(len(d))]) for i, d in enumerate(documents)])
    return Corpus([shard], 64, masks=[mask.to(torch.uint8).numpy()])


def trainer_of(path: Path, world: World, trained: Any, *, micro: int = 2, total: int = 4) -> Trainer:
    corpus = masked(path / f"train-{world.rank}.bin", trained)
    decoder = Decoder(ModelConfig(layers=2, width=32, heads=2, context=T, vocab_size=64, zero_init_projections=False))
    rows = Rows(corpus, T, 0, whole=True)
    feed = Feed(rows, ROWS, micro, "cpu", "sdpa", trim=True, rank=world.rank, world=world.size)
    held_out = Validation(corpus, held_out_rows(corpus, T, 2), 1000)
    train = TrainConfig(optimizer="adamw", grad_clip=0.1, validate_every=2, log_every=1)
    return Trainer(Job(LossModel(decoder), feed, train, total, path / "checkpoints", held_out, world=world))


def late(i: int, n: int) -> bool:
    """The last tokens of a document; of every third one only one."""
    return n >= LENGTHS[i] - (1 if i % 3 == 0 else LENGTHS[i] // 2)


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Of one global batch, before and after clipping, and what it counted."""
    batch = next(iter(trainer.job.feed.batches(1)))
    loss = trainer.job.world.sum(trainer.backward(batch).clone())
    found = {"loss": loss, "n": torch.tensor(batch.n_trained)}
    return found | {f"g{i}": p.grad.clone() for i, p in enumerate(trainer.optimizers.parameters) if p.grad is not None}


def work(rank: int, size: int, port: int, path: str, task: str) -> None:
    torch.set_num_threads(1)
    for name, value in {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        os.environ[name] = str(value)
    world = distributed.join("cpu", ROWS)
    folder = Path(path)
    try:
        if task == "gradients":
            torch.save(gradients(trainer_of(folder, world, late)), folder / f"{rank}.pt")
        elif task == "untrained":
            trainer = trainer_of(folder, world, late)
            batch = next(iter(trainer.job.feed.batches(1)))
            if rank == 1:
                for i, part in enumerate(batch.parts):
                    none = torch.full_like(part.targets_BT, -100)
                    batch.parts[i] = trainer.job.feed.ready(dataclasses.replace(part, targets_BT=none, n_trained=0))
            trainer.step(batch)
            torch.save({n: p.detach() for n, p in trainer.trained().items()}, folder / f"{rank}.pt")
        elif task == "interrupt":
            trainer = trainer_of(folder, world, late, total=30)
            if rank == 1:
                backward = trainer.backward

                def told(batch: Any) -> torch.Tensor:
                    if trainer.state.step == 4:
                        os.kill(os.getpid(), signal.SIGINT)
                    return backward(batch)

                trainer.backward = told  # type: ignore[method-assign]
            try:
                trainer.run()
            except KeyboardInterrupt:
                write_json(folder / f"{rank}.json", {"step": trainer.state.step})
    finally:
        distributed.leave()


def spawn(path: Path, task: str, size: int = 2) -> None:
    from finetune.test_ddp import free_port

    mp.spawn(work, args=(size, free_port(), str(path), task), nprocs=size)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_two_ranks_have_the_gradient_of_one_at_unequal_lengths(tmp_path: Path) -> None:
    spawn(tmp_path, "gradients")
    one = gradients(trainer_of(tmp_path, World(), late, micro=ROWS))
    for rank in (0, 1):
        two = torch.load(tmp_path / f"{rank}.pt")
        assert two.keys() == one.keys()
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_rank_whose_rows_have_no_trained_token_works_and_stays_equal(tmp_path: Path) -> None:
    spawn(tmp_path, "untrained")
    a, b = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, value in a.items():
        assert torch.isfinite(value).all()
        assert torch.equal(b[name], value)


@pytest.mark.slow
def test_one_rank_that_is_told_to_stop_stops_them_all_after_the_same_step(tmp_path: Path) -> None:
    spawn(tmp_path, "interrupt")
    steps = {(tmp_path / f"{rank}.json").read_text() for rank in (0, 1)}
    assert len(steps) == 1
    assert '"step": 5' in steps.pop()
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [5]
