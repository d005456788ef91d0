"""The README and the docs: generated parts fresh, links alive, commands real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import readme

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md", "benchmarks/README.md")]
PAGES += sorted(page for folder in ("docs", "papers", "exercises") for page in (ROOT / folder).rglob("*.md"))


def test_the_generated_parts_of_the_readme_are_fresh():
    text = (ROOT / "README.md").read_text("utf-8")
    assert readme.render(text) == text, "run `make readme`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_between_our_pages_leads_to_a_file(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"!?\[[^\]]*\]\(([^)#\s]+)", text)
    dead = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not dead


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = {m for page in PAGES for m in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    assert named <= targets


def test_a_later_line_of_a_case_replaces_the_earlier_one(tmp_path: Path):
    def line(case: str, ours: float) -> str:
        return json.dumps(
            {
                "benchmark": "a_vs_b", "case": case, "unit": "MB/s", "ours": [ours], "theirs": [1.0],
                "peer": {"name": "b", "version": "2"}, "ratio_median": ours, "ratio_min": ours, "ratio_max": ours,
                "machine": {"cpu": "Some(R) CPU @ 2GHz", "cores": 2, "bf16": False},
            }
        )  # fmt: skip

    (tmp_path / "a_vs_b.jsonl").write_text("\n".join([line("x", 2.0), line("y", 5.0), line("x", 3.0)]) + "\n")
    table = readme.results_table(tmp_path)
    assert len(table.splitlines()) == 4
    assert "**3** (3 to 3)" in table
    assert "**2**" not in table


def test_an_empty_results_folder_says_that_nothing_is_measured(tmp_path: Path):
    assert readme.results_table(tmp_path) == "Nothing is measured yet."
