"""Learning rates over a training, as a multiplier of the peak.

Steps count from 1 to `total`; `rate(step, …)` is what the update of that step uses. All but
`constant` reach `final_learning_rate` exactly at the last step, after a linear warm-up.
"""

from __future__ import annotations

import math

from smallm.core.config import TrainConfig


def rate(step: int, total: int, train: TrainConfig) -> float:
    """The multiplier of the peak rate at `step` (1 … total)."""
    warmup = min(1.0, step / train.warmup_steps) if train.warmup_steps else 1.0
    return warmup * SHAPES[train.schedule](step, total, train)


def decay_start(total: int, train: TrainConfig) -> int:
    """The last step at the full rate: with wsd, runs of any budget agree up to it."""
    if train.schedule == "wsd":
        return total - round(train.decay_share * total)
    return total if train.schedule == "constant" else min(total, train.warmup_steps)


def agrees_until(total_a: int, total_b: int, train: TrainConfig) -> int:
    """The last step up to which trainings of the two budgets use the same rates."""
    return total_a if total_a == total_b else min(decay_start(t, train) for t in (total_a, total_b))


def _wsd(step: int, total: int, train: TrainConfig) -> float:
    start = decay_start(total, train)
    return 1.0 if step <= start else _between(train, 1.0 - (step - start) / (total - start))


def _cosine(step: int, total: int, train: TrainConfig) -> float:
    return _between(train, 0.5 * (1.0 + math.cos(math.pi * _done(step, total, train))))


def _linear(step: int, total: int, train: TrainConfig) -> float:
    return _between(train, 1.0 - _done(step, total, train))


def _done(step: int, total: int, train: TrainConfig) -> float:
    """Share of the way from the end of the warm-up to the last step."""
    if step <= train.warmup_steps:
        return 0.0
    return (step - train.warmup_steps) / (total - train.warmup_steps)


def _between(train: TrainConfig, share: float) -> float:
    return train.final_learning_rate + (1.0 - train.final_learning_rate) * share


SHAPES = {"wsd": _wsd, "cosine": _cosine, "linear": _linear, "constant": lambda step, total, train: 1.0}
