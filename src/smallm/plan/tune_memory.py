"""Bytes that a fine-tuning holds at its peak, term by term: LoRA, QLoRA and full, by the model's shape alone.

Terms (a: bytes of a number in the arithmetic, 2 or 4; N: tokens of one forward pass; L layers, D width, F inner width):
frozen weights; adapters and their gradients and optimiser state in float32; what the backward pass keeps (with
checkpointing one input a layer and one layer at a time); the loss's chunk of logits, of trained tokens alone; one
dequantised matrix; the CUDA context. Left out: the allocator's waste, for which `USABLE` leaves room.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from smallm.core.config import FinetuneConfig
from smallm.plan.shapes import Shape

# NF4: 4 bits, an 8-bit scale for 64 weights, and a float32 scale of 256 of those (Dettmers et al. 2023, section 3).
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
# Bytes of optimiser state a trained parameter: two moments in float32, or in 8 bits with a scale for 256.
STATE_BYTES = {"adamw": 8.0, "adamw8bit": 2 + 8 / 256, "paged_adamw8bit": 2 + 8 / 256}
# What the driver, its libraries and their workspaces take beside tensors. Assumed: 0.4 to 0.8 GB are seen.
CUDA_CONTEXT = 0.6e9
# The loss keeps at most so many bytes of float32 logits at a time (train/loss.py's CHUNK_BYTES), and about two more
# copies in the arithmetic's type.
LOGITS_CHUNK = {"cuda": 1 << 30, "cpu": 16 << 20}


@dataclass(frozen=True)
class TuneMemory:
    """Bytes of one step with `rows` rows of `length` tokens in a forward pass."""

    rows: int
    weights: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    dequantised: int
    context: int
    total: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def adapter_parameters(shape: Shape, tune: FinetuneConfig) -> int:
    """Trained parameters: r (in + out) for each matrix with an adapter (LoRA, equation 3); all for `full`."""
    if tune.method == "full":
        return shape.parameters
    wanted = tune.lora_target_modules
    chosen = [x for x in shape.linears if wanted == "all-linear" or x.name in wanted]
    lora = sum(tune.lora_r * (x.inputs + x.outputs) * x.count for x in chosen)
    magnitudes = sum(x.outputs * x.count for x in chosen) if tune.use_dora else 0
    saved = sum(
        shape.vocab_size * shape.width for name in tune.lora_modules_to_save if "embed" in name or "head" in name
    )
    return lora + magnitudes + saved


def tune_memory(
    shape: Shape, tune: FinetuneConfig, *, rows: int, half: bool, cuda: bool, checkpointing: bool
) -> TuneMemory:
    """The peak of one optimiser step. `half`: 16-bit arithmetic and frozen weights."""
    a, N = 2 if half else 4, rows * tune.max_length
    trained, full = adapter_parameters(shape, tune), tune.method == "full"
    if full:
        weights = 4 * shape.parameters
    elif tune.load_in_4bit:
        weights = int(NF4_BYTES * shape.matrices) + a * (shape.tables + shape.other)
    else:
        weights = a * shape.parameters
    layer = layer_bytes_per_token(shape, tune, a)
    kept = shape.layers * shape.width * a + layer if checkpointing else shape.layers * layer
    largest = max((x.inputs * x.outputs for x in shape.linears), default=0)
    logits = min(N * shape.vocab_size * 4, LOGITS_CHUNK["cuda" if cuda else "cpu"])
    terms = {
        "weights": weights,
        "adapters": 0 if full else 4 * trained,
        "gradients": 4 * trained,
        "optimizer": int(STATE_BYTES[tune.optimizer] * trained),
        # The final norm's float32 input and output, and the gradient of the hidden states.
        "activations": N * (kept + shape.width * (4 + 2 * a)),
        "logits": logits * (4 + 2 * a) // 4 if half else 2 * logits,
        "dequantised": a * largest if tune.load_in_4bit else 0,
        "context": int(CUDA_CONTEXT) if cuda else 0,
    }
    return TuneMemory(rows=rows, **terms, total=sum(terms.values()))


def layer_bytes_per_token(shape: Shape, tune: FinetuneConfig, a: int) -> int:
    """Bytes that autograd keeps of one token in one layer, with a fused attention kernel.

    A frozen matrix keeps no input; the adapter beside it does (queries, keys and values share theirs). Norms keep their
    float32 input and their output.
    """
    D, F = shape.width, shape.ffn_width
    heads, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    norms = 2 * D * (4 + a)
    inputs = (2 * D + heads + F) * a
    attention = (2 * heads + 2 * keys) * a
    inner = 3 * F * a if any(x.name in ("gate_proj", "gate_up_proj") for x in shape.linears) else 2 * F * a
    ranks = sum(x.count for x in shape.linears) / max(1, shape.layers) * tune.lora_r * 4
    return int(norms + inputs + attention + inner + (0 if tune.method == "full" else ranks))


def largest_rows(
    shape: Shape, tune: FinetuneConfig, available: float, *, half: bool, cuda: bool, checkpointing: bool
) -> int:
    """How many rows fit one forward pass (at most a whole batch); 0 when not even one does."""
    rows = tune.micro_rows or tune.batch_rows
    while rows and (
        tune_memory(shape, tune, rows=rows, half=half, cuda=cuda, checkpointing=checkpointing).total > available
    ):
        rows = 0 if tune.micro_rows else rows // 2
    return rows
