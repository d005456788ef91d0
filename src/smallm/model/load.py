"""MODEL, wherever a command takes one: a model directory, a run, or a Hub name; and what it loads to.

`resolve_model` turns the name into a directory, `load_model` the directory into a decoder and its
tokenizer, after checking that they belong together. Files of the weights are hashed on request
(`LoadedModel.verify`): that reads them whole.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file
from smallm.model.decoder import Decoder
from smallm.model.families import CONFIG, OWN_CONFIG, WEIGHTS, load_pretrained

# What is fetched of a model of the Hub: no pickle, no code.
HUB_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt", "vocab.txt", "README.md")


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


def is_model_directory(path: Path) -> bool:
    return (path / CONFIG).is_file() or (path / OWN_CONFIG).is_file()


def resolve_model(name: str | Path) -> Path:
    """The model directory that `name` means: itself, the newest model of a run, or a Hub model (downloaded).

    UserError: nothing there, a run without a finished model, an adapter, a Hub that cannot be reached.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if is_model_directory(path):
            return path
        if (path / "adapter_config.json").is_file():
            raise UserError(f"{path}: an adapter, not a whole model. Merge it into its base model first.")
        return _newest_of_run(path)
    if path.exists():
        raise UserError(f"{path}: a file. A model is a directory with {CONFIG} and {WEIGHTS}; name that.")
    if _is_local(str(name)):
        raise UserError(f"{name}: there is no such directory.{_nearest(path)}")
    return _from_hub(str(name))


def _newest_of_run(run: Path) -> Path:
    """The model of the run that was finished last: base/ or one of tuned/."""
    candidates = [p for p in (run / "base", *sorted(run.glob("tuned/*"))) if is_model_directory(p)]
    if not candidates:
        inside = ", ".join(sorted(p.name for p in run.iterdir() if not p.name.startswith("."))[:8]) or "nothing"
        if (run / "recipe.yaml").is_file() or (run / "checkpoints").is_dir():
            raise UserError(f"{run}: the run has no finished model yet (it has {inside}). `smallm run` completes it.")
        raise UserError(f"{run}: no model there: no {CONFIG}, and no base/ or tuned/ as a run has. It has {inside}.")

    def finished(path: Path) -> float:
        record = path / "stage.json"
        return (record if record.exists() else path).stat().st_mtime

    return max(candidates, key=finished)


def _is_local(name: str) -> bool:
    """Is this meant as a path? Hub names are `model` or `owner/model`, and nothing of that name is begun here."""
    parts = name.replace("\\", "/").split("/")
    return (
        name.startswith((".", "/", "~"))
        or "\\" in name
        or len(parts) > 2
        or (len(parts) == 2 and (Path(parts[0]).is_dir() or parts[0] == "runs" or not parts[1]))
    )


def _nearest(path: Path) -> str:
    """' Did you mean …?' or what stands beside it."""
    if not path.parent.is_dir():
        return f" {path.parent} does not exist either."
    names = sorted(p.name for p in path.parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f" Did you mean {path.parent / close[0]}?"
    return f" {path.parent} has: {', '.join(names[:8])}." if names else f" {path.parent} holds no directories."


def _from_hub(name: str) -> Path:
    """The local copy of a Hub model; fetched once, then found in the Hub's cache even offline."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except HFValidationError:
        raise UserError(f"{name}: neither a directory here nor a name that the Hugging Face Hub could have.") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{name}: no directory here and no model of the Hugging Face Hub has this name (or it is private)."
        ) from None
    except Exception as error:  # the client raises its transport's own errors, of many kinds
        raise UserError(
            f"{name}: no directory here, and the Hugging Face Hub could not be reached ({type(error).__name__}). "
            "Name a local directory or run, or try again with a connection."
        ) from None


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
