"""Exercise: one merge of byte-pair encoding, counted and applied.

    count(a, b) = sum over words of frequency(word) * (how often b stands right after a in it)
    the next merge is the pair of the largest count; of equal ones the smaller pair of ids
    applying it replaces a, b by a new id, from left to right; what was replaced is not looked at again

Training is these two steps in turn; encoding is the second one alone, merge after merge. Source: Sennrich et al. 2016,
algorithm 1; Radford et al. 2019 for bytes. Page: papers/gpt2.md.
Check: python -m pytest exercises/checks/test_bpe_merge.py
"""

from __future__ import annotations

Pair = tuple[int, int]


def best_pair(words: dict[tuple[int, ...], int]) -> Pair | None:
    """The next merge. `words`: the ids of each distinct word and how often it stands in the text.

    None when no pair stands there twice: a pair that occurs once teaches nothing.
    """
    raise NotImplementedError


def merge(ids: tuple[int, ...], pair: Pair, new: int) -> tuple[int, ...]:
    """`ids` with every `pair` replaced by `new`."""
    raise NotImplementedError
