"""Small fine-tunings for the tests: a shrunken Phi-3, sums as examples, and `tune` on them.

`python -m finetune.tunes DIRECTORY KIND [STEP]` (with src and tests on the path) tunes; given a step, the process
kills itself with SIGKILL in the middle of it. Under torchrun's environment every rank does the same.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from smallm.core.config import FinetuneConfig, Recipe, TuneSource
from smallm.core.files import write_json
from smallm.core.run import Run

STEPS = 8
# name -> keys of `finetune` beside those of recipe_of.
KINDS: dict[str, dict[str, Any]] = {
    "lora": {"lora_dropout": 0.1},
    "qlora": {"load_in_4bit": True},
    "qlora8bit": {"load_in_4bit": True, "optimizer": "paged_adamw8bit", "lora_r": 32},
    "plain": {"micro_rows": 1, "learning_rate": 1e-4, "batch_rows": 4, "validate_every": 4, "keep_best": False},
}


def rows_of(count: int = 150) -> list[dict[str, Any]]:
    """Conversations of very different lengths: sums, some with a long question."""
    found = []
    for n in range(count):
        a, b = divmod(n * 37 % 997, 31)
        question = f"What is {a} plus {b}?" + " Think about it first." * (n % 4)
        answer = f"It is {a + b}." + (" Really." * (n % 7))
        found.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
    return found


def recipe_of(path: Path, **settings: Any) -> Recipe:
    """QLoRA or LoRA of the shrunken Phi-3 in `path`, a checkpoint every 2 steps."""
    usual: dict[str, Any] = {
        "model": str(path / "phi3"),
        "data": [TuneSource(path=str(path / "rows.jsonl"))],
        "max_length": 128,
        "batch_rows": 4,
        "micro_rows": 2,
        "steps": STEPS,
        "learning_rate": 5e-3,
        "validate_every": 3,
        "validation": 0.1,
        "test": 0.1,
        "log_every": 2,
        "checkpoint_every": 2,
        "max_new_tokens": 4,
    }
    return Recipe(name="sums", seed=1, finetune=FinetuneConfig(**(usual | settings)))


def base_at(path: Path) -> Path:
    """The base and the rows, made once."""
    if not (path / "phi3").exists():
        from smallm.finetune.shrunken import make_phi3

        path.mkdir(parents=True, exist_ok=True)
        make_phi3(path / "phi3")
        (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of()), "utf-8")
    return path


def run_at(path: Path, recipe: Recipe) -> Run:
    """A run with the recipe's tokens; one thread, so that a busy machine is no slower."""
    run = Run(path)
    if not (path / "tokens" / recipe.finetune.name).exists():
        from smallm.finetune.tokens import make_tokens

        write_json(path / "resolved.json", {"threads": 1, "device": "cpu"})
        make_tokens(recipe, run)
    return run


def tune_at(path: Path, recipe: Recipe) -> Path:
    from smallm.finetune.stage import tune

    return tune(recipe, run_at(path, recipe))


def outcome(tuned: Path) -> dict[str, bytes]:
    """What two equal fine-tunings share to the last byte."""
    return {
        name: (tuned / name).read_bytes() for name in ("metrics.jsonl", "samples.jsonl", "adapter_model.safetensors")
    }


def with_keys(recipe: Recipe, **settings: Any) -> Recipe:
    return replace(recipe, finetune=replace(recipe.finetune, **settings))


def _main() -> None:
    from smallm.train.loop import Trainer

    torch.set_num_threads(1)
    path, kind = Path(sys.argv[1]), sys.argv[2]
    kill_at = int(sys.argv[3]) if len(sys.argv) > 3 else None
    backward = Trainer.backward

    def dying(self: Trainer, batch: Any) -> Any:
        loss = backward(self, batch)
        if self.state.step + 1 == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Trainer.backward = dying
    tune_at(path / "run", recipe_of(path, **KINDS[kind]))


if __name__ == "__main__":
    _main()
