"""Sets whose files have a shape of their own: laws in Markdown, CoNLL columns, CUAD's table; their records and splits.

The records are made in data/ (statutes.py, finetune_readers.py); here they get their place and their side. Laws are
split by law and CUAD by contract, as their modules say; `items` is how many are learned, finetune.test's and
finetune.validation's share of that is asked and measured on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any

from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.finetune.sources import GENERATED, OpenSet, Raw, Shape, Side

TAGGING = "Nenne die Entitäten im Satz, eine je Zeile als `Klasse: Text`, oder `keine`.\n\n{{input}}"
SHAPES = {
    "statutes": Shape("qa", "question", "answer", context="context", cluster="law"),
    "ner-tagging": Shape("instruct", "sentence", "answer", prompt=TAGGING, counts=False),
    "cuad-clauses": Shape("classification", "clause", "label", cluster="file_name", counts=False),
}


def rows(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    """The records that the set's reader makes of its files. UserError: no such files, or what the reader says."""
    return _READERS[one.source.reader or ""](one, tune, seed, drawn)


def version(reader: str) -> str:
    """The version of the reader's rules, for the stage's key."""
    return str(getattr(_module(reader), "VERSION", "1"))


def paths_of(one: OpenSet) -> list[Path]:
    """The files or folders that `path` means, sorted. UserError when nothing is there."""
    spec = str(Path(one.source.path or "").expanduser())
    found = [Path(spec)] if Path(spec).exists() else [Path(p) for p in sorted(glob(spec, recursive=True))]
    if not found:
        raise UserError(f"{one.where}: {one.source.path}: no such file or folder. Put the files there, or name them.")
    return found


def _module(reader: str) -> Any:
    from smallm.data import finetune_readers, statutes

    return statutes if reader == "statutes" else finetune_readers


def wanted(one: OpenSet, tune: FinetuneConfig, drawn: Collection[str]) -> dict[str, int]:
    """Items of each split of a reader that has splits of its own."""
    items, use = one.source.items, one.source.use
    learned = items or GENERATED
    shares = {"validation": tune.validation, "test": tune.test}
    if use == "train":
        return {"train": learned}
    if use in shares:
        return {use: items or max(1, round(GENERATED * shares[use]))}
    return {"train": learned} | {
        split: max(1, round(learned * share)) for split, share in shares.items() if share and split in drawn
    }


def _statutes(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    from smallm.data.law_text import read_laws
    from smallm.data.statutes import records_of_splits

    laws = chain.from_iterable(read_laws(path) for path in paths_of(one))
    for split, records in records_of_splits(laws, seed, wanted(one, tune, drawn)).items():
        side: Side = split  # type: ignore[assignment]
        for number, record in enumerate(records, 1):
            # The passages stand in `context`; of a question they would be kept twice.
            kept = {name: value for name, value in record.items() if name != "passages"}
            yield Raw(kept, f"{one.spec}, {split} item {number} ({record['law']})", side)


def _tagging(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    from smallm.data.finetune_readers import ner_tagging

    for path in paths_of(one):
        for record in ner_tagging(path):
            line = str(record["id"]).rsplit(":", 1)[-1]
            yield Raw(record, f"{path}:{line}", one.source.use)


def _clauses(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    from smallm.data.finetune_readers import cuad_clause_records

    one.left_out.clear()  # a set is read twice where its classes must be found first
    for path in paths_of(one):
        records, left_out = cuad_clause_records(path)
        one.left_out.update(left_out)
        for number, record in enumerate(records, 1):
            yield Raw(record, f"{path}: clause {number} ({record['file_name'][:60]})", one.source.use)


_READERS = {"statutes": _statutes, "ner-tagging": _tagging, "cuad-clauses": _clauses}
