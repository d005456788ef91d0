"""The tokenizer that a model is scored with: beside its weights or adapter, or named by the caller; does it fit?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.evaluate.identity import holds_tokenizer, tokenizer_sha256

TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"


def open_tokenizer(asked: Any, *beside: Path, trust_remote_code: bool = False) -> Any:
    """`asked` (a tokenizer, a directory, a run or a Hub name), else the first of `beside` that holds one.

    UserError: there is none, or it does not open.
    """
    if asked is not None and not isinstance(asked, str | Path):
        return _prepared(asked)
    if asked is not None:
        path = Path(asked).expanduser()
        path = path / "tokenizer" if holds_tokenizer(path / "tokenizer") and not holds_tokenizer(path) else path
        if path.is_dir() and not holds_tokenizer(path):
            raise UserError(f"tokenizer: {path} holds no tokenizer (no tokenizer.json, tokenizer.model or vocab.json).")
        return _prepared(_open(path if path.is_dir() else str(asked), trust_remote_code))
    for directory in beside:
        if holds_tokenizer(directory):
            return _prepared(_open(directory, trust_remote_code))
    raise UserError(
        f"{beside[-1]}: no tokenizer beside the weights, so text cannot be turned into ids. Name one with tokenizer=."
    )


def check_belongs(tokenizer: Any, vocab_size: int, directory: Path, *, same: bool = True) -> None:
    """UserError when the tokenizer gives ids that the model does not have.

    `same`: also when smallm.json says that the model was trained with another one (an adapter may bring its own).
    """
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= vocab_size:
        raise UserError(
            f"{directory}: the model's vocabulary is {vocab_size} but its tokenizer has ids up to {largest}. "
            "They do not belong together."
        )
    facts = read_json(directory / "smallm.json") if same and (directory / "smallm.json").is_file() else {}
    written = facts.get("tokenizer_sha256")
    if written and (found := tokenizer_sha256(tokenizer)) != written:
        raise UserError(
            f"{directory}: the model was trained with the tokenizer {written[:8]}…, this one is {found[:8]}…. "
            "They come from different runs; leave tokenizer= out, or name the run's own."
        )


def _open(source: Path | str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    local = isinstance(source, Path)
    try:
        return AutoTokenizer.from_pretrained(str(source), local_files_only=local, trust_remote_code=trust_remote_code)
    except Exception as error:  # a file of any shape, or a Hub: both raise what they like
        first = " ".join(str(error).split())[:200]
        where = "does not open" if local else "is no directory here and could not be had from the Hub"
        raise UserError(f"tokenizer: {source} {where} ({type(error).__name__}: {first}).") from None


def _prepared(tokenizer: Any) -> Any:
    """Transformers warns at texts longer than the model's window; windows are cut here, by rule."""
    warned = getattr(tokenizer, "deprecation_warnings", None)
    if isinstance(warned, dict):
        warned[TOO_LONG] = True
    return tokenizer
