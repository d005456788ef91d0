"""A case of the fine-tuning benchmarks: the same work checked, the sides in turn, one line for speed and one for peak.

Shared by sft_vs_trl.py and qlora_vs_peft.py, which differ in their sides, settings and what the base's weights are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _common import Pairs, Peer, record
from _sft import SHARED, Result, Work, choose_rows, in_process, make_base, work_of, write_rows

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02}  # nats a token: sums in another order, or in another precision
CHECK_ROWS = 32
STEP_TOKENS = 8192


@dataclass
class Bench:
    """A script's sides and the flags that it was given. `peers`: side -> (name, distribution)."""

    script: Path
    peers: dict[str, tuple[str, str]]
    settings: dict[str, list[dict[str, Any]]]
    given: argparse.Namespace
    fixed: dict[str, Any] = field(default_factory=dict)  # fields of every Work

    def peer(self, side: str) -> Peer:
        name, distribution = self.peers[side]
        return Peer(name, version(distribution))

    def run(self, work: Work) -> Result:
        return in_process(str(self.script), work)

    def write(self, **line: Any) -> None:
        """`record`, or with --no-record the same into a folder that is thrown away."""
        if self.given.record:
            record(self.script.stem, **line)
            return
        with tempfile.TemporaryDirectory() as nowhere:
            record(self.script.stem, results=Path(nowhere), **line)


def parser_of(document: str | None, cases: tuple[str, ...]) -> argparse.ArgumentParser:
    """The flags that both scripts have."""
    parser = argparse.ArgumentParser(description=(document or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--cases", nargs="+", default=list(cases), help=f"of {', '.join(cases)}")
    parser.add_argument("--pairs", type=int, help="default: 5 at 30M, 3 at 135M")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--no-record", dest="record", action="store_false")
    parser.add_argument("--tune", metavar="CASE", help="try every setting of every side, and record nothing")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser


def did_work(given: argparse.Namespace) -> bool:
    """In a process of one side: do its work, print the result, True."""
    if not given.work:
        return False
    from _sft_sides import run

    print(json.dumps(asdict(run(work_of(given.work)))))
    return True


def dtype() -> str:
    """The type of the arithmetic, on all sides."""
    from smallm.core.hardware import has_bf16

    return "bfloat16" if has_bf16("cpu") else "float32"


def prepare(case: str, folder: Path, bench: Bench) -> tuple[Work, dict[str, Any]]:
    """Base and rows of a case; a Work of ours on them, and what the rows are."""
    size, data_set = case.split("-")
    given = bench.given
    base = make_base(size, folder, given.data)
    tokens = STEP_TOKENS * (given.steps + given.warm_up) + STEP_TOKENS // 2
    rows, about = choose_rows(data_set, base, tokens, given.data)
    about |= {"data": data_set, "first_rows": write_rows(folder / "first.jsonl", rows[:CHECK_ROWS])}
    path = write_rows(folder / "rows.jsonl", rows)
    work = Work("ours", str(base), path, str(folder / "out"), 1, 8, given.steps, given.warm_up, dtype=dtype())
    return replace(work, **bench.fixed), about


def same_work(work: Work, first_rows: str, bench: Bench) -> dict[str, Any]:
    """All sides on the first rows, untrained: equal counts, equal loss, equal adapters; stops where they differ."""
    checked = replace(work, rows=first_rows, check=True, micro=1, accumulate=1)
    found = {side: bench.run(replace(checked, side=side)) for side in ("ours", *bench.peers)}
    one = found["ours"]
    for side, other in found.items():
        counts = [(r.tokens, r.trained, r.lora_parameters) for r in (one, other)]
        if counts[0] != counts[1] or abs(one.loss - other.loss) > TOLERANCE[work.dtype]:
            raise SystemExit(
                f"not the same work (ours, {side}): tokens, trained tokens, adapter parameters {counts}; "
                f"losses {one.loss:.6f}, {other.loss:.6f}"
            )
    return {
        "rows_checked": CHECK_ROWS,
        "tokens": one.tokens,
        "trained_tokens": one.trained,
        "untrained_loss": {side: round(r.loss, 6) for side, r in found.items()},
        "tolerance_nats": TOLERANCE[work.dtype],
        "lora_parameters": one.lora_parameters,
    }


def speed_case(case: str, folder: Path, bench: Bench) -> None:
    """Ours, a peer, another peer, ours, …; for each peer a line of speed and one of peak memory."""
    work, about = prepare(case, folder, bench)
    same = same_work(work, about.pop("first_rows"), bench)
    pairs = bench.given.pairs or (3 if case.startswith("135M") else 5)
    found: dict[str, list[Result]] = {side: [] for side in ("ours", *bench.peers)}
    for i in range(pairs):
        for side, results in found.items():
            r = bench.run(replace(work, side=side, **bench.settings[side][0]))
            results.append(r)
            say(f"{case} {i + 1}/{pairs} {side}: {r.tokens_per_second:.1f} tokens/s, {r.peak_mb:.0f} MB above the "
                f"model, {r.tokens} tokens ({r.trained} trained), loss {r.loss:.3f}")  # fmt: skip
    size = case.split("-")[0]
    for side in bench.peers:
        counted = {s: {"tokens": found[s][-1].tokens, "trained": found[s][-1].trained} for s in ("ours", side)}
        extra = {
            "rows": about,
            "settings": {s: bench.settings[s][0] for s in ("ours", side)},
            "processed": counted,
        }
        for what, unit, kind in (("tokens_per_second", "tokens/s", "speed"), ("peak_mb", "MB", "peak above the model")):
            both = Pairs([getattr(r, what) for r in found["ours"]], [getattr(r, what) for r in found[side]])
            name = f"{kind}, {size}, {about['data']}, {work.dtype}, against {side}"
            bench.write(case=name, unit=unit, pairs=both, peer=bench.peer(side), same_work=same, extra=extra)


def tune(case: str, folder: Path, bench: Bench) -> None:
    """Each setting of each side: the speed and the peak, to choose the first of `settings` by."""
    work, _ = prepare(case, folder, bench)
    for side, settings in bench.settings.items():
        for setting in settings:
            r = bench.run(replace(work, side=side, **setting))
            print(f"{case} {side} {setting}: {r.tokens_per_second:.1f} tokens/s, {r.peak_mb:.0f} MB", flush=True)


def run_cases(bench: Bench, other: dict[str, Any] | None = None) -> None:
    """Every case that was asked for; `other`: name -> function(folder, bench) of those that are no speed case."""
    with tempfile.TemporaryDirectory() as temporary:
        if bench.given.tune:
            tune(bench.given.tune, Path(temporary), bench)
            return
        for case in bench.given.cases:
            folder = Path(temporary) / case
            folder.mkdir()
            if other and case in other:
                other[case](folder, bench)
            else:
                speed_case(case, folder, bench)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
