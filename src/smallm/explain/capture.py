"""Looking into a forward pass without changing the model: its layers' inputs and outputs, and every attention.

`around` wraps each layer's forward for the time of a `with`, in the order of calls (some models call a layer twice).
`Attention` is a mode of torch in which each attention is seen where it is computed: torch's fused kernel, which is
then also computed as softmax(q k) in the open, or the softmax of eager implementations. So whatever calls either can be
looked at, ours, Transformers', adapters, quantised; heads are removed there too.
Letters: B rows, H query heads, K key-value heads, T queries, S keys, C head width, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# act(number of the call, the layer as it is, its input) -> the layer's output
Act = Callable[[int, Callable[[], Any], Tensor], Any]


@contextlib.contextmanager
def around(layers: Sequence[nn.Module], act: Act) -> Iterator[None]:
    """For one forward pass: every call of a layer goes through `act`, which runs it or answers in its place."""
    calls = 0

    def wrapped(inner: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            hidden = args[0] if args else options["hidden_states"]
            return act(calls - 1, lambda: inner(*args, **options), hidden)

        return forward

    own = [layer.__dict__.get("forward") for layer in layers]  # accelerate puts one there
    for layer in layers:
        layer.forward = wrapped(layer.forward)
    try:
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


def hidden_of(output: Any) -> Tensor:
    """The hidden states of a layer's output: itself, or the first of a tuple."""
    return output[0] if isinstance(output, tuple | list) else output


def like(output: Any, hidden: Tensor) -> Any:
    """`hidden` in the form of `output`."""
    return (hidden, *output[1:]) if isinstance(output, tuple | list) else hidden


class Attention(TorchFunctionMode):
    """Sees every attention. `layer`: the call of a layer that runs now (None outside of them: nothing is seen).

    `weights`: layer -> (H, T, S) of the first row, when `record`. `keep_BH`: 0 where a head is removed, in the layer
    `of`.
    """

    def __init__(self, *, record: bool = False, keep_BH: Tensor | None = None, of: int = -1) -> None:
        super().__init__()
        self.layer: int | None = None
        self.record, self.keep_BH, self.of = record, keep_BH, of
        self.weights: dict[int, Tensor] = {}
        self.kv_heads: dict[int, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.layer is not None and name == "scaled_dot_product_attention":
            return self._fused(func, args, kwargs)
        if self.layer is not None and name == "softmax":
            return self._softmax(func, args, kwargs)
        return func(*args, **kwargs)

    def _fused(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = dict(zip(names, args, strict=False)) | kwargs
        q, k = given["query"], given["key"]
        if self.record and self.layer is not None:
            weights_HTS = fused_weights(
                q[:1], k[:1], given.get("attn_mask"), bool(given.get("is_causal")), given.get("scale")
            )[0]
            self.weights[self.layer] = weights_HTS
            self.kv_heads[self.layer] = k.shape[1]
        out_BHTC = func(*args, **kwargs)
        keep_BH = self._kept(out_BHTC)
        return out_BHTC if keep_BH is None else out_BHTC * keep_BH[:, :, None, None]

    def _softmax(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        weights_BHTS = func(*args, **kwargs)
        if weights_BHTS.dim() != 4 or weights_BHTS.shape[-1] < weights_BHTS.shape[-2]:
            return weights_BHTS  # a router's or a gate's, not attention's
        if self.record and self.layer is not None:
            T = weights_BHTS.shape[-2]
            self.weights[self.layer] = weights_BHTS[0, :, :, :T].float()  # beyond T: a sink without a token
        keep_BH = self._kept(weights_BHTS)
        return weights_BHTS if keep_BH is None else weights_BHTS * keep_BH[:, :, None, None]

    def _kept(self, like: Tensor) -> Tensor | None:
        return None if self.keep_BH is None or self.layer != self.of else self.keep_BH.to(like)


def fused_weights(q_BHTC: Tensor, k_BKSC: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    """weights_BHTS of torch's scaled_dot_product_attention, in float32: what its fused kernels never write down."""
    H, K, T, S = q_BHTC.shape[1], k_BKSC.shape[1], q_BHTC.shape[2], k_BKSC.shape[2]
    k_BHSC = k_BKSC.float().repeat_interleave(H // K, dim=1)
    by = q_BHTC.shape[-1] ** -0.5 if scale is None else scale
    scores_BHTS = (q_BHTC.float() @ k_BHSC.transpose(-2, -1)) * by
    if causal:
        seen_TS = torch.ones(T, S, dtype=torch.bool, device=scores_BHTS.device).tril()
        scores_BHTS = scores_BHTS.masked_fill(~seen_TS, float("-inf"))
    if mask is not None:
        if mask.dtype == torch.bool:
            scores_BHTS = scores_BHTS.masked_fill(~mask, float("-inf"))
        else:
            scores_BHTS = scores_BHTS + mask.float()
    return torch.softmax(scores_BHTS, dim=-1)
