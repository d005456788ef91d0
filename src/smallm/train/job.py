"""What one training is and where it stands: the loop's input, its state, the held-out rows, Ctrl-C.

`Job` is everything that differs between trainings; `State` is what a checkpoint keeps as JSON.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from smallm.core.config import TrainConfig
from smallm.core.console import say
from smallm.train.corpus import Corpus, Piece
from smallm.train.feed import Feed
from smallm.train.loss import LossModel
from smallm.train.pack import Cursor


@dataclass
class Validation:
    """Fixed held-out rows and the UTF-8 bytes of their text."""

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


@torch.no_grad()
def validate(job: Job) -> dict[str, float]:
    """Loss and bits per byte on the fixed held-out rows; eager, so that no second graph is compiled.

    Empty without held-out rows. A non-finite loss comes back as it is: the loop stops on it.
    """
    held_out, model = job.validation, job.model
    if held_out is None:
        return {}
    model.eval()
    n, sums = 0, list[Tensor]()
    for rows in held_out.batches:
        batch = job.feed.to_device(held_out.corpus.batch(rows, job.feed.rows.context))
        positions = None if batch.single and batch.borders is None else batch.positions_BT
        with job.autocast():
            sums.append(model.loss_sum(batch.input_ids_BT, batch.targets_BT, positions, batch.borders, None))
        n += batch.n_trained
    model.train()
    nats = float(torch.stack([value.double() for value in sums]).sum()) if sums else 0.0
    return {
        "validation_loss": nats / max(1, n),
        "validation_bits_per_byte": nats / math.log(2) / max(1, held_out.bytes),
    }


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
