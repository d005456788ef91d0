"""Parity with Transformers: published configurations, cut in layers, widths and vocabulary and in nothing else.

Random weights, both directions, beyond the windows and beyond LongRoPE's original length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny import ids
from transformers import AutoConfig, AutoModelForCausalLM

from smallm.model.cache import KVCache
from smallm.model.families import load_pretrained, save_pretrained
from smallm.model.generate import SamplingConfig, generate_batch, generate_ids

# Phi-3.5 has 48 factors in each list: near 1 for short texts, up to 65 for long ones (these are made up).
SHORT = [round(1.0 + 0.02 * i + 0.0008 * i * i, 6) for i in range(48)]
LONG = [round(1.08 * 1.092**i, 6) for i in range(48)]
# config.json as published; `width`, `hidden_size` and the like are cut below.
PUBLISHED: dict[str, dict[str, Any]] = {
    "openai-community/openai-gpt": {
        "model_type": "openai-gpt", "afn": "gelu", "attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1,
        "layer_norm_epsilon": 1e-5, "n_ctx": 512, "n_positions": 512, "initializer_range": 0.02,
    },
    "openai-community/gpt2": {
        "model_type": "gpt2", "activation_function": "gelu_new", "attn_pdrop": 0.1, "embd_pdrop": 0.1,
        "resid_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "n_ctx": 1024, "n_positions": 1024,
    },
    "meta-llama/Llama-2-7b-hf": {
        "model_type": "llama", "hidden_act": "silu", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
        "pretraining_tp": 1, "rope_scaling": None, "tie_word_embeddings": False,
    },
    "meta-llama/Llama-3.2-1B": {
        "model_type": "llama", "hidden_act": "silu", "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
        "attention_bias": False, "mlp_bias": False, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
    },
    "HuggingFaceTB/SmolLM2-135M": {
        "model_type": "llama", "hidden_act": "silu", "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "attention_bias": False, "mlp_bias": False, "rope_theta": 100000, "rope_scaling": None,
        "tie_word_embeddings": True, "is_llama_config": True, "rope_interleaved": False,
    },
    "mistralai/Mistral-7B-v0.1": {
        "model_type": "mistral", "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
    },
    "mistralai/Mistral-7B-v0.3": {
        "model_type": "mistral", "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0, "sliding_window": None, "tie_word_embeddings": False,
    },
    "microsoft/phi-1_5": {
        "model_type": "phi", "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "max_position_embeddings": 2048,
        "partial_rotary_factor": 0.5, "qk_layernorm": False, "resid_pdrop": 0.0, "rope_scaling": None,
        "rope_theta": 10000.0, "tie_word_embeddings": False,
    },
    "microsoft/phi-2": {
        "model_type": "phi", "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "max_position_embeddings": 2048,
        "partial_rotary_factor": 0.4, "qk_layernorm": False, "resid_pdrop": 0.1, "rope_scaling": None,
        "rope_theta": 10000.0, "tie_word_embeddings": False,
    },
    "microsoft/Phi-3-mini-4k-instruct": {
        "model_type": "phi3", "hidden_act": "silu", "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_scaling": None, "rope_theta": 10000.0,
        "sliding_window": 2047, "tie_word_embeddings": False,
    },
    "microsoft/Phi-3.5-mini-instruct": {
        "model_type": "phi3", "hidden_act": "silu", "max_position_embeddings": 131072, "attention_bias": False,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "sliding_window": 262144, "tie_word_embeddings": False,
        "rope_scaling": {"type": "longrope", "short_factor": SHORT, "long_factor": LONG},
    },
    "Qwen/Qwen3-0.6B": {
        "model_type": "qwen3", "hidden_act": "silu", "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
        "attention_bias": False, "max_window_layers": 28, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": True, "use_sliding_window": False,
    },
}  # fmt: skip
_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4}
_SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
# Layers, widths, heads, vocabulary; the width of a head is the real one where it decides on something.
CUT: dict[str, dict[str, Any]] = {
    "openai-community/openai-gpt": _GPT,
    "openai-community/gpt2": _GPT,
    "meta-llama/Llama-2-7b-hf": {**_SMALL, "num_attention_heads": 4, "num_key_value_heads": 4},
    "meta-llama/Llama-3.2-1B": {**_SMALL, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64},
    "HuggingFaceTB/SmolLM2-135M": {**_SMALL, "hidden_size": 72, "num_attention_heads": 9, "num_key_value_heads": 3},
    "mistralai/Mistral-7B-v0.1": {**_SMALL, "num_attention_heads": 4, "num_key_value_heads": 1},
    "mistralai/Mistral-7B-v0.3": {**_SMALL, "num_attention_heads": 4, "num_key_value_heads": 1},
    "microsoft/phi-1_5": {**_SMALL, "num_attention_heads": 2, "num_key_value_heads": None},
    "microsoft/phi-2": {**_SMALL, "hidden_size": 160, "num_attention_heads": 2, "num_key_value_heads": 2},
    "microsoft/Phi-3-mini-4k-instruct": {
        **_SMALL, "hidden_size": 96, "num_attention_heads": 1, "num_key_value_heads": 1,
    },
    "microsoft/Phi-3.5-mini-instruct": {
        **_SMALL, "hidden_size": 192, "num_attention_heads": 2, "num_key_value_heads": 2,
    },
    "Qwen/Qwen3-0.6B": {**_SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128},
}  # fmt: skip
every_model = pytest.mark.parametrize("name", PUBLISHED)
# Beyond what: the window of 4096 and of 2047, LongRoPE's original 4096 tokens.
LONG_TEXTS = {
    "mistralai/Mistral-7B-v0.1": 4090,
    "microsoft/Phi-3-mini-4k-instruct": 2040,
    "microsoft/Phi-3.5-mini-instruct": 4090,
}
long_texts = pytest.mark.parametrize(("name", "length"), LONG_TEXTS.items())


def _values(name: str) -> dict[str, Any]:
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": 96}
    return {**PUBLISHED[name], **CUT[name], **ends}


def _theirs(name: str, directory: Path) -> Any:
    """Their model with random values everywhere, saved into `directory`."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**_values(name)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    model.eval().save_pretrained(directory)
    return model


@every_model
@torch.no_grad()
def test_a_published_configuration_gives_equal_logits_both_ways(name: str, tmp_path: Path) -> None:
    theirs = _theirs(name, tmp_path / "theirs")
    # The file that the Hub has, not the one that this version of Transformers makes of it.
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(_values(name)))
    ours, tokens = load_pretrained(tmp_path / "theirs"), ids(2, 70)
    expected = theirs(tokens).logits
    torch.testing.assert_close(ours(tokens), expected, atol=1e-4, rtol=1e-4)
    assert save_pretrained(ours, tmp_path / "ours") is None
    again, loading = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert type(again) is type(theirs)
    assert not any(loading.values()), loading
    torch.testing.assert_close(again.eval()(tokens).logits, expected, atol=1e-4, rtol=1e-4)
    assert load_pretrained(tmp_path / "ours").config == ours.config


@every_model
@torch.no_grad()
def test_what_this_version_of_transformers_writes_is_the_same_configuration(name: str, tmp_path: Path) -> None:
    _theirs(name, tmp_path)
    written = load_pretrained(tmp_path).config
    (tmp_path / "config.json").write_text(json.dumps(_values(name)))
    assert load_pretrained(tmp_path).config == written


@every_model
@torch.no_grad()
def test_cached_decoding_is_the_full_forward_pass(name: str, tmp_path: Path) -> None:
    _theirs(name, tmp_path)
    ours, tokens = load_pretrained(tmp_path), ids(2, 40)
    cache = KVCache(ours.config, 2, 40)
    parts = [ours(tokens[:, a:b], cache=cache) for a, b in ((0, 20), (20, 21), (21, 22), (22, 40))]
    torch.testing.assert_close(torch.cat(parts, dim=1), ours(tokens), atol=1e-4, rtol=1e-4)


@long_texts
@torch.no_grad()
def test_beyond_the_window_and_the_original_length_logits_are_theirs(name: str, length: int, tmp_path: Path) -> None:
    theirs = _theirs(name, tmp_path)
    ours, tokens = load_pretrained(tmp_path), ids(1, length + 20)
    expected = theirs(tokens).logits
    torch.testing.assert_close(ours(tokens), expected, atol=1e-4, rtol=1e-4)
    # A text of just the length is another function of its tokens than the beginning of a longer one, with LongRoPE.
    short = ours(tokens[:, :length])
    changes = (short - expected[:, :length]).abs().max() > 1e-2
    assert changes == ("Phi-3.5" in name)
    torch.testing.assert_close(short, theirs(tokens[:, :length]).logits, atol=1e-4, rtol=1e-4)


@long_texts
@torch.no_grad()
def test_generation_goes_on_beyond_them_as_the_full_forward_pass_does(name: str, length: int, tmp_path: Path) -> None:
    theirs = _theirs(name, tmp_path)
    ours, prompt = load_pretrained(tmp_path), ids(1, length)[0].tolist()
    sampling = SamplingConfig(greedy=True, max_new_tokens=12)
    text = list(generate_ids(ours, prompt, sampling))
    for n in (0, 6, 7, 11):
        assert int(ours(torch.tensor([prompt + text[:n]]))[0, -1].argmax()) == text[n]
    # Transformers 5.17 keeps keys that LongRoPE rotated for short texts in its cache when the text has become long.
    out = theirs.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, length), max_new_tokens=12, do_sample=False,
        eos_token_id=None, use_cache="Phi-3.5" not in name,
    )  # fmt: skip
    assert out[0, length:].tolist() == text
    # A row beside a short one is what it is alone.
    assert generate_batch(ours, [prompt, prompt[:50]], sampling) == [
        text,
        list(generate_ids(ours, prompt[:50], sampling)),
    ]
