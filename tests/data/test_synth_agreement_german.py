"""German minimal pairs: rules typed here accept every good sentence and reject its twin."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from smallm.data.synth import agreement_german

# Genders typed by hand, for the pairs in which one of these nouns stands.
MASCULINE = (
    "Hammer Pinsel Gürtel Hut Ball Schlüssel Spiegel Brief Roman Krug Koffer Löffel Teller Mantel Rock Stein Ring"
)
FEMININE = "Lampe Tasse Gabel Jacke Zeitung Puppe Vase Flasche Münze Decke Kerze Bluse Socke Nadel Uhr Säge Landkarte"
NEUTER = "Buch Glas Messer Hemd Kleid Bild Foto Seil Gedicht Kissen Paket Telefon Märchen Geschenk Tagebuch"
GENDER = {word: g for g, text in (("m", MASCULINE), ("f", FEMININE), ("n", NEUTER)) for word in text.split()}
THE = {"nom": {"m": "der", "f": "die", "n": "das"}, "acc": {"m": "den", "f": "die", "n": "das"}}
PLURAL_VERB = re.compile(r"\w+(?:en|ern|eln)$")


def case_of_article(sentence: str) -> bool:
    article = re.search(r"\b(der|den|die) ", sentence)[1]  # type: ignore[index]
    return article == {"sucht": "den", "liegt": "der", "hilft": "der", "sieht": "die"}[sentence.split()[1]]


def case_after_preposition(sentence: str) -> bool:
    preposition, article = re.search(r"\b(mit|ohne|für) (\w+)", sentence).groups()  # type: ignore[union-attr]
    masculine = sentence.split()[1] == "kommt"
    return article == (("dem" if masculine else "der") if preposition == "mit" else "den" if masculine else "die")


def gender(sentence: str) -> bool:
    article, noun = re.search(r"(\w+) (\w+)\.$", sentence).groups()  # type: ignore[union-attr]
    case = "acc" if " sieht " in sentence else "nom"
    if noun not in GENDER:
        pytest.skip("not typed here")
    return article == THE[case][GENDER[noun]]


def ending(sentence: str) -> bool:
    article, adjective, noun = re.search(r"(\w+) (\w+) (\w+)\.$", sentence).groups()  # type: ignore[union-attr]
    if article == "ein":
        suffix = {"m": "er", "n": "es"}.get(GENDER.get(noun, ""), "er|es")
    else:
        suffix = {"der": "e", "das": "e", "einen": "en", "eine": "e"}[article]
    return bool(re.search(f"[^e](?:{suffix})$", adjective))


def number(sentence: str) -> bool:
    """`die` before a subject that is no object: plural."""
    words = sentence.rstrip(".").split()
    if words[0] in ("Der", "Die"):
        verb, plural = words[2], words[0] == "Die"
    else:
        verb, plural = words[1], words[2] == "die"
    return bool(PLURAL_VERB.match(verb)) == plural


def auxiliary(sentence: str) -> bool:
    """An object takes haben; what is left here moves, and takes sein."""
    return (" hat " in sentence) == bool(re.search(r"\b(den|die|das) ", sentence))


INFINITIVES = {verb.lemma for verb in agreement_german._transitive()}


def participle(sentence: str) -> bool:
    """The infinitive after will and wird; hat takes the participle."""
    helper = re.search(r"\b(hat|will|wird)\b", sentence)[1]  # type: ignore[index]
    return (sentence.rstrip(".").split()[-1] in INFINITIVES) == (helper != "hat")


def order(sentence: str) -> bool:
    """Verb last after weil and dass, second elsewhere; the object opens with den, die or das."""
    if found := re.search(r"(?:weil|dass) (.*)\.$", sentence):
        return found[1].startswith("der ") and found[1].split()[2] in ("den", "die", "das")
    if found := re.search(r"und der \w+ (\w+)", sentence):
        return found[1] not in ("den", "die", "das")
    return sentence.split()[1] != "der"


def weak(sentence: str) -> bool:
    noun = re.search(r"(?:den|dem|der|ein) (\w+)", sentence)[1]  # type: ignore[index]
    oblique = bool(re.search(r"\b(den|dem)\b", sentence))
    return (noun in WEAK_OBLIQUE) == oblique


WEAK = "Junge Neffe Prinz Held Riese Kollege Kunde Nachbar Bauer Student Polizist Soldat Tourist Pilot Patient Pirat"
WEAK_OBLIQUE = {word + ("n" if word.endswith(("e", "r")) else "en") for word in WEAK.split()}


def relative(sentence: str) -> bool:
    pronoun, who = re.search(r", (der|den|dem) (ich|mich|mir)\b", sentence).groups()  # type: ignore[union-attr]
    return pronoun == ("der" if who != "ich" else "dem" if "helfe" in sentence else "den")


CHECKS = {
    "article_case": case_of_article,
    "preposition_case": case_after_preposition,
    "article_gender": gender,
    "adjective_ending": ending,
    "verb_number": number,
    "auxiliary": auxiliary,
    "participle": participle,
    "verb_order": order,
    "weak_noun": weak,
    "relative_case": relative,
}


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return agreement_german.records(3, 4_000, split="train")


def test_every_paradigm_has_a_check():
    assert set(CHECKS) == set(agreement_german.PARADIGMS)


@pytest.mark.parametrize("paradigm", [name for name in CHECKS if name != "article_gender"])
def test_the_good_german_sentence_is_right_and_its_twin_is_wrong(items: list[dict], paradigm: str):
    asked = [item for item in items if item["paradigm"] == paradigm]
    assert len(asked) > 100
    check = CHECKS[paradigm]
    assert [item["good"] for item in asked if not check(item["good"])] == []
    assert [item["bad"] for item in asked if check(item["bad"])] == []


def test_genders_are_those_typed_here(items: list[dict]):
    asked = [i for i in items if i["paradigm"] == "article_gender" and i["good"].rstrip(".").split()[-1] in GENDER]
    assert len(asked) > 100
    assert all(gender(item["good"]) and not gender(item["bad"]) for item in asked)


def test_single_words_tell_nothing(items: list[dict]):
    """The two words of a contrast are right equally often, within 6 standard deviations."""
    for paradigm in ("article_case", "preposition_case", "article_gender", "weak_noun", "relative_case", "auxiliary"):
        right: defaultdict[str, Counter] = defaultdict(Counter)
        asked = [item for item in items if item["paradigm"] == paradigm]
        for item in asked:
            for side in ("good", "bad"):
                right[side].update(w for w in re.findall(r"\w+", item[side].lower()) if len(w) < 5)
        for word in right["good"] | right["bad"]:
            assert abs(right["good"][word] - right["bad"][word]) <= 6 * len(asked) ** 0.5, (paradigm, word)


def test_paradigms_are_equally_frequent_in_german():
    counts = Counter(item["paradigm"] for item in agreement_german.records(4, 1_000))
    assert len(counts) == len(CHECKS)
    assert all(50 < n < 160 for n in counts.values()), counts


def test_twins_have_the_same_words_but_one_place(items: list[dict]):
    for item in items:
        good, bad = item["good"].split(), item["bad"].split()
        assert len(good) == len(bad)
        places = [i for i, pair in enumerate(zip(good, bad, strict=True)) if pair[0].strip(".") != pair[1].strip(".")]
        assert places[-1] - places[0] <= 4
        assert item["good"] != item["bad"]
