"""Laws of adapters: every listed name matches or stops, all-linear is all of them, only they are trained, ties stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, make_model, save_base, tuned
from finetune.tiny_phi3 import make_phi3

from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.finetune.adapters import attach, is_tied

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phi")
    make_phi3(directory)
    return directory


def attached(family: str, **keys: Any) -> tuple[Any, Any]:
    return attach(make_model(family, **keys.pop("switches", {})), FinetuneConfig(**keys))


def test_all_linear_is_every_linear_layer_but_the_head() -> None:
    for family, kinds in {
        "llama": dict.fromkeys(SEVEN, 2),
        "phi3": {"qkv_proj": 2, "o_proj": 2, "gate_up_proj": 2, "down_proj": 2},
        "gpt2": {"c_attn": 2, "c_proj": 4, "c_fc": 2},
    }.items():
        model, coverage = attached(family)
        assert coverage.modules == kinds
        wrapped = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if hasattr(m, "lora_A") and n}
        assert wrapped == set(kinds)


def test_the_seven_usual_names_on_phi3_stop_and_name_the_fused_ones() -> None:
    """They would train o_proj and down_proj alone."""
    with pytest.raises(UserError) as caught:
        attached("phi3", lora_target_modules=SEVEN)
    said = str(caught.value)
    assert "q_proj, k_proj, v_proj, gate_proj, up_proj matched no module" in said
    assert "gate_up_proj, qkv_proj are in their place (fused)" in said
    assert "o_proj x 2" in said
    assert "`all-linear`" in said


@pytest.mark.parametrize("asked", [["q_prj"], "q_prj", "model\\.layers\\.9\\..*", [], ["q_proj", "nothing"]])
def test_a_name_that_matches_nothing_stops(asked: Any) -> None:
    with pytest.raises(UserError, match="lora_target_modules"):
        attached("llama", lora_target_modules=asked)
    with pytest.raises(UserError, match=r"embed_tokns is no module.*Did you mean embed_tokens\?"):
        attached("llama", lora_modules_to_save=["embed_tokns"])


def test_names_and_patterns_mean_what_they_match() -> None:
    _, by_name = attached("llama", lora_target_modules="q_proj")
    assert by_name.modules == {"q_proj": 2}
    _, by_list = attached("llama", lora_target_modules=["layers.0.self_attn.q_proj", "v_proj"])
    assert by_list.modules == {"q_proj": 1, "v_proj": 2}
    _, by_pattern = attached("llama", lora_target_modules=r"model\.layers\.1\..*(q|k)_proj")
    assert by_pattern.modules == {"q_proj": 1, "k_proj": 1}


def test_only_what_the_recipe_names_is_trained_and_counted() -> None:
    for keys in ({}, {"use_dora": True}, {"use_rslora": True}, {"lora_modules_to_save": ["embed_tokens", "lm_head"]}):
        model, coverage = attached("llama", **keys)
        names = [n for n, p in model.named_parameters() if p.requires_grad]
        assert names
        assert all("lora_" in n or "modules_to_save" in n for n in names)
        assert coverage.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    model, coverage = attached("llama", method="full")
    assert coverage.trained == coverage.total == sum(p.numel() for p in model.parameters())


def test_what_is_left_out_is_said_with_the_reason() -> None:
    _, coverage = attached("llama", lora_target_modules=["q_proj"])
    assert coverage.left_out["k_proj"] == (2, "not in lora_target_modules")
    assert "lora_modules_to_save" in coverage.left_out["lm_head"][1]
    assert "q_proj x 2" in coverage.text()
    _, experts = attached("gpt_oss")
    assert "experts" in experts.left_out
    assert "one tensor" in experts.left_out["experts"][1]


def test_adapters_of_16_bit_weights_are_float32() -> None:
    model, _ = attach(make_model("llama").to(torch.bfloat16), FinetuneConfig())
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}


@pytest.mark.parametrize(("family", "name"), [("llama", "embed_tokens"), ("llama", "lm_head"), ("gpt2", "wte")])
def test_a_tied_embedding_that_is_trained_whole_stays_tied(family: str, name: str) -> None:
    model, coverage = attached(family, switches={"tie_word_embeddings": True}, lora_modules_to_save=[name])
    inner = model.get_base_model()
    assert is_tied(inner)
    assert inner.get_output_embeddings().weight.requires_grad
    assert coverage.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_an_adapter_on_one_side_of_a_tie_is_refused() -> None:
    for name in ("embed_tokens", "lm_head"):
        with pytest.raises(UserError, match=r"tied.*lora_modules_to_save"):
            attached("llama", switches={"tie_word_embeddings": True}, lora_target_modules=["q_proj", name])
    _, coverage = attached("llama", lora_target_modules=["q_proj", "lm_head"])  # two matrices: nothing to untie
    assert coverage.modules == {"q_proj": 2, "lm_head": 1}


def test_a_lora_on_the_head_counts_in_the_loss(tmp_path: Path) -> None:
    decoder = tuned(save_base(tmp_path / "base"), lora_target_modules=["lm_head"])
    hidden = decoder.hidden(documents((6,))[0][None]).detach()
    with decoder.model.disable_adapter():
        without = decoder.head(hidden)
    assert not torch.allclose(decoder.head(hidden), without, atol=1e-3)


def test_the_real_phi3_layout_is_covered(phi3: Path) -> None:
    decoder = tuned(phi3, load_in_4bit=True)
    assert decoder.coverage is not None
    assert set(decoder.coverage.modules) == {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}
    assert decoder.isolates
