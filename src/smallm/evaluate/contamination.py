"""Items of tasks that stand in a run's training text: read from data/contamination.json, absent meaning unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import read_json

FILE = Path("data") / "contamination.json"


@dataclass(frozen=True)
class Contamination:
    """The hits of a training set that was searched: {task, item_id, doc_id, ngram} each."""

    hits: Sequence[dict[str, Any]]
    file: str = ""

    def items(self, task: str) -> set[str]:
        """Ids of the task's items that stand in the training text."""
        return {str(hit["item_id"]) for hit in self.hits if hit["task"] == task}


def run_of(model: str | Path) -> Path | None:
    """The run that a model directory is part of (runs/x, runs/x/base, runs/x/tuned/y), or None."""
    path = Path(model).expanduser()
    if not path.exists():
        return None
    above = path.resolve()
    # As it was named where that is enough, so that messages show the user's own path.
    for candidate in (path, *list(path.parents)[:2], above, *list(above.parents)[:2]):
        if (candidate / "recipe.yaml").is_file():
            return candidate
    return None


def load_contamination(run: Path | None) -> Contamination | None:
    """What was found in a run's training data; None where it was not searched. UserError: not such a file."""
    if run is None or not (run / FILE).is_file():
        return None
    path = run / FILE
    try:
        hits = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not JSON ({error}). Write it anew, or remove it: scores are then unchecked."
        ) from None
    right = isinstance(hits, list) and all(isinstance(hit, dict) and {"task", "item_id"} <= hit.keys() for hit in hits)
    if not right:
        raise UserError(f"{path}: must be a list of {{task, item_id, doc_id, ngram}}. Write it anew, or remove it.")
    return Contamination(hits, str(path))
