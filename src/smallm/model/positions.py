"""Positions as tables: rotary angles (scaled or not) and the sinusoids of 2017.

Tables are functions of the configuration alone, float32, one row a position. LongRoPE has two tables, one under the
other: the row of position t is t in a text of at most the original length, and `context` + t in a longer one.
Letters: B batch, T time, R half of the rotated channels, D width, X rows of a table.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from smallm.core.config import ModelConfig
from smallm.model.attention import Borders
from smallm.model.presets import rotated_channels
from smallm.model.scaling import attention_factor, switch_length


def rope_angles(config: ModelConfig, *, long: bool = False) -> Tensor:
    """Rotary angles of every position, float32 (T, R): position * theta^(-2r / 2R) (Su et al. 2021), scaled.

    `long`: those of a text beyond LongRoPE's original length.
    """
    rotated, scaling = rotated_channels(config), config.rope_scaling
    period_R = (config.rope_theta or 10_000.0) ** (torch.arange(0, rotated, 2).float() / rotated)
    if scaling is not None and scaling["rope_type"] == "longrope":
        period_R = torch.tensor(scaling["long_factor" if long else "short_factor"], dtype=torch.float32) * period_R
    frequency_R = 1.0 / period_R
    if scaling is not None and scaling["rope_type"] == "linear":
        frequency_R = frequency_R / scaling["factor"]
    if scaling is not None and scaling["rope_type"] == "llama3":
        frequency_R = _llama3(frequency_R, scaling)
    return torch.outer(torch.arange(config.context).float(), frequency_R)


def _llama3(frequency_R: Tensor, scaling: dict) -> Tensor:
    """Slow frequencies divided by `factor`, fast ones as they are, those between interpolated (Llama 3.1)."""
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns_R = original * frequency_R / (2 * math.pi)  # within the original context
    smooth_R = ((turns_R - low) / (high - low)).clamp(0, 1)
    return (1 - smooth_R) * frequency_R / factor + smooth_R * frequency_R


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """(cosines, sines), each (X, R): X is the context, twice that with LongRoPE."""
    angles = [rope_angles(config)]
    if switch_length(config.rope_scaling) is not None:
        angles.append(rope_angles(config, long=True))
    angles_XR, factor = torch.cat(angles) if len(angles) > 1 else angles[0], attention_factor(config.rope_scaling)
    if factor == 1.0:
        return angles_XR.cos(), angles_XR.sin()
    return angles_XR.cos() * factor, angles_XR.sin() * factor


def rope_rows(
    positions_BT: Tensor | None, borders: Borders | None, ids_BT: Tensor, config: ModelConfig
) -> Tensor | None:
    """The tables' rows for these positions: themselves, moved into LongRoPE's second half where the text is long.

    None stands for 0, 1, 2, …. A text is a document inside its borders, else the row up to its last position.
    """
    switch = switch_length(config.rope_scaling)
    if switch is None:
        return positions_BT
    if positions_BT is None:
        T = ids_BT.shape[1]
        return None if switch >= T else torch.arange(config.context, config.context + T, device=ids_BT.device)[None]
    if borders is None:
        last_BT = positions_BT.amax(dim=1, keepdim=True)
    else:
        segments_BT = borders.segments_BT.to(positions_BT)
        positions = positions_BT.expand_as(segments_BT)
        last_BT = torch.zeros_like(positions).scatter_reduce(1, segments_BT, positions, "amax").gather(1, segments_BT)
    return positions_BT + config.context * (last_BT >= switch)


def sinusoids(config: ModelConfig) -> Tensor:
    """Sine and cosine in turn, of wavelengths from 2 pi to 10,000 times that; float32 (T, D) (Vaswani et al. 2017)."""
    D = config.width
    frequency = 10_000.0 ** (-torch.arange(0, D, 2).float() / D)
    angles = torch.outer(torch.arange(config.context).float(), frequency)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
