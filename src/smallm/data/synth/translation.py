"""English-German sentence pairs with right cases, endings and word order, by construction.

A record is {english, german, construction, lemmas, held_out}. `construction` names what the sentence shows, joined by
`+`: its frame (subordinate, passive ...), its tense where it is no present (perfect, modal, future), and separable.
An English word stands for one German word, and a construction for one rendering, so that a sentence has one right
translation; but for the few whose English does not tell the past (`They cut the bread.`) or the number (`the sheep`).
Held out from train, and only asked in tests: combinations of lemmas (verb and noun, adjective and noun; a
hash decides) and the two combinations of constructions in HELD_OUT_CONSTRUCTIONS; `held_out` says which, in train it
is "". All text is written for smallm (licence: that of this package).
"""

from __future__ import annotations

from typing import Any

from .draw import Draw, Drawn, collect, in_test
from .translation_constructions import CONSTRUCTIONS
from .translation_statements import Pair
from .translation_words import matrix

VERSION = "1"  # raise it with every change of words, grammar or drawing

# Neither occurs in train, though each of the two does: `weil er den Ball gesucht hat`, `muss das Fenster aufmachen`.
HELD_OUT_CONSTRUCTIONS = (("subordinate", "perfect"), ("modal", "separable"))
# Sentences of more words are oftener held out: they are drawn oftener, so that train has enough of them.
_FRAMES = tuple(name for name in CONSTRUCTIONS for _ in range({"coordination": 5, "subordinate": 5}.get(name, 2)))
_FRAMES += ("relative", "wh", "adjective", "possessive", "negation", "inversion", "yes_no", "accusative", "giving") * 2
# Of 20 sentences; a construction that does not know the tense is drawn in the present.
_TENSES = ["present"] * 10 + ["past"] * 4 + ["modal"] * 4 + ["future"] * 2


def draw_pair(draw: Draw) -> tuple[str, Pair] | None:
    """The construction's name and a pair, or None where the words drawn do not go together."""
    frame = draw.pick(_FRAMES)
    make, tenses = CONSTRUCTIONS[frame]
    tense = draw.pick(_TENSES)
    tense = tense if tense in tenses else "present"
    pair = make(draw, draw.pick(matrix("MODALS")) if tense == "modal" else tense)
    if pair is None:
        return None
    return "+".join([frame, *pair.features]), pair


def held_out(construction: str, pair: Pair) -> str:
    """Why the pair is a test's alone: `constructions`, `lemmas`; "" where train has it."""
    tags = set(construction.split("+"))
    if any(tags.issuperset(combination) for combination in HELD_OUT_CONSTRUCTIONS):
        return "constructions"
    return "lemmas" if any(in_test("translation", f"{one} {two}") for one, two in pair.held) else ""


def _make(draw: Draw) -> Drawn | None:
    drawn = draw_pair(draw)
    if drawn is None:
        return None
    construction, pair = drawn
    record = {
        "english": pair.english,
        "german": pair.german,
        "construction": construction,
        "lemmas": list(pair.lemmas),
        "held_out": held_out(construction, pair),
    }
    return Drawn(record, pair.english, construction)


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct pairs in drawn order; see draw.collect for the splits and errors."""
    return collect("translation", seed, items, split, _make, lambda drawn: bool(drawn.record["held_out"]))
