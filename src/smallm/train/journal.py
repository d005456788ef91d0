"""What a training writes down, a JSON line at a time: metrics, timing, samples.

metrics.jsonl holds what is deterministic, timing.jsonl what a clock gave, samples.jsonl what the
model wrote. `rewind` cuts all three back to a checkpoint's step, so that a resumed training
continues them as if it had never stopped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smallm.core.files import write_text

METRICS, TIMING, SAMPLES = "metrics.jsonl", "timing.jsonl", "samples.jsonl"
FILES = (METRICS, TIMING, SAMPLES)


class Journal:
    """The three files of one training directory. Of several ranks one `writes`."""

    def __init__(self, directory: Path, writes: bool = True) -> None:
        self.directory, self.writes = directory, writes
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, row: dict[str, Any]) -> None:
        """Append one row. Raises ValueError on NaN or infinity, which JSON does not have."""
        if not self.writes:
            return
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
        with open(self.directory / name, "a", encoding="utf-8") as f:
            f.write(line + "\n")

    def rewind(self, step: int) -> None:
        """Keep rows up to `step`; -1 keeps none. A line torn by a crash goes too."""
        for name in FILES if self.writes else ():
            path = self.directory / name
            write_text(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in read(path) if r["step"] <= step))


def read(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a journal file, in order; none when it does not exist."""
    rows = []
    if path.exists():
        for line in path.read_text("utf-8").split("\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows
