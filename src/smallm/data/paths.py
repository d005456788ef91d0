"""Which files a path, folder or glob means, and of what kind each is.

A folder is walked in sorted order; left out are hidden files, `runs/` below its root, recipes
(*.yaml), and kinds that hold no plain text (pictures, PDF, archives, ...), which are counted.
Opens nothing but the first bytes of files whose ending says nothing.
"""

from __future__ import annotations

import difflib
import glob
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smallm.core.errors import UserError

Kind = Literal["text", "markdown", "jsonl", "json", "csv", "parquet"]

KINDS: dict[str, Kind] = {
    ".txt": "text", ".text": "text", ".rst": "text", ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
}  # fmt: skip
COMPRESSED = (".gz", ".zst")
RECORDS = ("jsonl", "json", "csv", "parquet")

# Left out of a folder, said and counted: no plain text inside, or (HTML) text that needs extraction first.
NOT_TEXT = frozenset({
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".ico", ".avif", ".heic", ".mp3",
    ".wav", ".ogg", ".flac", ".m4a", ".mp4", ".mkv", ".mov", ".avi", ".webm", ".pdf", ".ps", ".djvu", ".epub",
    ".mobi", ".doc", ".docx", ".odt", ".rtf", ".xls", ".xlsx", ".ods", ".ppt", ".pptx", ".odp", ".zip", ".tar",
    ".tgz", ".bz2", ".xz", ".7z", ".rar", ".warc", ".html", ".htm", ".xml", ".woff", ".woff2", ".ttf", ".otf",
    ".eot", ".pyc", ".so", ".dll", ".exe", ".bin", ".npy", ".npz", ".pt", ".pth", ".safetensors", ".gguf",
    ".onnx", ".sqlite", ".db", ".lock",
})  # fmt: skip
RECIPES = (".yaml", ".yml")
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
SNIFF = 65536


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: `name` is its path relative to the source's root, with slashes."""

    path: Path
    name: str
    kind: Kind

    @property
    def compressed(self) -> bool:
        return self.path.suffix.lower() in COMPRESSED


@dataclass
class Listing:
    """The files of a source in reading order, and what was left out, by ending."""

    files: list[SourceFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    folder: bool = False


def ending(path: Path) -> str:
    """The ending that names the format, lower case, without .gz or .zst: `a.jsonl.gz` -> `.jsonl`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def is_binary(path: Path) -> bool:
    """Whether the first 64 kB hold a NUL byte; UTF-16 text does too, and gets its own message when read."""
    with open(path, "rb") as f:
        return b"\0" in f.read(SNIFF)


def is_glob(spec: str) -> bool:
    return any(c in spec for c in "*?[") and not Path(spec).exists()


def list_files(spec: str, where: str = "data.sources[0]", binaries: list[Path] | None = None) -> Listing:
    """The files that `spec` (file, folder or glob) means, sorted by name.

    A folder's binary files of unknown kind are appended to `binaries` when that is given. Raises UserError
    when nothing is there (with the nearest names), when nothing readable is (with what is there), or when a
    file of unknown kind is binary (naming it).
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return Listing([SourceFile(path, path.name, _kind_of_named(path, where))])
    if path.is_dir():
        listing = _walk(path, where, binaries)
        if not listing.files:
            raise UserError(f"{spec}: no readable file in this folder ({_contents(path, listing)}). {_READABLE}")
        return listing
    if is_glob(spec):
        return _glob(spec, where)
    raise UserError(f"{spec}: no such file or folder ({where}). {_nearest(path)}")


_READABLE = f"smallm reads {' '.join(sorted(KINDS))} (also .gz and .zst) and other plain text."


def _kind_of_named(path: Path, where: str) -> Kind:
    """The kind of a file that the user named: any ending will do as long as it is text."""
    kind = KINDS.get(ending(path))
    if kind:
        return kind
    if not path.suffix.lower().endswith(COMPRESSED) and is_binary(path) and not _is_utf16(path):
        raise UserError(f"{path}: a binary file, not text ({where}: NUL bytes in its first {SNIFF} bytes). {_READABLE}")
    return "text"


def _is_utf16(path: Path) -> bool:
    with open(path, "rb") as f:
        return f.read(2) in (b"\xff\xfe", b"\xfe\xff")


def _walk(root: Path, where: str, binaries: list[Path] | None = None) -> Listing:
    listing = Listing(folder=True)
    for folder, subfolders, names in os.walk(root):
        top = Path(folder) == root
        subfolders[:] = sorted(
            s for s in subfolders if not s.startswith(".") and s not in SKIPPED_FOLDERS and not (top and s == "runs")
        )
        for name in names:
            path = Path(folder) / name
            end = ending(path)
            if name.startswith(".") or not path.is_file() or end in RECIPES:
                continue
            if end in NOT_TEXT:
                listing.skipped[end] += 1
                continue
            try:
                kind = _kind_of_named(path, where)
            except UserError as error:
                if binaries is not None:
                    binaries.append(path)
                    continue
                glob_spec = root / "**" / "*.txt"
                raise UserError(f"{error} Remove it, or name the files to read by a glob: {glob_spec}") from None
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
            listing.files.append(SourceFile(path, path.relative_to(root).as_posix(), kind))
    listing.files.sort(key=lambda f: f.name)
    return listing


def _glob(spec: str, where: str) -> Listing:
    """A glob names files; hidden ones, and `runs/` where its wildcards begin, only when it says so."""
    spec = os.path.expanduser(spec)
    root = Path(*_before_wildcard(Path(spec)))
    found = sorted(Path(p) for p in glob.glob(spec, recursive=True) if os.path.isfile(p))
    # A run beside the text writes cards in Markdown: reading them back would change the source with every run.
    paths = [p for p in found if p.relative_to(root).parts[0] != "runs"]
    if not paths:
        raise UserError(f"{spec}: matches no file ({where}). {_nearest(Path(spec.split('*')[0]))}")
    files = [SourceFile(p, p.relative_to(root).as_posix(), _kind_of_named(p, where)) for p in paths]
    return Listing(files, folder=True)


def _before_wildcard(path: Path) -> list[str]:
    """The leading parts of a glob that hold no wildcard: `a/b/*.md` -> [a, b]."""
    parts = []
    for part in path.parts[:-1]:
        if any(c in part for c in "*?["):
            break
        parts.append(part)
    return parts


def _contents(path: Path, listing: Listing) -> str:
    if listing.skipped:
        return "left out: " + ", ".join(f"{n} {end}" for end, n in sorted(listing.skipped.items()))
    names = sorted(p.name for p in path.iterdir())
    return "it holds " + ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "it is empty"


def _nearest(path: Path) -> str:
    """A hint for a path that is not there: names like it, or what its folder holds."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        path, folder = folder, folder.parent
    try:
        names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(f"`{folder / n}`" for n in near) + "?"
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{folder} holds: {shown or 'nothing'}."
