"""Facts: read from files alone, absent when no file says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from publish.fake_run import WEIGHTS, fake_run
from publish.fake_tasks import fake_results

from smallm.core.config import Recipe
from smallm.core.files import read_json, write_json
from smallm.core.formats import validate_run
from smallm.core.run import Run
from smallm.publish.facts import read_facts


def test_an_empty_run_has_no_facts_and_no_error(tmp_path: Path):
    facts = read_facts(Recipe(name="x"), Run(tmp_path))
    assert (facts.data, facts.tokenizer, facts.model, facts.evaluation, facts.stages) == (None, None, None, None, [])
    assert facts.metrics == facts.samples == []
    assert facts.machine is None


def test_an_evaluation_of_other_weights_does_not_count(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    assert read_facts(recipe, run).evaluation is not None
    smallm = read_json(tmp_path / "base" / "smallm.json")
    write_json(tmp_path / "base" / "smallm.json", smallm | {"weights_sha256": "0" * 64})
    assert read_facts(recipe, run).evaluation is None


def test_a_torn_last_line_and_line_separators_in_text_do_not_lose_rows(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    row = json.dumps({"step": 1, "prompt": "a", "text": "one\u2028two", "seed": 0}, ensure_ascii=False)
    (tmp_path / "base" / "samples.jsonl").write_text(row + "\n" + row[:-5], "utf-8")
    assert [r["text"] for r in read_facts(recipe, run).samples] == ["one\u2028two"]


def test_lengths_are_characters_of_every_document(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    data = read_facts(recipe, run).data
    assert data is not None
    assert {k: len(v) for k, v in data.lengths.items()} == {"python-docs": 600, "synth-stories": 600}
    assert sum(map(sum, data.lengths.values())) == sum(s.characters or 0 for s in data.splits.values())


def test_a_price_makes_a_cost_and_no_price_makes_none(tmp_path: Path):
    recipe, run = fake_run(tmp_path, price=3.6)
    train = next(s for s in read_facts(recipe, run).stages if s.name == "train")
    assert train.cost == pytest.approx(train.seconds / 1000)
    free = Recipe(name="quickstart")
    assert all(s.cost is None for s in read_facts(free, run).stages)


def test_training_bits_per_byte_use_the_training_texts_own_tokens_and_bytes(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    facts = read_facts(recipe, run)
    assert facts.data is not None
    train = facts.data.splits["train"]
    assert facts.train_bits_factor == pytest.approx((train.tokens or 0) / train.bytes / 0.6931471805599453)


def test_the_held_out_evaluation_is_not_mistaken_for_a_suite(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    fake_results(tmp_path)
    facts = read_facts(recipe, run)
    assert facts.evaluation_file == f"eval/base-{WEIGHTS[:8]}.json"
    assert [r.suite for r in facts.results] == ["core", "held-out"]
    assert [c.file for c in facts.comparisons] == ["eval/compare-base-tuned.json"]


def test_the_made_up_run_follows_the_formats(tmp_path: Path):
    fake_run(tmp_path)
    fake_results(tmp_path)
    assert len(validate_run(tmp_path)) > 15
