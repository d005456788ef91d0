"""Which position encoding a model uses, as data to draw: read from its modules and configuration, never guessed.

Rotary: the frequencies of its buffers, so that every scaling is in them. Learned and sinusoidal: the table's rows.
ALiBi: its slopes. A window: how far back each layer may look. Of our decoder all of it is known; in a model of others
what is not found is called not recognised, never absent. Letters: T positions, R rotated pairs, D width, X table rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smallm.explain.subject import Subject
from smallm.model.scaling import switch_length

Array = np.ndarray
# Positions of a table that are drawn: beyond, every k-th.
DRAWN = 128
CHANNELS = 64


@dataclass(frozen=True)
class Rotary:
    """`frequency_R`: radians a position turns each pair of channels; `scale`: of cosines and sines (LongRoPE).

    `closeness_T`: the mean of cos(distance * frequency) over the pairs: how alike two equal vectors look at a distance.
    """

    name: str
    frequency_R: Array
    scale: float
    channels: int
    closeness_T: Array


@dataclass(frozen=True)
class Table:
    """A row a position. `kind`: learned or sinusoidal; `similarity_TT`: cosine between whole rows.

    `rows_TD`: at most DRAWN rows, those of `positions_T`, and CHANNELS columns.
    """

    kind: str
    size: tuple[int, int]
    positions_T: list[int]
    rows_TD: Array
    similarity_TT: Array


@dataclass(frozen=True)
class Positions:
    """`kind`: rotary, learned, sinusoidal, alibi, none, or unknown (not recognised in a model of others).

    `windows`: of each layer, None where it sees everything.
    """

    kind: str
    about: str
    context: int
    rotary: list[Rotary] = field(default_factory=list)
    table: Table | None = None
    slopes: list[float] = field(default_factory=list)
    windows: list[int | None] = field(default_factory=list)


@torch.inference_mode()
def positions_of(subject: Subject, layers: int, length: int) -> Positions:
    """The encoding of a model of so many layers, drawn for a prompt of `length` tokens."""
    windows = layer_windows(subject.config, layers)
    shared: dict[str, Any] = {"context": subject.context, "windows": windows}
    if found := rotary_of_ours(subject, length) if subject.ours else rotary(subject, length):
        turned, of = 2 * len(found[0].frequency_R), found[0].channels
        part = f"{turned} of the {of} channels" if turned < of else f"the {of} channels"
        about = f"Rotary: queries and keys are turned by an angle that grows with the position, {part} of each head"
        kind = _rope_kind(subject.config)
        return Positions("rotary", about + (f"; scaled by the rule `{kind}`" if kind else ""), rotary=found, **shared)
    if (table := position_table(subject)) is not None:
        how = "sines and cosines that nobody trained" if table.kind == "sinusoidal" else "learned, a row each"
        return Positions(
            table.kind, f"A vector is added to each token's embedding: {how}, {table.size[0]}", table=table, **shared
        )
    if (slopes := alibi_slopes(subject)) is not None:
        about = "ALiBi: each head's scores fall with the distance, by a slope of its own"
        return Positions("alibi", about, slopes=slopes, **shared)
    if subject.ours:
        about = "None: no table, no rotation and no slope; only the causal mask tells what came before"
        return Positions("none", about, **shared)
    about = "Not recognised: it has an encoding of its own, or none, in no form that this page can read"
    return Positions("unknown", about, **shared)


def rotary_of_ours(subject: Subject, length: int) -> list[Rotary]:
    """Our decoder's frequencies, from its cosines; with LongRoPE those that turn a text of `length` tokens."""
    cosine_XR, sine_XR = subject.model.cos_TR, subject.model.sin_TR
    if cosine_XR is None:
        return []
    switch = switch_length(subject.config.rope_scaling)
    first = subject.config.context if switch is not None and length > switch else 0  # the row of position 0
    scale = float(torch.hypot(cosine_XR[first], sine_XR[first]).mean())
    # One position on is the frequency itself: the largest is one radian.
    frequency_R = torch.atan2(sine_XR[first + 1], cosine_XR[first + 1])
    return [_rotary("", frequency_R, scale, length, _head_width(subject))]


def rotary(subject: Subject, length: int) -> list[Rotary]:
    """Every different set of frequencies in a model of Transformers: its `inv_freq`, as the last pass left them."""
    found: list[Rotary] = []
    for module in subject.model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.endswith("inv_freq") and "original" not in name:
                scale = getattr(module, name.replace("inv_freq", "attention_scaling"), 1.0)
                short = name.removesuffix("inv_freq").strip("_")
                found.append(_rotary(short, buffer, float(scale), length, _head_width(subject)))
    different: list[Rotary] = []
    for one in found:
        if not any(np.array_equal(one.frequency_R, other.frequency_R) for other in different):
            different.append(one)
    return different


def _rotary(name: str, frequency_R: Tensor, scale: float, length: int, head_width: int) -> Rotary:
    frequency = frequency_R.detach().double().cpu().numpy()
    closeness = np.cos(np.arange(max(length, 32))[:, None] * frequency[None]).mean(-1)
    return Rotary(name, frequency, scale, head_width or 2 * len(frequency), closeness)


def position_table(subject: Subject) -> Table | None:
    """The learned embedding of positions, or a fixed table; None when the model has none."""
    if subject.ours:
        learned, waves_TD = subject.model.positions, subject.model.waves_TD
        if learned is not None:
            return _table(learned.weight, "learned")
        return None if waves_TD is None else _table(waves_TD, "sinusoidal")
    words = subject.model.get_input_embeddings() if hasattr(subject.model, "get_input_embeddings") else None
    inside = {module for layer in subject.layers for module in layer.modules()}  # a layer's own turns its heads (GPT-J)
    for path, module in subject.model.named_modules():
        if module in inside:
            continue
        leaf = path.rsplit(".", 1)[-1]
        if isinstance(module, nn.Embedding) and module is not words and ("pos" in leaf or leaf == "wpe"):
            return _table(module.weight, "sinusoidal" if "sinus" in leaf else "learned")
        for name, buffer in module.named_buffers(recurse=False):
            is_table = buffer.dim() == 2 and buffer.is_floating_point() and buffer.shape[1] == subject.width
            if is_table and ("pos" in name or "sin" in name):
                return _table(buffer, "sinusoidal")
    return None


def _table(weight_TD: Tensor, kind: str) -> Table:
    size = (int(weight_TD.shape[0]), int(weight_TD.shape[1]))
    every = max(1, math.ceil(size[0] / DRAWN))
    at = list(range(0, size[0], every))
    rows = weight_TD.detach()[at].double().cpu().numpy()
    unit = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    columns = np.linspace(0, size[1] - 1, min(CHANNELS, size[1])).round().astype(int)
    return Table(kind, size, at, rows[:, columns], unit @ unit.T)


def alibi_slopes(subject: Subject) -> list[float] | None:
    """The slopes of ALiBi (Press et al. 2022) by the rule for H heads; None where the model does not use it."""
    config = subject.config
    attention = getattr(config, "attn_config", None)
    says = getattr(config, "alibi", None) or getattr(attention, "alibi", None)
    if getattr(config, "model_type", "") != "bloom" and not says:
        return None
    H = subject.heads[0]
    closest = 1 << (H.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * (h + 1) / closest) for h in range(closest)]
    return slopes + [2.0 ** (-4.0 * (2 * h + 1) / closest) for h in range(H - closest)]


def layer_windows(config: Any, layers: int) -> list[int | None]:
    """How many tokens each layer sees, itself included; None without a limit."""
    window = getattr(config, "sliding_window", None) or getattr(config, "window", None)
    if not isinstance(window, int) or window <= 0 or getattr(config, "use_sliding_window", True) is False:
        return [None] * layers
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    return [window if "sliding" in str(kind) else None for kind in kinds[:layers]] + [None] * (layers - len(kinds))


def _head_width(subject: Subject) -> int:
    named = getattr(subject.config, "head_width", None) or getattr(subject.config, "head_dim", None)
    if isinstance(named, int):
        return named
    H = subject.heads[0]
    return subject.width // H if H else 0


def _rope_kind(config: Any) -> str:
    """The rule that scales the frequencies; '' for plain rotation."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kind = str(rope.get("rope_type", rope.get("type", ""))) if isinstance(rope, dict) else ""
    return "" if kind in ("default", "None") else kind
