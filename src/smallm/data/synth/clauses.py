"""Contract clauses with their type: governing law, termination, payment and nine more, by construction.

A record is {text, label, wording}. A type has some eight wordings with drawn parties, periods, sums, turns of phrase;
half of the clauses open by naming another type, and all mention the subjects of others, so that no single word tells
the type. Types take turns. Held out from train: one wording of each type (`wording` is new, else known), and of the
known wordings combinations of everything but figures. No legal advice. All text is written for smallm (licence:
that of this package); the wordings are lexicon_clauses.py's.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from . import lexicon_clauses as words
from .draw import Draw, Drawn, collect, in_test
from .story_grammar import split_list

VERSION = "1"  # raise it with every change of words or drawing


@cache
def wordings() -> dict[str, list[str]]:
    """Type -> its lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in words.CLAUSES.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        elif line:
            lines.append(line)
    return found


LABELS = tuple(wordings())


def _by_semicolon(text: str) -> list[str]:
    return [part.strip() for part in text.split(";")]


@cache
def _slots() -> dict[str, list[str]]:
    return {
        "things": split_list(words.THINGS), "state": split_list(words.STATES), "city": split_list(words.CITIES),
        "days": split_list(words.DAYS), "years": split_list(words.YEARS), "amount": _by_semicolon(words.AMOUNTS),
        "percent": split_list(words.PERCENTS), "date": split_list(words.DATES), "event": split_list(words.EVENTS),
    }  # fmt: skip


def _make(draw: Draw) -> Drawn:
    label = draw.turn(LABELS)
    line = draw.pick(wordings()[label])
    a, b = draw.pick([pair.split("|") for pair in split_list(words.PARTIES)])
    if draw.chance(1, 2):
        a, b = b, a
    slots = {**_slots(), "things": [draw.pick(_slots()["things"])], "A": [f"the {a}"], "B": [f"the {b}"]}
    text = draw.fill(line.removeprefix("*"), slots)
    if draw.chance(1, 2):
        lead = draw.pick(_by_semicolon(words.LEADS))
        other = draw.pick([name for name in LABELS if name != label])
        text = f"{lead.format(other=other)}, {text[0].lower()}{text[1:]}"
    text = text[0].upper() + text[1:]
    record = {"text": text, "label": label, "wording": "new" if line.startswith("*") else "known"}
    return Drawn(record, text, re.sub(r"\d[\d,.]*", "#", text))


def _held_out(drawn: Drawn) -> bool:
    return drawn.record["wording"] == "new" or in_test("clauses", drawn.key)


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct clauses in drawn order; see draw.collect for the splits and errors."""
    return collect("clauses", seed, items, split, _make, _held_out)
