"""Definitions in German laws: which word a sentence, a list item or a bracket defines.

Sentences of the shapes `X im Sinne dieses Gesetzes ist …`, `Im Sinne … ist X jede …`, `Als X gilt …`, `Unter X ist …
zu verstehen`, `X bezeichnet …`, `X ist jede …`; items of lists of definitions; words that a bracket gives to what was
just said (`… anzuzeigen (Anzeigepflicht)`). What is quoted is the sentence or the item.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .statutes_german import Asked, Named
from .statutes_parse import Paragraph, Section
from .synth.draw import Draw

MIN_QUOTE, MAX_QUOTE = 25, 400

_NOUN = r"[A-ZÄÖÜ][\wäöüß-]*[a-zäöüß][\wäöüß-]*"
_ADJECTIVE = (
    r"(?!(?:ein|kein|jede|alle|die|der|bei|wenn|dies|solche|oder|aber|sowie|sind)[a-z]{0,2} )[a-zäöüß-]+"
    r"(?:e|en|er|es|em)"
)
_TERM = (
    rf"(?:{_ADJECTIVE} ){{0,2}}{_NOUN}(?: (?:(?:der|des|von|und|für|zur|zum|im|mit|am|in|an) )?"
    rf"(?:{_ADJECTIVE} )?{_NOUN}){{0,3}}"
)
_ARTICLE = r"(?:Der|Die|Das|Ein|Eine|der|die|das|ein|eine) "
_SENSE = r"im Sinne (?:dieses|dieser|des|der|von)\b(?! Satze?s|  ?Absatz| Absätz| Sätz| Numm| Nr)[^,;]{0,70}?"
_KIND = (
    r"(?:jede|jeder|jedes|alle|wer|derjenige|diejenige|diejenigen|dasjenige|solche|ein|eine|die|der|das|natürliche|"
    r"juristische|sämtliche|Personen|Anlagen|Stoffe|Einrichtungen|Unternehmen|Maßnahmen)"
)
_SENTENCES = [
    re.compile(rf"^(?:{_ARTICLE})?(?P<term>{_TERM}),? {_SENSE},? (?:ist|sind)(?: insbesondere)? (?P<rest>[^:]+)$"),
    re.compile(rf"^Im Sinne [^,;:]{{5,90}}? (?:ist|sind|bedeutet|bezeichnet) (?:{_ARTICLE})?(?P<term>{_TERM}),? "
        rf"(?P<rest>{_KIND} [^:]+)$"),
    re.compile(rf"^Als (?P<term>{_TERM})(?:,? {_SENSE})?,? (?:gilt|gelten)(?! (?:nicht|auch))(?P<rest> [^:]+)$"),
    re.compile(rf"^Unter (?:{_ARTICLE})?(?P<term>{_TERM})(?:,? {_SENSE})?,? (?:(?:ist|sind)(?P<rest>.+)zu verstehen"
        rf"|versteht man .*)"),
    re.compile(rf"^(?:{_ARTICLE})?(?P<term>{_TERM})(?:,? {_SENSE})? bezeichne[nt] (?P<rest>{_KIND} [^:]+)$"),
    re.compile(rf"^(?P<term>{_NOUN}(?: {_NOUN})?) (?:ist|sind),? (?P<rest>(?:jede|jeder|jedes|alle|wer|derjenige"
        rf"|diejenigen) [^:]+)$"),
    re.compile(rf"^(?P<term>{_NOUN}) (?:ist|sind) (?P<rest>(?:ein|eine|die|der|das) [^:,]+, (?:de[rmns]|die|das"
        rf"|dessen|deren) [^:]+)$"),
]  # fmt: skip
_ITEMS = [
    re.compile(rf"^(?:(?:ist|sind|bedeutet|gilt als|gelten als) )?(?:{_ARTICLE})?[„\"»]"
        rf"(?P<term>[^“”\"«:]{{3,60}})[“”\"«],?:? (?P<rest>\S.+)$"),
    re.compile(rf"^(?:{_ARTICLE})?(?P<term>{_TERM})(?: {_SENSE})?: ?(?P<rest>\S.+)$"),
    re.compile(rf"^(?P<term>{_TERM}) (?P<rest>(?:jede|jeder|jedes|alle|ein|eine|die|das|solche|diejenigen) .+)$"),
    re.compile(rf"^(?:ist|sind) (?P<term>{_TERM}) (?P<rest>(?:jede|jeder|jedes|alle|ein|eine|die|der|das|solche) .+)$"),
]  # fmt: skip
_DEFINING = re.compile(r"Begriff|[Dd]efinition|[Ii]m Sinne|bedeute[nt]|bezeichne[nt]")
_LIST_LEAD = re.compile(
    r"(?:^|\b(?:ist|sind|bedeute[nt]|bezeichne[nt]|gelten|gilt|als|folgende \w+|(?:der )?Ausdruck|Begriffsbestimmungen|"
    r"Definitionen|Begriffe))[ :,]*$"
)
# `Parteifähig ist, wer …`, `Presseverleger ist, wer …`
_WHO = re.compile(r"^(?P<term>[A-ZÄÖÜ][a-zäöüß]{4,})(?: im Sinne [^,;]{5,70})? ist(?: nur)?, wer ")
_HINT = re.compile(r"im Sinne|^Im Sinne|^Als |^Unter |bezeichne[nt] |^(?:\S+ ){1,2}(?:ist|sind),? ")
_BRACKET = re.compile(rf"(?<=[\wäöüß“]) \((?P<term>(?:{_ADJECTIVE} )?{_NOUN}(?: (?:der|des) {_NOUN})?)\)(?=[\s.,;])")
# Words that stand before `ist` or in a bracket without being defined there.
_NO_TERM = re.compile(
    r"^(Im|In|Bei|Beim|Zum|Zur|Für|Nach|Vor|Auf|An|Am|Übrigen|Voraussetzung|Grundlage|Ziel|Aufgabe|Zweck|Maßstab|Gegenstand|Folge|Bestandteil|Stichtag|Anlage|Anhang|Muster|"
    r"Zeichen|Formblatt|Bundesanzeiger|Amtsblatt|Main|Oder|Saale|Bund|Land|Länder|Gesetz|Satz|Absatz|Nummer|Teil|Euro|"
    r"Prozent|Jahr|Monat|Tag|Ausnahme|Dies|Dasselbe|Gleiches|Sitz|Inhalt|Hinweis|Tabelle|Abbildung|Spalte|Zeile|"
    r"Ausgangspunkt|Bezugsgröße|Bemessungsgrundlage|Zuständig|Verantwortlich|Verwaltungsbehörde|Federführend|Beispiel|"
    r"Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Mitglied|Vorsitzend|Prüfung|"
    r"Antragsberechtigt|Beschwerdeberechtigt|Erfüllungsort|Gerichtsstand|Wortlaut|Name|Abschnitt|Kapitel|Buch|Titel|"
    r"Nachweis|Wesentlich|Maßgeblich|Maßgebend|Gläubiger|Schuldner|Rechtsgrundlage|Deutschland|Dienstherr|"
    r"Außerdem|Daneben|Zudem|Darüber|Hierbei|Soweit|Sofern|Ebenso|Insoweit|Hiervon|Davon|Ferner|Danach|Maßnahme"
    r"|Satzung)\w{0,3}$"
)
# `Anrechenbar ist das Einkommen, das …`: an adjective or a participle before the verb, no noun.
_PREDICATE = re.compile(
    r"(?:bar|fähig|pflichtig|berechtigt|lich|ig|isch|sam|los|haft|frei|gleich|zu\w+en|iert|geschlossen|genommen|tigt|"
    r"end|stellt|ndet|legt|zogen|geben|nötigt|setzt|^Ge\w+t|^Ver\w+t)$|^(?:Zu|Nicht|Gegen|Bei|Mit|Von|Nach|Für|In"
    r"|Vor|Auf) "
)
_FORMS = (
    "Wie definiert {nominative} den Begriff „{term}“?", "Was versteht {nominative} unter dem Begriff „{term}“?",
    "Was bedeutet „{term}“ nach {dative}?", "Was ist mit „{term}“ gemeint?",
    "Wie ist der Begriff „{term}“ bestimmt?", "Was bedeutet der Begriff „{term}“?",
)  # fmt: skip


def definitions(law: Named, section: Section, paragraph: Paragraph, said: list[str], draw: Draw) -> Iterator[Asked]:
    """Every definition of the paragraph, whose sentences are `said`; terms are kept as the law has them."""
    defining = _DEFINING.search(f"{section.title} {paragraph.lead}") and _LIST_LEAD.search(paragraph.lead)
    if len(paragraph.items) > 1 and defining and not paragraph.tail:
        for mark, text in paragraph.items:
            term = _term_of(text, _ITEMS)
            quote = re.sub(r"(?:[,;.]|,? (?:und|oder|sowie))+$", "", text)
            if term and not re.search(r"\ba\) ", quote):
                yield from _asked(law, term, quote, draw, mark)
    for sentence in said:
        if not MIN_QUOTE <= len(sentence) <= MAX_QUOTE or re.search(r"(^|\s)1\. |\ba\) ", sentence):
            continue
        who = _WHO.match(sentence)
        if who and not _NO_TERM.match(who["term"]):
            thing = who["term"]
            thing = thing[0].lower() + thing[1:] if _PREDICATE.search(thing) else thing
            yield Asked("definition", f"Wer ist nach {law.dative} {thing}?", sentence, "term:" + thing.lower())
            continue
        term = _term_of(sentence, _SENTENCES, whole=True) if _HINT.search(sentence) else ""
        term = term or (_bracketed(sentence) if "(" in sentence else "")
        if term:
            yield from _asked(law, term, sentence, draw)


def _bracketed(sentence: str) -> str:
    """The one word that a bracket of the sentence defines, or "" where there is none or more."""
    found = [(m["term"], sentence[: m.start()]) for m in _BRACKET.finditer(sentence)]
    if len(found) != 1:
        return ""
    term, before = found[0]
    # The same ending on both is a case other than the nominative: `des Gerichts (Notars)`, `den Namen (Ehenamen)`.
    genitive = " " not in term and term[-1] in "sn" and before.endswith(term[-1])
    last = before.split()[-1].lower()
    known = _NO_TERM.match(term.split()[-1]) or _NO_TERM.match(term.split()[0])
    return "" if len(term) < 6 or known or genitive or (last in term.lower() and len(last) > 4) else term


def _term_of(text: str, shapes: list[re.Pattern[str]], *, whole: bool = False) -> str:
    """The term that the first fitting shape finds; "" where none fits or the predicate is no definition."""
    for number, shape in enumerate(shapes):
        match = shape.match(text)
        if not match:
            continue
        term, rest = match["term"].strip(), match["rest"] or ""
        if number >= 5 and _PREDICATE.search(term):
            return ""
        if _NO_TERM.match(term.split()[-1]) or _NO_TERM.match(term.split()[0]) or len(term) < 4:
            return ""
        # `Unterlagen im Sinne des Absatzes 1 sind der Behörde vorzulegen` is a duty, no definition.
        duty = re.search(r"(\bzu \w+(en|n)|\w+zu\w+(en|n)|\bnicht\b.{0,40})\.?$", rest)
        if whole and number != 3 and (duty or (number == 0 and not _defines(rest))):
            return ""
        return term
    return ""


def _defines(rest: str) -> bool:
    """Whether what follows `ist` names a thing: it begins with a noun or a determiner, and has a relative clause or
    ends in a noun."""
    if re.match(r"(nicht|auch|zu|nur auf|von|mit|bei|nach|in|im|durch|dem|den|entsprechend)\b", rest):
        return False
    last = re.sub(r"[^\w]+$", "", rest).split()[-1:]
    return bool(re.match(rf"(?:{_KIND}|[A-ZÄÖÜ]|\w+e[rn]?\b)", rest)) and (
        "," in rest or bool(last and last[0][0].isupper())
    )


def _asked(law: Named, term: str, quote: str, draw: Draw, item: str = "") -> Iterator[Asked]:
    if MIN_QUOTE <= len(quote) <= MAX_QUOTE and len(term) <= 60 and not re.search(r"\d|\(|\.$", term):
        form = draw.pick(_FORMS)
        question = form.format(term=term, nominative=law.nominative, dative=law.dative)
        yield Asked("definition", question, quote, "term:" + term.lower(), item)
