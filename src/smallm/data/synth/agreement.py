"""English minimal pairs within the words of the stories: one sentence right, its twin wrong in one place.

In the manner of BLiMP (Warstadt et al. 2020). A record is {good, bad, choices, answer, paradigm}: choices are both
sentences in drawn order, answer is the good one. Every paradigm comes in mirrored lines, so that the word that is
right in one sentence is wrong in another: a model of single words is at chance. Held out from train: combinations of
the lemmas of a sentence. All text is written for smallm (licence: that of this package).

PARADIGMS, a line: `The {N.sg} <was/were> {feeling}.` is good with `was` and bad with `were`. {N}, {M} are people or
animals, {H} a person, {T}, {U} things (with .sg .pl .a), {B} a boy, {G} a girl, {P}, {Q} children of any gender,
{V} a verb with an object, {X} one whose past and participle differ, {W} one without object (.base .s .past .part .ing).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from . import lexicon_grammar as words
from .draw import Draw, Drawn, collect
from .english_forms import ing_form, s_form
from .lexicon_people import BOYS, GIRLS
from .story_grammar import split_list, with_article

VERSION = "1"  # raise it with every change of words, lines or drawing

PARADIGMS: dict[str, str] = {
    "subject_verb_number": """
        The {N.sg} <was/were> {feeling} {where}.        | The {N.pl} <were/was> {feeling} {where}.
        The {N.sg} <has/have> {T.a} {where}.            | The {N.pl} <have/has> {T.a} {where}.
        The {N.sg} <{W.s}/{W.base}> {when}.             | The {N.pl} <{W.base}/{W.s}> {when}.""",
    "subject_verb_attractor": """
        The {N.sg} with the {T.pl} <was/were> {feeling}. | The {N.pl} with the {T.sg} <were/was> {feeling}.
        The {N.sg} behind the {M.pl} <{W.s}/{W.base}> {when}. | \
The {N.pl} behind the {M.sg} <{W.base}/{W.s}> {when}.""",
    "subject_verb_relative": """
        The {H.sg} who {V.past} the {T.pl} <was/were> {feeling}. | \
The {H.pl} who {V.past} the {T.sg} <were/was> {feeling}.
        The {H.sg} who likes the {M.pl} <{W.s}/{W.base}> {when}. | \
The {H.pl} who like the {M.sg} <{W.base}/{W.s}> {when}.""",
    "coordinated_subject": """
        {P} from the {town} <was/were> {feeling}.       | {P} and {Q} <were/was> {feeling}.
        The {N.sg} near {P} <has/have> {T.a}.           | The {N.sg} and {P} <have/has> {T.a}.""",
    "there_number": """
        There <was/were> {T.a} {where}.                 | There <were/was> {number} {T.pl} {where}.
        There <is/are> {look.a} {T.sg} {where}.         | There <are/is> {number} {look} {T.pl} {where}.""",
    "determiner_noun": """
        {P} {V.past} <this/these> {T.sg}.               | {P} {V.past} <these/this> {T.pl}.
        {P} {V.past} <that/those> {T.sg} {where}.       | {P} {V.past} <those/that> {T.pl} {where}.""",
    "determiner_adjective_noun": """
        {P} {V.past} <this/these> {look} {T.sg}.        | {P} {V.past} <these/this> {look} {T.pl}.
        {P} {V.past} <that/those> {look} {T.sg}.        | {P} {V.past} <those/that> {look} {T.pl}.""",
    "quantifier_noun": """
        {P} {V.past} every <{T.sg}/{T.pl}> {where}.     | {P} {V.past} {number} <{T.pl}/{T.sg}> {where}.""",
    "article_sound": """
        {P} {V.past} <a/an> {C.sg} {where}.             | {P} {V.past} <an/a> {E.sg} {where}.""",
    "reflexive_gender": """
        {B} {itself<himself/herself>} {where}.          | {G} {itself<herself/himself>} {where}.""",
    "reflexive_number": """
        {B} {itself<himself/themselves>} {where}.       | The {N.pl} {itself<themselves/himself>} {where}.
        {G} {itself<herself/themselves>} {where}.       | The {N.pl} {itself<themselves/herself>} {where}.""",
    "pronoun_gender": """
        {B} {own<his/her>} {where}.                     | {G} {own<her/his>} {where}.
        {before}, {B} {own<his/her>}.                   | {before}, {G} {own<her/his>}.""",
    "pronoun_case": """
        Then <he/him> {V.past} the {T.sg} {where}.      | The {N.sg} watched <him/he> {where}.
        Then <they/them> {V.past} the {T.sg} {where}.   | The {N.sg} watched <them/they> {where}.
        Then <we/us> {V.past} the {T.sg} {where}.       | The {N.sg} watched <us/we> {where}.
        Then <she/her> {V.past} the {T.sg} {where}.     | The {N.sg} watched <her/she> {where}.""",
    "tense_after_did": """
        Did {P} <{V.base}/{V.past}> the {T.sg} {where}? | {P} <{V.past}/{V.base}> the {T.sg} {where}.
        {P} did not <{V.base}/{V.past}> the {T.sg}.     | {before}, {P} <{V.past}/{V.base}> the {T.sg}.""",
    "infinitive": """
        {P} wanted to <{V.base}/{V.past}> the {T.sg}.   | {P} came home and <{V.past}/{V.base}> the {T.sg}.
        The {N.pl} began to <{W.base}/{W.past}> {where}. | The {N.pl} came and <{W.past}/{W.base}> {where}.""",
    "modal": """
        {P} could <{V.base}/{V.past}> the {T.sg}.       | {P} soon <{V.past}/{V.base}> the {T.sg}.
        Tomorrow, {P} will <{W.base}/{W.past}> {where}. | {before}, {P} <{W.past}/{W.base}> {where}.""",
    "participle": """
        {P} had <{X.part}/{X.past}> the {T.sg} {where}. | {P} soon <{X.past}/{X.part}> the {T.sg} {where}.""",
    "progressive": """
        {P} was <{V.ing}/{V.base}> the {T.sg}.          | {P} could <{V.base}/{V.ing}> the {T.sg}.
        The {N.pl} are <{W.ing}/{W.base}> {where}.      | The {N.pl} will <{W.base}/{W.ing}> {where}.""",
    "comparative": """
        The {T.sg} was <{size.more}/{size.plain}> than the {U.sg}. | \
The {T.sg} was as <{size.plain}/{size.more}> as the {U.sg}.""",
    "never_ever": """
        {P} has <never/ever> {X.part} {T.a}.            | No one has <ever/never> {X.part} {T.a} {where}.
        The {N.sg} <never/ever> {V.past} the {T.sg}.    | No {N.sg} <ever/never> {V.past} the {T.sg}.""",
    "relative_pronoun": """
        The {H.sg} <who/which> {V.past} the {T.sg} was {feeling}. | The {T.sg} <which/who> {P} {V.past} was {look}.""",
    "adjective_order": """
        The <{look} {T.sg}/{T.sg} {look}> was {where}.  | The {T.sg} {where} <was {look}/{look} was>.
        {P} lost the <{look} {T.sg}/{T.sg} {look}> {where}. | The <{look} {T.pl}/{T.pl} {look}> were {where}.""",
    "question_order": """
        Where <did {P}/{P} did> {V.base} the {T.sg}?    | I know where <{P} was/was {P}> in the evening.
        Why <was {P}/{P} was> {feeling} {where}?        | {G} knew why <{B} was/was {B}> {feeling}.""",
}  # fmt: skip


@dataclass(frozen=True)
class Noun:
    sg: str
    pl: str

    @property
    def a(self) -> str:
        return with_article(self.sg)


@dataclass(frozen=True)
class Verb:
    base: str
    s: str
    past: str
    part: str
    ing: str


@dataclass(frozen=True)
class Adjective:
    plain: str
    more: str = ""

    @property
    def a(self) -> str:
        return with_article(self.plain)

    def __str__(self) -> str:
        return self.plain


def _nouns(text: str) -> list[Noun]:
    pairs = (item.split() for item in split_list(text))
    return [Noun(pair[0], pair[1] if len(pair) > 1 else f"{pair[0]}s") for pair in pairs]


def _verbs(text: str) -> list[Verb]:
    verbs = []
    for item in split_list(text):
        base, past, part = (form.partition("_") for form in (item.split() + item.split()[-1:])[:3])
        rest = f" {base[2]}" if base[2] else ""  # give away
        forms = (base[0], s_form(base[0]), past[0], part[0], ing_form(base[0]))
        verbs.append(Verb(*(form + rest for form in forms)))
    return verbs


@cache
def _tables() -> dict[str, list[Any]]:
    """What each slot is drawn from."""
    people, things, verbs = _nouns(words.PEOPLE), _nouns(words.THINGS), _verbs(words.VERBS)
    beings = people + _nouns(words.ANIMALS)
    boys, girls = split_list(BOYS), split_list(GIRLS)
    sizes = [Adjective(*item.split()) for item in split_list(words.SIZES)]
    vowels = [noun for noun in things if noun.a.startswith("an ")]
    return {
        "N": beings, "M": beings, "H": people, "T": things, "U": things,
        "E": vowels, "C": [noun for noun in things if noun not in vowels],
        "B": boys, "G": girls, "P": boys + girls, "Q": boys + girls,
        "V": [v for v in verbs if v.past != v.base], "X": [v for v in verbs if v.past != v.part],
        "W": [v for v in _verbs(words.ACTIONS) if v.past != v.base],
        "feeling": split_list(words.FEELINGS), "where": split_list(words.PLACES), "when": split_list(words.TIMES),
        "town": split_list(words.TOWNS), "number": split_list(words.NUMBERS), "before": split_list(words.BEFORE),
        "look": [Adjective(look) for look in split_list(words.LOOKS)], "size": sizes,
        "own": split_list(words.IDIOMS), "itself": split_list(words.REFLEXIVES),
    }  # fmt: skip


@cache
def _lines(paradigm: str) -> list[tuple[str, str]]:
    """Mirrored lines of a paradigm."""
    pairs = [line.split("|") for line in PARADIGMS[paradigm].splitlines() if line.strip()]
    return [(one.strip(), two.strip()) for one, two in pairs]


def _variants(line: str, of: dict[str, Any]) -> tuple[str, str]:
    """Both sentences of a line, every slot filled; a phrase slot puts the contrast where its phrase has `_`."""
    line = re.sub(r"\{(\w+)(<[^>]*>)\}", lambda m: of[m[1]].replace("_", m[2]), line)
    before, good, bad, after = re.fullmatch(r"([^<]*)<([^/]*)/([^>]*)>(.*)", line).groups()  # type: ignore[union-attr]
    fill = [(before + middle + after).format_map(of) for middle in (good, bad)]
    return fill[0], fill[1]


def _lemma(word: Noun | Verb | Adjective | str) -> str:
    return word.sg if isinstance(word, Noun) else word.base if isinstance(word, Verb) else str(word)


def _make(draw: Draw) -> Drawn | None:
    paradigm = draw.pick(tuple(PARADIGMS))
    line = draw.pick(draw.pick(_lines(paradigm)))
    of = {slot: draw.pick(table) for slot, table in _tables().items()}
    if of["T"] == of["U"] or of["P"] == of["Q"] or of["N"] == of["M"]:
        return None
    good, bad = _variants(line, of)
    lemmas = sorted(_lemma(of[slot]) for slot in set(re.findall(r"\{(\w+)", line)))
    record = {"good": good, "bad": bad, "choices": draw.order([good, bad]), "answer": good, "paradigm": paradigm}
    return Drawn(record, f"{good}\n{bad}", f"{paradigm} {lemmas}")


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct pairs in drawn order, the paradigms equally often; see draw.collect for the splits and errors."""
    return collect("agreement", seed, items, split, _make)
