"""Making an ablation's runs: ordinary run directories in one folder, a line of results after each.

What is done is skipped, what was stopped goes on from its checkpoint. Text, tokenizer and tokens are made once, in
`text/`; the runs beside it borrow them (core/borrow.py). A training that diverges is a result like any other.
"""

from __future__ import annotations

import _thread
import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallm import __version__
from smallm.ablate.design import Ablation, training_flops
from smallm.ablate.results import MADE, Found, Line, Planned, append_line, find, minutes, read_lines
from smallm.core import hardware
from smallm.core.console import duration, say
from smallm.core.errors import TrainingDiverged
from smallm.core.files import read_json, sha256_file
from smallm.core.run import Run
from smallm.model import count
from smallm.pipeline import run_pipeline

TEXT = "text"  # the run that holds what all share


@dataclass
class Clock:
    """A limit of minutes, over when they have passed. `stopped`: it stopped what was going on."""

    minutes: float
    began: float = 0.0
    stopped: bool = False

    @property
    def over(self) -> bool:
        return self.minutes > 0 and time.monotonic() - self.began >= 60 * self.minutes

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Press Ctrl-C when the time is over: a training then writes a checkpoint after its step."""
        self.began = time.monotonic()
        timer = threading.Timer(60 * self.minutes, self._press) if self.minutes > 0 else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer:
                timer.cancel()

    def _press(self) -> None:
        self.stopped = True
        say("the time is over: stopping here")
        _thread.interrupt_main()


def machine_dtype() -> str:
    """What `train.dtype: auto` is on this machine."""
    return "bfloat16" if hardware.has_bf16(hardware.pick_device()) else "float32"


def possible(run: Planned) -> bool:
    """Whether this machine multiplies the run's type in hardware; emulated it would take hundreds of times longer."""
    return run.dtype != "bfloat16" or machine_dtype() == "bfloat16"


def machine() -> dict[str, Any]:
    """What the runs are made on, in the words of `smallm.json`."""
    found = {"cpu": hardware.cpu_name(), "cores": hardware.cores(), "gpus": [g.name for g in hardware.gpus()]}
    return found | {"bf16": machine_dtype() == "bfloat16"}


def text_of(ablation: Ablation, to: Path) -> str:
    """Make what all runs share, and its hash: that of the tokens' manifest, which names tokenizer and shards."""
    run = Run(to / TEXT)
    run_pipeline(replace(ablation.base, name=f"{ablation.name}-text"), run, only=("data", "tokenizer", "tokens"))
    return sha256_file(run.path / "tokens" / "base" / "manifest.json")


def done_here(ablation: Ablation, lines: list[Line], to: Path) -> Found:
    """The results that count for this machine, as far as can be told before its text is made."""
    manifest = to / TEXT / "tokens" / "base" / "manifest.json"
    data = sha256_file(manifest) if manifest.is_file() else None
    return find(ablation, lines, dtype=machine_dtype(), data=data)


def make_runs(
    ablation: Ablation, runs: list[Planned], to: Path, results: Path, clock: Clock, written: Callable[[], None]
) -> bool:
    """Make those of `runs` that have no result yet, in order; `written` is called after each new line of `results`.

    Whether all are made: not where the clock stopped it, which loses nothing, nor where this machine cannot make one.
    Raises KeyboardInterrupt when the user stopped it.
    """
    with clock.running():
        try:
            data = text_of(ablation, to)
            found = find(ablation, read_lines(results), dtype=machine_dtype(), data=data)
            left = [run for run in runs if run.key not in found.lines]
            able = [run for run in left if possible(run)]
            for at, run in enumerate(able):
                if clock.over:
                    return False
                say(f"\n{run.name}, seed {run.seed}: {len(left) - at} of {len(runs)} runs are left")
                line = make_run(ablation, run, to, data)
                append_line(results, line)
                written()
                say(after(run, line, able[at + 1 :], read_lines(results)))
        except KeyboardInterrupt:
            if not clock.stopped:
                raise
            return False
    for run in (run for run in left if not possible(run)):
        say(f"{run.name}, seed {run.seed}: left out, since this machine does not multiply bfloat16 in hardware")
    return len(able) == len(left)


def after(run: Planned, line: Line, left: list[Planned], lines: list[Line]) -> str:
    """What came out, and how long the rest will take at the pace of the runs on this machine."""
    bits = "diverged" if line["bits_per_byte"] is None else f"{line['bits_per_byte']:.4f} bits per byte"
    time_left = estimate(left, lines, line["machine"])
    ahead = f", about {duration(60 * time_left)}" if time_left else ""
    return f"{run.name}, seed {run.seed}: {bits} in {duration(line['seconds'])}; {len(left)} left{ahead}"


def estimate(runs: list[Planned], lines: list[Line], here: dict[str, Any]) -> float | None:
    """Minutes of training that `runs` will take on this machine; None before it has made one."""
    paced = [line for line in lines if line["machine"] == here and line["bits_per_byte"] is not None]
    return minutes(runs, paced, {r.key: training_flops(r.recipe) for r in runs})


def make_run(ablation: Ablation, planned: Planned, to: Path, data: str) -> Line:
    """One run up to its evaluation, and its line. Its checkpoints, of no use any more, are deleted."""
    run = Run(to / f"{planned.name}-s{planned.seed}")
    line: Line = {
        "ablation": ablation.name,
        "run": planned.name,
        "set": planned.arm.keys,
        "seed": planned.seed,
        "key": planned.key,
        "data": data,
        "dtype": planned.dtype,
        "tokens": planned.recipe.train.tokens,
        "flops": training_flops(planned.recipe),
        "parameters": count.parameters(planned.recipe.model),
        "machine": machine(),
        "version": __version__,
        "commit": commit(),
    }
    began = time.monotonic()
    try:
        run_pipeline(planned.recipe, run, only=MADE, redo=True)
    except TrainingDiverged as error:
        say(f"{planned.name}, seed {planned.seed} diverged: {error}")
        return line | {"bits_per_byte": None, "standard_error": None, "seconds": round(time.monotonic() - began, 1)}
    facts = read_json(run.path / "base" / "smallm.json")
    figures = read_json(run.path / "eval" / f"base-{facts['weights_sha256'][:8]}.json")["bits_per_byte"]
    shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    return line | {
        "bits_per_byte": figures["value"],
        "standard_error": figures["standard_error"],
        "seconds": facts["train_seconds"],
    }


def commit() -> str | None:
    """The short hash of HEAD where this package lies in its own checkout, `-dirty` when it differs; else None."""
    package = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != package.parents[1]:
            return None  # an environment inside somebody else's repository
        return git("rev-parse", "--short=10", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
