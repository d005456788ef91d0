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
from smallm.model.decoder import Decoder
from smallm.model.families import load_pretrained
from smallm.model.resolve import HUB_FILES, WEIGHTS, is_model_directory, resolve_model

__all__ = ["HUB_FILES", "LoadedModel", "is_model_directory", "load_model", "resolve_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A decoder in evaluation mode and its tokenizer (None when the directory has none)."""

    model: Decoder
    tokenizer: Any
    path: Path
    config: ModelConfig
    facts: dict[str, Any] = field(default_factory=dict)  # smallm.json, where smallm wrote the model

    def verify(self) -> None:
        """UserError when the weights are not those that smallm.json was written for (reads them whole)."""
        written = self.facts.get("weights_sha256")
        if written and (found := sha256_file(self.path / WEIGHTS)) != written:
            raise UserError(
                f"{self.path / WEIGHTS}: hash {found[:8]}… but smallm.json says {written[:8]}…. The weights were "
                "changed after they were saved. Train again, or delete weights_sha256 if the change was meant."
            )


def load_model(
    path: Path | str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> LoadedModel:
    """The model of a directory (or whatever `resolve_model` takes), checked against its tokenizer.

    UserError: no model, torn weights, or a tokenizer of another run.
    """
    directory = resolve_model(path)
    facts = _facts(directory)
    _check_tokenizer_hash(directory, facts)
    tokenizer = _tokenizer(directory)
    model = load_pretrained(directory, dtype=dtype, device=device)
    if tokenizer is not None and len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"{directory}: the model's vocabulary is {model.config.vocab_size} but its tokenizer has "
            f"{len(tokenizer)} tokens. They come from different runs."
        )
    return LoadedModel(model, tokenizer, directory, model.config, facts)


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


def _tokenizer(directory: Path) -> Any:
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
