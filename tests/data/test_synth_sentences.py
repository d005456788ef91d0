"""The monolingual sentences: both languages, never a pair, nothing that the translation task tests."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from itertools import islice

import pytest

from smallm.core.config import DataConfig, SourceConfig
from smallm.data import sources
from smallm.data.synth import sentences, stories, translation
from smallm.data.synth.draw import Draw

SIZE = 600_000
ENGLISH = re.compile(r"\b(the|a|an|my|our|they|you)\b", re.IGNORECASE)  # no German words


Pairs = dict[tuple[str, str], str]  # (English, German) -> why a test has the pair, "" for train


@pytest.fixture(scope="module")
def made() -> tuple[list[list[str]], Pairs]:
    """The sentences of each document, and the pairs that were drawn for them."""
    drawn, draw_pair = {}, translation.draw_pair

    def recording(draw: Draw):
        found = draw_pair(draw)
        if found is not None:
            drawn[found[1].english, found[1].german] = translation.held_out(*found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "draw_pair", recording)
        documents = [document.splitlines() for document in sentences.generate(0, SIZE)]
    return documents, drawn


@pytest.fixture(scope="module")
def documents(made: tuple[list[list[str]], Pairs]) -> list[list[str]]:
    return made[0]


@pytest.fixture(scope="module")
def pairs(made: tuple[list[list[str]], Pairs]) -> Pairs:
    """The pairs drawn for the documents, and those of 20,000 more draws of another stream."""
    draw, found = Draw("sentences' test", 1), dict(made[1])
    for _ in range(20_000):
        drawn = translation.draw_pair(draw)
        if drawn is not None:
            found[drawn[1].english, drawn[1].german] = translation.held_out(*drawn)
    return found


def test_the_same_seed_gives_the_same_documents_on_every_machine():
    """The digest is of VERSION and its text: change the version together with the drawing."""
    text = "\n".join(islice(sentences.generate(7), 100))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (sentences.VERSION, digest) == ("1.1", "ddcbb3b3fb2f4669")


def test_asking_for_more_bytes_continues_the_same_documents():
    few, many = list(sentences.generate(3, 5_000)), list(sentences.generate(3, 20_000))
    assert many[: len(few)] == few
    written = sum(len(document.encode()) for document in few)
    assert 5_000 <= written < 5_000 + len(few[-1].encode())
    assert list(sentences.generate(3, 0)) == []


def test_no_document_holds_a_sentence_whose_translation_is_in_any_document(documents: list[list[str]], pairs: Pairs):
    said = {sentence for document in documents for sentence in document}
    known = [(english, german) for english, german in pairs if english in said or german in said]
    assert len(known) > 14_000
    both = [(english, german) for english, german in known if english in said and german in said]
    assert [pair for pair in both if pair[0] != pair[1]] == []


def test_the_sentence_of_a_document_of_one_seed_never_translates_one_of_another(pairs: Pairs):
    """The language hangs on the pair alone: sentences that share a translation are all said in the same language."""
    languages = defaultdict(set)
    for english, german in pairs:
        languages[german].add(sentences.language_of(english))
    assert len(languages) > 30_000
    assert [german for german, found in languages.items() if len(found) > 1] == []


def test_no_story_holds_the_english_of_a_german_sentence(documents: list[list[str]], pairs: Pairs):
    said = {sentence for document in documents for sentence in document}
    told = {s for story in stories.generate(0, 1_000_000) for s in re.split(r"(?<=[.!?])\s+", story)}
    assert [english for english, german in pairs if german in said and english in told] == []


def test_no_document_holds_either_side_of_a_test_pair(documents: list[list[str]], pairs: Pairs):
    said = {sentence for document in documents for sentence in document}
    tested = {sentence for pair, why in pairs.items() if why for sentence in pair}
    # `The gate is closed.` is a test's with the adjective and train's as a passive.
    train = {sentence for pair, why in pairs.items() if not why for sentence in pair}
    assert len(tested) > 5_000
    assert sorted(tested & said - train) == []


def test_both_languages_have_20_000_distinct_sentences_each():
    said: dict[str, set[str]] = {"english": set(), "german": set()}
    for document in sentences.generate(1):
        lines = document.splitlines()
        said["english" if ENGLISH.search(document) else "german"].update(lines)
        if min(map(len, said.values())) >= 20_000:
            break
    assert len(said["german"]) < 60_000


def test_a_document_is_8_to_16_sentences_of_one_language(documents: list[list[str]], pairs: Pairs):
    english = {pair[0] for pair in pairs}
    german = {pair[1] for pair in pairs}
    shares = []
    for document in documents:
        assert 8 <= len(document) <= 16
        languages = {"e" for s in document if s in english - german} | {"g" for s in document if s in german - english}
        assert len(languages) == 1
        shares.append(languages == {"g"})
    assert 0.55 < sum(shares) / len(shares) < 0.7  # 5 of 8 pairs, and German is longer


def test_a_recipe_reads_them_and_their_version_is_in_the_source_s_origin():
    source = SourceConfig(synth="sentences", size=50_000)
    stats = sources.ReadStats()
    texts = [document.text for document in sources.read(source, DataConfig(sources=[source]), 5, stats=stats)]
    assert texts == list(islice(sentences.generate(5), len(texts)))
    assert 45_000 < stats.bytes <= 50_000
    origin = sources.source_origin(source, 5, None, "data.sources[0]")  # type: ignore[arg-type]
    assert (origin["generator"], origin["version"]) == ("synth:sentences", sentences.VERSION)
