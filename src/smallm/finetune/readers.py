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

SHAPES = {
    "statutes": Shape("qa", "question", "answer", context="context", cluster="law", language="de"),
}


def rows(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    """The records that the set's reader makes of its files. UserError: no such files, or what the reader says."""
    return _READERS[one.source.reader or ""](one, tune, seed, drawn)


def version(reader: str) -> str:
    """The version of the reader's rules, for the stage's key."""
    return _module(reader).VERSION


def paths_of(one: OpenSet) -> list[Path]:
    """The files or folders that `path` means, sorted. UserError when nothing is there."""
    spec = str(Path(one.source.path or "").expanduser())
    found = [Path(spec)] if Path(spec).exists() else [Path(p) for p in sorted(glob(spec, recursive=True))]
    if not found:
        raise UserError(f"{one.where}: {one.source.path}: no such file or folder. Put the files there, or name them.")
    return found


def _module(reader: str) -> Any:
    from smallm.data import statutes

    return {"statutes": statutes}[reader]


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


_READERS = {"statutes": _statutes}
