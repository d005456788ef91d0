"""Memory that this training holds, as the process or the device counts it."""

from __future__ import annotations

from pathlib import Path


def memory_in_use(device: str) -> int:
    """Peak bytes: of the CUDA allocator since the start, of the process on the CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text("utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        from smallm.core.run import peak_bytes

        return peak_bytes()
