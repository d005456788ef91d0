"""Adapters and 4- and 8-bit weights score as their plain forward pass does, and scoring changes nothing in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import (
    REQUESTS,
    TEMPLATE,
    expected,
    make_directory,
    make_model,
    make_tokenizer,
    plain,
    plain_greedy,
)

from smallm.core.errors import UserError
from smallm.core.files import read_json, write_json
from smallm.evaluate.requests import Request
from smallm.evaluate.scorer import TextScorer, load_scorer

OURS, OTHERS = ("llama", "gpt2"), ("gpt_neox", "gemma2")
WINDOW = 48


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One directory a family; weights differ."""
    root = tmp_path_factory.mktemp("models")
    for seed, family in enumerate((*OURS, *OTHERS)):
        make_directory(root / family, family, seed=seed, template=TEMPLATE if family == "llama" else None)
    return {family: root / family for family in (*OURS, *OTHERS)}


@pytest.fixture(scope="module")
def scorers(models: dict[str, Path]) -> dict[str, TextScorer]:
    return {family: load_scorer(path) for family, path in models.items()}


@pytest.fixture(scope="module")
def adapter(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of some of Llama's layers and its head, nothing zero, beside its base in one folder."""
    from peft import LoraConfig, get_peft_model

    root = tmp_path_factory.mktemp("adapters")
    shutil.copytree(models["llama"], root / "base")
    layers = ["q_proj", "down_proj", "lm_head"]
    model = get_peft_model(plain(root / "base"), LoraConfig(r=4, target_modules=layers, task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    model.save_pretrained(str(root / "lora"), save_embedding_layers=False)
    set_base(root / "lora", "../base")
    return root / "lora"


def set_base(adapter: Path, name: str | None, **others: Any) -> None:
    path = adapter / "adapter_config.json"
    write_json(path, {**read_json(path), "base_model_name_or_path": name, **others})


def adapted(adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(plain(adapter.parent / "base"), str(adapter)).eval()


def test_an_adapter_is_scored_with_its_base_and_unmerged(adapter: Path):
    scorer, base = load_scorer(adapter), load_scorer(adapter.parent / "base")
    model = adapted(adapter)
    assert scorer.settings["kind"] == "adapter"
    for request, score, bare in zip(
        REQUESTS, scorer.loglikelihoods(REQUESTS), base.loglikelihoods(REQUESTS), strict=True
    ):
        assert score.logprob == pytest.approx(expected(model, scorer, request)[0], abs=1e-4)
        assert abs(score.logprob - bare.logprob) > 0.01
    stored = plain(adapter.parent / "base").state_dict()["model.layers.0.self_attn.q_proj.weight"]
    loaded = scorer.backend.model.state_dict()["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert torch.equal(stored, loaded)
    assert scorer.weights_sha256 != base.weights_sha256
    ids = scorer.tokenizer.encode("the cat")
    [answer] = scorer.generate(["the cat"], max_new_tokens=12)
    assert answer == scorer.tokenizer.decode(plain_greedy(model, ids, 12, usable=len(scorer.tokenizer), ends=[0]))


def test_an_adapters_base_is_found_from_the_working_directory_too(adapter: Path, tmp_path: Path, monkeypatch: Any):
    mine = shutil.copytree(adapter, tmp_path / "lora")
    set_base(mine, "base")
    monkeypatch.chdir(adapter.parent)
    assert load_scorer(mine).weights_sha256 == load_scorer(adapter).weights_sha256


def test_the_base_an_adapter_belongs_to_is_part_of_its_identity(adapter: Path, tmp_path: Path):
    mine = shutil.copytree(adapter.parent, tmp_path / "both")
    before = load_scorer(mine / "lora")
    make_model(mine / "base", "llama", seed=9)
    assert load_scorer(mine / "lora").weights_sha256 != before.weights_sha256
    set_base(mine / "lora", "../base", lora_alpha=32)
    assert load_scorer(mine / "lora").settings["config_sha256"] != before.settings["config_sha256"]


def test_an_adapter_that_brings_new_tokens_brings_their_embedding(adapter: Path, tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    tokenizer = make_tokenizer(tmp_path / "longer")
    tokenizer.add_tokens([f"<new-{i}>" for i in range(400 - len(tokenizer))])
    tokenizer.save_pretrained(tmp_path / "longer")
    base = plain(adapter.parent / "base")
    base.resize_token_embeddings(400)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")).eval()
    model.save_pretrained(str(tmp_path / "longer"), save_embedding_layers=True)
    set_base(tmp_path / "longer", str(adapter.parent / "base"))
    scorer, request = load_scorer(tmp_path / "longer"), Request("the <new-3> cat", " sat<new-79>")
    assert max(scorer.encoder.pair(request)[1]) > 384
    [score] = scorer.loglikelihoods([request])
    assert score.logprob == pytest.approx(expected(model, scorer, request)[0], abs=1e-4)
    # Without that embedding the tokens have no meaning.
    with pytest.raises(UserError, match="vocabulary is 384 but its tokenizer has ids up to 399"):
        load_scorer(adapter, tokenizer=tmp_path / "longer")


def test_adapters_that_cannot_be_scored_say_why(adapter: Path, tmp_path: Path):
    mine = shutil.copytree(adapter, tmp_path / "lora")
    set_base(mine, "../no-such-base")
    with pytest.raises(UserError, match="its base model cannot be loaded"):
        load_scorer(mine)
    set_base(mine, None)
    with pytest.raises(UserError, match="no base_model_name_or_path"):
        load_scorer(mine)
    set_base(mine, str(adapter.parent / "base"), peft_type="PROMPT_TUNING")
    with pytest.raises(UserError, match="PROMPT_TUNING adapter puts learned vectors before the text"):
        load_scorer(mine)
    set_base(mine, str(adapter.parent / "base"), peft_type="LORA", alora_invocation_tokens=[1, 2])
    with pytest.raises(UserError, match="activated LoRA"):
        load_scorer(mine)
    make_directory(tmp_path / "wide", hidden_size=64)
    set_base(mine, "../wide", alora_invocation_tokens=None)
    with pytest.raises(UserError, match="does not fit its base model"):
        load_scorer(mine)
    (mine / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="adapter without adapter_model"):
        load_scorer(mine)


# int8 rounds activations: a difference in the last bit before that can be a whole step after it.
ROUNDING = {"load_in_4bit": 1e-5, "load_in_8bit": 5e-3}
BITS = pytest.mark.parametrize("bits", list(ROUNDING))


@pytest.fixture(scope="module")
def bitsandbytes() -> Any:
    return pytest.importorskip("bitsandbytes", reason="4- and 8-bit weights need bitsandbytes")


@BITS
@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_quantised_scores_are_those_of_the_quantised_model(
    bits: str, family: str, models: dict[str, Path], scorers: dict[str, TextScorer], bitsandbytes: Any
):
    scorer = load_scorer(models[family], **{bits: True})
    assert scorer.settings["kind"] == "transformers"
    assert scorer.settings["quantisation"] == ("nf4, double" if "4" in bits else "int8")
    assert scorer.weights_sha256 == scorers[family].weights_sha256  # of the file: the settings tell them apart
    model = scorer.backend.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if hasattr(tensor, "clone")}
    scores, full = scorer.loglikelihoods(REQUESTS), scorers[family].loglikelihoods(REQUESTS)
    for request, score in zip(REQUESTS, scores, strict=True):
        assert score.logprob == pytest.approx(expected(model, scorer, request)[0], rel=ROUNDING[bits])
    assert max(abs(a.logprob - b.logprob) for a, b in zip(scores, full, strict=True)) > 1e-3
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert scorer.parameters == scorers[family].parameters


def test_scoring_never_repacks_4_bit_weights(models: dict[str, Path], bitsandbytes: Any):
    """On AVX512-BF16 processors bitsandbytes would, and training after it would be wrong."""
    scorer = load_scorer(models["llama"], load_in_4bit=True)
    layers = [m for m in scorer.backend.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert layers
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


@BITS
def test_an_adapter_on_a_quantised_base_equals_its_plain_forward_pass(bits: str, adapter: Path, bitsandbytes: Any):
    scorer = load_scorer(adapter, **{bits: True})
    [score] = scorer.loglikelihoods(REQUESTS[:1])
    wanted = expected(scorer.backend.model, scorer, REQUESTS[0])[0]
    assert score.logprob == pytest.approx(wanted, rel=ROUNDING[bits])
    assert scorer.settings["kind"] == "adapter"


def test_weights_in_smallms_own_format_cannot_be_quantised_by_transformers(tmp_path: Path):
    from model.tiny import decoder

    from smallm.model.families import save_pretrained

    assert save_pretrained(decoder(vocab_size=384, soft_cap=5.0), tmp_path)
    make_tokenizer(tmp_path)
    assert load_scorer(tmp_path).settings["kind"] == "decoder"
    with pytest.raises(UserError, match="opens in smallm alone"):
        load_scorer(tmp_path, load_in_4bit=True)
