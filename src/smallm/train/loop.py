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
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from smallm.core.console import Progress, count, say
from smallm.core.errors import TrainingDiverged
from smallm.train import distributed, keeping, measure
from smallm.train.feed import Global, synchronise
from smallm.train.job import Job, State, diverged, fits, interrupt_after_the_step, looking, validate
from smallm.train.journal import METRICS, SAMPLES, TIMING, Journal
from smallm.train.memory import memory_in_use
from smallm.train.optim import Optimizers, clip_gradients
from smallm.train.scaler import START, LossScale
from smallm.train.schedule import decay_start, rate


@dataclass
class Pending:
    """One step's results, still on the device."""

    step: int
    loss: Tensor
    norm: Tensor
    n_trained: int
    document_ids: list[str]
    skipped: bool = False  # its gradient overflowed in float16
    interrupted: Tensor | None = None  # of several ranks, how many were told to stop


class Trainer:
    """The loop's state and its steps; `run` drives it."""

    def __init__(self, job: Job) -> None:
        self.job, self.state = job, State(total=job.total, dtype=job.dtype)
        self.model = distributed.wrap(job.model, job.world)
        self.optimizers = Optimizers(job.model, job.train, job.optimizer)
        self.journal = Journal(job.directory, job.world.writes)
        self.scale = LossScale(START if job.scaler else 1.0)
        self.pending: list[Pending] = []
        self.grad_norm = 0.0
        self.mark = time.perf_counter()
        self.row_mark = (0.0, 0)  # training seconds and tokens at the last row
        self.interrupted = False
        self.all_stop = False  # of several ranks one was told to stop, and all know
        self.saved_at = time.monotonic()
        self.note = ""

    @property
    def stopping(self) -> bool:
        """Whether to end with a checkpoint after this step; the same on every rank."""
        return self.all_stop if self.job.world.size > 1 else self.interrupted

    # ------------------------------------------------------------------ one step

    def step(self, batch: Global) -> None:
        """Accumulate, clip, update. The result waits in `pending`."""
        job, train = self.job, self.job.train
        step = self.state.step + 1
        if job.world.size > 1:  # dropout: other draws on every rank, the same after a resume
            torch.manual_seed(((job.feed.rows.seed << 40) + step * job.world.size + job.world.rank) % (1 << 63))
        loss = self.backward(batch)
        norm = clip_gradients(self.optimizers.parameters, train.grad_clip, self.scale.value)
        # float16 alone asks the device here: whether to take the step depends on it.
        taken = not job.scaler or self.scale.update(bool(torch.isfinite(norm)))
        both = torch.stack([loss.float(), torch.tensor(float(self.interrupted)).to(loss.device)])
        both = job.world.sum(both) if job.world.size > 1 else [loss, None]
        self.pending.append(Pending(step, both[0], norm, batch.n_trained, batch.document_ids, not taken, both[1]))
        if not job.device.startswith("cuda"):  # looking costs nothing there, and saves the update
            self.collect()
        self.optimizers.set_rate(rate(step, job.total, train))
        if taken:
            self.optimizers.step()
        self.optimizers.zero_grad()
        self.state.step, self.state.tokens = step, self.state.tokens + (batch.tokens or batch.n_trained)
        self.state.trained_tokens += batch.n_trained
        self.state.cursor = asdict(batch.cursor)

    def backward(self, batch: Global) -> Tensor:
        """Gradients of the mean loss over the global batch; this rank's summed loss, on the device.

        A batch without a trained token (all masked) gives zero gradients, not NaN. Of several ranks each has the
        same sum over all of them afterwards (DistributedDataParallel gives the mean; the factor undoes it).
        """
        scale = self.scale.value * self.job.world.size / max(1, batch.n_trained)
        total: Tensor | None = None
        for i, part in enumerate(batch.parts):
            part = self.job.feed.to_device(part)
            with distributed.without_sync(self.model, last=i + 1 == len(batch.parts)):
                with self.job.autocast():
                    loss, _ = self.model(part)
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
            if not (math.isfinite(loss) and (math.isfinite(norm) or p.skipped)) or self.scale.hopeless:
                what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
                raise TrainingDiverged(diverged(self.job, p.step, p.document_ids, what))
            self.state.loss_sum += loss
            self.state.loss_tokens += p.n_trained
            if not p.skipped:
                self.grad_norm = norm
            elif self.job.world.writes:
                say(f"step {p.step}: a gradient overflowed in float16; left out, the loss's scale is halved")
            self.all_stop = self.all_stop or (p.interrupted is not None and bool(p.interrupted > 0))
        self.pending.clear()

    # ------------------------------------------------------------------ rows, validation, checkpoints

    def record(self) -> None:
        """What is due after a step: a row of metrics, validation, samples, a checkpoint."""
        job, train, step = self.job, self.job.train, self.state.step
        last = step == job.total
        validate = last or step % train.validate_every == 0
        sample = last or (step % train.sample_every == 0 if train.sample_every else validate)
        keep = {decay_start(job.total, train)} if train.schedule == "wsd" else set()
        save = last or step % train.checkpoint_every == 0 or step in keep or self.stopping
        tasks = job.tasks is not None and (last or (job.tasks_every > 0 and step % job.tasks_every == 0))
        row = validate or tasks or step % train.log_every == 0
        late = job.checkpoint_minutes > 0 and time.monotonic() - self.saved_at > 60 * job.checkpoint_minutes
        if not (row or sample or save or (late and job.world.size == 1)):
            return
        self._stop_clock()
        if row:
            better = self._write_row(rate(step, job.total, train) * train.learning_rate, validate, tasks)
            save = save or better or self.state.stopped
        if sample:
            self.write_samples()
        if save or late or self.stopping:
            keeping.save(self, keep)
        self.mark = time.perf_counter()

    def _stop_clock(self) -> None:
        self.collect()
        synchronise(self.job.device)
        self.state.seconds += time.perf_counter() - self.mark

    def _write_row(self, learning_rate: float, validate: bool, tasks: bool) -> bool:
        """A row of metrics and timing. Whether its validation is the best so far (and is kept for that)."""
        state, better = self.state, False
        row: dict[str, Any] = {"step": state.step, "tokens": state.tokens}
        row["loss"] = state.loss_sum / max(1, state.loss_tokens)
        row |= {"learning_rate": learning_rate, "grad_norm": self.grad_norm}
        if self.job.feed.rows.corpus.masks is not None:
            row["trained_tokens"] = state.trained_tokens
        if self.scale.skipped:
            row["skipped_steps"] = self.scale.skipped
        state.loss_sum, state.loss_tokens = 0.0, 0
        seconds, tokens = state.seconds - self.row_mark[0], state.tokens - self.row_mark[1]
        self.row_mark = (state.seconds, state.tokens)
        speed = tokens / seconds if seconds > 0 else 0.0
        mfu = speed * self.job.flops_per_token / self.job.peak_flops if self.job.peak_flops else None
        if validate:
            row |= self.validate()
            better = keeping.judge(self, row.get("validation_loss"))
        if tasks:
            row |= self.score_tasks()
        self.journal.write(METRICS, row)
        timing = {"seconds": round(state.seconds, 3), "tokens_per_second": round(speed, 1), "mfu": mfu}
        self.journal.write(TIMING, {"step": state.step, **timing, "memory_bytes": memory_in_use(self.job.device)})
        self.note = f"loss {row['loss']:.3f}, {count(speed)} tokens/s"
        if mfu:
            self.note += f", {100 * mfu:.0f} % of the peak"
        if validate and "validation_bits_per_byte" in row:
            self.note += f", held-out {row['validation_bits_per_byte']:.3f} bits per byte"
        elif validate and "validation_loss" in row:
            self.note += f", held-out loss {row['validation_loss']:.3f}"
        if validate and "validation_loss" in row:
            self.say(f"step {state.step}: {self.note}")
        return better

    def trained(self) -> dict[str, Tensor]:
        """The trained parameters by name: what a checkpoint holds of the model."""
        return {name: p for name, p in self.job.model.decoder.named_parameters() if p.requires_grad}

    def say(self, text: str) -> None:
        """One line for the user, whatever the number of ranks."""
        if self.job.world.writes:
            say(text)

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
        with looking(self.job.model):
            found = self.job.tasks()
        return {"tasks": {t: {m: v for m, v in figures.items() if math.isfinite(v)} for t, figures in found.items()}}

    def write_samples(self) -> None:
        """What the model writes now; draws from generators of its own, so that training is left alone."""
        if self.job.sample is None or not self.job.world.writes:
            return
        with looking(self.job.model):
            for row in self.job.sample(self.state.step):
                self.journal.write(SAMPLES, {"step": self.state.step, **row})

    # ------------------------------------------------------------------ start and run

    def verify(self) -> None:
        """Compare the chunked loss with the model's own logits, on every start: a resume takes the same road."""
        with measure.without_trace(self), self.job.autocast():
            self.job.model.verify(self.job.feed.to_device(self.job.feed.rows.batch(1)))

    def start(self) -> None:
        """Before the first step: seed, write row 0."""
        torch.manual_seed(self.job.feed.rows.seed)  # dropout's draws
        self.saved_at = time.monotonic()
        self.journal.write(METRICS, {"step": 0, "tokens": 0, **self.validate(), **self.score_tasks()})
        self.write_samples()

    def compile(self) -> None:
        """Compile, and run each shape of micro-batch once, outside the training clock; changes nothing."""
        began = time.perf_counter()
        measure.compile_step(self)
        self.state.compile_seconds += time.perf_counter() - began

    def time_a_step(self) -> float:
        """Seconds of an eager forward and backward pass of one global batch; changes nothing."""
        return measure.time_a_step(self)

    def release(self) -> None:
        """Give back the memory of weights, gradients and moments: what was trained is saved and opened again."""
        self.optimizers.zero_grad()
        del self.optimizers
        for p in self.job.model.parameters():
            p.data = p.data.new_empty(0)
        if self.job.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def run(self) -> State:
        """All steps that are left, from the newest checkpoint of the job's directory on."""
        with fits(self.job):
            return self._run()

    def _run(self) -> State:
        job = self.job
        job.model.train()
        self.verify()
        if not keeping.resume(self):
            self.start()
        if self.state.step >= job.total or self.state.stopped:
            keeping.finish(self)
            return self.state
        if job.compile:
            self.compile()
        bar = Progress("training", job.total, "steps", 10.0 if job.world.writes else math.inf)
        self.mark = time.perf_counter()
        batches = job.feed.batches(job.total - self.state.step)
        try:
            with interrupt_after_the_step(self):
                for batch in batches:
                    self.step(batch)
                    self.record()
                    bar.update(self.state.step, self.note)
                    if self.stopping:
                        raise KeyboardInterrupt
                    if self.state.stopped:
                        break
        finally:
            bar.close()
        job.world.barrier()
        keeping.finish(self)
        return self.state
