"""Statements of German laws turned into questions: a deadline, an amount, a condition, who it is that must or may.

Each sentence gives one question at most, the first of these that it answers. The grammar that turns a sentence into a
question is statutes_german.py's; the answer is the sentence, or its part before a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .statutes_definitions import MAX_QUOTE, MIN_QUOTE
from .statutes_german import FINITE, PRONOUN, Asked, inverted, polished, resolved
from .statutes_parse import Section

_COUNT = (
    r"(?:eine[mnrs]?|ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|dreizehn|vierzehn|fünfzehn|sechzehn|"
    r"achtzehn|zwanzig|einundzwanzig|vierundzwanzig|dreißig|vierzig|fünfzig|sechzig|neunzig|hundert|"
    r"achtundvierzig|zweiundsiebzig|\d+)(?: (?:und|bis) (?:ein|\d+|\w+))?"
)
_UNIT = (
    r"(?:(?:Kalender|Werk|Arbeits|Kalender|Börsen|Bank|Geschäfts|Ausbildungs)?(?:[Tt]ag(?:e|en|es|s)?|[Ww]oche(?:n)?|"
    r"[Mm]onat(?:s|e|en|es)?|[Jj]ahr(?:s|e|en|es)?)|Stunden?|Minuten?)"
)
_SPAN = rf"{_COUNT} (?:vollen |weiteren |ganzen |aufeinanderfolgenden )?{_UNIT}\b"
_MONTHS = r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)"
_DAY = (
    rf"\d{{1,2}}\. {_MONTHS}(?: (?:\d{{4}}|eines jeden (?:Kalender)?[Jj]ahres|jeden (?:Kalender)?[Jj]ahres"
    rf"|jedes Jahres|"
    r"des (?:(?:auf|dem) [^,]{3,60}? )?(?:folgenden |nachfolgenden |darauffolgenden |jeweiligen |laufenden |nächsten )?"
    r"(?:Folge|Vor|Kalender|Haushalts|Bei|Wirtschafts)?[Jj]ahres))?"
)
_HEDGE = r"(?:(?:jeweils|spätestens|jedoch|längstens|mindestens|höchstens|grundsätzlich|in der Regel|erst|nur) )*"
# Phrase that is taken out of the sentence, and what the question opens with.
_DEADLINES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"(?<!erst ){_HEDGE}(?:innerhalb|binnen) (?:von |(?:einer |der )?(?:Ausschluss"
        rf"|Ausschluß)?[Ff]rist von )?{_SPAN}"),
     "Innerhalb welcher Frist"),
    (re.compile(rf"{_HEDGE}bis (?:spätestens )?(?:zum Ablauf des |zum |spätestens am ){_HEDGE}{_DAY}"), "Bis wann"),
    (re.compile(rf"spätestens (?:zum|am|bis zum) {_DAY}"), "Bis wann"),
    (re.compile(rf"(?:auf|für) (?:die Dauer von |eine Dauer von |einen Zeitraum von |den Zeitraum von "
        rf"|jeweils )?{_HEDGE}{_SPAN}"
                r"(?= (?:[a-zäöüß]+ ){0,2}(?:gewählt|bestellt|berufen|ernannt|erteilt|befristet|bestimmt|gewährt"
                r"|festgesetzt))"),
     "Für welche Dauer"),
    (re.compile(rf"(?:mindestens |für mindestens |(?:für )?die Dauer von (?:mindestens )?|für )?{_SPAN}(?: lang)?"
                r"(?=(?: (?:nach|ab|seit) [^,]{3,80})? (?:auf(?:zu)?bewahr(?:en|t)|zu speichern|bereitzuhalten"
                r"|vorzuhalten|gespeichert))"),
     "Wie lange"),
    (re.compile(rf"(?:bis )?spätestens {_SPAN} (?:vor|nach|ab) [^,;]+?(?= (?:schriftlich |elektronisch |nachweislich )?"
                r"(?:zu [a-zäöüß]+en|[a-zäöüß]+zu[a-zäöüß]+en|[a-zäöüß]+(?:t|en)(?: (?:werden|worden sein|sein"
                r"|haben))?)\.?$)"),
     "Bis wann spätestens"),
)  # fmt: skip
_CONDITION = re.compile(r", (?:wenn|soweit|sofern|falls)\b")
# `soweit nichts anderes bestimmt ist` tells nobody when.
_VERBS = "|".join(sorted(FINITE, key=lambda verb: (-len(verb), verb)))
# The condition first, as a clause or by its verb: `Wenn …, ist …`, `Ist …, so kann …`.
_IF_FIRST = re.compile(
    rf"^(?P<condition>(?:Wenn|Soweit|Sofern|Falls|Ist|Sind|Hat|Haben|Wird|Werden|Kann|Können|Liegt|Liegen|Besteht"
    rf"|Bestehen|"
    r"Erfolgt|Ergibt|Stellt|Tritt|Kommt|Erhält|Erklärt|Beantragt|Verletzt|Macht|Verlangt|Fehlt|Entfällt|Stirbt|Gehört|"
    r"Befindet|Betrifft|Unterlässt|Überschreitet|Übersteigt|Endet|Erlischt|War|Bedarf|Hält|Nimmt|Legt)\b [^,]+"
    rf"(?:, (?:de[rmns]|die|das|dessen|deren) [^,]+)?), (?:so )?(?P<verb>{_VERBS}) (?P<rest>[^,]+)$"
)
_SINGULAR = {
    "hat": "hat", "haben": "hat", "kann": "kann", "können": "kann", "darf": "darf", "dürfen": "darf", "soll": "soll",
    "sollen": "soll", "muss": "muss", "müssen": "muss", "muß": "muss",
}  # fmt: skip
# Who acts, in the nominative: a person or an authority, with at most a genitive and a place behind.
_ACTOR = re.compile(
    r"(?:der|die|das|eine?|jede[rs]?|alle)? ?(?:[a-zäöüß-]+(?:e|er|es|en) ){0,2}"
    r"(?!(?:\w*(?:dauer|steuer|nummer|register|muster|güter|zimmer|alter|wasser|faktor|termin|schein|papier|mittel)"
    r"|Dauer|"
    r"Termin|Steuer|Nummer|Kinder|Tiere?r?|Mittag|Feiertag|Ver?trag|Antrag|Betrag|Beitrag|Auftrag|Tag|Güter|Alter"
    r"|Ort)\b)"
    r"[A-ZÄÖÜ][\w-]*(?:er|or|in|innen|behörden?|amt|"
    r"ministerium|gericht|regierung|stellen?|anstalt|kassen?|rat|ausschuss|ausschuß|träger|kommission|agentur|bank|"
    r"verband|verbände|kammern?|person|personen|ende|vorstand|gesellschaft|versammlung|beauftragte|länder|land|senat|"
    r"unternehmen|verwalter|präsident|notar|ehegatte|erbe|Bundestag|anwalt|bund)(?: (?:de[rs]|für|von|im|oder"
    r"|und) [^,(]{3,60})?"
)
_FORMULA = re.compile(r"\b([Aa]nderes|[Aa]bweichend\w*|Abweichung\w*|[Bb]esonderes|dies|andere Vorschriften)\b")
_COMPLETE = {
    "hat": "zu", "haben": "zu", "kann": "en", "können": "en", "darf": "en", "dürfen": "en", "soll": "en",
    "sollen": "en", "muss": "en", "müssen": "en", "muß": "en", "wird": "t", "werden": "t", "ist": "", "sind": "",
}  # fmt: skip
_AMOUNT = re.compile(
    r"(?:(?:mindestens|höchstens|jeweils|bis zu|insgesamt|jährlich|monatlich) )*\d[\d .,]*(?: Millionen| Milliarden)? "
    r"(?:Euro|Cent|Deutsche Mark|Prozent|vom Hundert|v\. H\.|Prozentpunkte)(?: (?:jährlich|monatlich))?(?=$|[\s.,])"
)
_IN_SPAN = re.compile(rf"^in {_HEDGE}{_SPAN}")
_LENGTH = re.compile(rf"^(?P<before>.*?)(?<!um )(?<!mehr als ){_HEDGE}(?P<span>{_SPAN})(?P<after>.*)$")
_SPANS = re.compile(rf"\b{_SPAN}|\d{{1,2}}\. {_MONTHS}")


def statements(section: Section, said: list[str]) -> Iterator[Asked]:
    """Questions for a period or a date (deadline), a sum or share (amount), when a rule holds (condition), and who it
    binds (who). A sentence that states two periods or two sums is not asked for them.
    """
    for sentence in said:
        clause = sentence.split("; ")[0].rstrip(";")
        if not MIN_QUOTE <= len(clause) <= MAX_QUOTE or re.search(r"\ba\) ", clause):
            continue
        kind, asked = _question(clause)
        asked = asked and resolved(asked, section.number)
        question = asked and polished(asked)
        if question and len(question.split()) >= 6:
            yield Asked(kind, question, clause, question.lower())


def _question(clause: str) -> tuple[str, str | None]:
    """(kind, question without its mark), or None for the question where no rule fits."""
    spans, listed = len(_SPANS.findall(clause)), re.search(r"(^|\s)1\. ", clause)
    bare = clause.rstrip(".")
    first = _IF_FIRST.match(bare) if not listed else None
    if first:
        return "condition", _consequence(first["verb"], first["rest"], first["condition"])
    parts = inverted(bare)
    if parts is None:
        return "", None
    if spans == 1 and not listed:
        asked = _length(*parts) or _period(*parts)
        if asked:
            return "deadline", asked
    if not spans and not listed and parts[1] in ("beträgt", "betragen"):
        return "amount", _amount(*parts)
    if _CONDITION.search(clause):
        return "condition", _condition(*parts)
    return "who", _who(*parts) if not listed else None


def _condition(before: str, verb: str, after: str) -> str | None:
    """`Die Erlaubnis ist zu versagen, wenn …` -> `Wann ist die Erlaubnis zu versagen`."""
    found = _CONDITION.search(after)
    rest = after[: found.start()] if found else ""
    said = f"{before} {rest}"
    if (
        not rest
        or "," in said
        or len(said.split()) < 4
        or re.search(r"\b(auch|gleiche|ebenfalls|ebenso|weder)\b", said)
    ):
        return None
    if not found or _FORMULA.search(after[found.start() :]) or not _complete(verb, rest):
        return None
    rest = re.sub(
        r"\b(nur dann|nur|erst|insbesondere|ferner|jedoch|dann|in der Regel|aber|allerdings|zudem)\b ?", "", rest
    )
    opening = "Unter welcher Voraussetzung" if verb in ("darf", "dürfen", "kann", "können") else "Wann"
    return f"{opening} {verb} {before} {rest}"


def _consequence(verb: str, rest: str, condition: str) -> str | None:
    """`Ist die Forderung fällig, so kann der Gläubiger …` -> `Wann kann der Gläubiger …`."""
    if PRONOUN.match(rest) or _FORMULA.search(condition) or len(rest.split()) < 4 or not _complete(verb, rest):
        return None
    if re.search(
        r"\b(auch|gleiche|ebenfalls|ebenso|weder|insoweit|stattdessen|sie|er|es|ihm|ihn|ihnen|dessen|deren)\b", rest
    ):
        return None
    rest = re.sub(r"\b(nur dann|nur|erst|dann|jedoch|in der Regel|aber|zudem)\b ?", "", rest)
    opening = "Unter welcher Voraussetzung" if verb in ("darf", "dürfen", "kann", "können") else "Wann"
    return f"{opening} {verb} {rest}"


def _who(before: str, verb: str, after: str) -> str | None:
    """`Die zuständige Behörde kann die Erlaubnis widerrufen` -> `Wer kann die Erlaubnis widerrufen`."""
    singular = _SINGULAR.get(verb)
    if not singular or not _ACTOR.fullmatch(before) or not _complete(verb, after):
        return None
    ends = _COMPLETE.get(verb)
    # `Der Behörde ist … vorzulegen`: no subject. `Die Behörde wird ermächtigt`: what for, not who.
    if ends in ("", "t") or "," in after or len(after.split()) < 4 or len(after) > 190:
        return None
    if re.search(r"\b(ihre?[mnrs]?|ihnen|auch|sie|er|es|dies\w*|ebenfalls)\b", after):
        return None
    after = re.sub(r"\b(jedoch|ferner|insbesondere|aber|zudem|außerdem|allerdings) ", "", after)
    return f"Wer {singular} {after}"


def _complete(verb: str, rest: str) -> bool:
    """Whether a clause with this finite verb ends with `rest`, as seen from its last word: `… zu | zahlen`."""
    last = rest.split()[-1]
    kind = _COMPLETE.get(verb)
    if kind is None:
        return True
    if kind == "":
        return last[0].islower() or bool(re.match(r"(k?ein|kein) ", rest))
    # `hat … zu zahlen`, `hat … vorzulegen`, `kann … erteilt werden`, `wird … übernommen`
    return last[0].islower() and bool(re.search(r"(en|rn|ln|un|t|ein)$", last)) and (kind != "zu" or "zu" in rest)


def _amount(before: str, verb: str, after: str) -> str | None:
    """`Die Gebühr beträgt 50 Euro` -> `Wie hoch ist die Gebühr`."""
    found = list(_AMOUNT.finditer(after))
    if verb not in ("beträgt", "betragen") or len(found) != 1 or "," in after[: found[0].start()]:
        return None
    rest = after[found[0].end() :].strip()
    before = re.sub(r" (jedoch|allerdings)$", "", before)
    if re.search(r"\b(jedoch|allerdings)\b", after):
        return None
    if re.search(r"Jahr \d{4} \d|\d bis \d|\bund (ist|sind|wird|werden|kann)\b", after):
        return None
    if re.match(r"de[rs] ", rest):
        part = re.search(r"Prozent|vom Hundert", found[0][0])
        return (
            f"Wie viel {part[0]} {rest} {verb} {before} {after[: found[0].start()]}"
            if part and "," not in rest
            else None
        )
    if re.match(r"(die|der) (Höhe|Satz)\b", before):
        return f"Was gilt für die Höhe{before[8:]} {rest}" if before.startswith("die Höhe") else None
    is_ = "ist" if verb == "beträgt" else "sind"
    return f"Wie hoch {is_} {before} {after[: found[0].start()]}{after[found[0].end() :]}"


def _length(before: str, verb: str, after: str) -> str | None:
    """`Die Amtszeit beträgt drei Jahre` -> `Wie lang ist die Amtszeit`; lasts and limitation likewise."""
    if verb in ("beträgt", "betragen", "dauert", "dauern"):
        found = _LENGTH.match(after)
        thing = f"{before} {found['before'] if found else ''}"
        timed = re.search(r"(frist|dauer|zeit|Frist|Dauer|Zeit|zeitraum|periode|zeiten|fristen)\b", thing)
        if not found or (not timed and verb in ("beträgt", "betragen")):
            return None
        is_ = {"beträgt": "Wie lang ist", "betragen": "Wie lang sind"}.get(verb, f"Wie lange {verb}")
        return f"{is_} {before} {found['before']}{found['after']}"
    if verb in ("verjährt", "verjähren") and _IN_SPAN.match(after):
        return f"In welcher Frist {verb} {before} {_IN_SPAN.sub('', after)}"
    return None


def _period(before: str, verb: str, after: str) -> str | None:
    for phrase, opening in _DEADLINES:
        found = phrase.search(after)
        # Behind a comma the period belongs to another clause.
        if found and "," not in after[: found.start()]:
            return f"{opening} {verb} {before} {after[: found.start()]}{after[found.end() :]}"
        if phrase.match(before[:1].upper() + before[1:]) or phrase.match(before):
            rest = phrase.sub("", before, count=1).strip()
            # `Innerhalb eines Monats nach Zugang` stays behind the verb: `… nach Zugang`.
            return f"{opening} {verb} {after} {rest}" if not rest else None
    return None
