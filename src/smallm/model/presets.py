"""What each preset decides: the switches of the decoder that a recipe left open.

A preset is a row of a table. `complete` fills every None of a ModelConfig from it, works out
the head count and widths, and refuses shapes that cannot be built. Letters: D width, H heads,
K key-value heads, C head width, F feed-forward width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.model.scaling import check_scaling

# The vocabulary is padded to this: matrix products of aligned width are faster (nanoGPT, 50,257 -> 50,304: +25 %).
VOCAB_MULTIPLE = 64
FFN_MULTIPLE = 64

_COMMON = {
    "rope_theta": 10_000.0,
    "rope_fraction": 1.0,
    "window": 0,
    "block": "pre",
    "qk_norm": False,
    "head_bias": False,
    "tied": True,
    "shared_layers": 1,
    "zero_init_projections": False,
}
_ROTARY = {**_COMMON, "position": "rope", "norm": "rms", "norm_eps": 1e-5, "mlp": "swiglu", "bias": False}
_CLASSIC = {**_COMMON, "norm": "layer", "norm_eps": 1e-5, "bias": True}
PRESETS: dict[str, dict[str, Any]] = {
    "qwen3": {**_ROTARY, "norm_eps": 1e-6, "qk_norm": True, "zero_init_projections": True},
    "llama": _ROTARY,
    "gpt2": {**_CLASSIC, "position": "learned", "mlp": "gelu"},
    # Mistral 7B v0.1 (Jiang et al. 2023): grouped heads are the recipe's kv_heads, the window is published.
    "mistral": {**_ROTARY, "window": 4096, "tied": False},
    # Phi-1 and 1.5 rotate half of heads of 64, Phi-2 0.4 of heads of 80: 32 channels each (Li et al. 2023).
    "phi": {
        **_CLASSIC, "position": "rope", "rope_fraction": 0.5, "mlp": "gelu", "block": "parallel", "head_bias": True,
        "tied": False,
    },
    "phi3": {**_ROTARY, "tied": False},
    "smollm": {**_ROTARY, "rope_theta": 100_000.0},
    # MobileLLM-LS (Liu et al. 2024): deep, thin, and each block computed twice in a row.
    "mobilellm": {**_ROTARY, "shared_layers": 2},
    # The decoder of Vaswani et al. 2017, without the attention to an encoder.
    "transformer": {**_CLASSIC, "position": "sinusoidal", "mlp": "relu", "block": "post"},
}  # fmt: skip
# Head width when the recipe names neither heads nor head_width: one width for every preset.
HEAD_WIDTH = 64


def complete(config: ModelConfig, vocab_size: int) -> ModelConfig:
    """`config` with every None filled by its preset (soft_cap, init_std and rope_scaling stay as they are).

    `vocab_size` is the tokenizer's number of ids; a config of 0 takes it, padded to 64. Completing a
    complete config changes nothing. Raises UserError for shapes that cannot be built.
    """
    if config.preset not in PRESETS:
        raise UserError(f"model.preset: {config.preset} is not known. The presets are {', '.join(sorted(PRESETS))}.")
    switches = {name: value for name, value in PRESETS[config.preset].items() if getattr(config, name) is None}
    config = replace(config, vocab_size=_vocabulary(config, vocab_size), **switches)
    config = _heads(config)
    if config.ffn_width is None:
        config = replace(config, ffn_width=_ffn_width(config))
    _check(config)
    return config


def _vocabulary(config: ModelConfig, vocab_size: int) -> int:
    """V: the recipe's, or the tokenizer's padded to a multiple of 64."""
    if config.vocab_size == 0:
        if vocab_size < 1:
            raise UserError("model.vocab_size is 0 (take the tokenizer's) but no tokenizer's size is known. Set it.")
        return -(-vocab_size // VOCAB_MULTIPLE) * VOCAB_MULTIPLE
    if config.vocab_size < vocab_size:
        raise UserError(
            f"model.vocab_size is {config.vocab_size} but the tokenizer has {vocab_size} tokens. "
            "The model needs a row for each: raise it, or leave it out to take the tokenizer's."
        )
    return config.vocab_size


def _heads(config: ModelConfig) -> ModelConfig:
    """Fill H, K and C. Given heads, C = D / H; given C, H = D / C; given neither, C is about 64."""
    D, H, C = config.width, config.heads, config.head_width
    if H is None:
        H = max(1, D // (C or HEAD_WIDTH))
    if C is None:
        if D % H:
            dividing = ", ".join(str(h) for h in range(1, D + 1) if D % h == 0 and D // h >= 2 and (D // h) % 2 == 0)
            raise UserError(
                f"model.heads: {H} does not divide model.width: {D}. Take one of {dividing}, or set model.head_width."
            )
        C = D // H
    return replace(config, heads=H, head_width=C, kv_heads=config.kv_heads or H)


def _ffn_width(config: ModelConfig) -> int:
    """F: 4 D, or for a gated MLP (three matrices) two thirds of it: 8/3 D rounded up to 64 (Llama's rule)."""
    if config.mlp != "swiglu":
        return 4 * config.width
    return -(-(8 * config.width) // (3 * FFN_MULTIPLE)) * FFN_MULTIPLE


def _check(config: ModelConfig) -> None:
    """Refuse what cannot be built, naming the key, the value, and the rule."""
    H, K, C = sizes(config)
    if H % K:
        raise UserError(
            f"model.kv_heads: {K} does not divide model.heads: {H}. Each key-value head serves an equal group of heads."
        )
    if config.layers % (config.shared_layers or 1):
        raise UserError(
            f"model.shared_layers: {config.shared_layers} does not divide model.layers: {config.layers}. Each block "
            "serves equally many layers in a row."
        )
    if config.position == "sinusoidal" and config.width % 2:
        raise UserError(f"model.width: {config.width} is odd; sinusoidal positions are pairs of a sine and a cosine.")
    if config.rope_scaling is not None and config.position != "rope":
        raise UserError(f"model.rope_scaling scales rotary positions; model.position is {config.position}.")
    if config.position == "rope":
        rotated = rotated_channels(config)
        if rotated < 2 or rotated % 2:
            raise UserError(
                f"model.rope_fraction: {config.rope_fraction} of a head width of {C} rotates {rotated} channels. "
                "Rotation works on pairs: the product must be even and at least 2."
            )
        if config.rope_scaling is not None:
            check_scaling(config.rope_scaling, rotated // 2)


def sizes(config: ModelConfig) -> tuple[int, int, int]:
    """(H, K, C) of a complete config."""
    if config.heads is None or config.kv_heads is None or config.head_width is None:
        raise ValueError("the model's configuration is not complete: pass it through presets.complete first")
    return config.heads, config.kv_heads, config.head_width


def ffn_width(config: ModelConfig) -> int:
    """F of a complete config."""
    if config.ffn_width is None:
        raise ValueError("the model's configuration is not complete: pass it through presets.complete first")
    return config.ffn_width


def rotated_channels(config: ModelConfig) -> int:
    """How many of a head's C channels are rotated (the first ones, as in GPT-NeoX and Phi)."""
    return int(sizes(config)[2] * (config.rope_fraction or 1.0))


def from_dict(values: dict[str, Any]) -> ModelConfig:
    """The ModelConfig that `asdict` wrote; a key that we do not know is a UserError (a newer smallm wrote it)."""
    known = asdict(ModelConfig())
    if unknown := sorted(set(values) - set(known)):
        raise UserError(
            f"the model's configuration has the unknown key `{unknown[0]}`. "
            f"It was written by another version of smallm; this one knows {', '.join(sorted(known))}."
        )
    return ModelConfig(**values)
