"""Laws of the plan: the packaged recipes' openings are what it computes, and it warns of what will go wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.config import DataConfig, ModelConfig, Recipe, SourceConfig, TrainConfig
from smallm.core.errors import UserError
from smallm.core.recipe import load_recipe, packaged_recipes, recipe_from_text
from smallm.model.presets import complete
from smallm.plan.estimate import arithmetic, make_plan, render, with_arithmetic
from smallm.plan.memory import largest_rows, training_memory
from smallm.plan.tables import CARDS, card, efficiency_at
from smallm.plan.text import text_at_hand
from smallm.plan.time import matmul_flops, on_card, on_this_machine
from smallm.plan.twin import cpu_twin

MODEL = complete(ModelConfig(layers=4, width=256), 4096)
TRAIN = TrainConfig()


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_a_packaged_recipe_opens_with_its_arithmetic(name: str) -> None:
    text = packaged_recipes()[name]
    assert f"\n#\n{arithmetic(load_recipe(name))}\n#\n" in text, "run `python -m smallm.plan.estimate`"
    assert text.startswith(f"# {name}: ")
    assert with_arithmetic(name, text) == text


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2-124m", 124e6),
        ("smallm-124m", 124e6),
        ("llama-135m", 134.5e6),
        ("shakespeare-nanogpt", 0.8e6),
    ],
)
def test_the_recipes_have_the_size_that_they_are_named_after(name: str, parameters: float) -> None:
    assert make_plan(load_recipe(name), ["t4"], here=False).parameters == pytest.approx(parameters, rel=0.02)


def test_quickstart_has_three_to_six_million_parameters() -> None:
    assert 3e6 < make_plan(load_recipe("quickstart"), ["t4"], here=False).parameters < 6e6


def test_nanogpts_eight_a100s_take_the_four_days_of_its_readme() -> None:
    (fit,) = make_plan(load_recipe("gpt2-124m"), ["a100"], here=False).machines
    assert fit.hours is not None
    assert fit.hours / 8 / 24 == pytest.approx(4.0, rel=0.05)


def test_the_track_3_run_takes_the_hour_that_it_took_on_one_h200() -> None:
    (fit,) = make_plan(load_recipe("smallm-124m"), ["h200"], here=False).machines
    assert fit.hours is not None
    assert 1_703_936_000 / (3600 * fit.hours) == pytest.approx(489_682, rel=0.03)


# ---- memory --------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 64), st.integers(1, 10), st.booleans())
def test_the_largest_number_of_rows_fits_and_one_more_does_not(
    layers: int, width: int, gigabytes: int, half: bool
) -> None:
    model = complete(ModelConfig(layers=layers, width=64 * width), 4096)
    train = TrainConfig(batch_tokens=1 << 20)
    rows = largest_rows(model, train, gigabytes * 1e9, half=half)
    if rows:
        assert training_memory(model, train, half=half, rows=rows).total <= gigabytes * 1e9
    if rows < train.batch_tokens // model.context:
        assert training_memory(model, train, half=half, rows=rows + 1).total > gigabytes * 1e9


def test_memory_grows_with_rows_and_shrinks_with_checkpointing_and_muon() -> None:
    def total(rows: int = 8, **keys: object) -> int:
        return training_memory(MODEL, dataclasses.replace(TRAIN, **keys), half=False, rows=rows).total  # type: ignore[arg-type]

    assert total(9) > total(8) > total(8, activation_checkpointing=True)
    assert total(8, optimizer="adamw") > total(8, optimizer="muon")


# ---- cards and time ------------------------------------------------------------------------------------------------


def test_every_card_has_a_cited_peak_price_and_efficiency() -> None:
    for row in CARDS:
        assert row.peak > 8e12
        assert 0 < row.efficiency < 0.6 or not row.bf16
        assert row.price > 0
        assert row.price_source
        assert row.efficiency_source


@pytest.mark.parametrize(
    ("name", "found"), [("a100", "A100-80GB"), ("A100-40", "A100-40GB"), ("rtx 4090", "RTX-4090"), ("t4", "T4")]
)
def test_cards_are_found_however_they_are_written(name: str, found: str) -> None:
    assert card(name).name == found


def test_a_card_without_bf16_is_planned_in_float32_as_training_does_there() -> None:
    t4, l4 = card("t4"), card("l4")
    assert t4.peak == pytest.approx(8.1e12)
    rows = [on_card(MODEL, TRAIN, 1e15, c) for c in (t4, dataclasses.replace(l4, memory_bytes=t4.memory_bytes))]
    assert (
        training_memory(MODEL, TRAIN, half=False, rows=8).total > training_memory(MODEL, TRAIN, half=True, rows=8).total
    )
    assert rows[0].needs_bytes > rows[1].needs_bytes


def test_an_unknown_card_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"--gpu rtx4091: not in the table; .* Did you mean RTX-4090"):
        card("rtx4091")


def test_a_narrow_model_never_claims_the_efficiency_of_a_wide_one() -> None:
    assert efficiency_at(64, 0.4) < efficiency_at(768, 0.4) == efficiency_at(4096, 0.4) == 0.4
    tiny = on_card(complete(ModelConfig(layers=4, width=64), 300), TRAIN, 1e9, card("h200"))
    assert tiny.efficiency < 0.01
    assert tiny.hours is not None
    assert tiny.hours * 3600 == pytest.approx(TRAIN.tokens / TRAIN.batch_tokens * 4 * 0.5e-3)


def test_this_machine_is_measured_now() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert 1e8 < matmul_flops(False, size=256, seconds=0.02) < 1e14
        fit = on_this_machine(MODEL, TRAIN, 1e12)
    finally:
        torch.set_num_threads(threads)
    assert fit.machine.startswith("this machine")
    assert fit.cost is None


# ---- text ----------------------------------------------------------------------------------------------------------


def recipe_of(*sources: SourceConfig, **keys: object) -> Recipe:
    return Recipe(name="x", data=DataConfig(sources=list(sources)), **keys)  # type: ignore[arg-type]


def test_text_is_estimated_from_the_sizes_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 10_000)
    text = text_at_hand(recipe_of(SourceConfig(path=str(tmp_path / "a.txt"))), None)
    assert (text.bytes, text.tokens, text.known) == (9500, 2375, False)
    text = text_at_hand(recipe_of(SourceConfig(path=str(tmp_path / "a.txt"), size=1000)), None)
    assert text.bytes == 950
    assert text_at_hand(recipe_of(SourceConfig(hub="a/b")), None).tokens is None
    assert text_at_hand(recipe_of(SourceConfig(path=str(tmp_path / "none.txt"))), None).tokens == 0
    assert (text_at_hand(recipe_of(SourceConfig(builtin="python-docs")), None).tokens or 0) > 100_000


def test_fifty_megabytes_for_a_124m_model_is_warned_about() -> None:
    recipe = dataclasses.replace(
        load_recipe("smallm-124m"), data=DataConfig(sources=[SourceConfig(synth="stories", size=50_000_000)])
    )
    plan = make_plan(recipe, ["h200"], here=False)
    assert plan.text.tokens == pytest.approx(12e6, rel=0.05)
    (warning,) = plan.warnings
    assert "143.5 epochs over the text: beyond 4" in warning
    assert "(20 each, 208 times the text)" in warning
    assert f"warning: {warning}" in render(plan)


def test_up_to_four_epochs_nothing_is_said() -> None:
    assert make_plan(load_recipe("quickstart"), ["t4"], here=False).warnings == ()


def test_a_model_too_large_for_a_card_says_so() -> None:
    recipe = recipe_of(SourceConfig(hub="a/b"), model=ModelConfig(layers=32, width=4096, context=2048))
    plan = make_plan(recipe, ["t4"], here=False)
    assert plan.machines[0].rows == 0
    assert "does not fit" in render(plan)
    assert plan.warnings[0].startswith("T4: one row needs")


def test_a_recipe_without_text_is_planned_and_told() -> None:
    assert "data.sources is empty" in render(make_plan(load_recipe("shakespeare"), ["t4"], here=False))


# ---- twins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_a_twin_keeps_the_switches_and_is_a_valid_recipe(name: str) -> None:
    from smallm.core.recipe import dump_recipe

    recipe = load_recipe(name)
    twin = cpu_twin(recipe, tuned_model="/nowhere/a-model")
    assert recipe_from_text(dump_recipe(twin), "x.yaml", Path("/")) == twin
    tune, tiny = recipe.finetune, twin.finetune
    kept = ("name", "task", "method", "load_in_4bit", "optimizer", "schedule", "lora_target_modules", "train_on")
    assert [getattr(tiny, k) for k in kept] == [getattr(tune, k) for k in kept]
    if tune.data and not recipe.data.sources:
        return
    model, small = complete(recipe.model, 512), complete(twin.model, 512)
    kept = ("preset", "position", "norm", "qk_norm", "mlp", "bias", "tied", "zero_init_projections", "dropout")
    assert [getattr(small, k) for k in kept] == [getattr(model, k) for k in kept]
    assert (twin.train.optimizer, twin.train.schedule) == (recipe.train.optimizer, recipe.train.schedule)
    assert (model.heads or 1) // (model.kv_heads or 1) == (small.heads or 1) // (small.kv_heads or 1)
    assert make_plan(twin, ["t4"], here=False).parameters < 300_000
    assert make_plan(twin, ["t4"], here=False).steps == 2
