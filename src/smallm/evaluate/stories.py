"""Stories that a model tells, held against the grammar that the training stories came from.

Two figures: the share of sentences that the generator's grammar accepts (does it speak the
language?), and the share of word 13-grams that stand in the training text (does it copy?).
Takes texts; sampling them is stage.py's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from smallm.evaluate.ratios import share_with_interval

NGRAM = 13
SHOWN = 10


def whole_sentences(text: str, ended: bool) -> str:
    """`text` without its last sentence when the sampling limit, not the model, ended it."""
    if ended:
        return text
    ends = [match.end() for match in re.finditer(r"[.!?][\"”’]*(?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""


def story_figures(
    stories: Sequence[str],
    parse: Callable[[str], list[tuple[str, bool]]],
    training_texts: Iterable[str],
) -> dict[str, Any]:
    """The `stories` figures of eval/<model>.json.

    `parse` gives (sentence, accepted) for a story. The interval is 95 %, stories as clusters. Shares are
    None when there is no sentence or no 13-gram to count.
    """
    parsed = [parse(story) for story in stories]
    accepted_N = np.array([sum(ok for _, ok in sentences) for sentences in parsed])
    counted_N = np.array([len(sentences) for sentences in parsed])
    rejected = [sentence for sentences in parsed for sentence, ok in sentences if not ok]
    share, low, high = (None, None, None)
    if counted_N.sum():
        share, low, high = share_with_interval(accepted_N, counted_N)
    return {
        "sampled": len(stories),
        "sentences": int(counted_N.sum()),
        "accepted_share": share,
        "accepted_low": low,
        "accepted_high": high,
        "rejected_examples": list(dict.fromkeys(rejected))[:SHOWN],
        "ngram13_in_training_share": share_in_training(stories, training_texts),
    }


def share_in_training(texts: Sequence[str], training_texts: Iterable[str], n: int = NGRAM) -> float | None:
    """Share of the texts' word n-grams (repeats counted) that occur in one training text.

    Words are runs of non-space, lower-cased, without outer punctuation, as in the usual contamination
    counts. Memory is that of the samples' n-grams: the training text streams by.
    """
    wanted = [gram for text in texts for gram in _ngrams(text, n)]
    if not wanted:
        return None
    missing, found = set(wanted), set()
    for text in training_texts:
        seen = missing.intersection(_ngrams(text, n))
        found |= seen
        missing -= seen
    return sum(gram in found for gram in wanted) / len(wanted)


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = [word for raw in text.lower().split() if (word := raw.strip(".,;:!?\"'“”‘’()-"))]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
