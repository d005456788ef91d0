"""Your signatures against the exact Jaccard similarity of smallm.finetune.duplicates' word 5-grams."""

from __future__ import annotations

from hashlib import blake2b
from types import ModuleType

import numpy as np
import pytest

from smallm.finetune.duplicates import shingles

K = 1024
A = (
    "Once upon a time there was a brave girl who lived by the river with her old dog, and every morning they went "
    "to the bridge to see the boats."
)
B = A.replace("every morning they went to the bridge", "every evening they walked to the bridge")
C = "The tenant pays the rent on the third working day of each month, by transfer, in advance, and without deduction."


def hashes(text: str) -> set[int]:
    """64-bit hashes of the text's word 5-grams."""
    return {int.from_bytes(blake2b(" ".join(s).encode(), digest_size=8).digest(), "little") for s in shingles(text)}


def functions() -> list[tuple[int, int]]:
    random = np.random.default_rng(0)
    return [(int(a), int(b)) for a, b in random.integers(1, (1 << 61) - 1, size=(K, 2))]


@pytest.mark.parametrize(("one", "other"), [(A, B), (A, C), (B, C), (A, A)])
def test_signatures_tell_the_exact_similarity_within_their_error(exercise: ModuleType, one: str, other: str) -> None:
    exact = len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))
    found = exercise.similarity(*(exercise.signature(hashes(text), functions()) for text in (one, other)))
    # Five standard errors: fixed functions, so it holds or it does not.
    assert found == pytest.approx(exact, abs=5 * (exact * (1 - exact) / K) ** 0.5)


def test_a_signature_is_the_sets_whatever_the_order(exercise: ModuleType) -> None:
    values = sorted(hashes(A))
    assert exercise.signature(set(values), functions()) == exercise.signature(set(reversed(values)), functions())


def test_bands_propose_pairs_as_fineweb_says(exercise: ModuleType) -> None:
    """14 bands of 8: the probabilities of FineWeb's choice."""
    for jaccard, probability in ((0.5, 0.053), (0.7, 0.565), (0.75, 0.772), (0.8, 0.924)):
        assert exercise.proposed(jaccard, 14, 8) == pytest.approx(probability, abs=5e-4)
    assert exercise.proposed(0.0, 14, 8) == 0.0
    assert exercise.proposed(1.0, 14, 8) == 1.0
