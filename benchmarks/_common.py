"""The benchmark harness: alternating pairs, one JSON line a case, machine and commit beside the figures.

A script measures (its own business), checks that both sides did the same work, and hands
the two lists of measurements to `record`, which prints a table and appends one line to
results/<script>.jsonl. A ratio above 1 always means that ours is better.

    pairs = alternate(ours, theirs, pairs=5, warm_up=1)
    record("train_vs_x", case="4M", unit="tokens/s", pairs=pairs, peer=Peer("x", "1.0"), same_work={"tokens": 8192})
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# Units of which less is better; every other unit is a rate.
LESS_IS_BETTER = {"s", "ms", "us", "nats", "bytes", "kB", "MB", "GB", "MiB", "GiB"}


@dataclass(frozen=True)
class Peer:
    """Whom we are measured against, at which version, in which settings."""

    name: str
    version: str


@dataclass
class Pairs:
    """Measurements taken alternately: ours[i] and theirs[i] belong to one pair."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def ratios(self, unit: str) -> list[float]:
        """How many times better ours is, pair by pair."""
        if unit in LESS_IS_BETTER:
            return [b / a for a, b in zip(self.ours, self.theirs, strict=True)]
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]


def alternate(
    ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int = 5, warm_up: int = 1, quiet: bool = False
) -> Pairs:
    """Call the two alternately (A B A B …); each returns one measurement. Warm-up calls are thrown away."""
    for _ in range(warm_up):
        ours()
        theirs()
    result = Pairs()
    for i in range(pairs):
        result.ours.append(ours())
        result.theirs.append(theirs())
        if not quiet:
            print(f"pair {i + 1}/{pairs}: ours {result.ours[-1]:.6g}, theirs {result.theirs[-1]:.6g}", file=sys.stderr)
    return result


def record(
    script: str,
    *,
    case: str,
    unit: str,
    pairs: Pairs,
    peer: Peer | None,
    same_work: dict[str, Any],
    extra: dict[str, Any] | None = None,
    results: Path | None = None,
) -> dict[str, Any]:
    """Print the table, append the JSON line to results/<script>.jsonl, return it.

    `script` is the file's stem. `peer` None: a measurement of ours alone, without a ratio.
    `same_work` holds what was compared to make sure that both sides did the same
    (token counts, hashes, losses); an empty one is refused where there is a peer.
    """
    if peer is not None and not same_work:
        raise ValueError("same_work is empty: say what shows that both sides did the same work")
    line: dict[str, Any] = {
        "benchmark": script,
        "case": case,
        "unit": unit,
        "ours": pairs.ours,
        "peer": asdict(peer) if peer else None,
        "theirs": pairs.theirs,
        **_ratio_fields(pairs.ratios(unit) if peer else []),
        "same_work": same_work,
        "machine": machine(),
        "commit": commit(),
        **(extra or {}),
    }
    path = (results or RESULTS) / f"{script}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    with open(path, "a", encoding="utf-8") as f:
        f.write(text + "\n")
    print(table(line), file=sys.stderr)
    print(text)
    return line


def _ratio_fields(ratios: list[float]) -> dict[str, float | None]:
    if not ratios:
        return {"ratio_median": None, "ratio_min": None, "ratio_max": None}
    return {
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def table(line: dict[str, Any]) -> str:
    """The case as a person reads it."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):>12.5g}  ({min(values):.5g} to {max(values):.5g}, n={len(values)})"

    rows = [f"{line['benchmark']}: {line['case']} [{line['unit']}]", f"  ours    {spread(line['ours'])}"]
    if line["peer"]:
        rows.append(f"  theirs  {spread(line['theirs'])}  {line['peer']['name']} {line['peer']['version']}")
        rows.append(f"  ratio   {line['ratio_median']:>12.5g}  ({line['ratio_min']:.5g} to {line['ratio_max']:.5g})")
    return "\n".join(rows)


def machine() -> dict[str, Any]:
    """What the figures were taken on: processor, cores, memory, what it multiplies, versions, GPU."""
    info: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "bf16": _bf16_in_hardware(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    try:
        import torch
    except ImportError:
        return info
    info["torch"] = torch.__version__
    info["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        info["gpu"] = torch.cuda.get_device_name()
    return info


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal"):
            return round(int(line.split()[1]) / 2**20)
    return None


def _bf16_in_hardware() -> bool:
    """Whether the processor has AVX512-BF16 or AMX-BF16 (Linux on x86 only; False elsewhere)."""
    cpuinfo = _read("/proc/cpuinfo")
    return "avx512_bf16" in cpuinfo or "amx_bf16" in cpuinfo


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def commit() -> str:
    """The short hash of HEAD, `-dirty` when src/ or benchmarks/*.py differ from it; 'unknown' outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py")
        return git("rev-parse", "--short=10", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
