"""Models as scoring sees them: ids, positions and a mask in, hidden states out, logits where they are wanted.

`DecoderBackend` is our decoder. `TransformersBackend` is any causal model of Transformers: when it is made it tries on
itself whether a tree's mask (4D) and its own head on chosen positions give the model's own logits, and does without
what does not hold (state-space models, ALiBi, heads with a scale of their own), saying so once.
Letters: B rows, N nodes, P ids of a stem, S = P + N keys, H query heads, K key-value heads, C head width, D width,
U scored nodes, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smallm.core.console import say
from smallm.model.decoder import Decoder
from smallm.model.scaling import switch_length

# Logits that differ by no more than this (times their spread) are the same: DESIGN's bound for the probe.
PROBE_TOLERANCE = 1e-3


class _Keys:
    """Stands where the decoder expects its KV cache: the stem's keys before each row's own, and the tree's mask."""

    def __init__(self, seen_B1NS: Tensor | None, stem: list[tuple[Tensor, Tensor]] | None, keep: bool) -> None:
        self.bias = None if seen_B1NS is None else torch.zeros(()).to(seen_B1NS.device).where(seen_B1NS, float("-inf"))
        self.stem, self.kept = stem, [] if keep else None

    def attend(self, layer: int, q_BNHC: Tensor, k_BNKC: Tensor, v_BNKC: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q_BNHC, k_BNKC, v_BNKC))
        if self.kept is not None:
            self.kept.append((k, v))
        if self.stem is not None:
            k, v = (
                torch.cat([x_1KPC.expand(len(q), -1, -1, -1), own], 2)
                for x_1KPC, own in zip(self.stem[layer], (k, v), strict=True)
            )
        out_BHNC = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if self.bias is None else self.bias.to(q.dtype),
            is_causal=self.bias is None,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        return out_BHNC.transpose(1, 2)

    def end(self) -> None:
        """Nothing is carried from one pass to the next."""


class DecoderBackend:
    """Our decoder, in evaluation mode."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder.eval()
        config = decoder.config
        self.max_length = config.context
        # A tree's mask and positions know no window and no long text.
        self.tree_limit = min(config.context, config.window or 1 << 30, switch_length(config.rope_scaling) or 1 << 30)
        self.vocab_size = decoder.config.vocab_size

    @property
    def device(self) -> torch.device:
        return self.decoder.embed.weight.device

    def stem(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer, (1, K, P, C)."""
        keys = _Keys(None, None, keep=True)
        ids_1P = torch.tensor([list(ids)], device=self.device)
        self.decoder.hidden(ids_1P, torch.arange(len(ids), device=self.device)[None], cache=keys)  # type: ignore[arg-type]
        assert keys.kept is not None
        return keys.kept

    def hidden(self, ids_BN: Tensor, positions_BN: Tensor | None, seen_B1NS: Tensor | None, stem: Any) -> Tensor:
        if seen_B1NS is None:
            return self.decoder.hidden(ids_BN)
        return self.decoder.hidden(ids_BN, positions_BN, cache=_Keys(seen_B1NS, stem, keep=False))  # type: ignore[arg-type]

    def logits(self, hidden_UD: Tensor) -> Tensor:
        return self.decoder.logits(hidden_UD)


class TransformersBackend:
    """A causal model of Transformers (adapters and quantised weights included), in evaluation mode.

    `max_length` None: what its configuration says (lm-eval's order of keys), else 2048.
    """

    def __init__(self, model: Any, max_length: int | None = None) -> None:
        self.model = model.eval()
        self.config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
        self.max_length = max_length or _max_length(self.config)
        self.vocab_size = int(self.config.vocab_size)
        self.body, self.head = _body(model), model.get_output_embeddings()
        self.own_logits = self.body is None or self.head is None
        self.tree_limit = 0
        self._probe()

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def stem(self, ids: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer, (1, K, P, C)."""
        cache = _cache(self.config)
        self._run(torch.tensor([list(ids)], device=self.device), past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def hidden(self, ids_BN: Tensor, positions_BN: Tensor | None, seen_B1NS: Tensor | None, stem: Any) -> Tensor:
        """Hidden states; the logits themselves where the model's head is not simply applied to them."""
        if seen_B1NS is None:
            return self._run(ids_BN, use_cache=False)
        dtype = next(self.model.parameters()).dtype
        dtype = dtype if dtype.is_floating_point else torch.float32  # 4-bit weights are stored as bytes
        lowest = torch.finfo(dtype).min  # what Transformers' own masks hold
        bias = torch.zeros((), dtype=dtype, device=ids_BN.device).where(seen_B1NS, lowest)
        options: dict[str, Any] = {"position_ids": positions_BN, "attention_mask": bias, "use_cache": False}
        if stem is not None:
            cache = _cache(self.config)
            for layer, (k, v) in enumerate(stem):
                cache.update(*(x.expand(len(ids_BN), -1, -1, -1) for x in (k, v)), layer)
            options |= {"past_key_values": cache, "use_cache": True}
        return self._run(ids_BN, **options)

    def logits(self, hidden_UD: Tensor) -> Tensor:
        if self.own_logits:
            return hidden_UD.clone()  # the caller works in place
        logits = self.head(hidden_UD)
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _run(self, ids_BN: Tensor, **options: Any) -> Tensor:
        if self.own_logits:
            return self.model(input_ids=ids_BN, **options).logits
        assert self.body is not None
        return self.body(input_ids=ids_BN, **options).last_hidden_state

    @torch.inference_mode()
    def _probe(self) -> None:
        """Find out on 24 ids what holds for this model: its head on chosen positions, a tree's mask, a stem."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(self.vocab_size, (24,), generator=generator).to(self.device)
        wanted = self.model(input_ids=ids[None], use_cache=False).logits[0].float()
        if not self.own_logits and not self._equal(self.logits(self._run(ids[None], use_cache=False)[0]), wanted):
            self.own_logits = True
            say(f"{type(self.model).__name__}: its logits are not its head on its hidden states; whole logits are used")
        if self._takes_trees(ids, wanted):
            self.tree_limit = min(self.max_length, *_borders_of_length(self.config))
        else:
            say(f"{type(self.model).__name__}: takes no tree of contexts (probed); each request is computed by itself")

    def _takes_trees(self, ids: Tensor, wanted_NV: Tensor) -> bool:
        """A stem of 8 ids, then two branches of 16 that interleave: the first is the probe's own text."""
        other = ids.flip(0)[:16]
        both = torch.stack([ids[8:], other], 1).flatten()[None]  # a0 b0 a1 b1 …
        positions = (8 + torch.arange(16, device=ids.device)).repeat_interleave(2)[None]
        at = torch.arange(32, device=ids.device)
        same = (at[:, None] % 2 == at[None] % 2) & (at[None] <= at[:, None])
        seen = torch.cat([torch.ones(32, 8, dtype=torch.bool, device=ids.device), same], 1)
        try:
            hidden = self.hidden(both, positions, seen[None, None], self.stem(ids[:8].tolist()))
        except Exception as error:  # models of others raise what they like at a mask that they do not know
            say(f"{type(self.model).__name__}: {type(error).__name__} at a tree's mask")
            return False
        return self._equal(self.logits(hidden[0, ::2]), wanted_NV[8:])

    def _equal(self, found_NV: Tensor, wanted_NV: Tensor) -> bool:
        """Same logits, up to the rounding of the model's own number format (8-bit weights round activations too)."""
        exact = found_NV.dtype == torch.float32 and not getattr(self.model, "is_quantized", False)
        spread = wanted_NV.std().clamp(min=1e-6)
        worst = (found_NV.float() - wanted_NV).abs().max() / spread
        return bool(worst <= PROBE_TOLERANCE * (1.0 if exact else 30.0))


def _body(model: Any) -> Any:
    """The module that gives hidden states; None when the model does not say which."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(inner, getattr(inner, "base_model_prefix", "") or "model", None)
    return body if body is not None and body is not inner else None


def _cache(config: Any) -> Any:
    from transformers import DynamicCache

    # Without the configuration: sliding layers would drop keys, and tree_limit keeps chains inside the window.
    return DynamicCache()


def _max_length(config: Any) -> int:
    for key in ("n_positions", "max_position_embeddings", "n_ctx"):  # lm-eval's order
        if getattr(config, key, None):
            return int(getattr(config, key))
    return 2048


def _borders_of_length(config: Any) -> list[int]:
    """Lengths beyond which a chain computes something else: a sliding window, LongRoPE's change of factors."""
    found = [getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)]
    rope = getattr(config, "rope_scaling", None) or getattr(config, "rope_parameters", None) or {}
    if isinstance(rope, dict):
        kind = rope.get("rope_type") or rope.get("type")
        if kind in ("longrope", "dynamic", "su"):
            found += [
                rope.get("original_max_position_embeddings"),
                getattr(config, "original_max_position_embeddings", None),
            ]
    return [int(x) for x in found if x] or [1 << 30]
