"""MODEL, wherever a command takes one: a model or adapter directory, a run, or a Hub name; to its local directory.

A run means the newest of its tuned and base models. Loads no torch; the Hub's client only for a name of the Hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path

from smallm.core.errors import UserError

CONFIG, OWN_CONFIG, WEIGHTS, INDEX = (
    "config.json",
    "smallm_model.json",
    "model.safetensors",
    "model.safetensors.index.json",
)
ADAPTER_CONFIG = "adapter_config.json"
# What is fetched of a model of the Hub: no pickle, no code.
HUB_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt", "vocab.txt", "README.md")
# Names that are often half remembered, as the Hub has them.
KNOWN_NAMES = (
    "microsoft/Phi-3.5-mini-instruct", "microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-128k-instruct",
    "microsoft/phi-2", "microsoft/phi-1_5", "microsoft/phi-1", "openai-community/gpt2", "openai-community/gpt2-medium",
    "openai-community/openai-gpt", "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-1B-Instruct", "mistralai/Mistral-7B-v0.1",
    "mistralai/Mistral-7B-Instruct-v0.3", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-0.6B-Base",
    "HuggingFaceTB/SmolLM-135M", "HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-360M",
    "HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-135M-Instruct", "facebook/MobileLLM-125M",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
)  # fmt: skip
BY_HAND = "Or copy its files (config.json, the safetensors, the tokenizer's) into a directory and name that."


def is_model_directory(path: Path) -> bool:
    return (path / CONFIG).is_file() or (path / OWN_CONFIG).is_file()


def is_adapter_directory(path: Path) -> bool:
    return (path / ADAPTER_CONFIG).is_file() and not is_model_directory(path)


def resolve_model(
    name: str | Path,
    *,
    adapters: bool = False,
    revision: str | None = None,
    key: str | None = None,
    files: Sequence[str] = HUB_FILES,
) -> Path:
    """The model directory that `name` means: itself, the newest model of a run, or a Hub model (downloaded).

    `adapters`: an adapter is a model too (its base is loaded with it); otherwise a run means its newest whole model.
    `revision`: of a Hub model, of which `files` are fetched. `key`: the recipe's key that named it, for messages.
    UserError: nothing there, a run without a finished model, an adapter where a whole model is wanted, a Hub that gives
    nothing.
    """
    where = f"{key}: " if key else ""
    path = Path(name).expanduser()
    if path.is_dir():
        if is_model_directory(path):
            return path
        if is_adapter_directory(path):
            if adapters:
                return path
            raise UserError(
                f"{where}{path}: an adapter, not a whole model. `smallm export {path} --to merged` makes one of it "
                "and its base model."
            )
        return _newest_of_run(path, adapters, where)
    if path.suffix == ".bin" and path.is_file():
        raise UserError(
            f"{where}{path}: a file. If it is a checkpoint of llama2.c, `smallm import {path}` makes a model directory "
            "of it; if it is a pickle, convert it to safetensors."
        )
    if path.exists():
        raise UserError(f"{where}{path}: a file. A model is a directory with {CONFIG} and {WEIGHTS}; name that.")
    if _is_local(str(name)):
        raise UserError(f"{where}{name}: there is no such directory.{_maker(path) or _nearest(path)}")
    return _from_hub(str(name), revision, where, files)


def is_hub_name(name: str) -> bool:
    """Is this a name of the Hub (and no directory here, nor meant as one)?"""
    return not Path(name).expanduser().exists() and not _is_local(name)


def _newest_of_run(run: Path, adapters: bool, where: str) -> Path:
    """The model of the run that was finished last: base/ or one of tuned/."""

    def counts(path: Path) -> bool:
        return is_model_directory(path) or (adapters and is_adapter_directory(path))

    candidates = [p for p in (run / "base", *sorted(run.glob("tuned/*"))) if counts(p)]
    if not candidates:
        inside = ", ".join(sorted(p.name for p in run.iterdir() if not p.name.startswith("."))[:8]) or "nothing"
        if (run / "recipe.yaml").is_file() or (run / "checkpoints").is_dir():
            raise UserError(
                f"{where}{run}: the run has no finished model yet (it has {inside}). `smallm run` completes it."
            )
        raise UserError(
            f"{where}{run}: no model there: no {CONFIG}, and no base/ or tuned/ as a run has. It has {inside}."
        )

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


def _maker(path: Path) -> str:
    """' `smallm run quickstart` makes it.' of what will be a packaged recipe's run; '' of anything else."""
    for above, run in pairwise(path.parts):
        if above == "runs" and (resources.files("smallm") / "recipes" / f"{run}.yaml").is_file():
            return f" `smallm run {run}` makes it."
    return ""


def _nearest(path: Path) -> str:
    """' Did you mean …?' or what stands beside it."""
    if not path.parent.is_dir():
        return f" {path.parent} does not exist either."
    names = sorted(p.name for p in path.parent.iterdir() if p.is_dir() and not p.name.startswith("."))
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f" Did you mean {path.parent / close[0]}?"
    return f" {path.parent} has: {', '.join(names[:8])}." if names else f" {path.parent} holds no directories."


def near_miss(name: str) -> str:
    """' Did you mean …?' of a name that is nearly one of `KNOWN_NAMES`; '' of any other, and of those names."""
    if name in KNOWN_NAMES:
        return ""
    lower = {known.lower(): known for known in KNOWN_NAMES}
    wanted = name.lower() if "/" in name else "/" + name.lower()
    begun = sorted((known for known in lower if wanted in known), key=len)
    close = begun or difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.85)
    return f" Did you mean {lower[close[0]]}?" if close else ""


def _from_hub(name: str, revision: str | None, where: str, files: Sequence[str]) -> Path:
    """The local copy of a Hub model; fetched once, then found in the Hub's cache even offline."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except HFValidationError:
        raise UserError(
            f"{where}{name}: neither a directory here nor a name that the Hugging Face Hub could have.{near_miss(name)}"
        ) from None
    except GatedRepoError:
        raise UserError(
            f"{where}{name}: a gated model: its owner wants the licence accepted. Accept it on the model's page, log "
            f"in here with `hf auth login` (or set HF_TOKEN), and run again. {BY_HAND}"
        ) from None
    except RevisionNotFoundError:
        raise UserError(
            f"{where}{name}: the Hub's model has no revision {revision}. Leave it out, or name a commit."
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{where}{name}: no directory here and no model of the Hugging Face Hub has this name.{near_miss(name)} "
            f"If it is private, log in with `hf auth login` (or set HF_TOKEN). {BY_HAND}"
        ) from None
    except Exception as error:  # the client raises its transport's own errors, of many kinds
        raise UserError(
            f"{where}{name}: no directory here, and the Hugging Face Hub could not be reached "
            f"({type(error).__name__}).{near_miss(name)} Name a local directory or run, or try again with a connection "
            f"(`hf download {name}` fetches it). {BY_HAND}"
        ) from None
