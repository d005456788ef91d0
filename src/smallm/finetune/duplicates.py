"""Examples that stand twice, or in two splits: dropped from the split that is learned, each with one counted reason.

Equal is what is equal but for case, width and blanks (examples.normal). A prompt of test or validation leaves train,
a prompt of test leaves validation. Near duplicates are prompts of train whose word 5-grams have a Jaccard similarity of
at least 0.8 with a test prompt's; 5-grams that stand in more than a tenth of a set's test prompts are a template's and
count for nothing. Exact: every pair that shares a 5-gram is compared, by an inverted index over the test's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from smallm.finetune.examples import Example, asked_texts, normal, prompt_text

NGRAM = 5
THRESHOLD = 0.8
TEMPLATE_SHARE = 0.1
TEMPLATE_LEAST = 5
Shingle = tuple[str, ...]
_TOKEN = re.compile(r"\w+|[^\w\s]")

TWICE = {split: f"stands twice in {split}" for split in ("train", "validation", "test")}
SAME = {split: f"the same prompt stands in {split}" for split in ("validation", "test")}
ALIKE = {split: f"the same prompt but for case and blanks stands in {split}" for split in ("validation", "test")}
NEAR = f"near duplicate of a test prompt (word {NGRAM}-grams, Jaccard {THRESHOLD} or more)"


class Near(NamedTuple):
    """A prompt of train and the test prompt that it is most like, by their places in the two lists."""

    train: int
    test: int
    jaccard: float


@dataclass
class Kept:
    """The three splits without duplicates, what was dropped (the example, the reason), and the near pairs."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    dropped: list[tuple[Example, str]] = field(default_factory=list)
    near: list[tuple[Example, Example, float]] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter(reason for _, reason in self.dropped)


def without_duplicates(train: Sequence[Example], validation: Sequence[Example], test: Sequence[Example]) -> Kept:
    """The splits, in order, without what stands twice or is learned and asked. Nothing is ever dropped from test
    for standing elsewhere."""
    kept = Kept([], [], [])
    kept.test = _once(test, "test", kept)
    held = {"test": _prompts(kept.test)}
    kept.validation = _apart(_once(validation, "validation", kept), held, kept)
    held["validation"] = _prompts(kept.validation)
    learned = _apart(_once(train, "train", kept), held, kept)
    sets = [one.source for one in kept.test]
    found = near_duplicates(map(prompt_text, learned), [*map(prompt_text, kept.test)], sets)
    near = {one.train: one for one in found}
    for i, one in enumerate(learned):
        if i in near:
            kept.dropped.append((one, NEAR))
            kept.near.append((one, kept.test[near[i].test], near[i].jaccard))
        else:
            kept.train.append(one)
    return kept


def _once(examples: Sequence[Example], split: str, kept: Kept) -> list[Example]:
    """The first of equal conversations. The same prompt with another answer stays: both are right."""
    seen: set[tuple[str, ...]] = set()
    first = []
    for one in examples:
        key = tuple(f"{m['role']}: {normal(m['content'])}" for m in one.messages)
        if key in seen:
            kept.dropped.append((one, TWICE[split]))
        else:
            seen.add(key)
            first.append(one)
    return first


def _prompts(examples: Iterable[Example]) -> tuple[set[str], set[str]]:
    """The prompts as they stand, and normal."""
    texts = {prompt_text(one) for one in examples}
    return texts, {normal(text) for text in texts}


def _apart(examples: Sequence[Example], held: dict[str, tuple[set[str], set[str]]], kept: Kept) -> list[Example]:
    """Those none of whose questions, earlier turns included, is a prompt of a split that is held out."""
    left = []
    for one in examples:
        asked = asked_texts(one)
        for split, (texts, normals) in held.items():
            if any(normal(text) in normals for text in asked):
                kept.dropped.append((one, SAME[split] if any(text in texts for text in asked) else ALIKE[split]))
                break
        else:
            left.append(one)
    return left


def several_answers(examples: Iterable[Example]) -> int:
    """How many prompts have more than one answer."""
    answers: dict[str, set[str]] = defaultdict(set)
    for one in examples:
        answers[normal(prompt_text(one))].add(normal(one.answer))
    return sum(len(found) > 1 for found in answers.values())


# ---- near duplicates -----------------------------------------------------------------------------------------------


def shingles(text: str) -> set[Shingle]:
    """The word 5-grams of a text (words and single marks, casefolded); a shorter text is one."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    if len(tokens) < NGRAM:
        return {tuple(tokens)} if tokens else set()
    return set(zip(*(tokens[i:] for i in range(NGRAM)), strict=False))  # the shortest ends it


def template_shingles(prompts: Sequence[set[Shingle]], sets: Sequence[str] = ()) -> set[Shingle]:
    """Those in more than a tenth (and more than 5) of a set's prompts: words of its template, asked every time."""
    by_set: dict[str, list[set[Shingle]]] = defaultdict(list)
    for i, one in enumerate(prompts):
        by_set[sets[i] if sets else ""].append(one)
    template: set[Shingle] = set()
    for members in by_set.values():
        counts = Counter(shingle for one in members for shingle in one)
        limit = max(TEMPLATE_LEAST, TEMPLATE_SHARE * len(members))
        template.update(shingle for shingle, n in counts.items() if n > limit)
    return template


def near_duplicates(
    train: Iterable[str], test: Sequence[str], sets: Sequence[str] = (), threshold: float = THRESHOLD
) -> list[Near]:
    """For each prompt of train with a near one in test: the nearest, the first of equal ones.

    `sets` names the set of each test prompt, for its template. Memory is that of the test's 5-grams.
    """
    asked = [shingles(text) for text in test]
    template = template_shingles(asked, sets)
    holders: dict[Shingle, list[int]] = defaultdict(list)
    for j in range(len(asked)):
        asked[j] -= template
        for shingle in asked[j]:
            holders[shingle].append(j)
    found = []
    for i, text in enumerate(train if holders else ()):
        one = shingles(text) - template
        shared: Counter[int] = Counter()
        for shingle in one:
            shared.update(holders.get(shingle, ()))
        if not shared:
            continue
        score, j = max((n / (len(one) + len(asked[j]) - n), -j) for j, n in shared.items())
        if score >= threshold:
            found.append(Near(i, -j, score))
    return found
