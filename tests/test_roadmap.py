"""docs/roadmap.md: it is what the generator writes, and what it tells a learner to run, read and hold exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

import page_claims
import pytest
import roadmap

from smallm.core.formats import FORMATS

ROOT = Path(__file__).resolve().parent.parent
ROADMAP = roadmap.read()
WEEKS = list(enumerate(ROADMAP["weeks"], 1))
EXERCISES = {path.name for path in (ROOT / "exercises").glob("*.py")}


def runs_of(week: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything of a week that is run, publishing included."""
    return [*week["run"], *([week["publish"]] if "publish" in week else [])]


def made(until: int) -> set[str]:
    """The names of the runs that the weeks up to this one make."""
    names = set()
    for _, week in WEEKS[:until]:
        for run in week["run"]:
            words = shlex.split(run["command"])
            if words[:2] == ["smallm", "run"]:
                recipe = Path(words[2]).stem  # a packaged recipe's name is its file's
                names.add(words[words.index("--run") + 1] if "--run" in words else recipe)
    return names


def said(week: dict[str, Any]) -> str:
    """A week's prose."""
    texts = [*week["weekdays"], week["weekend"]["what"], *(run["look"] for run in week["run"])]
    return "\n".join([*texts, *(held["what"] for held in week["holds"])])


def test_the_page_is_what_the_generator_writes() -> None:
    assert roadmap.render(ROADMAP) == roadmap.PAGE.read_text("utf-8"), "run `python tools/roadmap.py`"


def test_it_is_ten_weeks_in_four_phases_in_their_order() -> None:
    phases = [phase["name"] for phase in ROADMAP["phases"]]
    assert len(WEEKS) == 10
    assert len(phases) == 4
    order = [phases.index(week["phase"]) for _, week in WEEKS]
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3}


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_a_week_has_five_weekdays_a_weekend_of_four_to_six_hours_and_something_to_hold(
    number: int, week: dict[str, Any]
) -> None:
    least, most = ROADMAP["hours"]["weekend"]
    assert len(week["weekdays"]) == 5
    assert least <= week["weekend"]["hours"] <= most
    assert week["pages"]
    assert week["run"]
    assert all(run["look"] for run in week["run"])
    assert week["holds"]


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_every_command_is_as_the_command_line_takes_it_and_what_is_not_built_says_so(
    number: int, week: dict[str, Any]
) -> None:
    for run in runs_of(week):
        wrong = page_claims.wrong_command(run["command"])
        if run.get("built", True):
            assert wrong is None
        else:
            assert wrong, f"{run['command']} is built: take `built: false` out of docs/roadmap.yaml"
    for command in page_claims.commands(said(week)):
        assert page_claims.wrong_command(command, mention=True) is None


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_every_page_exercise_and_path_exists(number: int, week: dict[str, Any]) -> None:
    assert page_claims.dead_paths(said(week), ROOT) == []
    for path in [*week["pages"], *week["exercises"], *roadmap.OURS.findall(said(week))]:
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_what_one_then_holds_is_a_file_of_the_repository_of_a_run_made_by_then_or_ones_own_note(
    number: int, week: dict[str, Any]
) -> None:
    rows = [pattern for row in FORMATS for pattern in row.patterns]
    for held in week["holds"]:
        parts = PurePosixPath(held["file"]).parts
        if parts[0] == "runs":
            assert parts[1] in made(number), held["file"]
            inside = PurePosixPath(*parts[2:])
            known = any(inside.match(row) for row in rows) or parts[2] == "export"
            assert known, f"{held['file']}: no row of core/formats.py"
        elif parts[0] != "notes":
            assert (ROOT / held["file"]).is_file(), held["file"]


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_every_model_that_a_command_names_was_made_by_then(number: int, week: dict[str, Any]) -> None:
    for run in runs_of(week):
        named = re.findall(r"\bruns/([\w.-]+)", run["command"])
        assert set(named) <= made(number), run["command"]


@pytest.mark.parametrize(("number", "week"), WEEKS)
def test_minutes_have_a_source_or_are_not_measured(number: int, week: dict[str, Any]) -> None:
    for run in week["run"]:
        if run["minutes"] is None:
            assert "basis" not in run
        else:
            assert re.match(r"LOG\.md|arithmetic", run["basis"]), run


def test_every_exercise_comes_once_and_something_is_published_every_month() -> None:
    asked = [Path(name).name for _, week in WEEKS for name in week["exercises"]]
    assert sorted(asked) == sorted(EXERCISES)
    published = [number for number, week in WEEKS if "publish" in week]
    assert published[0] <= 4
    assert all(later - earlier <= 4 for earlier, later in zip(published, [*published[1:], 10], strict=True))


def test_every_page_on_a_paper_comes_in_some_week() -> None:
    read = {Path(page).name for _, week in WEEKS for page in week["pages"] if page.startswith("papers/")}
    assert read >= {path.name for path in (ROOT / "papers").glob("*.md")} - {"TEMPLATE.md"}
