"""LoRA fine-tuning, tokens a second and peak memory: ours against TRL's SFTTrainer, packed and padded.

The same base with random weights (Llama's shape, 30M and 135M), GPT-2's tokenizer, LoRA r16 on all linear layers,
the same rows, steps of about 8,000 tokens: 12 after 3 of warm-up, each side in a fresh process, alternately. Checked
first on 32 rows: the same tokens, the same trained tokens, the same loss of the untrained model, the same number of
adapter parameters. float32 where the processor has no bf16. `t0` is 4 % answers, `dolly` over half.
`quality` is the held-out loss after 60 steps of both, three seeds.

    python benchmarks/sft_vs_trl.py [--cases 30M-t0 135M-t0 30M-dolly quality] [--pairs 5] [--no-record]
    python benchmarks/sft_vs_trl.py --tune 30M-t0 --steps 2 --warm-up 1      which settings are the fastest here
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from _common import Pairs
from _sft import Result, Work, choose_rows, make_base, split_held_out, write_rows
from _sft_case import CHECK_ROWS, Bench, did_work, dtype, parser_of, run_cases, same_work, say

# Packed rows of 1,024 tokens, or padded ones of about 200; the first is what runs, the others are for --tune.
# Packed: TRL flattens a micro-batch into one sequence, so that on the CPU (no varlen kernel) more rows make one
# attention over all of them under a mask: one row at a time is its fastest and smallest, and checkpointing, TRL's
# default, costs nothing there (274 tokens/s with, 249 without; LOG.md). Padded: few rows a forward pass waste less on
# padding.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ours": [{"micro": 1, "accumulate": 8}, {"micro": 2, "accumulate": 4}, {"micro": 8, "accumulate": 1}],
    "packed": [
        {"micro": 1, "accumulate": 8, "checkpointing": True},
        {"micro": 1, "accumulate": 8},
        {"micro": 2, "accumulate": 4},
        {"micro": 8, "accumulate": 1},
    ],
    "padded": [
        {"micro": 4, "accumulate": 10},
        {"micro": 8, "accumulate": 5},
        {"micro": 40, "accumulate": 1},
        {"micro": 4, "accumulate": 10, "checkpointing": True},
    ],
}
PEERS = {"packed": ("TRL, packed", "trl"), "padded": ("TRL, padded", "trl")}
CASES = ("30M-t0", "135M-t0", "30M-dolly", "quality")
QUALITY_TOKENS = 400_000


def quality_case(folder: Path, bench: Bench) -> None:
    """Held-out loss after the same training: the same rate, schedule, optimiser and clip, seed by seed."""
    given = bench.given
    base = make_base(given.quality_size, folder, given.data)
    rows, about = choose_rows("t0", base, QUALITY_TOKENS, given.data)
    train, held_out = split_held_out(rows)
    work = Work(
        "ours", str(base), write_rows(folder / "train.jsonl", train), str(folder / "out"), 1, 2,
        given.quality_steps, 0, dtype=dtype(), learning_rate=given.quality_rate,
    )  # fmt: skip
    only = replace(bench, peers={"packed": PEERS["packed"]})
    same = same_work(work, write_rows(folder / "first.jsonl", train[:CHECK_ROWS]), only)
    work = replace(work, held_out=write_rows(folder / "held.jsonl", held_out))
    found: dict[str, list[Result]] = {"ours": [], "packed": []}
    for seed in range(given.seeds):
        for side, results in found.items():
            r = bench.run(replace(work, side=side, seed=seed))
            results.append(r)
            say(f"quality, seed {seed}, {side}: held-out {r.held_out_before:.4f} -> {r.held_out_after:.4f}")
    both = Pairs(*([r.held_out_after for r in found[s]] for s in ("ours", "packed")))
    extra = differences(both) | {
        "untrained": round(found["ours"][0].held_out_before, 5),
        "held_out_rows": len(held_out),
        "steps": given.quality_steps,
        "learning_rate": given.quality_rate,
        "tokens": {s: found[s][-1].tokens for s in found},
        "rows": about,
    }
    case = f"held-out loss after {given.quality_steps} steps, {given.quality_size}, t0, {work.dtype}"
    bench.write(case=case, unit="nats", pairs=both, peer=bench.peer("packed"), same_work=same, extra=extra)


def differences(both: Pairs) -> dict[str, Any]:
    """Ours minus theirs, paired by seed, and its standard error."""
    each = [a - b for a, b in zip(both.ours, both.theirs, strict=True)]
    error = statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None
    return {
        "difference_nats": round(statistics.fmean(each), 5),
        "standard_error": None if error is None else round(error, 5),
    }


def main() -> None:
    parser = parser_of(__doc__, CASES)
    parser.add_argument("--quality-steps", type=int, default=60)
    parser.add_argument("--quality-rate", type=float, default=2e-3, help="a random base needs more than 2e-4")
    parser.add_argument("--quality-size", default="30M")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if not did_work(given):
        run_cases(Bench(Path(__file__).resolve(), PEERS, SETTINGS, given), {"quality": quality_case})


if __name__ == "__main__":
    main()
