"""A scorer that reads its weights only when a score is wanted: what the cache needs to know comes from the disk.

Identity first: the hashes of weights, configuration and tokenizer, the options, this machine and the libraries decide a
model's settings, so a note of an earlier load under that hash gives them back. A model seen for the first time is
loaded at once, and so is a server. If the files change between the note and the load, nothing is scored.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, sha256_json, write_json
from smallm.core.hardware import cpu_bf16, cpu_name, has_bf16, pick_device
from smallm.evaluate.identity import TOKENIZER_FILES, config_sha256, is_adapter, weights_sha256
from smallm.evaluate.requests import Request, Score

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
             "chat_template.json", "smallm.json", *TOKENIZER_FILES)  # fmt: skip
LIBRARIES = ("smallm", "torch", "transformers", "tokenizers", "peft", "bitsandbytes")
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
NOTED = ("settings", "parameters", "max_length", "weights_sha256", "tokenizer_sha256")


@dataclass(frozen=True)
class Files:
    """A model's directory and, for an adapter, its base's (else the same)."""

    directory: Path
    base: Path


def files_of(model: str | Path) -> Files:
    """Where the model lies; a Hub model is fetched. UserError as `resolve_model`."""
    path = Path(model).expanduser()
    if path.is_dir() and is_adapter(path):
        from smallm.evaluate.adapters import base_name

        return Files(path, _resolved(base_name(path)))
    directory = _resolved(model, adapters=True)
    return files_of(directory) if is_adapter(directory) else Files(directory, directory)


def _resolved(model: str | Path, adapters: bool = False) -> Path:
    """As `resolve_model`, which also asks the Hub; here the plain cases, at once."""
    path = Path(model).expanduser()
    for plain in (path, path / "base") if not (path / "tuned").exists() else (path,):
        if (plain / "config.json").is_file() and (plain / "model.safetensors").is_file():
            return plain
    from smallm.model.resolve import resolve_model

    return resolve_model(model, adapters=adapters)


class LazyScorer:
    """The `Scorer` of a model and the options of `load_scorer`. `loads` counts how often weights were read."""

    def __init__(self, model: str, options: dict[str, Any], notes: Path) -> None:
        self.name, self.options, self.notes = model, options, notes
        self.loads = 0
        self._scorer: Any = None
        self._tokenizer: Any = None
        self.files = None if model.startswith(("http://", "https://")) else files_of(model)
        self._note_file = self._path()
        known = self._noted()
        if known is None:
            known = self._facts_of(self._loaded())
            self._note(known)
        self.settings: dict[str, Any] = known["settings"]
        self.parameters: int | None = known["parameters"]
        self.max_length: int = known["max_length"]
        self.weights_sha256: str | None = known["weights_sha256"]
        self.tokenizer_sha256: str = known["tokenizer_sha256"]

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        return self._loaded().loglikelihoods(requests)

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        return self._loaded().rolling(texts)

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        return self._loaded().generate(prompts, until=until, max_new_tokens=max_new_tokens)

    def score(self, pairs: Any, done: Any) -> list[tuple[float, bool]]:
        """Token pairs, as `TextScorer.score`."""
        return self._loaded().score(pairs, done)

    def write(self, prompts: list[list[int]], until: Sequence[str], max_new_tokens: int) -> list[str]:
        """Prompts of ids, as `TextScorer.write`."""
        return self._loaded().write(prompts, until, max_new_tokens)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        from smallm.evaluate.scorer import TextScorer

        return TextScorer.chat(self, messages)  # type: ignore[arg-type]  (it needs a name and a tokenizer)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer alone: the weights stay on the disk."""
        if self._scorer is not None:
            return self._scorer.tokenizer
        if self._tokenizer is None and self.files is not None:
            from smallm.evaluate.model_tokenizer import open_tokenizer

            beside = dict.fromkeys((self.files.directory, self.files.base))
            self._tokenizer = open_tokenizer(self.options.get("tokenizer"), *beside)
        return self._tokenizer

    def _loaded(self) -> Any:
        """The scorer itself. UserError: the model is no longer the one that was looked at."""
        if self._scorer is None:
            from smallm.evaluate.scorer import load_scorer

            scorer = load_scorer(self.name, **self.options)
            self.loads += 1
            found = self._facts_of(scorer)
            noted = {name: getattr(self, name) for name in NOTED if hasattr(self, name)}
            if any(found[name] != value for name, value in noted.items()):
                self._forget()
                raise UserError(f"{self.name}: it changed while it was evaluated. Run the same command again.")
            self._scorer = scorer
        return self._scorer

    @staticmethod
    def _facts_of(scorer: Any) -> dict[str, Any]:
        return {name: getattr(scorer, name) for name in NOTED}

    # ---- notes of earlier loads ------------------------------------------------------------------------------------

    def _path(self) -> Path | None:
        """The note's file, named by everything that decides the settings; None for what lies on no disk of ours."""
        asked = self.options.get("tokenizer")
        if self.files is None or (asked is not None and not Path(str(asked)).expanduser().is_dir()):
            return None
        directory, base = self.files.directory, self.files.base
        places = [*dict.fromkeys((directory, base)), *([Path(str(asked)).expanduser()] if asked else [])]
        key = sha256_json(
            [
                weights_sha256(directory, base if is_adapter(directory) else None),
                config_sha256(*dict.fromkeys((directory, base)), code=bool(self.options.get("trust_remote_code"))),
                # Names of directories stand in settings (an adapter's), so they count here.
                [[place.name, _tokenizer_files(place)] for place in places],
                {name: str(value) for name, value in sorted(self.options.items())},
                [cpu_name(), cpu_bf16(), _cards()],
                {name: _version(name) for name in LIBRARIES},
            ]
        )
        return self.notes / key[:2] / f"{key}.json"

    def _noted(self) -> dict[str, Any] | None:
        path = self._note_file
        with contextlib.suppress(OSError, ValueError):
            found = read_json(path) if path else None
            if isinstance(found, dict) and found.keys() >= set(NOTED) and isinstance(found["settings"], dict):
                return {name: found[name] for name in NOTED}
        return None

    def _note(self, facts: dict[str, Any]) -> None:
        path = self._note_file
        with contextlib.suppress(OSError, TypeError, ValueError):  # without a note the next run loads the model
            if path and facts["weights_sha256"] is not None:
                write_json(path, facts)

    def _forget(self) -> None:
        if self._note_file:
            self._note_file.unlink(missing_ok=True)


def _tokenizer_files(place: Path) -> list[list[str]]:
    folders = [place, place / "tokenizer"]
    return [[name, sha256_file(f / name)] for f in folders for name in TOKENIZER if (f / name).is_file()]


def _cards() -> list[str]:
    """What decides the device: the driver's list of cards where there is one, else what torch finds."""
    listed = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    visible = [f"{name}={os.environ[name]}" for name in VISIBLE if name in os.environ]
    if listed:
        lines = [line for path in listed for line in path.read_text("utf-8", "replace").split("\n")]
        return [*visible, *(line for line in lines if line.startswith("Model"))]
    hidden = any(Path(place).exists() for place in ("/dev/dxg", "/dev/kfd", "/dev/nvidiactl"))
    if sys.platform == "linux" and not hidden:
        return []
    return [*visible, pick_device(), str(has_bf16(pick_device()))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
