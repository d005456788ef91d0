"""The statistics of a comparison: 20 tasks x 5,000 items, estimates, paired tests and Holm, in seconds.

    python benchmarks/statistics_speed.py [--repeats 5] [--tasks 20] [--items 5000]

Everything between scores in memory and a comparison's figures, on one thread: both models' estimates with intervals
and chance, paired differences, permutation tests of 9,999 patterns, correction. `mixed` is what a suite has: accuracy
(independent and clustered), bits per byte, F1 of words. `clustered` is the dearest case: every task needs the random
signs. No peer: lm-eval has no paired tests. The floor that we hold: 2 s.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import Pairs, record

from smallm.evaluate.paired import PairedScores, compare_many, holm
from smallm.evaluate.statistics import chance_interval, estimate_mean, estimate_ratio


def make_task(kind: str, items: int, seed: int) -> PairedScores:
    """Scores of two models on the same items, as the items files hold them (lists, names of clusters)."""
    rng = np.random.default_rng(seed)
    hard = rng.random(items)
    if kind == "bits per byte":
        size = np.ceil(rng.lognormal(6, 0.7, items))
        bits = size * (2 + 0.3 * rng.normal(0, 1, items))
        return PairedScores(
            bits.tolist(), (bits + 0.02 * size * rng.normal(-0.1, 1, items)).tolist(), size.tolist(), None, False
        )
    a, b = ((hard + 0.2 * rng.normal(0, 1, items) < share) for share in (0.5, 0.51))
    if kind == "accuracy":
        return PairedScores(a.astype(float).tolist(), b.astype(float).tolist(), binary=True)
    clusters = [f"passage {i // 2}" for i in range(items)]
    if kind == "clustered":
        return PairedScores(a.astype(float).tolist(), b.astype(float).tolist(), None, clusters, binary=True)
    return PairedScores((a * hard).tolist(), (b * hard).tolist())  # F1: real scores, no clusters


def analyse(tasks: list[PairedScores]) -> list[float]:
    """Everything that a comparison computes of these tasks; the adjusted p values."""
    for task in tasks:
        for scores in (task.a_N, task.b_N):
            if task.weights_N is not None:
                estimate_ratio(scores, task.weights_N, task.clusters)
                continue
            estimate = estimate_mean(scores, task.clusters, binary=task.binary)
            if task.binary:
                chance_interval([4] * len(scores), task.clusters, design_effect=estimate.design_effect)
    return holm([paired.p_value for paired in compare_many(tasks)])


def measure(case: str, kinds: list[str], options: argparse.Namespace) -> None:
    """Time `analyse` on tasks of these kinds in turn; the first run, which imports scipy, is thrown away."""
    tasks = [make_task(kinds[i % len(kinds)], options.items, i) for i in range(options.tasks)]
    expected = analyse(tasks)
    seconds = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        found = analyse(tasks)
        seconds.append(time.perf_counter() - began)
        if found != expected:
            raise SystemExit("the same scores gave other p values: nothing is recorded")
    record(
        "statistics_speed",
        case=f"{options.tasks} tasks x {options.items:,} items, {case}",
        unit="s",
        pairs=Pairs(ours=seconds),
        peer=None,
        same_work={"significant": sum(p < 0.05 for p in expected), "tasks": len(expected)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--items", type=int, default=5000)
    options = parser.parse_args()
    measure("mixed", ["accuracy", "clustered", "bits per byte", "F1"], options)
    measure("clustered", ["clustered"], options)
    measure("real scores", ["F1"], options)


if __name__ == "__main__":
    main()
