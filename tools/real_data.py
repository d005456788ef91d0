"""docs/real-data.md: a from-scratch model of ours tuned on real data, base against tuned, from the runs' own files.

The recipes are in benchmarks/real/. Copy them beside a folder `data/` with the corpora, and run them there:

    smallm run bilingual.yaml && smallm run tweets.yaml && smallm run entities.yaml && smallm run statutes.yaml
    python tools/real_data.py runs/bilingual runs/tweets runs/entities runs/statutes
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from smallm.core.console import count
from smallm.core.recipe import load_recipe
from smallm.core.run import Run
from smallm.publish.facts import read_facts
from smallm.publish.words import machine_in_words

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "real-data.md"
HEAD = """\
# Fine-tuning on real data, measured

A small model that `smallm run` trained from scratch, tuned on three data sets that people wrote. It is far too small
for them, and this page shows what it then does: nothing was left out for being weak. One seed each.

Written by `python tools/real_data.py` (commit {commit}) from the runs' files; the machine: {machine}. Figures are
scores alone; times are in [the log](../LOG.md).

The base: {base}
"""


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    base, *tuned = map(Path, sys.argv[1:])
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    facts = read_facts(load_recipe(base / "recipe.yaml", []), Run(base))
    text = HEAD.format(commit=commit.stdout.strip(), machine=machine_in_words(facts), base=base_words(base))
    PAGE.write_text(text + "".join(section(run) for run in tuned), "utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def base_words(run: Path) -> str:
    """One sentence on the base."""
    facts = read(run / "base" / "smallm.json")
    sources = ", ".join(row["name"] for row in read(run / "data" / "manifest.json")["sources"])
    return f"{count(facts['parameters'])} parameters, {count(facts['tokens_seen'])} tokens of {sources}."


def section(run: Path) -> str:
    """A run's verdict, figures and slices. No examples: the texts are others'."""
    (path,) = (run / "eval").glob("*/verdict.json")
    verdict, facts = read(path), read(run / "tuned" / path.parent.name / "smallm.json")
    lines = (run / "report" / "index.md").read_text("utf-8").splitlines()
    here, after = lines.index("## Base against tuned"), lines.index("## What was tuned")
    kept = [line for line in lines[here + 1 : after] if not line.startswith("![") and "From [eval/" not in line]
    figures = "\n".join(kept).strip()
    while "\n\n\n" in figures:
        figures = figures.replace("\n\n\n", "\n\n")
    rank = read(run / "tuned" / path.parent.name / "adapter_config.json")["r"]
    trained = (
        f"LoRA, rank {rank}; {count(facts['tokens_seen'])} tokens, {count(facts['trained_tokens'])} of "
        f"them answers, {facts['epochs']:.2g} epochs; {verdict['items']} of "
        f"{verdict['test_items']} test items."
    )
    parts = [f"\n## {run.name}\n", verdict["sentence"] + "\n", trained + "\n", figures + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
