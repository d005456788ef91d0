"""German of legal questions: how a law is named, where a sentence's verb stands, what its references mean.

A statement becomes a question by inversion: what stands before the finite verb goes behind it (`Der Antrag ist binnen
eines Monats zu stellen` -> `Innerhalb welcher Frist ist der Antrag zu stellen?`). What cannot be turned safely gives
None: a question less is better than a wrong one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .statutes_parse import Law

MAX_QUESTION = 240


class Asked(NamedTuple):
    """A question found by a rule: `subject` is what it asks for (two of one subject in a law are ambiguous).

    `quote` stands verbatim in the paragraph (or is the section's title); `item` is the mark of the list item cited.
    """

    kind: str
    question: str
    quote: str
    subject: str
    item: str = ""


class Named(NamedTuple):
    """`das BGB`, `dem BGB`, `des BGB`; or `dieses Gesetz`, … where the gender of the abbreviation is not sure."""

    nominative: str
    dative: str
    genitive: str


_WORDS = re.compile(
    r"(gesetzbuch|gesetz|verordnung|ordnung|bekanntmachung|vertrag|erla(?:ss|ß)|abkommen|richtlinie|satzung)"
    r"(e?s)?(?![a-zäöüß])"
)
_THIS = {
    "gesetzbuch": ("Gesetzbuch", "n"), "gesetz": ("Gesetz", "n"), "verordnung": ("Verordnung", "f"),
    "ordnung": ("Ordnung", "f"), "bekanntmachung": ("Bekanntmachung", "f"), "vertrag": ("Vertrag", "m"),
    "erlass": ("Erlass", "m"), "erlaß": ("Erlass", "m"), "abkommen": ("Abkommen", "n"),
    "richtlinie": ("Richtlinie", "f"), "satzung": ("Satzung", "f"),
}  # fmt: skip
_ENDS = {"G": "gesetz", "GB": "gesetzbuch", "V": "verordnung", "VO": "verordnung", "O": "ordnung"}


def named(law: Law) -> Named:
    """How sentences name the law: by its abbreviation where its ending tells the gender, else `dieses Gesetz`."""
    word = _WORDS.search(law.title.lower())
    noun, gender = _THIS[word[1]] if word else ("Regelwerk", "n")
    letters = re.sub(r"[\s\d./-]+$", "", law.abbreviation)
    ending = next((e for e in ("GB", "VO", "G", "V", "O") if letters.endswith(e)), "")
    if word and ending and word[1].endswith(_ENDS[ending]) and re.fullmatch(r"[\w.-]+( \d{1,4})?", law.abbreviation):
        return Named(
            *(f"{a} {law.abbreviation}" for a in (("das", "dem", "des") if gender == "n" else ("die", "der", "der")))
        )
    ends = {"n": ("s", "m", "s"), "f": ("", "r", "r"), "m": ("r", "m", "s")}[gender]
    of = {"n": "es", "m": "es", "f": ""}[gender] if noun not in ("Abkommen", "Regelwerk", "Gesetzbuch") else ""
    of = {"Abkommen": "s", "Regelwerk": "s", "Gesetzbuch": "s", "Vertrag": "s"}.get(noun, of)
    return Named(*(f"diese{e} {noun}{of if i == 2 else ''}" for i, e in enumerate(ends)))


def cited(number: str) -> str:
    """A section as citations have it: `Art 3` -> `Art. 3`."""
    return re.sub(r"^Art ", "Art. ", number)


# ---- the finite verb -----------------------------------------------------------------------------------------------

_FINITE = """
    ist sind war hat haben wird werden kann können muss muß müssen soll sollen darf dürfen gilt gelten beginnt
    beginnen endet enden endigt dauert dauern beträgt betragen erlischt erlöschen tritt treten entscheidet
    entscheiden erfolgt erfolgen besteht bestehen legt legen gibt geben erstreckt bestimmt bestimmen verjährt
    verjähren erstattet erstatten stellt stellen teilt teilen berichtet berichten unterrichtet unterrichten löscht
    löschen macht übermittelt übermitteln wirkt erstellt erstellen beruft überprüft überprüfen informiert
    informieren trifft treffen fordert steht stehen weist verlängert verlängern setzt setzen prüft prüfen beschließt
    beschließen läuft laufen enthält umfasst umfaßt haftet bleibt bleiben nimmt nehmen leitet veröffentlicht
    veröffentlichen entfällt entfallen erklärt bestätigt erteilt erteilen bildet ersucht meldet melden ergreift
    ergeht obliegt richtet richten erlässt fällt hebt übersendet übersenden überweist überweisen bezieht liegt
    bedarf bedürfen verkürzt verliert bestellt benennt benennen unterbleibt übernimmt vereinbaren vereinbart zeigt
    zeigen schuldet führt führen verfällt verfallen ruht fertigt veranlasst wählt wählen zahlt zahlen hält findet
    finden lädt
"""
FINITE = frozenset(_FINITE.split())
# A question about these would ask for something that another sentence named.
_ANAPHORIC = re.compile(
    r"^(Er|Sie|Es|Ihm|Ihr\w*|Sein\w*|Dies\w*|Dabei|Hier\w*|Da(für|zu|rüber|von|durch|nach|ran|raus|mit|bei)?|Dann"
    r"|Jene\w*|"
    r"Letzter\w*|Beide|Solche\w*|De(r|m|s)selbe\w*|Das (Gleiche|gleiche|Nähere)|Gleiches|Ebenso|Auch|Sodann|Danach"
    r"|Satz|"
    r"Absatz|Nummer|In diese[mnr]\w*|Im Übrigen|Im übrigen|Bis dahin|Jedoch|Nach diese\w+|Zugleich|Die(se)? Sätze"
    r"|Dasselbe|"
    r"Abweichend|Erfolgt|Anderenfalls|Andernfalls|Sonst|Insoweit|Zudem|Außerdem|Daneben|Darüber|Zuvor|Stets|Demnach"
    r"|Folglich|Somit|Soweit dies|Ansonsten|Wird|Ist|Hat|Sind|Werden|Kann|"
    r"Unbeschadet|In den Fällen (der Nummer|von Satz|des Satzes)|Im Fall(e)? (der Nummer|des Satzes|von Satz))\b"
)
_LOWER = re.compile(
    r"(De[rmns]|Die|Das|Ein\w{0,2}|Kein\w{0,2}|Jede\w?|Alle|Bei|Beim|In|Im|Ins|An|Am|Auf|Aus|Nach|Für|Über|Gegen|Mit|"
    r"Vor|Von|Vom|Zu|Zum|Zur|Unter|Um|Während|Wegen|Durch|Ohne|Innerhalb|Außerhalb|Sobald|Soweit|Sofern|Wenn|Falls|"
    r"Spätestens|Ferner|Gehört|Entsprechend|Zwischen|Ab|Bis|Als|Hinsichtlich|Solange|Zuständig|Binnen|Frühestens|"
    r"Jeweils|Gemäß|Seit|Statt|Mindestens|Längstens|Höchstens|Sämtliche|Anstelle|Anhand|Aufgrund|Neben|Trotz"
    r"|Mittels|Vorbehaltlich|Einschließlich|Erstmals|Gegenüber|Unverzüglich|Hinter|Infolge|Zugunsten"
    r"|Zuständige[rs]?|Jedermann|Jeweilige|Entgegen|Mehrere|Zwei|Drei|Vier)"
)
PRONOUN = re.compile(r"^(sie|er|es|ihm|ihr|ihnen|ihn|diese\w?|dies|sich (dies|er|sie|es)|hierzu|hiervon|dazu|davon)\b")


def lowered(phrase: str) -> str | None:
    """The beginning of a sentence as it reads in its middle; None where it may be an adjective or a noun."""
    first, _, rest = phrase.partition(" ")
    if not rest and re.search(
        r"(bar|lich|ig|isch|sam|los|haft|frei|end|weise|falls|mals|iert|zu\w+en|^Ge\w+t)$", first
    ):
        return None  # `Bedenklich ist …`: a predicate
    if _LOWER.fullmatch(first):
        return first[0].lower() + first[1:] + (" " + rest if rest else "")
    if rest and rest[0].islower() and re.search(r"(lich|isch|bar)$", first):
        return first[0].lower() + phrase[1:]  # `Persönlich haftende Gesellschafter`
    # `Zuständige Behörde` and `Anträge Minderjähriger` look alike.
    if rest and rest[0].isupper() and re.search(r"(e|en|er|es|em)$", first):
        return None
    return phrase


def inverted(sentence: str) -> tuple[str, str, str] | None:
    """(before, verb, after) of a main clause with the finite verb in second place; None where that is not sure."""
    if _ANAPHORIC.match(sentence) or sentence[:1].islower():
        return None
    words = re.compile(r"\S+")
    depth = 0
    for match in words.finditer(sentence):
        word = match[0]
        if match.start() and word in FINITE and not depth:
            before, after = sentence[: match.start()].rstrip(), sentence[match.end() :].strip()
            commas = before.count(",")
            relative = re.search(r", (de[rmns]|die|das|dessen|deren|denen|für die|bei de[rn]) [^,]+,$", before)
            if commas and not (commas == 2 and relative):
                continue
            if before.count("„") != before.count("“") or PRONOUN.match(after):
                return None
            low = lowered(before)
            return None if low is None else (low, word, after)
        depth += word.count("(") - word.count(")")
    return None


# ---- references ----------------------------------------------------------------------------------------------------

_OPEN_REFERENCE = re.compile(
    r"(?<![\d a-z]\. )\b(Satz|Sätze\w*|Satzes|Nummer|Nummern|Nr\.|Buchstabe\w?|Halbsatz)\b|\bAbsätze|"
    r"\b(Vorstehend|vorstehend|vorgenannt|dort genannt|oben genannt|nachstehend|vorbezeichnet|genannte Frist"
    r"|diese[rmsn]? )"
)


def resolved(text: str, section: str) -> str | None:
    """References to `Absatz 1` with their section (`§ 26 Absatz 1`); None where another text is needed to read them."""
    name = cited(section)
    # `§ 19 Absatz 1, auch in Verbindung mit Absatz 3`: the Absatz of the section before, not of this one.
    foreign = re.search(r"(§§?|Art(ikels?|\.)) ?\d", text)
    head, tail = (text[: foreign.start()], text[foreign.start() :]) if foreign else (text, "")
    if re.search(r"(?<!Verbindung mit )(?<!\d )(?<!\d[a-z] )\b(des Absatzes|den Absätzen|der Absätze) \d", tail):
        return None
    out = re.sub(r"\b([Dd])es Absatzes (?=\d)", rf"\1es {name} Absatz ", head)
    out = re.sub(r"\b(nach|gemäß|von|zu|in|aus|mit) (?:den )?Absätzen (?=\d)", rf"\1 {name} Absatz ", out)
    out = re.sub(r"\bder Absätze (?=\d)", f"des {name} Absatz ", out)
    out = re.sub(rf"(?<!{re.escape(name)} )\bAbs(?:atz|\.) (?=\d)", f"{name} Absatz ", out) + tail
    out = out.replace(f"{name} {name}", name)
    for match in _OPEN_REFERENCE.finditer(out):
        word = match[0].strip()
        # `§ 3 Absatz 1 Satz 2` names its section; `Satz 2` alone does not.
        if word.startswith(("Satz", "Nummer", "Nr.", "Buchstabe", "Halbsatz")):
            before = out[max(0, match.start() - 40) : match.start()]
            if re.search(r"(§§? ?\d+[a-z]*|Art(ikels?|\.) \d+[a-z]*|Absatz \d+[a-z]?|Abs\. \d+[a-z]?)[^,;]*$", before):
                continue
        if re.match(r"diese", word):
            follows = out[match.end() :]
            if re.match(r"(Gesetz|Verordnung|Vertrag|Ordnung|Buch)", follows):
                continue
        return None
    return out


def polished(question: str) -> str | None:
    """One blank between words, none before marks, a question mark at the end; None for what cannot be a question."""
    text = " ".join(question.split()).rstrip(" .;,:")
    text = re.sub(r" ([,;.)])", r"\1", text)
    # Where a phrase was taken out between commas, one is too many.
    text = re.sub(r",\s*,", ",", text) + "?"
    bad = re.search(
        r"(^|\s)\d{1,2}[a-z]?\. |:|\?.|\s[-–]\s\d|\.\.|\(\)|\[|„[^“]*$|_|;|\b(und|oder|sowie|aber|nur|sich|dass|daß"
        r"|als|zu|in|mit|auf|bis|von|um|über)\?$",
        text,
    )
    if bad or len(text) > MAX_QUESTION or text.count("(") != text.count(")"):
        return None
    return text
