"""The parser of the stories' grammar: accepts what the generator can say, and nothing else."""

from __future__ import annotations

import random
import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.data.synth import stories, story_grammar, story_parser
from smallm.data.synth.story_parser import accepted_share, parse_sentences, parse_story, template_of


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return [s.text for story in islice(stories.generate(21), 400) for s in parse_sentences(story)]


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_every_sentence_of_every_generated_story_is_accepted(seed: int):
    for story in islice(stories.generate(seed), 20):
        assert [s.text for s in parse_sentences(story) if not s.accepted] == []


def test_splitting_loses_nothing():
    for story in islice(stories.generate(22), 200):
        assert " ".join(s.text for s in parse_sentences(story)) == story.replace("\n\n", " ")


def test_nearly_every_template_is_told_within_six_thousand_stories():
    told = {s.template for story in islice(stories.generate(23), 1_500) for s in parse_sentences(story)}
    known = {s for beat in story_grammar.BEATS.values() for line in beat for s in story_grammar.split_sentences(line)}
    assert len(told & known) > 0.97 * len(known)


@pytest.mark.parametrize(
    "sentence",
    [
        "Once upon a time, there was an honest girl named Lily.",
        '"Oh no! Where is my kite?" cried Tom.',
        "Tom felt sad.",
        "She liked to draw maps in the winter.",
        "Once upon a time, there was a brave fox named Pip.",
    ],
)
def test_sentences_of_the_grammar_are_accepted(sentence: str):
    assert template_of(sentence) is not None


@pytest.mark.parametrize(
    ("sentence", "fault"),
    [
        ("Once upon a time, there was a honest girl named Lily.", "article"),
        ("Once upon a time, there was an kind girl named Lily.", "article"),
        ("Once upon a time, there was a kind boy named Lily.", "gender of the noun"),
        ("Once upon a time, there was a kind fox named Lily.", "a girl's name for a fox"),
        ("Once upon a time, there was kind girl named Lily.", "article missing"),
        ("Once upon a time, there is a kind girl named Lily.", "tense"),
        ("Tom loved her red kite more than an apple.", "phrase that is not there"),
        ("Tom loved her red kite more than a sweet apple.", "pronoun"),
        ("Tom had a red kite, and she took it everywhere.", "pronoun"),
        ("All day, Tom rode the red kite.", "verb of another object"),
        ("All day, Tom fly the red kite.", "verb form"),
        ("Tom felt sad", "no full stop"),
        ("tom felt sad.", "no capital"),
        ("Tom felt  sad.", "two spaces"),
        ("Tom felt sad .", "space before the full stop"),
        ('"Oh no! Where is my kite? cried Tom.', "quote not closed"),
        ('" Oh no! Where is my kite?" cried Tom.', "space inside the quote"),
        ('Oh no! Where is my kite?" cried Tom.', "quote not opened"),
        ("", "nothing"),
    ],
)
def test_one_fault_is_enough_to_reject(sentence: str, fault: str):
    assert template_of(sentence) is None, fault


def test_the_correct_twin_of_the_faulty_sentences_is_accepted():
    """So that the rejections above have the named reason."""
    for sentence in (
        "Once upon a time, there was a kind girl named Lily.",
        "Tom loved his red kite more than a sweet apple.",
        "Tom had a red kite, and he took it everywhere.",
        "All day, Tom flew the red kite.",
    ):
        assert template_of(sentence) is not None


def test_shuffled_words_are_rejected(sentences: list[str]):
    rng = random.Random(5)
    accepted = tried = 0
    for sentence in sentences[:1_500]:
        words = sentence.split()
        shuffled = words[:]
        rng.shuffle(shuffled)
        if shuffled != words:
            tried += 1
            accepted += template_of(" ".join(shuffled)) is not None
    assert tried > 1_000
    assert accepted / tried < 0.002


def test_wrong_articles_are_rejected(sentences: list[str]):
    swapped = [re.sub(r"\b(an?)\b", lambda m: {"a": "an", "an": "a"}[m[1]], s, count=1) for s in sentences]
    changed = [new for new, old in zip(swapped, sentences, strict=True) if new != old]
    assert len(changed) > 1_000
    assert not [s for s in changed if template_of(s)]


def test_sentences_cut_short_are_rejected(sentences: list[str]):
    """Without its last word a sentence may by chance be another one ("went home happy"), seldom."""
    cut = [re.sub(r" [^ ]+$", ".", s) for s in sentences[:2_000]]
    assert sum(template_of(s) is not None for s in cut) / len(cut) < 0.02
    unfinished = [s.rstrip('.!?"') for s in sentences[:2_000]]
    assert not [s for s in unfinished if template_of(s)]


def test_sentences_of_another_author_are_rejected(shared_data):
    text = shared_data("tinystories/tinystories-cased-1MB.txt").read_text()[:400_000]
    assert accepted_share([text]) < 0.002


def test_the_unfinished_end_of_a_truncated_text_is_not_counted():
    text = 'Tom felt sad. "Oh no! Where is my'
    assert [s.accepted for s in parse_sentences(text)] == [True, False]
    assert [s.accepted for s in parse_sentences(text, truncated=True)] == [True]
    assert len(parse_sentences("Tom felt sad. Tom felt sad.", truncated=True)) == 2
    assert len(parse_sentences('Tom felt sad. "Oh no! Where is my kite?"', truncated=True)) == 1  # who said it?
    assert parse_sentences("", truncated=True) == []


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str):
    parse_sentences(text)
    parse_sentences(text, truncated=True)


def test_a_story_cut_anywhere_is_all_accepted_when_called_truncated():
    story = next(stories.generate(4))
    for end in range(40, len(story)):
        assert all(s.accepted for s in parse_sentences(story[:end], truncated=True)), story[:end]


def test_the_share_is_of_sentences():
    assert accepted_share(["Tom felt sad. Blah blah.", "Lily felt sad. Mia felt sad."]) == 0.75
    assert parse_story("Tom felt sad. Blah.") == [("Tom felt sad.", True), ("Blah.", False)]
    with pytest.raises(ValueError, match="no sentence"):
        accepted_share([""])


def test_generator_and_parser_read_the_same_tables():
    """A slot of any template, filled with any of its phrases, stays a sentence of the grammar."""
    rng = random.Random(8)
    for beat in story_grammar.BEATS.values():
        for line in beat:
            for template in story_grammar.split_sentences(line):
                entities = {role: rng.choice(entities) for role, entities in story_grammar.ROLES.items()}

                def fill(match: re.Match, entities=entities) -> str:
                    key = match[1]
                    if key.startswith("=") or not story_grammar.parse_slot(key).role:
                        return rng.choice(story_grammar.phrases_of(key))
                    slot = story_grammar.parse_slot(key)
                    return story_grammar.inflect(slot, rng.choice(entities[slot.role][slot.form]))

                sentence = re.sub(r"\{([^}]*)\}", fill, template)
                assert story_parser.template_of(sentence), sentence
