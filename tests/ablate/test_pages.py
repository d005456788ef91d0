"""Laws of the pages: what stands between the markers is what the results say, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

from ablate.tiny import line_of, tiny

from smallm.ablate.design import load_ablation
from smallm.ablate.pages import RESULTS, pages_folder, rendered, write_pages
from smallm.ablate.results import find, read_lines

ROOT = Path(__file__).resolve().parents[2]
PAGE = """# A page

before
<!-- ablation: position -->
old
<!-- /ablation -->

<!-- ablation: lora -->
not measured
<!-- /ablation -->

<!-- ablation: nobody -->
guessed
<!-- /ablation -->
after, `<!-- ablation: NAME -->`
"""


def test_the_pages_of_the_papers_are_fresh() -> None:
    ablation = load_ablation("papers")
    found = find(ablation, read_lines(ROOT / "papers" / RESULTS))
    for page in sorted((ROOT / "papers").glob("*.md")):
        text = page.read_text("utf-8")
        assert rendered(text, ablation, found) == text, f"{page.name}: run `smallm ablate papers --table`"


def test_rows_are_written_between_their_markers_and_nothing_else_is_touched() -> None:
    ablation = tiny()
    found = find(ablation, [line_of(ablation, n, 0, b) for n, b in (("position.rope", 1.0), ("position.none", 2.0))])
    text = rendered(PAGE, ablation, found)
    assert text.startswith("# A page\n\nbefore\n<!-- ablation: position -->\n| `position` |")
    assert "+1.0000 (one seed, no interval)" in text
    assert "All rows, and how to read them: [the table](README.md#the-ablation)." in text
    assert "<!-- ablation: lora -->\nnot measured: it is no training from scratch.\n<!-- /ablation -->" in text
    assert "<!-- ablation: nobody -->\nnot measured\n<!-- /ablation -->" in text
    assert text.endswith("after, `<!-- ablation: NAME -->`\n")
    assert rendered(text, ablation, found) == text


def test_an_ablation_finds_its_pages_by_its_name_and_needs_none(tmp_path: Path) -> None:
    ablation = tiny()
    assert pages_folder(ablation, tmp_path) is None
    (tmp_path / "tiny").mkdir()
    index = tmp_path / "tiny" / "README.md"
    index.write_text("# no table\n", "utf-8")
    assert pages_folder(ablation, tmp_path) is None
    index.write_text("# x\n\n<!-- ablation table -->\n\n<!-- /ablation table -->\n", "utf-8")
    assert pages_folder(ablation, tmp_path) == tmp_path / "tiny"
    assert [path.name for path in write_pages(ablation, tmp_path / "tiny", [])] == ["README.md"]
    assert write_pages(ablation, tmp_path / "tiny", []) == []
    assert "| `position` | `rope` (baseline) |" in index.read_text("utf-8")
