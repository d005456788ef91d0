"""Laws of presets: what is left open is filled, what cannot be built is refused by name."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from model.tiny import LLAMA3, LONGROPE

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.model.presets import PRESETS, complete, from_dict


@pytest.mark.parametrize("preset", PRESETS)
def test_a_complete_config_has_no_none_but_the_optional_ones_and_is_a_fixed_point(preset: str) -> None:
    config = complete(ModelConfig(preset=preset), 1000)  # type: ignore[arg-type]
    assert {k for k, v in asdict(config).items() if v is None} <= {"soft_cap", "init_std", "rope_scaling"}
    assert complete(config, 1000) == config
    assert from_dict(asdict(config)) == config


def test_the_vocabulary_is_the_tokenizers_padded_to_64() -> None:
    assert complete(ModelConfig(), 50257).vocab_size == 50304
    assert complete(ModelConfig(), 4096).vocab_size == 4096
    assert complete(ModelConfig(vocab_size=70), 65).vocab_size == 70


def test_what_the_user_said_wins_over_the_preset() -> None:
    config = complete(ModelConfig(qk_norm=False, tied=False, rope_theta=5e5, ffn_width=100), 64)
    assert (config.qk_norm, config.tied, config.rope_theta, config.ffn_width) == (False, False, 5e5, 100)


@pytest.mark.parametrize(
    ("given", "heads", "head_width"),
    [
        ({"width": 256}, 4, 64),
        ({"width": 32}, 1, 32),
        ({"width": 288, "heads": 6}, 6, 48),
        ({"width": 256, "head_width": 32}, 8, 32),
        ({"width": 256, "heads": 2, "head_width": 64}, 2, 64),
    ],
)
def test_heads_and_their_width_complete_each_other(given: dict, heads: int, head_width: int) -> None:
    config = complete(ModelConfig(**given), 64)
    assert (config.heads, config.head_width, config.kv_heads) == (heads, head_width, heads)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"width": 100, "heads": 3}, r"model\.heads: 3 does not divide model\.width: 100.*1, 2, 5, 10"),
        ({"width": 64, "heads": 4, "kv_heads": 3}, r"model\.kv_heads: 3 does not divide model\.heads: 4"),
        ({"width": 64, "heads": 4, "rope_fraction": 0.2}, r"rope_fraction: 0\.2.*rotates 3 channels"),
        ({"vocab_size": 90}, r"vocab_size is 90 but the tokenizer has 100"),
        ({"preset": "qwen4"}, r"qwen4 is not known.*gpt2, llama, mistral, mobilellm, phi, phi3, qwen3, smollm, transf"),
        ({"layers": 5, "shared_layers": 2}, r"model\.shared_layers: 2 does not divide model\.layers: 5"),
        ({"width": 65, "heads": 1, "position": "sinusoidal"}, r"model\.width: 65 is odd"),
        ({"position": "none", "rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "model.position is none"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "rope_type yarn is not a switch.*linear, llama3, longrope"),
        ({"rope_scaling": {"rope_type": "linear"}}, "no factor, which rope_type linear needs"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor is 0; it must be a positive number"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2, "beta": 1}}, "beta is no key of rope_type linear"),
        (
            {"width": 64, "heads": 4, "rope_scaling": {**LONGROPE, "long_factor": [1.0]}},
            "long_factor must be 8 positive numbers",
        ),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": 1.0}}, "high_freq_factor must be above"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused_with_key_value_and_rule(given: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        complete(ModelConfig(**given), 100)


def test_a_key_of_a_newer_smallm_is_named() -> None:
    with pytest.raises(UserError, match="unknown key `mixture`"):
        from_dict({"mixture": 1})


def test_switches_that_came_later_leave_the_keys_of_what_was_made_before_alone() -> None:
    """A finished training is not redone because the decoder learned a new switch."""
    from smallm.core.config import affecting

    before = set(affecting(ModelConfig()))
    assert before == set(affecting(complete(ModelConfig(), 64)))
    assert not before & {"block", "window", "shared_layers", "head_bias", "rope_scaling"}
    assert affecting(ModelConfig(window=8))["window"] == 8
    assert affecting(ModelConfig(block="post"))["block"] == "post"
