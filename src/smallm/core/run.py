"""The run directory and its stages: keys, lineage, skipping, one writer at a time.

A stage is a row of a table: what it is called, which artefact it makes, from which artefacts,
and from which part of the recipe. Its key is the hash of its version, the hashes of its
inputs' outputs and the affecting part of its configuration; a finished stage whose key has
not changed is skipped. The order of stages and the functions live in `pipeline.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

from smallm.core.borrow import borrow
from smallm.core.config import Recipe
from smallm.core.console import duration, say, warn
from smallm.core.errors import UserError
from smallm.core.files import HashCache, files_below, read_json, sha256_json, write_json

# Redoing a training that took longer than this asks for --redo (DESIGN.md, the run directory).
REDO_SECONDS = 600.0
RECORD_KEYS = {"stage", "key", "inputs", "config", "outputs", "seconds"}
VERSIONS_OF = ("smallm", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "sentencepiece")


@dataclass(frozen=True)
class Stage:
    """One row of the pipeline's table.

    `config` gives the JSON data that belongs into the key; `fingerprint` what the stage reads
    from outside the run (source files by hash, generator versions). `unhashed` names (or globs)
    files that are not outputs, since others rewrite them (cards); `unkeyed` those that are recorded
    but hold what a clock gave, so that no later stage's key depends on them. Where other commands write into
    the artefact too, `owns(artefact)` names the files that are this stage's (None: all), and `shared` those of them
    that others may write again: they must be there, whatever they hold. `beside` names (globs below the run) what
    this stage reads of theirs. `extends(old, new)` says that going from one configuration to the other continues the
    work instead of redoing it. `borrows`: a run beside this one that has it under the same key lends it.
    """

    name: str
    artefact: str
    make: Callable[[Recipe, Run], Path]
    config: Callable[[Recipe], Any]
    inputs: tuple[str, ...] = ()
    version: int = 1
    fingerprint: Callable[[Recipe, HashCache], dict[str, str]] = lambda recipe, hashes: {}
    unhashed: tuple[str, ...] = ("README.md",)
    unkeyed: tuple[str, ...] = ()
    owns: Callable[[Path], Collection[str]] | None = None
    shared: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    costly: bool = False
    borrows: bool = False
    extends: Callable[[Any, Any], bool] = lambda old, new: False


@dataclass
class Run:
    """A run directory. `hashes` caches file hashes; `resolved` keeps automatic decisions.

    `writes`: whether this process keeps them; of several on one training the first alone does.
    """

    path: Path
    verify: bool = False
    writes: bool = True
    hashes: HashCache = field(init=False)

    def __post_init__(self) -> None:
        self.hashes = HashCache(self.path / ".hashes.json", verify=self.verify)

    @property
    def name(self) -> str:
        return self.path.name

    def resolved(self, name: str, decide: Callable[[], Any]) -> Any:
        """The automatic decision `name`: taken once by `decide`, kept in resolved.json."""
        path = self.path / "resolved.json"
        try:
            decisions = read_json(path) if path.exists() else {}
        except ValueError as error:
            raise UserError(f"{path}: not JSON ({error}). Delete it: its decisions are then taken again.") from None
        if name not in decisions:
            decisions[name] = decide()
            if self.writes:
                write_json(path, decisions)
        return decisions[name]

    def stage_record(self, artefact: str) -> dict[str, Any] | None:
        """The stage.json of an artefact, or None when it is not finished."""
        try:
            record = read_json(self.path / artefact / "stage.json")
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.keys() >= RECORD_KEYS else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: a second process that wants to write it is told who has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "a+") as f:
            try:
                _lock_file(f)
            except BlockingIOError:
                f.seek(0)
                raise UserError(
                    f"{self.path}: another process is writing this run ({f.read().strip() or 'unknown'}). "
                    "Wait for it, stop it, or choose another directory with --run NAME."
                ) from None
            except OSError as error:  # some network file systems know no locks
                warn(f"{self.path}: this file system cannot lock ({error}); start only one smallm on this run.")
            _held.add(f.fileno())
            try:
                f.truncate(0)
                f.write(f"pid {os.getpid()} on {platform.node()}")
                f.flush()
                yield
            finally:
                f.truncate(0)
                _held.discard(f.fileno())


# File descriptors of locks held by this process. A forked worker shares the open file, and so would
# keep the lock after its parent was killed: it closes its copy first.
_held: set[int] = set()


def _drop_in_child() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_in_child)


def _lock_file(f: Any) -> None:
    """An advisory lock that the kernel releases when the process dies, however it dies.

    Raises BlockingIOError when another open file holds it.
    """
    if sys.platform == "win32":
        import msvcrt

        # Windows locks bytes, and locked bytes cannot be read: lock one far behind the text.
        f.seek(1 << 20)
        try:
            msvcrt.locking(f.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


def stage_inputs(stage: Stage, recipe: Recipe, run: Run) -> dict[str, str]:
    """What the stage reads, by hash: outputs of earlier artefacts, and its outside sources."""
    inputs: dict[str, str] = {}
    for artefact in stage.inputs:
        record = run.stage_record(artefact)
        if record is None:
            raise UserError(
                f"{run.path / artefact}: not there, but `{stage.name}` needs it. Run `smallm run` without --only."
            )
        unkeyed = record.get("unkeyed", [])
        keyed = {k: v["sha256"] for k, v in record["outputs"].items() if not _matches(k, unkeyed)}
        inputs[artefact] = sha256_json(keyed)
    beside = sorted(path for pattern in stage.beside for path in run.path.glob(pattern))
    inputs |= {p.relative_to(run.path).as_posix(): run.hashes(p) for p in beside if p.name != "stage.json"}
    return inputs | stage.fingerprint(recipe, run.hashes)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def stage_key(stage: Stage, recipe: Recipe, inputs: dict[str, str]) -> str:
    return sha256_json(
        {"stage": stage.name, "version": stage.version, "inputs": inputs, "config": stage.config(recipe)}
    )


def is_done(stage: Stage, run: Run, key: str) -> bool:
    """Finished under this key, with its outputs in place (rehashed when run.verify)."""
    record = run.stage_record(stage.artefact)
    if record is None or record["key"] != key:
        return False
    for name, output in record["outputs"].items():
        path = run.path / stage.artefact / name
        if path.is_file() and _matches(name, stage.shared):
            continue
        if not path.is_file() or path.stat().st_size != output["bytes"]:
            say(f"{path} is missing or was changed; {stage.name} is redone.")
            return False
        if run.verify and run.hashes(path) != output["sha256"]:
            say(f"{path} no longer has its recorded hash; {stage.name} is redone.")
            return False
    return True


def run_stage(stage: Stage, recipe: Recipe, run: Run, *, redo: bool = False) -> tuple[Path, bool]:
    """Make the stage's artefact, or borrow it, unless it is done. Returns its path and whether it was made."""
    final = run.path / stage.artefact
    recover(final)
    inputs = stage_inputs(stage, recipe, run)
    key = stage_key(stage, recipe, inputs)
    if is_done(stage, run, key):
        return final, False
    if (other := borrow(stage, run, key, versions())) is not None:
        say(f"{stage.name}: the same as in {other}, copied from there")
        return final, True
    _ask_before_redoing(stage, recipe, run, inputs, redo)
    began = time.monotonic()
    made = stage.make(recipe, run)
    if made != final:
        raise AssertionError(f"{stage.name} returned {made}, its table row says {final}")
    write_json(final / "stage.json", _record(stage, recipe, run, key, inputs, time.monotonic() - began))
    run.hashes.save()
    return final, True


def _ask_before_redoing(stage: Stage, recipe: Recipe, run: Run, inputs: dict[str, str], redo: bool) -> None:
    """Raises UserError when the artefact was costly, would be made from scratch, and --redo was not said."""
    record = run.stage_record(stage.artefact)
    if record is None or redo or not stage.costly or record["seconds"] <= REDO_SECONDS:
        return
    if record["inputs"] == inputs and stage.extends(record["config"], json.loads(json.dumps(stage.config(recipe)))):
        return
    raise UserError(
        f"{run.path / stage.artefact}: its recipe or inputs changed, and making it took {duration(record['seconds'])}. "
        "Say --redo to make it again (the old one is kept until the new one is whole), or --run NAME for a new run."
    )


def recover(final: Path) -> None:
    """After a kill inside swap_in: only `<name>.old` is left (put it back) or both are (drop the old one)."""
    old = final.with_name(final.name + ".old")
    if old.exists() and not final.exists():
        os.replace(old, final)
    elif old.exists():
        shutil.rmtree(old)


def _record(stage: Stage, recipe: Recipe, run: Run, key: str, inputs: dict[str, str], seconds: float) -> dict[str, Any]:
    final = run.path / stage.artefact
    names = {p.relative_to(final).as_posix(): p for p in files_below(final)}
    owned = names.keys() if stage.owns is None else set(stage.owns(final))
    outputs = {
        name: {"sha256": run.hashes(p), "bytes": p.stat().st_size}
        for name, p in names.items()
        if name in owned and not _matches(name, stage.unhashed)
    }
    return {
        "stage": stage.name,
        "stage_version": stage.version,
        "key": key,
        "inputs": inputs,
        "config": json.loads(json.dumps(stage.config(recipe))),
        "outputs": outputs,
        "unkeyed": [*stage.unkeyed, *stage.shared],
        "versions": versions(),
        "seed": recipe.seed,
        "seconds": round(seconds, 3),
        "peak_bytes": peak_bytes(),
    }


def versions() -> dict[str, str]:
    """Installed versions of what shapes results, python included."""
    found = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def peak_bytes() -> int:
    """The process's peak resident memory so far, in bytes; 0 where the system does not say."""
    if sys.platform == "win32":
        with contextlib.suppress(ImportError):
            import psutil

            return psutil.Process().memory_info().peak_wset
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
