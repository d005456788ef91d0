"""Bytes that a training holds at its peak, term by term, and how many rows fit a machine.

The terms are `model/count.py`'s: float32 weights and gradients, the optimiser's state, what the
backward pass keeps of each layer, and one chunk of logits. Left out: the allocator's waste and the
libraries themselves, for which `USABLE` leaves room.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from smallm.core.config import ModelConfig, Recipe, TrainConfig
from smallm.core.console import count
from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.model.count import bytes_of_training
from smallm.model.presets import complete

if TYPE_CHECKING:
    from smallm.core.run import Run

# Positions in one chunk of the loss when the recipe leaves it open.
LOSS_CHUNK = 2048
# Of a machine's memory, what a plan may fill: the allocator's waste and other processes need the rest.
USABLE = 0.9


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one training step with `rows` rows in a forward pass, by what they are for."""

    rows: int
    weights: int
    gradients: int
    optimizer: int
    casts: int
    activations: int
    logits: int
    total: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def training_memory(model: ModelConfig, train: TrainConfig, *, half: bool, rows: int) -> TrainingMemory:
    """The peak of one training step of a complete `model`; `half`: activations in 16 bits (autocast)."""
    terms = bytes_of_training(
        model,
        rows * model.context,
        optimizer=train.optimizer,
        activation_bytes=2 if half else 4,
        checkpointing=train.activation_checkpointing,
        loss_chunk=train.loss_chunk or LOSS_CHUNK,
    )
    return TrainingMemory(rows=rows, **terms)


def largest_rows(model: ModelConfig, train: TrainConfig, available: float, *, half: bool) -> int:
    """How many rows fit one forward pass (at most a whole batch); 0 when not even one does."""
    most = max(1, train.batch_tokens // model.context)
    rows, step = 0, 1 << (most.bit_length() - 1)
    while step:
        if rows + step <= most and training_memory(model, train, half=half, rows=rows + step).total <= available:
            rows += step
        step //= 2
    return rows


def refuse_if_too_large(recipe: Recipe, run: Run) -> None:
    """Raises UserError, before any training, when one row does not fit this machine's free memory."""
    from smallm.core import hardware

    device = hardware.pick_device()
    available = hardware.available_bytes(device)
    if available is None or recipe.train.init_from:  # the shape is then the other model's
        return
    model = complete(recipe.model, _vocabulary(recipe, run))
    half = recipe.train.dtype != "float32" and hardware.has_bf16(device)
    needed = training_memory(model, recipe.train, half=half, rows=max(1, recipe.train.micro_batch))
    if needed.total <= available:
        return
    remedy = "train.activation_checkpointing: true, a smaller model.context, or fewer model.layers or model.width"
    if recipe.train.micro_batch > 1:
        remedy = f"train.micro_batch below {recipe.train.micro_batch} (0 decides by itself), " + remedy
    parts = ", ".join(f"{k} {count(v, 'B')}" for k, v in needed.as_dict().items() if k not in ("total", "rows") and v)
    raise UserError(
        f"This training needs about {count(needed.total, 'B')} ({parts}); {device} has {count(available, 'B')} free. "
        f"Set {remedy}. `smallm plan` shows which cards it fits."
    )


def _vocabulary(recipe: Recipe, run: Run) -> int:
    """The trained tokenizer's size, or the recipe's."""
    try:
        return int(read_json(run.path / "tokenizer" / "report.json")["vocab_size"])
    except (OSError, ValueError, KeyError):
        return recipe.tokenizer.vocab_size
