"""Ablation: what happens to the next token when a layer, or one head, is taken out.

A layer that is removed passes its input on; a head that is removed adds nothing. What is before it is not run again,
and the heads of a layer run as one batch. Measured at the last position: the probability of the token that the whole
model finds likeliest, and the divergence (bits) of what remains from the whole model's distribution. Attention shows
where a head looks, ablation whether it matters for this prediction. Letters: H heads, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from smallm.core.console import progress, say
from smallm.explain.passes import Pass, resume
from smallm.explain.subject import Subject

# Rows of one forward pass: 16 of 128 tokens at width 768 keep both cores busy and stay under 1 GB.
ROWS = 16


@dataclass(frozen=True)
class Removal:
    """One thing removed (head None: the layer), and the next token without it.

    `probability`: of the watched token; `change`: that minus what it was; `bits`: KL(whole || without);
    `top_id`: the likeliest now.
    """

    layer: int
    head: int | None
    probability: float
    change: float
    bits: float
    top_id: int


@dataclass(frozen=True)
class Ablation:
    """`target`: the watched next token, `probability`: of it in the whole model. `heads`: empty where not asked for."""

    target: int
    probability: float
    layers: list[Removal]
    heads: list[Removal]


def ablate(subject: Subject, base: Pass, *, heads: bool = False, target: int | None = None) -> Ablation:
    """Remove each layer, and with `heads` each head. `target`: the token that is watched, by default the likeliest."""
    whole_V = base.logits_TV[-1, : subject.usable].log_softmax(-1)
    target = int(whole_V.argmax()) if target is None else target
    layers = [_removal(without(subject, base, layer), whole_V, target, layer, None) for layer in range(base.layers)]
    found: list[Removal] = []
    if heads:
        total = sum(len(w) for w in base.weights if w is not None)
        with progress("heads", total, "heads") as bar:
            for layer, weights in enumerate(base.weights):
                if weights is None:
                    say(f"{subject.name}: layer {layer} has no attention weights: its heads are not removed")
                    continue
                H = len(weights)
                for first in range(0, H, ROWS):
                    some = range(first, min(first + ROWS, H))
                    logits_BV = without_heads(subject, base, layer, [[h] for h in some])
                    found += [
                        _removal(logits_V, whole_V, target, layer, h)
                        for h, logits_V in zip(some, logits_BV, strict=True)
                    ]
                    bar.update(len(found))
    return Ablation(target, float(whole_V[target].exp()), layers, found)


def without(subject: Subject, base: Pass, layer: int | None) -> Tensor:
    """logits_V of the last position without a layer; None removes nothing."""
    if layer is None:
        return resume(subject, base, 0, last=True)[0, -1, : subject.usable]
    if layer == base.layers - 1:  # nothing comes after it: the norm and the head on its input
        hidden = base.states[layer]
        return resume(subject, base, base.layers, hidden_BTD=hidden, last=True)[0, -1, : subject.usable]
    start = layer + 1  # it is skipped: the next layer takes its input
    return resume(subject, base, start, hidden_BTD=base.states[layer], last=True)[0, -1, : subject.usable]


def without_heads(subject: Subject, base: Pass, layer: int, removed: list[list[int]]) -> Tensor:
    """logits_BV of the last position, row b without the heads removed[b] of `layer` (an empty list removes nothing)."""
    weights = base.weights[layer]
    assert weights is not None
    keep_BH = torch.ones(len(removed), len(weights), device=weights.device)
    for row, heads in enumerate(removed):
        keep_BH[row, heads] = 0.0
    return resume(subject, base, layer, keep_BH=keep_BH, last=True)[:, -1, : subject.usable]


def _removal(logits_V: Tensor, whole_V: Tensor, target: int, layer: int, head: int | None) -> Removal:
    logp_V = logits_V.log_softmax(-1)
    probability = float(logp_V[target].exp())
    gap_V = torch.where(whole_V > -1e4, whole_V - logp_V, torch.zeros_like(whole_V))
    bits = float((whole_V.exp() * gap_V).sum()) / math.log(2)
    return Removal(
        layer=layer,
        head=head,
        probability=probability,
        change=probability - float(whole_V[target].exp()),
        bits=max(bits, 0.0),
        top_id=int(logp_V.argmax()),
    )
