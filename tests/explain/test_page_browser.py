"""The page in a browser, offline: every view clicked through, by keyboard too, with a prompt that tries to break it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from explain.conftest import OURS, make_ours
from explain.test_page import HOSTILE

from smallm.evaluate.local_models import Options
from smallm.explain.difference import difference
from smallm.explain.explain import explain, explain_both
from smallm.explain.page import write_page
from smallm.explain.subject import open_subject
from smallm.model.sampling import SamplingConfig

pytestmark = pytest.mark.browser
SAMPLING = SamplingConfig(max_new_tokens=6, top_k=20, top_p=0.9)
VIEWS = ("matrix", "lines", "grid", "rollout")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on the hostile prompt, heads removed, a generation."""
    folder = tmp_path_factory.mktemp("hostile")
    subjects = [
        open_subject(str(make_ours(folder / f"m{seed}", seed=seed, context=512, **OURS["ours"])), Options())
        for seed in (0, 1)
    ]
    a, b = explain_both(*subjects, HOSTILE, heads=True, sampling=SAMPLING)
    return write_page(folder / "page.html", a, b, difference(a, b))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    subject = open_subject(str(make_ours(folder / "m", preset="gpt2")), Options())
    return write_page(folder / "page.html", explain(subject, "the cat sat on the mat", sampling=SAMPLING))


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready=yes]", timeout=10_000)
    return page


def charts(page: Any) -> list[str]:
    """Ids of the charts that are there to be seen."""
    return page.eval_on_selector_all(".export", "bs => bs.filter(b => b.offsetParent).map(b => b.dataset.chart)")


def test_every_view_is_drawn_for_both_models_and_their_difference(open_page: Callable[..., Any], hostile: Path):
    page = ready(open_page(hostile))
    for whose in ("0", "1", "2"):
        page.locator(f"[name=whose][value='{whose}']").check(force=True)
        for view in VIEWS:
            page.select_option("#att-view", view)
            assert page.locator("#att svg").count() == 1
            page.locator("#att-sink").check()
            assert "left out" in page.locator("#att-title").text_content()
            page.locator("#att-sink").uncheck()
        for layer in ("0", "2", "-1"):
            page.select_option("#att-view", "matrix")
            page.select_option("#att-layer", layer)
            page.select_option("#att-head", "1")
            assert page.locator("#att-says").text_content()
        for by in page.eval_on_selector_all("#colour-by option", "os => os.map(o => o.value)"):
            page.select_option("#colour-by", by)
        for by in ("entropy", "actual", "p"):
            page.select_option("#lens-by", by)
            assert page.locator("#lensmap svg").count() == 1
        for by in ("bits", "change"):
            page.select_option("#abl-by", by)
        page.locator("#gen-next").click()
        page.locator("#gen-back").click()
        assert page.locator("#gen svg, #gen .none").count() == 1
        assert page.locator("#posone svg").count() == 1
    assert page.locator("#strip .token").count() > 50


def test_the_hostile_prompt_is_shown_as_text(open_page: Callable[..., Any], hostile: Path):
    page = ready(open_page(hostile))
    shown = page.locator("#strip").text_content()
    assert "<script>alert(1)</script>" in shown
    assert "‹E2›" in shown  # a byte of the mark: this tokenizer has no token for all three
    assert not any(mark in shown for mark in "\u202e\u202c\u200f\u2028\x00")
    assert "␀" in shown
    assert page.locator("main img").count() == 0
    assert page.locator("script").count() == 2


def test_a_model_against_itself_shows_no_difference(open_page: Callable[..., Any], tmp_path: Path):
    subject = open_subject(str(make_ours(tmp_path / "m")), Options())
    a, b = explain_both(subject, subject, "the cat sat on the mat", heads=True, sampling=SAMPLING)
    page = ready(open_page(write_page(tmp_path / "page.html", a, b, difference(a, b))))
    page.locator("[name=whose][value='2']").check(force=True)
    page.locator('[data-table="att"] summary').click()
    page.locator('[data-table="att"] tbody tr').first.wait_for(state="attached", timeout=10_000)
    cells = page.eval_on_selector_all('[data-table="att"] tbody td:last-child', "cs => cs.map(c => c.textContent)")
    assert all(part.endswith(" 0.0\u00a0pp") for cell in cells for part in cell.split(", "))
    assert "Both models write the same tokens." in page.locator("#gen-hint").text_content()


def test_charts_are_walked_through_by_keyboard_and_a_choice_holds_everywhere(
    open_page: Callable[..., Any], plain: Path
):
    page = ready(open_page(plain))
    page.locator("#strip").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#strip [aria-selected=true]").get_attribute("id") == "token-1"
    assert "Token 2 of" in page.locator("#chosen").text_content()
    page.locator("#att svg").focus()
    before = page.locator("#att-says").text_content()
    page.keyboard.press("ArrowDown")
    assert page.locator("#att-says").text_content() != before
    page.keyboard.press("Enter")
    assert page.locator("#strip [aria-selected=true]").get_attribute("id") == "token-2"
    assert page.evaluate("document.activeElement.tagName") == "svg"
    page.locator("#lensmap svg").focus()
    page.keyboard.press("ArrowUp")
    assert "layer" in page.locator("#lensmap-says").text_content()
    page.locator("#gen-at").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#gen-title").text_content().startswith("Token 2")
    page.select_option("#att-view", "grid")
    page.locator("#att svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#att-view").input_value() == "matrix"
    assert page.locator("#att-head").input_value() == "1"


def test_every_chart_is_saved_as_svg_that_stands_alone_and_has_its_table(
    open_page: Callable[..., Any], hostile: Path, tmp_path: Path
):
    page = ready(open_page(hostile, accept_downloads=True))
    seen = charts(page)
    assert {"surprise", "att", "lensmap", "abl", "ablheads", "posone", "postwo", "gen"} <= set(seen)
    for view in VIEWS:
        page.select_option("#att-view", view)
        for chart in seen if view == "matrix" else ["att"]:
            with page.expect_download() as download:
                page.locator(f'[data-chart="{chart}"]').click()
            target = tmp_path / f"{chart}-{view}.svg"
            download.value.save_as(target)
            text = target.read_text("utf-8")
            assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
            assert "var(" not in text
            assert "<script" not in text
            page.locator(f'[data-table="{chart}"] summary').click()
            page.locator(f'[data-table="{chart}"] tbody tr').first.wait_for(state="attached", timeout=10_000)
            page.locator(f'[data-table="{chart}"] summary').click()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "light"), (1200, "dark")])
def test_it_fits_phones_and_desks_and_is_readable_in_both_themes(
    open_page: Callable[..., Any], looks: Any, hostile: Path, width: int, scheme: str
):
    page = ready(open_page(hostile, width=width, color_scheme=scheme))
    for view in VIEWS:
        page.select_option("#att-view", view)
        looks.fits(page)
    looks.readable(page, "main p, main label, main td, main th, main summary, .token, .bar .n, .bar .name, button")


def test_the_theme_and_the_width_may_change_while_it_is_open(open_page: Callable[..., Any], looks: Any, plain: Path):
    page = ready(open_page(plain, width=1200))
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    looks.fits(page)
    looks.readable(page, ".token")


def test_every_control_and_chart_has_a_name(open_page: Callable[..., Any], hostile: Path):
    page = ready(open_page(hostile))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('select, input, button, [tabindex=\"0\"], svg')].filter(e => e.offsetParent !== "
        "null || e.tagName === 'svg').filter(e => !(e.getAttribute('aria-label') || e.labels?.length || "
        "e.textContent.trim())).map(e => e.outerHTML.slice(0, 80))"
    )
    assert unnamed == []
    assert page.locator("h1").count() == 1
