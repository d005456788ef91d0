"""Cards that the planner knows: memory, price, and the share of the peak that training reaches.

Peak rates are `core/hardware.py`'s. A price is one provider's list price on one day: it says where
it was read, and moves. An efficiency counts 6 FLOPs a parameter and token (6N) and is measured by
the source that it names, or says that it is assumed.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from smallm.core.errors import UserError
from smallm.core.hardware import peak_flops

GB = 1e9
# Of the CPU's own rate for one matrix product, what a training step of Transformers' Llama reached on two
# cores: 285 to 301 of 725 GFLOP/s, counting 6N (4M and 30M parameters, bf16, compiled).
CPU_EFFICIENCY = 0.40
# The efficiencies below were measured at width 768. Narrower matrices fill a large card less; that the
# share falls with the width is an assumption, on the cautious side.
FULL_WIDTH = 768
# A small model's step is bound by launching its kernels, not by the card: no forward and backward pass of a
# layer and its share of the optimiser's step is taken to be faster than this. Assumed.
SECONDS_PER_LAYER = 0.5e-3


@dataclass(frozen=True)
class Card:
    """One card. Memory in bytes, price in USD an hour for one card."""

    name: str
    driver_name: str
    memory_bytes: float
    bf16: bool
    price: float
    price_source: str
    efficiency: float
    efficiency_source: str

    @property
    def peak(self) -> float:
        """Dense FLOP/s: of bf16, or of float32 where the card has none (training does not use fp16 yet)."""
        if not self.bf16:
            return _FLOAT32[self.name]
        found = peak_flops(self.driver_name)
        if found is None:
            raise AssertionError(f"{self.name}: core/hardware.py has no peak rate for {self.driver_name}")
        return found[0]


_ASSUMED = "assumed, not measured"
_FLOAT32 = {"T4": 8.1e12}  # NVIDIA T4 datasheet: 8.1 TFLOP/s single precision
_NANOGPT = "nanoGPT's README: 124M, 295 B tokens in 4 days on 8 A100"
_TRACK3 = "modded-nanogpt track 3: 124M, 489,682 tokens/s on one H200"
_AWS = "AWS on demand, us-east-1, {}"
_RUNPOD = "RunPod, {}"

CARDS: tuple[Card, ...] = (
    Card("T4", "Tesla T4", 16 * GB, False, 0.526, _AWS.format("g4dn.xlarge"), 0.60, f"float32, {_ASSUMED}"),
    Card("L4", "NVIDIA L4", 24 * GB, True, 0.805, _AWS.format("g6.xlarge"), 0.30, _ASSUMED),
    Card("A10G", "NVIDIA A10G", 24 * GB, True, 1.006, _AWS.format("g5.xlarge"), 0.30, _ASSUMED),
    Card("RTX-3090", "NVIDIA GeForce RTX 3090", 24 * GB, True, 0.39, _RUNPOD.format("March 2026"), 0.35, _ASSUMED),
    Card("RTX-4090", "NVIDIA GeForce RTX 4090", 24 * GB, True, 0.60, _RUNPOD.format("March 2026"), 0.35, _ASSUMED),
    Card(
        "A100-40GB", "NVIDIA A100-SXM4-40GB", 40 * GB, True, 2.745,
        _AWS.format("an eighth of p4d.24xlarge, November 2026"), 0.25, _NANOGPT,
    ),
    Card(
        "A100-80GB", "NVIDIA A100-SXM4-80GB", 80 * GB, True, 1.79,
        _RUNPOD.format("Secure Cloud, SXM, November 2026"), 0.25, _NANOGPT,
    ),
    Card(
        "H100", "NVIDIA H100 80GB HBM3", 80 * GB, True, 3.99,
        _RUNPOD.format("Secure Cloud, SXM, November 2026"), 0.367, f"taken from the H200 ({_TRACK3})",
    ),
    Card(
        "H200", "NVIDIA H200", 141 * GB, True, 4.45, "Akash, SXM5, September 2026", 0.367, _TRACK3,
    ),
)  # fmt: skip
DEFAULT_CARDS = ("T4", "A100-80GB", "H200")


def card(name: str) -> Card:
    """The card called `name`, however it is written (`a100-80`, `rtx 4090`). Raises UserError when unknown."""
    wanted = _plain(name)
    by_name = {_plain(c.name): c for c in CARDS}
    by_name |= {"a100": by_name["a10080gb"], "a10040": by_name["a10040gb"], "a10080": by_name["a10080gb"]}
    by_name |= {"3090": by_name["rtx3090"], "4090": by_name["rtx4090"]}
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, 1)
    hint = f" Did you mean {by_name[near[0]].name}?" if near else ""
    raise UserError(f"--gpu {name}: not in the table; it has {', '.join(c.name for c in CARDS)}.{hint}")


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def efficiency_at(width: int, full: float) -> float:
    """The share of the peak reached at this width (see FULL_WIDTH)."""
    return full * min(1.0, width / FULL_WIDTH)
