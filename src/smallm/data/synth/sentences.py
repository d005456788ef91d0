"""English and German sentences of the translation grammar for pretraining: both languages, never a pair.

A document is 8 to 16 sentences of one language, one a line. A hash of the English sentence says in which of the two
languages a pair may be said, the same for every seed, so that no sentence meets its translation in any document; and
what the translation task holds out for its tests is said in neither. All text is written for smallm (licence: that of
this package).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal

from . import translation
from .draw import Draw

VERSION = f"1.{translation.VERSION}"  # raise the first number with every change of drawing or of sides

Language = Literal["english", "german"]

SENTENCES = (8, 16)  # of a document, both included
GERMAN_OF_8 = 5  # of 8 pairs, the others are said in English, which the stories teach too
# English words that German says alike (`ihr`, `sie`): sentences that differ in them only are on the same side.
_ALIKE = {"their": "her", "them": "her"}


def language_of(english: str) -> Language:
    """The language in which the pair of this English sentence may be said."""
    words: list[str] = re.findall(r"\w+", english.lower())
    key = f"sentences:{' '.join(_ALIKE.get(word, word) for word in words)}".encode()
    return "german" if blake2b(key, digest_size=4).digest()[0] % 8 < GERMAN_OF_8 else "english"


def generate(seed: int, size_bytes: int | None = None) -> Iterator[str]:
    """Documents until at least `size_bytes` bytes of UTF-8 are out (without end when None).

    The same seed and VERSION give the same documents on every machine and Python.
    """
    draw, written = Draw("sentences", seed), 0
    lines: dict[Language, list[str]] = {"english": [], "german": []}
    lengths = {language: draw.between(*SENTENCES) for language in lines}
    while size_bytes is None or written < size_bytes:
        drawn = translation.draw_pair(draw)
        if drawn is None or translation.held_out(*drawn):
            continue
        pair = drawn[1]
        language = language_of(pair.english)
        lines[language].append(pair.german if language == "german" else pair.english)
        if len(lines[language]) == lengths[language]:
            document = "\n".join(lines[language]) + "\n"
            written += len(document.encode("utf-8"))
            lines[language], lengths[language] = [], draw.between(*SENTENCES)
            yield document
