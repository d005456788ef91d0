"""An ablation of a few seconds, and lines of results that nobody measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallm.ablate.design import Ablation, Arm, read_ablation, training_flops
from smallm.ablate.results import Line, planned

TINY = """\
name: tiny
about: Twenty steps of a model that nobody wants.
seeds: [0, 1, 2]
recipe:
  data: {sources: [{synth: stories, size: 400kB}], validation: 0.1}
  tokenizer: {vocab_size: 320}
  model: {preset: llama, layers: 2, width: 32, heads: 4, ffn_width: 64, context: 32}
  train: {tokens: 2560, batch_tokens: 128, compile: "off", checkpoint_every: 5, validation_tokens: 2k}
  eval: {max_tokens: 2000}
  report: {samples: 1}
groups:
  position:
    title: How positions enter
    baseline: rope
    arms:
      rope: {}
      none: {model.position: none}
  heads:
    arms:
      mha: {}
      mqa: {model.kv_heads: 1}
elsewhere:
  lora: "not measured: it is no training from scratch."
"""


def tiny(text: str = TINY) -> Ablation:
    return read_ablation(text, "tiny.yaml", Path.cwd())


def arm_of(ablation: Ablation, name: str) -> Arm:
    return next(arm for arm in ablation.arms if arm.full_name == name)


def line_of(
    ablation: Ablation,
    name: str,
    seed: int,
    bits: float | None,
    *,
    dtype: str = "float32",
    data: str = "a",
    **more: Any,
) -> Line:
    """A result of the arm as it stands."""
    run = planned(ablation, arm_of(ablation, name), seed, dtype)
    return {
        "ablation": ablation.name,
        "run": run.name,
        "set": run.arm.keys,
        "seed": seed,
        "key": run.key,
        "data": data * 64,
        "dtype": run.dtype,
        "tokens": run.recipe.train.tokens,
        "flops": training_flops(run.recipe),
        "parameters": 1,
        "bits_per_byte": bits,
        "standard_error": 0.1,
        "seconds": 60.0,
        "machine": {"cpu": "a cpu", "cores": 2, "gpus": [], "bf16": False},
        "version": "0",
        "commit": None,
        **more,
    }
