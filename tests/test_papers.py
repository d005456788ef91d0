"""The papers' pages: their snippets run, and every key, command, path and figure's source on them is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import page_claims
import pytest

from smallm.core.recipe import load_recipe

PAPERS = Path(__file__).resolve().parent.parent / "papers"
PAGES = sorted(path for path in PAPERS.glob("*.md") if path.stem not in ("README", "TEMPLATE"))
SECTIONS = ["The idea", "The formula", "The switch", "Try it", "What it bought"]
MARKER = re.compile(r"^<!-- ablation: (\w+) -->\n(.*?)\n<!-- /ablation -->$", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def snippets(page: Path) -> list[str]:
    return re.findall(r"^```python runnable\n(.*?)^```", text_of(page), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_runnable_snippet_runs_and_checks_what_it_says(page: Path) -> None:
    for snippet in snippets(page):
        exec(compile(snippet, page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_has_its_five_sections_a_snippet_that_asserts_and_a_measured_row(page: Path) -> None:
    assert re.findall(r"^## (.*)$", text_of(page), flags=re.MULTILINE) == SECTIONS
    assert snippets(page)
    assert all("\nassert " in snippet for snippet in snippets(page))
    rows = MARKER.findall(text_of(page).split("## What it bought")[1])
    assert rows
    assert all(row.strip() for _, row in rows)
    assert text_of(page).count("<!-- ablation:") == len(rows)


@pytest.mark.parametrize("page", sorted(PAPERS.glob("*.md")), ids=lambda p: p.stem)
def test_every_command_key_path_and_entry_of_the_log_on_a_page_exists(page: Path) -> None:
    text = text_of(page)
    commands = page_claims.commands(text)
    assert [wrong for command in commands if (wrong := page_claims.wrong_command(command, mention=True))] == []
    assert [wrong for key in page_claims.keys(text) if (wrong := page_claims.wrong_key(key))] == []
    assert page_claims.dead_paths(text, PAPERS) == []
    assert page_claims.missing_entries(text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_tokens_of_the_quickstart_are_todays_or_those_of_the_commit_that_the_log_names(page: Path) -> None:
    today = load_recipe("quickstart").train.tokens
    for paragraph in text_of(page).split("\n\n"):
        commits = re.findall(r"\bcommit ([0-9a-f]{7,40})\b", paragraph)
        said = [round(1e6 * float(n)) for n in re.findall(r"([\d.]+)\s+million\s+tokens", paragraph)]
        if "quickstart" in paragraph:
            assert commits or all(tokens == today for tokens in said)
        assert [commit for commit in commits if not page_claims.entries_with(paragraph, f"Commit: {commit}")] == []


def test_the_row_on_the_page_of_qlora_is_the_models_own(shared_data: Callable[[str], Path]) -> None:
    from safetensors.numpy import load_file

    weights = load_file(shared_data("models/stories260K-hf-derived") / "model.safetensors")
    [row] = re.findall(r'^ROW = """(.*?)"""', text_of(PAPERS / "qlora.md"), flags=re.DOTALL | re.MULTILINE)
    said = np.array(row.split(), dtype=np.float32)
    np.testing.assert_array_equal(said, weights["model.layers.0.mlp.gate_proj.weight"][0])


def test_the_index_lists_every_page_and_the_rows_that_measure_it() -> None:
    index = re.findall(r"^\| \[[^]]+\]\((\w+)\.md\) \|.*\| ([\w, ]+) \|$", text_of(PAPERS / "README.md"), re.MULTILINE)
    rows = {page.stem: ", ".join(name for name, _ in MARKER.findall(text_of(page))) for page in PAGES}
    assert dict(index) == rows


def test_the_template_asks_for_claim_formula_run_and_surprise() -> None:
    found = re.findall(r"^## (.*)$", text_of(PAPERS / "TEMPLATE.md"), flags=re.MULTILINE)
    assert found == ["The claim", "The formula", "What my run showed", "What surprised me"]


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("smallm fly quickstart", "no such verb"),
        ("smallm run quickstart --fast", "has no --fast"),
        ("smallm run quickstrat", "not a packaged recipe"),
        ("smallm run quickstart --set train.tokns=5M", "tokns"),
        ("smallm compare runs/a", "takes"),
        ("smallm export runs/a --to stone", "--to stone"),
        ("smallm recipe check mine.yaml --set train.tokens=5M", None),
        ("smallm run quickstart --run again --redo", None),
    ],
)
def test_a_wrong_command_is_found(command: str, wrong: str | None) -> None:
    found = page_claims.wrong_command(command)
    assert found is None if wrong is None else wrong in str(found)


def test_a_mention_may_leave_arguments_out_a_command_may_not() -> None:
    assert page_claims.wrong_command("smallm export --to merged", mention=True) is None
    assert page_claims.wrong_command("smallm export --to merged") is not None
    assert page_claims.wrong_command("smallm export --to stone", mention=True) is not None


def test_wrong_keys_paths_and_entries_are_found() -> None:
    assert page_claims.wrong_key("model.colour")
    assert page_claims.wrong_key("model.norm: loud")
    assert page_claims.wrong_key("model.norm: rms") is None
    page = '`src/smallm/nothing.py` [x](nothing.md) `LOG.md`, "Nothing\n  was tried" `model.norm` `smallm run x`'
    assert page_claims.dead_paths(page, PAPERS) == ["nothing.md", "src/smallm/nothing.py"]
    assert page_claims.missing_entries(page) == ["Nothing was tried"]
    assert page_claims.keys(page) == ["model.norm"]
    assert page_claims.commands(page) == ["smallm run x"]
