"""docs/metrics.md: each line is right arithmetic, and each result is what the code gives for the page's rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from smallm.core import yamltree
from smallm.evaluate.bits_per_byte import Scores, summarise
from smallm.evaluate.heldout import held_out_result
from smallm.evaluate.paired import compare_paired, holm
from smallm.evaluate.requests import Request, Score
from smallm.evaluate.results import write_items
from smallm.evaluate.run_tasks import TaskResult, run_task
from smallm.evaluate.scorer import Scorer
from smallm.evaluate.statistics import Estimate, chance_interval, estimate_mean, estimate_ratio
from smallm.evaluate.tasks import Item, Task, parse_task
from smallm.evaluate.text_metrics import TextScore, exact_match, macro_f1, macro_f1_statistics, word_f1

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="not a checkout: there is no docs folder")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass
class Section:
    """What stands under a heading: the rows of its tables, and the lines `label = expression = value` of its blocks."""

    rows: list[list[str]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)
    python: list[str] = field(default_factory=list)

    def column(self, index: int) -> list[float]:
        return [float(row[index]) for row in self.rows]

    def says(self, label: str, value: float | None) -> None:
        """The page's value is the code's, to the digits that it shows."""
        shown = self.lines[label][-1]
        digits = len(shown.partition(".")[2])
        assert value is not None
        assert f"{value:.{digits}f}" == shown, f"{label}: the code says {value}, the page {shown}"


def sections() -> dict[str, Section]:
    found: dict[str, Section] = {}
    here, fence = Section(), ""
    for line in PAGE.read_text("utf-8").split("\n"):
        if line.startswith("```"):
            fence = "" if fence else (line[3:] or "arithmetic")
            if fence == "python":
                here.python.append("")
        elif line.startswith("## "):
            here = found[line[3:]] = Section()
        elif fence == "python":
            here.python[-1] += line + "\n"
        elif fence:
            label, *rest = (part.strip() for part in line.split(" = "))
            here.lines[label] = rest
        elif line.startswith("|") and found:
            here.rows.append([cell.strip() for cell in line.strip("|").split("|")])
    for section in found.values():
        section.rows = [row for row in section.rows[1:] if set(row[0]) - set("-")]  # without the head and its rule
    return found


SECTIONS = sections() if PAGE.is_file() else {}
LINES = [(name, label, parts) for name, section in SECTIONS.items() for label, parts in section.lines.items()]
ALLOWED = {"ln": math.log, "exp": math.exp, "sqrt": math.sqrt, "abs": abs, "__builtins__": {}}


@pytest.mark.parametrize(("name", "label", "parts"), LINES, ids=[f"{n}: {x}" for n, x, _ in LINES])
def test_each_line_of_the_page_is_right_arithmetic(name: str, label: str, parts: list[str]) -> None:
    *expressions, shown = parts
    assert NUMBER.fullmatch(shown)
    assert expressions, f"{label} = {shown} shows no working"
    digits = len(shown.partition(".")[2])
    for expression in expressions:
        value = eval(expression, dict(ALLOWED))
        # Numbers that were rounded above are used again: three digits of them are kept.
        assert value == pytest.approx(float(shown), abs=0.51 * 10**-digits, rel=1.5e-3)


def columns_of(name: str, *indices: int) -> list[np.ndarray]:
    return [np.array(SECTIONS[name].column(i)) for i in indices]


def test_perplexity_and_bits_per_byte() -> None:
    nats, tokens, size = columns_of("Bits per byte", 1, 2, 3)
    assert SECTIONS["Perplexity"].rows == SECTIONS["Bits per byte"].rows
    summary = summarise(Scores(["a", "b", "c"], ["s"] * 3, nats, tokens, size))
    SECTIONS["Perplexity"].says("perplexity", summary["perplexity"]["value"])
    SECTIONS["Perplexity"].says("perplexity", estimate_ratio(nats, tokens, transform="exp").value)
    SECTIONS["Bits per byte"].says("bits per byte", summary["bits_per_byte"]["value"])
    SECTIONS["Bits per byte"].says("bits per byte", estimate_ratio(nats / math.log(2), size).value)


@dataclass
class Said:
    """A scorer that has been told what to say."""

    logprob: dict[str, float]

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        return [Score(self.logprob[request.continuation.strip()], False, 1) for request in requests]


def result_of(questions: Sequence[Sequence[tuple[str, float]]]) -> TaskResult:
    """The result of a task whose right choice is the first: (text, log p) of each choice of each question."""
    items = [
        Item(f"{i:016x}", f"Question {i}", tuple(text for text, _ in choices), (choices[0][0],), 0, cluster=str(i))
        for i, choices in enumerate(questions)
    ]
    yaml = "{task: t, data: d, prompt: q, choices: c, answer: 0, metrics: [acc, acc_norm, brier]}"
    spec = parse_task(yamltree.parse(yaml, "t.yaml"))
    task = Task("t", "0" * 8, "choice", tuple(items), spec.values["metrics"], "acc", spec)
    return run_task(task, cast(Scorer, Said({text: p for choices in questions for text, p in choices})))


def test_accuracy() -> None:
    section = SECTIONS["Accuracy"]
    numbers = [[float(cell) for cell in row[1:]] for row in section.rows]
    questions = [
        [(f"{i}".ljust(int(right_size), "r"), right), (f"{i}".ljust(int(wrong_size), "w"), wrong)]
        for i, (right, right_size, wrong, wrong_size) in enumerate(numbers)
    ]
    result = result_of(questions)
    section.says("acc", result.summary.metrics["acc"]["value"])
    section.says("acc_norm", result.summary.metrics["acc_norm"]["value"])
    assert [record.correct for record in result.records] == [True, False, False]


def test_brier_score_and_calibration_error() -> None:
    section = SECTIONS["Brier score and calibration error"]
    shares = zip(section.column(1), section.column(2), strict=True)
    result = result_of([[(f"right {i}", math.log(r)), (f"wrong {i}", math.log(w))] for i, (r, w) in enumerate(shares)])
    for i, record in enumerate(result.records, 1):
        section.says(f"row {i}", record.values["brier"])
    calibration = result.summary.calibration
    assert calibration is not None
    section.says("Brier", calibration["brier"])
    section.says("Brier", result.summary.metrics["brier"]["value"])
    section.says("ECE", calibration["ece"])
    assert sum(row["items"] > 0 for row in calibration["bins"]) == 3


def test_the_items_are_read_in_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums, wrong = SECTIONS["The items in three lines of pandas"].python
    assert len([line for line in sums.split("\n") if line]) == 3
    result = result_of([[("a", -1.0), ("bb", -2.0)], [("cc", -3.0), ("d", -2.0)], [("eee", -1.0), ("f", -9.0)]])
    documents = Scores(["x", "y"], ["s", "s"], np.array([24.0, 66.0]), np.array([8, 20]), np.array([30, 90]))
    held_out = held_out_result(tmp_path, documents)
    write_items(tmp_path / "some.items.parquet", [result, held_out])
    (path,) = re.findall(r'"(runs/[^"]*)"', sums)
    names: dict[str, Any] = {}
    exec(sums.replace(path, str(tmp_path / "some.items.parquet")), names)
    said = dict(line.split() for line in capsys.readouterr().out.split("\n") if line.startswith(("t ", "held-out")))
    assert float(said["t"]) == pytest.approx(2 / 3, abs=1e-5)
    figure = held_out.summary.metrics["bits_per_byte"]["value"]
    assert float(said["held-out"]) == pytest.approx(figure, abs=1e-5)
    exec(wrong, names)
    rows = capsys.readouterr().out.strip().split("\n")[1:]
    assert len(rows) == 1
    assert "Question 1" in rows[0]
    assert rows[0].endswith("d")


def test_exact_match_and_f1() -> None:
    section = SECTIONS["Exact match and F1"]
    f1 = [word_f1(written, [accepted]) for written, accepted in section.rows]
    section.says(
        "exact match", float(np.mean([exact_match(written, [accepted]) for written, accepted in section.rows]))
    )
    section.says("row 2, F1", f1[1])
    section.says("F1", float(np.mean(f1)))


def test_macro_f1() -> None:
    section = SECTIONS["Macro F1"]
    labels = ["positive", "negative"]
    right, said = ([labels.index(row[i]) for row in section.rows] for i in (0, 1))
    statistics_NS = macro_f1_statistics(right, said, len(labels))
    section.says("macro F1", float(macro_f1(statistics_NS.sum(0, keepdims=True))[0]))
    section.says("accuracy", float(np.mean(np.equal(right, said))))


@pytest.mark.parametrize(("name", "label"), [("BLEU", "BLEU"), ("chrF", "chrF")])
def test_bleu_and_chrf(name: str, label: str) -> None:
    section, metric = SECTIONS[name], TextScore(name.lower())
    statistics_NS = metric.statistics([row[0] for row in section.rows], [[row[1]] for row in section.rows])
    section.says(label, float(metric.score(statistics_NS.sum(0, keepdims=True))[0]))


def of(estimate: Estimate) -> tuple[float, float | None]:
    return estimate.value, estimate.standard_error


def test_standard_errors() -> None:
    section = SECTIONS["Standard error"]
    scores = np.array([1, 2 / 3, 0])  # the page rounds the second
    assert section.column(1) == pytest.approx(scores.tolist(), abs=5e-4)
    estimate = estimate_mean(scores)
    section.says("mean", estimate.value)
    section.says("standard error", estimate.standard_error)
    ratio = SECTIONS["Standard error of a ratio"]
    value, error = of(estimate_ratio(*columns_of("Standard error of a ratio", 1, 2)))
    ratio.says("bits per byte", value)
    ratio.says("standard error", error)


def test_the_clustered_standard_error() -> None:
    section = SECTIONS["Clustered standard error"]
    right = [float(i < int(row[2])) for row in section.rows for i in range(int(row[1]))]
    passages = [row[0] for row in section.rows for _ in range(int(row[1]))]
    value, error = of(estimate_mean(right, passages, binary=True))
    section.says("accuracy", value)
    section.says("clustered standard error", error)
    section.says("as if independent", estimate_mean(right, binary=True).standard_error)


def test_chance() -> None:
    section = SECTIONS["At chance"]
    for label, value in zip(("chance", "lowest", "highest"), chance_interval([4] * 100), strict=True):
        section.says(label, value)


def test_mcnemar_and_holm() -> None:
    section = SECTIONS["McNemar's test of a difference"]
    (_, both, a_only), (_, b_only, neither), *_ = section.rows
    flips = {(1, 1): both, (1, 0): a_only, (0, 1): b_only, (0, 0): neither}
    pairs = [pair for pair, count in flips.items() for _ in range(int(count))]
    paired = compare_paired([a for a, _ in pairs], [b for _, b in pairs], binary=True)
    section.says("difference", paired.difference)
    section.says("p", paired.p_value)
    assert paired.test == "exact McNemar test"
    tasks = [[float(x) for x in row] for row in section.rows if NUMBER.fullmatch(row[0])]
    assert holm([p for _, p, _ in tasks]) == pytest.approx([adjusted for *_, adjusted in tasks])
