"""The recipe's suites on a run's base model: a result file each, what was skipped, and a line for people.

Scores come from the cache where these weights were evaluated before. A task whose data is not on this machine, or that
this model cannot do (its context is too short for the answers), is passed over, aloud, and named in the result.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import say, warn
from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.evaluate.cache import ScoreCache
from smallm.evaluate.contamination import load_contamination
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.recipe_suites import folders_of, suites_of
from smallm.evaluate.results import ModelFacts, write_result
from smallm.evaluate.run_suite import load_tasks
from smallm.evaluate.run_tasks import TaskResult, run_task
from smallm.evaluate.scorer import Scorer, load_scorer


def evaluate_suites(recipe: Recipe, run: Run, directory: Path) -> dict[str, Any]:
    """Write base-<hash8>-<suite>.json and its items into `directory`; gives {suite: {file, tasks, skipped}}."""
    if not recipe.eval.suites:
        return {}
    base, folders = run.path / "base", folders_of(recipe.eval)
    scorer, cache, contamination = load_scorer(base), ScoreCache(), load_contamination(run.path)
    found = {}
    for suite in suites_of(recipe.eval):
        began, limit = time.monotonic(), recipe.eval.items or None
        tasks, skipped = load_tasks(suite, folders, limit=limit)
        for row in skipped:
            warn(f"skipped: {row['why']}")
        results = []
        for task in tasks:
            try:
                results.append(run_task(task, scorer, cache, contamination=contamination))
            except UserError as error:  # the training is done, and the other tasks are worth having
                warn(f"task {task.name} is skipped. {error}")
                skipped.append({"task": task.name, "why": str(error)})
            else:
                say(_line(suite.name, results[-1]))
        path = None
        if results:
            # As `smallm eval --limit` names it: a part never takes the place of the whole.
            name = f"{suite.name}-limit{limit}" if limit else suite.name
            path = write_result(
                directory, "base", name, _facts(scorer, base), results,
                limit=limit, skipped=skipped, seconds=time.monotonic() - began,
            )  # fmt: skip
        found[suite.name] = {
            "file": path.name if path else None,
            "tasks": {result.task.name: _brief(result) for result in results},
            "skipped": skipped,
        }
    return found


def _facts(scorer: Scorer, base: Path) -> ModelFacts:
    return ModelFacts(
        name=str(base),
        path=str(base),
        weights_sha256=scorer.weights_sha256,
        tokenizer_sha256=scorer.tokenizer_sha256,
        parameters=scorer.parameters,
        settings=scorer.settings,
    )


def _brief(result: TaskResult) -> dict[str, Any]:
    """What a task came to, for the stage's own file: another value there makes the report anew."""
    task = result.task
    value = result.summary.metrics[task.primary]["value"]
    return {"version": task.version, "items": len(result.records), "primary": task.primary, "value": value}


def _line(suite: str, result: TaskResult) -> str:
    """`smallm/agreement: accuracy 0.712 (0.68 to 0.74), 400 items`."""
    figure = result.summary.metrics[result.task.primary]
    between = f" ({figure['low']:.3g} to {figure['high']:.3g})" if figure["low"] is not None else ""
    chance = ", at chance" if figure["at_chance"] else ""
    title = metric_info(result.task.primary).title
    return f"{suite}/{result.task.name}: {title} {figure['value']:.3f}{between}, {len(result.records)} items{chance}"
