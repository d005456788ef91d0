"""Scores of answers to open-book legal questions: the section cited, the words quoted, refusals.

An answer is `„quote“ (§ 5 Abs. 2 BGB)` or the refusal of data/statutes.py. Only a whole citation counts; the quote is
measured by F1 of its words (text_metrics.word_f1 with German rules); refusing is scored as a yes-or-no question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from smallm.data.statutes import REFUSAL
from smallm.evaluate.text_metrics import normalise, word_f1

_CITED = re.compile(
    r"(?:(?P<article>Art(?:ikel|\.)?)\s*(?P<number>\d+\s?[a-z]{0,2})(?![\w])\s*)?"
    r"(?:§+\s*(?P<section>\d+\s?[a-z]{0,2})(?!\w)\s*)?"
    r"(?:,?\s*Abs(?:atz|\.)?\s*(?P<paragraph>\d+[a-z]{0,2})(?!\w)\s*)?"
    r"(?:,?\s*(?:Nummer|Nr\.?)\s*(?P<item>\d+[a-z]{0,2})(?!\w)\s*)?"
    r"(?:,?\s*(?:Buchstabe|Buchst\.?|lit\.?)\s*(?P<letter>[a-z]{1,3})(?!\w)\s*)?"
)
Citation = tuple[str, str, str, str, str, str]


def parse_citation(text: str) -> Citation | None:
    """(article, section, paragraph, number, letter, law) of the last citation in the text; None where there is none.

    `§5 Absatz 2 BGB` and `§ 5 Abs. 2 BGB` are the same. The law is what follows, to a bracket, comma or full stop.
    """
    found: Citation | None = None
    for match in _CITED.finditer(text):
        if not match["number"] and not match["section"]:
            continue
        law = re.match(r"[^()„“\",;\n]*", text[match.end() :])
        parts = [match[name] or "" for name in ("number", "section", "paragraph", "item", "letter")]
        numbers = [re.sub(r"\s", "", part).lower() for part in parts]
        name = " ".join((law[0] if law else "").split()).rstrip(". ")
        found = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], name)
    return found


def split_answer(text: str) -> tuple[str, str]:
    """(quote, citation) of `„quote“ (citation)`: the last bracket with a citation, and what stands before it.

    Without such a bracket all is quote, but for the citation at its end.
    """
    text = text.strip()
    for match in reversed(list(re.finditer(r"\((?=[^()]*(?:§|Art))(?P<inside>[^()]*)\)?", text))):
        before = text[: match.start()].strip()
        return before.strip("„“”\"» «'"), match["inside"].strip()
    plain = re.search(r"(?:§|\bArt\.?\s*\d)[^§]*$", text)
    if plain and (plain.start() == 0 or text[: plain.start()].rstrip().endswith(("“", "”", '"', ":", "–", "-"))):
        return text[: plain.start()].strip(' –-:„“”"'), plain[0]
    return text.strip("„“”\"» «'"), ""


def refuses(prediction: str) -> bool:
    """Whether the answer says that the text does not tell: its first sentence is the refusal, in any case or marks."""
    wanted = normalise(REFUSAL, "de")
    said = normalise(prediction, "de")
    return said == wanted or said.startswith(wanted + " ")


def score_answer(prediction: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """`citation`, `f1` and `refused` of one answer to a record of data/statutes.py.

    citation: 1 when section, paragraph, number and letter are those of the record's citation, else 0; the law may be
    left out, but not be another. f1: F1 of the bags of words of the quotes (SQuAD's, without its English articles).
    refused: whether the answer is the refusal. An answerable record that is refused scores 0 and 0. Of an
    unanswerable one, where nothing is to be cited or quoted, citation and f1 are 1 when it is refused, else 0.
    """
    refused = refuses(prediction)
    if not record["answerable"]:
        return {"citation": int(refused), "f1": float(refused), "refused": refused}
    if refused:
        return {"citation": 0, "f1": 0.0, "refused": True}
    quote, cited = split_answer(prediction)
    said, wanted = parse_citation(cited), parse_citation(str(record["citation"]))
    right = said is not None and wanted is not None and said[:5] == wanted[:5]
    same_law = said is not None and said[5].lower() in ("", str(record["law"]).lower())
    return {
        "citation": int(right and same_law),
        "f1": word_f1(_unquoted(quote), [_unquoted(str(record["quote"]))], "de"),
        "refused": False,
    }


def _unquoted(text: str) -> str:
    """Without the quotation marks that are not ASCII: SQuAD's normalisation removes only those that are."""
    return re.sub(r"[„“”»«]", "", text)


def refusal_figures(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | int]:
    """Precision, recall and F1 of refusing, over rows with `refused` and `answerable`; `n` is their number.

    precision: of the answers that refuse, the share whose record is unanswerable (0 when none refuses).
    recall: of the unanswerable records, the share that is refused (0 when there is none).
    f1: their harmonic mean, 0 when both are 0.
    """
    both = [(bool(row["refused"]), not row["answerable"]) for row in rows]
    right = sum(refused and hidden for refused, hidden in both)
    refused, hidden = sum(r for r, _ in both), sum(h for _, h in both)
    precision = right / refused if refused else 0.0
    recall = right / hidden if hidden else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "n": len(both)}


def statutes_figures(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | int]:
    """The report's figures of scored rows (score_answer's fields and `answerable`).

    citation_exact and quote_f1 are means over the answerable rows alone; refusal_* are refusal_figures over all.
    """
    rows = list(rows)
    known = [row for row in rows if row["answerable"]]
    refusal = refusal_figures(rows)
    return {
        "citation_exact": sum(row["citation"] for row in known) / len(known) if known else 0.0,
        "quote_f1": sum(row["f1"] for row in known) / len(known) if known else 0.0,
        **{f"refusal_{name}": refusal[name] for name in ("precision", "recall", "f1")},
        "answerable": len(known),
        "n": len(rows),
    }
