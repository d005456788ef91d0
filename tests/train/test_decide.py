"""Laws of train/decide.py."""

from __future__ import annotations

import pytest

from smallm.core import hardware
from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.errors import UserError
from smallm.model.presets import complete
from smallm.train import decide

SMALL = complete(ModelConfig(layers=2, width=64, context=256), 512)


def test_a_machine_without_bf16_trains_in_float32_and_warns_when_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda device: False)
    assert decide.autocast_type(TrainConfig(), "cpu") == "float32"
    assert decide.autocast_type(TrainConfig(dtype="bfloat16"), "cpu") == "bfloat16"
    assert "emulates" in capsys.readouterr().err
    monkeypatch.setattr(hardware, "has_bf16", lambda device: True)
    assert decide.autocast_type(TrainConfig(), "cpu") == "bfloat16"
    assert decide.autocast_type(TrainConfig(dtype="float32"), "cpu") == "float32"


def test_a_micro_batch_is_the_most_that_is_useful_and_fits() -> None:
    plenty = decide.micro_batch(SMALL, TrainConfig(), 64, "cpu", "float32", 64 << 30)
    assert plenty == decide.ENOUGH_TOKENS["cpu"] // 256
    assert decide.micro_batch(SMALL, TrainConfig(), 4, "cpu", "float32", 64 << 30) == 4
    tight = decide.micro_batch(SMALL, TrainConfig(), 64, "cpu", "float32", 30 << 20)
    assert 1 <= tight < plenty
    assert decide.micro_batch(SMALL, TrainConfig(micro_batch=5), 64, "cpu", "float32", 64 << 30) == 5
    assert decide.micro_batch(SMALL, TrainConfig(), 64, "cpu", "float32", None) == plenty


def test_too_little_memory_is_said_before_training_with_the_settings_to_change() -> None:
    with pytest.raises(UserError, match=r"model\.context"):
        decide.micro_batch(SMALL, TrainConfig(), 64, "cpu", "float32", 1 << 20)
    with pytest.raises(UserError, match=r"train\.micro_batch"):
        decide.micro_batch(SMALL, TrainConfig(micro_batch=64), 64, "cpu", "float32", 30 << 20)


def test_compilation_is_decided_by_what_it_saves() -> None:
    def never() -> float:
        raise AssertionError("timed where time does not decide")

    assert decide.should_compile(TrainConfig(compile="on"), "cpu", 1, never)["on"]
    assert not decide.should_compile(TrainConfig(compile="off"), "cuda", 10**6, never)["on"]
    assert decide.should_compile(TrainConfig(), "cuda", 1000, never)["on"]
    assert not decide.should_compile(TrainConfig(), "cuda", 50, never)["on"]
    assert not decide.should_compile(TrainConfig(), "cpu", 100, lambda: 0.1)["on"]


def test_compilation_on_the_cpu_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide.shutil, "which", lambda name: None)
    assert not decide.should_compile(TrainConfig(), "cpu", 10**6, lambda: 1.0)["on"]
    monkeypatch.setattr(decide.shutil, "which", lambda name: "/usr/bin/" + name)
    assert decide.should_compile(TrainConfig(), "cpu", 10**6, lambda: 1.0)["on"]
