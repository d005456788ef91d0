"""The sets of a recipe, opened: where each one's records come from, in which split they belong, what pins them.

    path, hub          records of files or of the Hub; beside each other, the file where it is there (said)
    synth              a generator of ours: its train half, its test half
    path + reader      files of a shape of their own (readers.py): laws, CoNLL columns, CUAD's table

A record comes with its place and its side: `auto` (drawn by hash), `learned` (train, a share of it validation), or the
name of a split. What a generator and a reader hold apart stays apart.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.core.files import HashCache, sha256_json
from smallm.data import hub
from smallm.data.paths import RECORDS, SourceFile, is_glob, list_files
from smallm.data.rows import read_rows
from smallm.finetune.templates import language_of_field

Side = Literal["auto", "learned", "train", "validation", "test"]
GENERATED = 20_000  # items of a generator where the recipe does not say
LICENCE_OF_OURS = "apache-2.0"


class Raw(NamedTuple):
    """One record as it stood, where, and on which side it is."""

    record: Mapping[str, Any]
    place: str
    side: Side


@dataclass(frozen=True)
class Shape:
    """What the records of a generator or reader are: the task whose template asks, their fields, a prompt of their own.

    `counts`: whether it makes as many as `items` says; else `items` are drawn from what it gives.
    """

    task: str
    input: str
    output: str
    context: str | None = None
    cluster: str | None = None
    prompt: str | None = None
    counts: bool = True


SYNTH = {
    "translation": Shape("translation", "english", "german"),
    "sentiment": Shape("classification", "text", "label"),
    "clauses": Shape("classification", "text", "label"),
    "questions": Shape("qa", "question", "answer", context="story", cluster="cluster"),
    "arithmetic": Shape("qa", "question", "answer"),
}


@dataclass
class OpenSet:
    """One set of the recipe. `source` is what the converter is to read: a generator's fields filled in."""

    name: str
    where: str
    kind: Literal["path", "hub", "synth", "reader"]
    source: TuneSource
    task: str
    notes: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # files of a folder that hold no records, by ending
    left_out: Counter[str] = field(default_factory=Counter)  # records that a reader's rules leave out, by reason
    counts: bool = False

    @property
    def licence(self) -> str:
        return self.source.license or (LICENCE_OF_OURS if self.kind == "synth" else "")

    @property
    def spec(self) -> str:
        """The set as cards show it: without this machine's folders."""
        if self.kind == "synth":
            return f"synth:{self.source.synth}"
        if self.kind == "hub":
            return Path(self.source.hub or "").name if hub.is_local(self.source) else self.source.hub or ""
        return Path(self.source.path or "").name


def open_sets(tune: FinetuneConfig) -> list[OpenSet]:
    """Every set of `finetune.data`, names made unique. UserError: none, or one that says where it is twice or never."""
    if not tune.data:
        raise UserError("finetune.data is empty: name a file, `hub:NAME` or `synth:NAME`.")
    used: Counter[str] = Counter()
    opened = []
    for i, source in enumerate(tune.data):
        one = _open(source, tune, f"finetune.data[{i}]")
        used[one.name] += 1
        if used[one.name] > 1:
            one.name = f"{one.name}-{used[one.name]}"
        opened.append(one)
    return opened


def _open(source: TuneSource, tune: FinetuneConfig, where: str) -> OpenSet:
    given = [kind for kind in ("path", "hub", "synth") if getattr(source, kind)]
    if given not in (["path"], ["hub"], ["synth"], ["path", "hub"]):
        what = f"sets {' and '.join(given)}" if given else "sets none of them"
        raise UserError(f"{where}: set exactly one of path, hub, synth (or hub beside path); this one {what}.")
    notes: list[str] = []
    if given == ["path", "hub"]:
        there = _is_there(source.path or "")
        notes.append(
            f"read from {Path(source.path or '').name}, not from the Hub ({source.hub})"
            if there
            else f"{Path(source.path or '').name} is not there: read from the Hub ({source.hub})"
        )
        source = dataclasses.replace(source, **({"hub": None} if there else {"path": None, "reader": None}))
        given = ["path"] if there else ["hub"]
    if source.reader and not source.path:
        raise UserError(f"{where}: reader: {source.reader} reads files; name them with `path:`.")
    name = source.name or _name(source)
    if source.synth:
        return _filled(OpenSet(name, where, "synth", source, tune.task, notes), SYNTH[source.synth], tune)
    if source.reader:
        return _filled(OpenSet(name, where, "reader", source, tune.task, notes), _readers().SHAPES[source.reader], tune)
    return OpenSet(name, where, "hub" if source.hub else "path", source, tune.task, notes)


def _readers() -> Any:
    return import_module("smallm.finetune.readers")


def _filled(one: OpenSet, shape: Shape, tune: FinetuneConfig) -> OpenSet:
    """The set with the fields of its records, where the recipe does not name others."""
    source = one.source
    if source.format not in ("auto", "columns"):
        raise UserError(f"{one.where}.format is {source.format}, but these records are columns. Remove it.")
    if (source.input is None) != (source.output is None):
        raise UserError(
            f"{one.where}: name both `input` and `output`, or neither (then {shape.input}, {shape.output})."
        )
    # Templates for both may turn the direction: what is asked about is then what the prompt says.
    templated = bool(source.prompt and source.answer) and shape.task != "classification"
    one.source = dataclasses.replace(
        source,
        format="columns",
        input=source.input or (None if templated else shape.input),
        output=source.output or (None if templated else shape.output),
        context=source.context or shape.context,
        cluster=source.cluster or shape.cluster,
        prompt=source.prompt or (None if tune.prompt else shape.prompt),
    )
    one.task, one.counts = shape.task, shape.counts
    return one


def language_note(one: OpenSet, tune: FinetuneConfig) -> str:
    """What is to be said when the answers' column is named after another language than the recipe's; else ""."""
    named = language_of_field(one.source.output or "") if one.task == "translation" else None
    if not named or named == tune.language:
        return ""
    return (
        f"the answers of {one.name} are in `{named}` by their column's name, finetune.language is `{tune.language}`: "
        f"set it to {named}, so that scores take them as that"
    )


def _is_there(path: str) -> bool:
    from glob import glob

    expanded = Path(path).expanduser()
    return expanded.exists() or (is_glob(path) and bool(glob(str(expanded), recursive=True)))


def _name(source: TuneSource) -> str:
    if source.synth:
        return f"synth-{source.synth}"
    if source.hub:
        return Path(source.hub).name if hub.is_local(source) else source.hub
    path = Path(source.path or "")
    if is_glob(source.path or ""):
        path = Path(*[p for p in path.parts if not any(c in p for c in "*?[")]) or Path("data")
    return path.name if path.is_dir() or not path.suffix else path.name.split(".")[0]


# ---- records -------------------------------------------------------------------------------------------------------


def rows_of(
    one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str] = ("validation", "test")
) -> Iterator[Raw]:
    """The records of a set in its order. `drawn`: the splits that no set names, and that are drawn from the others.

    UserError: a record that cannot be read (a wrong row stops, none is skipped), or a set without any.
    """
    if one.kind == "synth":
        rows = _generated(one, tune, seed, drawn)
    elif one.kind == "reader":
        rows = _readers().rows(one, tune, seed, drawn)
    else:
        rows = _recorded(one)
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007  counted
        yield row
    if number == 0:
        raise UserError(f"{one.where}: {one.spec} holds no record.")


def _recorded(one: OpenSet) -> Iterator[Raw]:
    """Records of files or of the Hub."""
    side: Side = one.source.use
    if one.kind == "hub":
        for number, record in enumerate(hub.hub_rows(one.source), 1):
            yield Raw(record, f"{one.spec} {one.source.split}: row {number}", side)
        return
    for file in record_files(one):
        for row in read_rows(file.path, file.kind):
            place = row.place(file.path)
            if row.fields is None:
                raise UserError(f"{place}: {row.problem}. A wrong record stops here: repair or remove it.")
            yield Raw(row.fields, place, side)


def record_files(one: OpenSet) -> list[SourceFile]:
    """The files of records that `path` means. UserError: none. Other files of a folder are counted in `skipped`."""
    listing = list_files(one.source.path or "", one.where)
    files = [file for file in listing.files if file.kind in RECORDS]
    if not files:
        names = ", ".join(sorted(file.name for file in listing.files)[:5])
        raise UserError(
            f"{one.where}: {one.source.path} holds no records (it is {names}). Examples are read from .jsonl, .json, "
            ".csv, .tsv and .parquet (.gz, .zst)."
        )
    one.skipped = listing.skipped + Counter(Path(f.name).suffix or f.name for f in listing.files if f not in files)
    return files


def generated(one: OpenSet, tune: FinetuneConfig, drawn: Collection[str]) -> dict[str, int]:
    """How many items of each half of a generator: `items` (or 20,000) to learn, finetune.test's share of that to ask.

    `use: test` asks the test half for `items`, or that share of 20,000 where the recipe does not say.
    """
    items = one.source.items
    share = round((items or GENERATED) * tune.test)
    if one.source.use == "test":
        return {"train": 0, "test": items or max(1, share)}
    wanted = one.source.use == "auto" and "test" in drawn
    return {"train": items or GENERATED, "test": max(1, share) if wanted and tune.test else 0}


def _generated(one: OpenSet, tune: FinetuneConfig, seed: int, drawn: Collection[str]) -> Iterator[Raw]:
    name, use = one.source.synth, one.source.use
    module = import_module(f"smallm.data.synth.{name}")
    for half, items in generated(one, tune, drawn).items():
        side: Side = "test" if half == "test" else "learned" if use == "auto" else use
        for number, record in enumerate(module.records(seed, items, split=half) if items else (), 1):
            yield Raw(record, f"synth:{name}, {half} item {number}", side)


# ---- what pins them ------------------------------------------------------------------------------------------------


def origin(one: OpenSet, seed: int, hashes: HashCache) -> dict[str, Any]:
    """What the set's content hangs on: files with hashes, a generator's version and seed, or a commit of the Hub."""
    if one.kind == "synth":
        version = import_module(f"smallm.data.synth.{one.source.synth}").VERSION
        return {"generator": one.spec, "version": version, "seed": seed}
    if one.kind == "hub" and not hub.is_local(one.source):
        commit = hub.commit(one.source.hub or "", one.source.revision)
        return {"dataset": one.source.hub, "commit": commit, "subset": one.source.subset, "split": one.source.split}
    if one.kind == "reader":  # which takes folders too
        files = [f for path in _readers().paths_of(one) for f in list_files(str(path), one.where).files]
    else:
        files = hub.local_files(one.source) if one.kind == "hub" else list_files(one.source.path or "", one.where).files
    pinned = [{"path": f.name, "sha256": hashes(f.path), "bytes": f.path.stat().st_size} for f in files]
    if one.kind == "reader":
        return {"files": pinned, "reader": one.source.reader, "version": _readers().version(one.source.reader)}
    return {"files": pinned}


def fingerprint(tune: FinetuneConfig, seed: int, hashes: HashCache) -> dict[str, str]:
    """One hash a set, for the stage's key: it changes when the records behind the recipe's sets do."""
    return {f"{one.where} {one.name}": sha256_json(origin(one, seed, hashes)) for one in open_sets(tune)}
