"""Laws of core/hardware.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smallm.core import hardware


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.4),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA GH200 480GB", 989.4),
        ("NVIDIA A100-SXM4-40GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("Tesla T4", 65.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_a_known_gpu_has_its_dense_peak_with_a_source(name: str, tera: float) -> None:
    found = hardware.peak_flops(name)
    assert found is not None
    assert found[0] == tera * 1e12
    assert "NVIDIA" in found[1]


@pytest.mark.parametrize(
    "name",
    ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA L400", "AMD MI300X", ""],
)
def test_an_unknown_gpu_has_no_peak_and_so_prints_no_mfu(name: str) -> None:
    assert hardware.peak_flops(name) is None


def test_the_cpu_has_no_peak() -> None:
    assert hardware.device_peak("cpu") is None


def test_bf16_on_the_cpu_is_read_from_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in [
        ("flags\t\t: fpu avx2 avx512_bf16 sse\n", True),
        ("flags : fpu amx_bf16 amx_tile\n", True),
        ("Features : fp asimd bf16 i8mm\n", True),
        ("flags : fpu avx2 avx512f avx512_vnni\n", False),
        ("", False),
    ]:
        monkeypatch.setattr(hardware, "_read", lambda path, text=text: text if path == "/proc/cpuinfo" else "")
        assert hardware.cpu_bf16() is expected


def test_a_containers_limit_counts_as_the_machines_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal:       100 kB\nMemAvailable:    90 kB\n",
        "/sys/fs/cgroup/memory.max": "51200\n",
        "/sys/fs/cgroup/memory.current": "20480\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 10240\n",
    }
    monkeypatch.setattr(hardware, "_read", lambda path: files.get(path, ""))
    assert hardware.memory() == (51200, 40960)


def test_this_machine_describes_itself() -> None:
    found = hardware.describe()
    assert found.cores >= 1
    assert found.cpu
    assert found.memory_available_bytes is None or 0 < found.memory_available_bytes <= (found.memory_bytes or 0)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, smallm.core.hardware; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
