"""The stage `examples`: the recipe's sets, rendered and audited, to tokens/<name>/.

    train-<k>-NNNNN.bin/.idx/.mask   the examples of set k, one document each; validation-NNNNN likewise
    test.jsonl                       one test example a line, for base against tuned
    examples.parquet                 every example with its split and lengths, for cards
    audit.json, manifest.json        what was found, and what the tokens are

Equal recipes, data, tokenizer and code give equal bytes. A broken law writes nothing (UserError).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import count, say, warn
from smallm.core.errors import UserError
from smallm.core.files import (
    HashCache,
    new_directory,
    read_json,
    sha256_bytes,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)
from smallm.core.run import Run
from smallm.core.tokenfile import write_shard
from smallm.finetune.audit import SHOWN, SPLITS, Audit, Row, audit
from smallm.finetune.lengths import check_length
from smallm.finetune.render import Renderer, end_ids_of
from smallm.tokenizer.directory import COPIED
from smallm.tokenizer.words import id_dtype

FORMAT = "smallm-examples-1"
SHARD_TOKENS = 100_000_000
# Of a base: what decides its tokens, where rows end, and how long they may be. The weights are the training's input.
TOKENIZER_FILES = (*COPIED, "config.json", "smallm_model.json", "generation_config.json")
# The code that shapes the tokens: its hash is part of the key (tests hold the list equal to what is imported).
CODE = {
    "finetune": (
        "audit", "chat_template", "columns", "conversations", "describe", "duplicates", "examples", "formats",
        "lengths", "readers", "render", "sets", "shown", "sources", "splits", "templates", "tokens",
    ),
    "core": ("tokenfile",),
    "evaluate": ("templates",),
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """What rendering needs of a base: its tokenizer's directory, config.json and generation_config.json."""

    directory: Path
    name: str
    config: dict[str, Any]
    generation: dict[str, Any]


def base_of(recipe: Recipe, run: Run) -> Base:
    """The base of a recipe: the run's tokenizer/ where it tunes its own model, else what `finetune.model` names.

    UserError: not there yet (which command makes it), or without tokenizer. The own base need not be trained.
    """
    if recipe.finetune.model is None:
        directory = run.path / "tokenizer"
        if not (directory / "tokenizer.json").is_file():
            raise UserError(
                f"{directory}: not there yet, and the examples are rendered with this run's own tokenizer. Make it "
                f"with `smallm run RECIPE --run {run.path} --only data --only tokenizer` (RECIPE as given here), or "
                "name another base with finetune.model."
            )
        return Base(directory, "this run's base (model.context)", {"context": recipe.model.context}, {})
    directory = _directory(recipe, run)
    own = next((n for n in ("config.json", "smallm_model.json") if (directory / n).is_file()), None)
    return Base(
        directory, recipe.finetune.model, _json(directory / own) if own else {},
        _json(directory / "generation_config.json"),
    )  # fmt: skip


def _directory(recipe: Recipe, run: Run) -> Path:
    """Where `finetune.model` lies; of a model of the Hub only what rendering needs is fetched, not its weights."""
    from smallm.finetune.base import base_directory
    from smallm.model.resolve import is_hub_name, resolve_model

    name = recipe.finetune.model
    if name is None or not is_hub_name(name):
        return base_directory(recipe, run)
    return resolve_model(name, revision=recipe.finetune.revision, key="finetune.model", files=TOKENIZER_FILES)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}). Copy the base's files again.") from None
    return found if isinstance(found, dict) else {}


def open_renderer(recipe: Recipe, base: Base) -> Renderer:
    """The recipe's renderer. UserError: a tokenizer that does not open, rows longer than the base takes."""
    from smallm.evaluate.model_tokenizer import open_tokenizer

    check_length(recipe.finetune.max_length, base.config, base.name)
    tokenizer = open_tokenizer(None, base.directory)
    return Renderer(tokenizer, train_on=recipe.finetune.train_on, system=recipe.finetune.system)


def audited(recipe: Recipe, run: Run, *, shown: int = SHOWN) -> tuple[Audit, Renderer, Base]:
    """Every example of the recipe, read, rendered and checked; writes nothing. What failed is in the audit."""
    from smallm.finetune.sets import load_examples  # reads parquet

    base = base_of(recipe, run)
    renderer = open_renderer(recipe, base)
    sets = load_examples(recipe.finetune, recipe.seed)
    return audit(sets, renderer, recipe.finetune, shown=shown), renderer, base


def make_tokens(recipe: Recipe, run: Run) -> Path:
    """Write tokens/<finetune.name>. UserError: whatever the audit found."""
    final = run.path / "tokens" / recipe.finetune.name
    done, renderer, base = audited(recipe, run)
    done.raise_failures()
    with new_directory(final) as directory:
        write_tokens(recipe, done, renderer, base, directory)
    for note in done.notes:
        warn(note)
    for split in SPLITS:
        found = done.figures["splits"][split]
        share = f", {100 * found['trained_share']:.1f} % trained" if found["tokens"] else ""
        say(f"examples: {split} {found['examples']:,} ({count(found['tokens'])} tokens{share})")
    return final


def write_tokens(recipe: Recipe, done: Audit, renderer: Renderer, base: Base, directory: Path) -> None:
    """All files of the artefact into `directory`, the manifest last."""
    from smallm.evaluate.identity import tokenizer_sha256

    vocab_size = max(renderer.tokenizer.get_vocab().values()) + 1
    digest = tokenizer_sha256(base.directory)
    names, weights = _sets(recipe)
    splits: dict[str, Any] = {}
    train = {name: [row for row in done.rows["train"] if row.example.source == name] for name in names}
    shards = [
        shard | {"source": name, "weight": weights[name]}
        for k, name in enumerate(names)
        for shard in _write_shards(directory, f"train-{k}", train[name], vocab_size, digest)
    ]
    splits["train"] = _split(done, "train", shards)
    held = _write_shards(directory, "validation", done.rows["validation"], vocab_size, digest)
    splits["validation"] = _split(done, "validation", list(held))
    splits["test"] = _split(done, "test", [])
    write_text(directory / "test.jsonl", "".join(_test_lines(done.rows["test"])))
    _write_examples(done, directory / "examples.parquet")
    write_json(directory / "audit.json", done.json())
    template = renderer.template
    write_json(
        directory / "manifest.json",
        {
            "format": FORMAT,
            "base": PurePath(recipe.finetune.model).name if recipe.finetune.model else None,
            "tokenizer_sha256": digest,
            "template_sha256": template.sha256,
            "dtype": id_dtype(vocab_size).name,
            "vocab_size": vocab_size,
            "bos_id": template.bos,
            "end_ids": end_ids_of(renderer, base.generation, vocab_size),
            "max_length": recipe.finetune.max_length,
            "train_on": renderer.train_on,
            "system": renderer.system,
            "task": recipe.finetune.task,
            "labels": done.figures["labels"],
            "weights": weights,
            "sources": done.figures["data"].get("sources", []),
            "too_long": {
                "choice": recipe.finetune.too_long,
                **{key: {s: done.figures["splits"][s][key] for s in SPLITS} for key in ("dropped", "cut")},
            },
            "splits": splits,
        },
    )


def _sets(recipe: Recipe) -> tuple[list[str], dict[str, float]]:
    """Names of the recipe's sets in their order, and their weights."""
    from smallm.finetune.sources import open_sets

    opened = open_sets(recipe.finetune)
    return [one.name for one in opened], {one.name: one.source.weight for one in opened}


def _split(done: Audit, split: str, shards: list[dict[str, Any]]) -> dict[str, Any]:
    found = done.figures["splits"][split]
    return {key: found[key] for key in ("examples", "tokens", "trained_tokens", "bytes")} | {"shards": shards}


def _write_shards(
    directory: Path, prefix: str, rows: Sequence[Row], vocab_size: int, tokenizer_sha256: str
) -> Iterator[dict[str, Any]]:
    """The rows as `<prefix>-NNNNN.bin/.idx/.mask`, at most about SHARD_TOKENS each. Gives the manifest's entries."""
    dtype = id_dtype(vocab_size)
    for number, part in enumerate(_parts(rows)):
        path = directory / f"{prefix}-{number:05d}.bin"
        write_shard(
            path,
            [row.ids.astype(dtype, copy=False) for row in part],
            [_name(row.example.id) for row in part],
            [row.bytes for row in part],
            tokenizer_sha256=tokenizer_sha256,
            masks=[row.mask for row in part],
        )
        yield {
            "path": path.name,
            "sha256": sha256_file(path),
            "mask_sha256": sha256_file(path.with_suffix(".mask")),
            "examples": len(part),
            "tokens": sum(len(row.ids) for row in part),
            "trained_tokens": sum(row.trained for row in part),
        }


def _parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row.ids)
        if size >= SHARD_TOKENS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _name(identifier: str) -> bytes:
    """16 bytes for the index: the example's id, filled up with its hash (the sampler takes all bytes for random)."""
    own = bytes.fromhex(identifier)[:8]
    return own + bytes.fromhex(sha256_bytes(own))[: 16 - len(own)]


def _test_lines(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        one = row.example
        line: dict[str, Any] = {
            "id": one.id,
            "messages": [] if one.is_text else [dict(m) for m in row.messages[:-1]],
            "answer": one.answer,
            "prompt_ids_length": row.prompt,
            "source": one.source,
            "cluster": one.cluster,
            "fields": one.fields,
        }
        yield json.dumps(line, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"


def _write_examples(done: Audit, path: Path) -> None:
    """examples.parquet: one row an example, in the order of the splits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(split, row) for split in SPLITS for row in done.rows[split]]
    columns = {
        "id": (pa.string(), [row.example.id for _, row in rows]),
        "split": (pa.string(), [split for split, _ in rows]),
        "source": (pa.string(), [row.example.source for _, row in rows]),
        "messages": (pa.string(), [_messages(row) for _, row in rows]),
        "tokens": (pa.int64(), [len(row.ids) for _, row in rows]),
        "trained": (pa.int64(), [row.trained for _, row in rows]),
    }
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])
    table = pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()}, schema=schema)
    pq.write_table(table, path, compression="zstd")


def _messages(row: Row) -> str:
    return json.dumps([{"role": m["role"], "content": m["content"]} for m in row.messages], ensure_ascii=False)


# ---- the key -------------------------------------------------------------------------------------------------------


def fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """What the tokens hang on outside of the run: the sets, the base's tokenizer and template, and our code.

    The own base's tokenizer is the stage's input. Light: no torch, no tokenizer is opened.
    """
    from smallm.finetune.sources import fingerprint as sets_fingerprint

    found = sets_fingerprint(recipe.finetune, recipe.seed, hashes)
    return found | _base_fingerprint(recipe, hashes) | {"code": code_sha256(recipe)}


def _base_fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The base's tokenizer, template and limits by hash; a model of the Hub by name and revision."""
    from smallm.model.resolve import is_hub_name, resolve_model

    name = recipe.finetune.model
    if name is None:
        return {"model.context": str(recipe.model.context)}
    if is_hub_name(name):
        return {"finetune.model": f"{name}@{recipe.finetune.revision or 'main'}"}
    path = resolve_model(name, key="finetune.model")
    return {f"finetune.model/{n}": hashes(path / n) for n in TOKENIZER_FILES if (path / n).is_file()}


def code_sha256(recipe: Recipe) -> str:
    """The hash of the code that makes the tokens: CODE, the reading of data, our generators where one is named."""
    package = resources.files("smallm")
    files = [package / folder / f"{name}.py" for folder, names in CODE.items() for name in names]
    folders = [package / "data"]
    if any(source.synth or source.reader for source in recipe.finetune.data):  # the statutes draw with its draw.py
        folders.append(package / "data" / "synth")
    files += [f for folder in folders for f in folder.iterdir() if f.name.endswith(".py")]
    return sha256_json(sorted([f.name, sha256_bytes(f.read_bytes())] for f in files))


__all__ = ["Base", "audited", "base_of", "code_sha256", "fingerprint", "make_tokens", "open_renderer", "write_tokens"]
