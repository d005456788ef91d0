"""The wheel, installed into an empty environment and used from an empty directory, away from the clone.

`make wheel-test` installs it with its dependencies by pip. tests/test_wheel.py does the same without a network:
there the new environment sees the packages of the test's own, but not the checkout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("src", "pyproject.toml", "README.md", "LICENSE")
# A whole run of every stage in some seconds: what is tested is that nothing is missing from the wheel.
TINY = [
    "data.sources=[{synth: stories, size: 400kB}, {builtin: python-docs, size: 200kB}]",
    *("tokenizer.vocab_size=512", "model.layers=1", "model.width=64", "model.context=128"),
    *("train.tokens=20k", "train.batch_tokens=2048", "train.compile=off", "eval.stories=2", "eval.max_tokens=20k"),
    *("finetune.max_length=128", "finetune.too_long=drop", "finetune.data[0].items=300", "finetune.steps=4"),
    *("finetune.lora_r=4", "finetune.test_items=4", "finetune.max_new_tokens=4"),
]


def build_wheel(to: Path) -> Path:
    """Build the wheel from a copy of the sources: no build/ of an earlier build can leak into it."""
    copy = to / "source"
    copy.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, copy / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, copy / part)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "--wheel-dir", str(to)], cwd=copy, check=True)
    (wheel,) = to.glob("smallm-*.whl")
    return wheel


def empty_environment(at: Path) -> Path:
    """A new virtual environment; its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(at)], check=True)
    return at / ("Scripts" if os.name == "nt" else "bin") / "python"


def exercise(python: Path, empty: Path) -> dict[str, str]:
    """Run the installed `smallm` in the directory `empty`: version, recipes, a tiny run, a continuation."""
    empty.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    smallm = python.with_name("smallm" + python.suffix)

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [str(smallm), *arguments], cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"smallm {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    where = [str(python), "-c", "import smallm; print(smallm.__file__)"]
    source = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True).stdout
    if not Path(source).is_relative_to(python.parent.parent):
        raise RuntimeError(f"tests the checkout, not the wheel: {source}")
    overrides = [part for override in TINY for part in ("--set", override)]
    return {
        "version": call("--version"),
        "recipes": call("recipe", "list"),
        "run": call("run", "quickstart", *overrides),
        "generate": call("generate", "runs/quickstart", "Once upon a time"),
    }


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smallm-wheel-") as name:
        directory = Path(name)
        wheel = build_wheel(directory / "wheel")
        python = empty_environment(directory / "environment")
        constraints = ROOT / "constraints.txt"
        (torch,) = re.findall(r"^torch==.*$", constraints.read_text("utf-8"), re.MULTILINE)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
        for what in (torch, str(wheel)):
            subprocess.run([*pip, what], check=True)
        for step, stdout in exercise(python, directory / "empty").items():
            print(f"{step}: {stdout.strip().splitlines()[-1]}")
    print(f"the wheel works in an empty environment ({(time.monotonic() - began) / 60:.1f} min)")


if __name__ == "__main__":
    main()
