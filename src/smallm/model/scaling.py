"""Scaling of rotary positions: contexts longer than the one that a model was first trained on.

`model.rope_scaling` is the dictionary that config.json has: `rope_type` and its keys. `linear` divides every frequency
by `factor`; `llama3` only the slow ones (Llama 3.1); `longrope` divides each by a factor of its own, from one list up
to `original_max_position_embeddings` tokens and from another beyond (Ding et al. 2024; Phi-3). Loads no torch.
"""

from __future__ import annotations

import math
from typing import Any

from smallm.core.errors import UserError

KINDS: dict[str, tuple[str, ...]] = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("factor", "original_max_position_embeddings", "short_factor", "long_factor"),
}
OPTIONAL = ("attention_factor",)
LISTS = ("short_factor", "long_factor")


def check_scaling(scaling: dict[str, Any], pairs: int) -> None:
    """UserError for an unknown kind, a missing, foreign or impossible key; `pairs` is how many channels' pairs turn."""
    kind = scaling.get("rope_type")
    if kind not in KINDS:
        raise UserError(
            f"rope_scaling: rope_type {kind} is not a switch of our decoder. It knows {', '.join(sorted(KINDS))}."
        )
    known = {"rope_type", *KINDS[kind], *OPTIONAL}
    if missing := [name for name in KINDS[kind] if name not in scaling]:
        raise UserError(f"rope_scaling: no {missing[0]}, which rope_type {kind} needs.")
    if foreign := sorted(set(scaling) - known):
        raise UserError(f"rope_scaling: {foreign[0]} is no key of rope_type {kind} ({', '.join(sorted(known))}).")
    for name, value in scaling.items():
        if name == "rope_type":
            continue
        if name in LISTS:
            if not isinstance(value, list) or len(value) != pairs or not all(_positive(x) for x in value):
                raise UserError(f"rope_scaling: {name} must be {pairs} positive numbers, one a rotated pair.")
        elif not _positive(value):
            raise UserError(f"rope_scaling: {name} is {value}; it must be a positive number.")
    if kind == "llama3" and scaling["high_freq_factor"] <= scaling["low_freq_factor"]:
        raise UserError("rope_scaling: high_freq_factor must be above low_freq_factor.")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and math.isfinite(value)


def switch_length(scaling: dict[str, Any] | None) -> int | None:
    """Texts of more tokens than this are rotated by the long factors; None where nothing switches."""
    if scaling is None or scaling["rope_type"] != "longrope":
        return None
    return int(scaling["original_max_position_embeddings"])


def attention_factor(scaling: dict[str, Any] | None) -> float:
    """What LongRoPE multiplies sines and cosines with: sqrt(1 + ln(factor) / ln(original length)), else 1."""
    if scaling is None or scaling["rope_type"] != "longrope":
        return 1.0
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    factor, original = float(scaling["factor"]), scaling["original_max_position_embeddings"]
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
