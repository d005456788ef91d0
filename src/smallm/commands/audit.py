"""`smallm audit`: rows of a fine-tuning set with what is learned of them marked, the counts, and every fault.

Rows and counts are the result (stdout); a fault ends it with exit code 2. On a terminal learned text is green, in a
pipe (or with NO_COLOR) it stands between ⟦ and ⟧.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from smallm.commands.run import run_directory
from smallm.core.console import say, warn, wrapped
from smallm.core.errors import UserError
from smallm.core.recipe import load_recipe
from smallm.core.run import Run

SPLITS = ("train", "validation", "test")
LONGEST_PIECE = 600  # characters of untrained text that are shown; what is learned is shown whole
GREEN, DIM, PLAIN = "\x1b[1;32m", "\x1b[2m", "\x1b[0m"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def audit_command(recipe: str, *, name: str, rows: int, overrides: list[str], as_json: bool) -> None:
    """Audit and print. UserError: no `finetune.data`, a base that is not there, or whatever the audit found."""
    loaded = load_recipe(recipe, overrides)
    if not loaded.finetune.data:
        raise UserError(
            f"{loaded.name}: finetune.data is empty, so there is nothing to audit. Name examples: "
            "--set finetune.data=[FILE]"
        )
    run = Run(run_directory(recipe, name, loaded.name))
    from smallm.finetune.tokens import audited

    done, _, _ = audited(loaded, run, shown=rows)
    if as_json:
        print(json.dumps(done.json(), indent=2, ensure_ascii=False, sort_keys=True))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for number, row in enumerate(done.shown, 1):
            print(row_text(row, number, len(done.shown), colour=colour) + "\n")
        print(table(done.figures))
        sys.stdout.flush()
    for note in done.notes:
        warn(note)
    done.raise_failures()
    say("No fault found: what is trained is what is marked.")


# ---- rows ----------------------------------------------------------------------------------------------------------


def row_text(row: Mapping[str, Any], number: int, of: int, *, colour: bool) -> str:
    """A row of audit.json for a terminal: a title, then its text; special tokens by name, newlines as ⏎."""
    title = f"row {number} of {of}, {row['source']} {row['id']}: {row['tokens']} tokens, {row['trained']} trained"
    parts = []
    for learned, group in groupby(row["pieces"], key=lambda piece: piece[1]):
        pieces = list(group)
        if colour:
            parts += [_coloured(text, learned, special) for text, _, special in pieces]
        else:
            text = "".join(_shown(text, learned) for text, _, _ in pieces)
            parts.append(f"⟦{text}⟧" if learned else text)
    body = "".join(parts).rstrip("\n")
    return f"{DIM}{title}{PLAIN}\n{body}" if colour else f"{title}\n{body}"


def _coloured(text: str, learned: bool, special: bool) -> str:
    """Colours end before each line's end, so that they survive a pager that works line by line."""
    code = GREEN if learned else DIM if special else ""
    lines = _shown(text, learned).split("\n")
    return "\n".join(f"{code}{line}{PLAIN}" if code and line else line for line in lines)


def _shown(text: str, learned: bool) -> str:
    """The text with its newlines marked and control characters as pictures; a long one that is not learned, cut."""
    if not learned and len(text) > LONGEST_PIECE:
        half = LONGEST_PIECE // 2
        text = f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"
    visible = _CONTROL.sub(lambda m: chr(0x2400 + ord(m[0])) if ord(m[0]) < 0x20 else "�", text)
    return visible.replace("\n", "⏎\n")


# ---- counts --------------------------------------------------------------------------------------------------------


def table(figures: Mapping[str, Any]) -> str:
    """The counts of the splits, of the sets where there are several, and what opens and ends the rows."""
    splits = [figures["splits"][split] for split in SPLITS]
    lines = [["", *SPLITS]]
    for key in ("examples", "tokens", "trained_tokens"):
        lines.append([key.replace("_", " "), *(f"{one[key]:,}" for one in splits)])
    lines.append(["share trained", *(_share(one["trained_share"]) for one in splits)])
    lines.append(["answers learned", *(f"{one['answers']:,}" for one in splits)])
    for title, key in (("median length", "median"), (f"longest (limit {figures['max_length']:,})", "longest")):
        lines.append([title, *("–" if one["lengths"][key] is None else f"{one['lengths'][key]:,}" for one in splits)])
    odd = {"too long, left out": "dropped", "too long, cut": "cut", "typed specials": "with_typed_specials"}
    for title, key in odd.items():
        if any(one[key] for one in splits):
            lines.append([title, *(f"{one[key]:,}" for one in splits)])
    return "\n".join([*_aligned(lines), *_sets(figures), *_labels(figures), "", *_facts(figures)])


def _sets(figures: Mapping[str, Any]) -> list[str]:
    """Of several sets, what each gives to train."""
    sources = figures["splits"]["train"]["sources"]
    if len(sources) < 2:
        return []
    lines = [["set (train)", "examples", "tokens", "share trained"]]
    for name, one in sources.items():
        share = one["trained_tokens"] / one["tokens"] if one["tokens"] else None
        lines.append([name, f"{one['examples']:,}", f"{one['tokens']:,}", _share(share)])
    return ["", *_aligned(lines)]


def _labels(figures: Mapping[str, Any]) -> list[str]:
    """The classes with their counts in train; of many, the commonest and rarest."""
    labels = figures["splits"]["train"]["labels"]
    if not labels:
        return []
    ranked = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked if len(ranked) <= 12 else [*ranked[:6], ("…", None), *ranked[-3:]]
    listed = ", ".join(f"{name} {n:,}" if n is not None else name for name, n in shown)
    return ["", wrapped(f"{len(labels)} labels in train: {listed}")]


def _facts(figures: Mapping[str, Any]) -> list[str]:
    """What opens and ends rows, and what was dropped as duplicate, in words."""
    template, data = figures["template"], figures["data"]
    bos = template["bos_per_row"]
    opened = ", ".join(f"{name} {n:,}" for name, n in template["first_tokens"].items()) or "none"
    ended = ", ".join(f"{name} {n:,}" for name, n in template["last_trained_tokens"].items()) or "none"
    counted = ", ".join(f"{n} in {rows:,} rows" for n, rows in bos.items()) or "the tokenizer has none"
    dropped = data.get("duplicates", {}).get("dropped", {})
    duplicates = ", ".join(f"{_number(n)} {reason}" for reason, n in dropped.items()) or "none dropped"
    return [
        wrapped(f"first tokens: {opened}; BOS: {counted}"),
        wrapped(f"last learned tokens: {ended}; generation stops at {', '.join(template['end_tokens'])}"),
        wrapped(f"template {template['sha256'][:8]}, learned: {figures['train_on']}; duplicates: {duplicates}"),
    ]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
