"""Laws of the keys of stages: what was made before a switch came keeps its key, and no two models share one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.config import ModelConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.files import sha256_json
from smallm.model.presets import PRESETS, complete
from smallm.stages import report_config, train_config

VOCABULARY = 320
# The keys of `model` when the first runs were made, and the presets that there were.
FIRST = (
    "preset", "layers", "width", "heads", "kv_heads", "head_width", "ffn_width", "context", "vocab_size", "position",
    "rope_theta", "rope_fraction", "norm", "norm_eps", "qk_norm", "mlp", "bias", "tied", "soft_cap", "dropout",
    "init_std", "zero_init_projections",
)  # fmt: skip
FIRST_PRESETS = ("qwen3", "llama", "gpt2")
LATER = {f.name: f.metadata["plain"] for f in dataclasses.fields(ModelConfig) if "plain" in f.metadata}
# Of keys whose values no table lists: some that can be built together.
SOME: dict[str, list[Any]] = {
    "layers": [2, 4], "width": [64, 128], "heads": [None, 2, 4], "kv_heads": [None, 2], "head_width": [None, 32],
    "ffn_width": [None, 192], "context": [64, 256], "vocab_size": [0, 512], "soft_cap": [None, 5.0],
    "dropout": [0.0, 0.1], "init_std": [None, 0.02], "window": [8],
    "rope_scaling": [{"rope_type": "linear", "factor": 2.0}, {"rope_type": "linear", "factor": 4.0}],
}  # fmt: skip


def values_of(name: str) -> list[Any]:
    """A switch left open, as before it came, as any preset has it, as its type lists it, and some more."""
    hint = get_type_hints(ModelConfig)[name]
    listed = [v for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal for v in get_args(kind)]
    found = [*listed, *SOME.get(name, ()), *(row[name] for row in PRESETS.values() if name in row)]
    found += [None, True, False] if bool in get_args(hint) else [None] if type(None) in get_args(hint) else []
    found += [LATER[name]] if name in LATER else []
    return [value for i, value in enumerate(found) if value not in found[:i]]


SWITCHES = {f.name: values_of(f.name) for f in dataclasses.fields(ModelConfig)}


def key_of(model: ModelConfig) -> str:
    return sha256_json(train_config(Recipe(model=model)))


def built(model: ModelConfig) -> ModelConfig | None:
    """What the recipe's model is when it is built; None where it is refused."""
    try:
        return complete(model, VOCABULARY)
    except UserError:
        return None


def test_every_switch_has_values_to_try_and_every_later_one_the_value_from_before_it() -> None:
    assert {name for name, values in SWITCHES.items() if len(values) < 2} == set()
    assert LATER.keys() == {"rope_scaling", "window", "block", "head_bias", "shared_layers"}
    assert all(LATER[name] in SWITCHES[name] for name in LATER)
    assert set(FIRST) | set(LATER) == set(SWITCHES)


def all_of_the_later() -> Iterator[ModelConfig]:
    for preset in PRESETS:
        for values in itertools.product(*(SWITCHES[name] for name in LATER)):
            yield ModelConfig(preset=preset, **dict(zip(LATER, values, strict=True)))  # type: ignore[arg-type]


def test_of_all_presets_and_all_later_switches_no_two_models_share_a_key() -> None:
    models: dict[str, ModelConfig] = {}
    for model in all_of_the_later():
        if (complete_model := built(model)) is not None:
            assert models.setdefault(key_of(model), complete_model) == complete_model, model
    assert len(models) > 500


any_model = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in SWITCHES.items()})


@settings(max_examples=400, deadline=None)
@given(any_model, st.data())
def test_two_recipes_that_share_a_key_build_the_same_model(one: dict[str, Any], data: st.DataObject) -> None:
    changed = data.draw(st.lists(st.sampled_from(list(SWITCHES)), min_size=1, max_size=3, unique=True))
    # The values that one is tempted to think the same: open, as before the switch, as the preset has it.
    preset = PRESETS[one["preset"]]
    other = dict(one)
    for name in changed:
        near = [v for v in (None, LATER.get(name), preset.get(name)) if v in SWITCHES[name]]
        other[name] = data.draw(st.sampled_from([*near, *SWITCHES[name]]))
    models = [ModelConfig(**values) for values in (one, other)]
    if None in map(built, models):
        return  # refused when it is built: nothing is made under its key
    if key_of(models[0]) == key_of(models[1]):
        assert built(models[0]) == built(models[1])


@pytest.mark.parametrize(
    ("preset", "switch", "value"),
    [
        ("mobilellm", "shared_layers", 1),
        ("mistral", "window", 0),
        ("transformer", "block", "pre"),
        ("phi", "block", "pre"),
        ("phi", "head_bias", False),
    ],
)
def test_a_switch_set_against_its_preset_makes_another_key(preset: Any, switch: str, value: Any) -> None:
    left_open = ModelConfig(preset=preset)
    assert key_of(left_open) != key_of(dataclasses.replace(left_open, **{switch: value}))


@settings(max_examples=200, deadline=None)
@given(any_model, st.sampled_from(FIRST_PRESETS), st.data())
def test_what_was_made_before_the_later_switches_keeps_its_keys(
    values: dict[str, Any], preset: str, data: st.DataObject
) -> None:
    """Left open or set to what was done before, they are in no key: of the training, and of the report."""
    first = {name: values[name] for name in FIRST} | {"preset": preset}
    later = {name: data.draw(st.sampled_from([None, plain])) for name, plain in LATER.items()}
    recipe = Recipe(model=ModelConfig(**first, **later))
    assert train_config(recipe)["model"] == first
    assert report_config(recipe) == {**dataclasses.asdict(Recipe()), "model": first}
