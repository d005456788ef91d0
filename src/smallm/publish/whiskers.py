"""Whisker plots of tasks: differences of two models, scores against chance, text by domain.

Each takes what a file of results holds and names that file; one without values is None. Colour never
speaks alone: every verdict has a shape and a word, and better is always on the same side of a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smallm.publish import task_words as say
from smallm.publish.figures import short
from smallm.publish.svg import INK, LINE, MUTED, SERIES, Figure, draw_figure
from smallm.publish.task_facts import Result, finite

# verdict -> (marker, filled, colour)
MARKERS = {
    "better": ("^", True, SERIES[0]),
    "worse": ("v", True, SERIES[1]),
    "no difference seen": ("o", False, SERIES[5]),
    "both at chance": ("D", False, MUTED),
}


@dataclass(frozen=True)
class Row:
    """One whisker: its place on the axis (scaled), its words, and how it is marked."""

    name: str
    value: float
    low: float | None
    high: float | None
    words: str
    marker: tuple[str, bool, str]
    band: tuple[Any, float | None, float | None] | None = None  # chance, and the interval of a guesser


@dataclass
class Panel:
    """Rows on one axis. signed: differences around 0; higher: whether more is better, else a signed axis is turned."""

    scale: say.Scale
    higher: bool
    signed: bool = False
    rows: list[Row] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)  # of the rows' metrics

    @property
    def label(self) -> str:
        names = " and ".join(dict.fromkeys(self.titles))
        if self.signed:
            unit = "percentage points" if self.scale is say.SHARE else names
            return f"difference in {unit}" + ("" if self.higher else " (axis turned: less is better)")
        unit = "percent" if self.scale is say.SHARE else names
        return f"{unit} ({'more' if self.higher else 'less'} is better)"

    def add(self, row: Row, metric: str) -> None:
        self.rows.append(row)
        self.titles.append(say.title(metric))


class Panels(dict[tuple[str, bool], Panel]):
    """One panel for the metrics of a scale that are better in the same direction."""

    def of(self, metric: str, higher: bool, *, signed: bool) -> Panel:
        s = say.scale(metric)
        return self.setdefault((s.axis, higher), Panel(s, higher, signed))


def forest(comparison: dict[str, Any], file: str, name: str = "forest") -> Figure | None:
    """Differences b - a with 95 % intervals, one panel a scale; better is on the right in all of them."""
    panels = Panels()
    for task in comparison.get("tasks") or []:
        metric, value, verdict = str(task["metric"]), finite(task.get("difference")), str(task.get("verdict"))
        if value is None:
            continue
        sign = say.VERDICTS.get(verdict, ("○", ""))[0]
        words = f"{say.difference(metric, value)}  {sign} {verdict}"
        words += ", contaminated" if task.get("contaminated") else ""
        marker = MARKERS.get(verdict, MARKERS["no difference seen"])
        row = Row(task_name(task), *_scaled(metric, value, task.get("low"), task.get("high")), words, marker)
        panels.of(metric, task.get("higher_is_better") is not False, signed=True).add(row, metric)
    return _whiskers(name, "Differences by task, with 95 % intervals", file, list(panels.values()))


def task_name(task: dict[str, Any]) -> str:
    """The task; its metric behind it when that is not the usual accuracy."""
    metric = str(task["metric"])
    return str(task["task"]) if metric.startswith("acc") else f"{task['task']}, {say.title(metric)}"


def scores(result: Result, name: str = "scores") -> Figure | None:
    """Scores of one model with 95 % intervals, and the band in which a guesser's score would lie."""
    panels = Panels()
    for task_title, task in result.tasks.items():
        metric = str(task["primary"])
        found = task["metrics"][metric]
        value, guess = finite(found.get("value")), say.at_chance(found)
        if value is None:
            continue
        band = _scaled(metric, *(found.get(k) for k in ("chance", "chance_low", "chance_high")))
        words = say.number(metric, value) + ("  ◇ at chance" if guess else "")
        words += ", contaminated" if say.contaminated(task) else ""
        row = Row(
            task_name({"task": task_title, "metric": metric}),
            *_scaled(metric, value, found.get("low"), found.get("high")),
            words,
            MARKERS["both at chance"] if guess else ("o", True, SERIES[0]),
            band if band[0] is not None else None,
        )
        panels.of(metric, found.get("higher_is_better") is not False, signed=False).add(row, metric)
    banded = any(row.band for panel in panels.values() for row in panel.rows)
    title = "Scores, with 95 % intervals" + ("; the grey band is where guessing would score" if banded else "")
    return _whiskers(name, title, result.file, list(panels.values()))


def domains(result: Result, name: str = "domains") -> Figure | None:
    """The primary metric of every task of text by domain (`sources`), in the look of bits per byte by source."""
    panels = []
    for task_title, task in result.tasks.items():
        metric, sources = str(task["primary"]), task.get("sources") or {}
        if task.get("kind") != "perplexity" or len(sources) < 2:
            continue
        panel = Panel(say.scale(metric), higher=False)
        found = {"all": task["metrics"][metric], **{k: (v or {}).get(metric) for k, v in sources.items()}}
        for i, (source, figure) in enumerate(found.items()):
            value, low, high = ((figure or {}).get(k) for k in ("value", "low", "high"))
            if finite(value) is not None:
                marker = ("o", True, SERIES[i % len(SERIES)])
                panel.rows.append(Row(source, *_scaled(metric, value, low, high), say.number(metric, value), marker))
        panel.titles = [f"{say.title(metric)} of {short(task_title)}"]
        panels.append(panel)
    return _whiskers(name, "Text by domain, with 95 % intervals", result.file, panels)


def _scaled(metric: str, value: Any, low: Any, high: Any) -> tuple[Any, float | None, float | None]:
    """A value and its interval in the units of the axis."""
    factor = say.scale(metric).factor
    return tuple(None if finite(v) is None else v * factor for v in (value, low, high))  # type: ignore[return-value]


def _whiskers(name: str, title: str, file: str, panels: list[Panel]) -> Figure | None:
    panels = [panel for panel in panels if panel.rows]
    if not panels:
        return None
    rows = sum(len(panel.rows) for panel in panels)

    def draw(ax: Any, plot: Any) -> None:
        canvas = ax.figure
        ax.remove()
        wide = canvas.get_figwidth() > 6
        ratios = [len(panel.rows) + 1.6 for panel in panels]
        axes = canvas.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})
        for panel, axis in zip(panels, axes[:, 0], strict=True):
            _panel(axis, panel, wide=wide)

    # Narrow rows have their words on a line of their own above the whisker.
    height = {"wide": 0.36 * rows + 1.0 * len(panels), "narrow": 0.52 * rows + 1.0 * len(panels)}
    return draw_figure(name, title, file, height, draw)


def _panel(ax: Any, panel: Panel, *, wide: bool) -> None:
    across = ax.get_yaxis_transform()  # x in shares of the axis, y in rows
    for i, row in enumerate(panel.rows):
        shape, filled, colour = row.marker
        ax.axhline(i, color=LINE, linewidth=0.7, zorder=0)
        if row.band:
            at, low, high = (row.band[0] if v is None else v for v in row.band)
            ax.barh(i, high - low, left=low, height=0.62 if wide else 0.4, color=MUTED, alpha=0.22, linewidth=0)
            ax.plot([at, at], [i - 0.28, i + 0.28], color=MUTED, linewidth=1.2)
        if row.low is not None and row.high is not None:
            error = [[max(0.0, row.value - row.low)], [max(0.0, row.high - row.value)]]
            ax.errorbar([row.value], [i], xerr=error, fmt="none", ecolor=colour, capsize=3.5, elinewidth=1.7)
        ax.plot([row.value], [i], shape, color=colour, markersize=7, fillstyle="full" if filled else "none", mew=1.6)
        if wide:
            ax.text(1.015, i, row.words, transform=across, va="center", color=INK)
        else:
            room = int((300 - 5.5 * len(row.words)) / 6.3)  # points of the line, of its words, of a letter
            ax.text(0, i - 0.27, short(row.name, max(8, min(24, room))), transform=across, va="bottom", color=INK)
            ax.text(1, i - 0.27, row.words, transform=across, va="bottom", ha="right", color=INK, size=9.5)
    ax.set_yticks(range(len(panel.rows)), [short(row.name, 30) for row in panel.rows] if wide else [])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set_ylim(len(panel.rows) - 0.45, -0.6 if wide else -0.95)
    ax.set_xlabel(panel.label)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.06)
    if panel.signed:
        # Where every difference is 0 the axis still needs a width.
        reach = 1.12 * max([abs(v) for r in panel.rows for v in (r.value, r.low, r.high) if v is not None] + [0]) or 1.0
        ax.set_xlim((reach, -reach) if not panel.higher else (-reach, reach))
        if wide:
            ax.axvline(0, color=INK, linewidth=1.1, zorder=1)
        else:  # between the lines of words, so that it crosses none
            for i in range(len(panel.rows)):
                ax.plot([0, 0], [i - 0.22, i + 0.36], color=INK, linewidth=1.1, zorder=1)
        for x, side, text in ((0.49, "right", "← worse"), (0.51, "left", "better →")):
            ax.text(x, 1.01, text, transform=ax.transAxes, ha=side, va="bottom", color=MUTED)
    elif panel.rows[0].low is None or min(r.low for r in panel.rows if r.low is not None) >= 0:
        ax.set_xlim(left=0)
