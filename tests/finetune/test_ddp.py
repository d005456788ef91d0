"""Laws of several processes: two gloo ranks are one, the engine is the one that was asked for, and it is recorded."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from finetune.tunes import KINDS, base_at, recipe_of, run_at, tune_at, with_keys
from safetensors.torch import load_file

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.train import distributed, journal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_at(tmp_path_factory.mktemp("base"))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def launch(path: Path, kind: str, size: int) -> list[subprocess.CompletedProcess[str]]:
    """What torchrun does: `size` processes of `finetune.tunes` with its environment."""
    common = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "finetune.tunes", str(path), kind],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    done = []
    for process in started:
        out, err = process.communicate(timeout=300)
        done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    return done


@pytest.mark.slow
def test_two_ranks_train_what_one_does_and_one_of_them_writes_and_speaks(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "two")
    recipe = recipe_of(tmp_path / "two", **KINDS["plain"])
    run_at(tmp_path / "two" / "run", recipe)
    ranks = launch(tmp_path / "two", "plain", 2)
    assert [r.returncode for r in ranks] == [0, 0], ranks[0].stderr[-2000:] + ranks[1].stderr[-2000:]
    one, two = tune_at(tmp_path / "one", recipe), tmp_path / "two" / "run" / "tuned" / "tuned"
    rows = [journal.read(path / "metrics.jsonl") for path in (one, two)]
    assert [r["step"] for r in rows[0]] == [r["step"] for r in rows[1]]
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (one, two))
    start = next(iter(ours))
    assert ours[start].abs().max() > 0
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-6)
    facts = read_json(two / "smallm.json")
    assert (facts["engine"], facts["world_size"], facts["backend"]) == ("DistributedDataParallel", 2, "gloo")
    assert "engine DistributedDataParallel" in ranks[0].stderr
    assert "step 4:" in ranks[0].stderr
    assert "step 4:" not in ranks[1].stderr


@pytest.mark.slow
def test_micro_batch_times_accumulation_does_not_matter(base: Path, tmp_path: Path) -> None:
    recipe = recipe_of(base, **KINDS["plain"])
    found = {}
    for micro in (4, 2, 1):
        tuned = tune_at(tmp_path / str(micro), with_keys(recipe, micro_rows=micro, steps=4))
        assert read_json(tuned / "smallm.json")["micro_rows"] == micro
        found[micro] = load_file(tuned / "adapter_model.safetensors")
    for micro in (2, 1):
        for name, value in found[4].items():
            torch.testing.assert_close(found[micro][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "two"}, "not a number"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1", "ACCELERATE_USE_FSDP": "true"},
            "asks for FSDP",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1", "ACCELERATE_USE_DEEPSPEED": "1"},
            "asks for DeepSpeed",
        ),
    ],
)
def test_an_environment_that_is_not_ours_is_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        distributed.environment(variables)


def test_more_processes_than_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "5", "RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="5 processes, but a batch has 4 rows"):
        distributed.join("cpu", 4)


def test_pretraining_refuses_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="pretraining runs in one process, but 2 were started"):
        distributed.refuse("pretraining")
