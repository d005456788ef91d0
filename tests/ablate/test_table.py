"""Laws of the table: its numbers are those worked by hand, its words follow from the intervals."""

from __future__ import annotations

import math
import re
import statistics

import pytest
from ablate.tiny import TINY, line_of, tiny
from scipy import stats

from smallm.ablate.results import find
from smallm.ablate.table import difference, group_block, rows_of, sentence, shown, table_json, whole_table

BASE, NONE, MQA = (1.00, 1.10, 1.05), (1.20, 1.33, 1.27), (1.01, 1.08, 1.06)


def lines_of(**figures: tuple[float | None, ...]) -> list[dict]:
    names = {"rope": "position.rope", "none": "position.none", "mqa": "heads.mqa"}
    return [line_of(tiny(), names[n], seed, bits) for n, values in figures.items() for seed, bits in enumerate(values)]


def test_the_numbers_of_the_table_are_those_worked_by_hand() -> None:
    ablation, found = tiny(), find(tiny(), lines_of(rope=BASE, none=NONE, mqa=MQA))
    for group, values in zip(ablation.groups, (NONE, MQA), strict=True):
        base, arm = rows_of(ablation, group, found)
        assert base.bits_per_byte == pytest.approx(statistics.mean(BASE))
        assert arm.bits_per_byte == pytest.approx(statistics.mean(values))
        paired = [b - a for a, b in zip(BASE, values, strict=True)]
        half = stats.t.ppf(0.975, 2) * statistics.stdev(paired) / math.sqrt(3)
        assert arm.difference is not None
        assert arm.difference.mean == pytest.approx(statistics.mean(paired))
        assert arm.difference.low == pytest.approx(statistics.mean(paired) - half)
        assert arm.difference.high == pytest.approx(statistics.mean(paired) + half)
        assert arm.difference.seeds == 3


def test_words_follow_from_the_interval_alone() -> None:
    ablation = tiny()
    found = find(ablation, lines_of(rope=BASE, none=NONE, mqa=MQA))
    position, heads = ablation.groups
    assert sentence(position, rows_of(ablation, position, found)) == "Against `rope`: `none` is worse."
    assert sentence(heads, rows_of(ablation, heads, found)) == "Against `mha`: `mqa` cannot be told apart."
    better = find(ablation, lines_of(rope=NONE, none=BASE))
    assert sentence(position, rows_of(ablation, position, better)) == "Against `rope`: `none` is better."


def test_a_difference_that_is_the_same_at_every_seed_is_told_and_none_at_all_is_not() -> None:
    lines = {
        name: {s: line_of(tiny(), "position.rope", s, 1.0 + s + more) for s in (0, 1)}
        for name, more in (("a", 0.0), ("b", 0.5))
    }
    same = difference(lines["a"], lines["b"])
    assert same is not None
    assert (same.mean, same.low, same.high) == pytest.approx((0.5, 0.5, 0.5))
    nothing = difference(lines["a"], lines["a"])
    assert nothing is not None
    assert nothing.low == nothing.high == 0.0


def test_one_seed_has_no_interval_and_none_is_not_measured() -> None:
    ablation = tiny()
    position, heads = ablation.groups
    found = find(ablation, lines_of(rope=BASE[:1], none=NONE[:1]))
    block = group_block(ablation, position, found)
    assert "+0.2000 (one seed, no interval) | 1 |" in block
    assert block.endswith("Against `rope`: `none` has one seed, so nothing is said.")
    rows = rows_of(ablation, heads, found)
    assert rows[1].verdict == "not measured"
    assert "| `mqa` | " in group_block(ablation, heads, found)
    assert group_block(ablation, position, find(ablation, [])) == "not measured"


def test_pairs_are_of_the_same_seed_or_none() -> None:
    ablation = tiny()
    lines = [line_of(ablation, "position.rope", 0, 1.0), line_of(ablation, "position.none", 1, 9.0)]
    assert rows_of(ablation, ablation.groups[0], find(ablation, lines))[1].difference is None


def test_a_run_that_diverged_is_shown_and_decides_the_verdict() -> None:
    ablation = tiny()
    found = find(ablation, lines_of(rope=BASE, none=(None, 1.3, 1.3)))
    row = rows_of(ablation, ablation.groups[0], found)[1]
    assert row.verdict == "diverged"
    assert row.difference is not None
    assert row.difference.seeds == 2
    block = group_block(ablation, ablation.groups[0], found)
    assert "diverged in 1 of 3; else 1.3000" in block
    assert "`none` diverged." in block


def test_the_whole_table_has_a_row_an_arm_and_json_says_the_same() -> None:
    ablation, found = tiny(), find(tiny(), lines_of(rope=BASE, none=NONE))
    table = whole_table(ablation, found)
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == len(ablation.arms)
    assert sum("not measured" in row for row in rows) == 1
    assert "about 0.1 would leave zero out by chance" in table
    content = table_json(ablation, found)
    arm = content["groups"]["position"]["arms"]["none"]
    assert arm["verdict"] == "hurts"
    assert f"{arm['difference']['mean']:+.4f}" in table
    assert "No run is measured yet" in whole_table(ablation, find(ablation, []))


def test_runs_that_do_not_count_are_counted() -> None:
    old = line_of(tiny(TINY.replace("model.kv_heads: 1", "model.kv_heads: 2")), "heads.mqa", 0, 1.0)
    apart = line_of(tiny(), "heads.mqa", 0, 1.0, data="b")
    table = whole_table(tiny(), find(tiny(), [*lines_of(rope=BASE), apart, old]))
    assert "Left out: 1 runs on another text or in another arithmetic." in table
    assert "Left out: 1 runs of arms as they no longer stand." in table


def test_a_pipe_in_no_cell_breaks_the_table() -> None:
    ablation, found = tiny(), find(tiny(), lines_of(rope=BASE, none=NONE, mqa=MQA))
    rows = [line for line in whole_table(ablation, found).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"\|", row)) for row in rows} == {9}
    assert shown(None) == "not measured"
