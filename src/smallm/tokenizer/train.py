"""The tokenizer stage: data/ -> tokenizer/, trained here or copied from tokenizer.path."""

from __future__ import annotations

import json
import time
from pathlib import Path

from smallm.core.config import Recipe, TokenizerConfig
from smallm.core.console import count, say
from smallm.core.errors import UserError
from smallm.core.files import new_directory, write_json
from smallm.core.run import Run
from smallm.tokenizer import documents
from smallm.tokenizer.bpe import train_bpe
from smallm.tokenizer.char import NO_GGUF, train_char
from smallm.tokenizer.directory import copy_directory, load_tokenizer, write_directory
from smallm.tokenizer.report import make_report
from smallm.tokenizer.specials import RESERVED
from smallm.tokenizer.unigram import to_tokenizers, train_unigram

SMALLEST = len(RESERVED) + 256  # specials and bytes


def make_tokenizer(recipe: Recipe, run: Run) -> Path:
    """Train (or copy) the tokenizer that the recipe asks for, write it and its report.json."""
    final, data, config = run.path / "tokenizer", run.path / "data", recipe.tokenizer
    began = time.monotonic()
    with new_directory(final) as directory:
        if config.path is not None:
            source = Path(config.path).expanduser()
            opener = copy_directory(source, directory)
            kind, trained_on = kind_of(directory), 0
            say(f"tokenizer: copied from {source}; {opener} opens every document")
        else:
            kind, trained_on = config.kind, train_directory(directory, data, config)
        report = make_report(directory, data, kind, trained_on, time.monotonic() - began)
        write_json(directory / "report.json", report)
    per_token = report["bytes_per_token"]
    say(
        f"tokenizer: {kind}, {report['vocab_size']} tokens ({report['used_tokens']} used), "
        f"{'not measured' if per_token is None else f'{per_token:.2f}'} bytes a token on held-out text"
    )
    if kind == "char":
        say(f"note: {NO_GGUF}")
    return final


def train_directory(directory: Path, data: Path, config: TokenizerConfig) -> int:
    """Train on an even sample of data's train split, write into `directory`. Returns the bytes read."""
    read = 0

    def note(size: int) -> None:
        nonlocal read
        read += size

    if config.kind == "char":  # one cheap pass finds them all: a rare character must not be unknown in training
        whole = ((text, "") for batch in documents.read_documents(data, "train") for text in batch.texts)
        write_directory(directory, train_char(documents.counted(whole, note)), kind="char")
        return read
    check_size(config)
    texts = documents.counted(documents.sample(data, "train", config.train_bytes, config.kind), note)
    if config.kind == "unigram":
        model = train_unigram(texts, config.vocab_size)
        write_directory(directory, to_tokenizers(model), kind="unigram", model_proto=model)
        return read
    tokenizer = train_bpe(texts, config.vocab_size)
    found = tokenizer.get_vocab_size()
    if found < config.vocab_size:
        raise UserError(
            f"tokenizer.vocab_size: {config.vocab_size}, but {count(read, 'B')} of text support only {found} tokens "
            f"(pairs that occur twice). Set tokenizer.vocab_size to at most {found}, or give more text"
            f"{' or raise tokenizer.train_bytes' if read >= 0.9 * config.train_bytes else ''}."
        )
    write_directory(directory, tokenizer, kind="bpe")
    return read


def check_size(config: TokenizerConfig) -> None:
    if config.vocab_size < SMALLEST:
        raise UserError(
            f"tokenizer.vocab_size: {config.vocab_size} is too small: {len(RESERVED)} specials and 256 bytes are "
            f"{SMALLEST} tokens already. Set at least {SMALLEST}, or tokenizer.kind: char for a character-level model."
        )


def kind_of(directory: Path) -> str:
    """bpe, unigram, char, or the model type of a tokenizer that was not trained here."""
    data = json.loads(load_tokenizer(directory).backend_tokenizer.to_str())
    name = data["model"]["type"].lower()
    return "char" if name == "wordlevel" and (data["pre_tokenizer"] or {}).get("type") == "Split" else name
