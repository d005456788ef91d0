"""The page by keyboard, at 512 tokens too: what a key does, what it leaves alone, what it does not draw again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from explain.conftest import OURS, make_ours
from explain.test_page_browser import ready

from smallm.evaluate.local_models import Options
from smallm.explain.difference import difference
from smallm.explain.explain import explain, explain_both
from smallm.explain.page import write_page
from smallm.explain.subject import open_subject

pytestmark = pytest.mark.browser
# Gives the key to the element; was it taken?
TAKES = """([where, key, more]) => !document.querySelector(where).dispatchEvent(
  new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more }))"""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    subject = open_subject(str(make_ours(folder / "m")), Options())
    return write_page(folder / "page.html", explain(subject, "the cat sat on the mat", layers=False))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """512 tokens of 12 layers."""
    folder = tmp_path_factory.mktemp("long")
    subject = open_subject(str(make_ours(folder / "m", layers=12, width=32, heads=2, context=512)), Options())
    ids = [3 + 7 * i % 300 for i in range(512)]
    return write_page(folder / "page.html", explain(subject, "", ids=ids, layers=False))


def says(page: Any, chart: str) -> str:
    return page.locator(f"#{chart}-says").text_content()


@pytest.mark.parametrize("where", ["#strip", "#att svg", "#lensmap svg"])
def test_keys_with_a_modifier_are_the_browsers_own(open_page: Callable[..., Any], short: Path, where: str):
    page = ready(open_page(short))
    for modifier in ("altKey", "ctrlKey", "metaKey"):
        before = page.locator("#views").text_content()
        for key in ("ArrowLeft", "ArrowUp", "Home", "Enter"):
            assert not page.evaluate(TAKES, [where, key, {modifier: True}])
        assert page.locator("#views").text_content() == before
    assert page.evaluate(TAKES, [where, "ArrowLeft", {}])


def test_in_a_matrix_end_and_up_lead_to_the_last_cell_of_the_row(open_page: Callable[..., Any], short: Path):
    page = ready(open_page(short))
    T = page.evaluate("T")
    page.locator("#att svg").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert says(page, "att").startswith(f"{T - 1} ")
    assert " looks at 1 " in says(page, "att")
    page.keyboard.press("End")
    assert f" looks at {T - 1} " in says(page, "att")
    page.keyboard.press("ArrowUp")
    assert says(page, "att").startswith(f"{T - 2} ")
    assert f" looks at {T - 2} " in says(page, "att")
    page.keyboard.press("ArrowRight")
    assert f" looks at {T - 2} " in says(page, "att")


def test_the_mark_of_a_wide_chart_is_in_sight_after_every_key(open_page: Callable[..., Any], long: Path):
    page = ready(open_page(long, width=390))
    for chart in ("lensmap", "surprise"):
        page.locator(f"#{chart} svg").focus()
        for key in ("Home", "End", "ArrowLeft", "Home"):
            page.keyboard.press(key)
            assert page.evaluate(
                """chart => { const place = document.getElementById(chart);
                  const box = place.parentElement.getBoundingClientRect();
                  const mark = place.querySelector('svg > rect:last-of-type').getBoundingClientRect();
                  return mark.left >= box.left - 2 && mark.right <= box.right + 2; }""",
                chart,
            )


def test_a_choice_at_512_tokens_moves_marks_and_draws_no_chart_again(open_page: Callable[..., Any], long: Path):
    page = ready(open_page(long))
    assert page.evaluate("T") == 512
    assert page.evaluate("document.querySelectorAll('#lensmap svg *').length") < 2_000
    page.evaluate("window.drawn = ['att', 'lensmap', 'surprise'].map(id => document.querySelector(`#${id} svg`))")
    page.locator("#strip").focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("drawn.every(svg => svg.isConnected)")
    assert page.locator("#strip [aria-selected=true]").get_attribute("id") == "token-2"
    assert page.locator("#strip").get_attribute("aria-activedescendant") == "token-2"
    assert says(page, "att").startswith("3 ")
    assert says(page, "surprise").startswith("3: ")
    assert page.evaluate("[marks.att.row(), marks.lensmap.column(), marks.surprise.column()]") == [2, 2, 2]
    assert "Token 3 of 512" in page.locator("#chosen").text_content()


def test_the_labels_of_the_chosen_token_are_bold_wherever_it_was_chosen(open_page: Callable[..., Any], short: Path):
    page = ready(open_page(short))
    bold = "id => [...document.querySelectorAll(`#${id} [font-weight=bold]`)].map(n => Number(n.dataset.token))"
    last = page.evaluate("T") - 1
    assert page.evaluate(bold, "att") == [last, last]
    page.locator("#lensmap svg").focus()
    for key in ("ArrowUp", "Home", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate(bold, "att") == [1, 1]
    assert page.evaluate(bold, "lensmap") == [1]
    assert page.evaluate("[marks.lensmap.row(), marks.lensmap.column()]") == [2, 1]  # the row that was walked to
    page.select_option("#att-view", "lines")
    page.locator("#strip").focus()
    page.keyboard.press("End")
    assert page.evaluate("marks.att.row()") == last


def test_a_head_that_the_other_model_lacks_becomes_the_mean(open_page: Callable[..., Any], tmp_path: Path):
    subjects = [
        open_subject(str(make_ours(tmp_path / name, heads=heads, **{**OURS["ours"], "kv_heads": 1})), Options())
        for name, heads in (("four", 4), ("two", 2))
    ]
    a, b = explain_both(*subjects, "the cat sat on the mat")
    page = ready(open_page(write_page(tmp_path / "page.html", a, b, difference(a, b))))
    page.select_option("#att-head", "3")
    page.locator("[name=whose][value='1']").check(force=True)
    assert page.locator("#att-head").input_value() == "-1"
    assert "mean of the heads" in page.locator("#att-title").text_content()
    assert page.locator("#att-head option").count() == 3
    page.select_option("#att-head", "1")
    page.locator("[name=whose][value='0']").check(force=True)
    assert page.locator("#att-head").input_value() == "1"
