"""The figures of a run: what is drawn from which facts. How it becomes SVG is svg.py's.

Each figure names the run's file that its values come from; one whose values are missing is None, and
the page says "not measured" in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from smallm.core.console import count
from smallm.publish.facts import Facts
from smallm.publish.svg import INK, LINE, MUTED, SERIES, Figure, Line, draw_figure


def make_figures(facts: Facts) -> dict[str, Figure]:
    """All figures whose data exist, by name, in the order of the report."""
    found = [curve(facts), learning_rate(facts), speed(facts), lengths(facts), by_source(facts)]
    return {figure.name: figure for figure in found if figure}


def curve(facts: Facts) -> Figure | None:
    """Training and validation in bits per byte over tokens seen."""
    validated = [r for r in facts.metrics if r.get("validation_bits_per_byte") is not None]
    factor = facts.train_bits_factor
    trained = [r for r in facts.metrics if r.get("loss") is not None] if factor else []
    lines = []
    if trained and factor:
        lines.append(
            Line(
                "training text",
                [r["tokens"] for r in trained],
                [r["loss"] * factor for r in trained],
                SERIES[1],
                lambda x, y: f"{count(x)} tokens: {y:.3f} bits per byte (training)",
            )
        )
    if validated:
        lines.append(
            Line(
                "held-out text",
                [r["tokens"] for r in validated],
                [r["validation_bits_per_byte"] for r in validated],
                SERIES[0],
                lambda x, y: f"{count(x)} tokens: {y:.3f} bits per byte (held out)",
                "o",
            )
        )
    if not lines:
        return None
    return _lines("curve", "Bits per byte while training", "base/metrics.jsonl", lines, "bits per byte", 2.9)


def learning_rate(facts: Facts) -> Figure | None:
    rows = [r for r in facts.metrics if r.get("learning_rate") is not None]
    if len(rows) < 2:
        return None
    line = Line(
        "learning rate",
        [r["tokens"] for r in rows],
        [r["learning_rate"] for r in rows],
        SERIES[2],
        lambda x, y: f"{count(x)} tokens: rate {y:.2g}",
    )
    return _lines("learning-rate", "Learning rate", "base/metrics.jsonl", [line], "learning rate", 1.9, zero=True)


def speed(facts: Facts) -> Figure | None:
    """Tokens a second over the training clock, without the first row (compilation, warm caches)."""
    rows = [r for r in facts.timing if r.get("tokens_per_second")]
    if len(rows) < 3:
        return None
    line = Line(
        "speed",
        [r["seconds"] for r in rows],
        [r["tokens_per_second"] for r in rows],
        SERIES[4],
        lambda x, y: f"{x:.0f} s: {count(y)} tokens/s",
    )
    return _lines(
        "speed",
        "Tokens per second",
        "base/timing.jsonl",
        [line],
        "tokens/s",
        1.9,
        zero=True,
        x_label="training seconds",
    )


def lengths(facts: Facts) -> Figure | None:
    """How long documents are, by source, on a logarithmic axis."""
    found = {k: [n for n in v if n > 0] for k, v in (facts.data.lengths if facts.data else {}).items()}
    colours = source_colours(facts)
    found = {k: found[k] for k in in_manifest_order(facts, found) if found[k]}
    if not found:
        return None
    low = math.floor(math.log10(min(map(min, found.values()))))
    high = max(low + 1, math.ceil(math.log10(max(map(max, found.values())))))
    edges = [10 ** (low + (high - low) * i / 36) for i in range(37)]

    def draw(ax: Any) -> None:
        for name, values in found.items():
            colour = colours.get(name, INK)
            ax.hist(values, bins=edges, histtype="stepfilled", color=colour, alpha=0.18)
            ax.hist(values, bins=edges, histtype="step", color=colour, linewidth=1.6, label=short(name))
        ax.set_xscale("log")
        ax.set_xlabel("characters in a document")
        ax.set_ylabel("documents")
        ax.set_ylim(bottom=0)
        plain_counts(ax.yaxis)
        plain_counts(ax.xaxis)
        ax.xaxis.set_minor_formatter("")
        _legend(ax, len(found))

    return draw_figure("lengths", "How long documents are", "data/manifest.json", 2.6, lambda ax, plot: draw(ax))


def by_source(facts: Facts) -> Figure | None:
    """Bits per byte by source with 95 % intervals; gzip on the same text beside it, where it was measured."""
    if facts.evaluation is None or facts.evaluation_file is None:
        return None
    gzip = facts.evaluation.get("gzip_bits_per_byte") or {}
    rows = [("all held-out text", facts.evaluation["bits_per_byte"], gzip.get("value"), SERIES[0])]
    sources = facts.evaluation.get("by_source") or {}
    if len(sources) > 1:
        colours = source_colours(facts)
        gzips = gzip.get("by_source") or {}
        rows += [(k, sources[k], gzips.get(k), colours.get(k, INK)) for k in in_manifest_order(facts, sources)]

    def draw(ax: Any) -> None:
        for i, (_, figures, zipped, colour) in enumerate(rows):
            ax.axhline(i, color=LINE, linewidth=0.7, zorder=0)
            _whisker(ax, i, figures, colour)
            if zipped:
                ax.plot([zipped], [i], "|", color=MUTED, markersize=13, markeredgewidth=1.8)
                _note(ax, f"gzip {zipped:.2f}", zipped, i, MUTED, below=True)
        ax.set_yticks(range(len(rows)), [short(name) for name, *_ in rows])
        ax.set_ylim(len(rows) - 0.35, -0.8)
        ax.margins(x=0.12)
        ax.set_xlim(left=0)
        ax.set_xlabel("bits per byte (lower is better)")
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)

    height = 0.95 + 0.56 * len(rows)
    title = "Bits per byte by source, with 95 % intervals"
    return draw_figure("by-source", title, facts.evaluation_file, height, lambda ax, plot: draw(ax))


def _whisker(ax: Any, row: int, figures: dict[str, Any], colour: str) -> None:
    """A point with its 95 % interval, its value above it."""
    error = 1.96 * figures["standard_error"] if figures.get("standard_error") is not None else None
    ax.errorbar([figures["value"]], [row], xerr=error, fmt="o", color=colour, markersize=6, capsize=3.5, linewidth=1.7)
    _note(ax, f"{figures['value']:.3f}", figures["value"], row, INK)


def _note(ax: Any, text: str, x: float, row: int, colour: str, *, below: bool = False) -> None:
    """A value at its mark: ours above the line, the yardstick's below, so that near ones never overlap."""
    offset, side = ((0, -8), "top") if below else ((0, 8), "bottom")
    ax.annotate(text, (x, row), xytext=offset, textcoords="offset points", ha="center", va=side, color=colour)


def source_colours(facts: Facts) -> dict[str, str]:
    """One colour a source, the same in every figure and table: the manifest's order."""
    names = [s.name for s in facts.data.sources] if facts.data else []
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}


def in_manifest_order(facts: Facts, by_name: dict[str, Any]) -> list[str]:
    """The keys of a table by source as the manifest orders them, then any others."""
    known = [s.name for s in facts.data.sources] if facts.data else []
    return [*(name for name in known if name in by_name), *(name for name in by_name if name not in known)]


def _lines(
    name: str,
    title: str,
    file: str,
    lines: list[Line],
    y_label: str,
    height: float,
    *,
    zero: bool = False,
    x_label: str = "tokens seen",
) -> Figure:
    def draw(ax: Any, plot: Callable[[Any, Line], None]) -> None:
        for line in lines:
            plot(ax, line)
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        plain_counts(ax.xaxis)
        ax.set_xlim(left=0)
        if zero:
            ax.set_ylim(bottom=0, top=1.12 * max(max(line.y) for line in lines))
            if max(max(line.y) for line in lines) > 1:
                plain_counts(ax.yaxis)
        if len(lines) > 1:
            _legend(ax, len(lines))

    return draw_figure(name, title, file, height, draw)


def plain_counts(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: count(float(value)) if value else "0"))


def _legend(ax: Any, n: int) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(n, 3), borderaxespad=0.2, handlelength=1.4)


def short(name: str, limit: int = 22) -> str:
    """matplotlib reads $…$ as mathematics: escape it."""
    name = name if len(name) <= limit else name[: limit - 1] + "…"
    return name.replace("$", r"\$")
