"""Clauses: the type read again by rules written apart from the wordings; single words do not tell it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from smallm.data.synth import clauses

# What a clause of each type does: its operative words. The first pattern that is found decides.
RULES = [
    ("termination", r"may (terminate|end|withdraw|cancel) this|may withdraw|may be terminated|^on expiry"),
    ("termination", r"neither party may end|ends automatically|before the end of the term|other party may cancel"),
    ("governing law", r"the laws? of|subject to the substantive law"),
    ("force majeure", r"delay caused by|that is prevented|^if an? .* prevents|while an? .* lasts|could foresee"),
    ("force majeure", r"failure to perform that is due|lasts longer than|^time lost|is excused from"),
    ("audit", r"may (inspect|examine|check)|records|accountant|auditors|review"),
    ("insurance", r"shall (insure|maintain)|certificate|^the policy|carry cover|cover lapse|premiums|insures itself"),
    ("indemnity", r"indemnif|harmless|shall defend|make good to|is sued over|shall reimburse"),
    ("limitation of liability", r"^in no event|waives all claims|capped at|shall not exceed|limited to|damage that"),
    ("limitation of liability", r"be liable for|liable without limit"),
    ("entire agreement", r"(entire|whole|complete) agreement|supersedes|agreements between|relied on|changes to this"),
    ("entire agreement", r"annexes|understandings|adds to or changes"),
    (
        "confidentiality",
        r"keep (secret|confidential) all|shall disclose|confidential information only|not reveal|of secrecy",
    ),
    ("confidentiality", r"^information is not|see the documents|from disclosure"),
    ("assignment", r"not (assign|transfer|delegate)|may (assign|transfer|sell)|attempt to assign|successors|passes to"),
    ("assignment", r"(passed on|handed over|made over) to"),
    (
        "warranty",
        r"warrants? that|warranty lapses|repair or replace|represents|provided as they are|fail within|guarantees",
    ),
    ("payment", r"shall pay|^the price of|late payments|are payable|an invoice|not set off|remain|raise its prices"),
]


def rule(text: str) -> str:
    """The type of a clause by RULES, its opening about another type left out."""
    text = re.sub(r"^[^,]* the clause on [^,]*, ", "", text).lower()
    return next((label for label, pattern in RULES if re.search(pattern, text)), "none")


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return clauses.records(3, 5_000, split="train") + clauses.records(3, 1_000)


@pytest.mark.parametrize("label", clauses.LABELS)
def test_the_label_is_what_the_clause_does(items: list[dict], label: str):
    asked = [item["text"] for item in items if item["label"] == label]
    assert len(asked) > 200
    assert [(text, rule(text)) for text in asked if rule(text) != label] == []


def test_types_are_equally_frequent():
    """To one item: a constant guess is at chance."""
    for split in ("train", "test"):
        counts = Counter(item["label"] for item in clauses.records(4, 2_000, split=split))
        assert set(counts) == set(clauses.LABELS)
        assert max(counts.values()) - min(counts.values()) <= 1, (split, counts)


def test_no_single_word_decides(items: list[dict]):
    """Of all words, none stands in the clauses of one type alone and in most of them, and the surest word misleads.

    The surest word of a clause is the one whose majority type in train is surest; it is learned from known wordings.
    """
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    for item in items:
        for word in set(re.findall(r"[a-z-]+", item["text"].lower())):
            counts[word][item["label"]] += 1
    sizes = Counter(item["label"] for item in items)
    for word, labels in counts.items():
        label, most = labels.most_common(1)[0]
        assert most / sizes[label] < 0.85 or most / sum(labels.values()) < 0.85, word


def test_the_names_of_the_types_stand_in_clauses_of_others(items: list[dict]):
    for name in clauses.LABELS:
        told = Counter(item["label"] == name for item in items if name in item["text"].lower())
        assert told[False] > 100
        assert told[True] < 0.6 * told[False], (name, told)


def test_one_wording_of_each_type_is_kept_for_tests():
    for label, lines in clauses.wordings().items():
        assert sum(line.startswith("*") for line in lines) == 1, label
        assert len(lines) >= 8
    assert {item["wording"] for item in clauses.records(5, 3_000, split="train")} == {"known"}
    wordings = Counter(item["wording"] for item in clauses.records(5, 1_500))
    assert 0.35 < wordings["new"] / 1_500 < 0.7


def test_the_two_parties_of_a_clause_differ(items: list[dict]):
    parties = [name for pair in clauses.words.PARTIES.replace("\n", " ").split(", ") for name in pair.split("|")]
    pattern = re.compile("|".join(f"the {party}" for party in sorted(parties, key=len, reverse=True)), re.I)
    for item in items:
        assert len({found.lower() for found in pattern.findall(item["text"])}) <= 2, item
