"""The page in a browser, offline: no errors, no requests, no overflow on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from publish.fake_run import fake_run
from publish.fake_tasks import fake_results

from smallm.publish.report import make_report

pytestmark = pytest.mark.browser
LONG = "a-source-with-a-very-long-name-that-nobody-broke-" * 3


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, run = fake_run(tmp_path_factory.mktemp("run"), stories=LONG, hostile=" " + "x" * 300)
    fake_results(run.path)
    return make_report(recipe, run)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (768, "light"), (1280, "dark")])
def test_the_page_opens_without_errors_requests_or_overflow(browser: Any, report: Path, width: int, scheme: str):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"file://{report / 'index.html'}")
    assert errors == []
    assert [r for r in requests if not r.startswith("data:")] == [f"file://{report / 'index.html'}"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Nothing but what scrolls by itself reaches beyond the window.
    beyond = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg') && e.offsetParent"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)"
    )
    assert beyond == []
    context.close()


def test_the_cross_hair_names_the_point_under_the_pointer(browser: Any, report: Path):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"file://{report / 'index.html'}")
    svg = page.locator("#learning .plot.wide svg").first
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "bits per byte" in page.locator("#learning .plot.wide .tip").first.text_content()
    page.close()


def test_text_is_readable_in_both_themes(browser: Any, report: Path):
    """WCAG AA: body and muted text at least 4.5 to 1 against the page."""
    ratio = """() => {
      const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
      const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(linear);
        return .2126*r + .7152*g + .0722*b; };
      const back = lum(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll('p, .note, .eyebrow, td, .prompt')].map(e => lum(getComputedStyle(e).color))
        .map(l => (Math.max(l, back) + .05) / (Math.min(l, back) + .05)).reduce((a, b) => Math.min(a, b));
    }"""
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(f"file://{report / 'index.html'}")
        assert page.evaluate(ratio) >= 4.5
        page.close()
