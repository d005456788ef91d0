"""Laws of the layouts: Transformers computes what we compute, both ways, and what it cannot express is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny import LLAMA3, LONGROPE, SWITCHES_AND_SHARED, config, decoder, ids
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config

from smallm.core.errors import UserError
from smallm.model.decoder import Decoder
from smallm.model.families import (
    check_stored,
    family_of,
    from_hf_config,
    load_pretrained,
    refusal,
    save_pretrained,
    to_hf_config,
)
from smallm.model.generate import SamplingConfig, generate_ids
from smallm.model.presets import complete

# Switches that some family's layout holds, and which one.
EXPRESSED = {
    "qwen3": ({"preset": "qwen3"}, "Qwen3ForCausalLM"),
    "qwen3 grouped, wide heads": ({"kv_heads": 2, "head_width": 32}, "Qwen3ForCausalLM"),
    "qwen3 untied": ({"tied": False}, "Qwen3ForCausalLM"),
    "qwen3 without QK norm": ({"qk_norm": False}, "LlamaForCausalLM"),
    "llama": ({"preset": "llama", "kv_heads": 1, "rope_theta": 5e5}, "LlamaForCausalLM"),
    "llama with biases": ({"preset": "llama", "bias": True}, "LlamaForCausalLM"),
    "gpt2": ({"preset": "gpt2"}, "GPT2LMHeadModel"),
    "gpt2 untied, narrow": ({"preset": "gpt2", "tied": False, "ffn_width": 72}, "GPT2LMHeadModel"),
    "gpt2 with ReLU": ({"preset": "gpt2", "mlp": "relu"}, "GPT2LMHeadModel"),
    "llama 3": ({"preset": "llama", "kv_heads": 2, "rope_scaling": LLAMA3}, "LlamaForCausalLM"),
    "mistral": ({"preset": "mistral", "kv_heads": 2, "window": 6}, "MistralForCausalLM"),
    "llama with a window": ({"preset": "llama", "window": 6}, "MistralForCausalLM"),
    "phi": ({"preset": "phi"}, "PhiForCausalLM"),
    "phi, grouped": ({"preset": "phi", "kv_heads": 2, "rope_fraction": 0.25}, "PhiForCausalLM"),
    "phi3": ({"preset": "phi3", "kv_heads": 2}, "Phi3ForCausalLM"),
    "phi3, long rope, window": ({"preset": "phi3", "rope_scaling": LONGROPE, "window": 11}, "Phi3ForCausalLM"),
    "llama that rotates half": ({"preset": "llama", "rope_fraction": 0.5}, "Phi3ForCausalLM"),
    "smollm": ({"preset": "smollm", "kv_heads": 1}, "LlamaForCausalLM"),
    "mobilellm": ({"preset": "mobilellm", "kv_heads": 1}, "LlamaForCausalLM"),
    "transformer": ({"preset": "transformer", "position": "learned"}, "OpenAIGPTLMHeadModel"),
}
expressed = pytest.mark.parametrize(("switches", "architecture"), EXPRESSED.values(), ids=EXPRESSED)

SHAPE: dict[str, Any] = {"vocab_size": 96, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
LLAMA_SHAPE: dict[str, Any] = {
    **SHAPE,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 48,
}
THEIRS = {
    "llama": LlamaConfig(**LLAMA_SHAPE, tie_word_embeddings=False),
    "llama tied with biases": LlamaConfig(**LLAMA_SHAPE, tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "qwen3": Qwen3Config(**LLAMA_SHAPE, tie_word_embeddings=True),
    "gpt2": GPT2Config(**SHAPE, n_embd=64, n_layer=2, n_head=4, n_positions=48),
}


def _noisy(model: Any) -> Any:
    """Random values in every tensor: norms and biases begin as ones and zeros, which hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.15)
    return model.eval()


def _greedy(model: Any, prompt: list[int], n: int) -> list[int]:
    """Transformers' greedy text. Without its cache: that keeps LongRoPE's short keys where the text has become long."""
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=n, do_sample=False,
        use_cache=False,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


@expressed
@torch.no_grad()
def test_transformers_opens_what_we_save_with_equal_logits_and_text(
    switches: dict, architecture: str, tmp_path: Path
) -> None:
    ours = decoder(**switches)
    assert save_pretrained(ours, tmp_path) is None
    theirs, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(theirs).__name__ == architecture
    assert not any(loading.values()), loading
    tokens = ids(2, 40)
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=1e-4)
    text = list(generate_ids(ours, [0, 5, 7], SamplingConfig(greedy=True, max_new_tokens=20), stop_ids=(0,)))
    assert text == [t for t in _greedy(theirs, [0, 5, 7], 20) if t != 0]


@pytest.mark.parametrize("theirs", THEIRS.values(), ids=THEIRS)
@torch.no_grad()
def test_we_open_what_transformers_saves_with_equal_logits_and_text(theirs: Any, tmp_path: Path) -> None:
    model = _noisy(AutoModelForCausalLM.from_config(theirs))
    model.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path)
    tokens = ids(2, 40)
    torch.testing.assert_close(ours(tokens), model(tokens).logits, atol=1e-4, rtol=1e-4)
    text = list(generate_ids(ours, [0, 5, 7], SamplingConfig(greedy=True, max_new_tokens=20), stop_ids=(0,)))
    assert text == [t for t in _greedy(model, [0, 5, 7], 20) if t != 0]


@pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)
@torch.no_grad()
def test_every_model_comes_back_as_it_was_saved(switches: dict, tmp_path: Path) -> None:
    ours = decoder(**switches)
    why = save_pretrained(ours, tmp_path)
    assert (tmp_path / "smallm_model.json").exists() == (why is not None) != (tmp_path / "config.json").exists()
    again = load_pretrained(tmp_path)
    assert torch.equal(again(ids(2, 20)), ours(ids(2, 20)))
    assert not again.training
    assert all(p.requires_grad for p in again.parameters())
    assert (again.head.weight is again.embed.weight) == ours.config.tied
    assert {n for n, _ in again.named_parameters()} == {n for n, _ in ours.named_parameters()}


@pytest.mark.parametrize(
    ("switches", "says"),
    [
        ({"window": 8}, "transformers' Qwen3 layout has no window of attention (model.window: 8)"),
        (
            {"preset": "transformer"},
            "transformers' GPT-1 layout has no sinusoidal positions (model.position: sinusoidal)",
        ),
        (
            {"block": "parallel"},
            "transformers' Qwen3 layout has no attention and MLP side by side (model.block: parallel)",
        ),
        ({"head_bias": True}, "transformers' Qwen3 layout has no bias on the output head (model.head_bias: true)"),
        (
            {"rope_scaling": {**LONGROPE}},
            "transformers' Qwen3 layout has no longrope scaling of rotary positions (model.rope_scaling)",
        ),
        ({"mlp": "relu2"}, "transformers' Qwen3 layout has no squared ReLU (model.mlp: relu2)"),
        ({"rope_fraction": 0.5}, "transformers' Qwen3 layout has no partial rotation (model.rope_fraction: 0.5)"),
        ({"soft_cap": 15.0}, "transformers' Qwen3 layout has no logit soft cap (model.soft_cap: 15.0)"),
        ({"position": "none"}, "transformers' Qwen3 layout has no way to leave positions out (model.position: none)"),
        ({"bias": True}, "transformers' Qwen3 layout has no biases in the MLP (model.bias: true)"),
        (
            {"preset": "gpt2", "bias": False},
            "transformers' GPT-2 layout has no way to leave biases out (model.bias: false)",
        ),
        (
            {"preset": "gpt2", "kv_heads": 2},
            "transformers' GPT-2 layout has no grouped key-value heads (model.kv_heads)",
        ),
    ],
)
def test_what_no_layout_expresses_is_refused_by_the_name_of_the_switch(
    switches: dict, says: str, tmp_path: Path
) -> None:
    assert refusal(config(**switches)) == says
    with pytest.raises(UserError, match="opens in smallm alone"):
        to_hf_config(complete(config(**switches), 0))
    assert save_pretrained(Decoder(config(**switches)), tmp_path) == says
    assert json.loads((tmp_path / "smallm_model.json").read_text())["refusal"] == says


def test_initialisation_and_dropout_are_no_reason_to_refuse() -> None:
    assert refusal(config(zero_init_projections=True, init_std=0.3, dropout=0.1)) is None
    family = family_of(complete(config(qk_norm=False), 0))
    assert family is not None
    assert family.name == "llama"


def test_saving_over_a_model_of_the_other_kind_leaves_one_configuration(tmp_path: Path) -> None:
    save_pretrained(decoder(mlp="relu2"), tmp_path)
    save_pretrained(decoder(), tmp_path)
    assert not (tmp_path / "smallm_model.json").exists()
    save_pretrained(decoder(mlp="relu2"), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_half_precision_is_written_and_said(tmp_path: Path) -> None:
    save_pretrained(decoder(), tmp_path, dtype=torch.bfloat16)
    assert {t.dtype for t in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_pretrained(tmp_path).embed.weight.dtype == torch.float32
    assert load_pretrained(tmp_path, dtype=torch.bfloat16).embed.weight.dtype == torch.bfloat16


def _sharded(directory: Path) -> list[str]:
    tensors = load_file(directory / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in parts.items():
        save_file({n: tensors[n] for n in held}, directory / file)
    weight_map = {n: file for file, held in parts.items() for n in held}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (directory / "model.safetensors").unlink()
    return list(parts)


@torch.no_grad()
def test_shards_are_read_by_their_index_and_a_missing_one_is_named(tmp_path: Path) -> None:
    ours = decoder()
    save_pretrained(ours, tmp_path)
    shards = _sharded(tmp_path)
    assert torch.equal(load_pretrained(tmp_path)(ids(1, 9)), ours(ids(1, 9)))
    (tmp_path / shards[1]).unlink()
    with pytest.raises(UserError, match=r"1 of 2 shards are missing, the first model-00002-of-00002"):
        load_pretrained(tmp_path)


def _change(directory: Path, **values: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"model_type": "mamba"},
            r"model_type mamba is not a family.*gpt2, llama, mistral, openai-gpt, phi, phi3, qwen3",
        ),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"rope_scaling": {"rope_type": "yarn"}, "rope_parameters": None}, "type yarn"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "no low_freq_factor, which rope_type llama3 needs"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is not a switch of our Qwen3 layout"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"attention_bias": True}, "attention_bias True is not a switch"),
        ({"hidden_size": None}, "no key hidden_size, which a Qwen3 model needs"),
        ({"quantization_config": {"quant_method": "gptq"}}, "stored quantised"),
        ({"vocab_size": 97}, r"embed_tokens.weight has shape \(96, 64\) where config.json says \(97, 64\)"),
        ({"num_hidden_layers": 3}, r"no tensor model.layers.2.* \(11 missing, 0 too many\)"),
        ({"num_hidden_layers": 1}, r"a tensor model.layers.1.* \(0 missing, 11 too many\)"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(values: dict, says: str, tmp_path: Path) -> None:
    save_pretrained(decoder(), tmp_path)
    _change(tmp_path, **values)
    with pytest.raises(UserError, match=says):
        load_pretrained(tmp_path)


def test_directories_without_a_model_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model there"):
        load_pretrained(tmp_path)
    save_pretrained(decoder(), tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="torn or not safetensors"):
        load_pretrained(tmp_path)
    shutil.move(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is a pickle"):
        load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        load_pretrained(tmp_path)


def test_a_configuration_comes_back_from_config_json() -> None:
    for preset in ("qwen3", "llama", "gpt2", "mistral", "phi", "phi3"):
        ours = complete(config(preset=preset, dropout=0.0), 0)
        assert replace(from_hf_config(to_hf_config(ours)), zero_init_projections=None) == replace(
            ours, zero_init_projections=None
        )


def test_a_published_model_writes_its_reference_text(shared_data: Any) -> None:
    model = load_pretrained(shared_data("models/stories260K-hf-derived"))
    reference = json.loads((shared_data("models/stories260K") / "greedy_reference.json").read_text())
    expected = reference["greedy_ids_from_bos"]
    new = generate_ids(model, expected[:1], SamplingConfig(greedy=True, max_new_tokens=len(expected) - 1))
    assert list(new) == expected[1:]


@torch.no_grad()
def test_layers_that_share_a_block_are_written_out_and_come_back_as_one(tmp_path: Path) -> None:
    ours = decoder(preset="mobilellm", layers=4)
    save_pretrained(ours, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert sum("q_proj" in name for name in stored) == 4
    again = load_pretrained(tmp_path)
    assert len(again.blocks) == 2
    assert torch.equal(again(ids(1, 9)), ours(ids(1, 9)))
    stored["model.layers.1.mlp.up_proj.weight"] += 1
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.up_proj\.weight is not equal.*Set it to 1"):
        load_pretrained(tmp_path)
    _change(tmp_path, shared_layers=1)
    assert len(load_pretrained(tmp_path).blocks) == 4


def test_checking_a_directory_reads_its_headers_alone_and_finds_what_loading_finds(tmp_path: Path) -> None:
    save_pretrained(decoder(), tmp_path)
    assert check_stored(tmp_path) == load_pretrained(tmp_path).config
    _change(tmp_path, num_hidden_layers=3)
    with pytest.raises(UserError, match=r"no tensor model\.layers\.2"):
        check_stored(tmp_path)


def test_weights_in_a_type_that_we_do_not_compute_with_are_named(tmp_path: Path) -> None:
    save_pretrained(decoder(), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    stored["model.norm.weight"] = stored["model.norm.weight"].to(torch.float8_e4m3fn)
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"model\.norm\.weight is stored as F8_E4M3"):
        load_pretrained(tmp_path)


MEMORY = """
import resource, sys, threading, time
from pathlib import Path
import torch
from smallm.model.families import load_pretrained
torch.set_num_threads(1)
torch.ones(2, 2) @ torch.ones(2, 2)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before, peak, done = resident(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.0005)
watcher = threading.Thread(target=watch)
watcher.start()
model = load_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
done = True
watcher.join()
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print((peak - before) / weights)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the resident memory from /proc")
@pytest.mark.parametrize(("preset", "dtype"), [("phi3", "bfloat16"), ("gpt2", "float32"), ("qwen3", "float32")])
def test_loading_costs_the_memory_of_the_weights(preset: str, dtype: str, tmp_path: Path) -> None:
    """At most 1.1 of them above what the imports took, in the same type or another one, fused or transposed."""
    model = Decoder(config(preset=preset, layers=8, width=512, heads=8, vocab_size=32000, context=256))
    save_pretrained(model, tmp_path, dtype=torch.bfloat16)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), dtype], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) <= 1.1
