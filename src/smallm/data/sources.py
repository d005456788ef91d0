"""Sources to documents: `read` streams one source, `fingerprint` says what would change its text.

Text is Unicode NFC. Counts of what was read, skipped and unreadable go into `ReadStats`; dropping and
splitting are build.py's. Kinds: path (paths, documents, records), hub, synth, builtin.
"""

from __future__ import annotations

import platform
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from smallm.core.config import DataConfig, Recipe, SourceConfig
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.files import HashCache, sha256_json
from smallm.data import documents, hub, python_docs
from smallm.data.paths import RECORDS, SourceFile, is_glob, list_files
from smallm.data.records import BadRecords, record_texts


@dataclass(frozen=True)
class Document:
    """One document: NFC text, and the name of the source that it came from."""

    text: str
    source: str


@dataclass
class ReadStats:
    """What reading one source saw. `documents` and `bytes` count what `read` gave (UTF-8 bytes)."""

    documents: int = 0
    bytes: int = 0
    front_matter: int = 0
    cut: bool = False
    modes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    bad: BadRecords | None = None

    @property
    def mode(self) -> str:
        """`file`, `record`, or several joined by +, the commonest first."""
        return "+".join(name for name, _ in self.modes.most_common()) or "record"


def source_kind(source: SourceConfig, where: str = "data.sources[0]") -> str:
    """path, hub, synth or builtin; UserError unless exactly one is set."""
    given = [k for k in ("path", "hub", "synth", "builtin") if getattr(source, k)]
    if len(given) != 1:
        what = f"both {' and '.join(given)}" if given else "neither"
        raise UserError(f"{where}: set exactly one of path, hub, synth, builtin (this one sets {what}).")
    return given[0]


def source_name(source: SourceConfig) -> str:
    """The name in cards and reports: the recipe's, or what the path, dataset or generator is called."""
    if source.name:
        return source.name
    if source.path:
        path = Path(source.path)
        if is_glob(source.path):
            path = Path(*[p for p in path.parts[:-1] if not any(c in p for c in "*?[")]) or Path()
        path = path.expanduser().resolve()
        return path.name if path.is_dir() or not path.suffix else path.name.removesuffix(path.suffix).split(".")[0]
    if source.hub:
        return Path(source.hub).name if hub.is_local(source) else source.hub
    return source.builtin or f"synth-{source.synth}"


def named_sources(data: DataConfig) -> list[tuple[str, str, SourceConfig]]:
    """(unique name, place in the recipe, source), in the recipe's order; a name used twice gets -2."""
    if not data.sources:
        raise UserError("data.sources is empty: name a file, a folder, `python-docs` or `synth:stories`.")
    used: Counter[str] = Counter()
    result = []
    for i, source in enumerate(data.sources):
        where = f"data.sources[{i}]"
        source_kind(source, where)
        name = source_name(source)
        used[name] += 1
        result.append((name if used[name] == 1 else f"{name}-{used[name]}", where, source))
    return result


def read(
    source: SourceConfig,
    data: DataConfig,
    seed: int,
    *,
    name: str | None = None,
    where: str = "data.sources[0]",
    stats: ReadStats | None = None,
) -> Iterator[Document]:
    """The documents of one source in its order, NFC, at most `source.size` bytes of them.

    Memory is that of one document. A document that would pass `size` is left out and ends the source,
    unless it is the first: that one is cut at a blank. Raises UserError as the readers do, and when the
    source gives nothing at all.
    """
    kind = source_kind(source, where)
    name = name or source_name(source)
    stats = stats if stats is not None else ReadStats()
    stats.bad = BadRecords(data.max_bad_share, where)
    if kind == "path":
        texts = _path_texts(source, data, name, where, stats)
    elif kind == "hub":
        stats.modes["record"] += 1
        texts = hub.hub_texts(source, stats.bad)
    elif kind == "synth":
        stats.modes["story" if source.synth == "stories" else "record"] += 1
        texts = _synth_texts(source, seed, where)
    else:
        stats.modes["module"] += 1
        texts = python_docs.module_texts()
    for text in texts:
        text, length = normalised(text)
        if source.size is not None and stats.bytes + length > source.size:
            stats.cut = True
            if stats.documents:
                break
            text = _cut(text, source.size)
            length = len(text.encode("utf-8"))
        stats.documents += 1
        stats.bytes += length
        yield Document(text, name)
        if stats.cut:
            break
    if stats.documents == 0:
        bad = f"; {stats.bad.count} records were unreadable" if stats.bad.count else ""
        raise UserError(f"{source.path or source.hub or name}: no document in it ({where}{bad}).")


def normalised(text: str) -> tuple[str, int]:
    """`text` in NFC and its UTF-8 bytes. ASCII, most text there is, takes the short way."""
    if text.isascii():
        return text, len(text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text, len(text.encode("utf-8"))


def _cut(text: str, size: int) -> str:
    """The first `size` bytes of `text`, back to the last blank unless that loses over 1 %."""
    head = text.encode("utf-8")[:size].decode("utf-8", "ignore")
    blank = max(head.rfind(" "), head.rfind("\n"))
    return head[: blank + 1] if blank > 0.99 * len(head) else head


def _path_texts(source: SourceConfig, data: DataConfig, name: str, where: str, stats: ReadStats) -> Iterator[str]:
    listing = list_files(source.path or "", where)
    stats.skipped = listing.skipped
    if listing.skipped:
        left = ", ".join(f"{n} {end}" for end, n in sorted(listing.skipped.items()))
        say(f"{name}: left out files that hold no plain text: {left}")
    chosen = source.documents or data.documents
    separator = source.separator or data.separator
    alone = sum(f.kind not in RECORDS for f in listing.files) == 1
    bad = stats.bad or BadRecords(data.max_bad_share, where)
    for file in listing.files:
        if file.kind in RECORDS:
            stats.modes["record"] += 1
            yield from record_texts(file, source.text, bad)
            continue
        if chosen == "auto":
            mode, why = documents.decide(file, separator, alone=alone)
            if alone or mode != "file":
                say(f"{name}: {file.name}: documents: {mode} ({why})")
        else:
            mode = chosen
        stats.modes[mode] += 1
        for text in documents.text_documents(file, mode, separator):
            if mode == "file" and file.kind == "markdown":
                text, stripped = documents.strip_front_matter(text)
                stats.front_matter += stripped
            yield text


def _generator(source: SourceConfig) -> ModuleType:
    """The module with the VERSION and the endless `generate` of a `synth` source."""
    from smallm.data.synth import headlines, sentences, stories

    return {"stories": stories, "sentences": sentences, "headlines": headlines}[source.synth or ""]


def _synth_texts(source: SourceConfig, seed: int, where: str) -> Iterator[str]:
    if source.size is None:
        raise UserError(f"{where}: synth: {source.synth} never ends: say how much, e.g. `size: 20MB`.")
    # A quarter more than asked for: the size limit counts as read() counts.
    return iter(_generator(source).generate(seed, source.size + source.size // 4 + 10_000))


def source_files(source: SourceConfig, where: str = "data.sources[0]") -> list[SourceFile]:
    """The local files behind a source; none for a generator or a remote dataset."""
    if source.path:
        return list_files(source.path, where).files
    if hub.is_local(source):
        return hub.local_files(source)
    return python_docs.module_files() if source.builtin else []


def source_origin(source: SourceConfig, seed: int, hashes: HashCache, where: str) -> dict[str, object]:
    """What pins the source's text: files with hashes, a generator's version and seed, or a Hub commit."""
    if source.synth:
        version = _generator(source).VERSION
        return {"generator": f"synth:{source.synth}", "version": version, "seed": seed, "size": source.size}
    if source.hub and not hub.is_local(source):
        revision = hub.commit(source.hub, source.revision)
        return {"dataset": source.hub, "commit": revision, "subset": source.subset, "split": source.split}
    files = [
        {"path": f.name, "sha256": hashes(f.path), "bytes": f.path.stat().st_size} for f in source_files(source, where)
    ]
    if source.builtin:
        return {"python": platform.python_version(), "modules": len(files), "sha256": sha256_json(files)}
    return {"files": files}


def fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """One hash a source: it changes when the text behind the recipe's sources does.

    The pipeline puts these into the data stage's key. Same checks and errors as reading.
    """
    named = named_sources(recipe.data)
    return {f"{where} {name}": sha256_json(source_origin(s, recipe.seed, hashes, where)) for name, where, s in named}


def spec(source: SourceConfig) -> str:
    """The source as cards show it: without this machine's folders."""
    if source.path:
        return Path(source.path).name if is_glob(source.path) else Path(source.path).expanduser().resolve().name
    return (source.hub and source_name(source)) or source.builtin or f"synth:{source.synth}"
