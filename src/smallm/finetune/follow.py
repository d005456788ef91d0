"""Several processes on one `smallm run`: rank 0 makes the stages, the others meet it where one is trained together.

Ranks above 0 wait in `follow` until rank 0 has come to the training and says whether there is anything to train; then
all train, and rank 0 goes on alone. They write nothing.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.distributed as dist

from smallm.core import hardware
from smallm.core.config import Recipe
from smallm.core.run import Run
from smallm.train import distributed


def follow(recipe: Recipe, run: Run) -> bool:
    """On a rank above 0: train with rank 0, or leave when it says that there is nothing to do. Whether it trained."""
    from smallm.finetune.stage import tune

    try:
        if not _heard(recipe, False):
            return False
        tune(recipe, dataclasses.replace(run, writes=False))
        return True
    finally:
        distributed.leave()


def lead(recipe: Recipe, train: bool) -> None:
    """On rank 0: tell the others whether there is a training; they wait for it."""
    _heard(recipe, train)
    if not train:
        distributed.leave()


def _heard(recipe: Recipe, train: bool) -> bool:
    """Rank 0's word, on every rank."""
    device = hardware.pick_device()
    world = distributed.join(device, recipe.finetune.batch_rows)
    where = f"cuda:{world.local_rank}" if device == "cuda" else "cpu"
    word = torch.tensor([int(train)], device=where)
    dist.broadcast(word, 0)
    return bool(word.item())
