"""A model directory (`resolve_model` finds it) as our decoder and its tokenizer, checked to belong together.

Files of the weights are hashed on request (`LoadedModel.verify`): that reads them whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file
from smallm.core.hardware import pick_device
from smallm.model.decoder import Decoder
from smallm.model.families import load_pretrained, read_config
from smallm.model.generate import stop_ids_of
from smallm.model.resolve import CONFIG, HUB_FILES, WEIGHTS, is_model_directory, resolve_model
from smallm.model.stored import pick_dtype

__all__ = ["HUB_FILES", "LoadedModel", "is_model_directory", "load_model", "resolve_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A decoder in evaluation mode and its tokenizer (None when the directory has none)."""

    model: Decoder
    tokenizer: Any
    path: Path
    config: ModelConfig
    facts: dict[str, Any] = field(default_factory=dict)  # smallm.json, where smallm wrote the model
    stop_ids: tuple[int, ...] = ()  # end ids of generation_config.json and config.json, beside the tokenizer's

    def verify(self) -> None:
        """UserError when the weights are not those that smallm.json was written for (reads them whole)."""
        written = self.facts.get("weights_sha256")
        if written and (found := sha256_file(self.path / WEIGHTS)) != written:
            raise UserError(
                f"{self.path / WEIGHTS}: hash {found[:8]}… but smallm.json says {written[:8]}…. The weights were "
                "changed after they were saved. Train again, or delete weights_sha256 if the change was meant."
            )


def load_model(
    path: Path | str, *, dtype: torch.dtype | str = torch.float32, device: torch.device | str = "cpu"
) -> LoadedModel:
    """The model of a directory (or whatever `resolve_model` takes), checked against its tokenizer.

    `dtype` "auto": that of the weights where the device multiplies it; `device` "auto": the best one here.
    UserError: no model, torn weights, or a tokenizer of another run.
    """
    directory = resolve_model(path)
    facts = _facts(directory)
    _check_tokenizer_hash(directory, facts)
    tokenizer = tokenizer_beside(directory)
    check_vocabulary(directory, read_config(directory).vocab_size, tokenizer)
    device = torch.device(pick_device() if device == "auto" else device)
    model = load_pretrained(directory, dtype=pick_dtype(dtype, directory, device), device=device)
    return LoadedModel(model, tokenizer, directory, model.config, facts, end_ids(directory))


def check_vocabulary(directory: Path, vocab_size: int, tokenizer: Any) -> None:
    """UserError when the tokenizer has ids that the model does not know."""
    if tokenizer is not None and len(tokenizer) > vocab_size:
        raise UserError(
            f"{directory}: the model's vocabulary is {vocab_size} but its tokenizer has "
            f"{len(tokenizer)} tokens. They come from different runs."
        )


def end_ids(directory: Path) -> tuple[int, ...]:
    """The ids that end a text by generation_config.json, or config.json where that says nothing."""
    for name in ("generation_config.json", CONFIG):
        try:
            found = read_json(directory / name).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue
        if found is not None:
            return tuple(found) if isinstance(found, list) else (int(found),)
    return ()


def text_ends(tokenizer: Any, directory: Path) -> set[int]:
    """The ids at which a written text ends: the tokenizer's and those that the model's directory names."""
    return stop_ids_of(tokenizer) | set(end_ids(directory))


def _facts(directory: Path) -> dict[str, Any]:
    path = directory / "smallm.json"
    if not path.is_file():
        return {}
    try:
        facts = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}). Train again, or delete it to load without its checks.") from None
    return facts if isinstance(facts, dict) else {}


def _check_tokenizer_hash(directory: Path, facts: dict[str, Any]) -> None:
    """A model with another run's tokenizer talks gibberish: say so instead."""
    written, path = facts.get("tokenizer_sha256"), directory / "tokenizer.json"
    if not written or not path.is_file():
        return
    if (found := sha256_file(path)) != written:
        raise UserError(
            f"{directory}: the model was trained with the tokenizer {written[:8]}… but tokenizer.json is "
            f"{found[:8]}…. They come from different runs; copy the tokenizer directory of the model's own run there."
        )


def tokenizer_beside(directory: Path) -> Any:
    """The tokenizer beside the weights; None when there is none."""
    if (directory / "tokenizer.json").is_file():
        from smallm.tokenizer.directory import load_tokenizer

        return load_tokenizer(directory)
    if not any((directory / name).is_file() for name in ("tokenizer.model", "vocab.json")):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{directory}: its tokenizer does not open ({error}).") from None
