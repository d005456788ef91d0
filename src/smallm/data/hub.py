"""A dataset of the Hugging Face Hub, streamed by `datasets`: no copy on this machine.

The commit is resolved once and pinned, so that the manifest says exactly what was read. A local
directory in a layout that `datasets` reads works in the same way (its files are the fingerprint).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from smallm.core.config import SourceConfig, TuneSource
from smallm.core.errors import UserError
from smallm.data.paths import Kind, SourceFile
from smallm.data.records import BadRecords, record_value

COMMIT = re.compile(r"[0-9a-f]{40}")
REMEDY = "Set `revision` to a commit (40 hex digits) that this machine has cached, or read local files with `path`."


def is_local(source: SourceConfig | TuneSource) -> bool:
    return source.hub is not None and Path(source.hub).expanduser().is_dir()


def local_files(source: SourceConfig | TuneSource) -> list[SourceFile]:
    """Every file of a local dataset directory, for hashing."""
    root = Path(source.hub or "").expanduser()
    kind: Kind = "text"
    found = (p for p in sorted(root.rglob("*")) if p.is_file() and not p.name.startswith("."))
    return [SourceFile(p, p.relative_to(root).as_posix(), kind) for p in found]


@lru_cache(maxsize=64)
def commit(dataset: str, revision: str | None) -> str:
    """The commit that `revision` (a branch, a tag, or nothing: main) means now. UserError when the Hub says no."""
    if revision and COMMIT.fullmatch(revision):
        return revision
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    try:
        sha = HfApi().dataset_info(dataset, revision=revision).sha
    except HFValidationError as error:
        raise UserError(f"{dataset}: not the name of a Hub dataset ({error}). Write `owner/name`.") from None
    except RepositoryNotFoundError:
        raise UserError(f"{dataset}: the Hub has no such dataset, or it is private (then: `hf auth login`).") from None
    except (HfHubHTTPError, OSError, httpx.HTTPError) as error:  # offline is httpx's own kind
        raise UserError(f"{dataset}: the Hub cannot be asked for its commit ({_short(error)}). {REMEDY}") from None
    if not sha:
        raise UserError(f"{dataset}: the Hub names no commit for revision {revision or 'main'}. {REMEDY}")
    return sha


def hub_rows(source: SourceConfig | TuneSource) -> Iterator[dict[str, Any]]:
    """The records of one split, in the dataset's order. UserError when it cannot be had or breaks off."""
    import datasets

    name = source.hub or ""
    local = is_local(source)
    revision = None if local else commit(name, source.revision)
    try:
        stream = datasets.load_dataset(
            str(Path(name).expanduser()) if local else name,
            source.subset,
            split=source.split,
            revision=revision,
            streaming=True,
        )
        rows = iter(stream)
        row = next(rows, None)
    except Exception as error:  # datasets raises a dozen kinds, all of them "this cannot be had"
        raise UserError(
            f"{name}: cannot be streamed: {_short(error)}. Check subset, split, revision. {REMEDY}"
        ) from None
    number = 0
    while row is not None:
        number += 1
        if not isinstance(row, dict):
            raise UserError(f"{name}, record {number}: a {type(row).__name__}, not a record with fields.")
        yield row
        try:
            row = next(rows, None)
        except Exception as error:
            raise UserError(
                f"{name}: the stream broke after {number} records: {_short(error)}. Run it again."
            ) from None


def hub_texts(source: SourceConfig, bad: BadRecords) -> Iterator[str]:
    """The texts of one split, in the dataset's order, as they arrive."""
    name = source.hub or ""
    file, number, before = SourceFile(Path(name), name, "jsonl"), 0, bad.count
    for number, row in enumerate(hub_rows(source), start=1):
        value = record_value(row, source.text, file, number, bad, number == 1)
        if value is not None:
            yield value
    bad.judge(file, bad.count - before, number)


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
