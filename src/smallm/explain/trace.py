"""What one pass over a prompt shows: predictions by token, attention with its rollout, the logit lens.

The lens (nostalgebraist 2020) reads the residual stream after each layer through the model's own final norm and head;
its last row is the model's output. Rollout (Abnar and Zuidema 2020) multiplies the layers' attention, averaged over
heads, with half of it for the residual connection (a layer without attention moves nothing); without the sink, the
first token is left out and rows sum to one again. Letters: L layers, H heads, T time, V vocabulary, N alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smallm.core.console import say
from smallm.explain.passes import Pass, resume
from smallm.explain.subject import Subject

ALTERNATIVES = 5
LENS_ALTERNATIVES = 3
Array = np.ndarray


@dataclass(frozen=True)
class Predictions:
    """Of each position's distribution over the next token; the token that stands there next is `actual`.

    `probability_T`, `rank_T` (1 is the likeliest) and `surprise_T` (bits) are of token t as predicted before it: NaN
    and 0 for the first, which nothing predicts. `entropy_T` (bits), `top_ids_TN` and `top_p_TN` are of the prediction
    after token t.
    """

    probability_T: Array
    rank_T: Array
    surprise_T: Array
    entropy_T: Array
    top_ids_TN: Array
    top_p_TN: Array


@dataclass(frozen=True)
class Lens:
    """Row 0 is the embedding, row l the stream after layer l, row L the model's output.

    `actual_p_LT` is the probability of the token that comes next (after the last token: of the likeliest one).
    """

    top_ids_LTN: Array
    top_p_LTN: Array
    entropy_LT: Array
    actual_p_LT: Array


@dataclass(frozen=True)
class Trace:
    """Everything of a pass that is shown. `attention`: layer -> (H, T, T), None where a layer has none."""

    ids: list[int]
    predictions: Predictions
    attention: list[Array | None]
    rollout_LTT: Array
    rollout_no_sink_LTT: Array
    lens: Lens | None
    logits_TV: Tensor


def trace(subject: Subject, base: Pass) -> Trace:
    """Look at a pass."""
    logits_TV = base.logits_TV[:, : subject.usable]  # rows beyond the tokenizer mean nothing
    attention = [None if w is None else w.float().cpu().numpy() for w in base.weights]
    seen = [None if weights is None else weights.mean(0) for weights in attention]
    return Trace(
        ids=base.ids,
        predictions=predictions(logits_TV, base.ids),
        attention=attention,
        rollout_LTT=rollout(seen),
        rollout_no_sink_LTT=rollout([None if w is None else without_sink(w) for w in seen]),
        lens=logit_lens(subject, base),
        logits_TV=logits_TV.cpu(),
    )


@torch.inference_mode()
def predictions(logits_TV: Tensor, ids: list[int]) -> Predictions:
    """What the logits say of each token and of the next."""
    logp_TV = logits_TV.log_softmax(-1)
    top = logp_TV.topk(min(ALTERNATIVES, logp_TV.shape[-1]), dim=-1)
    T = len(ids)
    probability_T, surprise_T = np.full(T, math.nan), np.full(T, math.nan)
    rank_T = np.zeros(T, dtype=np.int64)
    if T > 1:
        actual = torch.tensor(ids[1:], device=logits_TV.device).clamp(max=logits_TV.shape[-1] - 1)[:, None]
        own = logp_TV[:-1].gather(1, actual)
        probability_T[1:] = own[:, 0].double().exp().cpu().numpy()
        surprise_T[1:] = -own[:, 0].double().cpu().numpy() / math.log(2)
        rank_T[1:] = 1 + (logp_TV[:-1] > own).sum(-1).cpu().numpy()
    return Predictions(
        probability_T=probability_T,
        rank_T=rank_T,
        surprise_T=surprise_T,
        entropy_T=_entropy(logp_TV),
        top_ids_TN=top.indices.cpu().numpy(),
        top_p_TN=top.values.exp().cpu().numpy(),
    )


@torch.inference_mode()
def logit_lens(subject: Subject, base: Pass) -> Lens | None:
    """The lens; None (said aloud) where the output is not the final norm and head on the last layer's states."""
    L = base.layers
    whole = resume(subject, base, L)[0]
    spread = float(base.logits_TV.std().clamp(min=1e-6))
    if float((whole - base.logits_TV).abs().max()) > 1e-3 * spread:
        say(f"{subject.name}: its output is not a function of its last layer alone; no logit lens")
        return None
    V = subject.usable
    final_TV = base.logits_TV[:, :V]
    next_T1 = torch.cat(
        [torch.tensor(base.ids[1:], dtype=torch.long, device=final_TV.device), final_TV[-1:].argmax(-1)]
    )[:, None]
    next_T1 = next_T1.clamp(max=V - 1)
    rows = []
    for layer in range(L + 1):
        if layer == 0:
            logits_TV = _of_embedding(subject, base)[:, :V]
        else:
            logits_TV = final_TV if layer == L else resume(subject, base, L, hidden_BTD=base.states[layer])[0][:, :V]
        logp_TV = logits_TV.log_softmax(-1)
        top = logp_TV.topk(min(LENS_ALTERNATIVES, V), dim=-1)
        rows.append((top.indices, top.values.exp(), _entropy(logp_TV), logp_TV.gather(1, next_T1)[:, 0].exp()))
    ids, p, entropy, actual = zip(*rows, strict=True)
    return Lens(
        top_ids_LTN=torch.stack(ids).cpu().numpy(),
        top_p_LTN=torch.stack(p).cpu().numpy(),
        entropy_LT=np.stack(entropy),
        actual_p_LT=torch.stack(actual).cpu().numpy(),
    )


def _of_embedding(subject: Subject, base: Pass) -> Tensor:
    """logits_TV of the stream before the first layer."""
    return resume(subject, base, base.layers, hidden_BTD=base.states[0])[0]


def _entropy(logp_TV: Tensor) -> Array:
    """Entropy of each row in bits."""
    return (-(logp_TV.exp() * logp_TV.clamp(min=-1e4)).sum(-1) / math.log(2)).double().cpu().numpy()


def rollout(layers: Sequence[Array | None]) -> Array:
    """(L, T, T): where what is at each position comes from, after each layer.

    `layers`: mean attention (T, T); None where a layer has none, which leaves everything in its place.
    """
    T = next(weights.shape[-1] for weights in layers if weights is not None)
    flow = np.eye(T)
    out = []
    for weights_TT in layers:
        if weights_TT is not None:
            mixed = 0.5 * weights_TT.astype(np.float64) + 0.5 * np.eye(T)
            flow = (mixed / mixed.sum(-1, keepdims=True)) @ flow
        out.append(flow)
    return np.stack(out)


def without_sink(weights: Array) -> Array:
    """Attention (…, T, T) without its first column, rows summing to one again; the first row keeps itself.

    A row that gives everything to the first token has nothing left: it is then shown as attending to itself.
    """
    kept = weights.astype(np.float64).copy()
    kept[..., 1:, 0] = 0.0
    T = weights.shape[-1]
    sums = kept.sum(-1, keepdims=True)
    own = np.broadcast_to(np.eye(T), kept.shape)
    return np.where(sums > 1e-12, kept / np.maximum(sums, 1e-12), own)
