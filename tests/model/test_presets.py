"""Laws of presets: what is left open is filled, what cannot be built is refused by name."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.model.presets import PRESETS, complete, from_dict


@pytest.mark.parametrize("preset", PRESETS)
def test_a_complete_config_has_no_none_but_the_optional_ones_and_is_a_fixed_point(preset: str) -> None:
    config = complete(ModelConfig(preset=preset), 1000)  # type: ignore[arg-type]
    assert {k for k, v in asdict(config).items() if v is None} <= {"soft_cap", "init_std"}
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
        ({"preset": "qwen4"}, r"qwen4 is not known.*gpt2, llama, qwen3"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused_with_key_value_and_rule(given: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        complete(ModelConfig(**given), 100)


def test_a_key_of_a_newer_smallm_is_named() -> None:
    with pytest.raises(UserError, match="unknown key `mixture`"):
        from_dict({"mixture": 1})
