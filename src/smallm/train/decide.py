"""What a training decides by itself, from the machine and the shape: each once, kept in resolved.json.

Device, threads, autocast type, attention backend, rows of a micro-batch, compilation. Every
decision is a function that takes what it depends on; train/stage.py asks them through
`run.resolved`, so that a resumed training never decides anew.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import torch

from smallm.core import hardware
from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.console import count, say, warn
from smallm.core.errors import UserError
from smallm.model.attention import best_backend
from smallm.model.count import bytes_of_training

# Tokens of one forward pass beyond which nothing gets faster. CPU: at width 256 a token costs .50 ms of one core in
# passes of 512 tokens, .45 in 1,024 and 2,048, .49 in 4,096, .52 in 8,192: larger activations leave the caches.
# CUDA: at width 768 products of 32,768 rows run at full rate, and 65,536 leave room for them.
ENOUGH_TOKENS = {"cpu": 2048, "cuda": 65536}
# Share of the free memory that the estimate may fill: fragments, the evaluation's and the samples' buffers.
MEMORY_SHARE = 0.8
# Compiling pays when the eager training is longer than this. CPU in float32: compilation takes 40 to 60 s and saves
# 5 to 10 % of a step (products are the rest, 4M parameters, width 256). CUDA: it takes a minute or two and saves
# about half.
COMPILE_AFTER_SECONDS = 600.0
COMPILE_AFTER_STEPS = 200


def autocast_type(train: TrainConfig, device: str) -> str:
    """ "bfloat16" or "float32". A bfloat16 that the hardware only emulates is taken, with a warning, when asked for."""
    has = hardware.has_bf16(device)
    if train.dtype == "bfloat16" and not has:
        warn(f"train.dtype is bfloat16, which this {device} only emulates: it may be hundreds of times slower.")
    return train.dtype if train.dtype != "auto" else "bfloat16" if has else "float32"


def micro_batch(
    config: ModelConfig, train: TrainConfig, rows: int, device: str, dtype: str, available: int | None
) -> int:
    """Rows of one forward pass: train.micro_batch, or the most that is useful and fits `available` bytes.

    Raises UserError when not even one row (or what was asked for) fits, with the settings to change.
    """

    def needed(micro: int) -> int:
        return bytes_of_training(
            config,
            micro * config.context,
            optimizer=train.optimizer,
            activation_bytes=2 if dtype == "bfloat16" else 4,
            checkpointing=train.activation_checkpointing,
            masked=best_backend(device, getattr(torch, dtype), dropout=config.dropout) != "varlen",
        )["total"]

    limit = None if available is None else int(MEMORY_SHARE * available)
    if train.micro_batch:
        micro = min(rows, train.micro_batch)
    else:
        micro = max(1, min(rows, ENOUGH_TOKENS.get(device, ENOUGH_TOKENS["cpu"]) // config.context))
        while micro > 1 and limit is not None and needed(micro) > limit:
            micro = (micro + 1) // 2
    if limit is not None and needed(micro) > limit:
        smaller = "train.micro_batch, " if micro > 1 else ""
        raise UserError(
            f"training needs about {count(needed(micro), 'B')} for {micro} row(s) of {config.context} tokens, and "
            f"{count(available or 0, 'B')} of memory are free. Lower {smaller}model.context, model.width or "
            "model.layers, or set train.activation_checkpointing: true."
        )
    return micro


def should_compile(
    train: TrainConfig, device: str, steps: int, seconds_of_a_step: Callable[[], float]
) -> dict[str, Any]:
    """{"on": bool, "why": str}. `seconds_of_a_step` times an eager step; asked only where time decides."""
    if train.compile != "auto":
        return {"on": train.compile == "on", "why": f"train.compile is {train.compile}"}
    if device.startswith("cuda"):
        on = steps > COMPILE_AFTER_STEPS
        return {"on": on, "why": f"{steps} steps on a GPU ({'over' if on else 'not over'} {COMPILE_AFTER_STEPS})"}
    if device != "cpu":
        return {"on": False, "why": f"compilation is not tried on {device}"}
    if not (shutil.which("g++") or shutil.which("clang++")):
        return {"on": False, "why": "no C++ compiler here"}
    total = steps * seconds_of_a_step()
    on = total > COMPILE_AFTER_SECONDS
    relation = "over" if on else "not over"
    return {"on": on, "why": f"about {total:.0f} s of training uncompiled ({relation} {COMPILE_AFTER_SECONDS:.0f} s)"}


def time_of(work: Callable[[], None], device: str) -> float:
    """Seconds of `work`, the second time it runs."""
    work()
    began = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def announce(decisions: dict[str, Any]) -> None:
    """One line with what was decided."""
    say("training with " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in decisions.items()))
