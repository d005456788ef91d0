"""Records of one file as dicts (data/rows.py reads them), and texts that are parallel line by line.

Every record counts in an evaluation: the first that cannot be read stops it, with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.data.paths import KINDS, RECORDS, ending
from smallm.data.rows import read_rows
from smallm.data.streams import text_chunks


@dataclass(frozen=True)
class Record:
    """One record: its fields, and where it stands (`file:line`)."""

    fields: dict[str, Any]
    where: str


def read_file(path: Path) -> Iterator[Record]:
    """The records of one file; a text file is one record with the field `text`."""
    if KINDS.get(ending(path), "text") not in RECORDS:
        yield Record({"text": "".join(text_chunks(path))}, str(path))
        return
    for row in read_rows(path):
        if row.fields is None:
            raise UserError(f"{row.place(path)}: {row.problem}. Repair the record, or remove it.")
        yield Record(row.fields, row.place(path))


def parallel(found: dict[str, list[Path]]) -> Iterator[Record]:
    """Line by line from one text file a field; files of different lengths are refused."""
    columns = {field: _text_lines(paths) for field, paths in found.items()}
    first = next(iter(found.values()))[0]
    number = 0
    while True:
        number += 1
        row = {field: next(column, None) for field, column in columns.items()}
        if all(value is None for value in row.values()):
            return
        for field, value in row.items():
            if value is None:
                longer = next(f for f, v in row.items() if v is not None)
                raise UserError(
                    f"{found[field][0]}: ends after {number - 1} lines, but {found[longer][0]} goes on. Parallel texts "
                    "have a sentence a line, the same number in each file."
                )
        yield Record(dict(row), f"{first}:{number}")


def _text_lines(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        rest = ""
        for chunk in text_chunks(path):
            *whole, rest = (rest + chunk).split("\n")
            yield from whole
        if rest:
            yield rest
