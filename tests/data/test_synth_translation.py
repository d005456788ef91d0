"""Sentence pairs: gold sentences written by hand, and every drawn sentence checked by tables of its own."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from smallm.core.errors import UserError
from smallm.data.synth import lexicon_german_words, translation, translation_words
from smallm.data.synth.draw import Draw, in_test
from smallm.data.synth.translation_clauses import Clause, Phrase, relative_clause, sentence
from smallm.data.synth.translation_constructions import CONSTRUCTIONS
from smallm.data.synth.translation_words import Matrix, adjectives, matrix, nouns, verbs

ME, YOU, HE, SHE = (Phrase(person=p, sex=s) for p, s in (("1sg", ""), ("2sg", ""), ("3sg", "m"), ("3sg", "f")))
WE, THEY = Phrase(person="1pl"), Phrase(person="3pl")
ANNA = Phrase(name="Anna", sex="f")


def the(word: str, adjective: str = "", determiner: str = "der", plural: bool = False) -> Phrase:
    said = tuple(a for a in adjectives() if a.word == adjective)
    assert len(said) == bool(adjective)
    return Phrase(nouns()[word], plural, determiner, said)


def a(word: str, adjective: str = "") -> Phrase:
    return the(word, adjective, "ein")


def verb(lemma: str, table: str = "ACCUSATIVE"):
    return next(v for v in verbs(table) if v.lemma == lemma)


def modal(lemma: str) -> Matrix:
    return next(m for m in matrix("MODALS") if m.lemma == lemma)


def does(who: Phrase, lemma: str, what: Phrase, table: str = "ACCUSATIVE", case: str = "acc", **more: Any) -> Clause:
    return Clause(who, verb(lemma, table), ((case, what),), **more)


def gives(who: Phrase, lemma: str, whom: Phrase, what: Phrase, **more: Any) -> Clause:
    return Clause(who, verb(lemma, "DITRANSITIVE"), (("dat", whom), ("acc", what)), **more)


def sleeps(who: Phrase, lemma: str, table: str = "INTRANSITIVE", **more: Any) -> Clause:
    return Clause(who, verb(lemma, table), **more)


FUTURE: dict[str, Any] = {"tense": "future"}
PAST: dict[str, Any] = {"tense": "past"}
NOT: dict[str, Any] = {"negated": True}
SEP = "SEPARABLE"
STATEMENTS = [
    (does(the("Mann"), "kaufen", a("Apfel")), "The man buys an apple", "Der Mann kauft einen Apfel"),
    (
        does(the("Frau"), "suchen", a("Schlüssel", "alt")),
        "The woman looks for an old key",
        "Die Frau sucht einen alten Schlüssel",
    ),
    (does(the("Kind"), "essen", the("Suppe", "heiß")), "The child eats the hot soup", "Das Kind isst die heiße Suppe"),
    (does(ME, "sehen", the("Junge")), "I see the boy", "Ich sehe den Jungen"),
    (does(YOU, "lesen", the("Buch", determiner="mein")), "You read my book", "Du liest mein Buch"),
    (does(WE, "trinken", the("Wasser", "kalt", "")), "We drink cold water", "Wir trinken kaltes Wasser"),
    (
        does(THEY, "fangen", the("Maus", "klein", plural=True)),
        "They catch the small mice",
        "Sie fangen die kleinen Mäuse",
    ),
    (does(SHE, "kennen", HE), "She knows him", "Sie kennt ihn"),
    (
        does(ANNA, "füttern", the("Katze", determiner="=drei three", plural=True)),
        "Anna feeds three cats",
        "Anna füttert drei Katzen",
    ),
    (
        does(the("Hund"), "jagen", the("Hamster", "schnell", "ein")),
        "The dog hunts a fast hamster",
        "Der Hund jagt einen schnellen Hamster",
    ),
    (
        does(the("König", "reich", "ein"), "bauen", the("Schloss", "groß", "ein")),
        "A rich king builds a big castle",
        "Ein reicher König baut ein großes Schloss",
    ),
    (
        does(the("Nachbar", determiner="unser"), "verkaufen", the("Auto", "teuer", "sein")),
        "Our neighbor sells his expensive car",
        "Unser Nachbar verkauft sein teures Auto",
    ),
    (
        does(the("Tante", determiner="dieser"), "besuchen", the("Arzt", determiner="jeder")),
        "This aunt visits every doctor",
        "Diese Tante besucht jeden Arzt",
    ),
    (does(the("Mann"), "kaufen", a("Apfel"), **PAST), "The man bought an apple", "Der Mann hat einen Apfel gekauft"),
    (does(SHE, "vergessen", the("Wort"), **PAST), "She forgot the word", "Sie hat das Wort vergessen"),
    (
        does(the("Lehrer"), "reparieren", the("Fahrrad"), **PAST),
        "The teacher repaired the bicycle",
        "Der Lehrer hat das Fahrrad repariert",
    ),
    (
        does(the("Mann"), "kaufen", a("Apfel"), **FUTURE),
        "The man will buy an apple",
        "Der Mann wird einen Apfel kaufen",
    ),
    (does(YOU, "treffen", ME, **FUTURE), "You will meet me", "Du wirst mich treffen"),
    (
        does(the("Junge"), "waschen", the("Auto"), tense=modal("müssen")),
        "The boy must wash the car",
        "Der Junge muss das Auto waschen",
    ),
    (
        does(WE, "verstehen", the("Regel"), tense=modal("können")),
        "We can understand the rule",
        "Wir können die Regel verstehen",
    ),
    (
        does(the("Kind"), "malen", the("Baum"), tense=modal("wollen")),
        "The child wants to paint the tree",
        "Das Kind will den Baum malen",
    ),
    (does(the("Mann"), "kaufen", a("Apfel"), **NOT), "The man does not buy an apple", "Der Mann kauft keinen Apfel"),
    (
        does(the("Mann"), "kaufen", the("Apfel"), **NOT),
        "The man does not buy the apple",
        "Der Mann kauft den Apfel nicht",
    ),
    (does(THEY, "trinken", the("Milch", determiner=""), **NOT), "They do not drink milk", "Sie trinken keine Milch"),
    (
        does(ME, "finden", the("Ring"), tense="past", negated=True),
        "I did not find the ring",
        "Ich habe den Ring nicht gefunden",
    ),
    (
        does(HE, "lösen", the("Rätsel"), tense=modal("können"), negated=True),
        "He cannot solve the riddle",
        "Er kann das Rätsel nicht lösen",
    ),
    (
        does(HE, "kaufen", the("Haus"), tense=modal("wollen"), negated=True),
        "He does not want to buy the house",
        "Er will das Haus nicht kaufen",
    ),
    (
        does(the("Vater"), "aufmachen", the("Fenster"), SEP),
        "The father opens the window",
        "Der Vater macht das Fenster auf",
    ),
    (
        does(the("Vater"), "aufmachen", the("Fenster"), SEP, **PAST),
        "The father opened the window",
        "Der Vater hat das Fenster aufgemacht",
    ),
    (
        does(the("Vater"), "aufmachen", the("Fenster"), SEP, **FUTURE),
        "The father will open the window",
        "Der Vater wird das Fenster aufmachen",
    ),
    (
        does(the("Vater"), "aufmachen", the("Fenster"), SEP, tense=modal("sollen")),
        "The father should open the window",
        "Der Vater soll das Fenster aufmachen",
    ),
    (does(the("Bruder"), "abholen", ME, SEP), "The brother picks me up", "Der Bruder holt mich ab"),
    (does(SHE, "anrufen", the("Polizist"), SEP), "She calls the policeman", "Sie ruft den Polizisten an"),
    (
        does(ME, "einladen", the("Gast", "nett", plural=True), SEP, **NOT),
        "I do not invite the nice guests",
        "Ich lade die netten Gäste nicht ein",
    ),
    (
        does(the("Kind"), "helfen", the("Großmutter"), "DATIVE", "dat"),
        "The child helps the grandmother",
        "Das Kind hilft der Großmutter",
    ),
    (
        does(the("Hund"), "folgen", the("Bauer", "alt"), "DATIVE", "dat", **PAST),
        "The dog followed the old farmer",
        "Der Hund ist dem alten Bauern gefolgt",
    ),
    (does(WE, "danken", THEY, "DATIVE", "dat"), "We thank them", "Wir danken ihnen"),
    (
        does(the("Schüler", plural=True), "zuhören", the("Lehrer"), "DATIVE", "dat"),
        "The pupils listen to the teacher",
        "Die Schüler hören dem Lehrer zu",
    ),
    (
        gives(the("Frau"), "geben", the("Kind"), a("Apfel")),
        "The woman gives the child an apple",
        "Die Frau gibt dem Kind einen Apfel",
    ),
    (
        gives(the("Mann"), "zeigen", ME, the("Bild", "schön", "sein")),
        "The man shows me his beautiful picture",
        "Der Mann zeigt mir sein schönes Bild",
    ),
    (
        gives(SHE, "schicken", the("Freund", plural=True, determiner="ihr"), a("Brief"), **PAST),
        "She sent her friends a letter",
        "Sie hat ihren Freunden einen Brief geschickt",
    ),
    (
        gives(the("Lehrer"), "erklären", the("Student"), the("Regel")),
        "The teacher explains the rule to the student",
        "Der Lehrer erklärt dem Studenten die Regel",
    ),
    (
        sleeps(the("Katze"), "schlafen", tail=(("auf dem Sofa", "on the sofa"),)),
        "The cat sleeps on the sofa",
        "Die Katze schläft auf dem Sofa",
    ),
    (sleeps(the("Zug"), "ankommen", **PAST), "The train arrived", "Der Zug ist angekommen"),
    (sleeps(ME, "aufstehen"), "I get up", "Ich stehe auf"),
    (
        sleeps(the("Soldat", plural=True), "gehen", "MOTION", tense="past", tail=(("in den Wald", "into the forest"),)),
        "The soldiers went into the forest",
        "Die Soldaten sind in den Wald gegangen",
    ),
    (Clause(WE, verb("warten", "PREPOSITIONAL"), about=the("Bus")), "We wait for the bus", "Wir warten auf den Bus"),
    (
        Clause(HE, verb("träumen", "PREPOSITIONAL"), about=a("Reise"), negated=True),
        "He does not dream of a journey",
        "Er träumt nicht von einer Reise",
    ),
    (
        Clause(SHE, verb("waschen", "REFLEXIVE"), reflexive=True, tense="past"),
        "She washed herself",
        "Sie hat sich gewaschen",
    ),
    (Clause(ME, verb("waschen", "REFLEXIVE"), reflexive=True), "I wash myself", "Ich wasche mich"),
    (Clause(the("Auto"), complement=("rot", "red")), "The car is red", "Das Auto ist rot"),
    (Clause(WE, complement=("müde", "tired"), tense="past", negated=True), "We were not tired", "Wir waren nicht müde"),
    (
        Clause(replace(the("Haus"), owner=the("Arzt")), complement=("alt", "old")),
        "The house of the doctor is old",
        "Das Haus des Arztes ist alt",
    ),
    (
        Clause(replace(the("Ring"), owner=the("Frau", "jung")), complement=("alt", "old")),
        "The ring of the young woman is old",
        "Der Ring der jungen Frau ist alt",
    ),
    (
        Clause(the("Auto"), verb("waschen"), tense="passive", tail=(("vom Lehrer", "by the teacher"),)),
        "The car is washed by the teacher",
        "Das Auto wird vom Lehrer gewaschen",
    ),
    (
        Clause(replace(the("Mann"), with_=the("Frau")), verb("tanzen", "INTRANSITIVE")),
        "The man and the woman dance",
        "Der Mann und die Frau tanzen",
    ),
    (
        does(the("Mann"), "lesen", the("Zeitung"), often=("oft", "often")),
        "The man often reads the newspaper",
        "Der Mann liest oft die Zeitung",
    ),
]

BUYS = does(the("Mann"), "kaufen", a("Apfel"))
OPENS = does(the("Vater"), "aufmachen", the("Fenster"), SEP)
HELPS = does(the("Kind"), "helfen", the("Großmutter"), "DATIVE", "dat")
# what is rendered, and how it should read
OTHERS = [
    (BUYS.german_main(ask=True), "kauft der Mann einen Apfel"),
    (BUYS.english_main(ask=True), "does the man buy an apple"),
    (replace(BUYS, tense="past").german_main(ask=True), "hat der Mann einen Apfel gekauft"),
    (replace(BUYS, tense="past").english_main(ask=True), "did the man buy an apple"),
    (replace(BUYS, tense=modal("wollen")).english_main(ask=True), "does the man want to buy an apple"),
    (replace(BUYS, tense="future").english_main("when", ask=True), "when will the man buy an apple"),
    (OPENS.german_main(ask=True), "macht der Vater das Fenster auf"),
    (OPENS.german_main(front="wann"), "wann macht der Vater das Fenster auf"),
    (OPENS.english_main("when", ask=True), "when does the father open the window"),
    (OPENS.german_main(front="heute"), "heute macht der Vater das Fenster auf"),
    (replace(OPENS, tense="past").german_main(front="gestern"), "gestern hat der Vater das Fenster aufgemacht"),
    (replace(HELPS, objects=()).german_main(front="wem"), "wem hilft das Kind"),
    (replace(HELPS, objects=()).english_main("whom", ask=True), "whom does the child help"),
    (BUYS.german_subordinate("weil"), "weil der Mann einen Apfel kauft"),
    (OPENS.german_subordinate("dass"), "dass der Vater das Fenster aufmacht"),
    (replace(BUYS, tense="past").german_subordinate("obwohl"), "obwohl der Mann einen Apfel gekauft hat"),
    (replace(OPENS, tense=modal("müssen")).german_subordinate("ob"), "ob der Vater das Fenster aufmachen muss"),
    (replace(BUYS, negated=True).german_subordinate("wenn"), "wenn der Mann keinen Apfel kauft"),
    (replace(HELPS, tense="future").german_subordinate("damit"), "damit das Kind der Großmutter helfen wird"),
    (Clause(the("Hund"), complement=("klein", "small")).german_subordinate("weil"), "weil der Hund klein ist"),
    (OPENS.german_infinitive(), "das Fenster aufzumachen"),
    (BUYS.german_infinitive(), "einen Apfel zu kaufen"),
    (HELPS.english_base("to"), "to help the grandmother"),
    (replace(OPENS, subject=YOU).german_imperative(), "mach das Fenster auf"),
    (replace(OPENS, subject=YOU, negated=True).german_imperative(), "mach das Fenster nicht auf"),
    (replace(HELPS, subject=YOU).german_imperative(), "hilf der Großmutter"),
    (does(YOU, "lesen", the("Brief"), negated=True).english_base("do not"), "do not read the letter"),
    (
        relative_clause(the("Hund"), replace(does(the("Junge"), "suchen", ME, gap="acc"), objects=()))[0],
        "den der Junge sucht",
    ),
    (
        relative_clause(the("Hund"), replace(does(the("Junge"), "suchen", ME, gap="acc"), objects=()))[1],
        "that the boy looks for",
    ),
    (relative_clause(the("Mann"), replace(HELPS, objects=(), gap="dat"))[0], "dem das Kind hilft"),
    (relative_clause(the("Mann"), replace(HELPS, objects=(), gap="dat"))[1], "whom the child helps"),
    (
        relative_clause(the("Kind", plural=True), replace(HELPS, subject=SHE, objects=(), gap="dat"))[0],
        "denen sie hilft",
    ),
    (relative_clause(the("Frau"), replace(OPENS, gap="nom"))[0], "die das Fenster aufmacht"),
    (relative_clause(the("Frau"), replace(OPENS, gap="nom"))[1], "who opens the window"),
]

PHRASES = [
    (the("Mann", "alt", "ein"), "nom", "ein alter Mann"),
    (the("Frau", "jung"), "dat", "der jungen Frau"),
    (the("Kind", "klein", "mein"), "acc", "mein kleines Kind"),
    (the("Hund", "groß"), "gen", "des großen Hundes"),
    (the("Haus", "neu", "dieser"), "dat", "diesem neuen Haus"),
    (the("Bär", "wild"), "acc", "den wilden Bären"),
    (the("Freund", "treu", "unser", True), "dat", "unseren treuen Freunden"),
    (the("Apfel", "süß", "=fünf five", True), "nom", "fünf süße Äpfel"),
    (the("Apfel", "süß", "=fünf five", True), "dat", "fünf süßen Äpfeln"),
    (the("Katze", "", "=viele many", True), "dat", "vielen Katzen"),
    (the("Wein", "süß", ""), "acc", "süßen Wein"),
    (the("Milch", "kalt", ""), "dat", "kalter Milch"),
    (the("Schuh", "schwarz", "ihr", True), "acc", "ihre schwarzen Schuhe"),
    (the("Buch", "alt", "kein"), "gen", "keines alten Buches"),
    (the("Prinz", "stolz"), "gen", "des stolzen Prinzen"),
    (the("Königin", "schön", "jeder"), "dat", "jeder schönen Königin"),
]


@pytest.mark.parametrize(("clause", "english", "german"), STATEMENTS, ids=[g for _, _, g in STATEMENTS])
def test_statements_read_as_a_person_wrote_them(clause: Clause, english: str, german: str):
    assert sentence(clause.german_main(), "") == german
    assert sentence(clause.english_main(), "") == english


def test_questions_commands_and_clauses_read_as_a_person_wrote_them():
    for said, wanted in OTHERS:
        assert said == wanted


def test_phrases_decline_as_a_person_wrote_them():
    for phrase, case, wanted in PHRASES:
        assert phrase.german(case) == wanted


# ---- every drawn sentence ------------------------------------------------------------------------------------------

# Which (case, gender) a determiner's form may be; typed, not computed: m f n pl by nom acc dat gen.
FORMS = {
    "der": "nm df gf gp", "die": "nf af np ap", "das": "nn an", "den": "am dp", "dem": "dm dn", "des": "gm gn",
    "-": "nm nn an", "-e": "nf af np ap", "-en": "am dp", "-em": "dm dn", "-er": "df gf gp", "-es": "gm gn",
    "dieser": "nm df gf gp", "dieses": "nn an gm gn", "jeder": "nm df gf gp", "jedes": "nn an gm gn",
    "im": "dm dn", "am": "dm dn", "zum": "dm dn", "vom": "dm dn", "beim": "dm dn", "ins": "an", "ans": "an",
    "zur": "df",
}  # fmt: skip
# The adjective's ending by (case, gender): after der-words, after ein-words, after nothing.
AFTER_DER = {"nm": "e", "nf": "e", "nn": "e", "af": "e", "an": "e"}
AFTER_EIN = {**AFTER_DER, "nm": "er", "nn": "es", "an": "es"}
ALONE = {"nm": "er", "am": "en", "dm": "em", "gm": "en", "nf": "e", "af": "e", "df": "er", "gf": "er", "nn": "es",
         "an": "es", "dn": "em", "gn": "en", "np": "e", "ap": "e", "dp": "en", "gp": "er"}  # fmt: skip
POSSESSIVES = ("mein", "dein", "sein", "ihr", "unser", "kein", "ein")
NUMBERS = {"zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "zehn", "zwölf", "viele", "vielen", "vieler"}


def stem_of(word: str) -> tuple[str, str] | None:
    """(kind, form) of a determiner: `einen` -> ("ein", "-en")."""
    low = word.lower()
    if low in FORMS:
        return "der", low
    if low.startswith(("dies", "jed")):
        stem = "dies" if low.startswith("dies") else "jed"
        return "der", "-" + low.removeprefix(stem)
    for stem in POSSESSIVES:
        if low.startswith(stem) and low[len(stem) :] in ("", "e", "en", "em", "er", "es"):
            return "ein", "-" + low[len(stem) :]
    return ("", "") if low in NUMBERS else None


def cells_of_nouns() -> dict[str, set[str]]:
    """Form of a noun -> the (case, gender) that it may be; the forms are held against a table in test_synth_german."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for noun in nouns().values():
        for case in ("nom", "acc", "dat", "gen"):
            found[noun.german(case)].add(case[0] + noun.gender)
            if noun.plural:
                found[noun.german(case, plural=True)].add(case[0] + "p")
    return found


def fits(kind: str, form: str, endings: list[str], cells: set[str]) -> bool:
    """Whether some case and gender suits determiner, adjectives and noun together."""
    allowed = set(FORMS[form].split()) if form else cells
    if kind == "ein" and form == "-e":
        allowed = {"nf", "af", "np", "ap"}
    for cell in cells & allowed:
        table = AFTER_DER if kind == "der" else AFTER_EIN if kind == "ein" else ALONE
        if all(ending == table.get(cell, "en") for ending in endings):
            return True
    return False


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return translation.records(3, 6_000, split="train") + translation.records(3, 2_000)


def test_determiners_adjectives_and_nouns_agree_in_every_sentence(items: list[dict]):
    """Checked by tables typed here: of each phrase, one case, gender and number suits all of its words."""
    cells = cells_of_nouns()
    stems = {lexicon_german_words.SHORTENED.get(a.word, a.word).removesuffix("e") for a in adjectives()}
    adjective = re.compile(f"(?:{'|'.join(sorted(stems))})(e|en|em|er|es)")
    checked = 0
    for item in items:
        tokens = re.findall(r"\w+", item["german"])
        for start, token in enumerate(tokens):
            found = stem_of(token)
            if found is None:
                continue
            kind, form = found
            endings, at = [], start + 1
            while at < len(tokens) and tokens[at] not in cells:
                match = adjective.fullmatch(tokens[at])
                if match is None:
                    break
                endings.append(match[1])
                at += 1
            if at < len(tokens) and tokens[at] in cells:
                checked += 1
                assert fits(kind, form, endings, cells[tokens[at]]), (item["german"], tokens[start : at + 1])
    assert checked > 8_000


def test_a_wrong_article_or_ending_is_found():
    """The checker above is no rubber stamp."""
    cells = cells_of_nouns()
    wrong = ["den Frau", "der Haus", "ein Frau", "einen Kind", "dem Katze", "einem Männer", "das Äpfel", "des Junge"]
    for phrase in wrong:
        determiner, noun = phrase.split()
        assert not fits(*stem_of(determiner), [], cells[noun]), phrase  # type: ignore[misc]
    assert not fits("der", "der", ["er"], cells["Mann"])
    assert not fits("ein", "-", ["e"], cells["Mann"])
    assert fits("ein", "-", ["er"], cells["Mann"])
    assert not fits("", "", ["en"], cells["Milch"] - {"dp"})


OPENERS = "weil|obwohl|wenn|während|bis|bevor|sobald|damit|dass|ob|de[rnm]|die|das|denen"


def finite_forms() -> set[str]:
    forms = set(re.findall(r"\w+", "ist sind bin bist war waren warst hat habe hast haben wird werde wirst werden"))
    for table in translation_words.TABLES:
        for v in verbs(table):
            for person in ("1sg", "2sg", "3sg", "1pl"):
                forms |= {v.present(person), v.prefix + v.present(person)}
    return forms | {form for m in matrix("MODALS") for form in (*m.forms, m.lemma)}


def test_the_verb_closes_every_subordinate_clause(items: list[dict]):
    finite, checked = finite_forms(), Counter()
    for item in items:
        if item["construction"].startswith("infinitive"):
            continue
        for match in re.finditer(rf", ({OPENERS}) ([^,.]*)", item["german"]):
            last = match[2].split()[-1]
            assert last in finite, item["german"]
            checked[match[1]] += 1
    assert sum(checked.values()) > 600
    assert len(checked) >= 14


def test_the_verb_is_second_in_statements_and_first_in_yes_no_questions(items: list[dict]):
    before = [m for table in ("THINKING", "ASKING", "TRYING") for m in matrix(table)]
    finite = finite_forms() | {form for m in before for form in (*m.forms, m.lemma)}
    for item in items:
        frame, tokens = item["construction"].split("+")[0], item["german"].rstrip(".?!").split()
        first = tokens[0][0].lower() + tokens[0][1:]
        if frame == "yes_no":
            assert first in finite, item["german"]
        elif frame == "wh" and first in ("was", "wen", "wem", "wer", "warum", "wo", "wann"):
            assert tokens[1] in finite, item["german"]
        elif frame not in ("imperative", "wh"):
            assert any(token.strip(",") in finite for token in tokens[1:7]), item["german"]


def test_separable_verbs_are_split_in_the_present_and_joined_elsewhere(items: list[dict]):
    prefixes = {v.lemma: v for table in translation_words.TABLES for v in verbs(table) if v.prefix}
    split = joined = 0
    for item in items:
        tags = item["construction"].split("+")
        used = [lemma for lemma in item["lemmas"] if lemma in prefixes]
        if "separable" not in tags or len(used) != 1 or tags[0] in ("coordination", "subordinate", "relative"):
            continue
        v, words = prefixes[used[0]], re.findall(r"\w+", item["german"])
        if tags[0] == "infinitive":
            assert v.with_zu in words
        elif tags[0] == "passive" or "perfect" in tags:
            assert v.participle in words
            joined += 1
        elif "future" in tags or "modal" in tags:
            assert v.lemma == words[-1]
            joined += 1
        else:
            assert v.prefix == words[-1], item["german"]
            split += 1
    assert split > 200
    assert joined > 100


# ---- the set as a whole --------------------------------------------------------------------------------------------


def test_at_least_600_lemmas_and_15_constructions_occur():
    items = translation.records(6, 20_000, split="train")
    lemmas = {lemma for item in items for lemma in item["lemmas"]}
    assert len(lemmas) >= 850
    frames = {item["construction"].split("+")[0] for item in items}
    assert frames == set(CONSTRUCTIONS)
    assert len(frames) >= 15
    features = {feature for item in items for feature in item["construction"].split("+")[1:]}
    assert features == {"perfect", "modal", "future", "separable"}
    known = {*nouns(), *(a.word for a in adjectives()), *(v.lemma for t in translation_words.TABLES for v in verbs(t))}
    assert len(known & lemmas) > 0.98 * len(known)


def test_held_out_combinations_never_occur_in_train(items: list[dict]):
    for item in items:
        tags = set(item["construction"].split("+"))
        combined = any(tags >= set(pair) for pair in translation.HELD_OUT_CONSTRUCTIONS)
        assert combined == (item["held_out"] == "constructions")
    train = translation.records(8, 4_000, split="train")
    assert {item["held_out"] for item in train} == {""}
    for one, two in translation.HELD_OUT_CONSTRUCTIONS:
        tags = [item["construction"].split("+") for item in train]
        assert any(one in t for t in tags)
        assert any(two in t for t in tags)
        assert not any(one in t and two in t for t in tags)
    kinds = Counter(item["held_out"] for item in translation.records(8, 1_000))
    assert set(kinds) == {"lemmas", "constructions"}
    assert min(kinds.values()) > 100


def test_held_out_lemmas_are_combinations_whose_parts_train_knows():
    """Every lemma of test sentences is met in train, and the pair that is held out is not."""
    draw = Draw("translation", 11)
    held: set[tuple[str, str]] = set()
    train_pairs: set[tuple[str, str]] = set()
    train_lemmas: set[str] = set()
    test_lemmas: set[str] = set()
    for _ in range(30_000):
        drawn = translation.draw_pair(draw)
        if drawn is None:
            continue
        out = {pair for pair in drawn[1].held if in_test("translation", " ".join(pair))}
        if out:
            held |= out
            test_lemmas |= set(drawn[1].lemmas)
        else:
            train_pairs |= set(drawn[1].held)
            train_lemmas |= set(drawn[1].lemmas)
    assert len(held) > 1_000
    assert not held & train_pairs
    assert len(test_lemmas - train_lemmas) <= 3


def test_a_sentence_has_one_translation(items: list[dict]):
    there, back = defaultdict(set), defaultdict(set)
    for item in items:
        there[item["english"]].add(item["german"])
        back[item["german"]].add(item["english"])
    assert max(map(len, there.values())) == 1
    assert sum(len(said) > 1 for said in back.values()) < 0.001 * len(back)


def test_sentences_are_short_and_spelt_like_sentences(items: list[dict]):
    for item in items:
        for text in (item["english"], item["german"]):
            assert re.fullmatch(r"[A-ZÄÖÜ][^.?!]*[.?!]", text), text
            assert 2 <= len(text.split()) <= 22
            assert not re.search(r"\b(\w+) \1\b", text) or re.search(r"\b(die|sie|der|das|her) \1\b", text), text


def test_copying_the_english_is_no_translation(items: list[dict]):
    words = [(set(item["english"].lower().split()), set(item["german"].lower().split())) for item in items]
    shared = [len(english & german) / len(german) for english, german in words]
    assert sum(shared) / len(shared) < 0.12
    assert not [item for item in items if item["english"] == item["german"]]


def test_the_draw_of_a_split_that_is_none_is_refused():
    with pytest.raises(UserError, match="neither"):
        translation.records(1, 1, split="validation")


def test_every_cell_of_the_checker_is_a_case_and_a_gender():
    cells = {case + gender for case, gender in product("nadg", "mfnp")}
    assert {cell for forms in FORMS.values() for cell in forms.split()} <= cells
    assert set(ALONE) == cells
