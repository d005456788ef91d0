"""The data stage: sources to documents, split, in parquet shards with a manifest.

Reads each source in order, drops what is too short or was seen before (each drop counted under one reason,
kept under dropped/), splits, writes. The same recipe and text give the same bytes. Every count adds up:
read = kept + dropped.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe, SourceConfig
from smallm.core.console import count, progress, say
from smallm.core.errors import UserError
from smallm.core.files import new_directory, write_json
from smallm.core.run import Run
from smallm.data.shards import DroppedWriter, SplitWriter
from smallm.data.sources import ReadStats, named_sources, read, source_kind, source_origin, spec
from smallm.data.split import RULES, SplitName, Splitter, document_id

# Below this a validation loss moves by chance more than by anything that a recipe changes.
MIN_VALIDATION = 20_000
# Of the sources that are not the user's: CPython's, and this project's own.
LICENSES = {"python-docs": "PSF-2.0", "stories": "Apache-2.0", "sentences": "Apache-2.0", "headlines": "Apache-2.0"}


def build_data(recipe: Recipe, run: Run) -> Path:
    """Build `data/` of the run; returns its path. Raises UserError for bad sources or too little validation text."""
    final = run.path / "data"
    named = named_sources(recipe.data)
    try:
        with new_directory(final) as directory:
            manifest = _Build(recipe, directory).all(named, run)
            write_json(directory / "manifest.json", manifest)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"{final}: the disk is full. Free some, or take less with `size` in data.sources.") from error
    train, validation = manifest["splits"]["train"], manifest["splits"]["validation"]
    say(
        f"data: {count(train['documents'])} documents, {count(float(train['bytes']), 'B')} to train on; "
        f"{count(validation['documents'])}, {count(float(validation['bytes']), 'B')} held out"
    )
    return final


class _Build:
    """The state of one build: writers, the sides of all texts seen, the manifest's source entries."""

    def __init__(self, recipe: Recipe, directory: Path) -> None:
        self.recipe, self.data, self.directory = recipe, recipe.data, directory
        shard_bytes = recipe.data.shard_bytes
        self.splits: dict[SplitName, SplitWriter] = {
            "train": SplitWriter(directory, "train", shard_bytes),
            "validation": SplitWriter(directory, "validation", shard_bytes),
        }
        self.dropped = DroppedWriter(directory / "dropped")
        self.sides: dict[bytes, int] = {}

    def all(self, named: list[tuple[str, str, SourceConfig]], run: Run) -> dict[str, Any]:
        sources = [self.one(name, where, source, run) for name, where, source in named]
        self._check_validation()
        return {
            "sources": sources,
            "dropped": self.dropped.finish(),
            "splits": {name: writer.finish() for name, writer in self.splits.items()},
            "split_rule": f"{self.data.validation_split}, share {self.data.validation:g}: "
            + RULES[self.data.validation_split],
            "seed": self.recipe.seed,
        }

    def one(self, name: str, where: str, source: SourceConfig, run: Run) -> dict[str, Any]:
        """Read, drop, split and write one source; returns its entry in the manifest."""
        stats = ReadStats()
        kept = {"documents": 0, "bytes": 0, "train_documents": 0, "validation_documents": 0}

        def write(split: SplitName, identity: bytes, text: str) -> None:
            kept["bytes"] += self.splits[split].add(identity, text, name)
            kept[f"{split}_documents"] += 1

        before = dict(self.dropped.counts)
        splitter = Splitter(self.data.validation, self.data.validation_split, self.sides, write, self.directory)
        with progress(f"data: {name}", source.size or 0, "bytes") as bar, splitter:
            for document in read(source, self.data, self.recipe.seed, name=name, where=where, stats=stats):
                identity = document_id(document.text)
                reason = self._drop_reason(identity, document.text)
                if reason:
                    self.dropped.add(identity, document.text, name, reason)
                else:
                    splitter.add(identity, document.text)
                    kept["documents"] += 1
                bar.update(min(stats.bytes, source.size or stats.bytes), count(float(stats.bytes), "B"))
            splitter.finish()
        dropped = {k: n - before.get(k, 0) for k, n in self.dropped.counts.items() if n > before.get(k, 0)}
        _say_source(name, stats, kept["documents"], dropped)
        bad = stats.bad
        return {
            "name": name,
            "kind": source_kind(source, where),
            "spec": spec(source),
            "license": source.license or LICENSES.get(source.synth or source.builtin or ""),
            "documents_mode": stats.mode,
            "read": {"documents": stats.documents, "bytes": stats.bytes, "front_matter": stats.front_matter},
            "skipped_files": dict(sorted(stats.skipped.items())),
            "bad_records": bad.count if bad else 0,
            "kept": kept,
            "dropped": dropped,
            **source_origin(source, self.recipe.seed, run.hashes, where),
        }

    def _drop_reason(self, identity: bytes, text: str) -> str | None:
        """Exactly one reason, or None: the document is kept."""
        if len(text) < self.data.min_characters or len(text.strip()) < self.data.min_characters:
            return "too_short"
        if self.data.deduplicate and identity in self.sides:
            return "duplicate"
        return None

    def _check_validation(self) -> None:
        """UserError unless both splits hold enough text to mean something."""
        held = self.splits["validation"].bytes
        total = held + self.splits["train"].bytes
        if held >= MIN_VALIDATION:
            return
        if total == 0:
            raise UserError(
                f"data.sources: no document is left: {dict(self.dropped.counts)} dropped. Lower data.min_characters."
            )
        needed = MIN_VALIDATION / total * 1.2
        if needed >= 0.5:
            remedy = f"There are only {total:,} bytes of text: add some (100 kB is a start)."
        elif held and self._cut_inside():
            remedy = f"Set data.validation_split: tail and data.validation: {max(needed, 0.01):.2f}, or add text."
        else:
            share = max(needed, self.data.validation * MIN_VALIDATION / max(held, 1) * 1.2)
            remedy = f"Set data.validation: {min(share, 0.45):.2f} (now {self.data.validation:g}), or add text."
        raise UserError(
            f"data: the held-out text has {held:,} of {total:,} bytes; under {MIN_VALIDATION:,} its loss says nothing. "
            + remedy
        )

    def _cut_inside(self) -> bool:
        """Whether hash splitting fell back to the last tenth of each document (few of them)."""
        splits = self.splits
        few = splits["validation"].documents == splits["train"].documents
        return few and self.data.validation_split == "hash"


def _say_source(name: str, stats: ReadStats, kept: int, dropped: dict[str, int]) -> None:
    """One line a source: read, kept, dropped by reason, and what else a reader should know."""
    parts = [f"{stats.documents:,} documents ({stats.mode}), {count(float(stats.bytes), 'B')}"]
    parts += [f"{n:,} {reason.replace('_', ' ')} dropped" for reason, n in sorted(dropped.items())]
    if stats.front_matter:
        parts.append(f"front matter taken off {stats.front_matter:,}")
    if stats.bad and stats.bad.count:
        parts.append(f"{stats.bad.count:,} unreadable records passed over, first {stats.bad.examples[0]}")
    if stats.cut:
        parts.append("cut at `size`")
    say(f"data: {name}: " + "; ".join(parts) + ("" if kept else "; none kept"))
