"""The stages of a recipe: a table of what makes which artefact, from what, and what goes into each one's key.

The functions are named, not imported: a run whose stages are all done never loads torch. pipeline.py runs them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from smallm.core.config import Recipe, affecting
from smallm.core.errors import UserError
from smallm.core.files import HashCache, files_below
from smallm.core.run import Stage
from smallm.model.presets import PRESETS


def lazy(name: str) -> Callable[..., Any]:
    """`module:function` as a function that imports its module when it is called."""
    module, function = name.split(":")

    def call(*args: Any, **options: Any) -> Any:
        return getattr(import_module(module), function)(*args, **options)

    return call


# ---- what goes into each key ---------------------------------------------------------------------------------------


def data_config(recipe: Recipe) -> dict[str, Any]:
    """Of a path only its last part: what the files hold is in the fingerprint, where they lie does not matter."""
    data = affecting(recipe.data)
    for source in data["sources"]:
        source["path"] = PurePath(source["path"]).name if source["path"] else None
    return {"data": data, "seed": recipe.seed}


def tokenizer_config(recipe: Recipe) -> dict[str, Any]:
    tokenizer = affecting(recipe.tokenizer)
    return {"tokenizer": tokenizer | {"path": bool(recipe.tokenizer.path)}, "seed": recipe.seed}


def tokenizer_fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The files of `tokenizer.path`, when it is set."""
    return _directory(recipe.tokenizer.path, "tokenizer.path", hashes) if recipe.tokenizer.path else {}


def model_config(recipe: Recipe) -> dict[str, Any]:
    """The shape as the recipe has it: what a preset decides is not spelled out, what is said against it is."""
    return affecting(recipe.model, PRESETS.get(recipe.model.preset))


def train_config(recipe: Recipe) -> dict[str, Any]:
    return {"model": model_config(recipe), "train": affecting(recipe.train), "seed": recipe.seed}


def train_fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The weights of `train.init_from`; a name of the Hub counts by its name."""
    name = recipe.train.init_from
    if not name or not Path(name).is_dir():
        return {}
    path = Path(name) / "base" if (Path(name) / "base").is_dir() else Path(name)
    return _directory(str(path), "train.init_from", hashes, ("config.json", "smallm_model.json", "*.safetensors"))


def continues(old: Any, new: Any) -> bool:
    """Whether a training under `new` goes on from one under `old`: only the budget of tokens grew."""
    return (
        new["train"]["tokens"] > old["train"]["tokens"]
        and {
            **old,
            "train": {**old["train"], "tokens": new["train"]["tokens"]},
        }
        == new
    )


def eval_config(recipe: Recipe) -> dict[str, Any]:
    # Of suites and their folders what they hold is in the fingerprint; eval/ holds the samples.
    evaluation = affecting(recipe.eval) | {"suites": [PurePath(name).name for name in recipe.eval.suites]}
    evaluation.pop("data")
    shown = {"prompts": recipe.prompts, "samples": recipe.report.samples, "temperature": recipe.temperature}
    return {"eval": evaluation, "seed": recipe.seed, **shown}


def eval_fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """The suites' tasks and files, when there are any."""
    return suite_fingerprint(recipe, hashes) if recipe.eval.suites else {}


suite_fingerprint = lazy("smallm.evaluate.recipe_suites:fingerprint")


def examples_config(recipe: Recipe) -> dict[str, Any]:
    """Every option of the examples, their rendering and their split (of a path only its last part)."""
    tune = affecting(recipe.finetune)
    for source in tune["data"]:
        source["path"] = PurePath(source["path"]).name if source["path"] else None
    return {"finetune": {k: tune[k] for k in OF_EXAMPLES}, "seed": recipe.seed}


def tune_config(recipe: Recipe) -> dict[str, Any]:
    """What shapes the training, beside the tokens and the base (whose hashes are inputs)."""
    tune = affecting(recipe.finetune)
    left_out = {*OF_EXAMPLES, *OF_TUNED_EVALUATION, "model"} - {"max_length"}
    return {"finetune": {k: v for k, v in tune.items() if k not in left_out}, "seed": recipe.seed}


def tuned_evaluation_config(recipe: Recipe) -> dict[str, Any]:
    tune = affecting(recipe.finetune)
    return {k: tune[k] for k in OF_TUNED_EVALUATION if k != "general"} | {"seed": recipe.seed}


# Which keys of `finetune` belong to which of its stages; the training has all others.
OF_EXAMPLES = (
    "name", "revision", "data", "task", "prompt", "system", "labels", "language", "validation", "test", "max_length",
    "too_long", "train_on",
)  # fmt: skip
OF_TUNED_EVALUATION = ("task", "language", "labels", "test_items", "max_new_tokens", "general")


def report_config(recipe: Recipe) -> dict[str, Any]:
    return dataclasses.asdict(recipe) | {"model": model_config(recipe)}


def _directory(path: str, key: str, hashes: HashCache, patterns: tuple[str, ...] = ("*",)) -> dict[str, str]:
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path}: no such directory ({key}).")
    chosen = {p for pattern in patterns for p in folder.rglob(pattern)}
    return {f"{key}/{p.relative_to(folder).as_posix()}": hashes(p) for p in files_below(folder) if p in chosen}


# What a clock gave is recorded but is in no key: the same work on a slower day is the same work.
_CLOCKED = ("metrics.jsonl", "timing.jsonl", "samples.jsonl", "smallm.json", "report.json")

STAGES: tuple[Stage, ...] = (
    Stage(
        "data",
        "data",
        lazy("smallm.data.build:build_data"),
        data_config,
        fingerprint=lazy("smallm.data.sources:fingerprint"),
        borrows=True,
    ),
    Stage(
        "tokenizer",
        "tokenizer",
        lazy("smallm.tokenizer.train:make_tokenizer"),
        tokenizer_config,
        inputs=("data",),
        fingerprint=tokenizer_fingerprint,
        unkeyed=_CLOCKED,
        borrows=True,
    ),
    Stage(
        "tokens",
        "tokens/base",
        lazy("smallm.tokenizer.encode:encode_data"),
        lambda recipe: {},
        inputs=("data", "tokenizer"),
        borrows=True,
    ),
    Stage(
        "train",
        "base",
        lazy("smallm.train.stage:pretrain"),
        train_config,
        inputs=("tokens/base", "tokenizer"),
        fingerprint=train_fingerprint,
        unkeyed=_CLOCKED,
        costly=True,
        extends=continues,
    ),
    Stage(
        "eval",
        "eval",
        lazy("smallm.evaluate.stage:evaluate_base"),
        eval_config,
        inputs=("base", "data", "tokenizer"),
        version=2,
        fingerprint=eval_fingerprint,
        # `smallm eval` and `smallm compare` write there too, and may evaluate the same suite again.
        owns=lazy("smallm.evaluate.stage:own_files"),
        shared=("base-????????-*",),
    ),
    Stage(
        "report",
        "report",
        lazy("smallm.publish.report:make_report"),
        report_config,
        inputs=("data", "tokenizer", "tokens/base", "base", "eval"),
        beside=("eval/*.json", "eval/*/*.json"),
    ),
)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe: a training from scratch where it has sources, a fine-tuning where it has examples."""
    *pretraining, report = STAGES
    scratch = bool(recipe.data.sources) or not recipe.finetune.data
    tuning = tuning_stages(recipe) if recipe.finetune.data else ()
    inputs = (report.inputs if scratch else ()) + tuple(stage.artefact for stage in tuning)
    return (*(pretraining if scratch else ()), *tuning, dataclasses.replace(report, inputs=inputs))


def tuning_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Examples to masked tokens, those to an adapter, that against its base. The base is the run's own or another."""
    name, own = recipe.finetune.name, recipe.finetune.model is None
    base = ("base",) if own else ()
    model = lazy("smallm.finetune.base:fingerprint")
    tokens, tuned = f"tokens/{name}", f"tuned/{name}"
    return (
        Stage(
            "examples",
            tokens,
            lazy("smallm.finetune.tokens:make_tokens"),
            examples_config,
            inputs=("tokenizer",) if own else (),
            fingerprint=lazy("smallm.finetune.tokens:fingerprint"),
            unkeyed=("audit.json",),  # it describes what the other files hold
            borrows=True,
        ),
        Stage(
            "tune",
            tuned,
            lazy("smallm.finetune.stage:tune"),
            tune_config,
            inputs=(tokens, *base),
            fingerprint=model,
            unhashed=("README.md", "equivalence.json"),  # `smallm export` adds its comparison there
            unkeyed=_CLOCKED,
            costly=True,
        ),
        Stage(
            "compare",
            f"eval/{name}",
            lazy("smallm.finetune.compare:compare_with_base"),
            tuned_evaluation_config,
            inputs=(tokens, tuned, *base),
            fingerprint=lazy("smallm.finetune.compare_key:fingerprint"),
        ),
    )
