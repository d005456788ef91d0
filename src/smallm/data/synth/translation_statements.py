"""Sentence pairs of one clause: objects in their cases, prepositions, places, comparison, passive.

Each function draws one construction in a tense and returns a Pair, or None where the words drawn do not go together.
Words are drawn by translation_draw.py, said by translation_clauses.py; questions, commands and sentences of two clauses
are translation_constructions.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import lexicon_german_words as words
from . import translation_draw as d
from .draw import Draw
from .german_forms import contracted
from .translation_clauses import Clause, Phrase, Said, sentence
from .translation_words import Matrix, of_class, pairs, verbs

Tense = str | Matrix


@dataclass(frozen=True)
class Pair:
    """A sentence in both languages, its lemmas, the pairs of lemmas that tests hold out, and its verbs' features."""

    english: str
    german: str
    lemmas: tuple[str, ...]
    held: tuple[tuple[str, str], ...]
    features: tuple[str, ...]  # perfect, modal, future, separable


_FEATURES = {"past": "perfect", "future": "future"}


def _features(clauses: tuple[Clause, ...]) -> tuple[str, ...]:
    """The past of to be is one word in German too: no perfect."""
    acting = [c for c in clauses if c.verb is not None]
    found = ["modal" if isinstance(c.tense, Matrix) else _FEATURES.get(c.tense, "") for c in acting]
    found += ["separable" for c in acting if c.verb is not None and c.verb.prefix]
    return tuple(dict.fromkeys(filter(None, found)))


def pair_of(
    clause: Clause, english: str, german: str, *more: Clause, mark: str = ".", extra: tuple[str, ...] = ()
) -> Pair:
    """Both sentences of one or more clauses."""
    clauses = (clause, *more)
    lemmas = [lemma for c in clauses for lemma in c.lemmas()] + list(extra)
    held = [pair for c in clauses for pair in c.pairs()]
    return Pair(
        sentence(english, mark), sentence(german, mark), tuple(dict.fromkeys(lemmas)), tuple(held), _features(clauses)
    )


def statement(clause: Clause) -> Pair:
    return pair_of(clause, clause.english_main(), clause.german_main())


# ---- simple statements -----------------------------------------------------------------------------------------------


def accusative(draw: Draw, tense: Tense) -> Pair | None:
    return statement(d.acting(draw, tense))


def adjective(draw: Draw, tense: Tense) -> Pair | None:
    clause = d.acting(draw, tense)
    (case, thing), adjectives = clause.objects[0], d.adjectives(draw, clause.objects[0][1])
    if not adjectives:
        return None
    subject = clause.subject
    if subject.noun is not None and draw.chance(1, 3):
        subject = replace(subject, adjectives=d.adjectives(draw, subject))
    return statement(replace(clause, subject=subject, objects=((case, replace(thing, adjectives=adjectives)),)))


def dative(draw: Draw, tense: Tense) -> Pair | None:
    """Verbs with a dative object alone."""
    verb = draw.pick(verbs("DATIVE"))
    whom = d.object_(draw, verb, pronouns=True)
    return statement(Clause(d.subject(draw), verb, (("dat", whom),), tense=tense)) if whom else None


def giving(draw: Draw, tense: Tense) -> Pair | None:
    """A dative and an accusative object."""
    verb = draw.pick(verbs("DITRANSITIVE"))
    thing, whom = d.object_(draw, verb), d.being(draw, of_class("person"), pronouns=True)
    subject = d.subject(draw)
    if thing is None or d.same(subject, whom) or d.same(whom, thing):
        return None
    return statement(Clause(subject, verb, (("dat", whom), ("acc", thing)), tense=tense))


def doing(draw: Draw, tense: Tense) -> Pair | None:
    """No object; how or where something is done."""
    verb, who = draw.pick(verbs("INTRANSITIVE")), d.subject(draw)
    resting = verb.base in ("liegen", "stehen", "sitzen", "wohnen", "bleiben", "frieren")
    german, english = draw.pick(pairs(words.PLACES if resting or draw.chance(1, 2) else words.MANNERS))
    if verb.prefix or (german == "gemeinsam" and who.number not in ("1pl", "3pl")):
        return None
    return statement(Clause(who, verb, tense=tense, tail=((german, english),), extra=[german]))


def prepositional(draw: Draw, tense: Tense) -> Pair | None:
    """Verbs with a preposition of their own: warten auf, träumen von."""
    verb, subject = draw.pick(verbs("PREPOSITIONAL")), d.subject(draw)
    about = d.object_(draw, verb)
    if about is None or d.same(subject, about):
        return None
    return statement(Clause(subject, verb, about=about, tense=tense))


def reflexive(draw: Draw, tense: Tense) -> Pair | None:
    subject = d.subject(draw)
    if not d.sex(subject):
        return None
    return statement(Clause(subject, draw.pick(verbs("REFLEXIVE")), reflexive=True, tense=tense))


def possessive(draw: Draw, tense: Tense) -> Pair | None:
    """His own, her own: the possessive goes with the subject."""
    clause = d.acting(draw, tense, people=False)
    (case, thing), owner = clause.objects[0], d.own(clause.subject)
    if not owner or thing.noun is None or not thing.noun.plural:
        return None
    return statement(replace(clause, objects=((case, replace(thing, determiner=owner)),)))


def negation(draw: Draw, tense: Tense) -> Pair | None:
    plain = tense in ("present", "past") and draw.chance(1, 4)
    clause = d.predicate(draw, tense) if plain else d.acting(draw, tense)
    phrases = (clause.subject, *(p for _, p in clause.objects))
    if any(p.determiner == "jeder" or p.determiner.startswith("=") for p in phrases):
        return None  # `not every` and `not three` are said otherwise
    if isinstance(tense, Matrix) and tense.english in ("must", "may", "should"):
        return None  # must not is darf nicht
    return statement(replace(clause, negated=True, often=None))


def inversion(draw: Draw, tense: Tense) -> Pair | None:
    """A time first, then the verb."""
    german, english = draw.pick(d.times("modal" if isinstance(tense, Matrix) else tense))
    clause = d.acting(draw, tense) if draw.chance(2, 3) else d.moving(draw, tense)
    clause = replace(clause, often=None)
    return pair_of(clause, clause.english_main(front=english), clause.german_main(front=german), extra=(german,))


# ---- places and prepositions -----------------------------------------------------------------------------------------


def place(draw: Draw, tense: Tense) -> Pair | None:
    """Where something lies, stands or sits: two-way prepositions with the dative."""
    verb = d.verb_of(draw, "INTRANSITIVE", "liegen", "stehen", "sitzen", "schlafen")
    living = verb.base in ("sitzen", "schlafen") or draw.chance(1, 3)
    subject = (
        d.being(draw, of_class("being"))
        if living
        else d.noun(draw, draw.pick(of_class("goods" if verb.base == "liegen" else "dish")))
    )
    where, lemmas, _ = d.location(draw, "dat")
    return statement(Clause(subject, verb, tense=tense, tail=(where,), extra=lemmas))


def direction(draw: Draw, tense: Tense) -> Pair | None:
    """Where someone goes or puts something: two-way prepositions with the accusative, zu with the dative."""
    if draw.chance(1, 2):
        return statement(d.moving(draw, tense))
    verb, subject = draw.pick(verbs("PUTTING")), d.subject(draw)
    thing = d.object_(draw, verb)
    where, lemmas = d.onto(draw, verb, thing.noun if thing else None)
    if thing is None or (thing.noun and thing.noun.word in lemmas):
        return None
    return statement(Clause(subject, verb, (("acc", thing),), tense=tense, tail=(where,), extra=lemmas))


def with_dative(draw: Draw, tense: Tense) -> Pair | None:
    """mit, aus, von, zu, bei, nach with a noun."""
    german, english = draw.pick(pairs(words.DATIVE_PREPOSITIONS))
    by_kind = {"mit": "tool", "von": "person", "bei": "building", "nach": "event", "zu": "person", "aus": "building"}
    what = d.noun(draw, draw.pick(of_class(by_kind[german])))
    if german == "nach":
        what = replace(what, plural=False, determiner=what.determiner if what.determiner[:1] != "=" else "der")
    tail = (contracted(german, what.german("dat")), f"{english} {what.english()}")
    if german == "nach":
        return _fronted(draw, tense, tail, what, german)
    names = {"mit": ("arbeiten",), "bei": ("warten", "spielen", "wohnen", "arbeiten")}
    choices = [v for v in verbs("INTRANSITIVE") + verbs("ACCUSATIVE") if v.lemma in names.get(german, ())]
    verb = draw.pick(choices) if choices else d.verb_of(draw, "MOTION", "gehen" if german == "zu" else "kommen")
    return statement(Clause(d.subject(draw), verb, tense=tense, tail=(tail,), extra=[german, *what.lemmas()]))


def _fronted(draw: Draw, tense: Tense, front: Said, what: Phrase, german: str) -> Pair | None:
    """A phrase with a preposition first, then the verb."""
    clause = Clause(d.subject(draw), draw.pick(verbs("INTRANSITIVE")), tense=tense, extra=[german, *what.lemmas()])
    return pair_of(clause, clause.english_main(front=front[1]), clause.german_main(front=front[0]))


def with_accusative(draw: Draw, tense: Tense) -> Pair | None:
    """für, ohne, durch, um, gegen with a noun."""
    german, english = draw.pick(pairs(words.ACCUSATIVE_PREPOSITIONS))
    by_kind = {"für": "person", "ohne": "person", "durch": "inside", "um": "building", "gegen": "person"}
    what = d.noun(draw, draw.pick(of_class(by_kind[german])))
    tail = ((german + " " + what.german("acc"), f"{english} {what.english()}"),)
    extra = [german, *what.lemmas()]
    if german in ("durch", "um"):
        verb = d.verb_of(draw, "MOTION", "laufen", "fahren", "reiten", "kriechen")
        return statement(Clause(d.subject(draw), verb, tense=tense, tail=tail, extra=extra))
    if german == "für":
        verb = d.verb_of(draw, "ACCUSATIVE", "kaufen", "suchen", "bestellen", "reparieren")
        thing = d.object_(draw, verb)
        return (
            statement(Clause(d.subject(draw), verb, (("acc", thing),), tense=tense, tail=tail, extra=extra))
            if thing
            else None
        )
    names = ("spielen",) if german == "gegen" else ("tanzen", "spielen", "arbeiten", "lachen")
    verb = draw.pick([v for v in verbs("INTRANSITIVE") if v.base in names])
    return statement(Clause(d.subject(draw), verb, tense=tense, tail=tail, extra=extra))


def with_genitive(draw: Draw, tense: Tense) -> Pair | None:
    """wegen, trotz, während with a noun, first in the sentence."""
    german, english = draw.pick(pairs(words.GENITIVE_PREPOSITIONS))
    what = d.noun(draw, draw.pick(of_class("event" if german == "während" else "cause")), plain=True)
    return _fronted(draw, tense, (f"{german} {what.german('gen')}", f"{english} {what.english()}"), what, german)


def genitive(draw: Draw, tense: Tense) -> Pair | None:
    """The house of the teacher."""
    owner = d.noun(draw, draw.pick(of_class("person")), plain=draw.chance(2, 3))
    if owner.determiner.startswith("=") and "viele" not in owner.determiner:
        return None  # a bare number has no genitive
    if draw.chance(1, 2):
        clause = d.predicate(draw, tense, kinds=("building", "vehicle", "clothing", "tool", "reading"))
        clause = replace(clause, subject=replace(clause.subject, determiner="der", owner=owner))
        return statement(clause)
    clause = d.acting(draw, tense, people=False)
    (case, thing), noun = clause.objects[0], clause.objects[0][1].noun
    if noun is None or noun.kind in ("mass", "drink", "nature", "event", "inside", "upon", "beside"):
        return None
    return statement(replace(clause, objects=((case, replace(thing, determiner="der", owner=owner)),)))


# ---- being, comparing ------------------------------------------------------------------------------------------------


def predicate(draw: Draw, tense: Tense) -> Pair | None:
    return statement(d.predicate(draw, tense))


def comparative(draw: Draw, tense: Tense) -> Pair | None:
    """größer als, so groß wie."""
    clause = d.predicate(draw, tense, compared=True)
    subject, extra = clause.subject, clause.extra
    assert subject.noun is not None
    fits = [n for n in of_class(subject.noun.kind) if n != subject.noun]
    other = d.noun(draw, draw.pick(fits))
    quality = d.named(extra[0])
    if draw.chance(2, 3):
        said = (f"{quality.more} als {other.german('nom')}", f"{quality.english_more} than {other.english()}")
    else:
        said = (f"so {quality.word} wie {other.german('nom')}", f"as {quality.english} as {other.english()}")
    return statement(replace(clause, complement=said, extra=[*extra, *other.lemmas()]))


def passive(draw: Draw, tense: Tense) -> Pair | None:
    verb = draw.pick(verbs("ACCUSATIVE") + verbs("SEPARABLE"))
    thing = d.object_(draw, verb)
    if thing is None or verb.base in d.NO_PASSIVE:
        return None
    tail: tuple[Said, ...] = ()
    extra: list[str] = []
    if draw.chance(3, 5):
        agent = d.noun(draw, draw.pick(of_class("person")))
        if d.same(agent, thing):
            return None
        tail, extra = ((contracted("von", agent.german("dat")), f"by {agent.english()}"),), ["von", *agent.lemmas()]
    return statement(Clause(thing, verb, tense="passive", tail=tail, extra=["werden", *extra]))
