"""The report: a pure function of the run, self-contained, escaped, linked."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from publish.fake_run import WEIGHTS, fake_run
from publish.fake_tasks import TUNED, fake_results
from tokenizers import Tokenizer, models, pre_tokenizers

from smallm.core.config import Recipe
from smallm.core.files import files_below, read_json, write_json
from smallm.core.recipe import load_recipe
from smallm.core.run import Run
from smallm.publish.report import make_report, pieces, sample_parts

HOSTILE = "</script><script>alert('x')</script><img src=https://evil.example/x onerror=1>&\"'${{7*7}}"


class Links(HTMLParser):
    """Collects tags, hrefs and everything that could fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.hrefs: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "href" and tag == "a":
                self.hrefs.append(value or "")
            if name in ("src", "srcset", "action", "data") or (name == "href" and tag == "link"):
                self.fetched.append(value or "")


def parse(page: Path) -> Links:
    links = Links()
    links.feed(page.read_text("utf-8"))
    return links


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, run = fake_run(tmp_path_factory.mktemp("run"), hostile=HOSTILE, price=2.5)
    return make_report(recipe, run)


def test_the_same_run_gives_the_same_bytes(report: Path):
    before = {p: p.read_bytes() for p in [*files_below(report), *files_below(report.parent / "base")]}
    recipe = load_recipe(str(report.parent / "recipe.yaml"))
    make_report(recipe, Run(report.parent))
    assert {p: p.read_bytes() for p in before} == before


def test_every_relative_link_leads_to_a_file_of_the_run(report: Path):
    hrefs = parse(report / "index.html").hrefs
    files = [h for h in hrefs if not h.startswith("#")]
    assert len(set(files)) >= 10
    # The fake run has no weights; the link to them is right.
    missing = {h for h in files if not (report / h).resolve().is_file()} - {"../base/model.safetensors"}
    assert not missing
    markdown = (report / "index.md").read_text("utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", markdown)
    assert targets
    assert not [t for t in targets if not (report / t).resolve().is_file() and "safetensors" not in t]
    ids = set(re.findall(r' id="([^"]+)"', (report / "index.html").read_text("utf-8")))
    assert {h[1:] for h in hrefs if h.startswith("#")} <= ids


def test_the_page_fetches_nothing(report: Path):
    page = (report / "index.html").read_text("utf-8")
    assert [f for f in parse(report / "index.html").fetched if not f.startswith("data:")] == []
    assert "@import" not in page
    assert not re.search(r"url\((?!#|data:)", page)


def test_text_of_models_and_users_is_text(report: Path):
    links = parse(report / "index.html")
    assert links.tags.count("script") == 1
    assert "img" not in links.tags
    page = (report / "index.html").read_text("utf-8")
    assert "&lt;/script&gt;" in page
    assert "<script>" not in (report / "index.md").read_text("utf-8")


def test_figures_are_well_formed_and_follow_the_theme(report: Path):
    figures = sorted(p.name for p in (report / "figures").iterdir())
    assert figures == ["by-source.svg", "curve.svg", "learning-rate.svg", "lengths.svg", "speed.svg"]
    for name in figures:
        text = (report / "figures" / name).read_text("utf-8")
        ElementTree.fromstring(text)
        assert "prefers-color-scheme: dark" in text
        assert "<dc:date>" not in text


def test_the_hover_points_lie_inside_the_drawing_and_say_the_files_figures(report: Path):
    import html
    import json

    svg = (report / "figures" / "curve.svg").read_text("utf-8")
    points = json.loads(html.unescape(re.search(r'data-points="([^"]*)"', svg).group(1)))  # type: ignore[union-attr]
    _, _, width, height = map(float, re.search(r'viewBox="([^"]*)"', svg).group(1).split())  # type: ignore[union-attr]
    assert len(points) > 40
    assert all(0 <= x <= width and 0 <= y <= height for x, y, _, _ in points)
    held_out = [p for p in points if "(held out)" in p[2]]
    assert held_out[0][2].startswith("0 tokens: 3.")
    assert [p[0] for p in held_out] == sorted(p[0] for p in held_out)


def test_a_run_with_nothing_in_it_says_not_measured_everywhere(tmp_path: Path):
    recipe = Recipe(name="empty")
    page = (make_report(recipe, Run(tmp_path)) / "index.html").read_text("utf-8")
    assert page.count("not measured") >= 15
    assert "None" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize(
    "missing",
    ["tokenizer/report.json", "base/metrics.jsonl", "base/smallm.json", "data/manifest.json", "resolved.json"],
)
def test_one_missing_file_costs_its_figures_and_nothing_else(tmp_path: Path, missing: str):
    recipe, run = fake_run(tmp_path)
    (tmp_path / missing).unlink()
    page = (make_report(recipe, run) / "index.html").read_text("utf-8")
    assert "not measured" in page
    assert f'href="../{missing}"' not in page


def test_a_single_document_has_no_error_bar_and_the_page_says_why(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    (file,) = (tmp_path / "eval").glob("base-*.json")
    result = read_json(file)
    result["bits_per_byte"] |= {"standard_error": None, "documents": 1}
    result["perplexity"] |= {"low": None, "high": None}
    result["by_source"] = {}
    result["stories"] = None
    del result["gzip_bits_per_byte"]
    write_json(file, result)
    page = (make_report(recipe, run) / "index.html").read_text("utf-8")
    assert "0.612 (one document)" in page
    assert "1 held-out document" in page


def test_the_pieces_of_a_text_are_the_text():
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    text = "naïve 🦊 café\n\n—done"
    found = pieces(text, tokenizer.encode(text))
    assert "".join(p["text"] for p in found) == text
    assert sum(len(p["ids"]) for p in found) == len(text.encode())
    assert [len(p["ids"]) for p in found if p["text"] == "🦊"] == [4]


def test_a_sample_that_repeats_its_prompt_shows_it_once():
    assert sample_parts({"prompt": "a b", "text": "a b c"}) == {"prompt": "a b", "text": " c"}
    assert sample_parts({"prompt": "a b", "text": " c"}) == {"prompt": "a b", "text": " c"}


# ---- the section on tasks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, run = fake_run(tmp_path_factory.mktemp("run"))
    fake_results(run.path)
    return make_report(recipe, run)


def section(report: Path) -> str:
    page = (report / "index.html").read_text("utf-8").replace("\u00a0", " ")
    return page[page.index('<section id="tasks">') : page.index('<section id="data">')]


def test_the_section_says_scores_chance_and_contamination_in_words(with_tasks: Path):
    result = read_json(with_tasks.parent / "eval" / f"base-{WEIGHTS[:8]}-core.json")
    said = section(with_tasks)
    for name, task in result["tasks"].items():
        assert name in said
        value = task["metrics"][task["primary"]]["value"]
        assert (f"{100 * value:.1f} %" if task["primary"] in ("acc", "acc_norm") else f"{value:.1f}") in said
    assert said.count("◇ at chance</b>") == 1
    assert "12 of 300 items in the training text; 75.0 % without them" in said
    assert "not checked" in said
    assert "answer 42.0 %" in said
    assert "lambada" in said


def test_a_comparison_stands_there_with_its_sentence_and_drawing(with_tasks: Path):
    comparison = read_json(with_tasks.parent / "eval" / "compare-base-tuned.json")
    assert comparison["overall"]["sentence"] in section(with_tasks)
    assert "▼ worse, contaminated" in section(with_tasks)
    assert (with_tasks / "figures" / "compare-base-tuned.svg").is_file()


def test_links_and_figures_of_the_section_are_there_and_the_markdown_says_the_same(with_tasks: Path):
    hrefs = {h.split("#")[0] for h in parse(with_tasks / "index.html").hrefs}
    missing = {h for h in hrefs if h and not (with_tasks / h).resolve().is_file()} - {"../base/model.safetensors"}
    assert not missing
    markdown = (with_tasks / "index.md").read_text("utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", markdown)
    assert not [t for t in targets if not (with_tasks / t).resolve().is_file() and "safetensors" not in t]
    for part in ("**at chance**", "**contaminated:**", "no difference seen", "both at chance", "about 1 in"):
        assert part in markdown
    for file in (with_tasks / "figures").iterdir():
        assert file.name in markdown


def test_items_without_a_page_get_one_in_the_report_and_a_page_beside_them_is_kept(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    fake_results(tmp_path, tasks=("story-questions",))
    report = make_report(recipe, run)
    name = f"base-{WEIGHTS[:8]}-core.items.html"
    assert (report / name).is_file()
    assert f"../eval/base-{WEIGHTS[:8]}-core.json" in parse(report / name).hrefs
    (tmp_path / "eval" / name).write_text("<p>written by smallm eval</p>", "utf-8")
    report = make_report(recipe, run)
    assert not (report / name).exists()
    assert f'href="../eval/{name}"' in section(report)


def test_results_and_comparisons_of_other_weights_do_not_count(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path, tasks=("agreement",))
    other = read_json(paths["compare"])
    other["a"]["weights_sha256"] = other["b"]["weights_sha256"] = "0" * 64
    write_json(paths["compare"], other)
    paths["base"].unlink()
    (tmp_path / "base" / "metrics.jsonl").unlink()
    report = make_report(recipe, run)
    assert TUNED[:8] not in section(report)
    assert "Tasks: not measured" in section(report)


def test_damaged_results_and_items_of_another_result_count_as_absent(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path, tasks=("agreement",))
    paths["tuned"].write_text("{not json", "utf-8")
    paths["compare"].write_text("[]", "utf-8")
    paths["base-items"].write_bytes(b"PAR1 not parquet")
    report = make_report(recipe, run)
    assert "64.8 %" in section(report)
    assert not list(report.glob("*core.items.html"))
    assert "Score by length" not in section(report)


def test_texts_of_results_are_text(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path, tasks=("agreement",))
    result, comparison = read_json(paths["base"]), read_json(paths["compare"])
    result["tasks"] = {HOSTILE: result["tasks"]["agreement"]}
    result["suite"] = result["model"]["name"] = HOSTILE
    result["skipped"] = [{"task": HOSTILE, "why": HOSTILE}]
    comparison["overall"]["sentence"] = comparison["b"]["name"] = HOSTILE
    write_json(paths["base"], result)
    write_json(paths["compare"], comparison)
    report = make_report(recipe, run)
    links = parse(report / "index.html")
    assert links.tags.count("script") == 1
    assert "img" not in links.tags
    assert "<script>" not in (report / "index.md").read_text("utf-8")
