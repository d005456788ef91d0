"""Story figures: what counts as a sentence, as accepted, as copied."""

from __future__ import annotations

import pytest

from smallm.evaluate.stories import share_in_training, story_figures, whole_sentences

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def parse(story: str) -> list[tuple[str, bool]]:
    return [(sentence.strip(), "bad" not in sentence) for sentence in story.split(".") if sentence.strip()]


def test_a_copied_text_has_every_ngram_in_training():
    assert share_in_training([WORDS], [WORDS.upper() + "!"]) == 1.0


def test_a_new_text_has_none():
    assert share_in_training([WORDS], [" ".join(reversed(WORDS.split()))]) == 0.0


def test_repeats_are_counted_as_often_as_they_are_said():
    other = WORDS.replace("one", "zero", 1)
    assert share_in_training([WORDS, WORDS, other], [" ".join(WORDS.split()[:13])]) == pytest.approx(2 / 9)


def test_texts_under_thirteen_words_have_no_share():
    assert share_in_training(["too short"], [WORDS]) is None


def test_figures_count_sentences_and_show_each_rejected_one_once():
    figures = story_figures(["A cat sat. A bad dog.", "A bad dog. A hen ran."], parse, [])
    assert (figures["sampled"], figures["sentences"], figures["accepted_share"]) == (2, 4, 0.5)
    assert figures["rejected_examples"] == ["A bad dog"]
    assert 0 <= figures["accepted_low"] < 0.5 < figures["accepted_high"] <= 1


def test_no_sentence_means_not_measured():
    assert story_figures(["", ""], parse, [])["accepted_share"] is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Tom ran. He fel", "Tom ran."),
        ('"Stop!" she said. Then th', '"Stop!" she said.'),
        ("no end at all", ""),
        ("It cost 3.50 coins. Wow!", "It cost 3.50 coins. Wow!"),
    ],
)
def test_a_sentence_that_the_limit_cut_is_not_judged(text: str, whole: str):
    assert whole_sentences(text, ended=False) == whole
    assert whole_sentences(text, ended=True) == text
