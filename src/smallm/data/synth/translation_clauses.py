"""Noun phrases and clauses, each said in German and in English: case, agreement, word order.

A Phrase is a noun with its determiner, a pronoun or a name; a Clause is a verb with its subject, objects and
adverbials, a tense, and perhaps a negation. Which words go together is translation_constructions.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import lexicon_german_words
from .english_forms import s_form
from .german_forms import PERSONS, Noun, Verb, adjective, article, contracted, pronoun, relative
from .story_grammar import with_article
from .translation_words import Adjective, Matrix

# German and English of an adverbial or any phrase that does not change.
Said = tuple[str, str]

_DETERMINERS = {  # singular and plural in English
    "der": ("the", "the"), "dieser": ("this", "these"), "jeder": ("every", ""), "mein": ("my", "my"),
    "dein": ("your", "your"), "sein": ("his", "his"), "ihr": ("her", "her"), "unser": ("our", "our"),
    "ihr+": ("their", "their"), "welcher": ("which", "which"), "": ("", ""),
}  # fmt: skip
_ENGLISH_PRONOUNS = {  # subject, object, reflexive
    "1sg": ("I", "me", "myself"), "2sg": ("you", "you", "yourself"), "3sg m": ("he", "him", "himself"),
    "3sg f": ("she", "her", "herself"), "1pl": ("we", "us", "ourselves"), "3pl": ("they", "them", "themselves"),
}  # fmt: skip
_SEIN = dict(zip(PERSONS, ("bin", "bist", "ist", "sind", "sind"), strict=True))
_WAR = dict(zip(PERSONS, ("war", "warst", "war", "waren", "waren"), strict=True))
_HABEN = dict(zip(PERSONS, ("habe", "hast", "hat", "haben", "haben"), strict=True))
_WERDEN = dict(zip(PERSONS, ("werde", "wirst", "wird", "werden", "werden"), strict=True))


@dataclass(frozen=True)
class Phrase:
    """A noun phrase. `determiner`: der, ein, dieser, jeder, a possessive, "" (none), or `=zwei two`, a number."""

    noun: Noun | None = None
    plural: bool = False
    determiner: str = "der"
    adjectives: tuple[Adjective, ...] = ()
    person: str = "3sg"  # of a pronoun (noun and name unset)
    sex: str = ""  # of a pronoun, a name, or a person: m, f
    name: str = ""
    owner: Phrase | None = None  # a genitive after it
    with_: Phrase | None = None  # `and` another one

    @property
    def number(self) -> str:
        """The person by which the verb agrees."""
        if self.with_ is not None or (self.noun is not None and self.plural):
            return "3pl"
        return self.person if self.noun is None and not self.name else "3sg"

    @property
    def is_pronoun(self) -> bool:
        return self.noun is None and not self.name and self.with_ is None

    @property
    def gender(self) -> str:
        return "pl" if self.plural else self.noun.gender if self.noun else self.sex

    def german(self, case: str, kein: bool = False) -> str:
        """`kein` replaces ein, or no determiner, by kein."""
        if self.name:
            text = self.name
        elif self.noun is None:
            text = pronoun(self.person, self.sex, case)
        else:
            kind = self.determiner
            if kein and kind in ("ein", ""):
                kind = "kein"
            if kind.startswith("="):
                word, kind = kind[1:].split()[0], ""
                word += {"dat": "n", "gen": "r"}.get(case, "") if word == "viele" else ""
            else:
                word = article(kind.rstrip("+"), self.gender, case) if kind else ""
            short = lexicon_german_words.SHORTENED
            said = [adjective(a.word, kind, self.gender, case, short) for a in self.adjectives]
            text = " ".join(filter(None, [word, *said, self.noun.german(case, self.plural)]))
        if self.owner is not None:
            text += " " + self.owner.german("gen")
        return f"{text} und {self.with_.german(case)}" if self.with_ is not None else text

    def english(self, subject: bool = False) -> str:
        if self.name:
            text = self.name
        elif self.noun is None:
            forms = _ENGLISH_PRONOUNS[f"3sg {self.sex}" if self.person == "3sg" else self.person]
            text = forms[0 if subject else 1]
        else:
            noun = self.noun.many if self.plural else self.noun.one
            text = " ".join([*(a.english for a in self.adjectives), noun])
            if self.determiner == "ein":
                text = with_article(text)
            elif self.determiner.startswith("="):
                text = f"{self.determiner[1:].split()[1]} {text}"
            else:
                text = f"{_DETERMINERS[self.determiner][self.plural]} {text}".strip()
        if self.owner is not None:
            text += " of " + self.owner.english()
        return f"{text} and {self.with_.english(subject)}" if self.with_ is not None else text

    @property
    def indefinite(self) -> bool:
        """Whether `kein` denies it."""
        return self.noun is not None and self.determiner in ("ein", "")

    def lemmas(self) -> list[str]:
        found = [self.noun.word] if self.noun else [] if self.name else [pronoun(self.person, self.sex, "nom")]
        if self.noun and self.determiner:
            found.append(self.determiner[1:].split()[0] if self.determiner[0] == "=" else self.determiner.rstrip("+"))
        found += [a.word for a in self.adjectives]
        for other in (self.owner, self.with_):
            found += other.lemmas() if other is not None else []
        return found

    def pairs(self) -> list[tuple[str, str]]:
        """Adjective and noun, owned and owner: what is held out."""
        found = [(a.word, self.noun.word) for a in self.adjectives] if self.noun else []
        if self.noun and self.owner is not None and self.owner.noun:
            found.append((self.noun.word, self.owner.noun.word))
        for other in (self.owner, self.with_):
            found += other.pairs() if other is not None else []
        return found


@dataclass(frozen=True)
class Clause:
    """A clause; `verb` None: the copula with `complement`. tense: present, past (Perfekt), future, passive, a modal."""

    subject: Phrase
    verb: Verb | None = None
    objects: tuple[tuple[str, Phrase], ...] = ()  # (case, phrase), the dative one first
    about: Phrase | None = None  # the object of the verb's preposition
    tense: str | Matrix = "present"
    negated: bool = False
    reflexive: bool = False
    often: Said | None = None
    tail: tuple[Said, ...] = ()
    complement: Said | None = None
    gap: str = ""  # the case of the object that a relative pronoun or a question word stands for
    extra: list[str] = field(default_factory=list)  # lemmas of tail, often and the rest

    # ---- German ----

    def _predicate(self) -> tuple[str, list[str]]:
        """The finite verb, and what closes the clause before it in a subordinate clause; a prefix is not split off."""
        person = self.subject.number
        if self.verb is None:
            return (_WAR if self.tense == "past" else _SEIN)[person], []
        if isinstance(self.tense, Matrix):
            return self.tense.present(person), [self.verb.lemma]
        if self.tense == "past":
            return (_SEIN if self.verb.sein else _HABEN)[person], [self.verb.participle]
        if self.tense in ("future", "passive"):
            return _WERDEN[person], [self.verb.participle if self.tense == "passive" else self.verb.lemma]
        return self.verb.present(person), []

    def _middle(self) -> list[str]:
        """Pronouns, often, nouns, nicht, prepositional object, adverbials, complement."""
        kein = self.negated and any(p.indefinite for case, p in self.objects if case == "acc")
        words = [pronoun(self.subject.number, self.subject.sex or "m", "refl")] if self.reflexive else []
        words += [p.german(case) for case, p in self.objects if p.is_pronoun]
        words += [self.often[0]] if self.often else []
        words += [p.german(case, kein and case == "acc") for case, p in self.objects if not p.is_pronoun]
        words += ["nicht"] if self.negated and not kein else []
        if self.about is not None and self.verb is not None:
            words.append(contracted(self.verb.preposition, self.about.german(self.verb.case)))
        words += [german for german, _ in self.tail]
        return [*words, *([self.complement[0]] if self.complement else [])]

    def german_main(self, front: str = "", ask: bool = False, subject: bool = True) -> str:
        """Verb second: after the subject, or after `front`; `ask`: verb first. `subject` False: it is the front."""
        finite, right = self._predicate()
        if self.verb is not None and self.tense == "present" and self.verb.prefix:
            right = [self.verb.prefix]
        who = [self.subject.german("nom")] if subject else []
        start = [finite, *who] if ask else [front, finite, *who] if front else [*who, finite]
        return " ".join([*start, *self._middle(), *right])

    def german_subordinate(self, start: str) -> str:
        """Verb last, after a conjunction, a question word or a relative pronoun that is no subject."""
        finite, right = self._predicate()
        if self.verb is not None and self.tense == "present":
            finite = self.verb.prefix + finite
        who = [] if self.gap == "nom" else [self.subject.german("nom")]
        return " ".join([start, *who, *self._middle(), *right, finite])

    def german_infinitive(self) -> str:
        assert self.verb is not None
        return " ".join([*self._middle(), self.verb.with_zu])

    def german_imperative(self) -> str:
        assert self.verb is not None
        return " ".join([self.verb.imperative, *self._middle(), *filter(None, [self.verb.prefix])])

    # ---- English ----

    def _english_verb(self, ask: bool = False) -> tuple[str, str]:
        """(auxiliary, verb): the auxiliary is "" where the statement has none."""
        person = self.subject.number
        third, no = person == "3sg", " not" if self.negated and not ask else ""
        if self.verb is None:
            be = {"1sg": "was", "3sg": "was"} if self.tense == "past" else {"1sg": "am", "3sg": "is"}
            return be.get(person, "were" if self.tense == "past" else "are") + no, ""
        base, past, done = self.verb.english
        if isinstance(self.tense, Matrix):
            if self.tense.english == "want to":
                if no or ask:
                    return ("does" if third else "do") + no, f"want to {base}"
                return "", f"{'wants' if third else 'want'} to {base}"
            modal = self.tense.english
            return ("cannot" if no and modal == "can" else modal + no), base
        if self.tense == "future":
            return "will" + no, base
        if self.tense == "passive":
            return {"1sg": "am", "3sg": "is"}.get(person, "are") + no, done
        if no or ask:
            return ("did" if self.tense == "past" else "does" if third else "do") + no, base
        return "", past if self.tense == "past" else s_form(base) if third else base

    def _english_rest(self) -> list[str]:
        """Objects, prepositional object, adverbials; a movable particle stands after a pronoun."""
        words: list[str] = []
        particle = self.verb.particle if self.verb else ""
        pronouns = any(p.is_pronoun for _, p in self.objects) or self.reflexive
        if particle and not (self.verb and self.verb.movable and pronouns):
            words, particle = [particle], ""
        if self.reflexive:
            sex = self.subject.sex or (self.subject.noun.gender if self.subject.noun else "m")
            key = f"3sg {sex}" if self.subject.number == "3sg" else self.subject.number
            words.append(_ENGLISH_PRONOUNS[key][2])
        if self.verb is not None and self.verb.to:
            words += [p.english() for case, p in self.objects if case == "acc"]
            words += [f"to {p.english()}" for case, p in self.objects if case == "dat"]
        else:
            words += [p.english() for _, p in self.objects]
        words += [particle] if particle else []
        words += [self.about.english()] if self.about is not None else []
        words += [self.complement[1]] if self.complement else []
        return [*words, *(english for _, english in self.tail)]

    def english_main(self, front: str = "", ask: bool = False, subject: bool = True) -> str:
        """The statement, after `front` if any; `ask`: auxiliary before the subject, after the question word `front`."""
        helper, verb = self._english_verb(ask)
        who = [self.subject.english(subject=True)] if subject else []
        often = [self.often[1]] if self.often else []
        start = [front, helper, *who] if ask else [front, *who, helper]
        if self.negated and ask:
            start.append("not")
        return " ".join(word for word in [*start, *often, verb, *self._english_rest()] if word)

    def english_base(self, start: str) -> str:
        """The bare verb with the rest: after to, or as a command."""
        assert self.verb is not None
        return " ".join(word for word in [start, self.verb.english[0], *self._english_rest()] if word)

    # ---- words ----

    def lemmas(self) -> list[str]:
        found = self.subject.lemmas() + [lemma for _, p in self.objects for lemma in p.lemmas()] + self.extra
        found.append(self.verb.lemma if self.verb else "sein")
        if isinstance(self.tense, Matrix):
            found.append(self.tense.lemma)
        if self.about is not None and self.verb is not None:
            found += [self.verb.preposition, *self.about.lemmas()]
        return found + (["nicht"] if self.negated else [])

    def pairs(self) -> list[tuple[str, str]]:
        """Verb with each noun, adjective with its noun: the combinations that tests hold out."""
        phrases = [self.subject, *(p for _, p in self.objects), *([self.about] if self.about else [])]
        found = [pair for p in phrases for pair in p.pairs()]
        verb = self.verb.lemma if self.verb else self.complement[0] if self.complement else "sein"
        return found + [(verb, p.noun.word) for p in phrases if p.noun]


def relative_clause(head: Phrase, clause: Clause) -> Said:
    """`, den der Junge sucht,` and `that the boy looks for`: the head is the clause's subject or the gap."""
    case = clause.gap
    german = clause.german_subordinate(relative(head.gender, case))
    person = head.noun is not None and head.noun.kind == "person"
    if case == "nom":
        clause = replace(clause, subject=replace(head, owner=None))
        return german, clause.english_main(front="who" if person else "that", subject=False)
    return german, clause.english_main(front="whom" if person else "that")


def sentence(text: str, mark: str = ".") -> str:
    return text[0].upper() + text[1:] + mark
