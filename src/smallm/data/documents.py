"""What a document is inside a text file: the whole file, a line, a group of lines, or up to a separator.

Takes decoded text in chunks and gives documents one at a time, so memory is that of one document.
`decide` is the rule of `documents: auto`; it returns its reason, which the build says aloud.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from smallm.core.errors import UserError
from smallm.data.paths import SourceFile
from smallm.data.streams import text_chunks

Mode = Literal["file", "line", "blank-lines", "separator"]

# A single document must fit in memory a few times over; parquet's string columns end at 2 GB.
MAX_DOCUMENT = 500_000_000
# A file up to here may be one document (a book has 0.5 MB, all of Shakespeare 5 MB); beyond it is a collection.
MAX_FILE_DOCUMENT = 64_000_000
# Paragraphs have a median of 80 to 330 characters in novels, plays and law (measured on ELTeC, Shakespeare and
# German law); groups of 500 and more are texts of their own.
GROUP_MEDIAN = 500
GROUP_COUNT = 50
SAMPLE_CHUNKS = 4

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


def decide(file: SourceFile, separator: str, *, alone: bool) -> tuple[Mode, str]:
    """How `documents: auto` reads a text file, and why in words. `alone`: the source's only text file.

    Separator lines win. A lone file whose blank-line groups are long enough to be texts of their own
    (median of 500 characters) is split there. Otherwise a file is a document, unless it is over 64 MB.
    """
    sample = "".join(islice(text_chunks(file.path), SAMPLE_CHUNKS))
    if re.search(rf"^[ \t]*{re.escape(separator)}[ \t]*$", sample, re.MULTILINE):
        return "separator", f"it has lines `{separator}`"
    groups = [len(g) for g in blank_line_groups([sample])]
    median = statistics.median(groups) if groups else 0
    if alone and len(groups) >= GROUP_COUNT and median >= GROUP_MEDIAN:
        return "blank-lines", f"its blank lines part texts of {median:.0f} characters (median)"
    # A compressed file's size is unknown; text shrinks about 3 times.
    size = file.path.stat().st_size * (3 if file.compressed else 1)
    if size <= MAX_FILE_DOCUMENT:
        return "file", f"its blank lines part paragraphs of {median:.0f} characters (median)" if alone else "a folder"
    if len(groups) >= GROUP_COUNT:
        return "blank-lines", f"{size / 1e6:.0f} MB is too much for one document"
    return "line", f"{size / 1e6:.0f} MB is too much for one document, and it has no blank lines"


def text_documents(file: SourceFile, mode: Mode, separator: str) -> Iterator[str]:
    """The documents of one text file. Blank ones exist only in mode `file` (an empty file)."""
    chunks = text_chunks(file.path)
    if mode == "file":
        yield "".join(_bounded(chunks, file))
    elif mode == "line":
        yield from (line for line in _lines(chunks, file) if line.strip())
    elif mode == "blank-lines":
        yield from blank_line_groups(chunks, file)
    else:
        pieces = (piece.strip("\n") for piece in _between(chunks, separator, file))
        yield from (piece for piece in pieces if piece.strip())


def strip_front_matter(text: str) -> tuple[str, bool]:
    """`text` without the YAML block between `---` lines that opens it, and whether there was one."""
    if not text.startswith("---"):
        return text, False
    match = FRONT_MATTER.match(text)
    return (text[match.end() :].lstrip("\n"), True) if match else (text, False)


def blank_line_groups(chunks: Iterable[str], file: SourceFile | None = None) -> Iterator[str]:
    """Runs of lines between blank ones."""
    group: list[str] = []
    size = 0
    for line in _lines(chunks, file):
        if not line or line.isspace():
            if group:
                yield "\n".join(group)
            group, size = [], 0
        else:
            group.append(line)
            size += len(line) + 1
            _check(size, file)
    if group:
        yield "\n".join(group)


def _lines(chunks: Iterable[str], file: SourceFile | None) -> Iterator[str]:
    return _between(chunks, "\n", file)


def _between(chunks: Iterable[str], separator: str, file: SourceFile | None) -> Iterator[str]:
    """The text between separators, which may lie across chunks. Linear time whatever the piece lengths."""
    keep = len(separator) - 1
    parts: list[str] = []
    size, carry = 0, ""
    for chunk in chunks:
        *whole, last = (carry + chunk).split(separator)
        if whole:
            parts.append(whole[0])
            yield "".join(parts)
            yield from whole[1:]
            parts, size = [], 0
        cut = max(0, len(last) - keep)
        parts.append(last[:cut])
        carry = last[cut:]
        size += cut
        _check(size, file)
    parts.append(carry)
    yield "".join(parts)


def _bounded(chunks: Iterable[str], file: SourceFile) -> Iterator[str]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        _check(size, file)
        yield chunk


def _check(size: int, file: SourceFile | None) -> None:
    if size > MAX_DOCUMENT:
        raise UserError(
            f"{file.path if file else 'text'}: a document of over {MAX_DOCUMENT / 1e6:.0f} million characters does not "
            "fit. Say what ends a document: `documents: blank-lines`, `line`, or `separator`."
        )
