"""Real sets read as fine-tuning records: entities of CoNLL files as tagging by generation, CUAD's clauses with types.

Tagging: the answer has a line `Label: entity` for each entity in the sentence's order, `keine` for none; what stands
in it is the sentence's own words, so that `parse_tags` and `tag_scores` read it back. evaluate/task_readers.py reads
the same files for evaluation and takes its parts from here.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError

from .rows import read_rows
from .streams import text_chunks

# ---- entities ------------------------------------------------------------------------------------------------------

NO_ENTITY = "keine"
# The classes of Leitner et al. 2019 as German readers know them.
LABELS_DE = {
    "PER": "Person", "RR": "Richter", "AN": "Anwalt", "LD": "Land", "ST": "Stadt", "STR": "Straße",
    "LDS": "Landschaft", "ORG": "Organisation", "UN": "Unternehmen", "INN": "Institution", "GRT": "Gericht",
    "MRK": "Marke", "GS": "Gesetz", "VO": "Verordnung", "EUN": "EU-Norm", "VS": "Vorschrift", "VT": "Vertrag",
    "RS": "Rechtsprechung", "LIT": "Literatur",
}  # fmt: skip
Tag = tuple[str, str]  # label, entity


def conll_sentences(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """(line of the first token, [(token, tag), …]) of each sentence; blank lines part them."""
    rows: list[tuple[str, str]] = []
    first = 1
    for number, line in enumerate("".join(text_chunks(path)).split("\n"), 1):
        parts = line.split()
        if not parts:
            if rows:
                yield first, rows
            rows = []
            continue
        if len(parts) < 2 or not re.fullmatch(r"O|[BI]-\S+", parts[-1]):
            raise UserError(f"{path}:{number}: `{line[:40]}` is not `token tag` with a tag O, B-… or I-….")
        first = first if rows else number
        rows.append((parts[0], parts[-1]))
    if rows:
        yield first, rows


def entity_spans(tags: list[str]) -> list[tuple[int, int, str]]:
    """(start, end, label) of the entities of IOB2 tags; an I- that continues nothing begins one."""
    spans: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and spans and spans[-1][1] == i and spans[-1][2] == tag[2:]:
            spans[-1] = (spans[-1][0], i + 1, tag[2:])
        else:
            spans.append((i, i + 1, tag[2:]))
    return spans


def ner_tagging(path: Path, *, max_characters: int | None = None) -> Iterator[dict[str, Any]]:
    """{sentence, answer, entities, id} of each sentence of a CoNLL file, in its order; `entities` counts them.

    Tokens are joined by single spaces. Longer sentences than `max_characters` are left out. Labels that LABELS_DE does
    not know are kept as they are. Raises UserError for a line that is not `token tag`.
    """
    for first, rows in conll_sentences(path):
        tokens = [token for token, _ in rows]
        sentence = " ".join(tokens)
        if max_characters is not None and len(sentence) > max_characters:
            continue
        spans = entity_spans([tag for _, tag in rows])
        tags = [(LABELS_DE.get(label, label), " ".join(tokens[start:end])) for start, end, label in spans]
        answer = format_tags(tags)
        yield {"sentence": sentence, "answer": answer, "entities": len(tags), "id": f"{path.name}:{first}"}


def format_tags(tags: Iterable[Tag]) -> str:
    """`Gericht: BGH` a line, in order; `keine` where there is none."""
    return "\n".join(f"{label}: {entity}" for label, entity in tags) or NO_ENTITY


def parse_tags(text: str) -> list[Tag]:
    """The (label, entity) of each line of an answer, in order; lines without a colon, and `keine`, say nothing.

    The first colon parts the two: entities may hold colons, labels do not.
    """
    tags: list[Tag] = []
    for line in text.splitlines():
        label, colon, entity = line.partition(":")
        if colon and label.strip() and entity.strip():
            tags.append((label.strip(), " ".join(entity.split())))
    return tags


def tag_scores(predicted: Iterable[str], gold: Iterable[str]) -> dict[str, Any]:
    """Micro precision, recall and F1 of entities over answers; `labels` has the same of each label, `n` the answers.

    An entity is right when an answer's line has the same label and the same words as one of the gold answer; each gold
    entity is matched once, so that repeating a line costs precision. Where an entity stands is not asked: the same
    words twice in a sentence are two entities. A figure without a denominator is 0. ValueError: of unequal length.
    """
    counts: dict[str, Counter[str]] = {}
    answers = 0
    for said, right in zip(predicted, gold, strict=True):
        answers += 1
        said_tags, gold_tags = Counter(parse_tags(said)), Counter(parse_tags(right))
        for what, tags in (("right", said_tags & gold_tags), ("said", said_tags), ("gold", gold_tags)):
            for (label, _), number in tags.items():
                counts.setdefault(label, Counter())[what] += number
    total = Counter[str]()
    for count in counts.values():
        total.update(count)
    labels = {label: _figures(count) for label, count in sorted(counts.items())}
    return {**_figures(total), "labels": labels, "n": answers}


def _figures(count: Counter[str]) -> dict[str, float | int]:
    precision = count["right"] / count["said"] if count["said"] else 0.0
    recall = count["right"] / count["gold"] if count["gold"] else 0.0
    both = count["said"] + count["gold"]
    f1 = 2 * count["right"] / both if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "entities": count["gold"]}


# ---- clauses -------------------------------------------------------------------------------------------------------

MAX_CLAUSE = 1200  # characters
MIN_EXAMPLES = 30  # of a type
# Names, parties and dates of a contract are no clauses.
NO_CLAUSE = ("Document Name", "Parties", "Agreement Date")


def is_clause_column(column: str) -> bool:
    """Whether a column of master_clauses.csv holds clause texts: not its answers, not the file's name."""
    return not re.search(r"- ?Answer$", column) and column not in ("Filename", "_file")


def clause_texts(cell: str, where: str, column: str) -> list[str]:
    """The clauses of one cell, a Python list of texts; those that are only a mark of omission are left out."""
    try:
        clauses = ast.literal_eval(cell) if cell.strip() else []
        if not isinstance(clauses, list):
            raise ValueError
    except (ValueError, SyntaxError):
        raise UserError(f"{where}: column {column}: `{cell[:40]}` is not a list of clauses.") from None
    return [clause for clause in dict.fromkeys(clauses) if isinstance(clause, str) and clause.strip(" .*_[]")]


def cuad_clause_records(
    path: Path, *, max_characters: int = MAX_CLAUSE, min_examples: int = MIN_EXAMPLES, two_types: bool = False
) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Records {clause, label, file_name}, a clause string each, and how many were left out, by reason.

    The names are those of the same table on the Hub. `file_name` (the contract) is the cluster by which to split. Left
    out, in this order: `not a clause` (names, parties, dates), `too long`, `two types` (a text that the table gives
    several has no one answer; `two_types` keeps a record of each), `repeated` in one contract, `rare type` (under
    `min_examples` of what is left). UserError: no such table.
    """
    left_out = Counter[str]({"not a clause": 0, "too long": 0, "two types": 0, "repeated": 0, "rare type": 0})
    found: list[dict[str, str]] = []
    types: dict[str, set[str]] = {}
    for contract, label, text in _cuad_rows(path):
        if label in NO_CLAUSE:
            left_out["not a clause"] += 1
            continue
        types.setdefault(text, set()).add(label)
        if len(text) > max_characters:
            left_out["too long"] += 1
            continue
        found.append({"clause": text, "label": label, "file_name": contract})
    kept: dict[tuple[str, str, str], dict[str, str]] = {}
    for record in found:
        key = (record["file_name"], record["clause"], record["label"])
        if not two_types and len(types[record["clause"]]) > 1:
            left_out["two types"] += 1
        elif key in kept:
            left_out["repeated"] += 1
        else:
            kept[key] = record
    numbers = Counter(record["label"] for record in kept.values())
    records = [record for record in kept.values() if numbers[record["label"]] >= min_examples]
    left_out["rare type"] = len(kept) - len(records)
    return records, dict(left_out)


def _cuad_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """(contract, type, clause) of every clause string of the table, blanks made single."""
    for row in read_rows(path, "csv"):
        if row.fields is None:
            raise UserError(f"{row.place(path)}: {row.problem}")
        if "Filename" not in row.fields:
            raise UserError(f"{path}: no column `Filename`. This reads CUAD's master_clauses.csv.")
        contract = str(row.fields["Filename"]).removesuffix(".pdf")
        for column, cell in row.fields.items():
            if is_clause_column(column):
                for clause in clause_texts(cell or "", row.place(path), column):
                    yield contract, column, " ".join(clause.split())
