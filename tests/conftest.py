"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# What numba compiles is kept from one run of the tests to the next, by every worker.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled"))
# Scores that tests keep are nobody's: never the user's cache.
os.environ["SMALLM_CACHE"] = tempfile.mkdtemp(prefix="smallm-test-cache-")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a real corpus beside the checkout; the test skips, by name, where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the corpus {name}, which is not on this machine")
        return path

    return find


# ---- pages: one Chromium, and a page of it that counts errors and requests ----

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not on this machine")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """open_page(file, hash="", width=1280, **context): the page, offline; no error and no request by the end."""
    opened: list[tuple[Any, list[str], list[str], str]] = []

    def open_one(file: Path, hash: str = "", width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        page = context.new_page()
        errors: list[str] = []
        requests: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{file}{hash}")
        opened.append((context, errors, requests, f"file://{file}"))
        return page

    yield open_one
    for context, errors, requests, own in opened:
        context.close()
        assert errors == []
        assert {r.split("#")[0] for r in requests if not r.startswith("data:")} == {own}


# Elements that reach beyond the window although nothing scrolls them.
BEYOND = (
    "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg') && e.offsetParent"
    " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)"
)
# The least contrast of text against what lies behind it (WCAG 2.2, 1.4.3), of the elements that a selector names.
CONTRAST = """(selector) => {
  const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const lum = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (c.startsWith('rgb') && (parts(c)[3] ?? 1) === 1) return parts(c); } return [255, 255, 255]; };
  return [...document.querySelectorAll(selector)].filter(e => e.offsetParent && e.textContent.trim()).map(e => {
    const a = lum(parts(getComputedStyle(e).color)), b = lum(back(e));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }).reduce((a, b) => Math.min(a, b), 21);
}"""


@pytest.fixture(scope="session")
def looks() -> Any:
    """Checks of how a page looks: looks.fits(page), looks.readable(page, selector)."""

    class Looks:
        @staticmethod
        def fits(page: Any) -> None:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate(BEYOND) == []

        @staticmethod
        def readable(page: Any, selector: str) -> None:
            assert page.evaluate(CONTRAST, selector) >= 4.5

    return Looks
