"""Causal attention inside documents: one slow twin and three fast backends, held equal by tests.

A row may hold several documents; `segments_BT` gives each position the number of its document and
attention never crosses it. `make_borders` turns that, once a batch, into what a backend reads:
a mask (sdpa), cumulative lengths (varlen), or a BlockMask (flex). Borders are built where the
batch is packed, on the host, and moved with it, so that a step needs no host synchronisation.
Letters: B batch, T time, S time of the keys, H query heads, K key-value heads, C head width.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ("reference", "sdpa", "flex", "varlen")


@dataclass(frozen=True)
class Borders:
    """Where the documents of a batch begin and end, in the form that `backend` reads."""

    backend: str
    segments_BT: Tensor
    window: int | None = None
    mask_B1TT: Tensor | None = None  # sdpa: 0 where attention is allowed, -inf where not
    lengths: Tensor | None = None  # varlen: cumulative segment lengths, int32, padded with the total
    block_mask: Any = None  # flex

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Borders:
        """The same borders on `device`; what a kernel needs beside tensors is rebuilt there."""
        if torch.device(device) == self.segments_BT.device:
            return self
        moved = {
            name: _pinned(value, device).to(device, non_blocking=non_blocking)
            for name in ("segments_BT", "mask_B1TT", "lengths")
            if (value := getattr(self, name)) is not None
        }
        borders = replace(self, **moved)
        return replace(borders, block_mask=_block_mask(borders)) if self.backend == "flex" else borders


def _pinned(tensor: Tensor, device: torch.device | str) -> Tensor:
    """In page-locked memory, where it goes to CUDA: a copy from other memory waits for the GPU's queue."""
    return tensor.pin_memory() if torch.device(device).type == "cuda" and tensor.device.type == "cpu" else tensor


def make_borders(
    segments_BT: Tensor,
    backend: str,
    window: int | None = None,
    *,
    device: torch.device | str | None = None,
    capacity: int | None = None,
) -> Borders:
    """Borders of a batch. Segments are runs of equal numbers; equal numbers apart are one segment to
    no backend (the packer numbers a row's documents 0, 1, 2, …).

    `window`: a position sees itself and the window - 1 before it. `capacity`: how many cumulative
    lengths varlen holds (a fixed number, so that torch.compile never sees a new shape); by default
    the next power of two above what this batch needs and 8 a row. Raises ValueError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"attention backend {backend!r} is not one of {', '.join(BACKENDS)}")
    device = segments_BT.device if device is None else torch.device(device)
    borders = Borders(backend, segments_BT, window)
    if backend == "varlen":  # on the host: counting segments on the GPU would wait for it
        borders = replace(borders, lengths=cumulative_lengths(segments_BT.cpu(), capacity))
    borders = borders.to(device)
    if backend == "sdpa":
        allowed_BTT = allowed(borders.segments_BT, window)
        # Additive: torch's CPU kernel would convert a boolean mask to this in every layer.
        zero = torch.zeros((), device=device)
        borders = replace(borders, mask_B1TT=torch.where(allowed_BTT, zero, float("-inf"))[:, None])
    if backend == "flex" and borders.block_mask is None:
        borders = replace(borders, block_mask=_block_mask(borders))
    return borders


def windowed(borders: Borders | None, window: int, ids_BT: Tensor) -> Borders | None:
    """`borders` (None: whole rows) with a window of so many tokens on top; 0, or one as wide as the row, is none."""
    T = ids_BT.shape[1]
    if not window or window >= T or (borders is not None and borders.window == window):
        return borders
    if borders is None:
        return make_borders(torch.zeros(1, T, dtype=torch.long, device=ids_BT.device), "sdpa", window)
    if borders.backend == "varlen":
        return replace(borders, window=window)
    if borders.backend == "sdpa" and borders.mask_B1TT is not None:
        time = torch.arange(T, device=ids_BT.device)
        far_TT = time[:, None] - time[None, :] >= window
        return replace(borders, window=window, mask_B1TT=borders.mask_B1TT.masked_fill(far_TT, float("-inf")))
    return make_borders(borders.segments_BT, borders.backend, window)


def allowed(segments_BT: Tensor, window: int | None = None) -> Tensor:
    """bool_BTT: may the query at [t] see the key at [s]? Same document, not later, within the window."""
    T = segments_BT.shape[1]
    time = torch.arange(T, device=segments_BT.device)
    same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
    distance_TT = time[:, None] - time[None, :]
    seen_TT = distance_TT >= 0 if window is None else (distance_TT >= 0) & (distance_TT < window)
    return same_BTT & seen_TT


def cumulative_lengths(segments_BT: Tensor, capacity: int | None = None) -> Tensor:
    """int32 [0, end of segment 1, …, B*T, B*T, …] over the flattened batch; rows never share a segment."""
    B, T = segments_BT.shape
    first_BT = torch.ones(B, T, dtype=torch.bool)
    first_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    starts = first_BT.flatten().nonzero().squeeze(1)
    if capacity is None:
        capacity = 1 << (max(len(starts), 8 * B)).bit_length()
    if len(starts) + 1 > capacity:
        raise ValueError(f"{len(starts)} segments need {len(starts) + 1} cumulative lengths; capacity is {capacity}")
    lengths = torch.full((capacity,), B * T, dtype=torch.int32)
    lengths[: len(starts)] = starts.to(torch.int32)
    return lengths


def _block_mask(borders: Borders) -> Any:
    """flex_attention's sparse mask of the same rule as `allowed`."""
    from torch.nn.attention.flex_attention import create_block_mask

    segments_BT, window = borders.segments_BT, borders.window
    B, T = segments_BT.shape

    def visible(b: Tensor, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        seen = (t >= s) & (segments_BT[b, t] == segments_BT[b, s])
        return seen if window is None else seen & (t - s < window)

    return create_block_mask(visible, B, None, T, T, device=str(segments_BT.device))


def attend(
    q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, borders: Borders | None = None, *, dropout: float = 0.0
) -> Tensor:
    """Attention of every query to the keys that it may see; the result is like q_BTHC.

    `borders` None is plain causal attention over the row. K divides H: each key-value head serves a
    group of H / K consecutive query heads. `dropout` acts on the attention weights (sdpa alone).
    """
    if borders is None:
        return _sdpa(q_BTHC, k_BSKC, v_BSKC, None, dropout)
    if dropout and borders.backend != "sdpa":
        raise ValueError(f"attention dropout works with the sdpa backend, not with {borders.backend}")
    if borders.backend == "sdpa":
        return _sdpa(q_BTHC, k_BSKC, v_BSKC, borders.mask_B1TT, dropout)
    return _BACKENDS[borders.backend](q_BTHC, k_BSKC, v_BSKC, borders)


def reference_attention(q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, allowed_BTS: Tensor) -> Tensor:
    """The slow twin: softmax(q k / sqrt(C)) v over the allowed keys, in float32, one line a step."""
    H, K, C = q_BTHC.shape[2], k_BSKC.shape[2], q_BTHC.shape[3]
    k_BSHC = k_BSKC.repeat_interleave(H // K, dim=2).float()
    v_BSHC = v_BSKC.repeat_interleave(H // K, dim=2).float()
    scores_BHTS = torch.einsum("bthc,bshc->bhts", q_BTHC.float(), k_BSHC) / C**0.5
    scores_BHTS = scores_BHTS.masked_fill(~allowed_BTS[:, None], float("-inf"))
    weights_BHTS = torch.softmax(scores_BHTS, dim=-1)
    return torch.einsum("bhts,bshc->bthc", weights_BHTS, v_BSHC).to(q_BTHC.dtype)


def _reference(q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, borders: Borders) -> Tensor:
    return reference_attention(q_BTHC, k_BSKC, v_BSKC, allowed(borders.segments_BT, borders.window))


def _sdpa(q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """torch's fused kernel; it wants the heads before the time."""
    out_BHTC = F.scaled_dot_product_attention(
        q_BTHC.transpose(1, 2),
        k_BSKC.transpose(1, 2),
        v_BSKC.transpose(1, 2),
        attn_mask=None if mask is None else mask.to(q_BTHC.dtype),
        dropout_p=dropout,
        is_causal=mask is None,
        enable_gqa=q_BTHC.shape[2] != k_BSKC.shape[2],
    )
    return out_BHTC.transpose(1, 2)


def _flex(q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, borders: Borders) -> Tensor:
    """Block-sparse attention, fast inside torch.compile; eagerly on CUDA it compiles itself."""
    from torch.nn.attention.flex_attention import flex_attention

    eager_cuda = q_BTHC.is_cuda and not torch.compiler.is_compiling()
    run = _compiled_flex() if eager_cuda else flex_attention
    out_BHTC = run(
        q_BTHC.transpose(1, 2),
        k_BSKC.transpose(1, 2),
        v_BSKC.transpose(1, 2),
        block_mask=borders.block_mask,
        enable_gqa=q_BTHC.shape[2] != k_BSKC.shape[2],
    )
    return out_BHTC.transpose(1, 2)  # type: ignore[union-attr]


@cache
def _compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _varlen(q_BTHC: Tensor, k_BSKC: Tensor, v_BSKC: Tensor, borders: Borders) -> Tensor:
    """FlashAttention over the flattened batch; each segment is a sequence of its own. bf16 or fp16 on CUDA."""
    from torch.nn.attention.varlen import varlen_attn

    B, T, H, C = q_BTHC.shape
    K = k_BSKC.shape[2]
    grouped: dict[str, Any] = {}
    if H != K:
        if _VARLEN_GROUPS:
            grouped["enable_gqa"] = True
        else:
            k_BSKC, v_BSKC = (x.repeat_interleave(H // K, dim=2) for x in (k_BSKC, v_BSKC))
    left = -1 if borders.window is None else borders.window - 1
    out_NHC = varlen_attn(
        q_BTHC.reshape(B * T, H, C),
        k_BSKC.reshape(B * T, -1, C),
        v_BSKC.reshape(B * T, -1, C),
        borders.lengths,  # type: ignore[arg-type]
        borders.lengths,
        T,
        T,
        window_size=(left, 0),
        **grouped,
    )
    return out_NHC.view(B, T, H, C)  # type: ignore[union-attr]


_BACKENDS = {"reference": _reference, "flex": _flex, "varlen": _varlen}


def _varlen_parameters() -> set[str]:
    """The keyword arguments of torch's varlen_attn (2.11 has window_size but not yet enable_gqa)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return set()
    return set(inspect.signature(varlen_attn).parameters)


_VARLEN_GROUPS = "enable_gqa" in _varlen_parameters()
HAS_VARLEN = "window_size" in _varlen_parameters()


def best_backend(device: torch.device | str, dtype: torch.dtype = torch.float32, *, dropout: float = 0.0) -> str:
    """The fastest backend for packed rows there, with the activations in `dtype`.

    varlen on cards with FlashAttention-2 (compute capability 8.0 and up) in half precision; else sdpa with
    a mask, which on two cores beats a loop over segments five times at context 256 and segments of 64.
    """
    device = torch.device(device)
    half = dtype in (torch.bfloat16, torch.float16)
    if device.type != "cuda" or dropout or not half or not HAS_VARLEN or torch.version.hip:
        return "sdpa"
    return "varlen" if torch.cuda.get_device_capability(device) >= (8, 0) else "sdpa"
