"""Files that are either whole or absent, and their hashes.

Every write goes beside its target and is renamed; a directory is built as `<name>.partial`
and swapped in. Hashes of large files are cached by path, size, mtime and inode.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically: readers see the old file or the new one, never a part."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes beside `path`, flush to the disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, two-space indent, UTF-8 kept, one trailing newline; NaN refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def cache_directory(name: str) -> Path:
    """SMALLM_CACHE, else ~/.cache/smallm, and there `name`."""
    base = os.environ.get("SMALLM_CACHE") or str(Path.home() / ".cache" / "smallm")
    return Path(base).expanduser() / name


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """Hash of JSON data, independent of key order."""
    return sha256_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode("utf-8"))


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class HashCache:
    """sha256 of files, remembered by path, size, mtime and inode in one JSON file."""

    def __init__(self, path: Path, *, verify: bool = False) -> None:
        self.path, self.verify, self.changed = path, verify, False
        self.entries: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            known = read_json(path)  # a damaged cache costs time, nothing else
            if isinstance(known, dict):
                self.entries = {k: v for k, v in known.items() if isinstance(v, list) and len(v) == 4}

    def __call__(self, path: Path) -> str:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        name = str(path.resolve())
        known = self.entries.get(name)
        if known and known[:3] == stamp and not self.verify:
            return known[3]
        digest = sha256_file(path)
        self.entries[name] = [*stamp, digest]
        self.changed = True
        return digest

    def save(self) -> None:
        if self.changed:
            write_json(self.path, self.entries)
            self.changed = False


def swap_in(partial: Path, final: Path) -> None:
    """Make `partial` the directory `final`; an old `final` is kept until the new one stands."""
    old = final.with_name(final.name + ".old")
    if old.exists():
        shutil.rmtree(old)
    if final.exists():
        os.replace(final, old)
    os.replace(partial, final)
    if old.exists():
        shutil.rmtree(old)


@contextlib.contextmanager
def new_directory(final: Path) -> Iterator[Path]:
    """Yield an empty `<final>.partial`; swap it in when the block ends without an error."""
    partial = final.with_name(final.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    yield partial
    swap_in(partial, final)


def files_below(directory: Path) -> list[Path]:
    """Every regular file below `directory`, sorted by path, dot-files and stage.json left out."""
    return sorted(
        p for p in directory.rglob("*") if p.is_file() and p.name != "stage.json" and not p.name.startswith(".")
    )
