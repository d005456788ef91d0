"""Tiny bases for the tests of the model's side of fine-tuning: one of each kind of attention, and rows of documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smallm.core.config import FinetuneConfig
from smallm.finetune.causal import CausalDecoder, load_for_training
from smallm.finetune.dtypes import plan_dtypes
from smallm.model.attention import Borders, make_borders

SHAPE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1,
}  # fmt: skip
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2}
LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "long_factor": [1.5] * 4,
    "short_factor": [1.1] * 4,
}
GPT2: dict[str, Any] = {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
# Every turn ends in <|turn|>, id 2.
TURNS = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<|turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
STILL: dict[str, Any] = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}  # GPT-2's dropout, off


def make_model(family: str, *, seed: int = 0, **switches: Any) -> Any:
    """A model of Transformers whose predictions are far from uniform."""
    import transformers as t

    grouped: dict[str, Any] = GROUPED | switches
    windowed: dict[str, Any] = {"sliding_window": 6, **grouped}
    gemma: dict[str, Any] = {**grouped, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6}
    makers: dict[str, Any] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**grouped)),
        "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**grouped, head_dim=8)),
        "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**{**windowed, "sliding_window": 4})),
        "phi3": lambda: t.Phi3ForCausalLM(
            t.Phi3Config(**windowed, original_max_position_embeddings=32,
                         rope_parameters={**LONGROPE, "original_max_position_embeddings": 32, "factor": 2.0})
        ),
        "gemma2": lambda: t.Gemma2ForCausalLM(
            t.Gemma2Config(**gemma, final_logit_softcapping=4.0, attn_logit_softcapping=3.0)
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(**GPT2 | STILL | switches)),
        "granite": lambda: t.GraniteForCausalLM(t.GraniteConfig(**grouped, logits_scaling=3.0)),
        "gpt_oss": lambda: t.GptOssForCausalLM(
            t.GptOssConfig(**grouped, head_dim=8, num_local_experts=2, num_experts_per_tok=1,
                           sliding_window=6)
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(vocab_size=320, hidden_size=32, n_layer=2, n_head=4, attention_dropout=0, hidden_dropout=0)
        ),
        "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2)),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = makers[family]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def save_base(directory: Path, family: str = "llama", **switches: Any) -> Path:
    """The model and a tokenizer of 320 tokens in a directory."""
    from tiny_hf import make_tokenizer

    make_model(family, **switches).save_pretrained(directory)
    make_tokenizer(directory, template=TURNS)
    return directory


def save_shared_base(directory: Path) -> Path:
    """A base of smallm's whose two layers are one block's weights, with the tokenizer of the others."""
    from model.tiny import decoder
    from tiny_hf import make_tokenizer

    from smallm.model.families import save_pretrained

    save_pretrained(decoder(preset="mobilellm", vocab_size=320), directory)
    make_tokenizer(directory, template=TURNS)
    return directory


def documents(lengths: Sequence[int], vocabulary: int = 320, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(vocabulary, (n,), generator=generator) for n in lengths]


def packed(rows: Sequence[Sequence[Tensor]], backend: str = "varlen") -> tuple[Tensor, Tensor, Borders]:
    """(ids_BT, positions_BT, borders) of rows of equal length."""
    ids_BT = torch.stack([torch.cat(list(row)) for row in rows])
    positions_BT = torch.stack([torch.cat([torch.arange(len(d)) for d in row]) for row in rows])
    segments_BT = torch.stack([torch.cat([torch.full((len(d),), i) for i, d in enumerate(row)]) for row in rows])
    return ids_BT, positions_BT, make_borders(segments_BT, backend)


def tuned(base: Path, *, spread: float = 0.05, seed: int = 1, **keys: Any) -> CausalDecoder:
    """A base with adapters that do something (as after a training)."""
    tune = FinetuneConfig(**keys)
    decoder = load_for_training(base, tune, "cpu", plan_dtypes("cpu", tune))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    return decoder
