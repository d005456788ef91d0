"""Stories that a model tells, held against the grammar that the training stories came from.

Two figures: the share of sentences that the generator's grammar derives (does it speak the language?), and the
share of word 13-grams that stand in the training text (does it copy?). Takes texts; sampling is sample.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from smallm.data.synth.overlap import ngram_share
from smallm.data.synth.story_parser import parse_story
from smallm.evaluate.ratios import share_with_interval
from smallm.evaluate.sample import Sample

NGRAM = 13
SHOWN = 10


def story_figures(stories: Sequence[Sample], training_texts: Iterable[str]) -> dict[str, Any]:
    """The `stories` figures of eval/<model>.json.

    A last sentence that the sampling limit cut is not judged. The interval is 95 %, stories as clusters.
    Shares are None when there is no sentence or no 13-gram to count.
    """
    texts = [story.prompt + story.text for story in stories]
    parsed = [parse_story(text, truncated=not story.ended) for text, story in zip(texts, stories, strict=True)]
    accepted_N = np.array([sum(ok for _, ok in sentences) for sentences in parsed])
    counted_N = np.array([len(sentences) for sentences in parsed])
    rejected = [sentence for sentences in parsed for sentence, ok in sentences if not ok]
    share, low, high = share_with_interval(accepted_N, counted_N) if counted_N.sum() else (None, None, None)
    try:
        copied = ngram_share(texts, training_texts, NGRAM)
    except ValueError:  # no story has 13 words
        copied = None
    return {
        "sampled": len(stories),
        "sentences": int(counted_N.sum()),
        "accepted_share": share,
        "accepted_low": low,
        "accepted_high": high,
        "rejected_examples": list(dict.fromkeys(rejected))[:SHOWN],
        "ngram13_in_training_share": copied,
    }
