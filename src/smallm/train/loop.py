"""The training loop: one for pretraining and every kind of fine-tuning.

A step: forward and backward over the micro-batches, each loss divided by the trained tokens of
the whole global batch; clip the accumulated gradient; update. Nothing in it waits for the device:
losses and norms stay there until a row of metrics is due, and are then checked; a non-finite one
stops the run before anything of it is written. What differs between trainings comes in the `Job`:
the LossModel, the rows, callables for samples and tasks. Knows nothing of recipes, tokenizers or directories
of models.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from smallm.core.console import Progress, count, say, warn
from smallm.core.errors import TrainingDiverged, UserError
from smallm.train import checkpoint
from smallm.train.decide import time_of
from smallm.train.feed import Global, synchronise
from smallm.train.job import Job, State, interrupt_after_the_step, validate
from smallm.train.journal import METRICS, SAMPLES, TIMING, Journal
from smallm.train.memory import memory_in_use
from smallm.train.optim import Optimizers, clip_gradients
from smallm.train.pack import Cursor
from smallm.train.schedule import agrees_until, decay_start, rate


@dataclass
class Pending:
    """One step's results, still on the device."""

    step: int
    loss: Tensor
    norm: Tensor
    n_trained: int
    document_ids: list[str]


class Trainer:
    """The loop's state and its steps; `train` drives it."""

    def __init__(self, job: Job) -> None:
        self.job, self.state = job, State(total=job.total)
        self.optimizers = Optimizers(job.model, job.train)
        self.journal = Journal(job.directory)
        self.pending: list[Pending] = []
        self.grad_norm = 0.0
        self.mark = time.perf_counter()
        self.row_mark = (0.0, 0)  # training seconds and tokens at the last row
        self.interrupted = False

    # ------------------------------------------------------------------ one step

    def step(self, batch: Global) -> None:
        """Accumulate, clip, update. The result waits in `pending`."""
        job, train = self.job, self.job.train
        step = self.state.step + 1
        loss = self.backward(batch)
        norm = clip_gradients(self.optimizers.parameters, train.grad_clip)
        self.pending.append(Pending(step, loss, norm, batch.n_trained, batch.document_ids))
        if not job.device.startswith("cuda"):  # looking costs nothing there, and saves the update
            self.collect()
        self.optimizers.set_rate(rate(step, job.total, train))
        self.optimizers.step()
        self.optimizers.zero_grad()
        self.state.step, self.state.tokens = step, self.state.tokens + batch.n_trained
        self.state.cursor = asdict(batch.cursor)

    def backward(self, batch: Global) -> Tensor:
        """Gradients of the mean loss over the global batch; the summed loss, on the device.

        A batch without a trained token (all masked) gives zero gradients, not NaN.
        """
        scale = 1.0 / max(1, batch.n_trained)
        total: Tensor | None = None
        for part in batch.parts:
            part = self.job.feed.to_device(part)
            with self.job.autocast():
                loss, _ = self.job.model(part)
            (loss * scale).backward()
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def collect(self) -> None:
        """Read what is pending (on CUDA the one wait) and check it. Raises TrainingDiverged."""
        if not self.pending:
            return
        values = torch.stack([v.float() for p in self.pending for v in (p.loss, p.norm)]).tolist()
        for i, p in enumerate(self.pending):
            loss, norm = values[2 * i], values[2 * i + 1]
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingDiverged(self._diverged(p, loss, norm))
            self.state.loss_sum += loss
            self.state.loss_tokens += p.n_trained
            self.grad_norm = norm
        self.pending.clear()

    def _diverged(self, p: Pending, loss: float, norm: float) -> str:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
        steps = checkpoint.steps_in(self.job.directory)
        good = checkpoint.path_of(self.job.directory, steps[0]) if steps else None
        shown = ", ".join(p.document_ids[:8]) + (f" and {len(p.document_ids) - 8} more" if p.document_ids[8:] else "")
        return (
            f"training diverged at step {p.step}: {what}. Documents of its batch: {shown}. "
            + (f"The last good checkpoint is {good}. " if good else "No checkpoint was written yet. ")
            + "Lower train.learning_rate or train.muon_learning_rate, or add train.warmup_steps."
        )

    # ------------------------------------------------------------------ rows, validation, checkpoints

    def record(self) -> None:
        """What is due after a step: a row of metrics, validation, samples, a checkpoint."""
        job, train, step = self.job, self.job.train, self.state.step
        last = step == job.total
        validate = last or step % train.validate_every == 0
        sample = last or (step % train.sample_every == 0 if train.sample_every else validate)
        keep = {decay_start(job.total, train)} if train.schedule == "wsd" else set()
        save = last or step % train.checkpoint_every == 0 or step in keep or self.interrupted
        tasks = job.tasks is not None and (last or (job.tasks_every > 0 and step % job.tasks_every == 0))
        row = validate or tasks or step % train.log_every == 0
        if not (row or sample or save):
            return
        self._stop_clock()
        if row:
            self._write_row(rate(step, job.total, train) * train.learning_rate, validate, tasks)
        if sample:
            self.write_samples()
        if save:
            self.save(keep)
        self.mark = time.perf_counter()

    def _stop_clock(self) -> None:
        self.collect()
        synchronise(self.job.device)
        self.state.seconds += time.perf_counter() - self.mark

    def _write_row(self, learning_rate: float, validate: bool, tasks: bool) -> None:
        state = self.state
        row: dict[str, Any] = {"step": state.step, "tokens": state.tokens}
        row["loss"] = state.loss_sum / max(1, state.loss_tokens)
        row |= {"learning_rate": learning_rate, "grad_norm": self.grad_norm}
        state.loss_sum, state.loss_tokens = 0.0, 0
        seconds, tokens = state.seconds - self.row_mark[0], state.tokens - self.row_mark[1]
        self.row_mark = (state.seconds, state.tokens)
        speed = tokens / seconds if seconds > 0 else 0.0
        mfu = speed * self.job.flops_per_token / self.job.peak_flops if self.job.peak_flops else None
        if validate:
            row |= self.validate()
        if tasks:
            row |= self.score_tasks()
        self.journal.write(METRICS, row)
        timing = {"seconds": round(state.seconds, 3), "tokens_per_second": round(speed, 1), "mfu": mfu}
        self.journal.write(TIMING, {"step": state.step, **timing, "memory_bytes": memory_in_use(self.job.device)})
        self.note = f"loss {row['loss']:.3f}, {count(speed)} tokens/s"
        if mfu:
            self.note += f", {100 * mfu:.0f} % of the peak"
        if validate and "validation_loss" in row:
            self.note += f", held-out {row['validation_bits_per_byte']:.3f} bits per byte"
            say(f"step {state.step}: {self.note}")

    note = ""

    def validate(self) -> dict[str, float]:
        """job.validate, stopping on a non-finite loss."""
        figures = validate(self.job)
        if figures and not math.isfinite(figures["validation_loss"]):
            raise TrainingDiverged(
                f"the validation loss at step {self.state.step} is {figures['validation_loss']}; nothing of it is kept."
            )
        return figures

    def score_tasks(self) -> dict[str, Any]:
        """{"tasks": {task: {metric: value}}} of the model as it is; figures that are not finite are left out."""
        if self.job.tasks is None:
            return {}
        with self._as_it_was():
            found = self.job.tasks()
        return {"tasks": {t: {m: v for m, v in figures.items() if math.isfinite(v)} for t, figures in found.items()}}

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Look at the model in evaluation mode; the generators and the mode are then as they were."""
        random, model = checkpoint.random_state(), self.job.model
        model.eval()
        yield
        model.train()
        checkpoint.restore_random_state(random)

    def write_samples(self) -> None:
        """What the model writes now; draws from generators of its own, so that training is left alone."""
        if self.job.sample is None:
            return
        with self._as_it_was():
            for row in self.job.sample(self.state.step):
                self.journal.write(SAMPLES, {"step": self.state.step, **row})

    def save(self, protected: set[int]) -> None:
        """Write this step's checkpoint and remove those that are no longer kept."""
        model = dict(self.job.model.decoder.named_parameters())
        optimizer = self.optimizers.tensors() | checkpoint.random_state()
        state = asdict(self.state) | {"grad_norm": self.grad_norm, "row_mark": list(self.row_mark)}
        checkpoint.save(self.job.directory, self.state.step, dict(model), optimizer, state)
        checkpoint.prune(self.job.directory, self.job.train.keep_checkpoints, protected)

    # ------------------------------------------------------------------ start and resume

    def resume(self) -> bool:
        """Take up the newest checkpoint that fits this budget. Returns whether there was one."""
        job = self.job
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
            self.journal.rewind(-1)
            return False
        with torch.no_grad():
            for name, p in job.model.decoder.named_parameters():
                p.copy_(found.model[name])
        self.optimizers.load(checkpoint.restore_random_state(found.optimizer))
        extra = {k: found.state.pop(k) for k in ("grad_norm", "row_mark")}
        self.state = State(**found.state)
        self.state.total = job.total
        self.grad_norm, self.row_mark = extra["grad_norm"], tuple(extra["row_mark"])
        job.feed.rows.cursor = Cursor(**self.state.cursor)
        self.journal.rewind(self.state.step)
        checkpoint.drop_after(job.directory, self.state.step)
        say(f"resuming from step {self.state.step} of {job.total}")
        return True

    def start(self) -> None:
        """Before the first step: seed, compare the loss with the model's own, write row 0."""
        job = self.job
        torch.manual_seed(job.feed.rows.seed)  # dropout's draws
        rows = job.feed.rows
        cursor, tally = rows.cursor, rows.tally
        job.model.verify(job.feed.to_device(rows.batch(1)))
        rows.cursor, rows.tally = cursor, type(tally)()
        self.journal.write(METRICS, {"step": 0, "tokens": 0, **self.validate(), **self.score_tasks()})
        self.write_samples()

    def compile(self) -> None:
        """Compile, and run each shape of micro-batch once, outside the training clock; changes nothing."""
        job, rows = self.job, self.job.feed.rows
        say("compiling the training step; this takes a minute or so")
        began = time.perf_counter()
        random, cursor, tally = checkpoint.random_state(), rows.cursor, rows.tally
        job.model.compile()
        if job.device.startswith("cuda"):
            self.optimizers.compile()
        shapes = {len(p.input_ids_BT): p for p in next(iter(job.feed.batches(1))).parts}
        for part in shapes.values():
            with job.autocast():
                loss, _ = job.model(job.feed.to_device(part))
            loss.backward()
        self.optimizers.zero_grad()
        synchronise(job.device)
        rows.cursor, rows.tally = cursor, type(tally)()
        checkpoint.restore_random_state(random)
        self.state.compile_seconds += time.perf_counter() - began

    def time_a_step(self) -> float:
        """Seconds of an eager forward and backward pass of one global batch; changes nothing."""
        random, rows = checkpoint.random_state(), self.job.feed.rows
        cursor, tally = rows.cursor, rows.tally
        part, *rest = next(iter(self.job.feed.batches(1))).parts

        def work() -> None:
            self.backward(Global([part], part.n_trained, [], cursor))
            self.optimizers.zero_grad()

        self.job.model.train()
        seconds = time_of(work, self.job.device) * (1 + len(rest))
        rows.cursor, rows.tally = cursor, type(tally)()
        checkpoint.restore_random_state(random)
        return seconds

    def run(self) -> State:
        """All steps that are left."""
        job = self.job
        job.model.train()
        if not self.resume():
            self.start()
        if self.state.step >= job.total:
            return self.state
        if job.compile:
            self.compile()
        bar = Progress("training", job.total, "steps")
        self.mark = time.perf_counter()
        batches = job.feed.batches(job.total - self.state.step)
        try:
            with interrupt_after_the_step(self):
                for batch in batches:
                    self.step(batch)
                    self.record()
                    bar.update(self.state.step, self.note)
                    if self.interrupted:
                        raise KeyboardInterrupt
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"out of memory with micro-batches of {job.feed.micro} rows. Set train.micro_batch to "
                f"{max(1, job.feed.micro // 2)}, or train.activation_checkpointing: true."
            ) from error
        finally:
            bar.close()
        return self.state


def train(job: Job) -> State:
    """Train to the last step, resuming from the newest checkpoint of `job.directory`."""
    return Trainer(job).run()
