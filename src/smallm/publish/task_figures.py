"""Plots of one model's tasks: calibration, score by length, generated length, curves through training.

Each takes what a file of the run holds and names that file; one whose values are missing is None.
Whisker plots (scores, domains, differences) are whiskers.py's; `result_figures` has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from smallm.core.console import count
from smallm.core.files import write_text
from smallm.publish import task_words as say
from smallm.publish.figures import plain_counts, short
from smallm.publish.svg import INK, MUTED, SERIES, Figure, Line, draw_figure, standalone
from smallm.publish.task_facts import Result, finite
from smallm.publish.whiskers import domains, scores, task_name

PANELS = 6  # small panels of one figure; the files have every task
LENGTH_BINS, BIN_ITEMS = 5, 10  # at most so many bins, each of at least so many items
SCATTER = 300  # points of a cloud: more cannot be told apart, and each is bytes of the page


def result_figures(result: Result, items: Any) -> dict[str, Figure]:
    """All figures of one result whose data exist, by kind, in the order of the report; items: its table or None."""
    found = {
        "scores": scores(result, f"scores-{result.key}"),
        "domains": domains(result, f"domains-{result.key}"),
        "reliability": reliability(result, f"reliability-{result.key}"),
        "length": by_length(result, items, f"length-{result.key}"),
        "generated-length": generated_length(result, items, f"generated-length-{result.key}"),
    }
    return {kind: figure for kind, figure in found.items() if figure}


def write_svgs(figures: Iterable[Figure], directory: Path) -> list[Path]:
    """Each figure as a file of its own that follows the reader's theme; returns the paths."""
    paths = []
    for figure in figures:
        paths.append(directory / f"{figure.name}.svg")
        write_text(paths[-1], standalone(figure))
    return paths


def reliability(result: Result, name: str = "reliability") -> Figure | None:
    """The share that is right, with 95 % intervals, by the probability that was given; bars are counts of items."""
    from smallm.evaluate.statistics import estimate_mean

    found = {k: t["calibration"]["bins"] for k, t in result.tasks.items() if (t.get("calibration") or {}).get("bins")}
    found = {k: [b for b in bins if b.get("items")] for k, bins in found.items()}

    def panel(ax: Any, plot: Callable[[Any, Line], None], bins: list[dict[str, Any]]) -> None:
        most = max(b["items"] for b in bins)
        for b in bins:
            width = b["high"] - b["low"]
            ax.bar(b["low"], 0.3 * b["items"] / most, width, align="edge", color=MUTED, alpha=0.22, linewidth=0)
            right = round(b["accuracy"] * b["items"])
            e = estimate_mean([1.0] * right + [0.0] * (b["items"] - right), binary=True)
            if e.low is not None and e.high is not None:
                ax.plot([b["confidence"]] * 2, [e.low, e.high], color=SERIES[0], linewidth=1.2, alpha=0.6)
        ax.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1.1)
        by_confidence = {float(b["confidence"]): b["items"] for b in bins}
        plot(
            ax,
            Line(
                "",
                [b["confidence"] for b in bins],
                [b["accuracy"] for b in bins],
                SERIES[0],
                lambda x, y: f"given {x:.0%}, right {y:.0%}: {by_confidence[x]:,} items",
                "o",
            ),
        )
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.02)
        _percent(ax.xaxis)
        _percent(ax.yaxis)
        ax.set_xlabel(f"probability given\n(tallest bar: {most:,} items)")
        ax.set_ylabel("right")

    title = "Is it as sure as it should be? On the dashed line it is"
    return _grid(name, title, result.file, {k: v for k, v in found.items() if v}, panel)


def by_length(result: Result, items: Any, name: str = "length") -> Figure | None:
    """The score of items of like length with 95 % intervals, from the table of items (pyarrow).

    The length of the prompt: tokens where the table has `prompt_tokens`, else characters.
    """
    from smallm.evaluate.statistics import estimate_mean

    found: dict[str, tuple[str, dict[str, Any], list[Any]]] = {}
    by_task = _rows_by_task(items)
    for task in result.tasks:
        rows = by_task.get(task, [])
        if result.tasks[task].get("kind") == "perplexity":
            continue
        metric = str(result.tasks[task]["primary"])
        rows = [r for r in rows if finite(r["score"]) is not None and r["length"] > 0]
        points = []
        for part in _equal_parts(sorted(rows, key=lambda r: r["length"])):
            values = [r["score"] for r in part]
            estimate = estimate_mean(values, [r["cluster"] for r in part], binary=set(values) <= {0.0, 1.0})
            points.append((part[len(part) // 2]["length"], estimate))
        if len(points) > 1:
            found[task] = (metric, result.tasks[task]["metrics"][metric], points)
    unit = "tokens" if items is not None and "prompt_tokens" in items.column_names else "characters"

    def panel(ax: Any, plot: Callable[[Any, Line], None], content: tuple[str, dict[str, Any], list[Any]]) -> None:
        metric, figure, points = content
        s = say.scale(metric)
        for x, e in points:
            if e.low is not None and e.high is not None:
                ax.plot([x, x], [e.low * s.factor, e.high * s.factor], color=SERIES[0], linewidth=1.5)
        if finite(figure.get("chance")) is not None:
            ax.axhline(figure["chance"] * s.factor, color=MUTED, linestyle="--", linewidth=1.1)
        by_x = {float(x): e for x, e in points}
        words = Line(
            "",
            [float(x) for x, _ in points],
            [e.value * s.factor for _, e in points],
            SERIES[0],
            lambda x, y: f"about {x:,.0f} {unit}: {say.number(metric, by_x[x].value)}, {by_x[x].items:,} items",
            "o",
        )
        plot(ax, words)
        ax.set_xlabel(f"{unit} of the prompt")
        ax.set_ylabel(say.title(metric) + (", %" if s is say.SHARE else ""))
        ax.set_ylim(bottom=0)

    return _grid(name, "Score by length of the prompt; the dashed line is chance", _items_file(result), found, panel)


def generated_length(result: Result, items: Any, name: str = "generated-length") -> Figure | None:
    """Characters generated against characters of the (first) reference; on the dashed line they are equal."""
    found = {}
    for task, rows in _rows_by_task(items).items():
        if (result.tasks.get(task) or {}).get("kind") == "generate":
            pairs = [(len(r["answer"][0]), len(r["prediction"] or "")) for r in rows if r["answer"]]
            if pairs:
                found[task] = pairs[:: -(-len(pairs) // SCATTER)]

    def panel(ax: Any, plot: Any, pairs: list[tuple[int, int]]) -> None:
        most = max(1, *(max(pair) for pair in pairs))
        ax.plot([0, most], [0, most], "--", color=MUTED, linewidth=1.1)
        ax.plot(*zip(*pairs, strict=True), "o", color=SERIES[2], markersize=3, alpha=0.5, linewidth=0)
        ax.set_xlabel("characters of the reference")
        ax.set_ylabel("generated")
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)

    return _grid(name, "Length of what it generates, against the reference", _items_file(result), found, panel)


def suite_curves(metrics: list[dict[str, Any]], results: list[Result], items: int | None = None) -> list[Figure]:
    """Scores of the tasks that were run while training, over tokens seen; one figure a scale, chance dashed.

    The primary metric of each task (the first one, where no result says which). `items`: of each task, for the title.
    """
    primary = {task: content["primary"] for result in results for task, content in result.tasks.items()}
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in metrics:
        for task, found in (row.get("tasks") or {}).items():
            metric = primary.get(task) or next(iter(found or {}), "")
            value = finite((found or {}).get(metric))
            if value is not None and row.get("tokens") is not None:
                series.setdefault((task, metric), []).append((row["tokens"], value))
    chance = {
        (task, metric): finite(figure.get("chance"))
        for result in results
        for task, content in result.tasks.items()
        for metric, figure in content["metrics"].items()
        if isinstance(figure, dict)
    }
    by_axis: dict[str, list[tuple[str, str]]] = {}
    for key, points in series.items():
        if len(points) > 1:
            by_axis.setdefault(say.scale(key[1]).axis, []).append(key)
    groups = [(axis, keys[i : i + PANELS]) for axis, keys in by_axis.items() for i in range(0, len(keys), PANELS)]
    return [
        _suite_curve(f"suite-{i}", axis, {k: series[k] for k in keys}, chance, items)
        for i, (axis, keys) in enumerate(groups, 1)
    ]


def _suite_curve(
    name: str,
    axis: str,
    lines: dict[tuple[str, str], list[tuple[float, float]]],
    chance: dict[Any, float | None],
    items: int | None,
) -> Figure:
    def draw(ax: Any, plot: Callable[[Any, Line], None]) -> None:
        for i, ((task, metric), points) in enumerate(lines.items()):
            s, label = say.scale(metric), short(task_name({"task": task, "metric": metric}), 26)
            x, y = [p[0] for p in points], [p[1] * s.factor for p in points]

            def words(x: float, y: float, label: str = label, metric: str = metric, factor: float = s.factor) -> str:
                return f"{count(x)} tokens: {label} {say.number(metric, y / factor)}"

            plot(ax, Line(label, x, y, SERIES[i % len(SERIES)], words, "osv^Dx"[i % 6]))
            if (level := chance.get((task, metric))) is not None:
                ax.axhline(level * s.factor, color=SERIES[i % len(SERIES)], linestyle="--", linewidth=1.1, alpha=0.7)
        ax.set_xlabel("tokens seen")
        ax.set_ylabel(axis)
        plain_counts(ax.xaxis)
        ax.set_xlim(left=0)
        columns = 3 if ax.figure.get_figwidth() > 6 else 1
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, handlelength=1.6)

    few = f" of at most {items} items" if items else ""
    title = f"Tasks while training, {axis}{few}" + ("; dashed lines are chance" if any(map(chance.get, lines)) else "")
    extra = 0.2 * len(lines)
    return draw_figure(name, title, "base/metrics.jsonl", {"wide": 3.6, "narrow": 2.7 + extra}, draw)


def _grid(name: str, title: str, file: str, panels: dict[str, Any], draw_panel: Callable[..., None]) -> Figure | None:
    """The first PANELS panels side by side: three or four in a row on a wide page, two on a narrow one."""
    if not panels:
        return None
    shown = dict(list(panels.items())[:PANELS])
    if len(panels) > PANELS:
        title += f" (the first {PANELS} tasks of {len(panels)})"
    columns = {"wide": 4 if len(shown) == 4 else max(2, min(3, len(shown))), "narrow": min(2, len(shown))}

    def draw(ax: Any, plot: Callable[[Any, Line], None]) -> None:
        canvas = ax.figure
        ax.remove()
        across = columns["wide" if canvas.get_figwidth() > 6 else "narrow"]
        axes = canvas.subplots(-(-len(shown) // across), across, squeeze=False).flatten()
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        for axis, (task, content) in zip(axes, shown.items(), strict=False):
            axis.set_title(short(task, 24), loc="left", fontsize=10.5, color=INK)
            draw_panel(axis, plot, content)

    height = {size: 2.75 * -(-len(shown) // n) for size, n in columns.items()}
    return draw_figure(name, title, file, height, draw)


def _rows_by_task(items: Any) -> dict[str, list[dict[str, Any]]]:
    """The columns that plots need, task by task, with `length` of the prompt."""
    if items is None:
        return {}
    wanted = ("task", "cluster", "prompt", "score", "weight", "prediction", "answer", "prompt_tokens")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in items.select([c for c in wanted if c in items.column_names]).to_pylist():
        row["length"] = row.get("prompt_tokens") or len(row["prompt"] or "")
        if row.get("weight") not in (None, 0, 1):
            row["score"] = row["score"] / row["weight"]
        found.setdefault(row["task"], []).append(row)
    return found


def _equal_parts(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """Up to LENGTH_BINS runs of equal length, each of at least BIN_ITEMS rows."""
    parts = min(LENGTH_BINS, len(rows) // BIN_ITEMS)
    return [rows[len(rows) * i // parts : len(rows) * (i + 1) // parts] for i in range(parts)]


def _items_file(result: Result) -> str:
    return result.items_file or result.file


def _percent(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
