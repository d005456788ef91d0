"""Steps that leave no trace: to compile the training step, to time it, to see whether it fits.

Each runs real batches and then puts back what it moved: the generators, the rows' cursor and tally, the gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from smallm.core.console import say
from smallm.train import checkpoint
from smallm.train.decide import time_of
from smallm.train.feed import Global, synchronise

if TYPE_CHECKING:
    from smallm.train.loop import Trainer


@contextmanager
def without_trace(trainer: Trainer) -> Iterator[None]:
    """Afterwards the generators, the rows and the gradients are as they were."""
    random, rows = checkpoint.random_state(), trainer.job.feed.rows
    cursor, tally = rows.cursor, rows.tally
    rows.tally = type(tally)()
    try:
        yield
    finally:
        trainer.optimizers.zero_grad()
        rows.cursor, rows.tally = cursor, tally
        checkpoint.restore_random_state(random)


def compile_step(trainer: Trainer) -> None:
    """Compile, and run each shape of micro-batch once."""
    job = trainer.job
    say("compiling the training step; this takes a minute or so")
    with without_trace(trainer):
        job.model.compile()
        if job.device.startswith("cuda"):
            trainer.optimizers.compile()
        shapes = {len(p.input_ids_BT): p for p in next(iter(job.feed.batches(1))).parts}
        for part in shapes.values():
            with job.autocast():
                loss, _ = job.model(job.feed.to_device(part))
            loss.backward()
        trainer.optimizers.zero_grad()
        synchronise(job.device)


def time_a_step(trainer: Trainer) -> float:
    """Seconds of an eager forward and backward pass of one global batch."""
    job = trainer.job
    with without_trace(trainer):
        cursor = job.feed.rows.cursor
        part, *rest = next(iter(job.feed.batches(1))).parts

        def work() -> None:
            trainer.backward(Global([part], part.n_trained, [], cursor))
            trainer.optimizers.zero_grad()

        job.model.train()
        return time_of(work, job.device) * (1 + len(rest))


def fit(trainer: Trainer) -> int:
    """Halve the micro-batch until a forward and backward pass of it fits; the rows that fit. One row must.

    Raises torch.OutOfMemoryError when not even one does. Tried where the device says so (CUDA).
    """
    job = trainer.job
    job.model.train()
    while True:
        try:
            with without_trace(trainer):
                cursor = job.feed.rows.cursor
                parts = next(iter(job.feed.batches(1))).parts
                largest = max(parts, key=lambda part: part.input_ids_BT.numel())
                trainer.backward(Global([largest], largest.n_trained, [], cursor))
            return job.feed.micro
        except torch.OutOfMemoryError:
            if job.feed.micro == 1:
                raise
            say(f"micro-batches of {job.feed.micro} rows do not fit; trying {job.feed.micro // 2}")
            job.feed.micro //= 2
            trainer.optimizers.zero_grad()
            if job.device.startswith("cuda"):
                torch.cuda.empty_cache()
