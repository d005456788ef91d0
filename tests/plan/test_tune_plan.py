"""Laws of a fine-tuning's plan: its shapes are the models', its bytes those of real tensors; it says what fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smallm.core.config import FinetuneConfig, ModelConfig, Recipe, TuneSource
from smallm.core.errors import UserError
from smallm.core.files import write_json
from smallm.core.hardware import peak_flops
from smallm.plan.shapes import KNOWN, Shape, shape_of, shape_of_config, shape_of_decoder
from smallm.plan.tables import CARDS
from smallm.plan.tune import plan_tuning, recommends_16_bits, render_tuning, steps_of
from smallm.plan.tune_memory import NF4_BYTES, adapter_parameters, largest_rows, tune_memory

PHI = "microsoft/Phi-3.5-mini-instruct"
QLORA = FinetuneConfig(
    model=PHI, data=[TuneSource(synth="translation")], load_in_4bit=True, max_length=2048, optimizer="adamw8bit"
)
CONFIGS: dict[str, dict[str, Any]] = {
    "phi3": {**KNOWN[PHI], "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 320, "pad_token_id": 0},
    "llama": {"model_type": "llama", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
              "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 300, "n_positions": 64},
    "qwen3": {"model_type": "qwen3", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300},
}  # fmt: skip


@pytest.fixture(scope="module")
def phi() -> Shape:
    return shape_of_config(KNOWN[PHI], PHI)


def model_of(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_a_shape_has_the_parameters_of_the_model(family: str) -> None:
    shape, model = shape_of_config(CONFIGS[family]), model_of(CONFIGS[family])
    assert shape.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_adapters_are_counted_as_peft_makes_them(family: str) -> None:
    from peft import LoraConfig, get_peft_model

    shape = shape_of_config(CONFIGS[family])
    for tune, options in (
        (FinetuneConfig(lora_r=4), {}),
        (FinetuneConfig(lora_r=3, use_dora=True), {"use_dora": True}),
    ):
        wrap = {"fan_in_fan_out": True} if family == "gpt2" else {}
        config = LoraConfig(r=tune.lora_r, target_modules="all-linear", task_type="CAUSAL_LM", **options, **wrap)
        adapted = get_peft_model(model_of(CONFIGS[family]), config)
        made = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        assert adapter_parameters(shape, tune) == made


def test_a_recipes_own_model_has_the_parameters_of_our_decoder() -> None:
    from smallm.model.decoder import Decoder
    from smallm.model.presets import complete

    for config in (ModelConfig(layers=2, width=64), ModelConfig(preset="gpt2", layers=2, width=64, tied=True)):
        decoder = Decoder(complete(config, 320), seed=0)
        assert shape_of_decoder(config, 320).parameters == sum(p.numel() for p in decoder.parameters())


def test_phi_35_mini_has_the_published_size_and_fits_a_t4_in_4_bits_with_room(phi: Shape) -> None:
    assert phi.parameters == 3_821_079_552
    assert adapter_parameters(phi, QLORA) == 25_165_824
    memory = tune_memory(phi, QLORA, rows=2, half=True, cuda=True, checkpointing=True)
    assert 5e9 < memory.total < 8e9  # the bounds of an independent reckoning (LOG.md)
    assert memory.total == sum(v for k, v in memory.as_dict().items() if k not in ("rows", "total"))


def test_four_bit_weights_take_the_bytes_that_bitsandbytes_gives_them() -> None:
    import bitsandbytes as bnb

    linear = bnb.nn.Linear4bit(4096, 1024, bias=False, compress_statistics=True, quant_type="nf4").to("cpu")
    weight: Any = linear.weight
    state = weight.quant_state
    held = weight.numel() * weight.element_size() + state.absmax.numel() * state.absmax.element_size()
    held += state.state2.absmax.numel() * state.state2.absmax.element_size()
    assert held == pytest.approx(NF4_BYTES * 4096 * 1024, rel=1e-3)


def test_every_term_grows_with_what_it_is_for(phi: Shape) -> None:
    def memory(rows: int = 2, checkpointing: bool = True, **changes: Any) -> Any:
        return tune_memory(phi, replace(QLORA, **changes), rows=rows, half=True, cuda=True, checkpointing=checkpointing)

    assert memory(4).activations == 2 * memory(2).activations
    assert memory(checkpointing=False).activations > 5 * memory().activations
    assert memory(lora_r=32).adapters == 2 * memory(lora_r=16).adapters
    assert memory(optimizer="adamw").optimizer > 3 * memory().optimizer
    assert memory(load_in_4bit=False).weights == 2 * phi.parameters
    assert memory(load_in_4bit=False).dequantised == 0
    assert memory(load_in_4bit=False, method="full").gradients == 4 * phi.parameters


def test_rows_that_fit_do_fit_and_one_more_halving_was_needed(phi: Shape) -> None:
    for available in (4e9, 8e9, 12.8e9, 64e9):
        options: dict[str, Any] = {"half": True, "cuda": True, "checkpointing": True}
        rows = largest_rows(phi, QLORA, available, **options)
        if rows:
            assert tune_memory(phi, QLORA, rows=rows, **options).total <= available
        if rows < QLORA.batch_rows:
            assert tune_memory(phi, QLORA, rows=max(1, 2 * rows), **options).total > available


def test_a_plan_says_what_fits_before_anything_is_there() -> None:
    plan = plan_tuning(Recipe(name="x", finetune=replace(QLORA, steps=100)), ["t4", "a100"], here=False)
    t4, a100 = plan.machines
    assert (t4.dtype, a100.dtype) == ("float16", "bfloat16")
    assert t4.rows >= 1
    assert t4.memory.total < 0.8 * 16e9
    assert t4.hours is not None
    assert a100.hours is not None
    assert a100.hours < t4.hours
    text = render_tuning(plan)
    assert "QLoRA of microsoft/Phi-3.5-mini-instruct" in text
    assert "fits with" in text
    whole = replace(QLORA, method="full", load_in_4bit=False, steps=100)
    (fit,) = plan_tuning(Recipe(name="x", finetune=whole), ["t4"], here=False).machines
    assert fit.rows == 0


def test_what_does_not_fit_is_warned_of_with_the_remedy() -> None:
    tune = replace(QLORA, load_in_4bit=False, lora_r=256, max_length=8192, steps=10)
    plan = plan_tuning(Recipe(name="x", finetune=tune), ["t4"], here=False)
    assert any("load_in_4bit: true" in warning for warning in plan.warnings)


def test_below_a_billion_parameters_16_bits_are_recommended_and_it_says_why() -> None:
    assert "below 1B, LoRA on 16-bit weights is better" in recommends_16_bits(3_000_000)
    assert recommends_16_bits(3_800_000_000) == ""


def test_steps_are_known_once_the_examples_are_read(tmp_path: Path) -> None:
    tune = replace(QLORA, name="x", steps=0, epochs=2.0, max_length=100, batch_rows=5)
    assert steps_of(tune, tmp_path) is None
    shards = [{"tokens": 1000, "weight": 1.0}, {"tokens": 500, "weight": 2.0}]
    write_json(tmp_path / "tokens" / "x" / "manifest.json", {"splits": {"train": {"shards": shards}}})
    assert steps_of(tune, tmp_path) == 8  # 2 epochs of 2,000 tokens in steps of 500
    assert steps_of(replace(tune, steps=3), tmp_path) == 3


def test_every_card_of_the_table_has_a_16_bit_peak() -> None:
    assert all(peak_flops(card.driver_name) for card in CARDS)


def test_a_model_that_is_nowhere_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        shape_of(Recipe(name="x", finetune=replace(QLORA, model=str(tmp_path))))
    with pytest.raises(UserError, match=r"could not be had from the Hub.*Name a local directory"):
        shape_of(Recipe(name="x", finetune=replace(QLORA, model="nobody/nothing")))
    write_json(tmp_path / "config.json", {"model_type": "bert", "vocab_size": 10})
    shape = shape_of(Recipe(name="x", finetune=replace(QLORA, model=str(tmp_path))))
    assert shape.vocab_size == 10
    write_json(tmp_path / "config.json", {"model_type": "no-such-family"})
    with pytest.raises(UserError, match="not the configuration of a causal model"):
        shape_of(Recipe(name="x", finetune=replace(QLORA, model=str(tmp_path))))


def test_the_run_of_a_packaged_recipe_is_planned_on_before_it_is_made(tmp_path: Path, monkeypatch: Any) -> None:
    from smallm.core.recipe import load_recipe

    monkeypatch.chdir(tmp_path)
    tune = load_recipe("tiny-lora")
    before = shape_of(tune)
    assert before.name == "the model of quickstart"
    made = tmp_path / "runs" / "quickstart" / "base"
    write_json(made / "config.json", CONFIGS["llama"])
    there = load_recipe("tiny-lora")
    assert shape_of(there).parameters == shape_of_config(CONFIGS["llama"]).parameters
    assert shape_of(there, as_packaged=True) == before
