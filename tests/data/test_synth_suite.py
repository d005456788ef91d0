"""The built-in suite: its tasks load, fit a small context, and ask nothing that training may hold."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest

from smallm.evaluate.suites import load_suite
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import Task

SPECS = {spec.name: spec for spec in load_suite("smallm").tasks}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {name: load_task(spec) for name, spec in SPECS.items()}


def test_every_generator_has_its_task():
    names = ["agreement", "questions", "arithmetic", "sentiment", "clauses", "translation", "agreement-german"]
    assert list(SPECS) == names
    assert [spec.values["synth"] for spec in SPECS.values()] == [name.replace("-", "_") for name in names]


def test_two_tasks_are_scored_during_training():
    assert [name for name, spec in SPECS.items() if spec.values["cheap"]] == ["agreement", "questions"]


@pytest.mark.parametrize("name", SPECS)
def test_items_are_distinct_and_as_many_as_said(tasks: dict[str, Task], name: str):
    items = tasks[name].items
    assert len(items) == SPECS[name].values["items"] >= 200
    assert len({item.id for item in items}) == len(items)


@pytest.mark.parametrize("name", SPECS)
def test_prompt_and_answer_fit_a_context_of_256_tokens(tasks: dict[str, Task], name: str):
    """At most 150 words and 900 letters; the quickstart's vocabulary makes 197 tokens of the longest (questions)."""
    for item in tasks[name].items:
        longest = max(item.choices or item.answer, key=len)
        assert len(f"{item.prompt} {longest}".split()) <= 150
        assert len(item.prompt) + len(longest) < 900


def test_a_prompt_ends_where_the_answer_begins(tasks: dict[str, Task]):
    for task in tasks.values():
        for item in task.items:
            assert item.prompt == item.prompt.rstrip()


@pytest.mark.parametrize("name", ["agreement", "questions", "arithmetic", "sentiment", "clauses", "agreement-german"])
def test_the_place_of_the_right_choice_says_nothing_in_the_suite(tasks: dict[str, Task], name: str):
    """5 standard deviations of the share that chance gives each place."""
    items = tasks[name].items
    places = len(items[0].choices)
    counts = Counter(item.gold for item in items)
    spread = 5 * (len(items) * (places - 1)) ** 0.5 / places
    assert all(abs(counts[place] - len(items) / places) < spread for place in range(places)), counts


def test_questions_of_one_story_are_one_cluster(tasks: dict[str, Task]):
    clusters = Counter(item.cluster for item in tasks["questions"].items)
    assert max(clusters.values()) <= 4
    assert len(clusters) < 0.4 * len(tasks["questions"].items)
    assert len({item.cluster for item in tasks["agreement"].items}) == len(tasks["agreement"].items)


@pytest.mark.parametrize("name", SPECS)
def test_sources_are_those_of_the_records(tasks: dict[str, Task], name: str):
    sources = {item.source for item in tasks[name].items}
    expected = {"agreement": 23, "questions": 7, "arithmetic": 4, "sentiment": 8, "clauses": 2, "translation": 2}
    expected["agreement-german"] = 10
    assert len(sources) == expected[name]
    assert "" not in sources


@pytest.mark.parametrize("name", SPECS)
def test_the_suite_asks_the_test_half_of_its_generator(name: str):
    spec = SPECS[name]
    module = importlib.import_module(f"smallm.data.synth.{spec.values['synth']}")
    asked = module.records(spec.values["seed"], spec.values["items"], split="test")
    train = module.records(spec.values["seed"], 3_000, split="train")
    key = {"agreement": "good", "agreement-german": "good", "translation": "english"}.get(
        name, "question" if "question" in asked[0] else "text"
    )
    texts = {(record.get("story"), record[key]) for record in train}
    assert not texts & {(record.get("story"), record[key]) for record in asked}
