"""The committed page of `smallm explain` and its screenshots: a model from scratch, stories260K, a shrunken Phi-3.

    smallm run quickstart
    python tools/explain_pages.py runs/quickstart DIR_OF_STORIES260K

Writes docs/explain/quickstart.html and docs/images/explain-*.png (Chromium through Playwright).
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from smallm.evaluate.local_models import Options
from smallm.explain.explain import explain
from smallm.explain.page import write_page
from smallm.explain.subject import open_subject
from smallm.finetune.shrunken import make_phi3
from smallm.model.sampling import SamplingConfig

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explain" / "quickstart.html"
SAMPLING = SamplingConfig(max_new_tokens=16, temperature=0.5, top_k=40, top_p=0.95, seed=1)
PROMPTS = {
    "quickstart": "Once upon a time, there was a bold boy named Tom. Tom had a friend named Lily, a brave girl who",
    "stories260k": "Once upon a time, there was a little girl named Lily. She loved to play outside in the",
    "phi3": "The contract ends on the last day of the month, unless",
}


def make_page(name: str, prompt: str, path: Path) -> None:
    """One page with every head removed in turn and a generation; `name` is a model's directory from here."""
    subject = open_subject(name, Options())
    write_page(path, explain(subject, prompt, heads=True, sampling=SAMPLING))


def shoot(browser: Any, page: Path, image: Path, part: str, view: str, scheme: str) -> None:
    """A screenshot of the page from its top (`part` empty) or from one section on."""
    opened = browser.new_page(viewport={"width": 1100, "height": 1500}, color_scheme=scheme)
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready=yes]")
    opened.select_option("#att-view", view)
    if part:
        opened.locator(part).first.evaluate("e => e.closest('section').scrollIntoView({behavior: 'instant'})")
    opened.screenshot(path=str(image))
    opened.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    run, stories = (Path(name).resolve() for name in sys.argv[1:3])
    images = ROOT / "docs" / "images"
    PAGE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # The page says the model's name as it was given: short ones, from here.
        names = {"quickstart": "runs/quickstart/base", "stories260k": "stories260K", "phi3": "phi3-shrunken"}
        Path("runs/quickstart").mkdir(parents=True)
        Path(names["quickstart"]).symlink_to(run / "base")
        Path(names["stories260k"]).symlink_to(stories)
        make_phi3(Path(names["phi3"]))
        pages = {name: Path(folder) / f"{name}.html" for name in names} | {"quickstart": PAGE}
        for name, model in names.items():
            make_page(model, PROMPTS[name], pages[name])
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            shoot(browser, pages["quickstart"], images / "explain.png", "", "matrix", "light")
            shoot(browser, pages["quickstart"], images / "explain-lens.png", "#lensmap", "grid", "light")
            shoot(browser, pages["stories260k"], images / "explain-stories260k.png", "#att", "grid", "dark")
            shoot(browser, pages["phi3"], images / "explain-phi3.png", "#att", "lines", "light")
            browser.close()


if __name__ == "__main__":
    main()
