"""Checkpoints that are either whole or not there, and resume a training exactly.

    checkpoints/base/step-N/   model.safetensors       parameters by name (a tied one once)
                               optimizer.safetensors   optimiser state, random number generators
                               state.json              step, data cursor, loss since the last row, budget
                               hashes.json             sha256 of the three
Written as step-N.partial, flushed to the disk, renamed. A torn or altered one is noticed by its
hashes, and the one before is used, with a warning. Knows nothing of what the tensors mean.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from smallm.core.console import count, say, warn
from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, write_json

MODEL, OPTIMIZER, STATE, HASHES = "model.safetensors", "optimizer.safetensors", "state.json", "hashes.json"
_NAME = re.compile(r"step-(\d+)")


@dataclass
class Checkpoint:
    """A checkpoint read back: everything in main memory."""

    path: Path
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["step"])


def steps_in(directory: Path) -> list[int]:
    """Steps of the finished checkpoints, newest first."""
    found = (_NAME.fullmatch(p.name) for p in directory.iterdir()) if directory.is_dir() else ()
    return sorted((int(m.group(1)) for m in found if m), reverse=True)


def path_of(directory: Path, step: int) -> Path:
    return directory / f"step-{step}"


def save(
    directory: Path, step: int, model: dict[str, Tensor], optimizer: dict[str, Tensor], state: dict[str, Any]
) -> Path:
    """Write step-N. Raises UserError when the disk is full; every checkpoint before stays whole."""
    final, partial = path_of(directory, step), directory / f"step-{step}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(_saveable(model), partial / MODEL)
        save_file(_saveable(optimizer), partial / OPTIMIZER)
        write_json(partial / STATE, state | {"step": step})
        write_json(partial / HASHES, {name: sha256_file(partial / name) for name in (MODEL, OPTIMIZER, STATE)})
        for name in (MODEL, OPTIMIZER):
            _flush(partial / name)
        _flush(partial)
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        _flush(directory)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = steps_in(directory)
        stands = f"step {kept[0]} stands" if kept else "none was written before"
        needs = count(sum(t.numel() * t.element_size() for t in (*model.values(), *optimizer.values())), "B")
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        cause = "the disk is full" if full else str(error)
        raise UserError(
            f"{final}: the checkpoint could not be written: {cause}. It needs {needs}; {stands}. "
            "Make room (train.keep_checkpoints says how many are kept) and run again: training goes on from there."
        ) from error
    return final


def load(path: Path) -> Checkpoint:
    """Read and verify. Raises ValueError, saying what is wrong, when it is torn or altered."""
    try:
        hashes = read_json(path / HASHES)
        for name in (MODEL, OPTIMIZER, STATE):
            if sha256_file(path / name) != hashes[name]:
                raise ValueError(f"{name} does not have its recorded hash")
        return Checkpoint(path, load_file(path / MODEL), load_file(path / OPTIMIZER), read_json(path / STATE))
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def newest(directory: Path, accept: Callable[[dict[str, Any]], bool] = lambda state: True) -> Checkpoint | None:
    """The newest whole checkpoint whose state `accept` takes; damaged ones are passed over with a warning."""
    for path, state in _states(directory):
        if state is not None and not accept(state):
            continue
        try:
            return load(path)
        except ValueError as error:
            warn(f"{path} is damaged ({error}); using the checkpoint before it.")
    return None


def _states(directory: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """(path, state or None when unreadable), newest first."""
    for step in steps_in(directory):
        path = path_of(directory, step)
        try:
            yield path, read_json(path / STATE)
        except (OSError, ValueError):
            yield path, None


def best_steps(directory: Path, newest: int) -> set[int]:
    """The steps that the newest checkpoints name as their best: needed if one of them is taken up."""
    states = [state for _, state in _states(directory)][:newest]
    return {int(state["best_step"]) for state in states if state and state.get("best_step")}


def prune(directory: Path, keep: int, protected: Iterable[int] = ()) -> None:
    """Remove all but the newest `keep` checkpoints and the protected steps, and what a crash left half-written."""
    kept = {*steps_in(directory)[:keep], *protected}
    for step in steps_in(directory):
        if step not in kept:
            shutil.rmtree(path_of(directory, step))
    for partial in directory.glob("step-*.partial"):
        shutil.rmtree(partial)


def drop_after(directory: Path, step: int) -> None:
    """Remove checkpoints newer than `step`: of another budget or damaged, they must not be taken for ours."""
    for later in steps_in(directory):
        if later > step:
            shutil.rmtree(path_of(directory, later))


def set_aside(directory: Path) -> Path:
    """Rename a directory of checkpoints that belongs to another training; its new path."""
    n = 1
    while (aside := directory.with_name(f"{directory.name}.old{n if n > 1 else ''}")).exists():
        n += 1
    os.replace(directory, aside)
    return aside


def claim(directory: Path, key: str, record: dict[str, Any]) -> Path:
    """`directory` for the training of `key`; another training's checkpoints are set aside, not mixed in or deleted."""
    path = directory / "run.json"
    try:
        known = read_json(path).get("key") if path.exists() else None
    except ValueError:
        known = None
    if known != key and steps_in(directory):
        aside = set_aside(directory)
        say(f"{directory} belongs to a training with other settings or data; set aside as {aside.name}.")
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, {"key": key, **record})
    return directory


def random_state() -> dict[str, Tensor]:
    """The generators that training draws from (dropout), as tensors."""
    found = {"rng/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["rng/cuda"] = torch.cuda.get_rng_state()
    return found


def restore_random_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Set the generators from `random_state`'s tensors; gives back the other tensors."""
    torch.set_rng_state(tensors["rng/cpu"])
    if "rng/cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng/cuda"])
    return {k: v for k, v in tensors.items() if not k.startswith("rng/")}


def _saveable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}


def _flush(path: Path) -> None:
    """fsync a file or (where the system can) a directory."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no directories
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
