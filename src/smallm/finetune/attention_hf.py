"""Attention of Transformers' models inside documents: exact, and not paying for the tokens of other documents.

Registered with Transformers as the attention `smallm`. A packed batch comes as the 4D "mask" of `packed_mask`, which
Transformers hands from the model to every layer as it is (so that activation checkpointing recomputes with the same
borders); what it holds are the documents' numbers. Without one, everything is as under Transformers' own `sdpa`, the
layer's soft cap and sinks (which that leaves out) included. Scale, window, soft cap, sinks and grouped heads are the
layer's. On the CPU documents of like lengths stand side by side in one padded batch with a causal kernel: a row of
five documents costs five small squares, not one large one. On CUDA: torch's varlen kernel, else a dense mask.
Letters: B rows, T time, N = B * T, H query heads, K key-value heads, C head width; M slots of all padded documents,
S documents of one bucket, L its longest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smallm.model.attention import HAS_VARLEN, Borders, allowed, cumulative_lengths

NAME = "smallm"
# A bucket takes documents down to this share of its longest: at most 1 - SHARE² of its square is padding.
SHARE = 0.75


@dataclass
class Buckets:
    """Documents by length. `slots_M`: the flat position in each padded slot (pads: 0); `slot_of_N`: the way back."""

    shapes: list[tuple[int, int]]  # (S, L)
    slots_M: Tensor
    real_M1: Tensor  # bool (M, 1, 1): not padding
    slot_of_N: Tensor


@dataclass
class Packing:
    """What attention reads of one packed batch; each part is made when the first layer asks for it."""

    borders: Borders
    buckets: Buckets | None = None
    masks: dict[tuple[int | None, torch.dtype], Tensor] = field(default_factory=dict)
    windows: dict[tuple[int, int, torch.dtype], Tensor] = field(default_factory=dict)

    def in_buckets(self) -> Buckets:
        if self.buckets is None:
            lengths = self.borders.lengths
            self.buckets = make_buckets(
                cumulative_lengths(self.borders.segments_BT.cpu()) if lengths is None else lengths.cpu(),
                self.borders.segments_BT.numel(),
            )
        return self.buckets

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """Additive (B, 1, T, T): the square of the whole row, for what no other kernel does."""
        if (window, dtype) not in self.masks:
            allowed_BTT = allowed(self.borders.segments_BT, window)
            zero = torch.zeros((), dtype=dtype, device=allowed_BTT.device)
            self.masks[window, dtype] = torch.where(allowed_BTT, zero, float("-inf"))[:, None]
        return self.masks[window, dtype]

    def window(self, length: int, window: int, dtype: torch.dtype) -> Tensor:
        """Additive (L, L): causal within the window."""
        key = (length, window, dtype)
        if key not in self.windows:
            seen = allowed(torch.zeros(1, length, dtype=torch.long), window)[0]
            self.windows[key] = torch.zeros((), dtype=dtype).where(seen, float("-inf"))
        return self.windows[key]


def packed_mask(borders: Borders) -> Tensor:
    """The documents' numbers as (B, 1, 1, T), with the `Packing` on it: what `attention_mask=` takes."""
    mask_B11T = borders.segments_BT[:, None, None, :].clone()
    mask_B11T.smallm_packing = Packing(borders)  # type: ignore[attr-defined]
    return mask_B11T


def packing_of(mask: Any) -> Packing | None:
    """The packing of a mask that `packed_mask` made (a model may have sliced it on the way); None for any other."""
    packing = getattr(mask, "smallm_packing", None)
    if packing is None and isinstance(mask, Tensor) and mask.ndim == 4 and mask.dtype == torch.int64:
        packing = Packing(Borders("reference", mask[:, 0, 0, :]))
    return packing


def make_buckets(lengths: Tensor, total: int) -> Buckets:
    """`lengths`: cumulative, as `model/attention.cumulative_lengths` gives them; `total` = B * T."""
    edges = torch.unique_consecutive(lengths.long())
    starts, sizes = edges[:-1], edges.diff()
    order = torch.argsort(sizes, descending=True, stable=True)
    shapes: list[tuple[int, int]] = []
    slots: list[Tensor] = []
    real: list[Tensor] = []
    ordered = sizes[order].tolist()
    first = 0
    while first < len(ordered):
        longest = ordered[first]
        last = first
        while last < len(ordered) and ordered[last] >= SHARE * longest:
            last += 1
        chosen = order[first:last]
        ramp_1L = torch.arange(longest)[None]
        inside_SL = ramp_1L < sizes[chosen][:, None]
        slots.append(torch.where(inside_SL, starts[chosen][:, None] + ramp_1L, 0).flatten())
        real.append(inside_SL.flatten())
        shapes.append((last - first, longest))
        first = last
    slots_M, real_M = torch.cat(slots), torch.cat(real)
    slot_of_N = torch.empty(total, dtype=torch.long)
    slot_of_N[slots_M[real_M]] = torch.nonzero(real_M).squeeze(1)
    return Buckets(shapes, slots_M, real_M[:, None, None], slot_of_N)


class _Take(torch.autograd.Function):
    """Rows of x by `index`; the gradient goes back by `back`, a gather too (index_select's own adds up, slowly)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, back: Tensor, real: Tensor | None) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(back, real)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        back, real = ctx.saved_tensors
        gradient = outgoing[0].index_select(0, back)
        # A padded query has no output that anyone reads: its gradient is nothing, or the keys would learn from it.
        return (gradient if real is None else gradient.masked_fill_(~real, 0.0)), None, None, None


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Transformers' attention signature: heads before time in (B, H, T, C), after it out (B, T, H, C)."""
    packing = packing_of(attention_mask)
    if packing is None:
        return _unpacked(
            module, query, key, value, attention_mask, dropout, scaling, softcap, s_aux, position_bias, kwargs
        )
    if position_bias is not None:
        raise NotImplementedError("a learned bias of positions does not know the documents of a packed row")
    if query.shape[-2] != key.shape[-2]:
        raise NotImplementedError("packed rows have no cache")
    key, value = key.to(query.dtype), value.to(query.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    special = softcap is not None or s_aux is not None
    if query.device.type == "cpu" and not dropout:
        return _in_buckets(packing, query, key, value, scale, sliding_window, softcap, s_aux), None
    if not special and not dropout and _varlen_takes(query, packing):
        return _varlen(packing, query, key, value, scale, sliding_window), None
    mask_B1TT = packing.mask(sliding_window, query.dtype)
    out_BHTC = _attend(query, key, value, mask_B1TT, False, scale, dropout, softcap, s_aux)
    return out_BHTC.transpose(1, 2).contiguous(), None


def _unpacked(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scaling: float | None,
    softcap: float | None,
    s_aux: Tensor | None,
    position_bias: Tensor | None,
    others: dict[str, Any],
) -> tuple[Tensor, None]:
    """One document a row, or generation: Transformers' sdpa, and by hand what that leaves out."""
    if softcap is None and s_aux is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, mask, dropout=dropout, scaling=scaling, position_bias=position_bias, **others
        )
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros((), dtype=query.dtype, device=query.device).where(mask, torch.finfo(query.dtype).min)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    causal = mask is None and query.shape[-2] > 1
    out_BHTC = _by_hand(query, key, value, mask, causal, scale, dropout, softcap, s_aux)
    return out_BHTC.transpose(1, 2).contiguous(), None


def _in_buckets(
    packing: Packing,
    q_BHTC: Tensor,
    k_BKTC: Tensor,
    v_BKTC: Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks_H: Tensor | None,
) -> Tensor:
    """Each document by itself, like lengths together; (B, T, H, C)."""
    B, H, T, _ = q_BHTC.shape
    buckets = packing.in_buckets()
    # Padding stands after a document, and a causal kernel never looks there: no mask is needed.
    parts = [
        _Take.apply(x.transpose(1, 2).reshape(B * T, *_heads(x)), buckets.slots_M, buckets.slot_of_N, None)
        for x in (q_BHTC, k_BKTC, v_BKTC)
    ]
    sizes = [s * length for s, length in buckets.shapes]
    out: list[Tensor] = []
    for (S, L), q, k, v in zip(buckets.shapes, *(x.split(sizes) for x in parts), strict=True):
        q_SHLC, k_SKLC, v_SKLC = (x.view(S, L, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        narrow = window is not None and window < L
        mask = packing.window(L, window, q.dtype) if narrow and window is not None else None
        out_SHLC = _attend(q_SHLC, k_SKLC, v_SKLC, mask, mask is None, scale, 0.0, softcap, sinks_H)
        out.append(out_SHLC.transpose(1, 2).reshape(S * L, H, -1))
    out_NHC = _Take.apply(torch.cat(out), buckets.slot_of_N, buckets.slots_M, buckets.real_M1)
    return out_NHC.view(B, T, H, -1)  # type: ignore[union-attr]


def _heads(x_BHTC: Tensor) -> tuple[int, int]:
    return x_BHTC.shape[1], x_BHTC.shape[3]


def _attend(
    q_BHTC: Tensor,
    k_BKTC: Tensor,
    v_BKTC: Tensor,
    mask: Tensor | None,
    causal: bool,
    scale: float,
    dropout: float,
    softcap: float | None,
    sinks_H: Tensor | None,
) -> Tensor:
    """torch's fused kernel where it knows the layer's switches."""
    if softcap is not None or sinks_H is not None:
        return _by_hand(q_BHTC, k_BKTC, v_BKTC, mask, causal, scale, dropout, softcap, sinks_H)
    return F.scaled_dot_product_attention(
        q_BHTC,
        k_BKTC,
        v_BKTC,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
        enable_gqa=q_BHTC.shape[1] != k_BKTC.shape[1],
    )


def _by_hand(
    q_BHTC: Tensor,
    k_BKSC: Tensor,
    v_BKSC: Tensor,
    mask: Tensor | None,
    causal: bool,
    scale: float,
    dropout: float,
    softcap: float | None,
    sinks_H: Tensor | None,
) -> Tensor:
    """Scores, soft cap, mask, sinks, softmax in float32: Gemma 2's and gpt-oss's attention, term by term."""
    groups = q_BHTC.shape[1] // k_BKSC.shape[1]
    k_BHSC, v_BHSC = k_BKSC.repeat_interleave(groups, 1), v_BKSC.repeat_interleave(groups, 1)
    scores_BHTS = q_BHTC @ k_BHSC.transpose(2, 3) * scale
    if softcap is not None:
        scores_BHTS = torch.tanh(scores_BHTS / softcap) * softcap
    if causal:
        T, S = scores_BHTS.shape[-2:]
        later_TS = torch.ones(T, S, dtype=torch.bool, device=scores_BHTS.device).triu(1 + S - T)
        scores_BHTS = scores_BHTS.masked_fill(later_TS, float("-inf"))
    elif mask is not None:
        scores_BHTS = scores_BHTS + mask[..., : scores_BHTS.shape[-1]]
    if sinks_H is not None:
        sinks_BHT1 = sinks_H.to(scores_BHTS.dtype).view(1, -1, 1, 1).expand(*scores_BHTS.shape[:3], 1)
        scores_BHTS = torch.cat([scores_BHTS, sinks_BHT1], -1)
    weights_BHTS = torch.softmax(scores_BHTS, dim=-1, dtype=torch.float32).to(q_BHTC.dtype)
    if sinks_H is not None:
        weights_BHTS = weights_BHTS[..., :-1]
    return F.dropout(weights_BHTS, dropout, training=dropout > 0) @ v_BHSC


def _varlen_takes(query: Tensor, packing: Packing) -> bool:
    """Half precision on a card with FlashAttention 2, and lengths that were counted on the host."""
    return (
        HAS_VARLEN
        and query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] <= 256
        and query.shape[-1] % 8 == 0
        and packing.borders.lengths is not None
        and torch.version.hip is None
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def _varlen(
    packing: Packing, q_BHTC: Tensor, k_BKTC: Tensor, v_BKTC: Tensor, scale: float, window: int | None
) -> Tensor:
    """FlashAttention over the flattened batch; each document is a sequence of its own."""
    from torch.nn.attention.varlen import varlen_attn

    B, H, T, _ = q_BHTC.shape
    groups = H // k_BKTC.shape[1]
    q, k, v = (x.transpose(1, 2).reshape(B * T, *_heads(x)) for x in (q_BHTC, k_BKTC, v_BKTC))
    if groups > 1:  # torch 2.11 has no enable_gqa here, and later ones repeat inside
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    lengths: Any = packing.borders.lengths
    left = -1 if window is None else window - 1
    out_NHC = varlen_attn(q, k, v, lengths, lengths, T, T, scale=scale, window_size=(left, 0))
    return out_NHC.view(B, T, H, -1)  # type: ignore[union-attr]


def register() -> None:
    """Make `smallm` an attention of Transformers, with sdpa's masks where no packed one is given. Idempotent."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
