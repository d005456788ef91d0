"""The plan of a fine-tuning: does it fit, how long, what does it cost, and should it be 4-bit at all.

Hours are FLOPs over peak rate times a stated efficiency: 2 a parameter and token forward, 2 backward (a frozen weight
has no gradient of its own; 4 where every weight is trained), 2 again where layers are recomputed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smallm.core.config import FinetuneConfig, Recipe
from smallm.core.console import count, duration
from smallm.core.files import read_json
from smallm.core.hardware import peak_flops
from smallm.plan.memory import USABLE
from smallm.plan.shapes import Shape, shape_of
from smallm.plan.tables import CPU_EFFICIENCY, DEFAULT_CARDS, Card, card
from smallm.plan.tune_memory import TuneMemory, adapter_parameters, largest_rows, tune_memory

# The share of a card's 16-bit peak that fine-tuning with frozen weights reaches (a T4 is held back by its 70 W).
# Assumed, not measured.
EFFICIENCY, EFFICIENCY_OF, EFFICIENCY_SOURCE = 0.30, {"T4": 0.20}, "assumed, not measured"
# NF4 weights are dequantised at every use: 9 to 56 % more time (litgpt's table of resources, 1.3B to 3B).
NF4_SLOWDOWN = 1.3
# Below this, 4-bit weights save little and cost time and quality: 22 % of the memory at 1.3B with one row, nothing at
# 2.7B with four; .018 to .048 of the loss (litgpt's table of resources).
WORTH_4BIT = 1_000_000_000
# One decoding step of a batch of 16 answers of a 4B model in Transformers. Assumed, not measured.
DECODE_SECONDS, DECODE_ROWS = 0.1, 16
SECONDS_PER_LAYER = 1e-3  # launching a layer's kernels, adapters included, there and back. Assumed.


@dataclass(frozen=True)
class TuneFit:
    """One machine's answer. `rows` 0: does not fit. Hours are None where the number of steps is not known."""

    machine: str
    memory_bytes: float | None
    dtype: str
    rows: int
    checkpointing: bool
    memory: TuneMemory
    hours: float | None
    evaluation_hours: float | None
    cost: float | None
    source: str


@dataclass(frozen=True)
class TunePlan:
    """Everything that `smallm plan` says of a fine-tuning."""

    model: str
    parameters: int
    trained: int
    method: str
    max_length: int
    steps: int | None
    tokens: int | None
    machines: tuple[TuneFit, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_tuning(
    recipe: Recipe,
    gpus: Sequence[str] = (),
    *,
    run: Path | None = None,
    here: bool = True,
    as_packaged: bool = False,
) -> TunePlan:
    """The plan of the recipe's `finetune` for the cards named (by default three, and this machine)."""
    tune, shape = recipe.finetune, shape_of(recipe, as_packaged=as_packaged)
    steps = steps_of(tune, run)
    cards = [card(name) for name in gpus or DEFAULT_CARDS]
    machines = [_on_card(shape, tune, steps, c) for c in cards]
    if here and not gpus:
        machines.insert(0, _on_this_machine(shape, tune, steps))
    return TunePlan(
        model=shape.name,
        parameters=shape.parameters,
        trained=adapter_parameters(shape, tune),
        method="full" if tune.method == "full" else "QLoRA" if tune.load_in_4bit else "LoRA",
        max_length=tune.max_length,
        steps=steps,
        tokens=steps * tune.batch_rows * tune.max_length if steps else None,
        machines=tuple(machines),
        warnings=tuple(_warnings(shape, tune, machines)),
    )


def steps_of(tune: FinetuneConfig, run: Path | None) -> int | None:
    """Optimiser steps: as said, else by the examples that were read; None before that."""
    if tune.steps:
        return tune.steps
    path = run / "tokens" / tune.name / "manifest.json" if run else None
    if path is None or not path.is_file():
        return None
    shards = read_json(path)["splits"]["train"]["shards"]
    tokens = sum(shard.get("tokens", 0) * shard.get("weight", 1.0) for shard in shards)
    return max(1, math.ceil(tune.epochs * tokens / (tune.batch_rows * tune.max_length))) if tokens else None


def recommends_16_bits(parameters: int) -> str:
    """Why a small model should not be quantised to be tuned; '' where it may."""
    if parameters >= WORTH_4BIT:
        return ""
    return (
        f"{count(parameters)} parameters in 4 bits save little memory (activations weigh more; embeddings and head "
        "stay in 16 bits) and cost 9 to 56 % of the time and some quality: below 1B, LoRA on 16-bit weights is better "
        "(load_in_4bit: false)."
    )


def _warnings(shape: Shape, tune: FinetuneConfig, machines: list[TuneFit]) -> list[str]:
    found = [recommends_16_bits(shape.parameters)] if tune.load_in_4bit else []
    for fit in machines:
        if not fit.rows:
            smaller = "finetune.load_in_4bit: true, " if not tune.load_in_4bit and tune.method == "lora" else ""
            found.append(
                f"{fit.machine}: one row of {tune.max_length} tokens needs {count(fit.memory.total, 'B')}, more than "
                f"it has. Try {smaller}a smaller finetune.max_length or lora_r, or optimizer: paged_adamw8bit."
            )
    return [text for text in found if text]


def _fit(
    shape: Shape, tune: FinetuneConfig, available: float | None, *, half: bool, cuda: bool
) -> tuple[int, bool, TuneMemory]:
    """(rows, whether layers are recomputed, memory): recomputed only where not even one row would fit otherwise."""
    said = tune.activation_checkpointing
    for checkpointing in (False, True) if said == "auto" else (said == "on",):
        options = {"half": half, "cuda": cuda, "checkpointing": checkpointing}
        rows = tune.batch_rows if available is None else largest_rows(shape, tune, USABLE * available, **options)
        memory = tune_memory(shape, tune, rows=max(1, rows), **options)
        if rows:
            break
    return rows, checkpointing, memory


def flops_of(shape: Shape, tune: FinetuneConfig, tokens: int, *, checkpointing: bool) -> float:
    """FLOPs of a training on so many tokens; the output head counted for all of them."""
    multiplied = shape.matrices + shape.vocab_size * shape.width
    passes = (6 if tune.method == "full" else 4) + (2 if checkpointing else 0)
    return float(passes) * multiplied * tokens


def _hours(shape: Shape, tune: FinetuneConfig, steps: int, rows: int, checkpointing: bool, rate: float) -> float:
    tokens = steps * tune.batch_rows * tune.max_length
    slower = NF4_SLOWDOWN if tune.load_in_4bit else 1.0
    launched = steps * math.ceil(tune.batch_rows / max(1, rows)) * shape.layers * SECONDS_PER_LAYER
    return max(slower * flops_of(shape, tune, tokens, checkpointing=checkpointing) / rate, launched) / 3600


def _evaluation_hours(tune: FinetuneConfig) -> float:
    """Base and tuned write an answer to every test item, at most max_new_tokens each."""
    return 2 * math.ceil(tune.test_items / DECODE_ROWS) * tune.max_new_tokens * DECODE_SECONDS / 3600


def _on_card(shape: Shape, tune: FinetuneConfig, steps: int | None, card: Card) -> TuneFit:
    half = tune.dtype != "float32"
    rows, checkpointing, memory = _fit(shape, tune, card.memory_bytes, half=half, cuda=True)
    peak = peak_flops(card.driver_name)
    assert peak is not None  # a test holds that every card of the table has one
    share = EFFICIENCY_OF.get(card.name, EFFICIENCY)
    rate = share * (peak[0] if half else card.peak)
    hours = _hours(shape, tune, steps, rows, checkpointing, rate) if steps else None
    evaluation = _evaluation_hours(tune)
    cost = (hours + evaluation) * card.price if hours is not None else None
    dtype = "float32" if not half else "bfloat16" if card.bf16 else "float16"
    source = f"at {100 * share:.0f} % of its peak, {EFFICIENCY_SOURCE}"
    return TuneFit(card.name, card.memory_bytes, dtype, rows, checkpointing, memory, hours, evaluation, cost, source)


def _on_this_machine(shape: Shape, tune: FinetuneConfig, steps: int | None) -> TuneFit:
    from smallm.core import hardware
    from smallm.plan.time import matmul_flops

    device = hardware.pick_device()
    cuda = device.startswith("cuda")
    available, bf16 = hardware.available_bytes(device), hardware.has_bf16(device)
    half = tune.dtype != "float32" and (bf16 or cuda)
    rows, checkpointing, memory = _fit(shape, tune, available, half=half, cuda=cuda)
    if device == "cpu":
        peak, share = matmul_flops(half), CPU_EFFICIENCY
        source = f"at {100 * share:.0f} % of {peak / 1e9:.0f} GFLOP/s in one matrix product, measured now"
        name = f"this machine: {hardware.cores()} cores"
    else:
        peak, share = hardware.device_peak(device), EFFICIENCY
        name = f"this machine: {hardware.gpus()[0].name if cuda else device}"
        source = f"at {100 * share:.0f} % of its peak, {EFFICIENCY_SOURCE}" if peak else "its rate is not known"
    hours = _hours(shape, tune, steps, rows, checkpointing, share * peak) if steps and peak else None
    dtype = "float32" if not half else "bfloat16" if bf16 else "float16"
    return TuneFit(name, available, dtype, rows, checkpointing, memory, hours, None, None, source)


def render_tuning(plan: TunePlan) -> str:
    """The plan as text for a terminal."""
    share = 100 * plan.trained / plan.parameters
    steps = f"{plan.steps} steps, at most {count(plan.tokens or 0)} tokens" if plan.steps else "steps not known yet"
    lines = [
        f"  fine-tuning  {plan.method} of {plan.model}: {count(plan.parameters)} parameters, {count(plan.trained)} "
        f"trained ({share:.2g} %), rows of {plan.max_length} tokens, {steps}",
        "",
    ]
    if not plan.steps:
        lines[1:1] = ["               (without finetune.steps they are known when the examples have been read)"]
    width = max(len(fit.machine) for fit in plan.machines)
    for fit in plan.machines:
        has = count(fit.memory_bytes, "B") if fit.memory_bytes else "unknown memory"
        recomputed = ", layers recomputed" if fit.checkpointing else ""
        fits = (
            f"fits with {fit.rows} row{'s' if fit.rows != 1 else ''} at a time{recomputed}"
            if fit.rows
            else "does not fit"
        )
        took = f", {duration(3600 * fit.hours)}" if fit.hours is not None else ""
        if fit.evaluation_hours and took:
            took += f" and {duration(3600 * fit.evaluation_hours)} for base against tuned"
        cost = f", {fit.cost:.2f} USD" if fit.cost is not None else ""
        lines.append(f"  {fit.machine:<{width}}  {has:>7}: {fits} in {fit.dtype}{took}{cost}")
        lines.append(f"  {'':<{width}}  {_terms(fit.memory)}; {fit.source}")
    lines += ["", *(f"warning: {warning}" for warning in plan.warnings)]
    return "\n".join(lines).rstrip()


def _terms(memory: TuneMemory) -> str:
    terms = memory.as_dict()
    total = terms.pop("total")
    del terms["rows"]
    return f"{count(total, 'B')}: " + ", ".join(f"{k} {count(v, 'B')}" for k, v in terms.items() if v)


def arithmetic_of_tuning(recipe: Recipe, cards: Sequence[str] = ("T4", "A100-80GB")) -> str:
    """The comment that opens a packaged recipe with a fine-tuning: parameters, steps, memory, hours, cost."""
    plan = plan_tuning(recipe, cards, here=False, as_packaged=True)
    head = f"# {plan.method}: {count(plan.trained)} of {count(plan.parameters)} parameters trained"
    if plan.steps:
        head += f", {plan.steps:,} steps of at most {count(recipe.finetune.batch_rows * plan.max_length)} tokens"
    lines = [head + "."]
    for fit in plan.machines:
        rows = f"{fit.rows} row{'s' if fit.rows != 1 else ''} at a time"
        fits = f"{rows} in {count(fit.memory.total, 'B')}" if fit.rows else "does not fit"
        took = ""
        if fit.hours is not None and fit.evaluation_hours is not None:
            both = f"{duration(3600 * fit.hours)} + {duration(3600 * fit.evaluation_hours)} to compare"
            took = f", {both}, {fit.cost:,.2f} USD"
        share = EFFICIENCY_OF.get(fit.machine, EFFICIENCY)
        lines.append(f"#   {fit.machine:<9} tunes with {fits}{took}, at {100 * share:.0f} % of its peak")
    return "\n".join(lines)
