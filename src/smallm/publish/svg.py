"""Drawings as SVG that fits its page: light and dark by CSS variables, text as text.

matplotlib draws (deterministically: fixed salt, no date, no font on disk) with placeholder colours
that become `var(--…)`. `Figure.wide` and `.narrow` take the page's variables; `standalone` files carry
their own style with both themes. Each line that can be read off has its points in `data-points` for the
page's cross-hair: pixels and words.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Placeholder -> CSS variable. The values are the light theme, so a viewer without CSS still sees colours.
COLOURS = {
    "#1d2026": "--ink",
    "#69707c": "--muted",
    "#e3dfd6": "--line",
    "#0f7669": "--c1",
    "#c2541b": "--c2",
    "#4b4fb8": "--c3",
    "#a8326e": "--c4",
    "#6d7517": "--c5",
    "#5b6472": "--c6",
}
INK, MUTED, LINE, *SERIES = COLOURS
DARK = dict(
    zip(
        COLOURS.values(),
        ("#e9e7e2", "#9ba2ad", "#33373f", "#4fc9b6", "#f0925c", "#a5a8ff", "#ee86b7", "#c3cc63", "#aab3c0"),
        strict=True,
    )
)
FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Inches at 72 points: at the page's widths (870 and 330 to 410 pixels) 10.5-point text is 11 to 13 pixels.
WIDTHS = {"wide": 10.5, "narrow": 4.4}
# A wide figure is this much taller than a narrow one.
TALLER = {"wide": 1.3, "narrow": 1.0}


@dataclass(frozen=True)
class Figure:
    """One figure in both widths; `file` is the run's file that its figures come from."""

    name: str
    title: str
    file: str
    wide: str
    narrow: str


@dataclass(frozen=True)
class Line:
    """One series: x and y of equal length, a label, and how to say one point in words."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    say: Callable[[float, float], str]
    marker: str = ""


def draw_figure(
    name: str, title: str, file: str, height: float | dict[str, float], draw: Callable[[Any, Any], None]
) -> Figure:
    """Both widths of a figure; height in inches, of the narrow one or of each."""
    heights = height if isinstance(height, dict) else {size: height * TALLER[size] for size in WIDTHS}
    drawn = {size: _svg(f"{name}-{size}", title, width, heights[size], draw) for size, width in WIDTHS.items()}
    return Figure(name, title, file, drawn["wide"], drawn["narrow"])


def _svg(salt: str, title: str, width: float, height: float, draw: Callable[[Any, Any], None]) -> str:
    """One drawing as an `<svg>` element with CSS colours and `data-points` of its lines."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    plotted: list[tuple[Line, Any]] = []

    def plot(ax: Any, line: Line) -> None:
        size = 3.5 if len(line.x) < 60 else 0
        ax.plot(line.x, line.y, line.marker + "-", color=line.colour, linewidth=1.8, markersize=size, label=line.label)
        plotted.append((line, ax))

    with matplotlib.rc_context(_style(salt)):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(canvas)
        ax = canvas.add_subplot()
        draw(ax, plot)
        out = io.StringIO()
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        points = [
            [round(float(px), 1), round(height * 72 - float(py), 1), line.say(x, y), COLOURS[line.colour]]
            for line, axes in plotted
            for x, y in zip(line.x, line.y, strict=True)
            for px, py in [axes.transData.transform((x, y)) * 72 / canvas.dpi]
        ]
    return _themed(out.getvalue(), title, points)


def _style(salt: str) -> Any:
    return {
        "svg.hashsalt": f"smallm-{salt}",
        "svg.fonttype": "none",
        "figure.dpi": 72,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10.5,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": LINE,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": False,
        "grid.color": LINE,
        "grid.linewidth": 0.7,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "legend.frameon": False,
    }


def _themed(svg: str, title: str, points: list[list[Any]]) -> str:
    """Strip the prolog, fixed size, fonts and clashing ids; colours become CSS variables."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|legend|LineCollection)_\d+"', "", svg
    )
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, name in COLOURS.items():
        svg = svg.replace(colour, f"var({name})")
    data = f' role="img" aria-label="{_escape(title)}"'
    if points:
        data += f' data-points="{_escape(json.dumps(points, separators=(",", ":")))}"'
    return svg.replace("<svg", "<svg" + data, 1).strip()


def standalone(figure: Figure) -> str:
    """The wide figure as a file of its own: its colours follow the reader's theme."""
    light = "".join(f"{name}:{value};" for value, name in COLOURS.items())
    dark = "".join(f"{name}:{value};" for name, value in DARK.items())
    style = (
        f"<style>svg{{font-family:{FONT};{light}}}"
        f"@media (prefers-color-scheme: dark){{svg{{{dark}}}}}</style><title>{_escape(figure.title)}</title>"
    )
    return re.sub(r"(<svg[^>]*>)", lambda m: m.group(1) + style, figure.wide, count=1) + "\n"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
