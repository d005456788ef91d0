"""A guess at the language of a text, by its commonest words; code by the look of its lines.

Good enough to tell a person what is in a folder; not a language filter.
"""

from __future__ import annotations

import re


def _table(words: str) -> frozenset[str]:
    return frozenset(words.split())


# The commonest function words of each, without those that two of the languages share in equal measure.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": _table("the of and to is that it was for with as his he be on by at this had not are but from"),
    "de": _table("der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch es"),
    "fr": _table("le la les et des une est dans que qui pour pas sur au avec ce il du ne se plus"),
    "es": _table("el los las y que por con una para su como más del se lo al pero sus fue era"),
    "it": _table("il di che e la per un non sono una con del gli della dei si nel alla più anche"),
}
WORDS = 2000
MIN_SHARE = 0.1
WORD = re.compile(r"[^\W\d_]+")
CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*(def |class |import |from \w+ import|#include|function |const |let |var |return\b|if ?\(|for ?\("
    r"|public |@\w+)"
)


def language(text: str) -> str:
    """`en`, `de`, `fr`, `es`, `it`, `code`, or `other` (no table has a tenth of the words, or too few words)."""
    if looks_like_code(text):
        return "code"
    words = [w.lower() for w in WORD.findall(text[: WORDS * 8])[:WORDS]]
    if len(words) < 5:
        return "other"
    hits = {name: sum(w in table for w in words) / len(words) for name, table in STOP_WORDS.items()}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] >= MIN_SHARE else "other"


def looks_like_code(text: str) -> bool:
    """Whether a third of the first 200 non-blank lines look like source code."""
    lines = [line for line in text[:20_000].splitlines() if line.strip()][:200]
    return len(lines) >= 3 and sum(bool(CODE_LINE.search(line)) for line in lines) > len(lines) / 3
