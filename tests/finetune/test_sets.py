"""From a recipe's sets to three splits: counted to the last example, split by hash, classes known, all of it said."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.finetune.duplicates import SAME, TWICE
from smallm.finetune.examples import normal, prompt_text
from smallm.finetune.sets import ExampleSets, load_examples


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    return str(path)


def pairs(n: int, name: str = "p") -> list[dict[str, str]]:
    return [{"prompt": f"{name} number {i}", "completion": f"answer {i}"} for i in range(n)]


def load(*sources: TuneSource, seed: int = 0, **options: Any) -> ExampleSets:
    return load_examples(FinetuneConfig(data=list(sources), **options), seed, quiet=True)


def sizes(sets: ExampleSets) -> tuple[int, int, int]:
    return len(sets.train), len(sets.validation), len(sets.test)


def test_shares_are_drawn_by_hash_the_same_for_every_seed_and_order(tmp_path: Path) -> None:
    records = pairs(200)
    path = write(tmp_path / "a.jsonl", records)
    sets = load(TuneSource(path=path), test=0.1, validation=0.05)
    assert sizes(sets) == (170, 10, 20)
    other = load(TuneSource(path=write(tmp_path / "b.jsonl", records[::-1])), seed=7, test=0.1, validation=0.05)
    assert {one.id for one in other.test} == {one.id for one in sets.test}
    assert {one.id for one in other.validation} == {one.id for one in sets.validation}


def test_a_split_that_a_set_is_named_for_is_drawn_from_no_other(tmp_path: Path) -> None:
    train = TuneSource(path=write(tmp_path / "a.jsonl", pairs(100)))
    test = TuneSource(path=write(tmp_path / "b.jsonl", pairs(10, "other")), use="test")
    sets = load(train, test, test=0.1, validation=0.1)
    assert sizes(sets) == (90, 10, 10)
    assert {one.source for one in sets.test} == {"b"}
    assert sets.report["drawn"] == {"validation": 0.1}


def test_what_the_test_asks_is_taken_out_of_train_and_counted_by_set(tmp_path: Path) -> None:
    train = TuneSource(path=write(tmp_path / "a.jsonl", [*pairs(20), pairs(1)[0]]), use="train")
    test = TuneSource(path=write(tmp_path / "b.jsonl", pairs(5)), use="test")
    sets = load(train, test, validation=0.0)
    assert sizes(sets) == (15, 0, 5)
    first = sets.report["sources"][0]
    assert (first["records"], first["examples"], first["train"]) == (21, 21, 15)
    assert first["dropped"] == {TWICE["train"]: 1, SAME["test"]: 5}
    assert sets.report["duplicates"]["dropped"] == {SAME["test"]: 5, TWICE["train"]: 1}


few = st.sampled_from(["who", "Who", "what", "where is it", "when", "how many of them"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(few, few), min_size=1, max_size=10), min_size=1, max_size=3),
    st.sampled_from(["auto", "train"]),
    st.integers(0, 6),
)
def test_examples_read_are_those_kept_and_those_counted_under_a_reason(
    tmp_path: Path, contents: list[list[tuple[str, str]]], use: Any, items: int
) -> None:
    sources = []
    for i, content in enumerate(contents):
        records = [{"prompt": asked, "completion": answer} for asked, answer in content]
        path = write(tmp_path / f"set{i}.jsonl", records)
        sources.append(TuneSource(path=path, use=use if i else "train", items=items))
    sets = load(*sources, test=0.3, validation=0.2)
    for source, content in zip(sets.report["sources"], contents, strict=True):
        kept = source["train"] + source["validation"] + source["test"]
        assert source["records"] == source["examples"] == len(content)
        assert kept + sum(source["dropped"].values()) == len(content)
    prompts = [{normal(prompt_text(one)) for one in part} for part in (sets.train, sets.validation, sets.test)]
    assert not prompts[0] & prompts[2]
    assert not prompts[0] & prompts[1]
    assert not prompts[1] & prompts[2]
    json.dumps(sets.report, allow_nan=False)


def test_items_are_drawn_by_hash_and_the_others_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", pairs(100))
    sets = load(TuneSource(path=path, items=30), test=0.1, validation=0.1)
    assert sum(sizes(sets)) == 30
    assert sets.report["sources"][0]["dropped"] == {"not drawn (items: 30)": 70}
    fewer = load(TuneSource(path=path, items=20), test=0.1, validation=0.1)
    ids = {one.id for part in (sets.train, sets.validation, sets.test) for one in part}
    assert {one.id for part in (fewer.train, fewer.validation, fewer.test) for one in part} <= ids, (
        "a part of the larger"
    )
    turned = TuneSource(path=write(tmp_path / "b.jsonl", pairs(100)[::-1]), items=30)
    other = load(turned, test=0.1, validation=0.1)
    assert {one.id for part in (other.train, other.validation, other.test) for one in part} == ids, "whatever the order"


def test_weights_are_said_and_never_multiplied_out(tmp_path: Path) -> None:
    a = TuneSource(path=write(tmp_path / "a.jsonl", pairs(40)), weight=3)
    b = TuneSource(path=write(tmp_path / "b.jsonl", pairs(20, "other")), weight=0.5)
    sets = load(a, b, test=0.0, validation=0.0)
    assert sizes(sets) == (60, 0, 0)
    assert [(s["weight"], s["train"], s["seen_per_epoch"]) for s in sets.report["sources"]] == [
        (3, 40, 120),
        (0.5, 20, 10),
    ]


def test_a_generator_holds_its_test_half_apart_and_lends_validation_from_its_train_half() -> None:
    sets = load(
        TuneSource(synth="translation", items=400), task="translation", language="de", test=0.1, validation=0.05
    )
    assert sizes(sets) == (380, 20, 40)
    assert {one.fields["held_out"] for one in [*sets.train, *sets.validation]} == {""}
    assert {one.fields["held_out"] for one in sets.test} <= {"lemmas", "constructions"}
    assert sets.report["sources"][0]["licence"] == "apache-2.0"
    assert sets.report["warnings"] == []


def test_a_wrong_record_anywhere_stops_with_its_line(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [*pairs(300), {"prompt": "a", "completion": " "}, *pairs(5)]
    with pytest.raises(UserError, match=r"a\.jsonl:301: field `completion` is empty"):
        load(TuneSource(path=write(tmp_path / "a.jsonl", records)))


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", pairs(5))
    with pytest.raises(UserError, match=r"nothing is left to train on \(5 examples"):
        load(TuneSource(path=path, use="test"))


# ---- classes -------------------------------------------------------------------------------------------------------


def labelled(path: Path, labels: list[Any]) -> str:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([f"headline number {i} of the day", label] for i, label in enumerate(labels))
    return str(path)


def test_classes_are_found_in_what_may_be_trained_and_stand_in_every_prompt(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.csv", ["up", "down", "flat"] * 20)
    sets = load(TuneSource(path=path), task="classification", test=0.2, validation=0.1)
    assert sets.labels == ("down", "flat", "up")
    prompts = [prompt_text(one).split("\n")[0] for part in (sets.train, sets.validation, sets.test) for one in part]
    assert set(prompts) == {"Classify this text as one of: down, flat, up."}
    labels = sets.report["labels"]
    assert labels["declared"] is False
    total = Counter[str]()
    for part in ("train", "validation", "test"):
        total.update(labels[part])
    assert total == {"up": 20, "down": 20, "flat": 20}


def test_names_of_labels_are_the_classes_in_their_order(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.csv", [0, 2, 1, 0] * 5)
    source = TuneSource(path=path, input="text", output="label", label_names=["up", "down", "flat"])
    sets = load(source, task="classification", test=0.2)
    assert sets.labels == ("up", "down", "flat")
    assert {one.answer for one in sets.train} == {"up", "down", "flat"}


def test_a_test_label_that_training_does_not_know_is_an_error_with_its_line(tmp_path: Path) -> None:
    train = TuneSource(path=labelled(tmp_path / "a.csv", ["up", "down"] * 10), use="train")
    test = TuneSource(path=labelled(tmp_path / "b.csv", ["up", "sideways"]), use="test")
    with pytest.raises(UserError, match=r"b\.csv:3: label `sideways` is none of the 2 classes"):
        load(train, test, task="classification")


def test_declared_classes_are_held_and_one_without_examples_is_told(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.csv", ["up", "down"] * 20)
    sets = load(TuneSource(path=path), task="classification", labels=["up", "down", "flat"])
    assert sets.labels == ("up", "down", "flat")
    assert any("classes without a training example: flat" in line for line in sets.report["warnings"])
    with pytest.raises(UserError, match=r"a\.csv:3: label `down` is none of"):
        load(TuneSource(path=path), task="classification", labels=["up"])


def test_free_text_is_no_set_of_classes(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.csv", [f"a sentence {i}" for i in range(30)])
    with pytest.raises(UserError, match=r"30 labels in 30 .*free text, not classes"):
        load(TuneSource(path=path), task="classification")
    with pytest.raises(UserError, match="set of task translation, not of classes"):
        load(TuneSource(synth="translation", items=5), task="classification")


def test_what_a_person_should_look_at_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = TuneSource(path=labelled(tmp_path / "a.csv", ["0"] * 29 + ["1"]))
    load_examples(FinetuneConfig(data=[source], task="classification", test=0.0, validation=0.0), 0)
    said = capsys.readouterr().err
    assert "a: format columns (found in 30 of the first 30), 30 records, 30 examples: 30 train" in said
    for line in (
        "no licence is stated",
        "say what they mean with `label_names`",
        "97% of the training",
        "no test examples",
    ):
        assert f"warning: {line}" in said or line in said, line


def test_a_recipes_prompt_that_conversations_do_not_take_is_told(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = write(
        tmp_path / "a.jsonl", [{"messages": turns, "n": i} for i in range(3)] + [{"messages": [*turns, *turns]}]
    )
    sets = load(TuneSource(path=path, use="train"), prompt="Say: {{input}}")
    assert any("finetune.prompt is not used for a" in line for line in sets.report["warnings"])
    assert sets.report["splits"]["train"]["turns"] == 3, "one of the three equal ones, and the longer"


# ---- real sets -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tweets_get_their_topics_names(shared_data: Any) -> None:
    names = [f"topic {i}" for i in range(20)]
    path = shared_data("twitter-financial-topic/train_data.csv")
    source = TuneSource(path=str(path), input="text", output="label", label_names=names, items=1500, license="mit")
    sets = load(source, task="classification", test=0.1)
    assert len(sets.labels) == 20
    assert sets.report["sources"][0]["records"] == 16_990
    assert {one.answer for one in sets.test} <= set(names)


def test_self_instructs_nested_instances_are_read(shared_data: Any) -> None:
    sets = load(TuneSource(path=str(shared_data("instruct/self_instruct_seed_tasks.jsonl"))))
    (source,) = sets.report["sources"]
    assert (source["format"], source["records"], source["examples"]) == ("alpaca", 175, 175)


@pytest.mark.slow
def test_t0s_end_tokens_are_taken_off_and_counted(shared_data: Any) -> None:
    sets = load(TuneSource(path=str(shared_data("instruct/t0_subset.jsonl.gz")), items=500))
    (source,) = sets.report["sources"]
    assert source["changed"] == {"end token of another model taken off an answer: <|endoftext|>": 22_491}
    assert not any("<|endoftext|>" in one.answer for one in sets.train)
