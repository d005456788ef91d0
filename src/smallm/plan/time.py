"""FLOPs, hours and money of a training, on cards from the table and on this machine.

Hours are FLOPs (6N a token, N all parameters that multiply) over peak rate times a stated efficiency.
Nothing here is a promise: an efficiency says who measured it, or that it is assumed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.errors import UserError
from smallm.plan.memory import USABLE, largest_rows, training_memory
from smallm.plan.tables import CPU_EFFICIENCY, SECONDS_PER_LAYER, Card, efficiency_at


@dataclass(frozen=True)
class Fit:
    """One machine's answer. Hours None: its rate is not known; cost None: own machine. `rows` 0: does not fit."""

    machine: str
    memory_bytes: float | None
    rows: int
    needs_bytes: int
    hours: float | None
    cost: float | None
    efficiency: float
    source: str


def on_card(model: ModelConfig, train: TrainConfig, flops: float, card: Card) -> Fit:
    """Does it fit this card, how long does it take, what does it cost."""
    half = train.dtype != "float32" and card.bf16
    rows = largest_rows(model, train, USABLE * card.memory_bytes, half=half)
    efficiency = efficiency_at(model.width, card.efficiency)
    steps = train.tokens / train.batch_tokens
    hours = max(flops / (card.peak * efficiency), steps * model.layers * SECONDS_PER_LAYER) / 3600
    # Where launching kernels bounds it, the share of the peak that is left.
    efficiency = flops / (3600 * hours * card.peak)
    needs = training_memory(model, train, half=half, rows=max(1, rows)).total
    return Fit(card.name, card.memory_bytes, rows, needs, hours, hours * card.price, efficiency, card.efficiency_source)


def on_this_machine(model: ModelConfig, train: TrainConfig, flops: float) -> Fit:
    """The same for the machine that this runs on: a GPU by its cited peak, a CPU by measuring it now."""
    from smallm.core import hardware
    from smallm.plan.tables import CARDS

    device = hardware.pick_device()
    available = hardware.available_bytes(device)
    half = train.dtype != "float32" and hardware.has_bf16(device)
    rows = largest_rows(model, train, USABLE * available, half=half) if available else 1
    needs = training_memory(model, train, half=half, rows=max(1, rows)).total
    if device == "cpu":
        rate, efficiency = matmul_flops(half), CPU_EFFICIENCY
        name = f"this machine: {hardware.cores()} cores, {'bf16' if half else 'float32'}"
        source = f"of {rate / 1e9:.0f} GFLOP/s in one matrix product, measured now; the share as Transformers' here"
    else:
        found = hardware.gpus()
        name = f"this machine: {found[0].name if found else device}"
        cited = hardware.peak_flops(found[0].name) if found else None
        known = next((c for c in CARDS if cited and hardware.peak_flops(c.driver_name) == cited), None)
        rate = known.peak if known else cited[0] if cited and half else None
        efficiency = efficiency_at(model.width, known.efficiency if known else 0.3)
        source = known.efficiency_source if known else "assumed, not measured"
    hours = flops / (rate * efficiency) / 3600 if rate else None
    return Fit(name, available, rows, needs, hours, None, efficiency, source)


def matmul_flops(half: bool, size: int = 1024, seconds: float = 0.3) -> float:
    """FLOP/s of this CPU in square matrix products, best of a few tries; takes about `seconds`."""
    import torch

    a = torch.randn(size, size, dtype=torch.bfloat16 if half else torch.float32)
    with torch.no_grad():
        torch.mm(a, a)  # the first product starts the threads
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            torch.mm(a, a)
            best = min(best, time.perf_counter() - began)
    if not best or best == float("inf"):
        raise UserError("This machine's clock does not advance; its speed cannot be measured.")
    return 2 * size**3 / best
