"""German inflection by rule: nouns, articles, adjectives, pronouns, verbs.

Cases are nom, acc, dat, gen; genders m, f, n; `pl` stands beside the genders for the plural. What the rules cannot
know (gender, plural, vowel changes, participles) is the lexicon's. tests/data/test_synth_german.py holds the forms
against tables written by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CASES = ("nom", "acc", "dat", "gen")
PERSONS: tuple[str, ...] = ("1sg", "2sg", "3sg", "1pl", "3pl")

# rows m, f, n, pl; columns nom, acc, dat, gen
_THE = {"m": "der den dem des", "f": "die die der der", "n": "das das dem des", "pl": "die die den der"}
_EIN = {"m": " en em es", "f": "e e er er", "n": "  em es", "pl": "e e en er"}
_DIESER = {"m": "er en em es", "f": "e e er er", "n": "es es em es", "pl": "e e en er"}
# Adjectives after der, after ein, and alone.
_WEAK = {"m": "e en en en", "f": "e e en en", "n": "e e en en", "pl": "en en en en"}
_MIXED = {"m": "er en en en", "f": "e e en en", "n": "es es en en", "pl": "en en en en"}
_STRONG = {"m": "er en em en", "f": "e e er er", "n": "es es em en", "pl": "e e en er"}

_PRONOUNS = {  # acc, dat, reflexive acc
    "1sg": ("ich", "mich", "mir", "mich"), "2sg": ("du", "dich", "dir", "dich"), "3sg m": ("er", "ihn", "ihm", "sich"),
    "3sg f": ("sie", "sie", "ihr", "sich"), "1pl": ("wir", "uns", "uns", "uns"), "3pl": ("sie", "sie", "ihnen", "sich"),
}  # fmt: skip

_CONTRACTED = {
    "in dem": "im", "an dem": "am", "zu dem": "zum", "zu der": "zur", "von dem": "vom", "bei dem": "beim",
    "in das": "ins", "an das": "ans",
}  # fmt: skip


def _cell(table: dict[str, str], gender: str, case: str) -> str:
    return table[gender].split(" ")[CASES.index(case)]


def article(kind: str, gender: str, case: str) -> str:
    """`der`, `ein`, `kein`, `dieser`, `jeder` or a possessive (`mein`, `unser`), in its form; `ein` has no plural."""
    if kind == "der":
        return _cell(_THE, gender, case)
    if kind in ("dieser", "jeder"):
        return kind[:-2] + _cell(_DIESER, gender, case)
    if kind == "welcher":
        return "welch" + _cell(_DIESER, gender, case)
    return kind + _cell(_EIN, gender, case)


def adjective(word: str, kind: str, gender: str, case: str, shortened: dict[str, str]) -> str:
    """An adjective before a noun, after the determiner `kind` ("" for none or a number)."""
    weak = kind in ("der", "dieser", "jeder", "welcher")
    ending = _cell(_WEAK if weak else _MIXED if kind else _STRONG, gender, case)
    stem = shortened.get(word, word)
    return stem + ending.removeprefix("e") if stem.endswith("e") else stem + ending


def pronoun(person: str, gender: str, case: str) -> str:
    """ich, mich, mir ...; case `refl` is the accusative of the reflexive pronoun."""
    return _PRONOUNS[f"{person} {gender}" if person == "3sg" else person][("nom", "acc", "dat", "refl").index(case)]


def relative(gender: str, case: str) -> str:
    """der, den, dem ...; the dative plural is denen."""
    return "denen" if gender == "pl" and case == "dat" else _cell(_THE, gender, case)


def contracted(preposition: str, phrase: str) -> str:
    """`in`, `dem Garten` -> `im Garten`, where German writes them as one word."""
    first, _, rest = phrase.partition(" ")
    short = _CONTRACTED.get(f"{preposition} {first}")
    return f"{short} {rest}" if short else f"{preposition} {phrase}"


@dataclass(frozen=True)
class Noun:
    """A noun of both languages. `plural` and `many` (English) are "" where there is none."""

    word: str
    gender: str
    plural: str
    one: str
    many: str
    weak: bool = False
    kind: str = ""  # its class in the lexicon

    def german(self, case: str, plural: bool = False) -> str:
        if plural:
            return self.plural + ("n" if case == "dat" and not self.plural.endswith(("n", "s")) else "")
        if self.weak and case != "nom":
            return self.word + ("n" if self.word.endswith("e") or self.word in _SHORT_WEAK else "en")
        if case == "gen" and self.gender != "f":
            return self.word + _genitive(self.word)
        return self.word


_SHORT_WEAK = ("Bauer", "Nachbar")
_HISSING = ("s", "ß", "x", "z", "sch", "st", "zt")
_DOUBLE_S = ("Bus", "Kürbis")
_FOREIGN = ("Chef", "Park", "Film", "Streik", "Schal")
_ONE_SYLLABLE = re.compile(r"[^aeiouäöüy]*(?:ie|ei|au|eu|äu|aa|oo|ee|[aeiouäöüy])[^aeiouäöüy]+")


def _genitive(word: str) -> str:
    """-es after a hissing sound and for most words of one syllable, else -s."""
    if word.endswith("nis") or word in _DOUBLE_S:
        return "ses"
    short = _ONE_SYLLABLE.fullmatch(word.lower()) and word not in _FOREIGN
    return "es" if short or word.endswith(_HISSING) else "s"


@dataclass(frozen=True)
class Verb:
    """A verb of both languages. `base` is the infinitive without its separable prefix; English forms are phrases
    whose first word is inflected (`pick`, `up`)."""

    base: str
    prefix: str
    third: str
    past_participle: str
    sein: bool
    english: tuple[str, str, str]  # base, past, participle of the first word
    particle: str = ""
    movable: bool = False  # a pronoun stands before the particle: picks him up
    takes: tuple[str, ...] = ()  # classes of its object
    to: bool = False  # English has `to` before the person
    preposition: str = ""
    case: str = ""

    @property
    def lemma(self) -> str:
        return self.prefix + self.base

    @property
    def _stem(self) -> str:
        return self.base[:-1] if self.base.endswith(("eln", "ern")) else self.base[:-2]

    @property
    def _strong(self) -> bool:
        return self.third != _weak_third(self.base)

    def present(self, person: str) -> str:
        """The finite form without the separable prefix."""
        if person in ("1pl", "3pl"):
            return self.base
        if person == "1sg":
            return self._stem[:-2] + "le" if self.base.endswith("eln") else self._stem + "e"
        if person == "3sg":
            return self.third
        stem = self.third if self._strong and self._stem.endswith("t") else self.third[:-1]  # hält, hältst
        return stem + ("t" if stem.endswith(("s", "ß", "x", "z")) else "st")

    @property
    def imperative(self) -> str:
        """The command to one person, without the prefix: kauf, gib, warte."""
        if self._strong and _last_vowel(self._stem) == "e" and _last_vowel(self.third).startswith("i"):
            return self.third if self._stem.endswith("t") else self.third[:-1]
        if self.base.endswith(("eln", "ern", "igen")) or _needs_e(self._stem):
            return self.present("1sg")
        return self._stem

    @property
    def participle(self) -> str:
        return self.prefix + self.past_participle

    @property
    def with_zu(self) -> str:
        return f"{self.prefix}zu{self.base}" if self.prefix else f"zu {self.base}"


def _last_vowel(word: str) -> str:
    return re.findall(r"ie|[aeiouäöü]", word)[-1]


def _needs_e(stem: str) -> bool:
    """Stems before whose -t and -st an e stands: arbeit-, find-, zeichn-, atm-; not lern-, film-, wohn-."""
    return bool(re.search(r"[td]$|(?:ch|[^aeiouäöülrhmn])[mn]$", stem))


def _weak_third(base: str) -> str:
    if base.endswith(("eln", "ern")):
        return base[:-1] + "t"
    return base[:-2] + ("et" if _needs_e(base[:-2]) else "t")


def weak_forms(base: str) -> tuple[str, str]:
    """Third person and participle of a weak verb: kaufen, kauft, gekauft; besuchen, besucht; reparieren, repariert."""
    third = _weak_third(base)
    plain = base.endswith("ieren") or _inseparable(base)
    return third, third if plain else "ge" + third


def _inseparable(base: str) -> bool:
    match = re.match(r"be|ge|er|ver|zer|ent|emp|miss|über", base)
    return bool(match) and bool(re.search(r"[aeiouäöü]", base[match.end() :].removesuffix("en")))
