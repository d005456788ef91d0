"""Exercise: MinHash, which tells how alike two sets are from a few numbers of each.

    J(A, B)        = |A ∩ B| / |A ∪ B|
    h_k(v)         = (a_k v + b_k) mod p,  p = 2^61 - 1
    signature_k(A) = min over v in A of h_k(v);  P(signature_k(A) = signature_k(B)) = J(A, B)
    proposed(J)    = 1 - (1 - J^rows)^bands: do all rows of at least one band agree?

The share of equal places estimates J with a standard error of sqrt(J (1 - J) / K). Source: Broder 1997; bands: Leskovec
et al., Mining of Massive Datasets, section 3.4. A candidate is compared exactly before it counts as a duplicate.
Check: python -m pytest exercises/checks/test_minhash.py
Letters: K hash functions.
"""

from __future__ import annotations

from collections.abc import Sequence

P = (1 << 61) - 1


def signature(values: set[int], functions: Sequence[tuple[int, int]]) -> list[int]:
    """One number a function (a, b): the least hash of the set. `values` are 64-bit hashes of shingles, at least one."""
    return [min((a * v + b) % P for v in values) for a, b in functions]


def similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """The Jaccard similarity that two signatures of the same functions tell, 0 to 1."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def proposed(jaccard: float, bands: int, rows: int) -> float:
    """The probability that a pair of this similarity becomes a candidate."""
    return 1.0 - (1.0 - jaccard**rows) ** bands
