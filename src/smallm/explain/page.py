"""The page of an explanation: one self-contained HTML file, offline, light and dark, by keyboard and on a phone.

A pure function of what was seen. Its look is the report's (publish/templates/report.css, read as a file); the views are
drawn by the scripts beside the template from the block of pack.py. No request leaves it.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

from smallm.core.console import count
from smallm.core.files import write_text
from smallm.explain.difference import Difference
from smallm.explain.explain import Explanation
from smallm.explain.pack import direction, page_data, visible

SCRIPTS = ("data", "chart", "tokens", "attention", "lens", "ablation", "positions", "generation", "main")


def write_page(path: Path, a: Explanation, b: Explanation | None = None, between: Difference | None = None) -> Path:
    """Write the page of one model, or of two and their difference (a minus b)."""
    view = {
        "names": short_names([str(x.model["name"]) for x in (a, b) if x is not None]),
        "models": [x.model for x in (a, b) if x is not None],
        "lede": lede(a),
        "strip": strip(a),
        "tokens": len(a.ids),
        "dir": direction(a.prompt),
        "heads": a.ablation is not None and bool(a.ablation.heads),
        "ablation": a.ablation is not None,
        "generation": a.generation is not None,
        "missing": between.missing if between is not None else {},
        "about_positions": a.positions.about,
        "scripts": [f"{name}.js" for name in SCRIPTS],
        "payload": page_data(a, b, between),
    }
    write_text(path, environment().get_template("explain.html.j2").render(view))
    return path


@cache
def environment() -> Any:
    """jinja2 with everything escaped; the report's style sheet is found beside its template."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("smallm.explain", "templates"),
                jinja2.PackageLoader("smallm.publish", "templates"),
            ]
        ),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["count"] = count
    env.filters["thousands"] = lambda n: f"{n:,}"
    return env


def lede(x: Explanation) -> str:
    """What the model made of the prompt, in a sentence or two."""
    said = x.trace.predictions
    expects = f"After the prompt it expects {quoted(x.pieces(int(said.top_ids_TN[-1, 0])))}"
    text = f"{expects} ({percent(float(said.top_p_TN[-1, 0]))})."
    surprise = [-1.0 if math.isnan(v) else v for v in said.surprise_T]
    worst = max(range(len(surprise)), key=surprise.__getitem__)
    if len(x.ids) > 2:
        text += (
            f" Nothing in the prompt surprised it more than {quoted(x.pieces(x.ids[worst]))}: "
            f"{surprise[worst]:.1f} bits, {ordinal(int(said.rank_T[worst]))} on its list."
        )
    return text


def strip(x: Explanation) -> list[dict[str, str]]:
    """The figures under the heading."""
    facts, said = x.model, x.trace.predictions
    known = [bits for bits in said.surprise_T if not math.isnan(bits)]
    heads = max(facts["heads"])
    shared = f"{heads} heads a layer" if facts["kv_heads"] in (0, heads) else (
        f"{heads} heads a layer, {facts['kv_heads']} of keys and values"
    )  # fmt: skip
    return [
        {"label": "Layers", "value": str(facts["layers"]), "note": shared},
        {"label": "Parameters", "value": count(facts["parameters"]), "note": str(facts["family"])},
        {"label": "Tokens", "value": str(len(x.ids)), "note": f"of {facts['context']:,} that fit"},
        {
            "label": "Mean surprise",
            "value": f"{sum(known) / len(known):.2f} bits" if known else "–",
            "note": "a token; fewer is better predicted",
        },
        {"label": "Next token", "value": percent(float(said.top_p_TN[-1, 0])), "note": "for its likeliest"},
    ]


def quoted(text: str) -> str:
    """A token in a sentence; long ones are cut."""
    shown = visible(text).strip() or visible(text)
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    return f"“{shown}”"


def percent(p: float) -> str:
    return f"{100 * p:.1f} %" if p >= 0.001 else "under 0.1 %"


def ordinal(n: int) -> str:
    """1 -> 1st, 4 321 -> 4,321st."""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def short_names(names: list[str]) -> list[str]:
    """Paths without the folders that all of them share, at most their last three parts."""
    parts = [name.rstrip("/").split("/") for name in names]
    while len(parts) > 1 and len({p[0] for p in parts}) == 1 and all(len(p) > 1 for p in parts):
        parts = [p[1:] for p in parts]
    return ["/".join(p[-3:]) for p in parts]
