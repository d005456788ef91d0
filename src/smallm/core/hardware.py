"""What this machine has: cores, memory, bf16 in hardware, GPUs and their peak rates.

Standard library; torch is imported only inside the functions that ask about GPUs, so that
`smallm --help` and the planner's tables stay fast. What is unknown is None, never a guess:
a device without a cited peak rate prints no MFU.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

# Dense bf16 (T4, V100: fp16) tensor-core peaks in TFLOP/s with fp32 accumulation, without sparsity.
# The first pattern that is found in the name that the driver gives wins. Vendors print the sparse rate,
# twice this: OLMo-core once reported A100 utilisation twice too high for that reason.
_NAMED_PEAKS: tuple[tuple[str, float, str], ...] = (
    (r"\bB200\b", 2250.0, "NVIDIA DGX B200 datasheet: 4.5 PFLOP/s bf16 sparse a GPU, halved"),
    (r"\bH200 NVL\b", 835.5, "NVIDIA H200 datasheet: H200 NVL 1,671 sparse, halved"),
    (r"\bG?H200\b", 989.4, "NVIDIA H200 and GH200 datasheets: 1,979 sparse, halved"),
    (r"\bH100 NVL\b", 835.5, "NVIDIA H100 NVL datasheet: 1,671 sparse, halved"),
    (r"\bH100 PCIe\b", 756.4, "NVIDIA H100 whitepaper, table 2: H100 PCIe 756.4 dense"),
    (r"\bH100\b.*\bHBM3\b|\bH100 SXM", 989.4, "NVIDIA H100 whitepaper, table 2: H100 SXM5 989.4 dense"),
    (r"\bA100\b", 312.0, "NVIDIA A100 datasheet: 312 dense"),
    (r"\bL40S\b", 362.05, "NVIDIA L40S datasheet: 362.05 dense"),
    (r"\bL4\b", 121.0, "NVIDIA L4 datasheet: 242 sparse, halved"),
    (r"\bA10G\b", 70.0, "NVIDIA A10G product page (AWS G5): 70 dense"),
    (r"\bA10\b", 125.0, "NVIDIA A10 datasheet: 125 dense"),
    (r"\bRTX A6000\b", 154.8, "NVIDIA GA102 whitepaper: RTX A6000 154.8 dense, fp32 accumulation"),
    (r"\bRTX 5090\b(?!.*Laptop)", 209.5, "NVIDIA RTX Blackwell whitepaper: RTX 5090 209.5 dense, fp32 accumulation"),
    (r"\bRTX 4090\b(?!.*Laptop)", 165.2, "NVIDIA Ada whitepaper: RTX 4090 165.2 dense, fp32 accumulation"),
    (r"\bRTX 3090\b(?! Ti)", 71.0, "NVIDIA GA102 whitepaper: RTX 3090 71 dense, fp32 accumulation"),
    (r"\bV100\b.*\bSXM|\bV100-SXM", 125.0, "NVIDIA V100 datasheet: SXM2 125 (fp16)"),
    (r"\bT4\b", 65.0, "NVIDIA T4 datasheet: 65 (fp16; no bf16 in hardware)"),
)
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86 (Zen 4, Cooper Lake, Sapphire Rapids), Arm


@dataclass(frozen=True)
class Gpu:
    """One CUDA device. Memory in bytes; peak_flops dense, at 16 bits, None when not cited."""

    index: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int
    memory_free_bytes: int
    bf16: bool
    peak_flops: float | None


@dataclass(frozen=True)
class Hardware:
    """The machine. Memory in bytes, None where the system does not say."""

    cpu: str
    cores: int
    cpu_bf16: bool
    memory_bytes: int | None
    memory_available_bytes: int | None
    gpus: tuple[Gpu, ...]
    mps: bool


def peak_flops(name: str) -> tuple[float, str] | None:
    """Dense 16-bit peak of a GPU in FLOP/s and its source, by the driver's name; None when unknown."""
    if "MIG" in name:  # a slice of a card: its share of the peak is not in the name
        return None
    for pattern, tera, source in _NAMED_PEAKS:
        if re.search(pattern, name):
            return tera * 1e12, source
    return None


def cores() -> int:
    """Cores that this process may use (its affinity and the container's quota, not the machine's count)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]):
        count = min(count, max(1, round(int(quota[0]) / int(quota[1]))))
    return max(1, count)


def cpu_name() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def cpu_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware.

    Without it torch emulates: 0.3 GFLOP/s were seen where float32 gives 140, so a guess of "yes" costs far
    more than a wrong "no".
    """
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return bool(found and _BF16_FLAGS & set(found.group(1).split()))


def memory() -> tuple[int | None, int | None]:
    """Total and available main memory in bytes, the container's limit counted."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE))
    total = int(found["MemTotal"]) * 1024 if "MemTotal" in found else _sysconf_memory()
    available = int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        # The page cache counts as used there but is given back on demand.
        cache = re.search(r"^inactive_file (\d+)$", _read("/sys/fs/cgroup/memory.stat"), re.MULTILINE)
        left = max(0, int(limit) - int(used) + (int(cache.group(1)) if cache else 0))
        total = min(total, int(limit)) if total is not None else int(limit)
        available = min(available, left) if available is not None else left
    return total, available


def gpus() -> tuple[Gpu, ...]:
    """The CUDA devices that torch sees, in its order."""
    import torch

    if not torch.cuda.is_available():
        return ()
    found = []
    for i in range(torch.cuda.device_count()):
        name, capability = torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i)
        free, total = torch.cuda.mem_get_info(i)
        peak = peak_flops(name)
        # Ampere (8.0) brought bf16; below, torch.cuda.is_bf16_supported() counts slow emulation as support.
        bf16 = capability >= (8, 0) or torch.version.hip is not None
        found.append(Gpu(i, name, capability, total, free, bf16, peak[0] if peak else None))
    return tuple(found)


def describe() -> Hardware:
    """Everything at once, for `smallm doctor`, the planner and the report."""
    import torch

    total, available = memory()
    mps = bool(getattr(torch.backends, "mps", None) and torch.backends.mps.is_available())
    return Hardware(cpu_name(), cores(), cpu_bf16(), total, available, gpus(), mps)


def pick_device() -> str:
    """`auto`: CUDA, then MPS, then the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def has_bf16(device: str) -> bool:
    """Whether `device` ("cuda", "cpu", "mps") multiplies bf16 in hardware."""
    if device.startswith("cuda"):
        found = gpus()
        return bool(found) and found[0].bf16
    return device == "cpu" and cpu_bf16()


def available_bytes(device: str) -> int | None:
    """Memory that a training on `device` may take now, in bytes; None when nobody says."""
    if device.startswith("cuda"):
        found = gpus()
        return found[0].memory_free_bytes if found else None
    return memory()[1]


def device_peak(device: str) -> float | None:
    """Peak 16-bit FLOP/s of `device`, or None (every CPU: clocks and units vary too much to cite)."""
    found = gpus() if device.startswith("cuda") else ()
    return found[0].peak_flops if found else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _sysconf_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
