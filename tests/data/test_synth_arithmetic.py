"""Arithmetic items: answers recomputed from the question's text alone; no choice gives itself away."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from smallm.data.synth import arithmetic

# A second way to read numbers: the sum of words, with hundred and thousand as factors.
SMALL = "zero one two three four five six seven eight nine ten eleven twelve"
VALUE = {word: value for value, word in enumerate(SMALL.split())}
VALUE |= {"thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19}
VALUE |= {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBER = re.compile(r"\b(?:\d+|(?:(?:" + "|".join([*VALUE, "hundred", "thousand"]) + r")[ -]?)+)\b")


def read(text: str) -> int:
    if text.isdigit():
        return int(text)
    total = part = 0
    for word in text.replace("-", " ").split():
        if word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = total + part * 1000, 0
        else:
            part += VALUE[word]
    return total + part


def solve(question: str) -> int:
    """The answer by the words of the question; the numbers are those that stand there."""
    low = question.lower()
    if low.startswith("of the numbers"):
        listed, which = low.removeprefix("of the numbers ").rsplit(", the ", 1)
        numbers = [read(part) for part in re.split(r", | and ", listed)]
        return max(numbers) if which == "largest is" else min(numbers)
    a, b = (read(found.strip()) for found in NUMBER.findall(re.sub(r"of them", "", low)) if found.strip())
    if re.search(r" \* |times| each|every day", low):
        return a * b
    if re.search(r"\d - \d| minus |away|left|lost|more than", low):
        return a - b
    return a + b


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return arithmetic.records(3, 6_000)


def test_every_answer_is_what_the_question_says(items: list[dict]):
    for item in items:
        assert read(item["answer"]) == solve(item["question"]), item


def test_numbers_in_words_are_read_back():
    for n in range(10_000):
        assert read(arithmetic.in_words(n)) == n
    assert arithmetic.in_words(2345) == "two thousand three hundred forty-five"
    with pytest.raises(ValueError, match="not between"):
        arithmetic.in_words(10_000)


def test_the_level_is_the_number_of_digits_of_the_larger_operand(items: list[dict]):
    for item in items:
        if item["operation"] != "compare":
            numbers = [read(found.strip()) for found in NUMBER.findall(item["question"].lower().replace("of them", ""))]
            assert len(str(max(numbers))) == int(item["level"]), item
    assert set(Counter(item["level"] for item in items)) == {"1", "2", "3", "4"}


def test_the_size_of_a_number_among_the_four_says_nothing(items: list[dict]):
    """Whoever always takes the second largest is at chance, at every level; 6 standard deviations."""
    for level in "1234":
        asked = [item for item in items if item["operation"] != "compare" and item["level"] == level]
        ranks = Counter(sorted(map(read, item["choices"])).index(read(item["answer"])) for item in asked)
        spread = 6 * (len(asked) * 3) ** 0.5 / 4
        assert all(abs(ranks[i] - len(asked) / 4) < spread for i in range(4)), (level, ranks)


def test_the_number_of_digits_says_nothing(items: list[dict]):
    """All four choices have as many digits, but where the result is at most 12."""
    for item in items:
        numbers = [read(choice) for choice in item["choices"]]
        if item["operation"] == "compare" or read(item["answer"]) > 12:
            assert len({len(str(n)) for n in numbers}) == 1, item


def test_half_of_the_comparisons_ask_for_the_smallest(items: list[dict]):
    asked = [item["question"] for item in items if item["operation"] == "compare"]
    assert abs(sum("smallest" in question for question in asked) / len(asked) - 0.5) < 0.1


def test_wrong_choices_are_near_misses(items: list[dict]):
    """At least one of them within 10 of the right number, in nine of ten questions."""
    near = sum(min(abs(read(c) - read(i["answer"])) for c in i["choices"] if c != i["answer"]) <= 10 for i in items)
    assert near / len(items) > 0.9


def test_every_operation_and_every_form_is_there(items: list[dict]):
    assert set(Counter(item["operation"] for item in items)) == {"add", "subtract", "multiply", "compare"}
    ends = Counter(item["question"].split()[-1][-1] for item in items)
    assert set(ends) == {"=", "s", ":"}
    assert min(ends.values()) > 500
