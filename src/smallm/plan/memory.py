"""Bytes that a training holds at its peak, term by term, and how many rows fit a machine.

The terms are `model/count.py`'s: float32 weights and gradients, the optimiser's state, what the
backward pass keeps of each layer, and one chunk of logits. Left out: the allocator's waste and the
libraries themselves, for which `USABLE` leaves room.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from smallm.core.config import ModelConfig, TrainConfig
from smallm.model.count import bytes_of_training

# Positions in one chunk of the loss when the recipe leaves it open.
LOSS_CHUNK = 2048
# Of a machine's memory, what a plan may fill, as train/decide.py does: fragments and evaluation need the rest.
USABLE = 0.8


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
        masked=not half or model.dropout > 0,  # cards that compute in 16 bits have varlen
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
