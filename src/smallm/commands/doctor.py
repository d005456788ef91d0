"""`smallm doctor`: what the machine has, what works on it, and what smallm will use."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from smallm.core import hardware
from smallm.core.console import count
from smallm.core.run import versions

# module -> what it is for; all come with the package, extras name what they add.
PARTS = {
    "torch": "training",
    "transformers": "models of the Hub",
    "tokenizers": "byte-level BPE",
    "sentencepiece": "unigram tokenizers",
    "numba": "fast decoding on the CPU",
    "pyarrow": "datasets on disk",
    "datasets": "sources of the Hub",
    "matplotlib": "figures of the report",
    "peft": "adapters",
    "bitsandbytes": "4-bit and 8-bit weights",
    "gguf": "export to llama.cpp",
    "llama_cpp": "checking that export",
    "wandb": "tracking",
}
LITTLE_DISK = 5e9


def doctor_command(*, as_json: bool) -> None:
    facts = examine()
    print(json.dumps(facts, indent=2) if as_json else render(facts))


def examine() -> dict[str, Any]:
    """Everything that doctor says, as plain data."""
    machine = hardware.describe()
    disk = shutil.disk_usage(Path.cwd())
    device = hardware.pick_device()
    half = hardware.has_bf16(device)
    return {
        "machine": dataclasses.asdict(machine) | {"system": platform.platform(), "disk_free_bytes": disk.free},
        "versions": versions() | {"cuda": _cuda()},
        "parts": {name: importlib.util.find_spec(name) is not None for name in PARTS},
        "uses": {
            "device": device,
            "threads": hardware.cores(),
            "dtype": "bfloat16" if half else "float32",
            "compile": _compiler(device),
        },
        "notes": notes(machine, disk.free, device, half),
    }


def _cuda() -> str | None:
    import torch

    return torch.version.cuda


def _compiler(device: str) -> str:
    """Whether torch.compile can work here; whether it pays is decided when a run trains."""
    if device == "cuda":
        works = importlib.util.find_spec("triton") is not None
        return "possible (triton)" if works else "not possible: triton is missing"
    if device == "mps":
        return "off"
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("cl")
    return f"possible ({Path(compiler).name})" if compiler else "not possible: no C++ compiler"


def notes(machine: hardware.Hardware, disk_free: int, device: str, half: bool) -> list[str]:
    """What the user should know, and what to do about it."""
    found = []
    if device == "cpu" and not half:
        found.append("This CPU has no bf16 in hardware: training uses float32, which is right and the fastest here.")
    if device == "cuda" and not half:
        found.append("This card has no bf16 (older than Ampere): training uses float32.")
    if device == "mps":
        found.append("Apple's GPU is best effort: what it cannot do runs on the CPU.")
    if disk_free < LITTLE_DISK:
        found.append(
            f"Only {count(disk_free, 'B')} of disk are free here; checkpoints of a 124M model take 1.5 GB each."
        )
    if sys.platform == "win32":
        found.append("On Windows the single-device path works; for the rest use WSL.")
    return found


def render(facts: dict[str, Any]) -> str:
    machine, uses = facts["machine"], facts["uses"]
    memory = " of ".join(
        count(machine[k], "B") if machine[k] else "unknown" for k in ("memory_available_bytes", "memory_bytes")
    )
    lines = [
        "machine",
        f"  system     {machine['system']}",
        f"  processor  {machine['cpu']}: {machine['cores']} cores, bf16 {'yes' if machine['cpu_bf16'] else 'no'}",
        f"  memory     {memory} free",
        f"  disk       {count(machine['disk_free_bytes'], 'B')} free here",
    ]
    for gpu in machine["gpus"]:
        peak = (
            f"{gpu['peak_flops'] / 1e12:.0f} TFLOP/s" if gpu["peak_flops"] else "peak rate unknown: no MFU is printed"
        )
        lines.append(
            f"  GPU {gpu['index']}      {gpu['name']}: {count(gpu['memory_free_bytes'], 'B')} of "
            f"{count(gpu['memory_bytes'], 'B')} free, bf16 {'yes' if gpu['bf16'] else 'no'}, {peak}"
        )
    if not machine["gpus"]:
        lines.append(f"  GPU        none{' but MPS' if machine['mps'] else ''}")
    lines += ["versions", "  " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items() if v), "works"]
    for name, works in facts["parts"].items():
        lines.append(f"  {'yes' if works else 'no ':<4} {name}: {PARTS[name]}{'' if works else ' (not installed)'}")
    lines += ["smallm will use", *(f"  {key:<10} {value}" for key, value in uses.items())]
    return "\n".join(lines + [f"note: {note}" for note in facts["notes"]])
