"""The page of a comparison: what changed and whether it is real, in sign, word and place; nothing leaves it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from publish.fake_tasks import fake_results

from smallm.core.files import read_json
from smallm.publish import task_words
from smallm.publish.compare_page import write_compare_page
from smallm.publish.items_page import flip_rows, write_items_page

Open = Callable[..., Any]
HOSTILE = "</script><script>alert(1)</script><img src=https://evil.example/x onerror=1> & \"quoted'"


class Words(HTMLParser):
    """The words of a page outside of styles and scripts; its links and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.hrefs: list[str] = []
        self.fetched: list[str] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = [*self.inside, tag] if tag in ("script", "style") else self.inside
        found = dict(attrs)
        if tag == "a":
            self.hrefs.append(found.get("href") or "")
        self.fetched += [v or "" for k, v in attrs if k in ("src", "srcset") or (k == "href" and tag == "link")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside[:-1] if tag in ("script", "style") else self.inside

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = fake_results(tmp_path_factory.mktemp("run"))
    for name in ("base", "tuned"):
        items = found[f"{name}-items"]
        write_items_page(read_json(found[name]), items, items.with_suffix(".html"))
    return found


@pytest.fixture(scope="module")
def page(paths: dict[str, Path]) -> Path:
    flips = flip_rows(paths["base-items"], paths["tuned-items"])
    return write_compare_page(read_json(paths["compare"]), paths["compare"].with_suffix(".html"), flips)


def test_the_sentence_and_the_verdict_come_before_everything_else(page: Path, paths: dict[str, Path]):
    said = Words(page.read_text("utf-8")).text
    sentence = read_json(paths["compare"])["overall"]["sentence"]
    assert 0 < said.index("Better in some, worse in others") < said.index(sentence) < said.index("What changed")


@pytest.mark.parametrize(
    ("verdicts", "mark"),
    [
        (["better", "no difference seen"], ("▲", "better", "Better")),
        (["worse", "both at chance"], ("▼", "worse", "Worse")),
        (["better", "worse"], ("◆", "mixed", "Better in some, worse in others")),
        (["no difference seen", "both at chance"], ("○", "same", "No difference seen")),
        (["both at chance"], ("◇", "chance", "Both at chance")),
    ],
)
def test_the_big_mark_follows_from_the_verdicts(verdicts: list[str], mark: tuple[str, str, str]):
    overall = {word: verdicts.count(word) for word in ("better", "worse")}
    assert task_words.overall_verdict({"tasks": [{"verdict": v} for v in verdicts], "overall": overall}) == mark


def test_every_figure_of_the_file_stands_in_the_table(page: Path, paths: dict[str, Path]):
    said = Words(page.read_text("utf-8")).text
    for task in read_json(paths["compare"])["tasks"]:
        metric = task["metric"]
        for value in (
            task["task"],
            task["verdict"],
            task_words.difference(metric, task["difference"]),
            task_words.difference_interval(metric, task["low"], task["high"], unit=False),
            task_words.p_in_words(task["p_adjusted"]),
        ):
            assert value.replace("\u00a0", " ") in said
        if task["a_only"] is not None:
            assert f"✓→✗ {task['a_only']} ✗→✓ {task['b_only']}" in said
    assert "contaminated" in said
    assert "at chance" in said
    assert "less is better" in said
    assert "Number format: bfloat16 in base, float32 in tuned." in said
    assert "lambada is not compared: only base has it (core); tuned was not evaluated on <it>." in said


def test_what_is_not_known_is_not_measured(paths: dict[str, Path], tmp_path: Path):
    comparison = read_json(paths["compare"])
    unknown = ("low", "high", "standard_error", "p_value", "p_adjusted", "minimum_detectable")
    comparison["tasks"] = [task | dict.fromkeys(unknown) for task in comparison["tasks"]]
    said = Words(write_compare_page(comparison, tmp_path / "compare-a-b.html", []).read_text("utf-8")).text
    assert said.count("not measured") >= 3 * len(comparison["tasks"])
    assert "None" not in said
    assert "nan" not in said.lower().split()
    assert "No item is right in one and wrong in the other" in said


def test_hostile_names_and_sentences_are_text(paths: dict[str, Path], tmp_path: Path):
    comparison = read_json(paths["compare"])
    comparison["a"]["name"] = comparison["overall"]["sentence"] = HOSTILE
    comparison["tasks"][0]["task"] = HOSTILE
    flips = [{"task": HOSTILE, "item": HOSTILE, "from": "right", "to": "wrong"}]
    text = write_compare_page(comparison, tmp_path / "compare-a-b.html", flips).read_text("utf-8")
    assert text.count("<script") == 2
    assert "<img" not in text
    assert Words(text).fetched == ["data:,"]


def test_links_lead_only_to_files_that_are_there(page: Path, paths: dict[str, Path], tmp_path: Path):
    links = [h for h in Words(page.read_text("utf-8")).hrefs if not h.startswith("#")]
    assert {paths["base"].name, paths["compare"].name, paths["tuned-items"].with_suffix(".html").name} <= set(links)
    assert all((page.parent / link).is_file() for link in links)
    alone = write_compare_page(read_json(paths["compare"]), tmp_path / "compare-base-tuned.html", [])
    assert set(Words(alone.read_text("utf-8")).hrefs) == {"compare-base-tuned.json"}


def test_the_same_comparison_gives_the_same_bytes(page: Path, paths: dict[str, Path]):
    before = page.read_bytes()
    flips = flip_rows(paths["base-items"], paths["tuned-items"])
    assert write_compare_page(read_json(paths["compare"]), page, flips).read_bytes() == before


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.0004, "under 1 in 1,000"), (0.001, "about 1 in 1,000"), (0.00123, "about 1 in 810"),
        (0.0123, "about 1 in 81"), (0.05, "about 1 in 20"), (0.051, "about 1 in 19"), (0.3, "about 1 in 3"),
        (0.5, "about 1 in 2"), (0.51, "more often than not"), (None, "not measured"),
    ],
)  # fmt: skip
def test_a_p_value_is_said_as_odds(p: float | None, words: str):
    assert task_words.p_in_words(p) == words


def test_signs_of_differences_always_stand_there_and_minus_is_a_minus():
    assert task_words.difference("acc", -0.0312).replace("\u00a0", " ") == "−3.1 points"
    assert task_words.difference("bits_per_byte", 0.04) == "+0.040"
    assert task_words.difference("bits_per_byte", -0.000042) == "−4.2e−05"
    assert task_words.difference("perplexity", 1.46e10) == "+1.5e+10"
    assert task_words.number("perplexity", 1.46e10) == "1.46e+10"
    assert task_words.number("bits_per_byte", 0.0) == "0.000"
    assert task_words.difference("acc", 0.0).startswith("+0.0")


def test_contamination_is_said_as_checked_found_or_not():
    assert task_words.contamination({"contamination": {"checked": False, "items": None}}) == "not checked"
    assert task_words.contamination({"contamination": {"checked": True, "items": 0}}) == "none found"
    found = {"checked": True, "items": 12, "clean": {"value": 0.5}}
    said = task_words.contamination({"contamination": found, "items": 300, "primary": "acc"})
    assert said.replace("\u00a0", " ") == "12 of 300 items in the training text; 50.0 % without them"


# ---- in a browser --------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (768, "light"), (1280, "dark")])
def test_the_page_fits_and_is_readable(open_page: Open, looks: Any, page: Path, width: int, scheme: str):
    view = open_page(page, width=width, color_scheme=scheme)
    view.wait_for_selector(".item")
    looks.fits(view)
    looks.readable(view, ".verdict p, .tally li, .sides *, td, th, .hint, .item *, #reading p")


@pytest.mark.browser
def test_what_changed_is_seen_without_scrolling(open_page: Open, page: Path):
    view = open_page(page)
    for selector in (".verdict .word", ".verdict .lede", ".tally", "#differences figure .plot.wide"):
        assert view.locator(selector).bounding_box()["y"] < 720, selector


@pytest.mark.browser
def test_flips_are_filtered_by_task_and_direction_and_searched(open_page: Open, page: Path, paths: dict[str, Path]):
    flips = read_json(paths["compare"])["flips"]
    view = open_page(page)
    view.wait_for_selector(".item")
    assert f"of {len(flips)}" in view.locator("#status").text_content()
    view.select_option("#task", "sentiment")
    view.select_option("#outcome", "lost")
    lost = [f for f in flips if f["task"] == "sentiment" and f["to"] == "wrong"]
    assert f"of {len(lost)} " in view.locator("#status").text_content()
    assert set(view.locator(".item .outcome").all_text_contents()) == {"✓ right → ✗ wrong"}
    assert view.locator(".item .id").first.text_content() == lost[0]["item"]
    assert "chosen by base" in view.locator(".item .gold .badges").first.text_content()
    view.fill("#q", lost[0]["item"])
    view.wait_for_timeout(400)
    assert view.locator(".item").count() == 1


@pytest.mark.browser
def test_bare_flips_without_texts_are_listed_too(open_page: Open, paths: dict[str, Path], tmp_path: Path):
    comparison = read_json(paths["compare"])
    page = write_compare_page(comparison, tmp_path / "compare-a-b.html", comparison["flips"])
    view = open_page(page)
    view.wait_for_selector(".item")
    assert re.search(rf"of {len(comparison['flips'])}$", view.locator("#status").text_content())


@pytest.mark.browser
def test_the_table_scrolls_by_keyboard_on_a_phone(open_page: Open, page: Path):
    view = open_page(page, width=360)
    table = view.get_by_role("region", name="Table of differences")
    table.focus()
    view.keyboard.press("ArrowRight")
    view.wait_for_timeout(300)
    assert table.evaluate("e => e.scrollLeft") > 0


@pytest.mark.browser
def test_without_scripts_verdict_plot_and_table_are_there(open_page: Open, page: Path):
    view = open_page(page, java_script_enabled=False)
    assert view.locator(".verdict").is_visible()
    assert view.locator("#differences .plot.wide svg").is_visible()
    assert "no difference seen" in view.locator("#table").inner_text()
    assert "scripts are off" in view.locator("noscript").inner_text()
