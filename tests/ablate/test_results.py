"""Laws of the results' file: which lines count, and that a changed arm invalidates itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from ablate.tiny import TINY, arm_of, line_of, tiny

from smallm.ablate.design import load_ablation
from smallm.ablate.results import append_line, find, minutes, plan_of, planned, read_lines
from smallm.core.errors import UserError


def test_a_line_is_read_as_it_was_written_and_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    path, lines = tmp_path / "x.jsonl", [line_of(tiny(), "position.none", seed, 1.5) for seed in (0, 1)]
    assert read_lines(path) == []
    append_line(path, lines[0])
    with open(path, "a", encoding="utf-8") as f:
        f.write('{"ablation": "ti')
    assert read_lines(path) == lines[:1]
    append_line(path, lines[1])
    assert read_lines(path) == lines
    assert path.read_text("utf-8").count("\n") == 2


@pytest.mark.parametrize("wrong", ["{no json}\n", '{"ablation": "tiny"}\n', "[]\n"])
def test_a_line_that_is_no_result_is_named(wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append_line(path, line_of(tiny(), "position.none", 0, 1.5))
    path.write_text(path.read_text("utf-8") + wrong, "utf-8")
    with pytest.raises(UserError, match=r"x\.jsonl:2: .* Delete this line"):
        read_lines(path)


def test_a_changed_arm_invalidates_itself_alone() -> None:
    before, after = tiny(), tiny(TINY.replace("model.kv_heads: 1", "model.kv_heads: 2"))
    lines = [line_of(before, arm.full_name, 0, 1.0) for arm in before.arms]
    found = find(after, lines)
    assert found.of(after, arm_of(after, "position.none"), 0)
    assert found.of(after, arm_of(after, "heads.mha"), 0)
    assert found.of(after, arm_of(after, "heads.mqa"), 0) is None
    assert found.outdated == 1


@pytest.mark.parametrize("change", ["size: 401kB", "vocab_size: 321", "tokens: 2688", "max_tokens: 2001"])
def test_a_change_of_the_base_invalidates_every_line(change: str) -> None:
    key = change.split(":")[0]
    old = {
        "size": "size: 400kB",
        "vocab_size": "vocab_size: 320",
        "tokens": "{tokens: 2560",
        "max_tokens": "max_tokens: 2000",
    }
    new = "{" + change if key == "tokens" else change
    before, after = tiny(), tiny(TINY.replace(old[key], new))
    lines = [line_of(before, arm.full_name, seed, 1.0) for arm in before.arms for seed in (0, 1)]
    assert find(after, lines).lines == {}


def test_names_titles_intervals_of_logging_and_the_order_of_arms_invalidate_nothing() -> None:
    before = tiny()
    after = tiny(
        TINY.replace("rope: {}", "turned: {}").replace("baseline: rope", "baseline: turned").replace("How", "Where")
    )
    assert find(after, [line_of(before, "position.rope", 0, 1.0)]).lines


def test_a_run_that_several_groups_share_is_made_once() -> None:
    ablation = tiny()
    runs = plan_of(ablation, ablation.arms, ablation.seeds, "float32")
    assert [run.name for run in runs] == ["base", "position.none", "heads.mqa"] * 3
    assert [run.seed for run in runs] == [0] * 3 + [1] * 3 + [2] * 3
    assert len({run.key for run in runs}) == 9
    ours = load_ablation("papers")
    assert sum(not arm.keys for arm in ours.arms) == len(ours.groups) - 1
    names = [run.name for run in plan_of(ours, ours.arms, (0,), "float32")]
    assert names.count("base") == 1
    assert "dtype.float32" not in names


def test_seeds_share_the_text_and_differ_in_the_training_alone() -> None:
    ablation = tiny()
    a, b = (planned(ablation, ablation.arms[0], seed, "float32").recipe for seed in (0, 1))
    assert (a.seed, a.data, a.tokenizer) == (b.seed, b.data, b.tokenizer)
    assert (a.train.seed, b.train.seed) == (0, 1)


def test_only_runs_of_one_text_and_one_arithmetic_are_compared() -> None:
    ablation = tiny()
    lines = [line_of(ablation, "position.rope", s, 1.0) for s in (0, 1)]
    lines += [line_of(ablation, "position.none", s, 2.0, data="b") for s in (0,)]
    lines += [line_of(ablation, "position.none", s, 3.0, dtype="bfloat16") for s in (0,)]
    found = find(ablation, lines)
    assert (found.dtype, found.data, len(found.lines), found.apart) == ("float32", "a" * 64, 2, 2)
    assert len(find(ablation, lines, dtype="bfloat16").lines) == 1
    assert list(find(ablation, lines, data="b" * 64).lines.values()) == lines[2:3]


def test_of_two_lines_of_one_run_the_later_counts() -> None:
    ablation = tiny()
    lines = [line_of(ablation, "position.rope", 0, bits) for bits in (1.0, 2.0)]
    assert [line["bits_per_byte"] for line in find(ablation, lines).lines.values()] == [2.0]


def test_minutes_left_are_flops_at_the_median_pace() -> None:
    ablation = tiny()
    runs = plan_of(ablation, ablation.arms, (0,), "float32")
    flops = {run.key: 600.0 for run in runs}
    lines = [line_of(ablation, "position.rope", 0, 1.0, flops=f, seconds=1.0) for f in (10.0, 1.0, 100.0)]
    assert minutes(runs, lines, flops) == pytest.approx(3 * 600 / 10 / 60)
    assert minutes(runs, [], flops) is None
