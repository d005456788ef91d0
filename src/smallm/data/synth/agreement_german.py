"""German minimal pairs: one sentence right, its twin wrong in one place; case, gender, endings, verb forms and order.

Records as agreement.py's: {good, bad, choices, answer, paradigm}; every paradigm comes in mirrored lines, so that the
word that is right in one sentence is wrong in another. Nouns and verbs are those of the sentence pairs
(lexicon_german_*.py). Held out from train: combinations of the lemmas of a sentence.
All text is written for smallm (licence: that of this package).

A line: `Anna sucht <den/der> {M}.` {M}, {F}, {N} are things, masculine, feminine, neuter; {W} a weak masculine person;
{P}, {Q} people (.pl their plural, .dat, .acc with the article); {V} a verb with an object {V.o}, {I} one without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from .draw import Draw, Drawn, collect
from .german_forms import Noun, Verb, article
from .story_grammar import split_list
from .translation_words import objects, of_class, verbs

VERSION = "1"  # raise it with every change of words, lines or drawing

PARADIGMS: dict[str, str] = {
    "article_case": """
        Er sucht {time} <den/der> {M}.           | {place} liegt {time} <der/den> {M}.
        Er hilft {time} <der/die> {G}.           | Er sieht {time} <die/der> {G}.""",
    "preposition_case": """
        {name} kommt {time} mit <dem/den> {P}.   | {name} kommt {time} ohne <den/dem> {P}.
        {name} kocht {time} mit <der/die> {G}.   | {name} kocht {time} für <die/der> {G}.""",
    "article_gender": """
        {place} liegt <der/die> {M}.             | {place} liegt <die/der> {F}.
        {place} liegt <das/der> {N}.             | {place} liegt <der/das> {M}.
        {name} sieht <die/das> {F}.              | {name} sieht <das/die> {N}.""",
    "adjective_ending": """
        {place} liegt ein <{a}er/{a}e> {M}.      | {place} liegt der <{a}e/{a}er> {M}.
        {place} liegt ein <{a}es/{a}e> {N}.      | {place} liegt das <{a}e/{a}es> {N}.
        {name} sieht einen <{a}en/{a}e> {M}.     | {name} sieht eine <{a}e/{a}en> {F}.""",
    "verb_number": """
        {place} <{I.sg}/{I.pl}> der {P}.         | {place} <{I.pl}/{I.sg}> die {P.pl}.
        Der {P} <{V.sg}/{V.pl}> {V.o}.           | Die {P.pl} <{V.pl}/{V.sg}> {V.o}.""",
    "auxiliary": """
        {name} <hat/ist> {V.o} {V.part}.         | {name} <ist/hat> {place} {S.part}.""",
    "participle": """
        {name} hat {V.o} <{V.part}/{V.inf}>.     | {name} will {V.o} <{V.inf}/{V.part}>.
        Der {P} hat {V.o} <{V.part}/{V.inf}>.    | Der {P} wird {V.o} <{V.inf}/{V.part}>.""",
    "verb_order": """
        {name} lacht, weil der {P} <{V.o} {V.sg}/{V.sg} {V.o}>. | {name} lacht, und der {P} <{V.sg} {V.o}/{V.o} {V.sg}>.
        {time} <{V.sg} der {P}/der {P} {V.sg}> {V.o}. | \
Wir wissen, dass <der {P} {V.o} {V.sg}/{V.sg} der {P} {V.o}>.""",
    "weak_noun": """
        {name} sieht den <{W.acc}/{W}>.          | {place} steht der <{W}/{W.acc}>.
        {name} hilft dem <{W.acc}/{W}> {place}.  | {place} wartet ein <{W}/{W.acc}>.""",
    "relative_case": """
        Der {P}, <den/der> ich {place} sehe, lacht {time}. | \
Der {P}, <der/den> mich {place} sieht, lacht {time}.
        Der {P}, <dem/der> ich {place} helfe, lacht {time}. | \
Der {P}, <der/dem> mir {place} hilft, lacht {time}.""",
}  # fmt: skip

NAMES = "Anna, Paul, Maria, Peter, Lena, Jonas, Klara, Felix, Julia, Max, Sophie, Lukas, Emma, Leon"
PLACES = "hier, dort, oben, unten, draußen, drinnen, da, links, rechts, nebenan"
TIMES = "heute, jetzt, morgens, abends, manchmal, nachts, oft, sonntags, endlich, leider"
LOOKS = "groß, klein, alt, neu, rot, blau, schwarz, schön, schmutzig, sauber, billig, leicht, schwer, grün, bunt, braun"


@dataclass(frozen=True)
class Named:
    """A noun with the forms that the lines use."""

    noun: Noun

    @property
    def pl(self) -> str:
        return self.noun.plural

    @property
    def acc(self) -> str:
        return self.noun.german("acc")

    def __str__(self) -> str:
        return self.noun.word


@dataclass(frozen=True)
class Acting:
    """A verb with the forms that the lines use, and an object in the accusative."""

    verb: Verb
    object: Noun | None = None

    @property
    def sg(self) -> str:
        return self.verb.present("3sg")

    @property
    def pl(self) -> str:
        return self.verb.present("3pl")

    @property
    def part(self) -> str:
        return self.verb.participle

    @property
    def inf(self) -> str:
        return self.verb.lemma

    @property
    def o(self) -> str:
        if self.object is None:
            return ""
        return f"{article('der', self.object.gender, 'acc')} {self.object.german('acc')}"

    def __str__(self) -> str:
        return f"{self.verb.lemma} {self.object.word}" if self.object else self.verb.lemma


@cache
def _tables() -> dict[str, list[Any]]:
    """What each slot but {V} is drawn from."""
    kinds = ("dish", "tool", "thing", "clothing", "reading")
    things = [noun for kind in kinds for noun in of_class(kind)]
    people = [noun for noun in of_class("person") if noun.gender == "m"]
    plain = [noun for noun in people if not noun.weak and noun.plural != noun.word]
    joined = [verb for verb in verbs("INTRANSITIVE") + verbs("MOTION") if not verb.prefix]
    return {
        **{slot: [Named(n) for n in things if n.gender == g] for slot, g in (("M", "m"), ("F", "f"), ("N", "n"))},
        "G": [Named(noun) for noun in of_class("person") if noun.gender == "f"],
        "P": [Named(noun) for noun in plain],
        "W": [Named(noun) for noun in people if noun.weak],
        "I": [Acting(verb) for verb in joined if not verb.sein],
        "S": [Acting(verb) for verb in joined if verb.sein],
        "name": split_list(NAMES), "place": split_list(PLACES), "time": split_list(TIMES), "a": split_list(LOOKS),
    }  # fmt: skip


@cache
def _transitive() -> tuple[Verb, ...]:
    """Verbs with an object whose participle is not their infinitive."""
    return tuple(verb for verb in verbs("ACCUSATIVE") if verb.participle != verb.lemma)


@cache
def _lines(paradigm: str) -> list[tuple[str, str]]:
    """Mirrored lines of a paradigm."""
    pairs = [line.split(" | ") for line in PARADIGMS[paradigm].splitlines() if line.strip()]
    return [(one.strip(), two.strip()) for one, two in pairs]


def _make(draw: Draw) -> Drawn | None:
    paradigm = draw.pick(tuple(PARADIGMS))
    line = draw.pick(draw.pick(_lines(paradigm)))
    of = {slot: draw.pick(table) for slot, table in _tables().items()}
    verb = draw.pick(_transitive())
    things = objects(verb.takes)
    if paradigm == "verb_number":  # `Die Brüder ruft die Tante` is right where the aunt calls
        things = tuple(noun for noun in things if noun.gender == "m")
    if not things:
        return None
    of["V"] = Acting(verb, draw.pick(things))
    before, good, bad, after = re.fullmatch(r"([^<]*)<([^/]*)/([^>]*)>(.*)", line).groups()  # type: ignore[union-attr]
    said = [(before + middle + after).format_map(of) for middle in (good, bad)]
    if said[0] == said[1] or str(of["P"]) in str(of["V"]).split():
        return None
    good, bad = (text[0].upper() + text[1:] for text in said)
    lemmas = sorted(str(of[slot]) for slot in set(re.findall(r"\{(\w+)", line)))
    record = {"good": good, "bad": bad, "choices": draw.order([good, bad]), "answer": good, "paradigm": paradigm}
    return Drawn(record, f"{good}\n{bad}", f"{paradigm} {lemmas}")


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct pairs in drawn order, the paradigms equally often; see draw.collect for the splits and errors."""
    return collect("agreement_german", seed, items, split, _make)
