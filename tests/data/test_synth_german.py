"""German forms against tables written by hand: 270 forms of nouns, articles, adjectives, pronouns and verbs."""

from __future__ import annotations

import pytest

from smallm.data.synth import german_forms as german
from smallm.data.synth import translation_words as lexicon
from smallm.data.synth.english_forms import ing_form, past_form, s_form
from smallm.data.synth.lexicon_german_words import SHORTENED

# nominative, accusative, dative, genitive singular; nominative, dative plural
NOUNS = """
Mann Mann Mann Mannes Männer Männern
Frau Frau Frau Frau Frauen Frauen
Kind Kind Kind Kindes Kinder Kindern
Junge Jungen Jungen Jungen Jungen Jungen
Mädchen Mädchen Mädchen Mädchens Mädchen Mädchen
Vater Vater Vater Vaters Väter Vätern
Mutter Mutter Mutter Mutter Mütter Müttern
Nachbar Nachbarn Nachbarn Nachbarn Nachbarn Nachbarn
Student Studenten Studenten Studenten Studenten Studenten
Bauer Bauern Bauern Bauern Bauern Bauern
Held Helden Helden Helden Helden Helden
Chef Chef Chef Chefs Chefs Chefs
Königin Königin Königin Königin Königinnen Königinnen
Arzt Arzt Arzt Arztes Ärzte Ärzten
Bär Bären Bären Bären Bären Bären
Löwe Löwen Löwen Löwen Löwen Löwen
Fuchs Fuchs Fuchs Fuchses Füchse Füchsen
Apfel Apfel Apfel Apfels Äpfel Äpfeln
Ei Ei Ei Eis Eier Eiern
Nuss Nuss Nuss Nuss Nüsse Nüssen
Kürbis Kürbis Kürbis Kürbisses Kürbisse Kürbissen
Buch Buch Buch Buches Bücher Büchern
Glas Glas Glas Glases Gläser Gläsern
Auto Auto Auto Autos Autos Autos
Bus Bus Bus Busses Busse Bussen
Museum Museum Museum Museums Museen Museen
Gefängnis Gefängnis Gefängnis Gefängnisses Gefängnisse Gefängnissen
Park Park Park Parks Parks Parks
See See See Sees Seen Seen
"""

# definite article, then after: der, ein (kein in the plural), nothing; by gender and case
ENDINGS = """
m nom der kleine kleiner kleiner
m acc den kleinen kleinen kleinen
m dat dem kleinen kleinen kleinem
m gen des kleinen kleinen kleinen
f nom die kleine kleine kleine
f acc die kleine kleine kleine
f dat der kleinen kleinen kleiner
f gen der kleinen kleinen kleiner
n nom das kleine kleines kleines
n acc das kleine kleines kleines
n dat dem kleinen kleinen kleinem
n gen des kleinen kleinen kleinen
pl nom die kleinen kleinen kleine
pl acc die kleinen kleinen kleine
pl dat den kleinen kleinen kleinen
pl gen der kleinen kleinen kleiner
"""

ARTICLES = """
ein m ein einen einem eines
ein f eine eine einer einer
ein n ein ein einem eines
kein pl keine keine keinen keiner
mein m mein meinen meinem meines
unser f unsere unsere unserer unserer
ihr n ihr ihr ihrem ihres
dieser m dieser diesen diesem dieses
dieser f diese diese dieser dieser
dieser n dieses dieses diesem dieses
dieser pl diese diese diesen dieser
jeder m jeder jeden jedem jedes
welcher n welches welches welchem welches
"""

# infinitive: ich, du, er, wir; participle, auxiliary, command, infinitive with zu
VERBS = """
kaufen: kaufe kaufst kauft kaufen, gekauft hat, kauf, zu kaufen
besuchen: besuche besuchst besucht besuchen, besucht hat, besuch, zu besuchen
reparieren: repariere reparierst repariert reparieren, repariert hat, reparier, zu reparieren
arbeiten: arbeite arbeitest arbeitet arbeiten, gearbeitet hat, arbeite, zu arbeiten
warten: warte wartest wartet warten, gewartet hat, warte, zu warten
zeichnen: zeichne zeichnest zeichnet zeichnen, gezeichnet hat, zeichne, zu zeichnen
lernen: lerne lernst lernt lernen, gelernt hat, lern, zu lernen
tanzen: tanze tanzt tanzt tanzen, getanzt hat, tanz, zu tanzen
küssen: küsse küsst küsst küssen, geküsst hat, küss, zu küssen
sammeln: sammle sammelst sammelt sammeln, gesammelt hat, sammle, zu sammeln
füttern: füttere fütterst füttert füttern, gefüttert hat, füttere, zu füttern
beschädigen: beschädige beschädigst beschädigt beschädigen, beschädigt hat, beschädige, zu beschädigen
lesen: lese liest liest lesen, gelesen hat, lies, zu lesen
geben: gebe gibst gibt geben, gegeben hat, gib, zu geben
nehmen: nehme nimmst nimmt nehmen, genommen hat, nimm, zu nehmen
essen: esse isst isst essen, gegessen hat, iss, zu essen
sehen: sehe siehst sieht sehen, gesehen hat, sieh, zu sehen
helfen: helfe hilfst hilft helfen, geholfen hat, hilf, zu helfen
vergessen: vergesse vergisst vergisst vergessen, vergessen hat, vergiss, zu vergessen
stehlen: stehle stiehlst stiehlt stehlen, gestohlen hat, stiehl, zu stehlen
betreten: betrete betrittst betritt betreten, betreten hat, betritt, zu betreten
widersprechen: widerspreche widersprichst widerspricht widersprechen, widersprochen hat, widersprich, zu widersprechen
halten: halte hältst hält halten, gehalten hat, halte, zu halten
waschen: wasche wäschst wäscht waschen, gewaschen hat, wasch, zu waschen
fangen: fange fängst fängt fangen, gefangen hat, fang, zu fangen
laufen: laufe läufst läuft laufen, gelaufen ist, lauf, zu laufen
fahren: fahre fährst fährt fahren, gefahren ist, fahr, zu fahren
finden: finde findest findet finden, gefunden hat, finde, zu finden
schneiden: schneide schneidest schneidet schneiden, geschnitten hat, schneide, zu schneiden
folgen: folge folgst folgt folgen, gefolgt ist, folg, zu folgen
bleiben: bleibe bleibst bleibt bleiben, geblieben ist, bleib, zu bleiben
bringen: bringe bringst bringt bringen, gebracht hat, bring, zu bringen
aufmachen: mache machst macht machen, aufgemacht hat, mach, aufzumachen
einladen: lade lädst lädt laden, eingeladen hat, lade, einzuladen
anrufen: rufe rufst ruft rufen, angerufen hat, ruf, anzurufen
aufstehen: stehe stehst steht stehen, aufgestanden ist, steh, aufzustehen
vorlesen: lese liest liest lesen, vorgelesen hat, lies, vorzulesen
nachahmen: ahme ahmst ahmt ahmen, nachgeahmt hat, ahm, nachzuahmen
vorbereiten: bereite bereitest bereitet bereiten, vorbereitet hat, bereite, vorzubereiten
zurückgeben: gebe gibst gibt geben, zurückgegeben hat, gib, zurückzugeben
"""
CASES = ("nom", "acc", "dat", "gen")


def lines(table: str) -> list[str]:
    return table.strip().splitlines()


@pytest.mark.parametrize("line", lines(NOUNS))
def test_nouns_decline_as_in_the_table(line: str):
    forms = line.split()
    noun = lexicon.nouns()[forms[0]]
    assert [noun.german(case) for case in CASES] == forms[:4]
    assert [noun.german("nom", plural=True), noun.german("dat", plural=True)] == forms[4:]


@pytest.mark.parametrize("line", lines(ENDINGS))
def test_adjectives_end_as_in_the_table(line: str):
    gender, case, the, *forms = line.split()
    assert german.article("der", gender, case) == the
    kinds = ("der", "kein" if gender == "pl" else "ein", "")
    assert [german.adjective("klein", kind, gender, case, {}) for kind in kinds] == forms
    assert german.adjective("klein", "dieser", gender, case, {}) == forms[0]
    assert german.adjective("klein", "mein", gender, case, {}) == forms[1]


@pytest.mark.parametrize("line", lines(ARTICLES))
def test_determiners_decline_as_in_the_table(line: str):
    kind, gender, *forms = line.split()
    assert [german.article(kind, gender, case) for case in CASES] == forms


def test_adjectives_that_lose_a_letter():
    said = {word: german.adjective(word, "der", "m", "nom", SHORTENED) for word in ("teuer", "dunkel", "böse", "müde")}
    assert said == {"teuer": "teure", "dunkel": "dunkle", "böse": "böse", "müde": "müde"}
    assert german.adjective("sauer", "", "n", "acc", SHORTENED) == "saures"
    assert german.adjective("böse", "ein", "m", "nom", SHORTENED) == "böser"


@pytest.mark.parametrize("line", lines(VERBS))
def test_verbs_are_conjugated_as_in_the_table(line: str):
    lemma, rest = line.split(": ")
    present, done, command, zu = rest.split(", ")
    verb = next(verb for table in lexicon.TABLES for verb in lexicon.verbs(table) if verb.lemma == lemma)
    assert [verb.present(person) for person in ("1sg", "2sg", "3sg", "1pl")] == present.split()
    assert verb.present("3pl") == verb.present("1pl")
    assert f"{verb.participle} {'ist' if verb.sein else 'hat'}" == done
    assert verb.imperative == command
    assert verb.with_zu == zu


def test_pronouns_relatives_and_contractions():
    assert [german.pronoun("1sg", "", case) for case in ("nom", "acc", "dat", "refl")] == ["ich", "mich", "mir", "mich"]
    assert [german.pronoun("3sg", "m", case) for case in ("nom", "acc", "dat", "refl")] == ["er", "ihn", "ihm", "sich"]
    assert [german.pronoun("3sg", "f", case) for case in ("nom", "acc", "dat")] == ["sie", "sie", "ihr"]
    assert [german.pronoun("3pl", "", case) for case in ("nom", "acc", "dat")] == ["sie", "sie", "ihnen"]
    assert [german.relative("m", case) for case in ("nom", "acc", "dat")] == ["der", "den", "dem"]
    assert [german.relative("pl", case) for case in ("nom", "dat")] == ["die", "denen"]
    phrases = ["in dem Garten", "in das Haus", "zu der Schule", "von dem Arzt", "in der Stadt", "mit dem Hund"]
    wanted = ["im Garten", "ins Haus", "zur Schule", "vom Arzt", "in der Stadt", "mit dem Hund"]
    assert [german.contracted(*phrase.split(" ", 1)) for phrase in phrases] == wanted


def test_comparatives():
    gold = """groß größer bigger; alt älter older; jung jünger younger; teuer teurer expensive; gut besser better;
    schlecht schlechter worse; müde müder tired; dunkel dunkler darker; nass nässer wetter; klug klüger clever"""
    found = {adjective.word: adjective for adjective in lexicon.adjectives()}
    for entry in gold.split(";"):
        word, more, english = entry.split()
        assert found[word].more == more
        assert found[word].english_more in (english, f"more {english}")


def test_every_english_word_stands_for_one_german_word():
    """So that a sentence has one right translation; the reflexive use of a verb is the same German verb."""
    for words in (
        [(noun.one, noun.word) for noun in lexicon.nouns().values()],
        [(a.english, a.word) for a in lexicon.adjectives()],
        [((*v.english[:1], v.particle), v.lemma) for table in lexicon.TABLES for v in lexicon.verbs(table)],
    ):
        found: dict = {}
        for english, word in words:
            assert found.setdefault(english, word) == word, english


def test_the_lexicon_has_more_than_600_lemmas_without_function_words():
    verbs = {verb.lemma for table in lexicon.TABLES for verb in lexicon.verbs(table)}
    assert len(lexicon.nouns()) >= 400
    assert len(verbs) >= 200
    assert len(lexicon.adjectives()) >= 100
    assert len({*lexicon.nouns(), *verbs, *(a.word for a in lexicon.adjectives())}) >= 700


def test_every_verb_has_objects_and_every_adjective_fits_a_noun():
    kinds = {noun.kind for noun in lexicon.nouns().values()}
    for table in lexicon.TABLES:
        for verb in lexicon.verbs(table):
            assert all(lexicon.of_class(name) for name in verb.takes), verb.lemma
            assert bool(verb.takes) == (table not in ("INTRANSITIVE", "MOTION", "REFLEXIVE")), verb.lemma
    for adjective in lexicon.adjectives():
        assert adjective.fits <= kinds, adjective.word


def test_regular_english_forms():
    assert [s_form(w) for w in ("box", "baby", "boy", "watch", "go", "kite")] == [
        "boxes", "babies", "boys", "watches", "goes", "kites",
    ]  # fmt: skip
    assert [past_form(w) for w in ("like", "carry", "play", "stop", "pack", "visit")] == [
        "liked", "carried", "played", "stopped", "packed", "visited",
    ]  # fmt: skip
    assert [ing_form(w) for w in ("like", "run", "see", "open", "begin", "draw")] == [
        "liking", "running", "seeing", "opening", "beginning", "drawing",
    ]  # fmt: skip


def test_english_pasts_of_the_lexicon_are_spelt_right():
    """Regular pasts that double their consonant, and none that should not."""
    pasts = {v.english[0]: v.english[1] for table in lexicon.TABLES for v in lexicon.verbs(table)}
    doubled = {base for base, past in pasts.items() if past == base + base[-1] + "ed"}
    assert doubled == {"hug", "stop"}
    irregular = {
        "find": "found",
        "buy": "bought",
        "eat": "ate",
        "lie": "lay",
        "lay": "laid",
        "get": "got",
        "hang": "hung",
    }
    assert {base: pasts[base] for base in irregular} == irregular
    gold = {
        "carry": "carried",
        "try": "tried",
        "hurry": "hurried",
        "travel": "traveled",
        "tidy": "tidied",
        "pay": "paid",
    }
    assert {base: pasts[base] for base in gold} == gold
