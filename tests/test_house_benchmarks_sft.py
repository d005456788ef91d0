"""The fine-tuning benchmarks' own parts: which rows, what the clock counts, how differences are paired."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import _sft
import _sft_case
import pytest
import sft_vs_trl
from _common import Pairs

WORK = _sft.Work("ours", "base", "rows", "out", 1, 8)


def test_the_clock_leaves_the_warm_up_out(monkeypatch: pytest.MonkeyPatch):
    times = iter([0.0, 100.0, 101.0, 102.0])
    monkeypatch.setattr(_sft.time, "perf_counter", lambda: next(times))
    clock = _sft.Clock(warm_up=2)
    for tokens in (50, 100, 110, 120):
        clock.mark(tokens, 0)
    assert clock.rate() == pytest.approx((120 - 100) / 2.0)


def test_rows_of_one_passage_are_never_on_both_sides_of_the_split():
    rows = [{"prompt": f"{i // 3:04d} " + "x" * 130 + str(i % 3), "completion": "y"} for i in range(900)]
    train, held_out = _sft.split_held_out(rows)
    assert len(train) + len(held_out) == len(rows)
    assert len(held_out) >= _sft.HELD_OUT
    assert not {r["prompt"][:120] for r in train} & {r["prompt"][:120] for r in held_out}


def test_differences_are_paired_by_seed():
    found = sft_vs_trl.differences(Pairs([1.0, 2.0, 3.0], [0.9, 1.9, 2.9]))
    assert found["difference_nats"] == pytest.approx(0.1)
    assert found["standard_error"] == pytest.approx(0.0, abs=1e-9)
    assert sft_vs_trl.differences(Pairs([1.0], [0.9]))["standard_error"] is None


def bench(results: dict[str, _sft.Result]) -> _sft_case.Bench:
    """A Bench whose sides give `results` instead of running."""

    class Fake(_sft_case.Bench):
        def run(self, work: _sft.Work) -> _sft.Result:
            return results[work.side]

    return Fake(Path("x.py"), {"packed": ("TRL", "pytest")}, {}, Namespace())


def test_sides_that_did_not_do_the_same_are_refused():
    same = _sft.Result(tokens=100, trained=7, loss=2.0, lora_parameters=5)
    assert _sft_case.same_work(WORK, "rows", bench({"ours": same, "packed": same}))["trained_tokens"] == 7
    for other in (replace(same, trained=8), replace(same, tokens=99), replace(same, loss=2.001)):
        with pytest.raises(SystemExit, match="not the same work"):
            _sft_case.same_work(WORK, "rows", bench({"ours": same, "packed": other}))


def test_a_work_order_survives_its_way_to_the_other_process():
    work = replace(WORK, load_in_4bit=True, learning_rate=1e-3)
    assert _sft.work_of(json.dumps(work.__dict__)) == work


@pytest.mark.skipif(not (_sft.SHARED / "instruct").is_dir(), reason="needs the shared data")
@pytest.mark.parametrize(("name", "least", "most"), [("t0", 0.01, 0.08), ("dolly", 0.5, 0.7)])
def test_t0_is_mostly_prompt_and_dolly_mostly_answer(name: str, least: float, most: float, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_bytes((_sft.SHARED / "tokenizers/gpt2/tokenizer.json").read_bytes())
    rows, about = _sft.choose_rows(name, tmp_path, 60_000)
    assert least <= about["trained_share"] <= most
    assert len({(r["prompt"], r["completion"]) for r in rows}) == len(rows)
