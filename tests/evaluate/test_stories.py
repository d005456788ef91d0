"""Story figures: what counts as a sentence, as accepted, as copied."""

from __future__ import annotations

import pytest

from smallm.data.synth.stories import generate
from smallm.evaluate.sample import Sample
from smallm.evaluate.stories import story_figures


def told(text: str, ended: bool = True) -> Sample:
    return Sample("", text, seed=0, ended=ended)


def test_stories_of_the_generator_are_accepted_and_found_in_themselves():
    stories = [text for _, text in zip(range(20), generate(seed=1), strict=False)]
    figures = story_figures([told(s) for s in stories], stories)
    assert figures["accepted_share"] == 1.0
    assert figures["ngram13_in_training_share"] == 1.0
    assert figures["rejected_examples"] == []
    assert 0.8 < figures["accepted_low"] < figures["accepted_high"] == pytest.approx(1.0)


def test_a_sentence_that_no_rule_derives_is_rejected_and_shown_once():
    figures = story_figures(
        [told("Colorless ideas sleep furiously of the."), told("Colorless ideas sleep furiously of the.")], []
    )
    assert (figures["sampled"], figures["sentences"], figures["accepted_share"]) == (2, 2, 0.0)
    assert figures["rejected_examples"] == ["Colorless ideas sleep furiously of the."]


def test_a_sentence_that_the_limit_cut_is_not_judged():
    story = next(iter(generate(seed=2)))
    assert story_figures([told(story + " Then the old", ended=False)], [])["accepted_share"] == 1.0
    assert story_figures([told(story + " Then the old", ended=True)], [])["accepted_share"] < 1.0


def test_the_prompt_belongs_to_the_story():
    story = next(iter(generate(seed=3)))
    whole = story_figures([Sample(story[:20], story[20:], 0, True)], [])
    assert whole == story_figures([told(story)], [])


def test_no_sentence_means_not_measured():
    figures = story_figures([told(""), told("")], [])
    assert (figures["accepted_share"], figures["ngram13_in_training_share"]) == (None, None)
