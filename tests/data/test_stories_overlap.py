"""Shares of n-grams: exact on small texts, and low between generated samples and a training text."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.data.synth import stories
from smallm.data.synth.overlap import distinct_ngram_share, ngram_hashes, ngram_share

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=0, max_size=30)


@given(st.lists(words, max_size=4), st.lists(words, max_size=4), st.integers(1, 5))
def test_the_share_is_that_of_the_slow_twin(asked: list[list[str]], training: list[list[str]], n: int):
    def grams(text: list[str]) -> list[tuple[str, ...]]:
        return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]

    wanted = [gram for text in asked for gram in grams(text)]
    known = {gram for text in training for gram in grams(text)}
    texts = [" ".join(text) for text in asked]
    if not wanted:
        with pytest.raises(ValueError, match="-gram"):
            ngram_share(texts, [], n)
        return
    expected = sum(gram in known for gram in wanted) / len(wanted)
    assert ngram_share(texts, [" ".join(text) for text in training], n) == expected
    assert distinct_ngram_share(texts, n) == len(set(wanted)) / len(wanted)


def test_a_text_is_wholly_in_itself_and_case_and_punctuation_do_not_hide_a_copy():
    story = next(stories.generate(1))
    assert ngram_share([story], [story]) == 1.0
    assert ngram_share([story.upper().replace(",", ";")], [story]) == 1.0


def test_ngrams_do_not_cross_texts():
    assert ngram_share(["a b c d"], ["a b", "c d"], n=2) == 2 / 3


def test_hashes_are_the_same_in_every_process():
    assert list(ngram_hashes("One day, Tom ran.", 4)) == [8030569588461101249]
    assert list(ngram_hashes("Tom ran.", 4)) == []


def test_n_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        ngram_share(["a"], ["a"], n=0)


def test_fresh_stories_share_few_13_grams_with_a_training_text():
    """The floor under what a model can reach: its own memory comes on top. 4 % against 8 MB, 2 to 3 % here."""
    fresh = list(islice(stories.generate(1), 100))
    assert ngram_share(fresh, stories.generate(2, 3_000_000)) < 0.06
