"""Regular spelling of English forms: plural and -s, past, -ing."""

from __future__ import annotations

import re

# One vowel before one consonant at the end of a short word: the consonant doubles (hop, hopped; not rain, open, draw).
_DOUBLES = re.compile(r"[^aeiou]*(?:u(?=i))?[aeiou][bdgklmnprt]")


def _doubled(base: str) -> str:
    return base + base[-1] if _DOUBLES.fullmatch(base) or base in ("forget", "begin") else base


def s_form(base: str) -> str:
    """Plural of a noun, third person of a verb: box, boxes; baby, babies; boy, boys."""
    if base.endswith(("s", "x", "z", "ch", "sh")) or base in ("go", "do"):
        return base + "es"
    return base[:-1] + "ies" if base[-1] == "y" and base[-2] not in "aeiou" else base + "s"


def past_form(base: str) -> str:
    """The regular past: like, liked; carry, carried; stop, stopped; play, played."""
    if base.endswith("e"):
        return base + "d"
    return base[:-1] + "ied" if base[-1] == "y" and base[-2] not in "aeiou" else _doubled(base) + "ed"


def ing_form(base: str) -> str:
    """like, liking; run, running; see, seeing; open, opening."""
    if base.endswith("e") and not base.endswith(("ee", "ye")):
        return base[:-1] + "ing"
    return _doubled(base) + "ing"
