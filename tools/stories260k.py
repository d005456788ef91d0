"""stories260K (llama2.c's smallest trained model, MIT) as a model directory with a tokenizer that Transformers opens.

The weights are read as they lie, the tokenizer is rebuilt from llama2.c's tok512.bin: sentencepiece's BPE with byte
fallback, a space put before the text, <s> first. Used by tests and benchmarks. As a program it evaluates the model, and
runs of ours beside it, on TinyStories and BLiMP, and writes docs/stories260k.md:

    python tools/stories260k.py --data DIR runs/quickstart runs/half
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from smallm.tokenizer.llama2c import read_llama2c_tokenizer, write_llama2c_tokenizer


def make_model(folder: Path, data: Path) -> Path:
    """`folder` with config.json, model.safetensors, tokenizer.json; `data` holds models/stories260K*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(data / "models" / "stories260K-hf-derived" / name, folder / name)
    tokenizer = read_llama2c_tokenizer(data / "models" / "stories260K" / "tok512.bin")
    write_llama2c_tokenizer(tokenizer, folder, 512)
    return folder


# ---- the page ------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parent.parent / "docs" / "stories260k.md"
SUITE = """\
suite: stories260k
about: stories of TinyStories, one document each, and BLiMP
tasks:
  - {task: tinystories, data: stories.jsonl, text: text, source: file, metrics: [bits_per_byte, word_perplexity]}
  - task: blimp
    data: blimp.jsonl
    choices: ["{{sentence_good}}", "{{sentence_bad}}"]
    answer: 0
    source: UID
    duplicates: keep
    metrics: [acc]
"""
STORIES = 600  # of each file, its first
PAIRS = 300  # of each of the 67 paradigms, its first
TEXT = """\
# stories260K, measured

A real trained model small enough to evaluate in a minute on a laptop: 260 thousand parameters, trained by the author of
llama2.c on TinyStories (weights under the MIT licence). Its tokenizer is rebuilt from llama2.c's file; the greedy text
is the published one, character by character (a test holds it).

Written by `{command}`, commit {commit}.

| model | parameters | bits per byte, TinyStories | lower-cased | BLiMP, share right |
|---|---|---|---|---|
{rows}

After ± stands the standard error; below it the 95 % interval. Bits per byte are over {stories} stories of each file, a
story is a document and the unit of the error. BLiMP is {pairs} pairs of each of 67 paradigms of English grammar,
{items} in all; a guesser is right in 50 %.

How to read it:

- Bits per byte do not depend on the tokenizer, so models with different vocabularies stand side by side. TinyStories is
  stories260K's own kind of text, and these stories may have been in its training: its training data was not checked.
  Models of ours were trained on other stories (from a grammar of ours) and on documentation. `half` had half of the
  quickstart's tokens (`smallm run quickstart --run half --set train.tokens=525k`).
- stories260K's tokenizer has no pieces for rare letters and falls back to bytes; lower-cased text is strange to it.
- BLiMP asks for grammar, not for knowledge: it is the task that tells models of this size apart. Of its paradigms, the
  best and the worst for stories260K:

{paradigms}
"""


def write_suite(folder: Path, data: Path) -> Path:
    """The suite's YAML and its two files."""
    with open(folder / "stories.jsonl", "w", encoding="utf-8") as out:
        for name in ("cased-1MB", "lowercased-4MB"):
            text = (data / "tinystories" / f"tinystories-{name}.txt").read_text("utf-8")
            # A story's paragraphs are apart by an empty line, stories by a line's end alone.
            for story in re.split(r"(?<!\n)\n(?!\n)", text)[:STORIES]:
                if story.strip():
                    out.write(json.dumps({"text": story.strip(), "file": name.split("-")[0]}) + "\n")
    with open(folder / "blimp.jsonl", "w", encoding="utf-8") as out:
        for path in sorted((data / "blimp").glob("*.jsonl.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                out.writelines(line for _, line in zip(range(PAIRS), lines, strict=False))
    path = folder / "stories260k.yaml"
    path.write_text(SUITE, "utf-8")
    return path


def evaluate(model: Path, suite: Path, out: Path) -> dict[str, Any]:
    """The result of `smallm eval`, as a user would run it."""
    command = [
        sys.executable,
        "-m",
        "smallm.cli",
        "eval",
        str(model),
        "--suite",
        str(suite),
        "--out",
        str(out),
        "--json",
    ]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["results"][0]


def with_interval(figure: dict[str, Any], scale: float = 1.0, unit: str = "") -> str:
    value, error, low, high = (scale * figure[key] for key in ("value", "standard_error", "low", "high"))
    digits = 1 if scale > 1 else 3
    return f"{value:.{digits}f}{unit} ± {error:.{digits}f}<br>{low:.{digits}f} to {high:.{digits}f}"


def page(named: list[tuple[str, dict[str, Any]]], command: str, commit: str) -> str:
    """The page's text from the results; the first is stories260K's."""
    rows = []
    for name, result in named:
        stories, blimp = result["tasks"]["tinystories"], result["tasks"]["blimp"]
        bits = [with_interval(stories["sources"][kind]["bits_per_byte"]) for kind in ("cased", "lowercased")]
        share = with_interval(blimp["metrics"]["acc"], 100, " %")
        rows.append(f"| {name} | {result['model']['parameters']:,} | {bits[0]} | {bits[1]} | {share} |")
    blimp = named[0][1]["tasks"]["blimp"]
    ranked = sorted(blimp["sources"].items(), key=lambda entry: -entry[1]["acc"]["value"])
    paradigms = [
        f"  - {name}: {with_interval(figures['acc'], 100, ' %').replace('<br>', ', 95 % ')}" for name, figures in ranked
    ]
    return TEXT.format(
        command=command, commit=commit, rows="\n".join(rows), stories=STORIES, pairs=PAIRS,
        items=f"{blimp['items']:,}", paradigms="\n".join([*paradigms[:4], *paradigms[-4:]]),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path, help="runs of ours to put beside it")
    parser.add_argument("--data", type=Path, required=True, help="with tinystories/, blimp/ and models/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        suite = write_suite(folder, options.data)
        models = [
            ("stories260K", make_model(folder / "stories260K", options.data)),
            *((run.name, run) for run in options.runs),
        ]
        named = [(name, evaluate(model, suite, folder / "out")) for name, model in models]
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    command = " ".join(["python tools/stories260k.py --data DIR", *(f"runs/{run.name}" for run in options.runs)])
    PAGE.write_text(page(named, command, commit), "utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
