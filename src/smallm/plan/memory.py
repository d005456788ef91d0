"""Bytes that a training holds at its peak, term by term, from the shape alone.

Counted: float32 weights and gradients, the optimiser's state, what the backward pass keeps of each
layer, and one chunk of logits. Left out: the allocator's waste and the libraries themselves.
Letters: B rows, T tokens in a row, D width, H heads, K key-value heads, C head width,
F feed-forward width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from smallm.core.config import ModelConfig, Recipe, TrainConfig
from smallm.core.console import count
from smallm.core.errors import UserError
from smallm.model.count import parameters
from smallm.model.presets import complete, ffn_width, sizes

if TYPE_CHECKING:
    from smallm.core.run import Run

# Positions in one chunk of the loss when the recipe leaves it open.
LOSS_CHUNK = 2048
# Of the memory at hand, what a plan may fill: the allocator's waste and other processes need the rest.
USABLE = 0.9


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes. `activations` are those of `rows` rows in one forward pass."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    rows: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def as_dict(self) -> dict[str, int]:
        return asdict(self) | {"total": self.total}


def training_memory(model: ModelConfig, train: TrainConfig, *, half: bool, rows: int) -> TrainingMemory:
    """The peak of one training step of a complete `model` with `rows` rows a forward pass.

    `half`: activations in 16 bits (autocast), where a 16-bit copy of the weights is held besides.
    """
    P, T = parameters(model), model.context
    matrices = matrix_parameters(model) if train.optimizer == "muon" else 0
    item = 2 if half else 4
    layer = layer_bytes_per_token(model, item)
    # Checkpointing keeps each block's input and recomputes one block at a time.
    kept = model.layers * item * model.width + layer if train.activation_checkpointing else model.layers * layer
    kept += 2 * item * model.width + 4 * model.width  # the embedding's output, and the final norm in float32
    positions = min(train.loss_chunk or LOSS_CHUNK, rows * T)
    return TrainingMemory(
        weights=4 * P + (2 * P if half else 0),
        gradients=4 * P,
        optimizer=4 * matrices + 8 * (P - matrices),  # Muon keeps one moment, AdamW two, in float32
        activations=rows * T * kept,
        logits=positions * model.vocab_size * (2 * 4 + item),  # logits, their float32 copy, and the gradient
        rows=rows,
    )


def matrix_parameters(model: ModelConfig) -> int:
    """Parameters of the blocks' matrices: what Muon trains."""
    H, K, C = sizes(model)
    D, F = model.width, ffn_width(model)
    return model.layers * (2 * D * H * C + 2 * D * K * C + (3 if model.mlp == "swiglu" else 2) * D * F)


def layer_bytes_per_token(model: ModelConfig, item: int) -> int:
    """What one block keeps of one token for the backward pass, in bytes; `item` bytes an activation.

    Norms keep their input in float32; a linear layer keeps its input, attention its queries, keys,
    values and output, the MLP its inner activations.
    """
    H, K, C = sizes(model)
    D, F = model.width, ffn_width(model)
    norms = 2 * (4 + item) * D  # input in float32, output as the next layer's input
    projections = (H + 2 * K) * C * item
    if model.qk_norm:
        projections += (H + K) * C * (4 + item)
    if model.position == "rope":
        projections += (H + K) * C * item
    attention = H * C * item + 4 * H  # the output, and one log-sum-exp a head
    inner = {"swiglu": 4, "gelu": 2, "relu2": 3}[model.mlp or "swiglu"] * F * item
    return norms + projections + attention + inner


def largest_rows(model: ModelConfig, train: TrainConfig, available: float, *, half: bool) -> int:
    """How many rows fit one forward pass (at most a whole batch); 0 when not even one does."""
    most = max(1, train.batch_tokens // model.context)
    rows = 0
    step = 1 << (most.bit_length() - 1)
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
    if available is None or recipe.train.init_from:
        return
    model = complete(recipe.model, _vocabulary(recipe, run))
    half = recipe.train.dtype != "float32" and hardware.has_bf16(device)
    needed = training_memory(model, recipe.train, half=half, rows=max(1, recipe.train.micro_batch))
    if needed.total <= available:
        return
    remedy = "train.activation_checkpointing: true, a smaller model.context, or fewer model.layers or model.width"
    if recipe.train.micro_batch > 1:
        remedy = f"train.micro_batch below {recipe.train.micro_batch} (0 decides by itself), " + remedy
    parts = ", ".join(f"{k} {count(v, 'B')}" for k, v in needed.as_dict().items() if k not in ("total", "rows"))
    raise UserError(
        f"This training needs about {count(needed.total, 'B')} ({parts}); {device} has {count(available, 'B')} free. "
        f"Set {remedy}. `smallm plan` shows which cards it fits."
    )


def _vocabulary(recipe: Recipe, run: Run) -> int:
    """The trained tokenizer's size, or the recipe's."""
    from smallm.core.files import read_json

    try:
        return int(read_json(run.path / "tokenizer" / "report.json")["vocab_size"])
    except (OSError, ValueError, KeyError):
        return recipe.tokenizer.vocab_size
