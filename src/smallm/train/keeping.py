"""What of a training is kept and taken up again: its checkpoints, the best of them, the one that is the result.

A checkpoint holds the trained parameters alone (with adapters a small part of the model), the optimiser, the
generators and the `State`. The best one is protected as long as any checkpoint that is kept names it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.train import checkpoint
from smallm.train.job import State
from smallm.train.pack import Cursor
from smallm.train.scaler import LossScale
from smallm.train.schedule import agrees_until

if TYPE_CHECKING:
    from smallm.train.loop import Trainer


def save(trainer: Trainer, protected: set[int]) -> None:
    """Write this step's checkpoint and remove those that are no longer kept."""
    job, state = trainer.job, trainer.state
    trainer.saved_at = time.monotonic()
    if not job.world.writes:
        return
    if job.scaler:
        state.scale = asdict(trainer.scale)
    optimizer = trainer.optimizers.tensors() | checkpoint.random_state()
    record = asdict(state) | {"grad_norm": trainer.grad_norm, "row_mark": list(trainer.row_mark)}
    checkpoint.save(job.directory, state.step, trainer.trained(), optimizer, record)
    best = checkpoint.best_steps(job.directory, job.train.keep_checkpoints)
    checkpoint.prune(job.directory, job.train.keep_checkpoints, protected | best)


def judge(trainer: Trainer, loss: float | None) -> bool:
    """Whether this validation is the best one, to be kept; stops the training when patience has run out."""
    job, state = trainer.job, trainer.state
    if loss is None or not (job.keep_best or job.patience):
        return False
    if state.best_loss is None or loss < state.best_loss:
        state.best_loss, state.best_step, state.since_best = loss, state.step, 0
        return job.keep_best
    state.since_best += 1
    if job.patience and state.since_best >= job.patience and state.step < job.total:
        state.stopped = True
        trainer.say(
            f"stopped early at step {state.step} of {job.total}: {state.since_best} validations without one better "
            f"than {state.best_loss:.4f} at step {state.best_step} ({job.section}.patience)"
        )
    return False


def resume(trainer: Trainer) -> bool:
    """Take up the newest checkpoint that fits this budget. Returns whether there was one."""
    job = trainer.job
    found = checkpoint.newest(job.directory, lambda s: s["step"] <= agrees_until(s["total"], job.total, job.train))
    if found is None:
        found = checkpoint.newest(job.directory, lambda s: s["step"] < job.total)
        if found is not None:
            warn(
                f"the budget was {found.state['total']} steps and is {job.total} now: going on from step "
                f"{found.step}. With train.schedule: {job.train.schedule} that is not identical to a run with this "
                "budget from the start (wsd and constant are)."
            )
    if found is None:
        trainer.journal.rewind(-1)
        return False
    _take(trainer, found)
    trainer.optimizers.load(checkpoint.restore_random_state(found.optimizer))
    extra = {k: found.state.pop(k) for k in ("grad_norm", "row_mark")}
    trainer.state = state = State(**found.state)
    if job.scaler and state.scale:  # a checkpoint of another arithmetic has none: the scale begins anew
        trainer.scale = LossScale(**state.scale)  # type: ignore[arg-type]
    state.stopped = state.stopped and state.total == job.total
    state.total = job.total
    trainer.grad_norm, trainer.row_mark = extra["grad_norm"], tuple(extra["row_mark"])
    if state.dtype not in ("", job.dtype):
        warn(
            f"steps up to {state.step} were multiplied in {state.dtype}, the rest are in {job.dtype}: another device. "
            "The result is not bit for bit that of either alone."
        )
    state.dtype = job.dtype
    job.feed.rows.cursor = Cursor(**state.cursor)
    job.world.barrier()  # nobody reads any more what is now removed
    trainer.journal.rewind(state.step)
    if job.world.writes:
        checkpoint.drop_after(job.directory, state.step)
    trainer.say(f"resuming from step {state.step} of {job.total}")
    return True


def finish(trainer: Trainer) -> None:
    """Give the model the parameters that are the result: the best ones, where that is wanted and known."""
    job, state = trainer.job, trainer.state
    if not job.keep_best:
        return
    if state.best_loss is None:
        trainer.say("the result is the last step: without held-out examples no other can be called better")
        return
    known = f"its held-out loss, {state.best_loss:.4f}, is the lowest"
    if state.best_step == state.step:
        trainer.say(f"the result is the last step, {state.step}: {known}")
        return
    path = checkpoint.path_of(job.directory, state.best_step)
    try:
        _take(trainer, checkpoint.load(path))
    except ValueError as error:
        raise UserError(
            f"{path}: the best checkpoint (held-out loss {state.best_loss:.4f}) is damaged ({error}). Delete "
            f"{job.directory} and train again, or take the last step: {job.section}.keep_best: false."
        ) from None
    trainer.say(f"the result is step {state.best_step}, not the last one ({state.step}): {known}")


@torch.no_grad()
def _take(trainer: Trainer, found: checkpoint.Checkpoint) -> None:
    """The trained parameters of a checkpoint."""
    for name, p in trainer.trained().items():
        p.copy_(found.model[name])
