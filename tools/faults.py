"""Injects each fault of fine-tuning into ours, TRL and plain PEFT, and writes what was seen to docs/faults.md.

Nothing in the table is written by hand: a cell is made of the error that was raised, the warnings that were heard, and
counts and differences that were measured on tiny models on the CPU. Needs the environment of `make bench-env`.

    .venv-bench/bin/python tools/faults.py [--only pad_is_end …] [--columns ours TRL PEFT] [--print]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
PAGE = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
COLUMNS = ("ours", "TRL", "PEFT")
MARKS = {True: "✓", False: "✗", None: "–"}
# Function of faults_ours.py and faults_peers.py -> what the fault is.
FAULTS = {
    "wrong_template": "**Wrong template**: the prompt at inference ends in `Answer: `, which no training row has",
    "pad_is_end": "**Pad = end token**: the tokenizer's pad is the template's end of turn",
    "double_bos": "**Double BOS**: the template writes BOS and the tokenizer adds one",
    "cut_answers": "**Cut answers**: of 8 rows, one answer and one prompt are longer than `max_length`",
    "fused_missed": "**Fused modules missed**: the seven usual names of LoRA targets on a Phi-3",
    "leaking_packing": "**Leaking packing**: rows packed together, their logits against each row alone",
    "requantised_merge": "**Requantised merge**: a QLoRA adapter merged into its base",
    "evaluation_between": "**Evaluation in between**: NF4, the gradient before and after an evaluation pass",
    "prompt_trained": "**Prompt trained on**: chats as `messages`, all defaults",
}
HEAD = """# What goes wrong in silence when fine-tuning, and who notices

Each fault below was injected into the three, on tiny models, by `tools/faults.py`; the cells are what was seen. ✓: it
did no harm, or was refused. ✗: it went into training, or changed the model, whether a warning was heard or not. –: it
could not be made on the machine that ran this.
TRL and PEFT are at their defaults, but for what the fault is about; "plain PEFT" is the loop of PEFT's own examples
(the template's text, Transformers' collator for language models).
"""


def observe(name: str, column: str) -> Any:
    """One cell: the fault injected afresh."""
    import faults_ours
    import faults_peers

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "base"
        if column == "ours":
            return getattr(faults_ours, name)(folder)
        return getattr(faults_peers, name)(folder, column)


def cell(seen: Any) -> str:
    text = seen.what.replace("|", "\\|").replace("\n", " ")
    return f"{MARKS[seen.held]} {text}"


def table(cells: dict[str, dict[str, str]]) -> str:
    """The page: what was run with which versions, and the table."""
    packages = ("trl", "peft", "transformers", "bitsandbytes", "torch")
    versions = ", ".join(f"{name} {version(name).split('+')[0]}" for name in packages)
    lines = [HEAD, f"Versions: smallm {version('smallm')}, {versions}; on the CPU.\n"]
    lines += [f"| fault | ours | TRL {version('trl')} | plain PEFT {version('peft')} |", "|---|---|---|---|"]
    lines += [
        f"| {FAULTS[name]} | {' | '.join(row.get(c, 'not run') for c in COLUMNS)} |" for name, row in cells.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--print", action="store_true", help="show the page instead of writing it")
    given = parser.parse_args()
    cells: dict[str, dict[str, str]] = {}
    for name in given.only:
        cells[name] = {}
        for column in given.columns:
            cells[name][column] = cell(observe(name, column))
            print(f"{name}, {column}: {cells[name][column]}", file=sys.stderr, flush=True)
    whole = len(given.only) == len(FAULTS) and len(given.columns) == len(COLUMNS)
    if given.print or not whole:  # a page with holes would say that the others were never run
        print(table(cells))
        return
    PAGE.write_text(table(cells), "utf-8")


if __name__ == "__main__":
    main()
