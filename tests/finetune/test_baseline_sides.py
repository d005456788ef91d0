"""Baselines stand beside the tuned model on the same items and metrics; legal answers and tags have figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune.fake_tuning import fake_tuning, row, translations
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.files import read_json
from smallm.data.finetune_readers import tag_scores
from smallm.data.statutes import REFUSAL
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.results import read_items
from smallm.evaluate.statutes_metrics import score_answer, statutes_figures
from smallm.finetune.asked import TestItem
from smallm.finetune.compare import compare_with_base
from smallm.finetune.tuned_tasks import statutes_columns, tagging_columns


def test_the_nearest_example_answers_and_its_figure_stands_beside_the_tuned_models(tmp_path: Path):
    train = translations(20)
    asked = row(train[3]["messages"][0]["content"] + ".", train[3]["messages"][1]["content"])
    recipe, run = fake_tuning(tmp_path / "run", train=train, test=[asked, *translations(5, first=40)])
    out = compare_with_base(recipe, run)
    verdict = read_json(out / "verdict.json")
    rows = {b["name"]: b for b in verdict["baselines"]}
    assert set(rows) == {"copy", "nearest"}
    said = {r["prompt"]: r for r in read_items(out / rows["nearest"]["file"]).to_pylist()}
    (found,) = (r for text, r in said.items() if asked["messages"][0]["content"] in text)
    assert found["prediction"] == asked["messages"][1]["content"]
    assert rows["nearest"]["b"]["value"] == verdict["row"]["b"]["value"]
    assert rows["nearest"]["difference"] == pytest.approx(rows["nearest"]["b"]["value"] - rows["nearest"]["a"]["value"])
    assert verdict["beyond_baselines"] is False


def legal(citation: str, quote: str, *, answerable: bool = True) -> dict:
    return {"answerable": answerable, "citation": citation, "quote": quote, "law": "BGB", "kind": "definition"}


LEGAL = [
    (legal("§ 5 Abs. 2 BGB", "die Frist beträgt zwei Wochen"), "„die Frist beträgt zwei Wochen“ (§ 5 Abs. 2 BGB)"),
    (legal("§ 6 BGB", "der Mieter zahlt"), "„der Mieter geht“ (§ 7 BGB)"),
    (legal("§ 7 BGB", "der Mieter zahlt"), REFUSAL),
    (legal("", "", answerable=False), REFUSAL),
    (legal("", "", answerable=False), "„ja“ (§ 1 BGB)"),
]


def test_sums_of_legal_columns_are_the_figures_of_the_statutes_metrics():
    scored = [score_answer(said, fields) | {"answerable": fields["answerable"]} for fields, said in LEGAL]
    wanted = statutes_figures(scored)
    rows = [statutes_columns(said, TestItem(str(i), (), "x", fields=f)) for i, (f, said) in enumerate(LEGAL)]
    for metric, name in (
        ("citation", "citation_exact"), ("quote_f1", "quote_f1"), ("refusal_precision", "refusal_precision"),
        ("refusal_recall", "refusal_recall"),
    ):  # fmt: skip
        info = metric_info(metric)
        above, below = (sum(r[c or ""] for r in rows) for c in (info.numerator, info.denominator))
        assert above / below == pytest.approx(wanted[name])


TAGS = st.lists(st.tuples(st.sampled_from(["Gericht", "Gesetz"]), st.sampled_from(["BGH", "BGB", "EuGH"])), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=5))
def test_sums_of_tagging_columns_are_the_micro_f1_of_tag_scores(pairs: list):
    from smallm.data.finetune_readers import format_tags

    said, gold = ([format_tags(pair[k]) for pair in pairs] for k in (0, 1))
    rows = [tagging_columns(a, TestItem(str(i), (), b)) for i, (a, b) in enumerate(zip(said, gold, strict=True))]
    below = sum(r["spans_both"] for r in rows)
    ours = sum(r["spans_twice_right"] for r in rows) / below if below else 0.0
    assert ours == pytest.approx(tag_scores(said, gold)["f1"])


def test_a_legal_fine_tuning_is_judged_by_citations_and_who_never_refuses_has_no_precision(tmp_path: Path):
    test = [row(f"Welche Frist gilt? {i}", "Der König", **LEGAL[i % 5][0]) for i in range(10)]
    recipe, run = fake_tuning(tmp_path / "run", test=test, task="qa")
    verdict = read_json(compare_with_base(recipe, run) / "verdict.json")
    assert (verdict["task"], verdict["metric"]) == ("statutes", "citation")
    assert {"quote_f1", "refusal_recall"} <= set(verdict["others"])
    assert "refusal_precision" not in verdict["others"]
    assert not [line for line in verdict["not_measured"] if "has nothing to count it over" in line]
    assert {r["value"] for r in verdict["slices"]["answerable"]} == {"yes", "no"}


def test_other_data_with_a_field_called_answerable_are_questions_as_any(tmp_path: Path):
    test = [row(f"Welche Frist gilt? {i}", "Der König", answerable=True) for i in range(6)]
    recipe, run = fake_tuning(tmp_path / "run", test=test, task="qa")
    assert read_json(compare_with_base(recipe, run) / "verdict.json")["task"] == "qa"


def test_a_metric_that_one_side_alone_has_is_told(tmp_path: Path):
    from types import SimpleNamespace

    from smallm.evaluate.compare_others import one_sided_metrics

    sides = [SimpleNamespace(content={"tasks": {"t": {"metrics": {n: {"value": v} for n, v in m.items()}}}})
             for m in ({"citation": 0.1}, {"citation": 0.5, "refusal_precision": 0.75})]  # fmt: skip
    pair = SimpleNamespace(task="t", a_result=sides[0], b_result=sides[1])
    assert one_sided_metrics(pair) == [(metric_info("refusal_precision").title, "b", 0.75)]  # type: ignore[arg-type]
