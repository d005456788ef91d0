"""How much of a text is copied from another: the share of word n-grams that also stand there.

Words are runs of letters and digits, lower-cased, so that punctuation and case do not hide a copy. n-grams do not
cross texts. N-grams are kept as 64-bit hashes (blake2b), so the answer is the same in every process; with 10 million
n-grams in the training text the chance of a false hit is 5e-13 a query.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def ngram_hashes(text: str, n: int) -> Iterator[int]:
    """64-bit hash of each run of n words of the text, in order; none where it has fewer than n words."""
    words = _WORD.findall(text.lower())
    for start in range(len(words) - n + 1):
        digest = blake2b(" ".join(words[start : start + n]).encode(), digest_size=8).digest()
        yield int.from_bytes(digest, "little")


def ngram_share(texts: Iterable[str], training_texts: Iterable[str], n: int = 13) -> float:
    """Share (0 to 1) of the word n-grams of `texts`, repeats counted, that stand in `training_texts`.

    Memory grows with `texts` (one hash an n-gram), not with the training texts, which are streamed once.
    Raises ValueError when no text has n words.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    asked = array("Q", (value for text in texts for value in ngram_hashes(text, n)))
    if not asked:
        raise ValueError(f"no text has {n} words, so there is no {n}-gram to look up")
    wanted = set(asked)
    seen: set[int] = set()
    for text in training_texts:
        seen.update(wanted.intersection(ngram_hashes(text, n)))
    return sum(value in seen for value in asked) / len(asked)


def distinct_ngram_share(texts: Iterable[str], n: int = 4) -> float:
    """Distinct word n-grams over all word n-grams (0 to 1): high where little is repeated. ValueError as above."""
    values = array("Q", (value for text in texts for value in ngram_hashes(text, n)))
    if not values:
        raise ValueError(f"no text has {n} words, so there is no {n}-gram to count")
    return len(set(values)) / len(values)
