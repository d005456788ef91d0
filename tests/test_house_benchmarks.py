"""The benchmark harness: order of the measurements, ratios, the JSON line."""

from __future__ import annotations

import json
from pathlib import Path

import _common
import pytest


def test_the_two_sides_alternate_and_the_warm_up_is_thrown_away():
    order: list[str] = []

    def side(name: str, value: float) -> float:
        order.append(name)
        return value

    pairs = _common.alternate(lambda: side("a", 2.0), lambda: side("b", 1.0), pairs=3, warm_up=1, quiet=True)
    assert order == ["a", "b"] * 4
    assert pairs.ours == [2.0] * 3
    assert pairs.theirs == [1.0] * 3


@pytest.mark.parametrize(("unit", "ratio"), [("tokens/s", 2.0), ("s", 0.5), ("MB", 0.5), ("MB/s", 2.0)])
def test_a_ratio_above_one_always_means_that_ours_is_better(unit: str, ratio: float):
    assert _common.Pairs([4.0], [2.0]).ratios(unit) == [ratio]


def test_a_recorded_case_is_one_json_line_with_machine_and_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pairs = _common.Pairs([3.0, 2.0, 4.0], [1.0, 1.0, 1.0])
    for _ in range(2):
        _common.record(
            "x_vs_y",
            case="c",
            unit="MB/s",
            pairs=pairs,
            peer=_common.Peer("y", "1"),
            same_work={"n": 1},
            results=tmp_path,
        )
    lines = [json.loads(line) for line in (tmp_path / "x_vs_y.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert [lines[0][f"ratio_{k}"] for k in ("median", "min", "max")] == [3.0, 2.0, 4.0]
    assert {"cpu", "cores", "bf16", "python"} <= set(lines[0]["machine"])
    assert lines[0]["commit"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == lines[1]


def test_a_comparison_that_does_not_say_what_shows_the_same_work_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="same work"):
        _common.record(
            "x",
            case="c",
            unit="s",
            pairs=_common.Pairs([1.0], [1.0]),
            peer=_common.Peer("y", "1"),
            same_work={},
            results=tmp_path,
        )


def test_a_measurement_of_ours_alone_has_no_ratio(tmp_path: Path):
    line = _common.record(
        "x", case="c", unit="s", pairs=_common.Pairs([1.0]), peer=None, same_work={}, results=tmp_path
    )
    assert line["ratio_median"] is None
