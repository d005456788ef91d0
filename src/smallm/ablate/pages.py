"""The pages that show an ablation's rows: what stands between their markers is written here, and nowhere by hand.

`<!-- ablation: NAME --> … <!-- /ablation -->` holds one group, `<!-- ablation table --> … <!-- /ablation table -->` (in
the folder's README.md) all of them. The folder is the one in the working directory that has the ablation's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from smallm.ablate.design import Ablation
from smallm.ablate.results import Found, Line, find
from smallm.ablate.table import NOT_MEASURED, group_block, whole_table
from smallm.core.files import write_text

ROW = re.compile(r"^(<!-- ablation: ([\w-]+) -->\n)(.*?)(\n<!-- /ablation -->)$", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"^(<!-- ablation table -->\n)(.*?)(\n<!-- /ablation table -->)$", re.DOTALL | re.MULTILINE)
INDEX, RESULTS = "README.md", "ablation.jsonl"
LINK = f"All rows, and how to read them: [the table]({INDEX}#the-ablation)."


def pages_folder(ablation: Ablation, cwd: Path) -> Path | None:
    """The folder of pages below `cwd` that shows this ablation, or None: an ablation needs no pages."""
    index = cwd / ablation.name / INDEX
    return index.parent if index.is_file() and TABLE.search(index.read_text("utf-8")) else None


def rendered(text: str, ablation: Ablation, found: Found) -> str:
    """A page with its rows renewed."""
    groups = {group.name: group for group in ablation.groups}

    def row(match: re.Match[str]) -> str:
        name = match[2]
        block = group_block(ablation, groups[name], found, LINK) if name in groups else None
        return match[1] + (block or ablation.elsewhere.get(name, NOT_MEASURED)) + match[4]

    text = ROW.sub(row, text)
    return TABLE.sub(lambda match: match[1] + whole_table(ablation, found) + match[3], text)


def write_pages(ablation: Ablation, folder: Path, lines: Sequence[Line]) -> list[Path]:
    """Renew every page of the folder; those that changed."""
    found, changed = find(ablation, lines), []
    for path in sorted(folder.glob("*.md")):
        old = path.read_text("utf-8")
        if (new := rendered(old, ablation, found)) != old:
            write_text(path, new)
            changed.append(path)
    return changed
