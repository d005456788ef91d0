"""The report of a fine-tuning: opens with the verdict, shows what was learned escaped, works without pretraining."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from publish.fake_run import fake_run
from publish.fake_tuned import NOTICE, fake_tuned

from smallm.core.config import Recipe
from smallm.core.files import read_json, write_json
from smallm.core.run import Run
from smallm.publish import tune_words
from smallm.publish.facts import read_facts
from smallm.publish.report import make_report
from smallm.publish.task_facts import Record
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.writeup import what_did_not_work

HOSTILE = "</script><script>alert('x')</script><img src=https://evil.example/x onerror=1> {{ 7*7 }} <b>|`*_"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, run = fake_tuned(tmp_path_factory.mktemp("runs") / "german", notice=NOTICE + HOSTILE, hostile=HOSTILE)
    return make_report(recipe, run)


@pytest.fixture(scope="module")
def tuned_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "quickstart"
    recipe, _ = fake_run(path)
    recipe, run = fake_tuned(path, recipe=recipe, kind="classification", items=80)
    return make_report(recipe, run)


def tuning_of(recipe: Recipe, run: Run) -> TuneFacts:
    t = read_facts(recipe, run).tuning
    assert t is not None
    return t


def test_the_page_opens_with_the_verdict_and_the_notice(report: Path):
    page = (report / "index.html").read_text("utf-8")
    header = page[page.index("<header>") : page.index("</header>")]
    assert "Better than its base" in header
    assert "german is better than its base: BLEU" in header
    assert "No legal advice" in header
    assert header.index("Better than its base") < header.index("<dl")


def test_a_run_without_pretraining_shows_no_empty_sections_of_one(report: Path, tuned_quickstart: Path):
    alone, both = ((folder / "index.html").read_text("utf-8") for folder in (report, tuned_quickstart))
    for section in ("against", "examples", "forgetting", "tuned", "audit", "limits", "cost", "again"):
        assert f'id="{section}"' in alone
        assert f'href="#{section}"' in alone
    for section in ("road", "learning", "growth", "samples", "evaluation", "data", "tokenizer"):
        assert f'id="{section}"' not in alone
        assert f'href="#{section}"' not in alone
        assert f'id="{section}"' in both
    assert "Tesla T4" in alone
    for stage in ("Examples", "Fine-tuning", "Base against tuned"):
        assert re.search(f">{stage}</a></td>", alone)


def test_nothing_that_a_user_wrote_becomes_markup(report: Path):
    page = (report / "index.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "<img src=https" not in page
    assert "&lt;script&gt;alert" in page
    for name in ("index.md", "writeup.md"):
        assert "<script>" not in (report / name).read_text("utf-8")


def test_trained_tokens_are_marked_and_the_rows_texts_are_whole(report: Path):
    page = (report / "index.html").read_text("utf-8")
    rows = re.findall(r'<div class="trained">(.*?)</div>', page, re.DOTALL)
    assert len(rows) == 5
    audit = read_json(report.parent / "tokens" / "german" / "audit.json")
    import html

    for row, wanted in zip(rows, audit["rows"], strict=True):
        spans = re.findall(r'<span class="([^"]*)">(.*?)</span>', row, re.DOTALL)
        assert html.unescape("".join(text for _, text in spans)) == "".join(p[0] for p in wanted["pieces"])
        assert ["on" in css for css, _ in spans] == [p[1] for p in wanted["pieces"]]


def test_every_link_of_the_page_leads_to_a_file_that_is_there(report: Path, tuned_quickstart: Path):
    for folder in (report, tuned_quickstart):
        page = (folder / "index.html").read_text("utf-8")
        named = re.findall(r'href="([^"#][^"]*)"', page)
        links = {link.split("#")[0] for link in named if not link.startswith("data:")} - {"../base/model.safetensors"}
        assert any("eval/" in link and "items.html" in link for link in links)
        missing = [link for link in links if not (folder / link).exists()]
        assert missing == []


def test_equal_runs_give_equal_reports(tmp_path: Path):
    pages = []
    for name in ("a", "b"):
        recipe, run = fake_tuned(tmp_path / name / "run")
        pages.append({p.name: p.read_bytes() for p in make_report(recipe, run).rglob("*") if p.is_file()})
    assert pages[0] == pages[1]


def test_the_verdict_has_a_word_for_a_model_that_only_knows_its_examples(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", skill=0.7, nearest=0.72)
    t = tuning_of(recipe, run)
    assert t.verdict is not None
    assert t.verdict["verdict"] == "better"
    assert t.verdict["beyond_baselines"] is False
    assert tune_words.mark(t)[2] == "Better than its base, not than a baseline"
    assert "no difference to the tuned model was seen" in t.verdict["sentence"]


def test_when_it_cannot_be_told_the_page_says_how_many_items_more_would(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", skill=0.14, items=40)
    make_report(recipe, run)
    verdict = read_json(run.path / "eval" / "german" / "verdict.json")
    assert verdict["verdict"] == "cannot tell"
    page = (run.path / "report" / "index.html").read_text("utf-8")
    assert f"{verdict['needed']['more']:,} more items would show" in page
    assert "by the rule: n (z/d)" in page
    assert "Cannot tell" in page


def test_what_did_not_work_names_parts_baselines_and_forgetting(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", skill=0.13, nearest=0.6, forgotten=1.3, items=40)
    t = tuning_of(recipe, run)
    lines = " ".join(what_did_not_work(t))
    assert "cannot be told" in lines
    assert "By construction, no clear gain on" in lines
    assert "may do as well" in lines
    assert "It forgot much" in lines
    make_report(recipe, run)
    assert "may do as well" in (run.path / "report" / "writeup.md").read_text("utf-8")


def test_the_writeup_has_every_part_and_its_figures_exist(report: Path):
    text = (report / "writeup.md").read_text("utf-8")
    for part in ("What", "Why", "Data", "Method", "Result", "Examples", "What did not work", "Limits", "Reproduce it"):
        assert f"\n## {part}\n" in text
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (report / figure).is_file()
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}) == 1


def test_a_comparison_of_other_weights_is_not_shown(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run")
    (run.path / "tuned" / "german" / "adapter_model.safetensors").write_bytes(b"other")
    page = (make_report(recipe, run) / "index.html").read_text("utf-8")
    assert "Base against tuned: not measured" in page
    assert "81.7</" not in page


def test_damaged_and_missing_files_count_as_absent(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run")
    for name in ("tokens/german/audit.json", "tuned/german/smallm.json", "eval/german/verdict.json"):
        (run.path / name).write_text("{")
        make_report(recipe, run)
    (run.path / "tuned" / "german" / "metrics.jsonl").unlink()
    page = (make_report(recipe, run) / "index.html").read_text("utf-8")
    assert page.count("not measured") >= 4
    empty = Run(tmp_path / "empty")
    empty.path.mkdir()
    write_json(empty.path / "resolved.json", {})
    assert "not measured" in (make_report(recipe, empty) / "index.html").read_text("utf-8")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_the_page_opens_without_errors_and_fits(
    open_page: Any, looks: Any, report: Path, tuned_quickstart: Path, width: int, scheme: str
):
    for folder in (report, tuned_quickstart):
        page = open_page(folder / "index.html", width=width, color_scheme=scheme)
        looks.fits(page)
        looks.readable(page, ".trained span, .small, .facts dd, .notice, td, .verdict")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("microsoft/Phi-3.5-mini-instruct", "microsoft/Phi-3.5-mini-instruct"),
        ("../../base", "the run's own base"),
        ("../../../quickstart/base", "quickstart/base"),
        ("../../../models/phi", "phi"),
        ("", "its base"),
    ],
)
def test_the_base_is_called_as_people_call_it(name: str, said: str):
    assert tune_words.base_name(TuneFacts("x", tuned=Record({"base": Record({"name": name})}))) == said
