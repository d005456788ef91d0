"""docs/faults.md holds what tools/faults.py sees: every fault, every column, and our column as it is today."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import faults
import pytest

COLUMNS = dict(zip(faults.COLUMNS, (1, 2, 3), strict=True))


def cells() -> dict[str, list[str]]:
    """Fault -> its row's cells, from the page."""
    lines = [x for x in faults.PAGE.read_text("utf-8").splitlines() if x.startswith("| **")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    names = {text: name for name, text in faults.FAULTS.items()}
    return {names[row[0]]: row for row in rows}


def test_every_fault_was_run_in_every_column():
    page = cells()
    assert list(page) == list(faults.FAULTS)
    assert all(cell[0] in faults.MARKS.values() for row in page.values() for cell in row[1:])


def test_no_fault_passes_through_ours():
    assert not [name for name, row in cells().items() if row[COLUMNS["ours"]][0] == faults.MARKS[False]]


def test_the_page_names_the_versions():
    page = faults.PAGE.read_text("utf-8")
    assert all(re.search(rf"\b{name} \d+\.\d+", page) for name in ("smallm", "trl", "peft", "transformers", "torch"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("column", ["ours", "PEFT"])
@pytest.mark.parametrize("name", list(faults.FAULTS))
def test_a_fault_is_seen_today_as_the_page_says(name: str, column: str):
    """TRL is in the benchmarks' environment alone; the marks, not the measured digits, which are a machine's."""
    seen = faults.cell(faults.observe(name, column))
    assert name != "evaluation_between" or seen[0] != faults.MARKS[False]
    if name != "evaluation_between":  # it depends on the processor
        assert seen[0] == cells()[name][COLUMNS[column]][0], seen


def test_what_is_not_run_does_not_overwrite_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(faults, "PAGE", tmp_path / "faults.md")
    monkeypatch.setattr(faults, "observe", lambda name, column: SimpleNamespace(held=True, what="x"))
    monkeypatch.setattr(faults, "version", lambda name: "1.0")
    monkeypatch.setattr("sys.argv", ["faults.py", "--only", "pad_is_end"])
    faults.main()
    assert not faults.PAGE.exists()
    monkeypatch.setattr("sys.argv", ["faults.py"])
    faults.main()
    assert faults.PAGE.read_text("utf-8").count("✓ x") == 3 * len(faults.FAULTS)
