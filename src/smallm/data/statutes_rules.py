"""Fines, penalties and titles in German laws: the questions that they answer.

Each rule gives `Asked`: the question, and the sentence, list item or title that answers it. Deadlines and the like are
statutes_statements.py's, definitions statutes_definitions.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .statutes_definitions import MAX_QUOTE, MIN_QUOTE
from .statutes_german import Asked, Named, cited, polished, resolved
from .statutes_parse import Paragraph, Section
from .synth.draw import Draw


def _quotable(sentence: str) -> bool:
    return MIN_QUOTE <= len(sentence) <= MAX_QUOTE and not re.search(r"(^|\s)1\. |\ba\) ", sentence)


# ---- fines and penalties -------------------------------------------------------------------------------------------

_PENALTY = r"(?:Freiheitsstrafe|Geldstrafe|Freiheitsstrafe oder Geldstrafe)"
_SANCTION = re.compile(r"Geldbuße|ordnungswidrig|Ordnungswidrig|Freiheitsstrafe|Geldstrafe")
# What these acts are stands in another paragraph.
_ELSEWHERE = re.compile(
    r"\b(die Tat|die Gefahr|den Tod|(leichtfertig|fahrlässig) (handelt|begeht)|die Handlung(en)?)\b"
)
_WHO_FIRST = re.compile(rf"^Wer (?P<act>.+?),? wird(?P<penalty> [^,]*mit [^,]*{_PENALTY}.*)bestraft\.?$")
_PENALTY_FIRST = re.compile(rf"^(?P<penalty>Mit [^,]*{_PENALTY}.*? wird (?:ebenso )?bestraft), wer (?P<act>.+?)\.?$")
_FINE_FIRST = re.compile(r"^Ordnungswidrig(?: im Sinne des (?P<sense>[^,]{4,120}?))? handelt, wer (?P<act>.*?)\.?$")
_FINED = re.compile(r"\b(?:kann|können)\b.*\bmit (?:einer )?Geldbußen?\b.*\bgeahndet werden")
_ONE_CASE = re.compile(r"^Die Ordnungswidrigkeit(?:en)? (?P<verb>kann|können) (?P<cases>(?:in den Fällen|im Falle?"
    r"|nach) [^,]+?) mit (?:einer )?Geldbuße[^,]+geahndet werden\.?$")  # fmt: skip
_IS_PENALTY = re.compile(rf"\b(?:ist|so ist) (?:die Strafe|auf) {_PENALTY}|{_PENALTY} (?:nicht unter|von [^,]+ bis zu)")


def fines(section: Section, paragraph: Paragraph, said: list[str]) -> Iterator[Asked]:
    """Questions for a fine, a penalty, or for the rule that makes an act punishable."""
    where = cited(section.number) + (f" Absatz {paragraph.number}" if paragraph.number else "")
    if not _SANCTION.search(paragraph.text):
        return
    if paragraph.items:
        yield from _listed(section, paragraph)
    for sentence in said:
        if not _quotable(sentence):
            continue
        question = _of_sentence(section, sentence, where)
        question = question and polished(question)
        if question:
            yield Asked("fine", question, sentence, question.lower())


def _of_sentence(section: Section, sentence: str, where: str) -> str | None:
    who = _WHO_FIRST.match(sentence) or _PENALTY_FIRST.match(sentence)
    if who:
        act = resolved(who["act"], section.number)
        return f"Wie wird bestraft, wer {act}" if act and (not _ELSEWHERE.search(act) or "§" in act) else None
    if "Geldbuße" in sentence and _FINED.search(sentence):
        one = _ONE_CASE.match(sentence)
        cases = one and resolved(one["cases"], section.number)
        if one and cases and "übrigen" not in cases:
            return f"Mit welcher Geldbuße {one['verb']} die Ordnungswidrigkeit {cases} geahndet werden"
        return f"Mit welcher Geldbuße kann eine Ordnungswidrigkeit nach {cited(section.number)} geahndet werden"
    fine = _FINE_FIRST.match(sentence)
    if fine and len(fine["act"]) > 20:
        return f"Wer handelt nach {where} ordnungswidrig"
    if _IS_PENALTY.search(sentence):
        return f"Welche Strafe droht nach {where}"
    return None


def _listed(section: Section, paragraph: Paragraph) -> Iterator[Asked]:
    """`Ordnungswidrig handelt, wer 1. …` asks for the item, `Wer 1. …, wird … bestraft` for the penalty."""
    lead = _FINE_FIRST.match(paragraph.lead)
    first = re.match(rf"^(?P<penalty>Mit .*{_PENALTY}.* wird bestraft), wer(?P<act>.*)$", paragraph.lead)
    last = re.match(rf"^,? ?(?P<penalty>wird [^,]*mit .*{_PENALTY}.*bestraft)\.?$", paragraph.tail)
    for mark, text in paragraph.items:
        item = re.sub(r"(?:[,;.]|,? (?:und|oder|sowie))+$", "", text)
        if not mark.endswith(".") or re.search(r"\ba\) |weggefallen", item) or len(item) < 20:
            continue
        act = resolved(item, section.number)
        question = quote = None
        if lead and act and not paragraph.tail:
            manner = f"{lead['act']} " if lead["act"] else ""
            question, quote = f"Wo steht, dass ordnungswidrig handelt, wer {manner}{act}", item
        elif first and act and not paragraph.tail:
            question, quote = f"Wie wird bestraft, wer{first['act']} {act}", first["penalty"]
        elif last and act and re.match(r"^Wer\b[^,:]*$", paragraph.lead):
            question, quote = f"Wie wird bestraft, wer {paragraph.lead[3:]} {act}", last["penalty"]
        question = question and resolved(question, section.number)
        question = question and polished(question)
        if (
            question
            and quote
            and ("§" in question or not _ELSEWHERE.search(question))
            and MIN_QUOTE <= len(quote) <= MAX_QUOTE
        ):
            yield Asked("fine", question, quote, question.lower(), mark)


# ---- titles --------------------------------------------------------------------------------------------------------

_BY_TITLE = (
    "Welche Vorschrift {genitive} trägt die Überschrift „{title}“?", "Wo regelt {nominative} das Thema „{title}“?",
    "In welcher Vorschrift geht es um „{title}“?", "Wo steht etwas zum Thema „{title}“?",
)  # fmt: skip
_BY_NUMBER = (
    "Worum geht es in {number}?", "Was regelt {number} {genitive}?", "Wie lautet die Überschrift von {number}?",
    "Wovon handelt {number} {genitive}?",
)  # fmt: skip


def titles(law: Named, section: Section, draw: Draw) -> Iterator[Asked]:
    """Which section a title belongs to, or what the title of a section is: one of the two, as drawn."""
    title = section.title
    if (
        not 8 <= len(title) <= 120
        or re.search(r"[„“\"\[\]:;]|\(\D*$|^\W|\bund$", title)
        or title.count("(") != title.count(")")
    ):
        return
    words = {"title": title, "number": cited(section.number), "nominative": law.nominative, "genitive": law.genitive}
    if draw.chance(1, 2):
        yield Asked("title", draw.pick(_BY_TITLE).format(**words), title, "title:" + title.lower())
    else:
        yield Asked("title", draw.pick(_BY_NUMBER).format(**words), title, "number:" + section.number)
