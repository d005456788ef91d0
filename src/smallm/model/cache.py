"""The KV cache: keys and values of the tokens so far, in memory that is taken once.

Rows of a batch may have different lengths: they are padded on the left, `starts_B` says where each
begins, and padding is never attended to. `begin` and `end` bracket one forward pass over all layers.
With a window all keys are kept, and those that have left it are not looked at. With LongRoPE the ids are kept too:
where a row outgrows the original length its keys were rotated by other factors, and all is computed anew (`to_run`).
Letters: B batch, T new tokens, S tokens in the cache, L layers, H query heads, K key-value heads, C head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from smallm.core.config import ModelConfig
from smallm.model.presets import sizes
from smallm.model.scaling import switch_length


class KVCache:
    """Room for `length` tokens in each of `batch` rows."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        length: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        starts_B: Tensor | None = None,
    ) -> None:
        _, K, C = sizes(config)
        self.keys_LBKSC = torch.empty(config.layers, batch, K, length, C, device=device, dtype=dtype)
        self.values_LBKSC = torch.empty_like(self.keys_LBKSC)
        self.length, self.capacity = 0, length
        self.starts_B = None if starts_B is None or not bool((starts_B > 0).any()) else starts_B.to(device)
        self.window = config.window or 0
        self._switch = switch_length(config.rope_scaling)
        self._ids_BS: Tensor | None = None
        self._new, self._first = 0, 0
        self._mask: Tensor | None = None

    def to_run(self, ids_BT: Tensor) -> Tensor:
        """The ids that the pass must compute: the new ones, or (LongRoPE) all, where a row comes to be a long text."""
        if self._switch is None:
            return ids_BT
        self._ids_BS = ids_BT if self._ids_BS is None else torch.cat([self._ids_BS, ids_BT], dim=1)
        before = [self.length - start for start in self._starts()]
        if self.length and any(0 < n <= self._switch < n + ids_BT.shape[1] for n in before):
            self.length = 0
            return self._ids_BS
        return ids_BT

    def _starts(self) -> list[int]:
        return [0] if self.starts_B is None else self.starts_B.tolist()

    def begin(self, new: int) -> Tensor:
        """Make room for `new` tokens a row; gives their positions (B or 1, T). ValueError when it is full."""
        if self.length + new > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens; {self.length} are in it and {new} come")
        device = self.keys_LBKSC.device
        self._new = new
        self._first = max(0, self.length - self.window + 1) if self.window else 0
        slots_T = torch.arange(self.length, self.length + new, device=device)
        self._mask = self._visible(slots_T)
        if self.starts_B is None:
            return slots_T[None]
        return (slots_T[None] - self.starts_B[:, None]).clamp(min=0)

    def _visible(self, slots_T: Tensor) -> Tensor | None:
        """bool (B or 1, 1, T, S) of the keys that each new token sees; None where causal or all-visible serves."""
        end = self.length + len(slots_T)
        causal = self.length == 0 and (not self.window or end <= self.window)
        if self.starts_B is None and (len(slots_T) == 1 or causal):
            return None
        slots_S = torch.arange(self._first, end, device=slots_T.device)
        seen = slots_S[None, None, :] <= slots_T[None, :, None]
        if self.window:
            seen = seen & (slots_T[None, :, None] - slots_S[None, None, :] < self.window)
        if self.starts_B is not None:
            # A padding token sees itself alone: a softmax over nothing would be NaN.
            own = slots_S[None, None, :] == slots_T[None, :, None]
            seen = seen & ((slots_S[None, None, :] >= self.starts_B[:, None, None]) | own)
        return seen[:, None]

    def attend(self, layer: int, q_BTHC: Tensor, k_BTKC: Tensor, v_BTKC: Tensor) -> Tensor:
        """Store the new keys and values of `layer`, then attend to all that each token may see."""
        end = self.length + self._new
        keys_BKSC, values_BKSC = self.keys_LBKSC[layer], self.values_LBKSC[layer]
        keys_BKSC[:, :, self.length : end] = k_BTKC.transpose(1, 2)
        values_BKSC[:, :, self.length : end] = v_BTKC.transpose(1, 2)
        out_BHTC = F.scaled_dot_product_attention(
            q_BTHC.transpose(1, 2),
            keys_BKSC[:, :, self._first : end],
            values_BKSC[:, :, self._first : end],
            attn_mask=self._mask,
            is_causal=self._mask is None and self._new > 1,
            enable_gqa=q_BTHC.shape[2] != k_BTKC.shape[2],
        )
        return out_BHTC.transpose(1, 2)

    def end(self) -> None:
        """The forward pass is through: the new tokens count from now on."""
        self.length += self._new
        self._new, self._mask = 0, None

    def keep(self, rows: Tensor) -> None:
        """Drop every row of the batch that is not in `rows` (indices)."""
        self.keys_LBKSC = self.keys_LBKSC[:, rows]
        self.values_LBKSC = self.values_LBKSC[:, rows]
        if self.starts_B is not None:
            self.starts_B = self.starts_B[rows]
        if self._ids_BS is not None:
            self._ids_BS = self._ids_BS[rows]
