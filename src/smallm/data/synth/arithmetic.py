"""Arithmetic with known answers: sums, differences, products, comparisons, word problems of one step.

A record is {question, choices (4), answer (the right choice's text), level, operation}; a question ends where the
answer begins (`27 + 45 =`). level is the number of digits of the larger operand, as a string. Wrong choices are near
misses: one off, ten off, a digit swapped, the other operation, with as many digits. The right one is the smallest,
second, third or largest of the four equally often, so neither its place nor its rank gives it away. Held out from
train: pairs of operands of an operation. All text is written for smallm (licence: that of this package).
"""

from __future__ import annotations

from typing import Any

from .draw import Draw, Drawn, collect
from .lexicon_people import BOYS, GIRLS
from .story_grammar import split_list

VERSION = "1"  # raise it with every change of words, forms or drawing

_ONES = split_list("""zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen,
fourteen, fifteen, sixteen, seventeen, eighteen, nineteen""")
_TENS = split_list("zero, ten, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety")
_SIGN = {"add": "+", "subtract": "-", "multiply": "*"}
_WORD = {"add": "plus", "subtract": "minus", "multiply": "times"}
_OPERATIONS = ("add", "subtract", "multiply", "compare")

NAMES = [(name, "he") for name in split_list(BOYS)] + [(name, "she") for name in split_list(GIRLS)]
THINGS = split_list("""apples, plums, cookies, pears, buns, cherries, shells, stones, feathers, coins, pearls, buttons,
marbles, balls, books, letters, stamps, flowers, eggs, nuts, pencils, ribbons, candles, beads, kites""")
BOXES = split_list("boxes, bags, baskets, jars, drawers, tins, buckets, cups, bowls, sacks, shelves, trays")

# The question, with names, numbers a and b and things; the answer is the operation's result.
_STORIES = {
    "add": (
        "{N} has {a} {things} and finds {b} more. Now {he} has this many {things}:",
        "There are {a} {things} in a bag and {b} {things} in a box. The number of {things} in all is",
        "{N} had {a} {things}. {M} gave {N} {b} {things}. The number of {things} that {N} has now is",
        "{N} picks {a} {things}, and {M} picks {b}. Together they have this many {things}:",
    ),
    "subtract": (
        "{N} has {a} {things} and gives {b} away. Now {he} has this many {things}:",
        "There were {a} {things} on the table, and {M} took {b}. The number of {things} left is",
        "{N} has {a} {things}, and {M} has {b}. The number of {things} that {N} has more than {M} is",
        "{N} had {a} {things} and lost {b} of them. The number of {things} that {he} still has is",
    ),
    "multiply": (
        "{N} has {a} {boxes} with {b} {things} in each. The number of {things} in all is",
        "There are {a} {boxes}, and each holds {b} {things}. Together they hold this many {things}:",
        "{N} finds {b} {things} every day for {a} days. In all, {he} finds this many {things}:",
        "{a} children bring {b} {things} each. The number of {things} that they bring is",
    ),
}


def in_words(n: int) -> str:
    """0 to 9,999 in English words: `two thousand three hundred forty-five`. ValueError outside."""
    if not 0 <= n < 10_000:
        raise ValueError(f"{n} is not between 0 and 9,999")
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    size, name = (100, "hundred") if n < 1000 else (1000, "thousand")
    return f"{_ONES[n // size]} {name}" + (f" {in_words(n % size)}" if n % size else "")


def _operands(draw: Draw, operation: str, level: int) -> tuple[int, int]:
    """Two numbers, the larger of `level` digits; for a product the other factor has one digit."""
    low, high = max(2, 10 ** (level - 1)), 10**level - 1
    a = draw.between(low, high)
    if operation == "multiply":
        b = draw.between(2, 9)
        return (a, b) if draw.chance(1, 2) else (b, a)
    b = draw.between(2, a) if operation == "subtract" else draw.between(2, high)
    return a, b


def _near(a: int, b: int, operation: str, right: int) -> list[int]:
    """Likely mistakes, the likeliest first: positive, none of them right."""
    swapped = [int(s[:i] + s[i + 1] + s[i] + s[i + 2 :]) for s in [str(right)] for i in range(len(s) - 1)]
    others = {"add": [abs(a - b)], "subtract": [a + b], "multiply": [a + b, a * (b + 1), a * (b - 1)]}[operation]
    offsets = [1, -1, 10, -10, 2, -2, 100, -100, 3, -3, 20, -20, 4, -4, 5, -5]
    found = dict.fromkeys([*swapped, *others, *(right + o for o in offsets)])
    return [n for n in found if n > 0 and n != right]


def _choices(draw: Draw, a: int, b: int, operation: str, right: int) -> list[int] | None:
    """Three near misses and the right number; its rank among the four is uniform. None where too few are smaller."""
    near = _near(a, b, operation, right)
    if right > 12:  # a model that likes short answers is to gain nothing by it
        near = [n for n in near if len(str(n)) == len(str(right))]
    rank = draw.below(4)
    smaller, larger = ([n for n in near if n < right], [n for n in near if n > right])
    if len(smaller) < 3 or len(larger) < 3:  # whatever the rank, or such results would have a rank of their own
        return None
    return [right, *draw.some(smaller[: rank + 3], rank), *draw.some(larger[: 6 - rank], 3 - rank)]


def _calculation(draw: Draw, operation: str, level: int) -> tuple[str, list[str], str, str] | None:
    """question, choices, answer and key of a calculation, in digits, in words or as a story."""
    a, b = _operands(draw, operation, level)
    right = {"add": a + b, "subtract": a - b, "multiply": a * b}[operation]
    numbers = _choices(draw, a, b, operation, right)
    if numbers is None:
        return None
    form = draw.below(4)
    show = in_words if form == 1 and max(numbers) < 10_000 else str
    if form == 0:
        question = f"{a} {_SIGN[operation]} {b} ="
    elif form == 1:
        question = f"{show(a)} {_WORD[operation]} {show(b)} is".capitalize()
    else:
        (name, he), (friend, _) = draw.some(NAMES, 2)
        words = {"N": name, "he": he, "M": friend, "things": draw.pick(THINGS), "boxes": draw.pick(BOXES)}
        question = draw.pick(_STORIES[operation]).format(a=a, b=b, **words)
    return question, [show(n) for n in numbers], show(right), f"{operation} {a} {b}"


def _comparison(draw: Draw, level: int) -> tuple[str, list[str], str, str] | None:
    """Which of four numbers is the largest or the smallest? The numbers are near each other or share their digits."""
    centre = draw.between(max(4, 10 ** (level - 1)), 10**level - 1)
    near = [n for n in _near(centre, 3, "add", centre) if len(str(n)) == level]
    if len(near) < 3:
        return None
    numbers = draw.order([centre, *draw.some(near[:9], 3)])
    which = draw.pick(("largest", "smallest"))
    right = max(numbers) if which == "largest" else min(numbers)
    show = in_words if draw.chance(1, 3) else str
    listed = ", ".join(map(show, numbers[:3])) + f" and {show(numbers[3])}"
    question = f"Of the numbers {listed}, the {which} is"
    return question, [show(n) for n in numbers], show(right), f"{which} {sorted(numbers)}"


def _make(draw: Draw) -> Drawn | None:
    operation, level = draw.pick(_OPERATIONS), draw.between(1, 4 if draw.chance(1, 3) else 3)
    made = _comparison(draw, level) if operation == "compare" else _calculation(draw, operation, level)
    if made is None:
        return None
    question, choices, answer, key = made
    record = {
        "question": question,
        "choices": draw.order(choices),
        "answer": answer,
        "level": str(level),
        "operation": operation,
    }
    return Drawn(record, question, key)


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct questions in drawn order; see draw.collect for the splits and errors."""
    return collect("arithmetic", seed, items, split, _make)
