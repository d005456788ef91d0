"""The German-English lexicon read into nouns, verbs, adjectives; who goes with whom.

The data are lexicon_german_*.py's, the forms german_forms.py's and english_forms.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from . import lexicon_german_nouns, lexicon_german_verbs, lexicon_german_words
from .english_forms import past_form, s_form
from .german_forms import Noun, Verb, weak_forms


@dataclass(frozen=True)
class Adjective:
    """An adjective with its comparatives ("" where it is not compared) and the classes of nouns that it fits."""

    word: str
    more: str
    english: str
    english_more: str
    fits: frozenset[str]


@dataclass(frozen=True)
class Matrix:
    """A verb before a clause or an infinitive: three singular forms, English base."""

    lemma: str
    forms: tuple[str, str, str]
    english: str

    def present(self, person: str) -> str:
        return self.lemma if person.endswith("pl") else self.forms[("1sg", "2sg", "3sg").index(person)]


def _entries(text: str) -> list[str]:
    return [" ".join(entry.split()) for entry in text.split(";") if entry.strip()]


def pairs(text: str) -> list[tuple[str, str]]:
    """`oft often, immer always` -> pairs; `_` stands for a space."""
    found = [item.split() for item in text.replace("\n", " ").split(",") if item.strip()]
    return [(german.replace("_", " "), english.replace("_", " ")) for german, english in found]


@cache
def nouns() -> dict[str, Noun]:
    """German singular -> noun."""
    found = {}
    for block in lexicon_german_nouns.NOUNS.split("== ")[1:]:
        kind, _, body = block.partition("\n")
        for entry in _entries(body):
            gender, word, plural, english = entry.split()
            one, _, many = english.replace("_", " ").partition("/")
            found[word] = Noun(
                word, gender[0], plural.strip("-"), one, (many or s_form(one)) if plural != "-" else "",
                gender == "mn", kind.strip(),
            )  # fmt: skip
    return found


@cache
def of_class(name: str) -> tuple[Noun, ...]:
    """The nouns of a class, a group of classes, or a special list."""
    if name in lexicon_german_verbs.SPECIAL:
        return tuple(nouns()[word] for word in lexicon_german_verbs.SPECIAL[name].split())
    kinds = lexicon_german_verbs.GROUPS.get(name, name).split()
    return tuple(noun for noun in nouns().values() if noun.kind in kinds)


@cache
def objects(takes: tuple[str, ...]) -> tuple[Noun, ...]:
    """Every noun that a verb with these classes may have as its object, each once."""
    return tuple(dict.fromkeys(noun for name in takes for noun in of_class(name)))


def _verb(entry: str) -> Verb:
    left, _, right = entry.partition(" = ")
    to = left.endswith("/to")
    words = left.removesuffix("/to").split()
    name = words[0].removeprefix("*")
    prefix, _, base = name.rpartition("|")
    forms = [word for word in words[1:] if word not in ("acc", "dat")]
    preposition = forms.pop() if words[-1] in ("acc", "dat") else ""
    third, participle = (forms[0], forms[1]) if forms else weak_forms(base)
    english, _, takes = right.partition(" : ")
    first, *irregular = english.split()
    mark = "_" if "_" in first else "+"
    head, *particle = first.split(mark)
    past = irregular[0] if irregular else past_form(head)
    done = irregular[1] if len(irregular) > 1 else past
    return Verb(
        base, prefix, third, participle, words[0].startswith("*"), (head, past, done), " ".join(particle),
        mark == "_" and bool(particle), tuple(takes.split()), to, preposition, words[-1] if preposition else "",
    )  # fmt: skip


@cache
def verbs(table: str) -> tuple[Verb, ...]:
    """The verbs of a table of lexicon_german_verbs."""
    return tuple(_verb(entry) for entry in _entries(getattr(lexicon_german_verbs, table)))


TABLES = (
    "ACCUSATIVE", "SEPARABLE", "DATIVE", "DITRANSITIVE", "INTRANSITIVE", "MOTION", "PUTTING",
    "PREPOSITIONAL", "REFLEXIVE",
)  # fmt: skip


@cache
def adjectives() -> tuple[Adjective, ...]:
    found = []
    for entry in _entries(lexicon_german_words.ADJECTIVES):
        left, _, right = entry.partition(" = ")
        english, _, fits = right.partition(" : ")
        (word, *more), (plain, *compared) = left.split(), english.split()
        german_more = (word + ("r" if word.endswith("e") else "er")) if more == ["+"] else "".join(more)
        english_more = f"more {plain}" if compared == ["more"] else "".join(compared)
        groups = lexicon_german_words.ADJECTIVE_GROUPS
        kinds = frozenset(kind for name in fits.split() for kind in groups.get(name, name).split())
        found.append(Adjective(word, german_more, plain, english_more, kinds))
    return tuple(found)


@cache
def fitting(kind: str) -> tuple[Adjective, ...]:
    """Adjectives that may be said of nouns of a class."""
    return tuple(adjective for adjective in adjectives() if kind in adjective.fits)


@cache
def matrix(table: str) -> tuple[Matrix, ...]:
    """MODALS, THINKING, ASKING or TRYING of lexicon_german_words."""
    found = []
    for entry in _entries(getattr(lexicon_german_words, table)):
        left, _, english = entry.partition(" = ")
        lemma, first, second, third = left.split()
        found.append(Matrix(lemma, (first, second, third), english))
    return tuple(found)
