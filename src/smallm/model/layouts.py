"""Transformers' layouts, both ways: one table a family, names in, names out.

A family says which switches its layout expresses (`fixed`, `requires`), which key of config.json holds each of the
others (`keys`), which keys have one value alone (`says`), and which of our parameters become which of their tensors.
model/families.py works by these tables; a new family is a new entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smallm.core.config import ModelConfig
from smallm.model.presets import sizes

REQUIRED: Any = object()


@dataclass(frozen=True)
class Row:
    """One tensor of theirs and the ones of ours that it holds, stacked along the outputs.

    `{i}` is the layer. `transposed`: theirs is (inputs, outputs), as GPT-2's Conv1D.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Key:
    """The key of config.json that holds a switch of ours.

    `default`: what their code takes where the key is absent or null: a value, or a function of all of them. `null`:
    null is a value of its own, 0 here. `names`: their words for our values, the first of several is written.
    """

    ours: str
    theirs: str
    default: Any = REQUIRED
    null: bool = False
    names: Mapping[Any, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Family:
    """One layout. `fixed`: switches with the one value it has; `requires`: (holds, why not) beyond those."""

    name: str  # model_type
    layout: str  # as messages call it
    architecture: str
    preset: str
    fixed: dict[str, Any]
    keys: tuple[Key, ...]
    tensors: Callable[[ModelConfig], list[Row]]
    requires: tuple[tuple[Callable[[ModelConfig], bool], str], ...] = ()
    # Keys of config.json with the one value that is ours; another one is refused.
    says: dict[str, Any] = field(default_factory=dict)
    # Keys that are written for others, from a switch, and never read.
    written: dict[str, str] = field(default_factory=dict)
    # rope_type in config.json -> ours; the first word for a kind is written.
    scalings: dict[str, str] = field(default_factory=dict)
    # The share of a head that is rotated where config.json says nothing (families that can say so).
    rope_fraction: float = 1.0
    # Buffers and tied copies in old checkpoints that hold nothing of their own.
    ignored: tuple[str, ...] = ()


# ---- keys of config.json -------------------------------------------------------------------------------------------

_SIZES = (
    Key("layers", "num_hidden_layers"),
    Key("width", "hidden_size"),
    Key("heads", "num_attention_heads"),
    Key("kv_heads", "num_key_value_heads", lambda values: values["num_attention_heads"]),
    Key("ffn_width", "intermediate_size"),
)
_UNTIED, _TIED = (Key("tied", "tie_word_embeddings", default) for default in (False, True))
_HEAD_WIDTH = Key("head_width", "head_dim", lambda values: values["hidden_size"] // values["num_attention_heads"])
_LLAMA_KEYS = (*_SIZES, _HEAD_WIDTH, Key("norm_eps", "rms_norm_eps", 1e-6), _UNTIED)
_GPT_SIZES = (
    Key("layers", "n_layer"),
    Key("width", "n_embd"),
    Key("heads", "n_head"),
    Key("norm_eps", "layer_norm_epsilon", 1e-5),
    _TIED,
)
_GPT_DROPOUT = {"embd_pdrop": "dropout", "attn_pdrop": "dropout", "resid_pdrop": "dropout"}
_GELU = ("gelu_new", "gelu_pytorch_tanh")

# ---- tensors -------------------------------------------------------------------------------------------------------

_LLAMA_BLOCK = {
    ("attention_norm",): "input_layernorm",
    ("attention.q",): "self_attn.q_proj",
    ("attention.k",): "self_attn.k_proj",
    ("attention.v",): "self_attn.v_proj",
    ("attention.o",): "self_attn.o_proj",
    ("mlp_norm",): "post_attention_layernorm",
    ("mlp.gate",): "mlp.gate_proj",
    ("mlp.up",): "mlp.up_proj",
    ("mlp.down",): "mlp.down_proj",
}
_PHI3_BLOCK = {
    ("attention_norm",): "input_layernorm",
    ("attention.q", "attention.k", "attention.v"): "self_attn.qkv_proj",
    ("attention.o",): "self_attn.o_proj",
    ("mlp_norm",): "post_attention_layernorm",
    ("mlp.gate", "mlp.up"): "mlp.gate_up_proj",
    ("mlp.down",): "mlp.down_proj",
}
_PHI_BLOCK = {
    ("attention_norm",): "input_layernorm",
    ("attention.q",): "self_attn.q_proj",
    ("attention.k",): "self_attn.k_proj",
    ("attention.v",): "self_attn.v_proj",
    ("attention.o",): "self_attn.dense",
    ("mlp.up",): "mlp.fc1",
    ("mlp.down",): "mlp.fc2",
}
_GPT_BLOCK = {
    ("attention_norm",): "ln_1",
    ("attention.q", "attention.k", "attention.v"): "attn.c_attn",
    ("attention.o",): "attn.c_proj",
    ("mlp_norm",): "ln_2",
    ("mlp.up",): "mlp.c_fc",
    ("mlp.down",): "mlp.c_proj",
}


def _tensors(
    outside: dict[str, str], layers: str, block: dict[tuple[str, ...], str], *, conv: bool = False
) -> Callable[[ModelConfig], list[Row]]:
    """The rows of a layout: `outside` the layers, and each layer's `block` under `layers`.

    Biases stand where the configuration has them, the head where it is not tied. `conv`: linear weights of the
    blocks are (inputs, outputs).
    """

    def rows(config: ModelConfig) -> list[Row]:
        found = [Row(theirs, (ours,)) for ours, theirs in outside.items()]
        for ours, theirs in block.items():
            norm = ours[0].endswith("norm")
            for part in ("weight", "bias") if config.bias and (not norm or config.norm == "layer") else ("weight",):
                names = tuple(f"blocks.{{i}}.{name}.{part}" for name in ours)
                found.append(Row(f"{layers}.{theirs}.{part}", names, conv and part == "weight" and not norm))
        if config.qk_norm:
            for name in ("q_norm", "k_norm"):
                found.append(Row(f"{layers}.self_attn.{name}.weight", (f"blocks.{{i}}.attention.{name}.weight",)))
        found += [] if config.tied else [Row("lm_head.weight", ("head.weight",))]
        return found + ([Row("lm_head.bias", ("head.bias",))] if config.head_bias else [])

    return rows


_MODEL = {"embed.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
_llama_tensors = _tensors(_MODEL, "model.layers.{i}", _LLAMA_BLOCK)
_phi3_tensors = _tensors(_MODEL, "model.layers.{i}", _PHI3_BLOCK)
_phi_tensors = _tensors(
    {
        "embed.weight": "model.embed_tokens.weight",
        "norm.weight": "model.final_layernorm.weight",
        "norm.bias": "model.final_layernorm.bias",
    },
    "model.layers.{i}",
    _PHI_BLOCK,
)
_gpt2_tensors = _tensors(
    {
        "embed.weight": "transformer.wte.weight",
        "positions.weight": "transformer.wpe.weight",
        "norm.weight": "transformer.ln_f.weight",
        "norm.bias": "transformer.ln_f.bias",
    },
    "transformer.h.{i}",
    _GPT_BLOCK,
    conv=True,
)
_gpt_tensors = _tensors(
    {"embed.weight": "transformer.tokens_embed.weight", "positions.weight": "transformer.positions_embed.weight"},
    "transformer.h.{i}",
    _GPT_BLOCK,
    conv=True,
)

# ---- the families --------------------------------------------------------------------------------------------------

_NO_BIAS = (lambda c: not c.bias, "biases in the MLP (model.bias: true)")
_NO_GROUPS = (lambda c: c.heads == c.kv_heads, "grouped key-value heads (model.kv_heads)")
_NARROW = (lambda c: sizes(c)[0] * sizes(c)[2] == c.width, "heads * head_width other than the width")
_PRE = {"soft_cap": None, "qk_norm": False, "block": "pre", "head_bias": False}
_ROTARY = {"position": "rope", "rope_fraction": 1.0, "norm": "rms", "mlp": "swiglu", **_PRE}
_SCALED = {"linear": "linear", "llama3": "llama3"}
_SILU, _DROPOUT = {"hidden_act": "silu"}, {"attention_dropout": "dropout"}

_QWEN3 = Family(
    "qwen3", "Qwen3", "Qwen3ForCausalLM", "qwen3", {**_ROTARY, "qk_norm": True, "window": 0},
    (*(key for key in _LLAMA_KEYS if key is not _HEAD_WIDTH), Key("head_width", "head_dim", 128),
     Key("context", "max_position_embeddings", 32768)),
    _llama_tensors, (_NO_BIAS,), {**_SILU, "attention_bias": False, "use_sliding_window": False}, _DROPOUT, _SCALED,
)  # fmt: skip
_LLAMA = Family(
    "llama", "Llama", "LlamaForCausalLM", "llama", {**_ROTARY, "window": 0},
    (*_LLAMA_KEYS, Key("context", "max_position_embeddings", 2048), Key("bias", "attention_bias", False),
     Key("bias", "mlp_bias", False)),
    _llama_tensors, (), _SILU, _DROPOUT, _SCALED, ignored=("rotary_emb.inv_freq",),
)  # fmt: skip
_MISTRAL = Family(
    "mistral", "Mistral", "MistralForCausalLM", "mistral", {**_ROTARY, "bias": False},
    (*_LLAMA_KEYS, Key("context", "max_position_embeddings", 131072), Key("window", "sliding_window", 4096, null=True)),
    _llama_tensors, (), _SILU, _DROPOUT, _SCALED,
)  # fmt: skip
_PHI3 = Family(
    "phi3", "Phi-3", "Phi3ForCausalLM", "phi3",
    {name: value for name, value in _ROTARY.items() if name != "rope_fraction"} | {"bias": False},
    (*_SIZES, Key("norm_eps", "rms_norm_eps", 1e-5), _UNTIED, Key("context", "max_position_embeddings", 4096),
     Key("window", "sliding_window", None, null=True)),
    _phi3_tensors, (_NARROW,), _SILU, {**_DROPOUT, "embd_pdrop": "dropout", "resid_pdrop": "dropout"},
    # Early Phi-3 said `su`, and some of its files `yarn`, for what is LongRoPE.
    {"longrope": "longrope", "su": "longrope", "yarn": "longrope"},
)  # fmt: skip
_PHI = Family(
    "phi", "Phi", "PhiForCausalLM", "phi",
    {**_PRE, "position": "rope", "norm": "layer", "bias": True, "block": "parallel", "head_bias": True, "window": 0},
    (*_SIZES, Key("norm_eps", "layer_norm_eps", 1e-5), _UNTIED, Key("context", "max_position_embeddings", 2048),
     Key("mlp", "hidden_act", "gelu_new", names={"gelu": _GELU, "relu": ("relu",), "relu2": ("relu2",)})),
    _phi_tensors, (_NARROW,), {"qk_layernorm": False},
    {**_DROPOUT, "embd_pdrop": "dropout", "resid_pdrop": "dropout"}, rope_fraction=0.5,
)  # fmt: skip
_GPT2 = Family(
    "gpt2", "GPT-2", "GPT2LMHeadModel", "gpt2",
    {"position": "learned", "norm": "layer", **_PRE, "bias": True, "window": 0},
    (*_GPT_SIZES, Key("context", "n_positions", 1024), Key("ffn_width", "n_inner", lambda v: 4 * v["n_embd"]),
     Key("mlp", "activation_function", "gelu_new",
         names={"gelu": _GELU, "relu": ("relu",), "relu2": ("relu2",)})),
    _gpt2_tensors, (_NO_GROUPS, _NARROW),
    {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False},
    {"n_ctx": "context", **_GPT_DROPOUT}, ignored=("attn.bias", "attn.masked_bias"),
)  # fmt: skip
# GPT-1 (Radford et al. 2018): the decoder of 2017 with learned positions. Sinusoids have no layout of a decoder alone.
_GPT = Family(
    "openai-gpt", "GPT-1", "OpenAIGPTLMHeadModel", "transformer",
    {"position": "learned", "norm": "layer", **_PRE, "block": "post", "bias": True, "window": 0},
    (*_GPT_SIZES, Key("context", "n_positions", 512),
     Key("mlp", "afn", "gelu", names={"gelu": ("gelu",), "relu": ("relu",)})),
    _gpt_tensors,
    (_NO_GROUPS, _NARROW, (lambda c: c.ffn_width == 4 * c.width, "MLP width but 4 times the width (model.ffn_width)")),
    {}, _GPT_DROPOUT, ignored=("attn.bias", "position_ids"),
)  # fmt: skip

FAMILIES: dict[str, Family] = {f.name: f for f in (_QWEN3, _LLAMA, _MISTRAL, _PHI3, _PHI, _GPT2, _GPT)}
# The family whose layout a preset is first saved in.
OF_PRESET: dict[str, Family] = {
    **{f.preset: f for f in FAMILIES.values()},
    "smollm": _LLAMA,
    "mobilellm": _LLAMA,
}
