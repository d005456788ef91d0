"""Work that a run beside this one has done already: the same key, so the same files, copied instead of made again.

Trials of one recipe (`--run NAME --set KEY=VALUE`) share their text, tokenizer and tokens this way, each run still
whole in itself. Every copied file is hashed: what was changed, or is being written there, is not taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallm.core.files import new_directory, sha256_file, write_json

if TYPE_CHECKING:
    from smallm.core.run import Run, Stage


class _NotAsRecordedError(Exception):
    """A file of the other run is gone, unreadable or changed."""


def borrow(stage: Stage, run: Run, key: str, versions: dict[str, str]) -> Path | None:
    """Copy the stage's artefact from a run beside this one that has it under `key`, made by the same `versions`.

    The run that it is from, or None. The record of the copy is the other's (its seconds are what the work took), with
    `borrowed` naming that run.
    """
    if not stage.borrows:
        return None
    for path in sorted(p for p in run.path.parent.iterdir() if p.is_dir() and p != run.path):
        record = dataclasses.replace(run, path=path).stage_record(stage.artefact)
        if record is not None and record["key"] == key and record.get("versions") == versions:
            with contextlib.suppress(_NotAsRecordedError):
                _copy(path, run.path, stage.artefact, record)
                return path
    return None


def _copy(other: Path, own: Path, artefact: str, record: dict[str, Any]) -> None:
    """Every output with its recorded hash, and the record. Raises _NotAsRecordedError, with nothing changed."""
    with new_directory(own / artefact) as directory:
        for name, output in record["outputs"].items():
            copy = directory / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(other / artefact / name, copy)
            except OSError as error:
                raise _NotAsRecordedError from error
            if sha256_file(copy) != output["sha256"]:
                raise _NotAsRecordedError
        write_json(directory / "stage.json", record | {"borrowed": os.path.relpath(other, own)})
