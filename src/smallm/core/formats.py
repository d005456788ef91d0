"""The schema of every file of a run: one table, which checks files and writes docs/formats.md.

JSON and JSONL have JSON Schemas, parquet its columns, token shards their struct (core/tokenfile.py).
Files in formats of others (Hugging Face directories, HTML) are named, and checked by their readers.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from smallm.core.errors import UserError
from smallm.core.format_checks import Format, check
from smallm.core.formats_compare_tuned import COMPARE_TUNED_FORMATS
from smallm.core.formats_eval import EVALUATION_FORMATS, HEX64, SAMPLE
from smallm.core.formats_examples import EXAMPLES_FORMATS
from smallm.core.formats_tuned import TUNED_FILES, TUNED_FORMATS
from smallm.core.schemas import anything, array, integer, mapping, maybe, number, one_of, record, text

_SHARD = record(
    {"path": text("beside the manifest"), "sha256": HEX64, "documents": integer()},
    optional={"bytes": integer("of text, UTF-8"), "tokens": integer()},
)
_SPLIT = record(
    {"documents": integer(), "bytes": integer("of text, UTF-8"), "shards": array(_SHARD)},
    optional={"characters": integer(), "tokens": integer("BOS of each document included")},
)
_SPLITS = record({"train": _SPLIT, "validation": _SPLIT})
_SOURCE = record(
    {
        "name": text(),
        "kind": one_of("path", "hub", "synth", "builtin"),
        "spec": text("the path, data set or generator"),
        "license": maybe(text("SPDX identifier or other")),
        "documents_mode": text("what a document is: file, line, blank-lines, record, story, …"),
        "read": record({"documents": integer(), "bytes": integer()}, extra=True),
        "bad_records": integer("unreadable ones, passed over"),
        "dropped": mapping(integer(), "reason -> documents"),
        "kept": record({"documents": integer(), "bytes": integer()}, extra=True),
    },
    optional={
        "files": array(record({"path": text(), "sha256": HEX64, "bytes": integer()}), "what was read"),
        "generator": text(),
        "version": text("of the generator"),
        "seed": integer(),
        "commit": text("of the data set on the Hub"),
    },
    extra=True,
)

FORMATS: tuple[Format, ...] = (
    Format("recipe", ("recipe.yaml",), "yaml", "The recipe as run, every default written out."),
    Format("resolved", ("resolved.json",), "json", "Automatic decisions, taken once.", mapping(anything())),
    Format(
        "stage",
        ("*/stage.json", "tokens/*/stage.json", "tuned/*/stage.json", "eval/*/stage.json"),
        "json",
        "Beside each finished artefact: what made it, from what, and what it holds.",
        record(
            {
                "stage": text(),
                "stage_version": integer(),
                "key": text("hash of the version, the inputs and the configuration"),
                "inputs": mapping(text(), "artefact or source file -> hash"),
                "config": anything("the part of the recipe that affects the result"),
                "outputs": mapping(record({"sha256": HEX64, "bytes": integer()}), "file -> hash and size"),
                "versions": mapping(text()),
                "seed": integer(),
                "seconds": number("wall clock"),
                "peak_bytes": integer("the process's peak resident memory"),
            },
            optional={
                "unkeyed": array(text(), "outputs that no later key depends on (a clock wrote them)"),
                "borrowed": text("the run beside this one that made the files, which were copied from there"),
            },
        ),
    ),
    Format(
        "documents",
        ("data/train-*-of-*.parquet", "data/validation-*-of-*.parquet"),
        "parquet",
        "The documents, zstd; ids are the first 16 bytes of the sha256 of the NFC text, hexadecimal.",
        columns={"id": "string", "text": "string", "source": "string"},
        more_columns=True,
    ),
    Format(
        "dropped documents",
        ("data/dropped/*.parquet",),
        "parquet",
        "One file a reason; the text of the first 100, null after that.",
        columns={"id": "string", "source": "string", "reason": "string", "text": "string"},
    ),
    Format(
        "data manifest",
        ("data/manifest.json",),
        "json",
        "Where the text came from, what was dropped, how it was split.",
        record(
            {
                "sources": array(_SOURCE),
                "dropped": mapping(integer(), "reason -> documents"),
                "splits": _SPLITS,
                "split_rule": text(),
                "seed": integer(),
            }
        ),
    ),
    Format(
        "tokenizer report",
        ("tokenizer/report.json",),
        "json",
        "What the tokenizer does to this text, on held-out documents.",
        record(
            {
                "kind": text("bpe, unigram, char, or what a given tokenizer says"),
                "vocab_size": integer(),
                "used_tokens": integer("of the vocabulary, in a sample of both splits"),
                "bytes_per_token": maybe(number()),
                "by_source": mapping(maybe(number()), "source -> bytes per token"),
                "longest_tokens": array(text()),
                "trained_on_bytes": integer(),
                "seconds": number(),
                "sha256": text("of tokenizer.json", pattern="[0-9a-f]{64}"),
            }
        ),
    ),
    Format(
        "token shard",
        ("tokens/*/train-*.bin", "tokens/*/validation-*.bin"),
        "tokens",
        "256 bytes of header (magic `smallmT1`, version u32, bytes a token u32, count u64, sha256 of the tokenizer "
        "32 bytes, zeros), then uint16 or uint32 ids, little-endian; each document starts with BOS.",
    ),
    Format(
        "token index",
        ("tokens/*/train-*.idx", "tokens/*/validation-*.idx"),
        "index",
        "32 bytes a document: start u64, length u32 (tokens, BOS included), UTF-8 bytes u32 of the text, "
        "id 16 bytes (as in the documents' table, not hexadecimal).",
    ),
    Format(
        "token manifest",
        ("tokens/base/manifest.json",),
        "json",
        "Shards, counts, and the tokenizer that made them.",
        record(
            {
                "tokenizer_sha256": HEX64,
                "dtype": one_of("uint16", "uint32"),
                "vocab_size": integer(),
                "splits": _SPLITS,
            }
        ),
    ),
    *EXAMPLES_FORMATS,
    Format(
        "model facts",
        ("base/smallm.json",),
        "json",
        "What the model is and what it took.",
        record(
            {
                "parameters": integer(),
                "non_embedding_parameters": integer(),
                "model": mapping(anything(), "the ModelConfig, complete"),
                "tokenizer_sha256": HEX64,
                "tokens_seen": integer(),
                "steps": integer(),
                "train_seconds": number(),
                "flops": number("of the whole training, counting 6N"),
                "weights_sha256": HEX64,
            },
            extra=True,
        ),
    ),
    Format(
        "metrics",
        ("base/metrics.jsonl", "tuned/*/metrics.jsonl", "checkpoints/*/metrics.jsonl"),
        "jsonl",
        "What is deterministic in training; step 0 is the untrained model's validation.",
        record(
            {"step": integer(), "tokens": integer("seen so far")},
            optional={
                "loss": number("nats a token, mean since the row before"),
                "learning_rate": number(),
                "grad_norm": number("before clipping"),
                "validation_loss": number("nats a token"),
                "validation_bits_per_byte": number(),
                "trained_tokens": integer("of a fine-tuning: tokens with a loss, seen so far"),
                "skipped_steps": integer("left out so far, since a gradient overflowed in float16"),
                "tasks": mapping(mapping(number()), "task -> metric -> value, on the first items of cheap tasks"),
            },
        ),
    ),
    Format(
        "timing",
        ("base/timing.jsonl", "tuned/*/timing.jsonl", "checkpoints/*/timing.jsonl"),
        "jsonl",
        "What a clock gave in training.",
        record(
            {
                "step": integer(),
                "seconds": number("of training so far"),
                "tokens_per_second": number(),
                "mfu": maybe(number("share of the peak rate, 6N; null where no peak is cited")),
                "memory_bytes": integer(),
            }
        ),
    ),
    Format(
        "training samples",
        ("base/samples.jsonl", "tuned/*/samples.jsonl", "checkpoints/*/samples.jsonl"),
        "jsonl",
        "What the model wrote while it was trained.",
        record({"step": integer(), **SAMPLE}),
    ),
    *TUNED_FORMATS,
    *TUNED_FILES,
    *COMPARE_TUNED_FORMATS,
    *EVALUATION_FORMATS,
    Format(
        "Hugging Face directory",
        ("tokenizer/*", "base/*"),
        "other",
        "tokenizer.json, config.json, model.safetensors, …: as Transformers reads them. A model that no family's "
        "layout expresses has smallm_model.json instead of config.json, and opens in smallm only.",
    ),
    Format("card", ("*/README.md", "tokens/*/README.md"), "other", "A card with the Hub's metadata."),
    Format("report", ("report/*", "report/figures/*"), "other", "The page, the same as Markdown, and its figures."),
    Format("explanation", ("explain/*.html",), "other", "What a model did with a prompt: a page complete in itself."),
    Format(
        "checkpoint",
        ("checkpoints/*/step-*/*", "checkpoints/*/*"),
        "other",
        "model.safetensors, optimizer.safetensors, state.json and their hashes; private to the run.",
    ),
)


def format_of(path: Path, root: Path) -> Format | None:
    """The row for a file of the run at `root`, the first that matches; None for a file that no row knows."""
    relative = PurePosixPath(path.relative_to(root).as_posix())
    for row in FORMATS:
        for pattern in row.patterns:
            if len(PurePosixPath(pattern).parts) == len(relative.parts) and relative.match(pattern):
                return row
    return None


def validate(path: Path, run_root: Path) -> None:
    """Raises UserError with every way in which the file is not what its format says."""
    row = format_of(path, run_root)
    if row is None:
        raise UserError(f"{path}: no file of a run has this name (docs/formats.md lists them).")
    try:
        found = check(path, row.kind, row.schema, row.columns, row.more_columns)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        found = [f"cannot be read ({error})"]
    if found:
        raise UserError("\n".join(f"{path}: {problem}" for problem in found[:20]))


def validate_run(run_root: Path) -> list[Path]:
    """Validate every file of a run but hidden ones; returns them. Raises as `validate` does."""
    files = sorted(
        p
        for p in run_root.rglob("*")
        if p.is_file() and not any(x.startswith(".") for x in p.relative_to(run_root).parts)
    )
    for path in files:
        validate(path, run_root)
    return files
