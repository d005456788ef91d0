"""All constructions of the sentence pairs; questions, commands and sentences of two clauses are drawn here.

Sentences of one clause are translation_statements.py's. CONSTRUCTIONS names each with its
function and the tenses that it is drawn in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import lexicon_german_words as words
from . import translation_draw as d
from . import translation_statements as one
from .draw import Draw
from .german_forms import relative
from .translation_clauses import Clause, Phrase, relative_clause
from .translation_statements import Pair, Tense, pair_of, statement
from .translation_words import matrix, of_class, pairs, verbs

# ---- questions and commands ------------------------------------------------------------------------------------------


def yes_no(draw: Draw, tense: Tense) -> Pair | None:
    clause = replace(d.acting(draw, tense), often=None)
    return pair_of(clause, clause.english_main(ask=True), clause.german_main(ask=True), mark="?")


def wh(draw: Draw, tense: Tense) -> Pair | None:
    """was, wen, wem, wer, welcher, warum, wo, wann."""
    ask = draw.pick(("was", "wen", "wem", "wer", "welcher", "warum", "wo", "wann"))
    clause = replace(d.acting(draw, tense), often=None)
    if ask == "wer":
        thing = clause.objects[0][1]
        clause = replace(clause, subject=Phrase(person="3sg", sex="m"))
        german, english = (
            clause.german_main(front="wer", subject=False),
            clause.english_main(front="who", subject=False),
        )
        return pair_of(clause, english, german, mark="?", extra=("wer",)) if not thing.is_pronoun else None
    if ask in ("warum", "wo", "wann"):
        verb = draw.pick(verbs("INTRANSITIVE"))
        clause = Clause(d.subject(draw), verb, tense=tense)
        said = {"warum": "why", "wo": "where", "wann": "when"}[ask]
        if ask == "wo" and verb.sein:
            return None
    elif ask == "wem":
        verb = draw.pick(verbs("DATIVE"))
        clause, said = Clause(d.subject(draw), verb, tense=tense), "whom"
    elif ask == "welcher":
        thing = clause.objects[0][1]
        if thing.noun is None or not thing.noun.plural:
            return None
        thing = replace(thing, determiner="welcher", adjectives=())
        clause = replace(clause, objects=())
        german, english = (
            clause.german_main(front=thing.german("acc"), ask=False),
            clause.english_main(thing.english(), ask=True),
        )
        return pair_of(clause, english, german, mark="?", extra=tuple(thing.lemmas()))
    else:
        person = clause.objects[0][1].noun is not None and clause.objects[0][1].noun.kind in ("person",)
        if person != (ask == "wen") or clause.objects[0][1].is_pronoun:
            return None
        clause, said = replace(clause, objects=()), "whom" if person else "what"
    return pair_of(clause, clause.english_main(said, ask=True), clause.german_main(front=ask), mark="?", extra=(ask,))


def imperative(draw: Draw, tense: Tense) -> Pair | None:
    you = Phrase(person="2sg")
    if draw.chance(1, 4):
        verb = draw.pick(verbs("DATIVE"))
        objects = (("dat", d.object_(draw, verb)),)
    else:
        verb = draw.pick(verbs("ACCUSATIVE") + verbs("SEPARABLE"))
        objects = (("acc", d.object_(draw, verb)),)
    case, thing = objects[0]
    if thing is None or (thing.is_pronoun and thing.person == "2sg") or verb.base in d.NO_COMMAND:
        return None
    clause = Clause(you, verb, ((case, thing),), negated=draw.chance(1, 4))
    start = "do not" if clause.negated else ""
    return pair_of(clause, clause.english_base(start), clause.german_imperative(), mark="!")


# ---- sentences of two clauses ----------------------------------------------------------------------------------------


def subordinate(draw: Draw, tense: Tense) -> Pair | None:
    """weil, obwohl, wenn ... after a main clause; dass and ob after a verb of saying."""
    inner = d.any_clause(draw, tense)
    if draw.chance(1, 2):
        thinks = draw.chance(3, 4)
        verb, who = draw.pick(matrix("THINKING" if thinks else "ASKING")), d.subject(draw)
        conjunction, english = ("dass", "that") if thinks else ("ob", "whether")
        german = f"{who.german('nom')} {verb.present(who.number)}, {inner.german_subordinate(conjunction)}"
        says = verb.english + ("s" if who.number == "3sg" else "")
        told = f"{who.english(subject=True)} {says} {english} {inner.english_main()}"
        return pair_of(inner, told, german, extra=(verb.lemma, conjunction, *who.lemmas()))
    main = d.short_clause(draw)
    conjunction, english = draw.pick(pairs(words.CONJUNCTIONS))
    if conjunction not in ("weil", "obwohl") and tense != "present":
        return None
    if d.same(main.subject, inner.subject) and not main.subject.is_pronoun:
        return None
    german = f"{main.german_main()}, {inner.german_subordinate(conjunction)}"
    return pair_of(main, f"{main.english_main()} {english} {inner.english_main()}", german, inner, extra=(conjunction,))


def relative_(draw: Draw, tense: Tense) -> Pair | None:
    """The man who looks for the dog is tired; the dog that the man looks for is small."""
    clause = replace(d.acting(draw, tense), often=None)
    case, thing = clause.objects[0]
    if draw.chance(1, 2):
        head = clause.subject
        inner = replace(clause, gap="nom")
    else:
        head, inner = thing, replace(clause, gap=case, objects=())
        if clause.verb is not None and draw.chance(1, 3):
            verb = draw.pick(verbs("DATIVE"))
            found = d.object_(draw, verb)
            if found is None or found.is_pronoun or d.same(clause.subject, found):
                return None
            head, inner = found, Clause(clause.subject, verb, tense=tense, gap="dat")
    if head.noun is None:
        return None
    head = replace(head, determiner="der", adjectives=())
    quality = d.quality(draw, head)
    if quality is None:
        return None
    outer = Clause(head, complement=(quality.word, quality.english), extra=[quality.word])
    if inner.gap == "nom":
        inner = replace(inner, subject=head)
    german, english = relative_clause(head, inner)
    be = {"3sg": ("ist", "is")}.get(head.number, ("sind", "are"))
    return pair_of(
        outer,
        f"{head.english()} {english} {be[1]} {quality.english}",
        f"{head.german('nom')}, {german}, {be[0]} {quality.word}",
        inner,
        extra=(relative(head.gender, inner.gap),),
    )


def coordination(draw: Draw, tense: Tense) -> Pair | None:
    """Two clauses with und or aber, or two subjects."""
    if draw.chance(1, 3):
        clause = d.acting(draw, tense)
        first, second = (d.noun(draw, noun) for noun in draw.some(of_class("person"), 2))
        return statement(replace(clause, subject=replace(first, with_=second), extra=["und"]))
    left, right = d.any_clause(draw, tense), d.any_clause(draw, tense)
    if d.same(left.subject, right.subject) or left.subject.is_pronoun != right.subject.is_pronoun:
        return None
    adding = draw.chance(2, 3)
    comma, joins, english = ("", "und", "and") if adding else (",", "aber", "but")
    german = f"{left.german_main()}{comma} {joins} {right.german_main()}"
    return pair_of(left, f"{left.english_main()}, {english} {right.english_main()}", german, right, extra=(joins,))


def infinitive(draw: Draw, tense: Tense) -> Pair | None:
    """tries to open the window: the infinitive with zu closes the sentence."""
    verb, clause = draw.pick(matrix("TRYING")), replace(d.acting(draw, "present"), often=None)
    who = clause.subject
    says = verb.english + ("s" if not verb.english.endswith("y") else "ies")
    says = {"try": "tries"}.get(verb.english, says) if who.number == "3sg" else verb.english
    german = f"{who.german('nom')} {verb.present(who.number)}, {clause.german_infinitive()}"
    return pair_of(
        clause, f"{who.english(subject=True)} {says} {clause.english_base('to')}", german, extra=(verb.lemma, "zu")
    )


ALL_TENSES = ("present", "past", "modal", "future")
SIMPLE = ("present", "past")
# construction -> its function and the tenses that it is drawn in
CONSTRUCTIONS: dict[str, tuple[Callable[[Draw, Tense], Pair | None], tuple[str, ...]]] = {
    "accusative": (one.accusative, ALL_TENSES),
    "adjective": (one.adjective, ALL_TENSES),
    "dative": (one.dative, ALL_TENSES),
    "giving": (one.giving, ALL_TENSES),
    "doing": (one.doing, ALL_TENSES),
    "prepositional": (one.prepositional, ALL_TENSES),
    "reflexive": (one.reflexive, ALL_TENSES),
    "possessive": (one.possessive, ALL_TENSES),
    "negation": (one.negation, ALL_TENSES),
    "inversion": (one.inversion, ALL_TENSES),
    "place": (one.place, SIMPLE),
    "direction": (one.direction, ALL_TENSES),
    "with_dative": (one.with_dative, ALL_TENSES),
    "with_accusative": (one.with_accusative, ALL_TENSES),
    "with_genitive": (one.with_genitive, SIMPLE),
    "genitive": (one.genitive, SIMPLE),
    "predicate": (one.predicate, SIMPLE),
    "comparative": (one.comparative, SIMPLE),
    "passive": (one.passive, ("present",)),
    "yes_no": (yes_no, ALL_TENSES),
    "wh": (wh, ALL_TENSES),
    "imperative": (imperative, ("present",)),
    "subordinate": (subordinate, ALL_TENSES),
    "relative": (relative_, SIMPLE),
    "coordination": (coordination, ALL_TENSES),
    "infinitive": (infinitive, ("present",)),
}
