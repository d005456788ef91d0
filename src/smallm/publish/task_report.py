"""The report's section on tasks: the rows, figures and comparisons that its templates and the cards print.

From publish/facts.py's results and comparisons, which are those of the model's own weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from smallm.publish import task_words as say
from smallm.publish.facts import Facts
from smallm.publish.svg import Figure
from smallm.publish.task_facts import Comparison, Result, items_table
from smallm.publish.task_figures import result_figures, suite_curves
from smallm.publish.whiskers import forest


@dataclass(frozen=True)
class ResultView:
    """One result: its table and its drawings by kind."""

    result: Result
    rows: list[dict[str, Any]]
    figures: dict[str, Figure]


@dataclass(frozen=True)
class ComparisonView:
    """One comparison: its file, its verdict and sentence, the drawing of its differences."""

    comparison: Comparison
    verdict: tuple[str, str, str]
    sentence: str
    tally: list[tuple[str, str, str, int]]
    figure: Figure | None


@dataclass(frozen=True)
class TasksView:
    """Everything of the section. held_out_page: the page to browse the held-out documents, where it was written."""

    results: list[ResultView]
    comparisons: list[ComparisonView]
    curves: list[Figure]
    chance: str
    held_out_page: str | None

    def figures(self) -> list[Figure]:
        """All drawings, each a file of report/figures/."""
        found = [figure for view in self.results for figure in view.figures.values()]
        return [*found, *(view.figure for view in self.comparisons if view.figure), *self.curves]

    def __bool__(self) -> bool:
        return bool(self.results or self.comparisons or self.curves)


def view_of_tasks(facts: Facts, *, drawn: bool = True) -> TasksView:
    """The section's view; without drawings for the cards (`drawn` False)."""
    results = task_results(facts)
    held_out = next((r for r in facts.results if r.file == facts.evaluation_file), None)
    return TasksView(
        results=[
            ResultView(r, result_rows(r), result_figures(r, items_table(facts.path, r)) if drawn else {})
            for r in results
        ],
        comparisons=[_comparison(c, drawn=drawn) for c in facts.comparisons],
        curves=suite_curves(facts.metrics, results, facts.recipe.eval.every_items) if drawn else [],
        chance=say.chance_sentence(results),
        held_out_page=held_out.page if held_out else None,
    )


def task_results(facts: Facts) -> list[Result]:
    """The results without the stage's own held-out documents, which the section before this one shows."""
    found = []
    for result in facts.results:
        if result.file == facts.evaluation_file:
            result = replace(result, tasks={k: v for k, v in result.tasks.items() if k != "held-out"})
        if result.tasks:
            found.append(result)
    return found


def result_rows(result: Result) -> list[dict[str, Any]]:
    """One row a task, in words: its primary metric and, smaller, the others."""
    rows = []
    for name, task in result.tasks.items():
        metric = str(task["primary"])
        figure = task["metrics"][metric]
        clusters = figure.get("clusters")
        others = {k: v for k, v in task["metrics"].items() if k != metric and isinstance(v, dict)}
        rows.append(
            {
                "task": name,
                "metric": metric,
                "title": say.title(metric),
                "better": "more" if figure.get("higher_is_better") is not False else "less",
                "score": say.number(metric, figure.get("value")),
                "plus_minus": say.plus_minus(metric, figure),
                "interval": say.interval(metric, figure),
                "chance": say.chance(metric, figure),
                "majority": say.number("acc", task["majority"]) if task.get("majority") is not None else "",
                "at_chance": say.at_chance(figure),
                "items": figure.get("items") or task.get("items"),
                "clusters": clusters if clusters and clusters != figure.get("items") else None,
                "others": [f"{say.title(k)} {say.number(k, v.get('value'))}" for k, v in others.items()],
                "contamination": say.contamination(task),
                "contaminated": say.contaminated(task),
                "marks": say.marks(task),
                "calibration": say.ece(task),
                "signature": task.get("signature"),
            }
        )
    return rows


def _comparison(comparison: Comparison, *, drawn: bool) -> ComparisonView:
    content = comparison.content
    name = say.slug(comparison.file.rsplit("/", 1)[-1].removesuffix(".json"))
    return ComparisonView(
        comparison=comparison,
        verdict=say.overall_verdict(content),
        sentence=str((content.get("overall") or {}).get("sentence") or ""),
        tally=say.tally(content),
        figure=forest(content, comparison.file, name) if drawn else None,
    )
