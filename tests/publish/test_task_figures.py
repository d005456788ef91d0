"""Plots of tasks: better on the same side, verdicts in words, chance and counts as the files say."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from publish.fake_run import WEIGHTS, fake_run
from publish.fake_tasks import fake_results

from smallm.core.files import read_json
from smallm.publish import whiskers
from smallm.publish.svg import Figure, standalone
from smallm.publish.task_facts import Result, items_table, read_results
from smallm.publish.task_figures import by_length, reliability, result_figures, suite_curves, write_svgs
from smallm.publish.whiskers import domains, forest, scores


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    fake_run(path)
    fake_results(path)
    return path


@pytest.fixture(scope="module")
def result(run: Path) -> Result:
    return next(r for r in read_results(run, WEIGHTS) if r.suite == "core")


@pytest.fixture(scope="module")
def comparison(run: Path) -> dict[str, Any]:
    return read_json(run / "eval" / "compare-base-tuned.json")


def words(figure: Figure, size: str = "wide") -> str:
    svg = ElementTree.fromstring(standalone(figure) if size == "wide" else figure.narrow)
    return " | ".join("".join(node.itertext()) for node in svg.iter() if node.tag.endswith("text"))


def points(figure: Figure) -> list[list[Any]]:
    found = re.search(r'data-points="([^"]*)"', figure.wide)
    assert found
    return json.loads(html.unescape(found.group(1)))


def drawn_axes(comparison: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the forest plot, drawn by matplotlib."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(10.5, 6))
    monkeypatch.setattr(whiskers, "draw_figure", lambda *args: args[-1](canvas.add_subplot(), None))
    forest(comparison, "compare.json")
    return canvas.axes


def test_better_is_on_the_right_of_zero_in_every_panel_also_where_less_is_better(
    comparison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    axes = drawn_axes(comparison, monkeypatch)
    assert len(axes) == 3
    sides = []
    for axis in axes:
        zero = axis.transData.transform((0, 0))[0]
        for line in axis.lines:
            if line.get_marker() in ("^", "v"):
                x = axis.transData.transform((line.get_xdata()[0], 0))[0]
                sides.append((line.get_marker(), x > zero))
    assert sorted(sides) == [("^", True), ("^", True), ("v", False)]
    assert any("axis turned: less is better" in axis.get_xlabel() for axis in axes)


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_every_verdict_stands_in_words_beside_its_difference(comparison: dict[str, Any], size: str):
    figure = forest(comparison, "compare.json")
    assert figure
    said = words(figure, size)
    for part in (
        "▲ better",
        "▼ worse, contaminated",
        "○ no difference seen",
        "◇ both at chance",
        "better →",
        "← worse",
    ):
        assert part in said


def test_a_difference_that_is_no_number_is_left_out_and_none_at_all_is_no_figure(comparison: dict[str, Any]):
    task = comparison["tasks"][1]
    broken = [task | {"difference": None}, task | {"difference": float("nan")}]
    assert forest({"tasks": broken}, "x.json") is None
    figure = forest({"tasks": [*broken, task | {"low": None, "high": None}]}, "x.json")
    assert figure
    assert words(figure).count("better |") == 1


def test_names_that_are_markup_or_mathematics_stay_text(comparison: dict[str, Any]):
    name = "<b>&$x^2$"
    figure = forest({"tasks": [comparison["tasks"][1] | {"task": name}]}, "x.json")
    assert figure
    assert name in words(figure)


def test_a_task_at_chance_says_so_and_only_tasks_with_a_chance_level_have_its_band(result: Result):
    figure = scores(result)
    assert figure
    assert re.findall(r"([\d.]+ %)  ◇ at chance", words(figure).replace("\u00a0", " ")) == ["25.8 %"]
    assert "grey band" in figure.title
    texts = Result(result.file, result.name, "s", {"held-out": result.tasks["held-out"]}, None, None, None)
    plain = scores(texts)
    assert plain
    assert "grey band" not in plain.title


def test_the_reliability_diagram_says_the_files_bins_and_counts(result: Result):
    figure = reliability(result)
    assert figure
    bins = result.tasks["agreement"]["calibration"]["bins"]
    said = {point[2] for point in points(figure)}
    for b in bins:
        assert f"given {b['confidence']:.0%}, right {b['accuracy']:.0%}: {b['items']:,} items" in said


def test_the_lengths_parts_hold_every_item_once(run: Path, result: Result):
    figure = by_length(result, items_table(run, result))
    assert figure
    counted = [int(m) for p in points(figure) for m in re.findall(r", (\d+) items", p[2])]
    shown = [t for t in result.tasks if result.tasks[t]["kind"] != "perplexity"]
    assert sum(counted) == sum(result.tasks[t]["items"] for t in shown)


def test_too_few_items_for_two_parts_are_no_figure(run: Path, result: Result):
    assert by_length(result, items_table(run, result).slice(0, 19)) is None
    assert by_length(result, None) is None


def test_domains_show_each_source_with_its_interval(result: Result):
    figure = domains(result)
    assert figure
    for source in result.tasks["held-out"]["sources"]:
        assert source in words(figure)


def test_curves_have_one_figure_a_scale_and_none_without_rows(run: Path, result: Result):
    rows = [json.loads(line) for line in (run / "base" / "metrics.jsonl").read_text("utf-8").splitlines()]
    percent, bits = suite_curves(rows, [result])
    assert "dashed lines are chance" in percent.title
    assert "chance" not in bits.title
    assert len({p[2].split(": ")[1].rsplit(" ", 2)[0] for p in points(percent)}) >= 2
    assert suite_curves([{"step": 0, "tokens": 0}], [result]) == []


def test_a_task_has_one_curve_and_the_title_says_of_how_many_items():
    rows = [{"step": i, "tokens": 100 * i, "tasks": {"x": {"acc": 0.2 + i / 10, "acc_norm": 0.9}}} for i in range(3)]
    (figure,) = suite_curves(rows, [], 50)
    assert "of at most 50 items" in figure.title
    assert len(points(figure)) == 3
    assert not any("90" in p[2] for p in points(figure))


def test_every_figure_is_well_formed_and_follows_the_theme(run: Path, result: Result, tmp_path: Path):
    figures = result_figures(result, items_table(run, result))
    assert list(figures) == ["scores", "domains", "reliability", "length", "generated-length"]
    for path in write_svgs(figures.values(), tmp_path):
        text = path.read_text("utf-8")
        ElementTree.fromstring(text)
        assert "prefers-color-scheme: dark" in text


def test_the_same_result_gives_the_same_bytes(result: Result, comparison: dict[str, Any]):
    assert scores(result) == scores(result)
    assert forest(comparison, "x.json") == forest(comparison, "x.json")
