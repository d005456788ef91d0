"""docs/roadmap.md, the learner's ten weeks, from docs/roadmap.yaml: `python tools/roadmap.py`.

A pure function of the YAML. What a week runs, and whether that is built, stands in the YAML; tests/test_roadmap.py
holds the commands and paths to the repository, and the page to this file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
DATA, PAGE = ROOT / "docs" / "roadmap.yaml", ROOT / "docs" / "roadmap.md"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
NOT_BUILT = "**not built yet**"
OURS = re.compile(r"(?<![\w/`(\[])((?:papers|docs|exercises|notebooks)/[\w./-]*\w)")


def read(path: Path = DATA) -> dict[str, Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def render(roadmap: dict[str, Any]) -> str:
    """The whole page."""
    hours, (least, most) = roadmap["hours"]["weekday"], roadmap["hours"]["weekend"]
    lines = [
        f"# {roadmap['title']}",
        "",
        "Written by `python tools/roadmap.py` from `docs/roadmap.yaml`.",
        "",
        f"Five weekdays of {hours} hours and a weekend of {least} to {most}, ten times; once a month something is "
        "published. Minutes are those of the computer, on two cores unless said otherwise; where they were measured or "
        f"reckoned, the source stands below the table. What is {NOT_BUILT} says so: leave it out, the week holds "
        "without it. Files under `runs/` are made by the week's commands; `notes/` is yours.",
        "",
        "Beside our own pages three sources accompany the weeks: " + "; ".join(roadmap["sources"].values()) + ".",
        "",
        *overview(roadmap),
    ]
    number = 0
    for part, phase in enumerate(roadmap["phases"], 1):
        lines += ["", f"## Phase {part}: {phase['name']}", "", phase["aim"]]
        for week in roadmap["weeks"]:
            if week["phase"] == phase["name"]:
                number += 1
                lines += ["", *one_week(number, week)]
    return "\n".join(lines) + "\n"


def overview(roadmap: dict[str, Any]) -> list[str]:
    """One line a week."""
    rows = ["| week | phase | what | exercise | published |", "|---|---|---|---|---|"]
    for number, week in enumerate(roadmap["weeks"], 1):
        exercises = ", ".join(link(name, Path(name).stem) for name in week["exercises"]) or "–"
        published = "yes" if "publish" in week else ""
        rows.append(f"| {number} | {week['phase']} | {week['title']} | {exercises} | {published} |")
    return rows


def one_week(number: int, week: dict[str, Any]) -> list[str]:
    lines = [f"### Week {number}: {week['title']}", "", "**Read**", "", *reading(week), "", "**Run**", ""]
    lines += [*table(week["run"]), ""]
    exercises = " and ".join(link(name, Path(name).stem) for name in week["exercises"])
    lines += [f"**Exercise.** {exercises or 'None this week but your own note'}.", ""]
    days = zip(WEEKDAYS, week["weekdays"], strict=True)
    lines += [f"- {day}: {linked(what)}" for day, what in days]
    lines += [f"- Weekend ({week['weekend']['hours']} hours): {linked(week['weekend']['what'])}", ""]
    lines += ["**You then hold**", "", *(f"- {shown(held['file'])}: {held['what']}" for held in week["holds"])]
    if "publish" in week:
        lines += ["", *publishing(week["publish"])]
    return lines


def reading(week: dict[str, Any]) -> list[str]:
    """Our pages and the three sources, a line each."""
    lines = ["- Ours: " + ", ".join(link(page, page) for page in week["pages"])]
    for name, word in (
        ("lecture", "Zero to Hero"),
        ("illustrated", "The Illustrated Transformer"),
        ("course", "The Hugging Face course"),
    ):
        lines.append(f"- {word}: " + (", ".join(f"“{title}”" for title in week[name]) or "nothing matches this week"))
    return lines


def table(runs: list[dict[str, Any]]) -> list[str]:
    """Commands with minutes, cost and what to look at; the sources of the minutes below."""
    rows = ["| command | minutes | cost | look at |", "|---|---|---|---|"]
    basis = []
    for run in runs:
        built = "" if run.get("built", True) else f" ({NOT_BUILT})"
        minutes = "not measured"
        if run["minutes"] is not None:
            basis.append(run["basis"])
            minutes = f"{run['minutes']} [{len(basis)}]"
        rows.append(f"| `{run['command']}`{built} | {minutes} | {run['cost']} | {run['look']} |")
    return rows + ([""] if basis else []) + [f"- [{i}] {text}." for i, text in enumerate(basis, 1)]


def publishing(publish: dict[str, Any]) -> list[str]:
    built = "" if publish.get("built", True) else f" ({NOT_BUILT}; until then {publish['until']})"
    return [
        f"**Publish and post.** {publish['what']} `{publish['command']}`{built}.",
        "",
        f"The post: {publish['post']}",
    ]


def link(path: str, name: str) -> str:
    """A link from the page, which lies in docs/, to a file of the repository."""
    target = path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
    return f"[{name}]({target})"


def shown(path: str) -> str:
    """A link where the file is the repository's, else its name."""
    return link(path, path) if OURS.fullmatch(path) else f"`{path}`"


def linked(text: str) -> str:
    """Text with our paths as links."""
    return OURS.sub(lambda match: link(match[1], match[1]), text)


if __name__ == "__main__":
    page = render(read())
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != page
    if stale and "--check" not in sys.argv:
        PAGE.write_text(page, "utf-8")
    print("docs/roadmap.md: " + ("fresh" if not stale else "stale" if "--check" in sys.argv else "renewed"))
    sys.exit(1 if stale and "--check" in sys.argv else 0)
