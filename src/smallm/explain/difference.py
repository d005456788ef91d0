"""Two models on the same tokens: every view as a difference, the first minus the second.

What cannot be subtracted (other numbers of layers or heads) is left out by name. A model against itself is zero
everywhere. Letters: L layers, H heads, T time, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from smallm.explain.explain import Explanation

Array = np.ndarray


@dataclass(frozen=True)
class Difference:
    """`divergence_T`: KL(first || second) in bits of the predictions after each token; the others are subtractions.

    `attention`: layer -> (H, T, T); `missing`: the views that the two models do not share, each with the reason.
    """

    probability_T: Array
    surprise_T: Array
    entropy_T: Array
    divergence_T: Array
    attention: list[Array | None] = field(default_factory=list)
    rollout_LTT: Array | None = None
    lens_entropy_LT: Array | None = None
    lens_actual_p_LT: Array | None = None
    layers: list[float] = field(default_factory=list)
    heads: list[float] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def difference(a: Explanation, b: Explanation) -> Difference:
    """a minus b. ValueError when they are not of the same ids."""
    if a.ids != b.ids:
        raise ValueError("differences are of two models on the same ids")
    mine, theirs = a.trace.predictions, b.trace.predictions
    missing: dict[str, str] = {}
    attention: list[Array | None] = []
    rollout = entropy = actual = None
    shapes = [[None if w is None else w.shape for w in x.trace.attention] for x in (a, b)]
    if shapes[0] == shapes[1]:
        attention = [
            None if x is None or y is None else x - y for x, y in zip(a.trace.attention, b.trace.attention, strict=True)
        ]
        rollout = a.trace.rollout_LTT - b.trace.rollout_LTT
    else:
        missing["attention"] = f"the models have other layers or heads ({_shape(a)} and {_shape(b)})"
    one, two = a.trace.lens, b.trace.lens
    if one is not None and two is not None and one.entropy_LT.shape == two.entropy_LT.shape:
        entropy = one.entropy_LT - two.entropy_LT
        actual = one.actual_p_LT - two.actual_p_LT
    else:
        missing["lens"] = "one of them has no logit lens, or another number of layers"
    layers, heads = _ablations(a, b, missing)
    return Difference(
        probability_T=mine.probability_T - theirs.probability_T,
        surprise_T=mine.surprise_T - theirs.surprise_T,
        entropy_T=mine.entropy_T - theirs.entropy_T,
        divergence_T=_divergence(a, b, missing),
        attention=attention,
        rollout_LTT=rollout,
        lens_entropy_LT=entropy,
        lens_actual_p_LT=actual,
        layers=layers,
        heads=heads,
        missing=missing,
    )


def _divergence(a: Explanation, b: Explanation, missing: dict[str, str]) -> Array:
    """KL(a || b) in bits at each position, over the ids that both have."""
    V = min(a.trace.logits_TV.shape[1], b.trace.logits_TV.shape[1])
    if a.trace.logits_TV.shape[1] != b.trace.logits_TV.shape[1]:
        missing["ids"] = f"divergence is over the first {V:,} ids, which both have"
    p, q = (x.trace.logits_TV[:, :V].double().log_softmax(-1) for x in (a, b))
    return (torch.exp(p) * (p - q)).sum(-1).clamp(min=0).numpy() / math.log(2)


def _ablations(a: Explanation, b: Explanation, missing: dict[str, str]) -> tuple[list[float], list[float]]:
    one, two = a.ablation, b.ablation
    if one is None or two is None:
        return [], []
    if one.target != two.target:
        missing["ablation"] = "their ablations watched different tokens"
        return [], []
    if len(one.layers) != len(two.layers) or len(one.heads) != len(two.heads):
        missing["ablation"] = "the models have other layers or heads"
        return [], []
    return (
        [x.change - y.change for x, y in zip(one.layers, two.layers, strict=True)],
        [x.change - y.change for x, y in zip(one.heads, two.heads, strict=True)],
    )


def _shape(x: Explanation) -> str:
    return f"{x.model['layers']} x {max(x.model['heads'])}"
