"""The nearest neighbour is the one that its definition says; copy and majority are what they are called."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.finetune.baselines_text import baselines, majority, nearest, nearest_answers
from smallm.finetune.examples import Message, example, normal


def nearest_slowly(train: list[str], prompts: list[str]) -> list[int]:
    """The definition in the module's docstring, word for word."""

    def grams(text: str) -> Counter[str]:
        padded = f" {normal(text)} "
        return Counter(padded[i : i + 4] for i in range(max(1, len(padded) - 3)))

    learned = [grams(text) for text in train]
    df = Counter(gram for one in learned for gram in one)

    def vector(one: Counter[str]) -> dict[str, float]:
        found = {g: n * math.log((1 + len(train)) / (1 + df[g])) for g, n in one.items() if g in df}
        length = math.sqrt(sum(x * x for x in found.values())) or 1.0
        return {g: x / length for g, x in found.items()}

    vectors = [vector(one) for one in learned]
    result = []
    for text in prompts:
        asked = vector(grams(text))
        scores = [round(sum(x * v.get(g, 0.0) for g, x in asked.items()), 9) for v in vectors]
        result.append(scores.index(max(scores)))
    return result


texts = st.lists(st.text(alphabet="abcäß 😀\ud83d", max_size=12), min_size=1, max_size=10)


@settings(max_examples=150, deadline=None)
@given(texts, texts)
def test_the_matrix_finds_the_neighbours_of_the_definition(train: list[str], prompts: list[str]) -> None:
    assert nearest(train, prompts) == nearest_slowly(train, prompts)


def test_a_templates_words_do_not_decide() -> None:
    template = "Translate the following sentence into German, please: "
    train = [template + "the cat sleeps", template + "a dog barks", "my horse runs"]
    assert nearest(train, [template + "the horse runs"]) == [2]


def test_the_three_baselines_answer_every_prompt() -> None:
    def one(asked: str, answer: str, about: str = ""):
        messages = [Message(role="user", content=asked), Message(role="assistant", content=answer)]
        return example(messages, "s", "p", fields={"input": about} if about else {})

    train = [one("Label: good news", "up"), one("Label: bad news", "down"), one("Label: bad times", "down")]
    test = [one("Label: good times", "up", "good times"), one("Label: very bad news", "down")]
    assert baselines(train, test) == {
        "copy": ["good times", "Label: very bad news"],
        "nearest": [
            train[nearest_slowly([m.messages[0]["content"] for m in train], ["Label: good times"])[0]].answer,
            "down",
        ],
        "majority": ["down", "down"],
    }


def test_nothing_to_learn_from_is_an_error() -> None:
    for call in (lambda: majority([]), lambda: nearest([], ["a"]), lambda: nearest_answers(["a"], [], ["a"])):
        with pytest.raises(ValueError, match="training"):
            call()
