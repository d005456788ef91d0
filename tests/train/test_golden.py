"""A golden trajectory: 1M parameters, ten steps, losses and gradient norms kept in the repository.

Regenerate (only when a change of the mathematics is meant, and say so in CHANGELOG.md):
    PYTHONPATH=src:tests python -m train.test_golden
The tolerance, 1e-3 relative, is that of other CPUs' order of summation through ten steps of Muon;
on the machine that wrote it, with one thread, the figures are equal to the last digit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from train.runs import pretrain_at, recipe_of

from smallm.core.files import read_json, write_json
from smallm.train import journal

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "pretrain_1m.json"


def trajectory(path: Path) -> list[dict[str, float]]:
    shape = {"layers": 4, "width": 128, "heads": 2, "dropout": 0.0}
    pretrain_at(path, recipe_of(10, model=shape, log_every=1))
    assert read_json(path / "base" / "smallm.json")["parameters"] > 800_000
    return journal.read(path / "base" / "metrics.jsonl")


def test_ten_steps_of_a_1m_model_are_those_in_the_repository(tmp_path: Path) -> None:
    expected = read_json(GOLDEN)
    found = trajectory(tmp_path)
    assert len(found) == len(expected) == 11
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, rel=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        write_json(GOLDEN, trajectory(Path(directory)))
