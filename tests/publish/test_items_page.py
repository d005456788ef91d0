"""The page of items: every item in it, as text; filters, flips, pages; quick with 20,000; nothing leaves it."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish.fake_run import items_table
from publish.fake_tasks import NASTY, SPEC, fake_results

from smallm.core.files import read_json
from smallm.publish.items_page import flip_rows, item_row, packed, short_names, write_items_page

Open = Callable[..., Any]
ITEMS = sum(n for *_, n in SPEC.values())


def unpacked(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="payload" type="text/plain">([^<]*)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found.group(1))))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fake_results(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(paths: dict[str, Path]) -> Path:
    path = paths["base-items"].with_suffix(".html")
    return write_items_page(read_json(paths["base"]), paths["base-items"], path)


@pytest.fixture(scope="module")
def both(paths: dict[str, Path]) -> Path:
    before = (read_json(paths["base"]), pq.read_table(paths["base-items"]))
    path = paths["tuned-items"].with_suffix(".html")
    return write_items_page(read_json(paths["tuned"]), paths["tuned-items"], path, against=before)


# ---- what is in the page -------------------------------------------------------------------------------------------


def test_every_item_is_in_the_page_in_the_files_order(page: Path, paths: dict[str, Path]):
    ids = pq.read_table(paths["base-items"]).column("item").to_pylist()
    assert [row["id"] for row in unpacked(page)["rows"]] == ids
    assert len(ids) == ITEMS


def test_no_text_of_an_item_is_markup_of_the_page(page: Path):
    text = page.read_text("utf-8")
    assert "evil.example" not in text
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert any("evil.example" in row.get("prompt", "") for row in unpacked(page)["rows"])


def test_the_examples_before_every_prompt_are_shown_as_text(page: Path):
    assert "Question: &lt;i&gt;who&lt;/i&gt;?\nAnswer: a fox" in page.read_text("utf-8")


def test_the_same_items_give_the_same_bytes(page: Path, paths: dict[str, Path], tmp_path: Path):
    again = write_items_page(read_json(paths["base"]), paths["base-items"], tmp_path / page.name)
    assert again.read_bytes() == page.read_bytes()


@given(st.dictionaries(st.text(), st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False))))
def test_what_is_packed_comes_out_whole_and_cannot_close_a_script(content: dict[str, Any]):
    text = packed(content)
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", text)
    assert json.loads(gzip.decompress(base64.b64decode(text))) == content


@given(st.lists(st.floats(), min_size=1, max_size=4), st.floats(), st.floats())
def test_no_score_of_any_kind_breaks_the_json(logprobs: list[float], score: float, weight: float):
    row = {
        "task": "t", "metric": "perplexity", "item": "1", "choices": ["a"] * len(logprobs), "logprobs": logprobs,
        "score": score, "weight": weight,
    }  # fmt: skip
    packed(item_row(row))


def test_an_items_value_is_its_score_over_its_weight_and_exp_where_the_metric_is_one():
    assert item_row({"task": "t", "metric": "bits_per_byte", "score": 600.0, "weight": 1000.0})["value"] == 0.6
    assert item_row({"task": "t", "metric": "perplexity", "score": 1.0, "weight": 1.0})["value"] == round(math.e, 4)
    assert item_row({"task": "t", "metric": "acc", "score": 1.0, "weight": 1.0})["value"] == 1.0


def test_no_translation_is_right_or_wrong_but_an_exact_match_is():
    row = {"task": "t", "metric": "bleu", "correct": False, "score": 30.0, "weight": 1.0, "prediction": "x"}
    assert "correct" not in item_row(row)
    assert item_row(row | {"metric": "exact_match"})["correct"] is False
    assert item_row(row | {"metric": "macro_f1"})["correct"] is False


def test_a_written_label_shows_its_text_and_a_scored_choice_its_place():
    row = {"task": "t", "metric": "acc", "choices": ["a", "b"], "answer": ["b"], "prediction": "b"}
    assert item_row(row | {"logprobs": [-1.0, -0.5]})["chosen"] == 1
    assert "text" not in item_row(row | {"logprobs": [-1.0, -0.5]})
    assert item_row(row | {"prediction": "b, I think"})["text"] == "b, I think"


def test_flips_are_the_items_right_in_one_and_wrong_in_the_other(paths: dict[str, Path]):
    flips = flip_rows(paths["base-items"], paths["tuned-items"])
    expected = read_json(paths["compare"])
    assert {(f["task"], f["item"], f["from"]) for f in flips} == {
        (f["task"], f["item"], f["from"]) for f in expected["flips"]
    }
    for task in expected["tasks"]:
        if task["a_only"] is not None:
            assert sum(f["task"] == task["task"] and f["to"] == "wrong" for f in flips) == task["a_only"]
    assert flip_rows(paths["base-items"], paths["base-items"]) == []


def test_an_item_that_the_other_result_lacks_stays_alone(paths: dict[str, Path], tmp_path: Path):
    before = (read_json(paths["base"]), pq.read_table(paths["base-items"]).slice(0, 10))
    page = write_items_page(read_json(paths["tuned"]), paths["tuned-items"], tmp_path / "x.items.html", against=before)
    assert ["other" in row for row in unpacked(page)["rows"]] == [True] * 10 + [False] * (ITEMS - 10)


def test_names_lose_the_folders_that_they_share():
    assert short_names(["runs/x/tuned", "runs/x/base"]) == ["tuned", "base"]
    assert short_names(["runs/x/base", "runs/y/base"]) == ["x/base", "y/base"]
    assert short_names(["a", "a"]) == ["a", "a"]
    assert short_names(["org/model"]) == ["org/model"]


# ---- in a browser --------------------------------------------------------------------------------------------------


def status(page: Any) -> str:
    page.wait_for_selector("#browser:not([hidden]) #status:not(:empty)")
    return page.locator("#status").text_content()


def wait_for(page: Any, selector: str, text: str) -> None:
    """Until the element says `text` (a pattern). The page's own rule against eval stops wait_for_function."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(re.compile(text))


def total(page: Any) -> int:
    found = re.search(r"of ([\d,]+)", status(page))
    assert found
    return int(found.group(1).replace(",", ""))


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light"), (1280, "dark")])
def test_the_page_fits_and_is_readable(open_page: Open, looks: Any, both: Path, width: int, scheme: str):
    page = open_page(both, width=width, color_scheme=scheme)
    assert total(page) == ITEMS
    looks.fits(page)
    looks.readable(page, ".item *, .filters label, .pager *, p, td, th, .eyebrow")


@pytest.mark.browser
def test_filters_choose_what_the_file_says(open_page: Open, page: Path, paths: dict[str, Path]):
    rows = pq.read_table(paths["base-items"]).to_pylist()
    view = open_page(page)
    status(view)
    view.select_option("#task", "agreement")
    assert total(view) == SPEC["agreement"][-1]
    view.select_option("#outcome", "wrong")
    wrong = [r for r in rows if r["task"] == "agreement" and not r["correct"]]
    assert total(view) == len(wrong)
    assert set(view.locator(".item .outcome").all_text_contents()) == {"✗ wrong"}
    view.select_option("#source", "determiner_noun")
    assert total(view) == sum(r["source"] == "determiner_noun" for r in wrong)
    view.click("button[type=reset]")
    wait_for(view, "#status", f"of {ITEMS:,}$")
    view.select_option("#mark", "truncated")
    assert total(view) == sum("truncated" in r["marks"] for r in rows)
    view.select_option("#mark", "")
    view.select_option("#training", "yes")
    assert total(view) == sum(bool(r["contaminated"]) for r in rows)
    assert view.locator(".item").first.get_by_text("in the training text").count() == 1


@pytest.mark.browser
def test_search_finds_texts_whatever_their_case_and_says_when_there_are_none(open_page: Open, page: Path):
    view = open_page(page)
    status(view)
    view.fill("#q", "ONERROR=1")
    wait_for(view, "#status", "in all")
    assert 0 < total(view) < ITEMS
    assert all("onerror=1" in text for text in view.locator(".item > .text").all_text_contents())
    view.fill("#q", "no item says this")
    wait_for(view, "#status", "^None of")
    assert view.locator(".item").count() == 0


@pytest.mark.browser
def test_hostile_texts_are_shown_as_they_are(open_page: Open, page: Path):
    """Markup as text, right-to-left text in its own direction, long texts cut at one end and whole on demand."""
    view = open_page(page, "#task=agreement")
    assert total(view) == SPEC["agreement"][-1]
    shown: list[str] = []
    for _ in range(5):
        shown += view.locator(".item > .text").all_text_contents()
        if not view.locator(".next").first.is_disabled():
            view.locator(".next").first.click()
    for text in (t for t in NASTY if len(t) < 600):
        assert any(text in found for found in shown), text
    assert view.locator(".item script, .item img, .item b b, .item i").count() == 0
    view.select_option("#mark", "truncated")
    assert re.search(r"Question \d+:$", view.locator(".item > .text").first.text_content())
    more = view.locator(".item .more").first
    more.click()
    assert more.get_attribute("aria-expanded") == "true"
    assert len(view.locator(".item > .text").first.text_content()) > 5000
    assert view.locator(".item .text").first.get_attribute("dir") == "auto"


@pytest.mark.browser
def test_choices_mark_the_right_answer_and_the_models_by_sign_and_word(open_page: Open, page: Path):
    view = open_page(page, "#task=story-questions&outcome=wrong")
    status(view)
    first = view.locator(".item").first
    assert first.locator(".gold .badges").text_content().startswith("✓ right answer")
    assert first.locator(".badges", has_text="▶ chosen by the model").count() == 1
    assert first.locator(".gold .badges", has_text="chosen").count() == 0
    shares = [
        float(t.split("\u00a0")[0].lstrip("< "))
        for t in first.locator(".gauge > span:nth-child(2)").all_text_contents()
    ]
    assert sum(shares) == pytest.approx(100, abs=0.3)


@pytest.mark.browser
def test_a_single_target_shows_its_own_probability_and_whether_the_model_would_write_it(
    open_page: Open, tmp_path: Path
):
    row = {
        "task": "lambada", "metric": "acc", "item": "1", "prompt": "She fed the", "choices": [" cat"],
        "answer": [" cat"],
        "logprobs": [math.log(0.25)], "tokens": [1], "prediction": "", "score": 0.0, "weight": 1.0, "correct": False,
    }  # fmt: skip
    result = {"model": {"name": "m"}, "suite": "s", "tasks": {}}
    view = open_page(write_items_page(result, items_table([row]), tmp_path / "x.items.html"))
    assert total(view) == 1
    said = view.locator(".item").inner_text()
    for part in ("✗ wrong", "1 token scored", "not what the model would write first", "25.0\u00a0%"):
        assert part in said
    assert "chosen by" not in said


@pytest.mark.browser
def test_flips_against_another_result_are_counted_both_ways(open_page: Open, both: Path, paths: dict[str, Path]):
    tasks = {t["task"]: t for t in read_json(paths["compare"])["tasks"]}
    view = open_page(both, "#task=agreement&outcome=won")
    assert total(view) == tasks["agreement"]["b_only"]
    assert set(view.locator(".item .outcome").all_text_contents()) == {"✗ wrong → ✓ right"}
    view.select_option("#outcome", "lost")
    assert total(view) == tasks["agreement"]["a_only"]
    view.select_option("#outcome", "flipped")
    assert total(view) == tasks["agreement"]["a_only"] + tasks["agreement"]["b_only"]


@pytest.mark.browser
def test_the_address_holds_the_filters_and_a_changed_address_changes_them(open_page: Open, page: Path):
    view = open_page(page, "#task=sentiment&outcome=right")
    before = total(view)
    view.select_option("#order", "worst")
    assert view.evaluate("location.hash") == "#task=sentiment&outcome=right&order=worst"
    view.evaluate("location.hash = 'task=sentiment'")
    wait_for(view, "#status", f"of {SPEC['sentiment'][-1]} ")
    assert before < SPEC["sentiment"][-1]
    assert view.locator("#outcome").input_value() == ""
    assert view.locator("#task").input_value() == "sentiment"


@pytest.mark.browser
def test_the_keyboard_alone_searches_filters_and_turns_pages(open_page: Open, page: Path):
    view = open_page(page)
    status(view)
    view.locator("#q").focus()
    view.keyboard.press("Tab")
    assert view.evaluate("document.activeElement.id") == "task"
    view.keyboard.type("agr")
    assert view.locator("#task").input_value() == "agreement"
    first = view.locator(".item .id").first.text_content()
    view.locator(".next").first.focus()
    view.keyboard.press("Enter")
    assert status(view).startswith("21 to 40")
    assert view.locator(".item .id").first.text_content() != first
    assert view.evaluate("document.activeElement.id") == "status"  # a screen reader reads where one is now
    view.locator(".previous").first.focus()
    view.keyboard.press("Space")
    assert status(view).startswith("1 to 20")


@pytest.mark.browser
def test_every_field_has_a_name_for_a_screen_reader(open_page: Open, both: Path):
    view = open_page(both)
    status(view)
    for name in ("Task", "Outcome", "Source", "Mark", "Training text", "Order"):
        assert view.get_by_role("combobox", name=name).count() == 1
    assert view.get_by_role("searchbox", name="Search").count() == 1
    assert view.get_by_role("status").count() == 1
    assert view.get_by_role("list", name="Items").count() == 1


@pytest.mark.browser
def test_without_scripts_the_page_says_where_the_items_are(open_page: Open, page: Path):
    view = open_page(page, java_script_enabled=False)
    assert "scripts are off" in view.locator("noscript").inner_text()
    assert ".items.parquet" in view.locator("noscript").inner_text()
    assert "64.8" in view.locator("table").inner_text()


@pytest.mark.browser
@pytest.mark.slow
def test_twenty_thousand_items_open_and_filter_without_a_wait(open_page: Open, tmp_path: Path):
    paths = fake_results(tmp_path, prompts=20_000 // ITEMS + 1)
    page = write_items_page(
        read_json(paths["tuned"]), paths["tuned-items"], tmp_path / "x.items.html", against=(
            read_json(paths["base"]), paths["base-items"])
    )  # fmt: skip
    view = open_page(page)
    assert total(view) >= 20_000
    assert view.locator(".item").count() == 20
    # Generous against a busy machine: alone it is a tenth of this.
    search = "document.getElementById('q').value = 'fox'; apply(); return performance.now() - began"
    script = f"() => {{ const began = performance.now(); {search}; }}"
    assert view.evaluate(script) < 5000
    assert 0 < total(view) < 25_000


def test_items_of_an_empty_result_make_a_page(tmp_path: Path, paths: dict[str, Path]):
    page = write_items_page(read_json(paths["base"]), items_table([]), tmp_path / "x.items.html")
    assert unpacked(page)["rows"] == []
