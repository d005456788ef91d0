"""`lm_eval --model smallm` as a user types it, offline, against `--model hf`: the commands of docs/lm-eval.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_models import save_tiny

from smallm.evaluate.harness_yaml import write_harness_task
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import read_task

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "lm-eval.md").read_text("utf-8")
OURS = """
task: ours
data: capitals.jsonl
prompt: "Question: {{question}}\\nAnswer:"
choices: choices
answer: answer
"""

pytestmark = pytest.mark.slow


def block(kind: str) -> str:
    """The page's code block of that kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    return found


def lm_eval(folder: Path, model: str, directory: Path, *options: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(results, samples of all tasks) of a run of the command line in `folder`."""
    out = folder / f"out-{model}"
    program, *typed = shlex.split(block("bash").replace("\\\n", " "))
    assert (program, typed[:2]) == ("lm_eval", ["--model", "smallm"])
    changed = {"smallm": model, "out": str(out), "local": "local,ours"}
    typed = [changed.get(word, word.replace("runs/quickstart", str(directory))) for word in typed]
    command = [sys.executable, "-m", program, *typed, "--device", "cpu", *options]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(folder / "hf")}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    (result,) = out.rglob("results_*.json")
    files = sorted(out.rglob("samples_*.jsonl"))
    samples = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    return json.loads(result.read_text("utf-8")), samples


def test_the_command_line_gives_the_same_with_smallm_as_with_hf(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    directory = save_tiny(tmp_path / "model", shared_data("tokenizers"))
    (tmp_path / "capitals.jsonl").write_text(block("json"))
    (tmp_path / "local.yaml").write_text(block("yaml"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "capitals.jsonl").write_text(block("json"))
    (tmp_path / "mine" / "task.yml").write_text(OURS)
    write_harness_task(load_task(read_task(tmp_path / "mine" / "task.yml")), tmp_path)

    theirs, their_samples = lm_eval(tmp_path, "hf", directory)
    ours, our_samples = lm_eval(tmp_path, "smallm", directory, "--use_cache", str(tmp_path / "answers"))
    assert ours["results"] == theirs["results"]
    assert set(ours["results"]) == {"local", "ours"}
    assert ours["config"]["model"] == "smallm"
    assert ours["config"]["model_sha"]
    assert ours["task_hashes"] == theirs["task_hashes"]
    assert len(our_samples) == len(their_samples) == 2 * len(block("json").splitlines())
    for our, their in zip(our_samples, their_samples, strict=True):
        assert our["arguments"] == their["arguments"]
        for (our_logprob, our_greedy), (their_logprob, their_greedy) in zip(
            our["filtered_resps"], their["filtered_resps"], strict=True
        ):
            assert float(our_logprob) == pytest.approx(float(their_logprob), abs=1e-4)
            assert our_greedy == their_greedy
