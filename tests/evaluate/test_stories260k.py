"""stories260K, a real trained model: its rebuilt tokenizer, its greedy text, and the page about it."""

from __future__ import annotations

import json

import pytest
import stories260k

from smallm.evaluate.scorer import load_scorer


@pytest.fixture(scope="module")
def scorer(shared_data, tmp_path_factory):
    shared_data("models/stories260K")
    return load_scorer(stories260k.make_model(tmp_path_factory.mktemp("model"), shared_data(".")))


def test_the_rebuilt_tokenizer_reads_and_writes_the_published_text_in_the_reference_ids(scorer, shared_data):
    reference = json.loads((shared_data("models/stories260K") / "greedy_reference.json").read_text("utf-8"))
    ids = reference["greedy_ids_from_bos"]
    assert scorer.tokenizer.encode(reference["text"]) == ids[: len(scorer.tokenizer.encode(reference["text"]))]
    assert scorer.tokenizer.decode(ids, skip_special_tokens=True) == reference["text"]


def test_generation_writes_the_published_greedy_text(scorer, shared_data):
    text = json.loads((shared_data("models/stories260K") / "greedy_reference.json").read_text("utf-8"))["text"]
    begun = text[:60]
    (continued,) = scorer.generate([begun], until=(), max_new_tokens=80)
    assert len(continued) > 100
    assert text.startswith(begun + continued)


def test_a_story_costs_it_fewer_bits_than_other_english(scorer, shared_data):
    story = shared_data("tinystories/tinystories-cased-1MB.txt").read_text("utf-8")[:1500]
    play = shared_data("tinyshakespeare/input.txt").read_text("utf-8")[:1500]
    on_story, on_play = scorer.rolling([story, play])
    assert on_story.logprob > on_play.logprob + 500


def test_the_page_of_docs_holds_every_model_with_intervals():
    text = stories260k.PAGE.read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "±" in line]
    assert rows[0].startswith("| stories260K |")
    assert len(rows) >= 2
    assert all(row.count("±") == 3 and row.count(" to ") == 3 for row in rows)
