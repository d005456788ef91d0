"""Readers of files with a shape of their own: CoNLL entity columns, CUAD's table of clauses.

Each takes the files by field and gives records; tasks name them with `reader:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.data.finetune_readers import clause_texts, conll_sentences, entity_spans, is_clause_column
from smallm.evaluate.task_files import Record, read_file

Files = dict[str, list[Path]]
# A contract's text around a clause: so many characters on each side.
AROUND = 400


def conll_entities(found: Files) -> Iterator[Record]:
    """One record a named entity of IOB2 columns `token tag`: sentence, entity, before, after, label, number.

    Tokens are joined by single spaces. `sentence_id` is the same for the entities of one sentence.
    """
    for path in found.get("", []):
        for first, rows in conll_sentences(path):
            tokens, tags = [token for token, _ in rows], [tag for _, tag in rows]
            sentence = " ".join(tokens)
            for number, (start, end, label) in enumerate(entity_spans(tags), 1):
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
                if not is_clause_column(column):
                    continue
                for clause in clause_texts(cell, record.where, column):
                    fields: dict[str, Any] = {"contract": contract, "type": column, "clause": " ".join(clause.split())}
                    if texts:
                        passage = _passage(texts.get(contract, ""), clause)
                        if passage is None:
                            continue
                        fields["passage"] = passage
                    yield Record(fields, f"{record.where}, {column}")


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
