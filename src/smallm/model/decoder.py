"""The decoder: one transformer, of which the papers are configurations.

Which parts stand where is decided once, when the modules are built from the tables below; the
forward pass knows no family's name. Parameters keep one matrix a projection (q, k, v, o, gate, up,
down): fusing them was within the noise at widths 256 and 768 on two cores, and Muon
orthogonalises each matrix by itself. Parameters are float32; under autocast the residual stream
is in autocast's type. Token ids in, hidden states or logits out; knows nothing of text or losses.
Letters: B batch, T time, D width, H heads, K key-value heads, C head width, R half of the rotated
channels, F feed-forward width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smallm.core.config import ModelConfig
from smallm.model.attention import Borders, attend, windowed
from smallm.model.cache import KVCache
from smallm.model.init import initialise
from smallm.model.positions import rope_angles as rope_angles
from smallm.model.positions import rope_rows, rope_tables, sinusoids
from smallm.model.presets import complete, ffn_width, sizes


class Linear(nn.Linear):
    """nn.Linear that leaves its initialisation to init.py."""

    def reset_parameters(self) -> None:
        pass


class Embedding(nn.Embedding):
    """nn.Embedding that leaves its initialisation to init.py."""

    def reset_parameters(self) -> None:
        pass


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) * weight, computed in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float, bias: bool = False) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias, computed in float32 (Ba et al. 2016)."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(width)), eps
        self.bias = nn.Parameter(torch.empty(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.weight.shape, self.weight.float(), bias, self.eps).to(x.dtype)


class GatedMLP(nn.Module):
    """down(act(gate x) * up x) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        D, width, bias = config.width, ffn_width(config), bool(config.bias)
        self.gate, self.up, self.down = Linear(D, width, bias), Linear(D, width, bias), Linear(width, D, bias)
        self.activation = activation

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x_BTD)) * self.up(x_BTD))


class PlainMLP(nn.Module):
    """down(act(up x)) (Vaswani et al. 2017)."""

    def __init__(self, config: ModelConfig, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        D, width, bias = config.width, ffn_width(config), bool(config.bias)
        self.up, self.down = Linear(D, width, bias), Linear(width, D, bias)
        self.activation = activation

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x_BTD)))


def gelu_tanh(x: Tensor) -> Tensor:
    """GPT-2's approximation of GELU."""
    return F.gelu(x, approximate="tanh")


def relu2(x: Tensor) -> Tensor:
    """max(x, 0)² (So et al. 2021, Primer)."""
    return F.relu(x).square()


NORMS: dict[str, type[nn.Module]] = {"rms": RMSNorm, "layer": LayerNorm}
MLPS: dict[str, tuple[type[nn.Module], Callable[[Tensor], Tensor]]] = {
    "swiglu": (GatedMLP, F.silu),
    "gelu": (PlainMLP, gelu_tanh),
    "relu2": (PlainMLP, relu2),
    "relu": (PlainMLP, F.relu),
}


def rotate(x_BTHC: Tensor, cos_BT1R: Tensor, sin_BT1R: Tensor) -> Tensor:
    """Rotate the first 2R channels of each head; channel r pairs with r + R (the Transformers layout)."""
    R = cos_BT1R.shape[-1]
    x1, x2, rest = x_BTHC.split([R, R, x_BTHC.shape[-1] - 2 * R], dim=-1)
    turned = (x1 * cos_BT1R - x2 * sin_BT1R, x2 * cos_BT1R + x1 * sin_BT1R)
    return torch.cat([part.to(x_BTHC.dtype) for part in (*turned, rest)], dim=-1)


class Attention(nn.Module):
    """Grouped-query causal attention with optional rotation and norms on queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.H, self.K, self.C = sizes(config)
        D, bias = config.width, bool(config.bias)
        self.q = Linear(D, self.H * self.C, bias)
        self.k = Linear(D, self.K * self.C, bias)
        self.v = Linear(D, self.K * self.C, bias)
        self.o = Linear(self.H * self.C, D, bias)
        eps = config.norm_eps or 1e-6
        self.q_norm = RMSNorm(self.C, eps) if config.qk_norm else None
        self.k_norm = RMSNorm(self.C, eps) if config.qk_norm else None
        self.dropout = config.dropout

    def forward(
        self,
        x_BTD: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        borders: Borders | None,
        cache: KVCache | None,
        layer: int,
    ) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BTHC = self.q(x_BTD).view(B, T, self.H, self.C)
        k_BTKC = self.k(x_BTD).view(B, T, self.K, self.C)
        v_BTKC = self.v(x_BTD).view(B, T, self.K, self.C)
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHC, k_BTKC = self.q_norm(q_BTHC), self.k_norm(k_BTKC)
        if rotation is not None:
            q_BTHC, k_BTKC = rotate(q_BTHC, *rotation), rotate(k_BTKC, *rotation)
        if cache is not None:
            out_BTHC = cache.attend(layer, q_BTHC, k_BTKC, v_BTKC)
        else:
            out_BTHC = attend(q_BTHC, k_BTKC, v_BTKC, borders, dropout=self.dropout if self.training else 0.0)
        return self.o(out_BTHC.reshape(B, T, self.H * self.C))


def make_norm(config: ModelConfig) -> nn.Module:
    """A norm over the residual stream."""
    return NORMS[config.norm or "rms"](config.width, config.norm_eps or 1e-6, bool(config.bias))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        mlp, activation = MLPS[config.mlp or "swiglu"]
        self.attention_norm = make_norm(config)
        self.attention = Attention(config)
        self.mlp_norm = make_norm(config)
        self.mlp = mlp(config, activation)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(
        self,
        x_BTD: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        borders: Borders | None,
        cache: KVCache | None,
        layer: int,
    ) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), rotation, borders, cache, layer))
        return x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))


class PostNormBlock(Block):
    """norm(x + attention(x)), then norm(x + mlp(x)): what comes out is normed already (Vaswani et al. 2017)."""

    def forward(
        self,
        x_BTD: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        borders: Borders | None,
        cache: KVCache | None,
        layer: int,
    ) -> Tensor:
        x_BTD = self.attention_norm(x_BTD + self.dropout(self.attention(x_BTD, rotation, borders, cache, layer)))
        return self.mlp_norm(x_BTD + self.dropout(self.mlp(x_BTD)))


class ParallelBlock(Block):
    """x + attention(norm(x)) + mlp(norm(x)), one norm for both (GPT-J, Phi)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.mlp_norm

    def forward(
        self,
        x_BTD: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        borders: Borders | None,
        cache: KVCache | None,
        layer: int,
    ) -> Tensor:
        normed_BTD = self.attention_norm(x_BTD)
        attended_BTD = self.dropout(self.attention(normed_BTD, rotation, borders, cache, layer))
        return x_BTD + attended_BTD + self.dropout(self.mlp(normed_BTD))


BLOCKS: dict[str, type[Block]] = {"pre": Block, "post": PostNormBlock, "parallel": ParallelBlock}


class Decoder(nn.Module):
    """Embedding, blocks, final norm, output head; initialised by init.py's table.

    `config` is completed by its preset when the caller has not done so. With tying, `head.weight` is
    `embed.weight`: `parameters()` gives it once, `state_dict()` twice.
    """

    cos_TR: Tensor | None
    sin_TR: Tensor | None
    waves_TD: Tensor | None

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config = complete(config, 0)
        self.embed = Embedding(config.vocab_size, config.width)
        self.positions = Embedding(config.context, config.width) if config.position == "learned" else None
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        # Each block serves `shared_layers` layers in a row.
        self.shared = config.shared_layers or 1
        block = BLOCKS[config.block or "pre"]
        self.blocks = nn.ModuleList([block(config) for _ in range(config.layers // self.shared)])
        self.norm = nn.Identity() if config.block == "post" else make_norm(config)
        self.head = Linear(config.width, config.vocab_size, bias=bool(config.head_bias))
        self.tie()
        self.make_buffers()
        if not self.embed.weight.is_meta:
            initialise(self, seed)

    def tie(self) -> None:
        """Make the head the embedding, where the configuration says so."""
        if self.config.tied:
            self.head.weight = self.embed.weight

    def make_buffers(self) -> None:
        """(Re)compute what is a function of the configuration alone: never saved with the weights."""
        cos = sin = waves = None
        with torch.device("cpu"):  # also when the weights are still on the meta device
            if self.config.position == "rope":
                cos, sin = rope_tables(self.config)
            if self.config.position == "sinusoidal":
                waves = sinusoids(self.config)
        self.register_buffer("cos_TR", cos, persistent=False)
        self.register_buffer("sin_TR", sin, persistent=False)
        self.register_buffer("waves_TD", waves, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Decoder:
        """`.to(bfloat16)` casts the weights, not the tables of positions: angles need float32."""
        super()._apply(fn, recurse)
        tables = dict(self.named_buffers(recurse=False))
        if any(table.dtype != torch.float32 for table in tables.values()):
            self.make_buffers()
            for name, table in tables.items():
                setattr(self, name, getattr(self, name).to(table.device))
        return self

    def hidden(
        self,
        input_ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        borders: Borders | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Hidden states after the final norm, (B, T, D).

        `positions_BT` defaults to 0, 1, 2, … (from the cache's length on) and may start again inside a
        row; `borders` keeps attention inside documents; `cache` holds the keys and values so far and
        takes these. Positions reach at most `config.context`.
        """
        T = input_ids_BT.shape[1]
        if cache is not None and positions_BT is None:
            input_ids_BT = cache.to_run(input_ids_BT)
            positions_BT = cache.begin(input_ids_BT.shape[1])
        x_BTD = self.embed(input_ids_BT)
        if self.positions is not None:
            x_BTD = x_BTD + self._at(self.positions.weight, positions_BT, input_ids_BT)
        if self.waves_TD is not None:  # the embedding's scale is that of the paper, 3.4
            waves_BTD = self._at(self.waves_TD, positions_BT, input_ids_BT).to(x_BTD.dtype)
            x_BTD = x_BTD * self.config.width**0.5 + waves_BTD
        rotation = None
        if self.cos_TR is not None and self.sin_TR is not None:
            rows_BT = rope_rows(positions_BT, borders, input_ids_BT, self.config)
            rotation = (
                self._at(self.cos_TR, rows_BT, input_ids_BT)[:, :, None],
                self._at(self.sin_TR, rows_BT, input_ids_BT)[:, :, None],
            )
        if cache is None:
            borders = windowed(borders, self.config.window or 0, input_ids_BT)
        if torch.is_autocast_enabled(x_BTD.device.type):
            # Halves the traffic of the residual stream; modded-nanogpt and nanochat train so.
            x_BTD = x_BTD.to(torch.get_autocast_dtype(x_BTD.device.type))
        x_BTD = self.dropout(x_BTD)
        for layer in range(self.config.layers):
            x_BTD = self.blocks[layer // self.shared](x_BTD, rotation, borders, cache, layer)
        if cache is not None:
            cache.end()
            x_BTD = x_BTD[:, -T:]
        return self.norm(x_BTD)

    @staticmethod
    def _at(table_TX: Tensor, positions_BT: Tensor | None, input_ids_BT: Tensor) -> Tensor:
        """Rows of a position table, (B or 1, T, X)."""
        if positions_BT is None:
            return table_TX[None, : input_ids_BT.shape[1]]
        return F.embedding(positions_BT, table_TX)

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """The head with the soft cap, if there is one: cap * tanh(logits / cap) (Gemma 2)."""
        logits_BTV = self.head(hidden_BTD)
        cap = self.config.soft_cap
        return logits_BTV if cap is None else cap * torch.tanh(logits_BTV / cap)

    def forward(
        self,
        input_ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        borders: Borders | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """logits_BTV; the arguments are those of `hidden`."""
        return self.logits(self.hidden(input_ids_BT, positions_BT, borders, cache))
