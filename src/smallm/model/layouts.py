"""Transformers' layouts, both ways: one table a family, names in, names out.

A family says which switches its layout expresses (`fixed`, `requires`), how its config.json is
written and read, and which of our parameters become which of theirs. model/families.py works by
these tables; a new family is a new entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.model.presets import sizes


@dataclass(frozen=True)
class Row:
    """One tensor of theirs and the ones of ours that it holds, stacked along the outputs.

    `{i}` is the layer. `transposed`: theirs is (inputs, outputs), as GPT-2's Conv1D.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Family:
    """One layout. `fixed`: switches with the one value it has; `requires`: (holds, why not) beyond those."""

    name: str
    layout: str  # as messages call it
    fixed: dict[str, Any]
    requires: tuple[tuple[Callable[[ModelConfig], bool], str], ...]
    tensors: Callable[[ModelConfig], list[Row]]
    write: Callable[[ModelConfig], dict[str, Any]]
    read: Callable[[dict[str, Any]], dict[str, Any]]
    # Buffers and tied copies in old checkpoints that hold nothing of their own.
    ignored: tuple[str, ...] = ()


def _rows(pairs: dict[str, str], transposed: bool = False) -> list[Row]:
    return [Row(theirs, (ours,), transposed) for ours, theirs in pairs.items()]


_LLAMA_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.o": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def _llama_tensors(config: ModelConfig) -> list[Row]:
    names = {"embed.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
    for ours, theirs in _LLAMA_BLOCK.items():
        names[f"blocks.{{i}}.{ours}.weight"] = f"model.layers.{{i}}.{theirs}.weight"
        if config.bias and "norm" not in ours:
            names[f"blocks.{{i}}.{ours}.bias"] = f"model.layers.{{i}}.{theirs}.bias"
    if config.qk_norm:
        names["blocks.{i}.attention.q_norm.weight"] = "model.layers.{i}.self_attn.q_norm.weight"
        names["blocks.{i}.attention.k_norm.weight"] = "model.layers.{i}.self_attn.k_norm.weight"
    if not config.tied:
        names["head.weight"] = "lm_head.weight"
    return _rows(names)


def _llama_write(config: ModelConfig) -> dict[str, Any]:
    H, K, C = sizes(config)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.width,
        "intermediate_size": config.ffn_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": H,
        "num_key_value_heads": K,
        "head_dim": C,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        # Both spellings: rope_parameters since Transformers 5, rope_theta for everything before and beside it.
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "hidden_act": "silu",
        "attention_bias": bool(config.bias),
        "mlp_bias": bool(config.bias),
        "attention_dropout": config.dropout,
    }


def _qwen3_write(config: ModelConfig) -> dict[str, Any]:
    values = {**_llama_write(config), "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    del values["mlp_bias"]
    return {**values, "use_sliding_window": False}


def _rope_theta(values: dict[str, Any]) -> float:
    """The base of plain rotary positions; scaled ones are refused (the decoder has no switch for them yet)."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", None):
        raise UserError(f"config.json: rope_scaling of type {kind} is not a switch of our decoder yet.")
    for place in (values, rope):
        if float(place.get("partial_rotary_factor") or 1.0) != 1.0:
            raise UserError("config.json: partial_rotary_factor is not a switch of our Llama layout.")
    return float(rope.get("rope_theta") or values.get("rope_theta") or 10_000.0)


def _llama_read(values: dict[str, Any]) -> dict[str, Any]:
    heads = int(values["num_attention_heads"])
    if values.get("hidden_act", "silu") != "silu":
        raise UserError(
            f"config.json: hidden_act {values['hidden_act']} is not a switch of our gated MLP (it has silu)."
        )
    bias = bool(values.get("attention_bias", False))
    if bias != bool(values.get("mlp_bias", values["model_type"] == "qwen3" and bias)):
        raise UserError("config.json: attention_bias without mlp_bias (or the reverse) is not a switch of our decoder.")
    return {
        "layers": values["num_hidden_layers"],
        "width": values["hidden_size"],
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_width": values.get("head_dim") or values["hidden_size"] // heads,
        "ffn_width": values["intermediate_size"],
        "context": values.get("max_position_embeddings", 2048),
        "rope_theta": _rope_theta(values),
        "norm_eps": values.get("rms_norm_eps", 1e-6),
        "bias": bias,
        "tied": bool(values.get("tie_word_embeddings", False)),
    }


def _qwen3_read(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("use_sliding_window"):
        raise UserError("config.json: use_sliding_window is not a switch of our decoder yet.")
    if values.get("attention_bias"):
        raise UserError("config.json: attention_bias without biases in the MLP is not a switch of our decoder.")
    return _llama_read({"head_dim": 128, **values})


def _gpt2_tensors(config: ModelConfig) -> list[Row]:
    rows = _rows({"embed.weight": "transformer.wte.weight", "positions.weight": "transformer.wpe.weight"})
    norms = {
        "norm": "transformer.ln_f",
        "blocks.{i}.attention_norm": "transformer.h.{i}.ln_1",
        "blocks.{i}.mlp_norm": "transformer.h.{i}.ln_2",
    }
    linears = {
        ("attention.q", "attention.k", "attention.v"): "attn.c_attn",
        ("attention.o",): "attn.c_proj",
        ("mlp.up",): "mlp.c_fc",
        ("mlp.down",): "mlp.c_proj",
    }
    for part in ("weight", "bias"):
        rows += _rows({f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in norms.items()})
        for ours, theirs in linears.items():
            names = tuple(f"blocks.{{i}}.{name}.{part}" for name in ours)
            rows.append(Row(f"transformer.h.{{i}}.{theirs}.{part}", names, transposed=part == "weight"))
    return rows + ([] if config.tied else [Row("lm_head.weight", ("head.weight",))])


def _gpt2_write(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_embd": config.width,
        "n_inner": config.ffn_width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_positions": config.context,
        "n_ctx": config.context,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": "gelu_new",
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
    }


def _gpt2_read(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("activation_function", "gelu_new") not in ("gelu_new", "gelu_pytorch_tanh"):
        raise UserError(f"config.json: activation_function {values['activation_function']} is not GPT-2's gelu_new.")
    for switch in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        if values.get(switch):
            raise UserError(f"config.json: {switch} is not a switch of our decoder.")
    return {
        "layers": values["n_layer"],
        "width": values["n_embd"],
        "heads": values["n_head"],
        "kv_heads": values["n_head"],
        "ffn_width": values.get("n_inner") or 4 * values["n_embd"],
        "context": values.get("n_positions", 1024),
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "tied": bool(values.get("tie_word_embeddings", True)),
    }


_ROTARY = {"position": "rope", "rope_fraction": 1.0, "norm": "rms", "mlp": "swiglu", "soft_cap": None}
_NO_BIAS = (lambda c: not c.bias, "biases in the MLP (model.bias: true)")
FAMILIES: dict[str, Family] = {
    "qwen3": Family(
        "qwen3", "Qwen3", {**_ROTARY, "qk_norm": True}, (_NO_BIAS,), _llama_tensors, _qwen3_write, _qwen3_read
    ),
    "llama": Family(
        "llama",
        "Llama",
        {**_ROTARY, "qk_norm": False},
        (),
        _llama_tensors,
        _llama_write,
        _llama_read,
        ignored=("rotary_emb.inv_freq",),
    ),
    "gpt2": Family(
        "gpt2",
        "GPT-2",
        {"position": "learned", "norm": "layer", "mlp": "gelu", "qk_norm": False, "bias": True, "soft_cap": None},
        (
            (lambda c: c.heads == c.kv_heads, "grouped key-value heads (model.kv_heads)"),
            (lambda c: sizes(c)[0] * sizes(c)[2] == c.width, "heads * head_width other than the width"),
        ),
        _gpt2_tensors,
        _gpt2_write,
        _gpt2_read,
        ignored=("attn.bias", "attn.masked_bias"),
    ),
}
