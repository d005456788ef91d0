"""The model that is tuned: where it lies, what it is called in an adapter, and which one it was (its hash).

Light: a run whose stages are all done asks for the fingerprint and loads no torch. A directory, a run (its newest whole
model) or a name of the Hub; what is missing, gated or without tokenizer is said with what to do.
"""

from __future__ import annotations

import os
from pathlib import Path

from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.files import HashCache
from smallm.core.run import Run
from smallm.evaluate.identity import holds_tokenizer, weight_files, weights_sha256
from smallm.model.resolve import is_hub_name, resolve_model

# What decides the function that a base computes; its tokenizer belongs to the examples.
MODEL_FILES = ("config.json", "smallm_model.json", "generation_config.json")


def base_directory(recipe: Recipe, run: Run) -> Path:
    """The local directory of the base: the run's own base/, or what `finetune.model` names (fetched, for the Hub).

    UserError: nothing there, an adapter, a gated model, no tokenizer beside the weights.
    """
    name = recipe.finetune.model
    if name is None:
        path = run.path / "base"
        if not any((path / n).is_file() for n in MODEL_FILES):
            raise UserError(
                f"{path}: no model there to tune. `smallm run` trains it first; or name another with finetune.model."
            )
    else:
        path = resolve_model(name, revision=recipe.finetune.revision, key="finetune.model")
    if not holds_tokenizer(path):
        raise UserError(
            f"{path}: a base without tokenizer (no tokenizer.json, tokenizer.model or vocab.json), so examples cannot "
            "be turned into ids. Copy the tokenizer files of the model there."
        )
    return path


def base_name(recipe: Recipe, run: Run, tuned_directory: Path) -> str:
    """What adapter_config.json calls the base: its Hub name, or its path from the adapter's directory on."""
    name = recipe.finetune.model
    if name is not None and is_hub_name(name):
        return name
    return name_from(base_directory(recipe, run), tuned_directory)


def name_from(path: Path, tuned_directory: Path) -> str:
    """The path of a base from the adapter's directory on; absolute where there is none (another drive of Windows)."""
    try:
        return Path(os.path.relpath(path.resolve(), tuned_directory.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """What of the base goes into the stage's key: nothing for the run's own (it is an input), the files of a local one,
    name and revision of a Hub model."""
    name = recipe.finetune.model
    if name is None:
        return {}
    if is_hub_name(name):
        return {"finetune.model": f"{name}@{recipe.finetune.revision or 'main'}"}
    path = resolve_model(name, key="finetune.model")
    files = [*weight_files(path), *(path / n for n in MODEL_FILES if (path / n).is_file())]
    return {f"finetune.model/{file.name}": hashes(file) for file in files}


def base_weights_sha256(directory: Path) -> str:
    """The hash of the base's weights, as its own smallm.json and the evaluation's results have it."""
    return weights_sha256(directory)
