"""Minimal pairs: a checker written apart from the generator accepts every good sentence and rejects its twin."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from smallm.data.synth import agreement
from smallm.data.synth.lexicon_people import BOYS, GIRLS


def listed(text: str) -> set[str]:
    return set(text.split())


IRREGULAR_PLURALS = {"children", "men", "women", "mice", "geese"}
NOT_PLURAL = {"princess", "glass", "bus"}
PARTICIPLES = listed("""hidden stolen taken given seen drawn broken chosen forgotten shaken shown thrown known sung run
 swum drunk eaten written ridden fallen""")
PASTS_NOT_PARTICIPLES = listed("hid stole took gave saw drew broke chose forgot shook showed threw knew")
ED = re.compile(r"\w+ed$")
PASTS = PASTS_NOT_PARTICIPLES | listed("""found lost brought bought sold held kept made caught left sang ran swam slept
 drank ate dug wrote wept rode fell""")
NO_PAST = {"need", "feed", "weed", "shed"}
MALE = {name.strip() for name in BOYS.replace("\n", " ").split(",")}
FEMALE = {name.strip() for name in GIRLS.replace("\n", " ").split(",")}


def plural(noun: str) -> bool:
    return noun in IRREGULAR_PLURALS or (noun.endswith("s") and noun not in NOT_PLURAL)


def past(verb: str) -> bool:
    return verb in PASTS or (bool(ED.match(verb)) and verb not in NO_PAST)


def words(sentence: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", sentence)


def after(sentence: str, *cues: str) -> str:
    """The word after the first of the cues."""
    return re.search(rf"\b(?:{'|'.join(cues)}) (\w+)", sentence)[1]  # type: ignore[index]


def singular_verb(sentence: str) -> bool:
    """Number of the main verb: the last of was, were, has, have, or the word before a phrase of time."""
    if found := re.findall(r"\b(was|were|has|have|is|are)\b", sentence):
        return found[-1] in ("was", "has", "is")
    verb = re.search(r"(\w+) (?:every|on Sundays|after supper)", sentence)[1]  # type: ignore[index]
    return verb.endswith("s")


def head_agrees(sentence: str) -> bool:
    return plural(words(sentence)[1]) != singular_verb(sentence)


def coordination_agrees(sentence: str) -> bool:
    return ((" and " in sentence) != singular_verb(sentence)) and bool(words(sentence))


def there_agrees(sentence: str) -> bool:
    one = words(sentence)[2] in ("a", "an") and "a few" not in sentence
    return one == (words(sentence)[1] in ("was", "is"))


def determiner_agrees(sentence: str) -> bool:
    """The noun is the first word after the determiner that looks like a noun of the lexicon, adjectives skipped."""
    rest = re.search(r"\b(this|that|these|those) (.*?)(?: (?:in|at|by|on|near|behind) .*)?\.$", sentence)
    assert rest
    return plural(rest[2].split()[-1]) == (rest[1] in ("these", "those"))


def quantifier_agrees(sentence: str) -> bool:
    if "every" in sentence:
        return not plural(after(sentence, "every"))
    numbers = "two three four five six seven ten eleven twenty many several few"
    return plural(after(sentence, *numbers.split()))


def article_agrees(sentence: str) -> bool:
    article, noun = re.search(r"\b(an?) (\w+)", sentence).groups()  # type: ignore[union-attr]
    return (noun[0] in "aeiou") == (article == "an")


def gender_agrees(sentence: str) -> bool:
    name = next(word for word in words(sentence) if word in MALE | FEMALE)
    pronoun = re.search(r"\b(his|her|himself|herself)\b", sentence)[1]  # type: ignore[index]
    return (name in MALE) == pronoun.startswith("hi")


def reflexive_number_agrees(sentence: str) -> bool:
    many = sentence.startswith("The ")
    return many == ("themselves" in sentence)


def case_agrees(sentence: str) -> bool:
    subject = {"he", "she", "we", "they"}
    place = after(sentence, "Then") if sentence.startswith("Then") else after(sentence, "watched")
    return (place in subject) == sentence.startswith("Then")


def bare_after(cue: str):
    """The verb is not past after the cue, and past without it."""

    def agrees(sentence: str) -> bool:
        found = re.search(rf"\b{cue} (\w+)", sentence)
        if found:
            return not past(found[1])
        main = re.match(r"(?:[\w ]+, )?(?:The )?\w+(?: soon| came(?: home)? and)? (\w+)", sentence)
        return past(main[1])  # type: ignore[index]

    return agrees


def participle_agrees(sentence: str) -> bool:
    if " had " in sentence:
        return after(sentence, "had") in PARTICIPLES
    return after(sentence, "soon") in PASTS_NOT_PARTICIPLES


def progressive_agrees(sentence: str) -> bool:
    verb = after(sentence, "was", "are", "could", "will")
    ends = verb.endswith("ing") and verb not in ("sing", "bring")
    return ends == bool(re.search(r"\b(was|are)\b", sentence))


def comparative_agrees(sentence: str) -> bool:
    """No plain adjective of the lexicon ends in -er."""
    return after(sentence, "as", "was").endswith("er") == (" than " in sentence) and not re.search(
        r"as \w+er as", sentence
    )


def never_agrees(sentence: str) -> bool:
    return sentence.startswith("No ") == (" ever " in sentence)


def relative_agrees(sentence: str) -> bool:
    """After `who` stands a verb; after `which`, which is said of things, a name."""
    return (" who " in sentence) != (after(sentence, "who", "which") in MALE | FEMALE)


def adjective_agrees(sentence: str) -> bool:
    looks = agreement.words.LOOKS.replace("\n", " ").split(", ")
    look = rf"(?:{'|'.join(looks)})"
    return bool(re.search(rf"\bthe {look} \w+ |was {look}\.$", sentence.lower()))


def question_agrees(sentence: str) -> bool:
    asks = sentence.endswith("?")
    order = re.search(r"\b(?:where|why) (\w+) (\w+)", sentence, re.I)
    assert order
    return (order[2] in MALE | FEMALE) if asks else (order[1] in MALE | FEMALE)


CHECKS = {
    "subject_verb_number": head_agrees,
    "subject_verb_attractor": head_agrees,
    "subject_verb_relative": head_agrees,
    "coordinated_subject": coordination_agrees,
    "there_number": there_agrees,
    "determiner_noun": determiner_agrees,
    "determiner_adjective_noun": determiner_agrees,
    "quantifier_noun": quantifier_agrees,
    "article_sound": article_agrees,
    "reflexive_gender": gender_agrees,
    "reflexive_number": reflexive_number_agrees,
    "pronoun_gender": gender_agrees,
    "pronoun_case": case_agrees,
    "tense_after_did": bare_after(r"(?:Did \w+|did not)"),
    "infinitive": bare_after("to"),
    "modal": bare_after("(?:could|will)"),
    "participle": participle_agrees,
    "progressive": progressive_agrees,
    "comparative": comparative_agrees,
    "never_ever": never_agrees,
    "relative_pronoun": relative_agrees,
    "adjective_order": adjective_agrees,
    "question_order": question_agrees,
}


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return agreement.records(3, 8_000, split="train")


def test_every_paradigm_has_a_check():
    assert set(CHECKS) == set(agreement.PARADIGMS)


@pytest.mark.parametrize("paradigm", CHECKS)
def test_the_good_sentence_is_right_and_its_twin_is_wrong(items: list[dict], paradigm: str):
    asked = [item for item in items if item["paradigm"] == paradigm]
    assert len(asked) > 100
    check = CHECKS[paradigm]
    assert [item["good"] for item in asked if not check(item["good"])] == []
    assert [item["bad"] for item in asked if check(item["bad"])] == []


def test_twins_differ_in_one_place_and_have_as_many_words(items: list[dict]):
    for item in items:
        good, bad = item["good"].split(), item["bad"].split()
        assert len(good) == len(bad)
        places = [i for i, (a, b) in enumerate(zip(good, bad, strict=True)) if a.strip(".") != b.strip(".")]
        assert places
        assert places[-1] - places[0] == len(places) - 1 <= 2, item
        assert {item["good"], item["bad"]} == set(item["choices"])
        assert item["answer"] == item["good"]


def test_a_model_of_single_words_is_at_chance_in_every_paradigm(items: list[dict]):
    """What is right in one half of a paradigm's items is wrong in the other: 6 standard deviations of a fair coin.

    The guesser knows, for its own test items, how often each word stands in the good and in the bad sentence of the
    paradigm in other items; single verbs and nouns are too rare to weigh, so words are put in classes by their ending.
    """

    function_words = listed("was were is are has have this these that those a an who which never ever his her")
    function_words |= listed("he she they them him we us")

    def kind(word: str) -> str:
        if word in function_words or "sel" in word:
            return word
        return "ing" if word.endswith("ing") else "past" if past(word) else "s" if word.endswith("s") else "base"

    for paradigm in CHECKS:
        counts: dict[str, Counter] = {"good": Counter(), "bad": Counter()}
        asked = [item for item in items if item["paradigm"] == paradigm]
        for item in asked:
            for side in counts:
                counts[side].update(kind(word.strip(".,?")) for word in item[side].split())
        for word in counts["good"] | counts["bad"]:
            good, bad = counts["good"][word], counts["bad"][word]
            difference = abs(good - bad)
            assert difference <= 6 * len(asked) ** 0.5, (paradigm, word, good, bad)


def test_forms_are_spelt_right():
    verbs = {verb.base: verb for verb in agreement._verbs(agreement.words.VERBS + "," + agreement.words.ACTIONS)}
    gold = {
        "find": "finds found found finding", "hide": "hides hid hidden hiding",
        "carry": "carries carried carried carrying",
        "give away": "gives away gave away given away giving away", "catch": "catches caught caught catching",
        "forget": "forgets forgot forgotten forgetting", "drop": "drops dropped dropped dropping",
        "run": "runs ran run running", "swim": "swims swam swum swimming", "dig": "digs dug dug digging",
        "open": "opens opened opened opening", "see": "sees saw seen seeing", "lose": "loses lost lost losing",
        "wash": "washes washed washed washing", "play": "plays played played playing",
        "hop": "hops hopped hopped hopping",
        "borrow": "borrows borrowed borrowed borrowing", "draw": "draws drew drawn drawing",
        "write": "writes wrote written writing", "wander": "wanders wandered wandered wandering",
        "admire": "admires admired admired admiring", "buy": "buys bought bought buying",
    }  # fmt: skip
    for base, forms in gold.items():
        verb = verbs[base]
        assert f"{verb.s} {verb.past} {verb.part} {verb.ing}" == forms
    doubled = {verb.ing for verb in verbs.values() if re.search(r"([bdgklmnprt])\1ing$", verb.ing)}
    assert doubled == {
        "forgetting",
        "dropping",
        "running",
        "swimming",
        "digging",
        "hopping",
        "pulling",
        "selling",
        "falling",
    }
    plurals = {noun.sg: noun.pl for noun in agreement._nouns(agreement.words.PEOPLE + "," + agreement.words.THINGS)}
    ends = ("s", "x", "z", "ch", "sh", "man", "fe", "lf")
    assert all(plurals[sg] != sg + "s" for sg in plurals if sg.endswith(ends) or re.search(r"[^aeiou]y$", sg))


def test_paradigms_are_equally_frequent():
    counts = Counter(item["paradigm"] for item in agreement.records(4, 3_000))
    assert len(counts) == len(CHECKS)
    expected = 3_000 / len(CHECKS)
    assert all(abs(n - expected) < 6 * expected**0.5 for n in counts.values()), counts


def test_held_out_are_combinations_not_words():
    """Each word of the test items is met in train."""
    vocabulary: defaultdict[str, set[str]] = defaultdict(set)
    for split, n in (("train", 20_000), ("test", 1_000)):
        for item in agreement.records(5, n, split=split):
            vocabulary[split].update(words(item["good"]))
    assert not vocabulary["test"] - vocabulary["train"]
