"""The initialisation as a table: which tensor is drawn with which standard deviation.

`init_table` is the truth, `initialise` applies it, and a test measures every tensor against it.
Each tensor has a random stream of its own, seeded by its name: switching one part of the model
leaves every other tensor's first value alone, so that ablations are paired.
"""

from __future__ import annotations

import hashlib
import math
from fnmatch import fnmatchcase

import torch
from torch import nn

from smallm.core.config import ModelConfig
from smallm.model.presets import ffn_width, sizes

# GPT-2's: 0.02 everywhere, projections into the residual stream by 1 / sqrt(2 layers) (Radford et al. 2019, 2.3).
GPT2_STD = 0.02
# Half of 1 / sqrt(fan in), as modded-nanogpt's CastedLinear: 0.02 at width 625, more for narrower models.
FAN_IN_SHARE = 0.5
# An untied model's own tables: rows of the residual stream's scale, and logits that start near uniform. The best of a
# search over both at 2 to 3M parameters (LOG.md, "What a small untied model wants").
UNTIED_EMBEDDING_STD, UNTIED_HEAD_STD = 0.3, 0.005


def init_table(config: ModelConfig) -> dict[str, float]:
    """Standard deviation by name pattern (first match counts); 0 with norm weights means exactly one, else zero."""
    H, _, C = sizes(config)
    D, F = config.width, ffn_width(config)
    depth = 1 / math.sqrt(2 * config.layers)
    by_fan_in = config.preset != "gpt2" and config.init_std is None
    base = config.init_std or GPT2_STD

    def matrix(fan_in: int) -> float:
        return FAN_IN_SHARE / math.sqrt(fan_in) if by_fan_in else base

    projections = 0.0 if config.zero_init_projections else depth
    own_tables = by_fan_in and not config.tied
    return {
        "*norm.weight": 0.0,
        "*.bias": 0.0,
        # 0.02: a tied head then starts with logits of about width / 50, near the uniform loss.
        "embed.weight": UNTIED_EMBEDDING_STD if own_tables else base,
        "positions.weight": base,
        "head.weight": UNTIED_HEAD_STD if own_tables else base,
        "blocks.*.attention.o.weight": projections * matrix(H * C),
        "blocks.*.mlp.down.weight": projections * matrix(F),
        "blocks.*.weight": matrix(D),
    }


def std_of(name: str, table: dict[str, float]) -> float:
    """The table's standard deviation for the parameter `name`; KeyError when no pattern matches."""
    for pattern, std in table.items():
        if fnmatchcase(name, pattern):
            return std
    raise KeyError(f"no pattern of the initialisation table matches the parameter {name}")


@torch.no_grad()
def initialise(decoder: nn.Module, seed: int = 0) -> None:
    """Fill every parameter of `decoder` (its `.config` names the table). Same seed, same bytes, on any device."""
    table = init_table(decoder.config)  # type: ignore[arg-type]
    for name, parameter in decoder.named_parameters():
        std = std_of(name, table)
        if std == 0.0:
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            continue
        stream = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "little") >> 1
        generator = torch.Generator().manual_seed(stream)
        parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
