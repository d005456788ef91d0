"""Seconds of training until character-level Shakespeare reaches nanoGPT's validation loss of 1.8857.

Ours against nanoGPT's published CPU settings (4 layers, 4 heads, 128 wide, context 64, batch 12,
2,000 steps, AdamW), both in our loop, alternating, one seed a pair. Classic split: the first 90 %
of the characters train. Both step counts are fixed beforehand; the loss is over every
validation character, in windows of the side's context that do not overlap. The clock holds
training steps alone: no evaluation, no compilation (reported apart).

    python benchmarks/shakespeare_speedrun.py input.txt [--pairs 5] [--compile]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _common import Pairs, Peer, record
from torch import Tensor

from smallm.core.config import Recipe
from smallm.core.recipe import load_recipe
from smallm.core.run import Run
from smallm.pipeline import run_pipeline
from smallm.train import stage

TARGET = 1.8857  # nanoGPT's at step 2,000
# The baseline may take at most 33 ms a step where nanoGPT takes 30. On another processor nanoGPT's 30 ms become what
# its shape takes there in a plain torch loop, measured in the same run.
MOST_MS_A_STEP, NANOGPT_MS = 33.0, 30.0
# What a search over shapes, batches and rates found (LOG.md): two narrow layers and many small steps.
OURS = (
    "model.layers=2",
    "model.width=96",
    "model.head_width=32",
    "model.ffn_width=192",
    "model.tied=false",
    "model.context=64",
    "model.rope_theta=1000",
    "train.batch_tokens=1408",
    "train.tokens=190080",  # 135 steps
    "train.muon_learning_rate=0.06",
    "train.momentum=0.85",
    "train.learning_rate=0.0138",
    "train.embedding_learning_rate=0.0832",
    "train.head_learning_rate=0.0138",
    "train.beta1=0.7",
    "train.beta2=0.99",
    "train.weight_decay=0",
    "train.grad_clip=0",
    "train.decay_share=0.7",
)


class Side:
    """One contestant: its recipe, its prepared tokens, and the seconds and loss of one training."""

    def __init__(self, name: str, recipe: Recipe, folder: Path, compiled: bool) -> None:
        self.name, self.run = name, Run(folder / name)
        train = replace(
            recipe.train,
            validate_every=10**9,
            checkpoint_every=10**9,
            validation_tokens=10**9,
            compile="on" if compiled else "off",
        )
        self.recipe = replace(recipe, name=name, train=train)
        run_pipeline(self.recipe, self.run, only=("data", "tokenizer", "tokens"))
        self.steps = 0

    def train(self, seed: int, tokens: int | None = None) -> dict[str, float]:
        """Train from scratch with this seed; seconds, compilation, validation loss."""
        recipe = replace(self.recipe, seed=seed)
        if tokens:
            recipe = replace(recipe, train=replace(recipe.train, tokens=tokens))
        shutil.rmtree(self.run.path / "checkpoints", ignore_errors=True)
        trainer = stage.trainer_of(recipe, self.run)
        trainer.job.sample = None
        state = trainer.run()
        self.steps = trainer.job.total
        return {
            "seconds": state.seconds,
            "compile_seconds": state.compile_seconds,
            "loss": trainer.validate()["validation_loss"],
        }


class PlainBlock(torch.nn.Module):
    """nanoGPT's block: LayerNorm, fused qkv, causal attention, GELU; no biases."""

    def __init__(self, D: int, H: int) -> None:
        super().__init__()
        self.H = H
        self.norm1, self.norm2 = (torch.nn.LayerNorm(D, bias=False) for _ in range(2))
        self.qkv, self.out = torch.nn.Linear(D, 3 * D, bias=False), torch.nn.Linear(D, D, bias=False)
        self.up, self.down = torch.nn.Linear(D, 4 * D, bias=False), torch.nn.Linear(4 * D, D, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        q, k, v = (z.view(B, T, self.H, -1).transpose(1, 2) for z in self.qkv(self.norm1(x_BTD)).split(D, 2))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D)
        x_BTD = x_BTD + self.out(attended)
        return x_BTD + self.down(F.gelu(self.up(self.norm2(x_BTD))))


def plain_step_ms(steps: int = 60, B: int = 12, T: int = 64, D: int = 128, V: int = 65) -> float:
    """Milliseconds of one step of nanoGPT's CPU shape in a plain eager torch loop on this machine, now."""
    embed, position, head = torch.nn.Embedding(V, D), torch.nn.Embedding(T, D), torch.nn.Linear(D, V, bias=False)
    head.weight = embed.weight
    body = torch.nn.Sequential(*(PlainBlock(D, 4) for _ in range(4)), torch.nn.LayerNorm(D, bias=False))
    parameters = list(torch.nn.ModuleList([embed, position, body]).parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99))
    ids = torch.randint(V, (B, T + 1))

    def step() -> None:
        logits = head(body(embed(ids[:, :-1]) + position.weight))
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()

    for _ in range(10):
        step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return 1000 * (time.perf_counter() - began) / steps


def race(ours: Side, theirs: Side, pairs: int) -> None:
    """A warm-up, then the pairs; checks the rules, records the line."""
    for side in (ours, theirs):
        side.train(99, tokens=20 * side.recipe.train.batch_tokens)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    plain_ms = []
    for seed in range(pairs):
        plain_ms.append(plain_step_ms())
        for key, side in (("ours", ours), ("theirs", theirs)):
            found[key].append(side.train(seed))
            print(f"pair {seed + 1}, {key}: {found[key][-1]}", flush=True)
    losses = {key: [round(run["loss"], 4) for run in runs] for key, runs in found.items()}
    pairs_of = Pairs(*([run["seconds"] for run in found[key]] for key in ("ours", "theirs")))
    counted = Pairs(*([run["seconds"] + run["compile_seconds"] for run in found[key]] for key in ("ours", "theirs")))
    mean = statistics.mean(losses["ours"])
    step_ms = 1000 * statistics.median(pairs_of.theirs) / theirs.steps
    work: dict[str, Any] = {
        "target": TARGET,
        "losses_ours": losses["ours"],
        "losses_theirs": losses["theirs"],
        "mean_loss_ours": round(mean, 4),
        "reached": mean <= TARGET,
        "baseline_ms_a_step": round(step_ms, 1),
        "nanogpt_shape_in_plain_torch_ms": round(statistics.median(plain_ms), 1),
        "baseline_within_33_ms": step_ms <= MOST_MS_A_STEP,
        "baseline_within_33_of_30": step_ms <= MOST_MS_A_STEP / NANOGPT_MS * statistics.median(plain_ms),
    }
    extra = {
        "steps": {"ours": ours.steps, "theirs": theirs.steps},
        "ratio_median_with_compilation": round(statistics.median(counted.ratios("s")), 2),
        "settings": list(OURS),
    }
    peer = Peer("nanoGPT's CPU settings in our loop", "2,000 steps")
    record(
        "shakespeare_speedrun",
        case="seconds to 1.8857",
        unit="s",
        pairs=pairs_of,
        peer=peer,
        same_work=work,
        extra=extra,
    )
    if mean > TARGET:
        raise SystemExit(f"not reached: the mean loss of ours is {mean:.4f}, the target {TARGET}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="tinyshakespeare's input.txt")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="compile our side")
    parser.add_argument("--set", action="append", default=[], help="another setting of ours, for experiments")
    parser.add_argument("--ours-only", action="store_true", help="train ours alone, `pairs` seeds: for experiments")
    arguments = parser.parse_args()
    source = f"data.sources=[{arguments.text.resolve()}]"
    with tempfile.TemporaryDirectory() as folder:
        mine = load_recipe("shakespeare", (source, *OURS, *arguments.set))
        ours = Side("ours", mine, Path(folder), arguments.compile)
        if arguments.ours_only:
            runs = [ours.train(seed) for seed in range(arguments.pairs)]
            mean = statistics.mean(run["loss"] for run in runs)
            print(f"{ours.steps} steps, mean loss {mean:.4f}", [{k: round(v, 3) for k, v in r.items()} for r in runs])
            return
        baseline = load_recipe("shakespeare-nanogpt", (source,))
        race(ours, Side("theirs", baseline, Path(folder), False), arguments.pairs)


if __name__ == "__main__":
    main()
