"""Answers without a model: the input copied, the nearest training prompt's answer, the commonest answer.

Pure functions of texts, for every fine-tuning: a score that does not beat them has learned nothing.

    copy       the test input itself, without the words of the template
    nearest    the answer of the training prompt most like the test prompt: cosine of TF-IDF vectors over character
               4-grams of the text without differences of case, width and blanks, a blank at each end; weight
               tf * ln((1 + N) / (1 + df)) with N training prompts, so that a template's words weigh nothing; the
               first of equally near ones (1e-9), the first of all where nothing is shared
    majority   the commonest training answer, the first of equally common ones
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from smallm.finetune.examples import Example, input_text, normal, prompt_text

NGRAM = 4
# Test prompts compared at once: 256 x 100,000 similarities are 200 MB.
ROWS = 256
NAMES = {
    "copy": "the input, copied",
    "nearest": "the answer of the nearest training prompt",
    "majority": "the commonest answer",
}


def baselines(train: Sequence[Example], test: Sequence[Example]) -> dict[str, list[str]]:
    """Name -> an answer for each test example, in order. ValueError without training examples."""
    answers = [one.answer for one in train]
    return {
        "copy": [input_text(one) for one in test],
        "nearest": nearest_answers([*map(prompt_text, train)], answers, [*map(prompt_text, test)]),
        "majority": [majority(answers)] * len(test),
    }


def majority(answers: Sequence[str]) -> str:
    """The commonest answer, the first of equally common ones. ValueError without any."""
    if not answers:
        raise ValueError("no training answers, so none is the commonest")
    return Counter(answers).most_common(1)[0][0]


def nearest_answers(train_prompts: Sequence[str], train_answers: Sequence[str], prompts: Sequence[str]) -> list[str]:
    """The answer of the nearest training prompt for each prompt. ValueError: lengths differ, or nothing to look in."""
    if len(train_prompts) != len(train_answers):
        raise ValueError(f"{len(train_prompts)} training prompts have {len(train_answers)} answers")
    return [train_answers[i] for i in nearest(train_prompts, prompts)]


def nearest(train_prompts: Sequence[str], prompts: Sequence[str]) -> list[int]:
    """For each prompt the index of the nearest training prompt, as the module says."""
    if not train_prompts:
        raise ValueError("no training prompts, so none is the nearest")
    from scipy import sparse

    learned, asked = [_grams(t) for t in train_prompts], [_grams(t) for t in prompts]
    vocabulary = np.unique(np.concatenate([*(keys for keys, _ in learned), np.empty(0, np.uint64)]))
    train_NV = _matrix(learned, vocabulary)
    df_V = np.bincount(train_NV.indices, minlength=len(vocabulary))
    idf_V = np.log((1 + len(learned)) / (1 + df_V))
    train_NV = _unit(train_NV @ sparse.diags_array(idf_V))
    # What no training prompt has only lengthens the test vector, which changes no order.
    test_MV = _unit(_matrix(asked, vocabulary) @ sparse.diags_array(idf_V))
    columns_VN = train_NV.T.tocsc()
    found: list[int] = []
    for start in range(0, len(asked), ROWS):
        similar = np.asarray((test_MV[start : start + ROWS] @ columns_VN).todense())
        found += np.round(similar, 9).argmax(axis=1).tolist()
    return found


def _grams(text: str) -> tuple[np.ndarray, np.ndarray]:
    """(sorted keys, counts) of the 4-grams: a key is a 64-bit hash of four code points, a collision 1 in 10^19."""
    points = np.frombuffer(f" {normal(text)} ".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = max(1, len(points) - NGRAM + 1)
    keys = np.zeros(size, np.uint64)
    for i in range(min(NGRAM, len(points))):
        keys = (keys ^ points[i : i + size]) * np.uint64(0x9E3779B97F4A7C15)  # wraps, as it should
        keys ^= keys >> np.uint64(29)
    return np.unique(keys, return_counts=True)


def _matrix(grams: Sequence[tuple[np.ndarray, np.ndarray]], vocabulary: np.ndarray) -> Any:
    """Counts as a sparse matrix [texts, vocabulary]; a gram outside the vocabulary is left out."""
    from scipy import sparse

    indices, counts, ends = [], [], [0]
    for keys, number in grams:
        at = np.searchsorted(vocabulary, keys)
        known = at < len(vocabulary)
        known[known] = vocabulary[at[known]] == keys[known]
        indices.append(at[known])
        counts.append(number[known].astype(np.float64))
        ends.append(ends[-1] + int(known.sum()))
    data = (np.concatenate([*counts, np.empty(0)]), np.concatenate([*indices, np.empty(0, np.int64)]), np.array(ends))
    return sparse.csr_array(data, shape=(len(grams), len(vocabulary)))


def _unit(matrix: Any) -> Any:
    """Rows of length 1; a row of zeros stays."""
    from scipy import sparse

    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1 / np.where(norms > 0, norms, 1.0)) @ matrix)
