"""Records of a task: found in the data folders, on the Hub or made by a generator, one dict each, strictly read.

Files: .jsonl .json .csv .tsv .parquet .txt (.gz, .zst), texts parallel line by line (task_files.py), and the shapes of
task_readers.py. What is not on this machine is `MissingData`, so that a suite can go on without it and say so.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from smallm.core.errors import UserError
from smallm.data.paths import KINDS, ending
from smallm.evaluate.task_files import Record, parallel, read_file
from smallm.evaluate.tasks import TaskSpec

Part = Literal["data", "train"]


class MissingData(UserError):  # noqa: N818 (what happened, not whose error)
    """A task's data is not on this machine, and the Hub cannot give it."""


def data_dirs(given: Sequence[str | Path] = ()) -> tuple[Path, ...]:
    """Where `data` of a task is looked for: the folders of --data, of SMALLM_DATA, then ./data."""
    named = [*map(str, given), *os.environ.get("SMALLM_DATA", "").split(os.pathsep), "data"]
    for folder in given:
        if not Path(folder).expanduser().is_dir():
            raise UserError(f"--data {folder}: there is no such directory.")
    return tuple(dict.fromkeys(Path(name).expanduser() for name in named if name))


def read_records(spec: TaskSpec, part: Part, dirs: Sequence[Path]) -> Iterator[Record]:
    """The records of a task's `data`, or of its `train`. UserError: as the readers say; MissingData: not here."""
    if part == "data" and spec.synth is not None:
        records = _synth(spec)
    else:
        value = spec.values[part]
        found = None if value is None else find(spec, value, dirs)
        if found:
            records = _files(spec, found)
        elif spec.hub is not None:
            records = _hub(spec, part)
        elif value is None:
            return
        else:
            raise MissingData(_not_here(spec, part, value, dirs))
    each = spec.each
    for record in records:
        yield from [record] if each is None else _exploded(spec, record, each)


def _exploded(spec: TaskSpec, record: Record, each: str) -> Iterator[Record]:
    """One record an element of the list in the field `each`, the outer fields beside it."""
    inner = record.fields.get(each)
    if not isinstance(inner, list):
        known = ", ".join(record.fields)
        raise UserError(
            f"{record.where}: task {spec.name}: `each: {each}` ({spec.where('each')}) needs a list in the field "
            f"`{each}` (fields: {known})."
        )
    outer = {key: value for key, value in record.fields.items() if key != each}
    for number, element in enumerate(inner, 1):
        fields = element if isinstance(element, dict) else {each: element}
        yield Record({**outer, **fields}, f"{record.where}, {each} {number}")


# ---- files ---------------------------------------------------------------------------------------------------------


def find(spec: TaskSpec, value: Any, dirs: Sequence[Path]) -> dict[str, list[Path]] | None:
    """The files that `data: value` names, by field ("" where files hold records); None when one is missing.

    Relative names are looked for beside the task's own file first (a packaged task has none), then in `dirs`.
    """
    bases = [*([] if spec.packaged else [spec.folder]), *dirs]
    named = value if isinstance(value, dict) else {"": value} if isinstance(value, str) else None
    if named is None:  # a list
        named = _by_field(list(value)) or {"": value}
    found = {}
    for field, names in named.items():
        files = [_matches(name, bases) for name in ([names] if isinstance(names, str) else names)]
        if not all(files):
            return None
        found[field] = [path for matched in files for path in matched]
    return found


def _by_field(names: Sequence[str]) -> dict[str, str] | None:
    """`a.en.gz, a.de.gz` -> fields en and de, when the list is of parallel texts; None for files of records."""
    if len(names) < 2 or any(KINDS.get(ending(Path(n)), "text") != "text" for n in names):
        return None
    fields = [ending(Path(name)).removeprefix(".") for name in names]
    if len(set(fields)) < len(fields) or not all(fields):
        fields = [_stem(Path(name)) for name in names]
    return dict(zip(fields, names, strict=True)) if len(set(fields)) == len(fields) else None


def _matches(name: str, bases: Sequence[Path]) -> list[Path]:
    expanded = Path(name).expanduser()
    for base in [Path()] if expanded.is_absolute() else bases:
        path = base / expanded
        if path.is_file():
            return [path]
        matched = sorted(p for p in glob.glob(str(path), recursive=True) if os.path.isfile(p))
        if matched:
            return [Path(p) for p in matched]
    return []


def _not_here(spec: TaskSpec, part: str, value: Any, dirs: Sequence[Path]) -> str:
    names = list(value.values()) if isinstance(value, Mapping) else [value] if isinstance(value, str) else value
    bases = [*([] if spec.packaged else [spec.folder]), *dirs]
    missing = next((name for name in names if not _matches(name, bases)), names[0])
    origin = f" It is from {spec.origin}." if spec.origin else ""
    looked = ", ".join(map(str, bases))
    return (
        f"{spec.where(part)}: task {spec.name}: {missing} is not on this machine (looked in {looked}).{origin} "
        "Name the folder that holds it with --data DIR or SMALLM_DATA."
    )


def _stem(path: Path) -> str:
    """The file's name without its endings: `blimp/passive_1.jsonl.gz` -> passive_1."""
    name = path.name
    for suffix in (".gz", ".zst", ending(path)):
        name = name.removesuffix(suffix) if suffix else name
    return name


def _files(spec: TaskSpec, found: dict[str, list[Path]]) -> Iterator[Record]:
    if spec.reader is not None:
        from smallm.evaluate.task_readers import READERS

        if spec.reader not in READERS:
            raise spec.error("reader", f"reader is `{spec.reader}`; it must be one of {', '.join(READERS)}.")
        yield from READERS[spec.reader](found)
        return
    if "" not in found:
        yield from parallel(found)
        return
    for path in found[""]:
        stem = _stem(path)
        for record in read_file(path):
            record.fields.setdefault("_file", stem)
            yield record


# ---- the Hub and generators ----------------------------------------------------------------------------------------

# Names of data sets whose Hub did not answer: asked once a process.
_unreachable: list[str] = []


def _hub(spec: TaskSpec, part: Part) -> Iterator[Record]:
    """A split of a data set of the Hub, at one commit."""
    hub, origin = spec.hub, f" It is from {spec.origin}." if spec.origin else ""
    local = f" Or put its file {spec.data} into a folder named with --data DIR." if isinstance(spec.data, str) else ""
    split = hub["split"] if part == "data" else hub["train_split"]
    if _unreachable:
        raise MissingData(
            f"{spec.where('hub')}: task {spec.name}: {hub['name']} is on the Hub, which does not answer.{origin}{local}"
        )
    try:
        rows = list(_hub_rows(hub, split))
    except Exception as error:  # the Hub's client raises its transport's errors, of many kinds
        said = error if isinstance(error, UserError) else f"{hub['name']}: the Hub does not answer ({error})."
        if not isinstance(error, UserError) or "cannot be asked" in str(error):
            _unreachable.append(hub["name"])
        raise MissingData(f"{spec.where('hub')}: task {spec.name}: {said}{origin}{local}") from None
    for number, row in enumerate(rows, 1):
        yield Record(row, f"{hub['name']} {split}: row {number}")


def _hub_rows(hub: Mapping[str, Any], split: str) -> Iterator[dict[str, Any]]:
    import datasets

    from smallm.data.hub import commit

    revision = commit(hub["name"], hub["revision"])
    try:
        subset = hub["subset"]
        subsets = datasets.get_dataset_config_names(hub["name"], revision=revision) if subset == "all" else [subset]
        for name in subsets:
            for row in datasets.load_dataset(hub["name"], name, split=split, revision=revision):
                yield {**dict(row), "_subset": name}
    except Exception as error:  # datasets raises a dozen kinds, all of them "this cannot be had"
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{hub['name']}, split {split}: cannot be loaded ({line}).") from None


def _synth(spec: TaskSpec) -> Iterator[Record]:
    """`items` records of a generator of ours."""
    import importlib
    import pkgutil

    import smallm.data.synth as package

    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    name = spec.synth
    module = importlib.import_module(f"smallm.data.synth.{name}") if name in names else None
    make = getattr(module, "records", None)
    if not re.fullmatch(r"[a-z_0-9]+", name) or make is None:
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise spec.error("synth", f"synth: {name} is no generator of tasks.{hint}")
    for number, fields in enumerate(make(spec.seed, spec.items or 500), 1):
        yield Record(dict(fields), f"synth {name}, seed {spec.seed}: record {number}")
