"""Several processes on one training: who this one is, sums over all of them, and DistributedDataParallel.

`torchrun` and `accelerate launch` set RANK, WORLD_SIZE and the rest; without them there is one process and
every function here does nothing. Every rank packs the same global batch and takes its share of the rows, so
the number of trained tokens is known without asking; gradients are summed, never averaged over ranks. Rank 0
writes. What was asked for is asserted: a launcher that wanted FSDP or DeepSpeed gets an error, not DDP.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from smallm.core.errors import UserError

# A rank waits so long for the others: rank 0 makes the stages before, and writes checkpoints and samples meanwhile.
TIMEOUT = timedelta(hours=24)
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Engines that `accelerate launch` can be asked for, by the variable that it sets.
OTHER_ENGINES = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}


@dataclass(frozen=True)
class World:
    """This process among `size`. `device`: the one that it trains on."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    backend: str = ""

    @property
    def writes(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks (in place)."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def facts(self, model: nn.Module) -> dict[str, Any]:
        """What trained, for smallm.json."""
        engine = type(model).__name__ if self.size > 1 else "one process"
        return {"engine": engine, "world_size": self.size, "backend": self.backend or None}


def environment(variables: Mapping[str, str] | None = None) -> World:
    """The World that a launcher set up; not joined yet. UserError: half an environment, or another engine."""
    found = os.environ if variables is None else variables
    size = _integer(found, "WORLD_SIZE", 1)
    for variable, engine in OTHER_ENGINES.items():
        if found.get(variable, "").lower() in ("1", "true"):
            raise UserError(
                f"{variable} asks for {engine}; training here is distributed by DistributedDataParallel alone. "
                "Run `accelerate config` again without it, or start with torchrun."
            )
    if size == 1:
        return World()
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise UserError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} not set: start several processes with `torchrun "
            "--nproc-per-node N -m smallm.cli run RECIPE` (or `accelerate launch`), which sets them all."
        )
    rank = _integer(found, "RANK", 0)
    return World(rank, size, _integer(found, "LOCAL_RANK", rank))


def join(device: str, rows: int) -> World:
    """Meet the other processes: gloo for the CPU, NCCL for CUDA. `rows`: of a global batch.

    UserError: more processes than rows, or more than cards.
    """
    world = environment()
    if world.size == 1:
        return world
    if world.size > rows:
        raise UserError(
            f"{world.size} processes, but a batch has {rows} rows: every process needs one. "
            "Start fewer, or raise the rows of a batch (finetune.batch_rows)."
        )
    if device.startswith("cuda"):
        if world.local_rank >= torch.cuda.device_count():
            cards = torch.cuda.device_count()
            raise UserError(f"process {world.local_rank} of this machine has no card: {cards} here. Start fewer.")
        torch.cuda.set_device(world.local_rank)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if not dist.is_initialized():
        dist.init_process_group(backend, timeout=TIMEOUT)
    if (dist.get_rank(), dist.get_world_size(), dist.get_backend()) != (world.rank, world.size, backend):
        raise UserError(
            f"the process group is rank {dist.get_rank()} of {dist.get_world_size()} with {dist.get_backend()}, but "
            f"the launcher said rank {world.rank} of {world.size} with {backend}."
        )
    return World(world.rank, world.size, world.local_rank, backend)


def refuse(what: str) -> None:
    """UserError when several processes were started for `what`, which runs in one."""
    if (size := environment().size) > 1:
        raise UserError(f"{what} runs in one process, but {size} were started. Start it without torchrun.")


def wrap(model: nn.Module, world: World) -> nn.Module:
    """`model` for the loop to call: in DistributedDataParallel where there are several ranks.

    The trained parameters become rank 0's; the frozen ones were read from the same files.
    """
    if world.size == 1:
        return model
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in trained:
            dist.broadcast(p, 0)
    wrapped = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False, init_sync=False)
    if type(wrapped) is not nn.parallel.DistributedDataParallel or dist.get_world_size() != world.size:
        raise AssertionError(f"{type(wrapped).__name__} over {dist.get_world_size()} ranks, not over {world.size}")
    return wrapped


def without_sync(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Around a micro-batch's forward and backward pass: gradients meet after the `last` one alone."""
    if last or not isinstance(model, nn.parallel.DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def leave() -> None:
    """Close the process group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _integer(found: Mapping[str, str], name: str, default: int) -> int:
    text = found.get(name, str(default))
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r}, not a number: it is set by torchrun or accelerate, not by hand.")
    return int(text)
