"""What one training is and where it stands: the loop's input, its state, the held-out rows, Ctrl-C.

`Job` is everything that differs between trainings; `State` is what a checkpoint keeps as JSON.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from smallm.core.config import TrainConfig
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.train import checkpoint
from smallm.train.corpus import Corpus, Piece
from smallm.train.distributed import World
from smallm.train.feed import Feed
from smallm.train.loss import LossModel
from smallm.train.pack import Cursor


@dataclass
class Validation:
    """Fixed held-out rows and the UTF-8 bytes of their trained text (0: not known, and no bits per byte)."""

    corpus: Corpus
    batches: list[list[list[Piece]]]
    bytes: int


@dataclass
class Job:
    """Everything that one training is."""

    model: LossModel
    feed: Feed
    train: TrainConfig
    total: int  # optimiser steps
    directory: Path  # checkpoints and journals
    validation: Validation | None = None
    dtype: str = "float32"
    compile: bool = False
    sample: Callable[[int], list[dict[str, Any]]] | None = None  # step -> rows {prompt, text, seed}
    tasks: Callable[[], dict[str, dict[str, float]]] | None = None  # the model as it is -> {task: {metric: value}}
    tasks_every: int = 0  # steps between calls of `tasks`; the first and the last one always
    flops_per_token: float = 0.0
    peak_flops: float | None = None
    optimizer: str = ""  # instead of train.optimizer: adamw8bit, paged_adamw8bit
    scaler: bool = False  # float16: scale the loss
    keep_best: bool = False  # the result is the checkpoint of the lowest validation loss
    patience: int = 0  # stop after so many validations without a better one; 0 = never
    checkpoint_minutes: float = 0.0  # and at least every so many minutes; 0 = by steps alone
    section: str = "train"  # of the recipe, for messages
    world: World = field(default_factory=World)

    @property
    def device(self) -> str:
        return self.feed.device

    def autocast(self) -> AbstractContextManager[Any]:
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.split(":")[0], dtype=getattr(torch, self.dtype))


@dataclass
class State:
    """Where a training stands; JSON in the checkpoint. `loss_*` are sums since the last row of metrics."""

    step: int = 0
    tokens: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    cursor: dict[str, int] = field(default_factory=lambda: asdict(Cursor()))
    total: int = 0
    trained_tokens: int = 0
    scale: dict[str, float] = field(default_factory=dict)  # of the loss, in float16
    best_loss: float | None = None
    best_step: int = 0
    since_best: int = 0  # validations
    stopped: bool = False  # early, by `patience`
    dtype: str = ""  # of the products, on the device that took the last steps


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Look at the model in evaluation mode; every module's mode and the generators are then as they were."""
    random, modes = checkpoint.random_state(), [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        model.train()  # some modules act on the call, not on the flag
        for module, mode in modes:
            module.training = mode
        checkpoint.restore_random_state(random)


@torch.no_grad()
def validate(job: Job) -> dict[str, float]:
    """Loss and bits per byte on the fixed held-out rows; eager, so that no second graph is compiled.

    Logits of trained tokens alone, a chunk at a time; every rank takes its share of the batches. Empty without
    held-out rows. A non-finite loss comes back as it is: the loop stops on it.
    """
    held_out, model, world = job.validation, job.model, job.world
    if held_out is None:
        return {}
    n, sums = 0, [torch.zeros((), dtype=torch.float32, device=job.device)]
    with looking(model):
        for rows in held_out.batches[world.rank :: world.size]:
            ready = job.feed.ready(held_out.corpus.batch(rows, job.feed.rows.context))
            batch = job.feed.to_device(ready, training=False)
            positions = None if batch.single and batch.borders is None else batch.positions_BT
            with job.autocast():
                inputs = (batch.input_ids_BT, batch.targets_BT, positions, batch.borders, batch.trained_N)
                sums.append(model.loss_sum(*inputs).float())
            n += batch.n_trained
    nats = math.fsum(torch.stack(sums).tolist())
    if world.size > 1:
        both = world.sum(torch.tensor([nats, float(n)], dtype=torch.float64, device=job.device)).tolist()
        nats, n = both[0], int(both[1])
    found = {"validation_loss": nats / max(1, n)}
    if held_out.bytes:
        found["validation_bits_per_byte"] = nats / math.log(2) / held_out.bytes
    return found


def diverged(job: Job, step: int, document_ids: list[str], what: str) -> str:
    """What to tell the user whose training diverged at `step`."""
    steps = checkpoint.steps_in(job.directory)
    good = checkpoint.path_of(job.directory, steps[0]) if steps else None
    shown = ", ".join(document_ids[:8]) + (f" and {len(document_ids) - 8} more" if document_ids[8:] else "")
    muon = " or train.muon_learning_rate" if job.section == "train" else ""
    return (
        f"training diverged at step {step}: {what}. Documents of its batch: {shown}. "
        + (f"The last good checkpoint is {good}. " if good else "No checkpoint was written yet. ")
        + f"Lower {job.section}.learning_rate{muon}, or add {job.section}.warmup_steps."
    )


@contextmanager
def fits(job: Job) -> Iterator[None]:
    """UserError where the device's memory ran out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(out_of_memory(job)) from error


def out_of_memory(job: Job) -> str:
    """What to tell the user when a step did not fit."""
    rows = max(1, job.feed.micro // 2)
    if job.section == "train":
        return (
            f"out of memory with micro-batches of {job.feed.micro} rows. Set train.micro_batch to {rows}, "
            "or train.activation_checkpointing: true."
        )
    return (
        f"out of memory with micro-batches of {job.feed.micro} rows of {job.feed.rows.context} tokens. Set "
        f"finetune.micro_rows to {rows}, finetune.activation_checkpointing: on, or a smaller finetune.max_length; "
        "finetune.load_in_4bit: true takes a quarter of the memory of 16-bit weights."
    )


class Interruptible(Protocol):
    """What a Ctrl-C is noted on."""

    interrupted: bool


class interrupt_after_the_step:  # noqa: N801  (reads as what it does)
    """Ctrl-C ends the step, writes a checkpoint, then stops; a second one stops at once."""

    def __init__(self, trainer: Interruptible) -> None:
        self.trainer, self.before = trainer, None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        if self.trainer.interrupted:
            raise KeyboardInterrupt
        self.trainer.interrupted = True
        say("stopping after this step, with a checkpoint (Ctrl-C again stops at once)")

    def __exit__(self, *error: Any) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
