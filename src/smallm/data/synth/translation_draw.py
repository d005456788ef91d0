"""Drawing the words of a sentence pair: who does what to whom, where words fit each other."""

from __future__ import annotations

from functools import cache

from . import lexicon_german_words as words
from .draw import Draw
from .german_forms import Noun, Verb, contracted
from .story_grammar import split_list
from .translation_clauses import Clause, Phrase, Said
from .translation_words import Adjective, Matrix, fitting, nouns, objects, of_class, pairs, verbs
from .translation_words import adjectives as all_adjectives

# Verbs that are seldom said in the passive or as a command.
NO_PASSIVE = ("besitzen", "kennen", "brauchen", "verstehen", "vermissen", "ärgern", "wählen")
# Verbs of a state, which nobody can, must or wants to be in.
STATIVE = ("besitzen", "kennen", "brauchen", "vermissen", "hassen", "lieben", "bemerken", "ärgern")
NO_COMMAND = (
    "besitzen", "kennen", "brauchen", "vermissen", "verlieren", "vergessen", "hassen", "ärgern", "finden", "erkennen",
    "schaden", "begegnen", "treffen", "erreichen", "sehen", "hören",
)  # fmt: skip


def same(one: Phrase, other: Phrase | None) -> bool:
    """Whether both speak of the same noun, name or person."""
    if other is None:
        return False
    if one.noun or other.noun or one.name or other.name:
        return one.noun == other.noun and one.name == other.name
    return one.person[0] == other.person[0]


def sex(phrase: Phrase) -> str:
    """m or f where English says himself or herself by it, `-` where person and number are enough, "" in doubt."""
    if phrase.number != "3sg":
        return "-"
    return phrase.sex if phrase.noun is None else phrase.noun.gender.strip("n")


def own(phrase: Phrase) -> str:
    """The possessive that goes with a subject; "" in doubt (das Mädchen)."""
    by_person = {"1sg": "mein", "2sg": "dein", "1pl": "unser", "3pl": "ihr+"}
    return by_person.get(phrase.number) or {"m": "sein", "f": "ihr"}.get(sex(phrase), "")


def noun(draw: Draw, what: Noun, plain: bool = False) -> Phrase:
    """A phrase with a determiner; `plain`: the definite article, in the singular."""
    if plain:
        return Phrase(what)
    if not what.plural:
        return Phrase(what, determiner="der" if what.kind in ("event", "cause") else draw.pick(("", "der")))
    kind = draw.below(20)
    if kind < 8:
        return Phrase(what)
    if kind < 13:
        return Phrase(what, determiner="ein")
    if kind < 15:
        return Phrase(what, determiner=draw.pick(("mein", "dein", "unser", "sein", "ihr", "ihr+")))
    if kind == 15:
        return Phrase(what, determiner="dieser", plural=draw.chance(1, 3))
    if kind == 16:
        return Phrase(what, determiner=f"={' '.join(draw.pick(pairs(words.NUMBERS)))}", plural=True)
    if kind == 17:
        return Phrase(what, determiner="jeder")
    return Phrase(what, determiner=draw.pick(("der", "der", "mein", "unser")), plural=True)


@cache
def times(tense: str) -> tuple[tuple[str, str], ...]:
    """Times that may begin a sentence in a tense; those of that tense alone three times, for the future no others."""
    found: list[tuple[str, str]] = []
    for entry in words.TIMES.split(";"):
        german, _, rest = " ".join(entry.split()).partition(" = ")
        english, _, only = rest.partition(" : ")
        often = 3 if only == tense else 0 if only or tense == "future" else 1
        found += [(german, english)] * often
    return tuple(found)


@cache
def _names() -> tuple[tuple[str, str], ...]:
    return tuple((name, gender) for name, gender in (item.split() for item in split_list(words.NAMES)))


def any_pronoun(draw: Draw) -> Phrase:
    person = draw.pick(("1sg", "2sg", "3sg", "3sg", "1pl", "3pl"))
    return Phrase(person=person, sex=draw.pick("mf") if person == "3sg" else "")


def being(draw: Draw, beings: tuple[Noun, ...], pronouns: bool = False) -> Phrase:
    kind = draw.below(10)
    if pronouns and kind < 2:
        return any_pronoun(draw)
    if kind == 9:
        name, gender = draw.pick(_names())
        return Phrase(name=name, sex=gender)
    return noun(draw, draw.pick(beings))


def subject(draw: Draw) -> Phrase:
    """Who does it: mostly a definite person."""
    kind = draw.below(10)
    if kind < 2:
        return any_pronoun(draw)
    if kind == 2:
        name, gender = draw.pick(_names())
        return Phrase(name=name, sex=gender)
    who = draw.pick(of_class("person"))
    return Phrase(who) if kind < 7 else noun(draw, who)


def object_(draw: Draw, verb: Verb, pronouns: bool = False) -> Phrase | None:
    """What a verb takes; a person may be a pronoun or a name."""
    what = draw.pick(objects(verb.takes))
    if verb.takes == ("many",):
        number = " ".join(draw.pick(pairs(words.NUMBERS)[:-1]))
        return Phrase(what, plural=True, determiner=draw.pick(("der", f"={number}")))
    if what.kind == "person" and draw.chance(1, 4 if pronouns else 6):
        return being(draw, (what,), pronouns=True)
    return noun(draw, what)


def verb_of(draw: Draw, table: str, *lemmas: str) -> Verb:
    """One of these verbs of a table."""
    lemma = draw.pick(lemmas)
    return next(verb for verb in verbs(table) if verb.lemma == lemma)


def adjectives(draw: Draw, phrase: Phrase) -> tuple[Adjective, ...]:
    """One adjective that fits, or two of a big red one; () where none fits."""
    if phrase.noun is None or not (fits := fitting(phrase.noun.kind)):
        return ()
    first = draw.pick(fits)
    return (first,)


def acting(draw: Draw, tense: str | Matrix, people: bool = True) -> Clause:
    """Someone does something to something: an accusative object. `people` False: the object is no person."""
    while True:
        table = "SEPARABLE" if draw.chance(1, 3) else "ACCUSATIVE"
        verb, who = draw.pick(verbs(table)), subject(draw)
        thing = object_(draw, verb)
        if verb.base in STATIVE and tense not in ("present", "past"):
            continue
        if thing is None or same(who, thing) or (not people and (thing.noun is None or thing.noun.kind == "person")):
            continue
        often = draw.pick(pairs(words.OFTEN)) if tense == "present" and draw.chance(1, 8) else None
        return Clause(who, verb, (("acc", thing),), tense=tense, often=often, extra=[often[0]] if often else [])


def moving(draw: Draw, tense: str | Matrix) -> Clause:
    """Someone goes somewhere: in, auf with the accusative, zu with the dative."""
    verb, who = draw.pick(verbs("MOTION")), subject(draw)
    kind = draw.pick(("building", "inside", "upon", "beside"))
    where = Phrase(draw.pick(of_class(kind)))
    if kind == "beside" or draw.chance(1, 4):
        said = (contracted("zu", where.german("dat")), f"to {where.english()}")
    elif kind == "upon":
        said = (contracted("auf", where.german("acc")), f"onto {where.english()}")
    else:
        said = (contracted("in", where.german("acc")), f"into {where.english()}")
    return Clause(who, verb, tense=tense, tail=(said,), extra=[said[0].split()[0], *where.lemmas()])


def location(draw: Draw, case: str) -> tuple[Said, list[str], Phrase]:
    """`unter dem Tisch`, `in the garden`: where something is; with its lemmas."""
    kind = draw.pick(("inside", "building", "upon", "beside", "by", "by", "between"))
    by_kind = {"inside": ("in", "in"), "building": ("in", "in"), "upon": ("auf", "on"), "beside": ("an", "at")}
    german, english = by_kind.get(kind, ("", ""))
    if kind in ("by", "between"):
        german, english = draw.pick(pairs(words.TWO_WAY)[3:7]) if kind == "by" else ("zwischen", "between")
        things = of_class("furniture") + of_class("building") + (nouns()["Baum"], nouns()["Busch"])
    else:
        things = of_class(kind)
    where = Phrase(draw.pick(things), determiner="ein" if kind == "by" and draw.chance(1, 3) else "der")
    if kind == "between":
        other = draw.pick([n for n in of_class(where.noun.kind if where.noun else "furniture") if n != where.noun])
        where = Phrase(where.noun, with_=Phrase(other))
    return (contracted(german, where.german(case)), f"{english} {where.english()}"), [german, *where.lemmas()], where


def onto(draw: Draw, verb: Verb, thing: Noun | None) -> tuple[Said, list[str]]:
    """`auf den Tisch`, `onto the table`: where something is put."""
    ways = (("neben", "next to"), ("hinter", "behind"), ("unter", "under"), ("auf", "onto"), ("in", "into"))
    german, english = draw.pick(ways[:2] if thing is not None and thing.kind == "furniture" else ways)
    names = {
        "auf": "Tisch Bett Sofa Stuhl Bank Regal Teppich Schreibtisch",
        "in": "Schrank Truhe Kiste Korb Koffer Schublade Rucksack",
    }
    place = names.get(german, "Tisch Bett Schrank Sofa Sessel Ofen Baum Kiste").split()
    if verb.base == "hängen":
        over = ("über", "above", ["Tisch", "Bett", "Sofa", "Tür"])
        german, english, place = draw.pick((("in", "into", ["Schrank"]), over))
    where = Phrase(nouns()[draw.pick(place)])
    return (contracted(german, where.german("acc")), f"{english} {where.english()}"), [german, *where.lemmas()]


def quality(draw: Draw, phrase: Phrase) -> Adjective | None:
    fits = fitting(phrase.noun.kind) if phrase.noun else ()
    return draw.pick(fits) if fits else None


@cache
def _by_word() -> dict[str, Adjective]:
    return {adjective.word: adjective for adjective in all_adjectives()}


def named(word: str) -> Adjective:
    return _by_word()[word]


_DESCRIBED = tuple(
    split_list("""person, animal, food, clothing, dish, tool, thing, furniture, vehicle, building, reading, abstract,
    event, nature, inside, opening, mass""")
)


def predicate(draw: Draw, tense: str | Matrix, kinds: tuple[str, ...] = _DESCRIBED, compared: bool = False) -> Clause:
    """Something is, or was, big. extra[0] is the adjective."""
    what = draw.pick(of_class(draw.pick(kinds)))
    fits = [adjective for adjective in fitting(what.kind) if adjective.more or not compared]
    said = draw.pick(fits)
    who = noun(draw, what)
    who = Phrase(what) if who.indefinite else who
    past = "past" if tense == "past" else "present"
    return Clause(who, complement=(said.word, said.english), tense=past, extra=[said.word])


def any_clause(draw: Draw, tense: str | Matrix) -> Clause:
    """A clause of any simple kind."""
    kind = draw.below(6)
    if kind == 0 and tense in ("present", "past"):
        return predicate(draw, tense)
    if kind == 1:
        return moving(draw, tense)
    if kind == 2:
        return Clause(subject(draw), draw.pick(verbs("INTRANSITIVE")), tense=tense)
    return acting(draw, tense)


def short_clause(draw: Draw) -> Clause:
    """A main clause of a few words, before a subordinate one."""
    names = ("lachen", "weinen", "arbeiten", "tanzen", "singen", "warten", "bleiben", "schreien", "lächeln", "beten")
    return Clause(subject(draw), verb_of(draw, "INTRANSITIVE", *names))
