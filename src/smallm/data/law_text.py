"""Laws as (name, Markdown): from a file of records, or from a folder of Markdown files.

Records have `id` and `text`, in any format of rows.py (gesetze-de is JSON lines); a folder is read as the repository
bundestag/gesetze has it, every `*.md` a law, named by its folder or file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smallm.core.errors import UserError

from .rows import read_rows
from .streams import text_chunks


def read_laws(path: Path) -> Iterator[tuple[str, str]]:
    """The laws in the file's order, or of a folder in the order of their paths. Raises UserError for what is none."""
    if path.is_dir():
        files = sorted(path.rglob("*.md"))
        if not files:
            raise UserError(f"{path}: no *.md file. A folder of laws has one Markdown file a law.")
        for file in files:
            if file.name.lower() not in ("readme.md", "license.md"):
                yield (file.parent.name if file.stem == "index" else file.stem), "".join(text_chunks(file))
        return
    for row in read_rows(path):
        fields = row.fields or {}
        name, text = fields.get("id"), fields.get("text")
        if not isinstance(name, str) or not isinstance(text, str):
            problem = row.problem or "no law: its record needs `id` and `text` (Markdown)."
            raise UserError(f"{row.place(path)}: {problem}")
        yield name, text
