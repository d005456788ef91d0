"""No prompt is learned and asked; near duplicates are found exactly, as a slow twin finds them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.finetune.duplicates import (
    ALIKE,
    NEAR,
    SAME,
    TEMPLATE_LEAST,
    TEMPLATE_SHARE,
    THRESHOLD,
    TWICE,
    Near,
    near_duplicates,
    several_answers,
    shingles,
    without_duplicates,
)
from smallm.finetune.examples import Example, Message, example, normal, prompt_text
from smallm.finetune.splits import divided_clusters, key_of, sides_of, split


def pair(asked: str, answer: str = "yes", source: str = "s", cluster: str = "", place: str = "p") -> Example:
    return example(
        [Message(role="user", content=asked), Message(role="assistant", content=answer)], source, place, cluster
    )


few = st.sampled_from(["a", "A", "b", "b ", "c d", "c  D", "e", "f g h i j k", "f g h i j K"])
examples = st.lists(st.builds(pair, few, st.sampled_from(["yes", "YES", "no"])), max_size=12)


@settings(deadline=None)
@given(examples, examples, examples)
def test_no_prompt_stands_in_two_splits_and_every_example_is_kept_or_counted(
    train: list[Example], validation: list[Example], test: list[Example]
) -> None:
    kept = without_duplicates(train, validation, test)
    prompts = [{normal(prompt_text(one)) for one in part} for part in (kept.train, kept.validation, kept.test)]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]
    for part in (kept.train, kept.validation, kept.test):
        said = [(normal(prompt_text(one)), normal(one.answer)) for one in part]
        assert len(set(said)) == len(said)
    everything = [*train, *validation, *test]
    assert Counter(map(id, everything)) == Counter(
        map(id, [*kept.train, *kept.validation, *kept.test, *(one for one, _ in kept.dropped)])
    )
    assert sum(kept.counts.values()) == len(kept.dropped)


@settings(deadline=None)
@given(examples, examples, examples)
def test_what_is_asked_is_never_dropped_for_what_is_learned(
    train: list[Example], validation: list[Example], test: list[Example]
) -> None:
    assert without_duplicates(train, validation, test).test == without_duplicates([], [], test).test


def test_each_reason_is_counted_by_its_name() -> None:
    test = [
        pair("what is it"),
        pair("What is it", "YES"),
        pair("one two three four five six seven eight nine ten eleven twelve thirteen."),
    ]
    validation = [pair("what is it", "no"), pair("only here"), pair("only here")]
    near = pair("one two three four five six seven eight nine ten eleven twelve thirteen!", place="near")
    train = [pair("What  is it"), pair("only here", "no"), pair("new"), pair("new"), pair("new", "other"), near]
    kept = without_duplicates(train, validation, test)
    assert kept.counts == {
        TWICE["test"]: 1, TWICE["validation"]: 1, TWICE["train"]: 1, SAME["test"]: 1, SAME["validation"]: 1,
        ALIKE["test"]: 1, NEAR: 1,
    }  # fmt: skip
    assert [(one.answer) for one in kept.train] == ["yes", "other"], "another answer to the same prompt stays"
    assert several_answers(kept.train) == 1
    ((learned, asked, score),) = kept.near
    assert (learned.place, asked) == ("near", test[2])
    assert THRESHOLD <= score < 1


def test_the_same_prompt_under_another_system_message_is_the_same_prompt() -> None:
    system = Message(role="system", content="Be brief.")
    test = [example([system, *pair("hello there").messages], "s", "p")]
    assert without_duplicates([pair("hello there")], [], test).counts == {SAME["test"]: 1}


# ---- near duplicates -----------------------------------------------------------------------------------------------


def near_slowly(train: list[str], test: list[str]) -> list[Near]:
    """Every pair compared."""
    asked = [shingles(text) for text in test]
    counts = Counter(shingle for one in asked for shingle in one)
    template = {s for s, n in counts.items() if n > max(TEMPLATE_LEAST, TEMPLATE_SHARE * len(test))}
    found = []
    for i, text in enumerate(train):
        best = None
        for j, other in enumerate(asked):
            a, b = shingles(text) - template, other - template
            score = len(a & b) / len(a | b) if a & b else 0.0
            if score >= THRESHOLD and (best is None or score > best.jaccard):
                best = Near(i, j, score)
        found += [best] if best else []
    return found


sentences = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=14).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(sentences, max_size=12), st.lists(sentences, max_size=12))
def test_the_index_finds_what_comparing_every_pair_finds(train: list[str], test: list[str]) -> None:
    # Edits of one word make many near pairs.
    edited = [text.replace("a", "b", 1) for text in test]
    assert near_duplicates([*train, *edited], test) == near_slowly([*train, *edited], test)


def test_a_templates_words_make_no_two_prompts_alike() -> None:
    words = "classify this text as one of positive negative neutral and say nothing else at all please thank you: "
    test = [f"{words} headline {i}" for i in range(50)]
    train = [f"{words} headline {i}" for i in range(50, 60)]
    assert near_duplicates(train, test) == []
    assert len(near_duplicates(train, test[:3])) == 10, "of three prompts nothing is known to be a template"
    # With its own words in between, a prompt is found although the template stands around it.
    long = "the quick brown fox jumps over the lazy dog and runs into the dark wood at night"
    assert [n.test for n in near_duplicates([f"{words} {long}!"], [*test, f"{words} {long}."])] == [50]


def test_a_sets_template_is_its_own_when_sets_are_mixed() -> None:
    words = "translate the following english sentence into german and give nothing but the translation: "
    mixed = [f"{words} {i}" for i in range(20)] + [f"sentence number {i} of another kind {i}" for i in range(400)]
    sets = ["a"] * 20 + ["b"] * 400
    assert near_duplicates([f"{words} 77"], mixed, sets) == []
    assert near_duplicates([f"{words} 77"], mixed) != [], "by all prompts together it would be no template"


def test_sums_that_differ_in_a_sign_are_no_duplicates() -> None:
    assert near_duplicates(["27 + 45 ="], ["27 - 45 ="]) == []
    assert near_duplicates(["27 + 45 ="], ["27 +  45 ="])[0].jaccard == 1.0


# ---- splits --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=6), max_size=60), st.floats(0, 0.4), st.floats(0, 0.4))
def test_few_keys_are_ranked_so_that_shares_are_exact(keys: set[str], test: float, validation: float) -> None:
    sides = sides_of(sorted(keys), {"test": test, "validation": validation})
    counts = Counter(sides.values())
    assert set(sides) == keys
    if keys:
        assert counts["train"] >= 1
        assert counts["test"] == min(max(1, round(test * len(keys))) if test else 0, len(keys) - 1)


def test_of_many_keys_none_moves_when_others_are_added() -> None:
    keys = [f"key {i}" for i in range(4000)]
    shares = {"test": 0.1, "validation": 0.05}
    all_of_them = sides_of(keys, shares)
    part = sides_of(keys[:2000], shares)
    assert part == {key: all_of_them[key] for key in keys[:2000]}
    counts = Counter(all_of_them.values())
    # 4,000 draws at p = 0.1: six standard deviations are 114 (false alarm 2e-9).
    assert abs(counts["test"] - 400) < 114
    assert abs(counts["validation"] - 200) < 83


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=60))
def test_a_cluster_is_never_divided(drawn: list[tuple[int, int]]) -> None:
    made = [(pair(f"question {n}", cluster=f"law {c}"), "auto") for n, c in drawn]
    parts = split(made, {"test": 0.3, "validation": 0.2})  # type: ignore[arg-type]
    assert divided_clusters(parts) == 0
    assert sum(map(len, parts.values())) == len(made)


def test_a_prompt_decides_whatever_its_case_and_answer() -> None:
    assert key_of(pair("What is it?", "a")) == key_of(pair("what  is IT?", "b"))
    assert key_of(pair("x", cluster="law 1")) == key_of(pair("y", cluster="law 1"))


def test_named_sides_stay_and_generators_give_no_test_items_to_the_hash() -> None:
    made = [(pair(f"p{i}"), side) for i, side in enumerate(["train", "validation", "test"] * 5)]
    parts = split(made, {"test": 0.9, "validation": 0.05})  # type: ignore[arg-type]
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [5, 5, 5]
    learned = split([(pair(f"p{i}"), "learned") for i in range(40)], {"test": 0.4, "validation": 0.1})
    assert [len(learned[name]) for name in ("train", "validation", "test")] == [36, 4, 0]


def test_a_test_question_is_not_learned_as_an_earlier_turn() -> None:
    asked = pair("What is due, and when?", "Tomorrow.")
    longer = example(
        [*asked.messages, Message(role="user", content="And where?"), Message(role="assistant", content="Here.")],
        "s", "p",
    )  # fmt: skip
    kept = without_duplicates([longer], [], [asked])
    assert not kept.train
    assert kept.counts == {SAME["test"]: 1}
