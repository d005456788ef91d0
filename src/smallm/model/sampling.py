"""Sampling: from the logits of the next token to a drawn id.

The order is Transformers': repetition penalty, temperature, top-k, top-p, min-p. Each row of a batch
draws from a stream of its own, so that a row of a batch is what it would be alone.
Letters: B rows, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smallm.core.errors import UserError


@dataclass(frozen=True)
class SamplingConfig:
    """How text is drawn. Off: temperature 1, top_k 0, top_p 1, min_p 0, repetition_penalty 1."""

    max_new_tokens: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    greedy: bool = False

    def __post_init__(self) -> None:
        """UserError naming the value and its range; temperature 0 is greedy."""
        whole = {"max_new_tokens": 1, "top_k": 0, "seed": 0}
        for name, least in whole.items():
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"{name}: {value!r} is not a whole number of at least {least}.")
        ranges = {
            "temperature": (lambda x: 0 <= x <= 100, "between 0 (always the likeliest token) and 100"),
            "top_p": (lambda x: 0 < x <= 1, "above 0 and at most 1 (1 = off)"),
            "min_p": (lambda x: 0 <= x < 1, "at least 0 (off) and below 1"),
            "repetition_penalty": (lambda x: 0 < x <= 100, "above 0 (1 = off) and at most 100"),
        }
        for name, (inside, says) in ranges.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not inside(value):
                raise UserError(f"{name}: {value!r} is out of range. It must be {says}.")
        if isinstance(self.stop, str) or any(not isinstance(s, str) or not s for s in self.stop):
            raise UserError(f"stop: {self.stop!r} is not a list of non-empty strings.")

    @property
    def deterministic(self) -> bool:
        return self.greedy or self.temperature == 0


def streams(sampling: SamplingConfig, rows: int) -> list[np.random.Generator]:
    """Random streams of a batch: row i draws as if it were alone with seed + i."""
    return [np.random.Generator(np.random.Philox(sampling.seed + i)) for i in range(rows)]


def penalise(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Make what was seen less likely: positive logits are divided, negative ones multiplied (Keskar et al. 2019)."""
    return torch.where(seen_BV, torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty), logits_BV)


def warp(logits_BV: Tensor, sampling: SamplingConfig) -> Tensor:
    """Logits after temperature, top-k, top-p and min-p; what may not be drawn is -inf. The likeliest always stays."""
    logits_BV = logits_BV / sampling.temperature
    V = logits_BV.shape[-1]
    if 0 < sampling.top_k < V:
        least_B1 = torch.topk(logits_BV, sampling.top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -math.inf)
    if sampling.top_p < 1:
        sorted_BV, order_BV = torch.sort(logits_BV)
        # A token goes when it and all less likely ones weigh no more than what top_p leaves. Summed from the least
        # on: the other way round the sum is 1 to the last bit long before the tail, which would go with any top_p.
        gone_BV = torch.softmax(sorted_BV, dim=-1).cumsum(-1) <= 1 - sampling.top_p
        gone_BV[:, -1] = False
        logits_BV = logits_BV.masked_fill(torch.zeros_like(gone_BV).scatter(1, order_BV, gone_BV), -math.inf)
    if sampling.min_p > 0:
        # p < min_p * max p, in logarithms
        least_B1 = logits_BV.max(dim=-1, keepdim=True).values + math.log(sampling.min_p)
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -math.inf)
    return logits_BV


def draw(
    logits_BV: Tensor,
    sampling: SamplingConfig,
    random: list[np.random.Generator],
    seen_BV: Tensor | None = None,
) -> list[int]:
    """One id a row. `random`: one stream a row, each gives one number; `seen_BV`: ids that the penalty counts."""
    logits_BV = logits_BV.float()
    if seen_BV is not None and sampling.repetition_penalty != 1:
        logits_BV = penalise(logits_BV, seen_BV, sampling.repetition_penalty)
    if sampling.deterministic:
        return logits_BV.argmax(dim=-1).tolist()
    p_BV = torch.softmax(warp(logits_BV, sampling), dim=-1).double()
    sums_BV = p_BV.cumsum(dim=-1)
    uniform_B = torch.tensor([r.random() for r in random], dtype=torch.float64, device=logits_BV.device)
    # The first id whose cumulative probability exceeds the number: an id of probability zero never does.
    ids_B1 = torch.searchsorted(sums_BV, (uniform_B * sums_BV[:, -1])[:, None], right=True)
    return ids_B1[:, 0].clamp(max=logits_BV.shape[-1] - 1).tolist()
