"""A suite on a model: every task whose data is here, the others skipped aloud; what the verb and the stage call.

All tasks are read before the first is scored, so that a mistake in the last one costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smallm.core.console import duration, say, warn
from smallm.core.errors import UserError
from smallm.evaluate.cache import ScoreCache
from smallm.evaluate.contamination import Contamination
from smallm.evaluate.run_tasks import TaskResult, run_task
from smallm.evaluate.scorer import Scorer
from smallm.evaluate.suites import Suite
from smallm.evaluate.task_data import MissingData
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import Task


@dataclass(frozen=True)
class SuiteResult:
    """The tasks that ran, and those that did not: {task, why} each."""

    suite: Suite
    results: tuple[TaskResult, ...]
    skipped: tuple[dict[str, str], ...]
    seconds: float


def load_tasks(
    suite: Suite, dirs: Sequence[Path], *, limit: int | None = None, shots: int | None = None, chat: bool = False
) -> tuple[list[Task], list[dict[str, str]]]:
    """The suite's tasks and those whose data is not on this machine. UserError: a mistake in any of them, all told.

    Data that a task file of one's own names and that is not there is a mistake too.
    """
    changes = ({} if shots is None else {"shots": shots}) | ({"chat": True} if chat else {})
    tasks: list[Task] = []
    skipped: list[dict[str, str]] = []
    mistakes: list[str] = []
    for spec in suite.tasks:
        try:
            tasks.append(load_task(spec.changed(**changes), dirs).limited(limit))
        except MissingData as error:
            if spec.packaged:
                skipped.append({"task": spec.name, "why": str(error)})
            else:
                mistakes.append(str(error))
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return tasks, skipped


def run_suite(
    suite: Suite,
    scorer: Scorer,
    *,
    dirs: Sequence[Path],
    limit: int | None = None,
    shots: int | None = None,
    chat: bool = False,
    cache: ScoreCache | None = None,
    contamination: Contamination | None = None,
    allow_remote_code: bool = False,
) -> SuiteResult:
    """Run a suite, saying each task's primary figure as it comes. UserError: no task of it can run here."""
    began = time.monotonic()
    tasks, skipped = load_tasks(suite, dirs, limit=limit, shots=shots, chat=chat)
    for row in skipped:
        warn(f"skipped: {row['why']}")
    if not tasks:
        raise UserError(
            f"suite {suite.name}: the data of none of its {len(suite.tasks)} tasks is on this machine (above: what is "
            "missing, and where it is from). The suite `smallm` needs none."
        )
    results: list[TaskResult] = []
    for task in tasks:
        try:
            result = run_task(task, scorer, cache, contamination=contamination, allow_remote_code=allow_remote_code)
        except UserError as error:  # its answers do not fit the model's window, it has no chat template, …
            if len(tasks) == 1 or not task.spec.packaged:
                raise
            warn(f"task {task.name} is skipped: {error}")
            skipped.append({"task": task.name, "why": str(error)})
            continue
        results.append(result)
        say(_line(result))
    if not results:
        raise UserError(f"suite {suite.name}: no task of it could be scored (above: why).")
    return SuiteResult(suite, tuple(results), tuple(skipped), time.monotonic() - began)


def _line(result: TaskResult) -> str:
    figure = result.summary.metrics[result.task.primary]
    error = f" ± {figure['standard_error']:.4f}" if figure["standard_error"] is not None else ""
    known = f", {result.cached} of {len(result.records)} known" if result.cached else ""
    items = f"{len(result.records)} items, {duration(result.seconds)}{known}"
    return f"{result.task.name}: {result.task.primary} {figure['value']:.4f}{error} ({items})"
