"""Readers of files with a shape of their own: CoNLL entity columns, CUAD's table of clauses.

Each takes the files by field and gives records; tasks name them with `reader:`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.data.streams import text_chunks
from smallm.evaluate.task_files import Record, read_file

Files = dict[str, list[Path]]
# A contract's text around a clause: so many characters on each side.
AROUND = 400


def conll_entities(found: Files) -> Iterator[Record]:
    """One record a named entity of IOB2 columns `token tag`: sentence, entity, before, after, label, number.

    Tokens are joined by single spaces. `sentence_id` is the same for the entities of one sentence.
    """
    for path in found.get("", []):
        for first, rows in _sentences(path):
            tokens, tags = [token for token, _ in rows], [tag for _, tag in rows]
            sentence = " ".join(tokens)
            for number, (start, end, label) in enumerate(_spans(tags), 1):
                yield Record(
                    {
                        "sentence": sentence,
                        "sentence_id": f"{path.name}:{first}",
                        "entity": " ".join(tokens[start:end]),
                        "before": " ".join(tokens[:start]),
                        "after": " ".join(tokens[end:]),
                        "label": label,
                        "number": number,
                    },
                    f"{path}:{first + start}",
                )


def _sentences(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
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


def _spans(tags: list[str]) -> list[tuple[int, int, str]]:
    """(start, end, label) of the entities; an I- that continues nothing begins one."""
    spans: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and spans and spans[-1][1] == i and spans[-1][2] == tag[2:]:
            spans[-1] = (spans[-1][0], i + 1, tag[2:])
        else:
            spans.append((i, i + 1, tag[2:]))
    return spans


def cuad_clauses(found: Files) -> Iterator[Record]:
    """One record a clause of CUAD: contract, type, clause, and (with `contracts`) the passage around it.

    `data` names the table as `clauses:` and, if wanted, the contracts as `contracts:`; a clause whose words do not
    stand in its contract (5 %) has no passage and is left out then.
    """
    if "clauses" not in found:
        raise UserError("reader: cuad-clauses needs `data: {clauses: FILE}` and, for passages, `contracts: FILE`.")
    texts = {r.fields["id"]: r.fields["text"] for path in found.get("contracts", []) for r in read_file(path)}
    for path in found["clauses"]:
        for record in read_file(path):
            contract = str(record.fields.get("Filename", "")).removesuffix(".pdf")
            for column, cell in record.fields.items():
                if re.search(r"- ?Answer$", column) or column in ("Filename", "_file"):
                    continue
                for clause in _cell(cell, record.where, column):
                    fields: dict[str, Any] = {"contract": contract, "type": column, "clause": " ".join(clause.split())}
                    if texts:
                        passage = _passage(texts.get(contract, ""), clause)
                        if passage is None:
                            continue
                        fields["passage"] = passage
                    yield Record(fields, f"{record.where}, {column}")


def _cell(cell: str, where: str, column: str) -> list[str]:
    """The clauses of one cell, a Python list of texts; those that are only a mark of omission are left out."""
    try:
        clauses = ast.literal_eval(cell) if cell.strip() else []
    except (ValueError, SyntaxError):
        raise UserError(f"{where}: column {column}: `{cell[:40]}` is not a list of clauses.") from None
    return [clause for clause in dict.fromkeys(clauses) if isinstance(clause, str) and clause.strip(" .*_[]")]


def _passage(text: str, clause: str) -> str | None:
    """The contract's words around the clause, cut at spaces; None when the clause does not stand in it."""
    at = text.find(clause)
    if at < 0:
        return None
    start, end = max(0, at - AROUND), min(len(text), at + len(clause) + AROUND)
    start = at if start and text.find(" ", start, at) < 0 else (text.find(" ", start, at) + 1 if start else 0)
    cut = text.rfind(" ", at + len(clause), end)
    end = end if end == len(text) or cut < 0 else cut
    return " ".join(text[start:end].split())


READERS: dict[str, Callable[[Files], Iterator[Record]]] = {
    "conll-entities": conll_entities,
    "cuad-clauses": cuad_clauses,
}
