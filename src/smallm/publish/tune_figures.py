"""The drawings of a fine-tuning: its curves with the best checkpoint, base against tuned, confusion matrices.

Each names the run's file that its values come from; one whose values are missing is None. How it becomes SVG is
svg.py's.
"""

from __future__ import annotations

from typing import Any

from smallm.core.console import count
from smallm.publish.figures import plain_counts, short
from smallm.publish.svg import INK, LINE, MUTED, SERIES, Figure, Line, draw_figure
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.whiskers import forest

# More classes than these cannot be read in a drawing; the table of the file has them.
MOST_LABELS = 24


def tune_figures(t: TuneFacts) -> dict[str, Figure]:
    """All figures whose data exist, by kind."""
    compared = forest(t.comparison, f"{t.eval_dir}/{t.verdict['comparison']}", "tuned-forest") if t.verdict and (
        t.comparison) else None  # fmt: skip
    found = {"forest": compared, "curve": curve(t), "rate": rate(t), "confusion": confusion(t)}
    return {kind: figure for kind, figure in found.items() if figure}


def curve(t: TuneFacts) -> Figure | None:
    """Training and validation in bits per byte of what is learned, over steps; the kept checkpoint is marked."""
    factor = t.bits_factor
    validated = [r for r in t.metrics if r.get("validation_bits_per_byte") is not None]
    learned = [r for r in t.metrics if r.get("loss") is not None] if factor else []
    lines = []
    if learned and factor:
        lines.append(
            Line("training examples", [r["step"] for r in learned], [r["loss"] * factor for r in learned], SERIES[1],
                 lambda x, y: f"step {x:,.0f}: {y:.3f} bits per byte (training)")
        )  # fmt: skip
    if validated:
        lines.append(
            Line("validation examples", [r["step"] for r in validated],
                 [r["validation_bits_per_byte"] for r in validated], SERIES[0],
                 lambda x, y: f"step {x:,.0f}: {y:.3f} bits per byte (validation)", "o")
        )  # fmt: skip
    if not lines:
        return None
    kept = next(((r["step"], r["validation_bits_per_byte"]) for r in validated if r["step"] == t.best_step), None)

    def draw(ax: Any, plot: Any) -> None:
        for line in lines:
            plot(ax, line)
        if kept:
            ax.plot([kept[0]], [kept[1]], "*", color=SERIES[3], markersize=13, label=f"kept: step {kept[0]:,}")
        ax.set_xlabel("optimiser steps")
        ax.set_ylabel("bits per byte of what is learned")
        plain_counts(ax.xaxis)
        ax.set_xlim(left=0)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3 if ax.figure.get_figwidth() > 6 else 2,
                  borderaxespad=0.2, handlelength=1.4)  # fmt: skip

    title = "Bits per byte of the answers while tuning"
    return draw_figure("tuned-curve", title, f"{t.tuned_dir}/metrics.jsonl", 2.9, draw)


def rate(t: TuneFacts) -> Figure | None:
    """The learning rate over steps."""
    rows = [r for r in t.metrics if r.get("learning_rate") is not None]
    if len(rows) < 2:
        return None
    line = Line("learning rate", [r["step"] for r in rows], [r["learning_rate"] for r in rows], SERIES[2],
                lambda x, y: f"step {x:,.0f}: rate {y:.2g}")  # fmt: skip

    def draw(ax: Any, plot: Any) -> None:
        plot(ax, line)
        ax.set_xlabel("optimiser steps")
        ax.set_ylabel("learning rate")
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)

    return draw_figure("tuned-rate", "Learning rate of the tuning", f"{t.tuned_dir}/metrics.jsonl", 1.9, draw)


def confusion(t: TuneFacts) -> Figure | None:
    """Right labels (rows) against what was said (columns), base and tuned; the last column is none of the labels."""
    table = (t.verdict or {}).get("confusion")
    if not table or not table["labels"] or len(table["labels"]) > MOST_LABELS:
        return None
    labels = [short(str(label), 20) for label in table["labels"]]
    sides = [("base", table["a"]), ("tuned", table["b"])]
    size = len(labels)

    def draw(ax: Any, plot: Any) -> None:
        canvas = ax.figure
        ax.remove()
        wide = canvas.get_figwidth() > 6
        axes = canvas.subplots(1 if wide else 2, 2 if wide else 1, squeeze=False).ravel()
        for (name, rows), own in zip(sides, axes, strict=True):
            _matrix(own, name, rows, labels, wide=wide)

    cell = 0.36 if size > 8 else 0.46
    inches = max(2.6, cell * size + 1.9)
    height = {"wide": inches, "narrow": 2 * inches}
    return draw_figure(
        "tuned-confusion", "What was said, by the right label", f"{t.eval_dir}/verdict.json", height, draw
    )


def _matrix(ax: Any, name: str, rows: list[list[int]], labels: list[str], *, wide: bool) -> None:
    """One matrix: the share of its row shades a cell, the count stands in it; right answers are framed."""
    from matplotlib.patches import Rectangle

    size = len(labels)
    small = 10.5 if size <= 8 else 8.5 if size <= 14 else 7
    for i, row in enumerate(rows):
        total = sum(row) or 1
        for j, n in enumerate(row):
            colour = SERIES[0] if j == i else SERIES[1]
            if n:
                ax.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, color=colour, alpha=0.08 + 0.5 * n / total, linewidth=0)
                )
                ax.text(j, i, count(n), ha="center", va="center", color=INK, size=small)
            if j == i:
                ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=MUTED, linewidth=0.8))
    ax.set_xlim(-0.5, size + 0.5)
    ax.set_ylim(size - 0.5, -0.5)
    long = max(map(len, labels)) > (6 if size <= 4 else 3)
    ax.set_xticks(range(size + 1), [*labels, "none"], rotation=40 if long else 0, ha="right" if long else "center")
    ax.set_yticks(range(size), labels)
    ax.tick_params(length=0, labelcolor=INK, labelsize=small)
    ax.axvline(size - 0.5, color=LINE, linewidth=1.4)
    ax.set_title(name, loc="left", color=INK, size=10.5)
    ax.set_xlabel("said", size=9.5)
    ax.set_ylabel("right" if wide else "", size=9.5)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
