"""Small trainings for the tests of train/: a run directory with tokens, and `pretrain` on it.

`python -m train.runs DIRECTORY [STEP]` (with src and tests on the path) trains; given a step, the
process kills itself with SIGKILL in the middle of it.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from train.tokens import write_tokens

from smallm.core.config import ModelConfig, Recipe, TrainConfig
from smallm.core.files import read_json, write_json
from smallm.core.run import Run

VOCAB, CONTEXT, ROWS = 64, 32, 8


def recipe_of(steps: int = 24, *, model: dict[str, Any] | None = None, **train: Any) -> Recipe:
    """A model of about 0.1M parameters, `steps` steps of 8 rows of 32 tokens, a checkpoint every 5."""
    shape = {"layers": 2, "width": 64, "heads": 2, "context": CONTEXT, "dropout": 0.1} | (model or {})
    settings = {
        "tokens": steps * ROWS * CONTEXT,
        "batch_tokens": ROWS * CONTEXT,
        "micro_batch": 3,
        "validate_every": 10,
        "checkpoint_every": 5,
        "log_every": 4,
        "decay_share": 0.5,
        "compile": "off",
    }
    return Recipe(name="test", seed=1, model=ModelConfig(**shape), train=TrainConfig(**(settings | train)))


def run_at(path: Path) -> Run:
    """A run with tokens of 300 short documents; one thread, so that a busy machine is no slower."""
    if not (path / "tokens").exists():
        generator = np.random.default_rng(0)
        write_tokens(path / "tokens" / "base", generator.integers(3, 90, 300), generator.integers(3, 90, 12), VOCAB)
        write_json(path / "resolved.json", {"threads": 1})
    return Run(path)


def pretrain_at(path: Path, recipe: Recipe | None = None) -> Path:
    from smallm.train.stage import pretrain

    return pretrain(recipe or recipe_of(), run_at(path))


def outcome(path: Path) -> dict[str, bytes]:
    """What two equal trainings share to the last byte."""
    return {name: (path / "base" / name).read_bytes() for name in ("metrics.jsonl", "model.safetensors", "config.json")}


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, train=replace(recipe.train, tokens=steps * ROWS * CONTEXT))


def _main() -> None:
    from smallm.train.loop import Trainer

    path, kill_at = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None
    backward = Trainer.backward

    def dying(self: Trainer, batch: Any) -> Any:
        loss = backward(self, batch)
        if self.state.step + 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Trainer.backward = dying
    pretrain_at(path)
    assert read_json(path / "base" / "smallm.json")["steps"] == 24


if __name__ == "__main__":
    _main()
