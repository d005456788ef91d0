"""The stages of a run in order, and `run_pipeline`, which makes those that are not done.

A table: which function makes which artefact, from which artefacts, under which part of the recipe.
The functions are named, not imported: a run whose stages are all done never loads torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from smallm.core import yamltree
from smallm.core.config import Recipe, affecting
from smallm.core.console import duration, say
from smallm.core.errors import UserError
from smallm.core.files import HashCache, files_below, write_text
from smallm.core.recipe import dump_recipe
from smallm.core.run import Run, Stage, is_done, recover, run_stage, stage_inputs, stage_key


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


def train_config(recipe: Recipe) -> dict[str, Any]:
    return {"model": affecting(recipe.model), "train": affecting(recipe.train), "seed": recipe.seed}


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


def check_suites(recipe: Recipe) -> None:
    """Raises UserError when a suite or its files are not there: before the training, not after it."""
    if recipe.eval.suites:
        from smallm.evaluate.recipe_suites import check

        check(recipe.eval)


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
    "name", "revision", "data", "task", "prompt", "system", "labels", "validation", "test", "max_length", "too_long",
    "train_on",
)  # fmt: skip
OF_TUNED_EVALUATION = ("task", "language", "labels", "test_items", "max_new_tokens", "general")


def report_config(recipe: Recipe) -> dict[str, Any]:
    return dataclasses.asdict(recipe)


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
    ),
    Stage(
        "tokenizer",
        "tokenizer",
        lazy("smallm.tokenizer.train:make_tokenizer"),
        tokenizer_config,
        inputs=("data",),
        fingerprint=tokenizer_fingerprint,
        unkeyed=_CLOCKED,
    ),
    Stage(
        "tokens",
        "tokens/base",
        lazy("smallm.tokenizer.encode:encode_data"),
        lambda recipe: {},
        inputs=("data", "tokenizer"),
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
# After these, the cards of what is there are written: a run that is stopped has them too.
CARDS_AFTER = ("data", "train", "examples", "tune", "compare")


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
        ),
        Stage(
            "tune",
            tuned,
            lazy("smallm.finetune.stage:tune"),
            tune_config,
            inputs=(tokens, *base),
            fingerprint=model,
            unkeyed=_CLOCKED,
            costly=True,
        ),
        Stage(
            "compare",
            f"eval/{name}",
            lazy("smallm.finetune.compare:compare_with_base"),
            tuned_evaluation_config,
            inputs=(tokens, tuned, *base),
            fingerprint=lazy("smallm.finetune.compare:fingerprint"),
        ),
    )


write_cards = lazy("smallm.publish.cards:write_cards")


@dataclass(frozen=True)
class Outcome:
    """One stage of a finished `run_pipeline`: made now (in so many seconds) or done before."""

    stage: str
    artefact: Path
    made: bool
    seconds: float


def run_pipeline(
    recipe: Recipe,
    run: Run,
    only: Collection[str] = (),
    redo: bool = False,
    stages: tuple[Stage, ...] | None = None,
) -> list[Outcome]:
    """Make the stages that are not done (of `only`, if given), in order, holding the run's lock.

    Raises UserError when the directory holds another recipe's run, when a stage is unknown, and
    whatever a stage raises; what was finished before stays finished.
    """
    stages = stages_of(recipe) if stages is None else stages
    names = [stage.name for stage in stages]
    for name in only:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise UserError(f"--only {name}: no such stage; there are {', '.join(names)}.{hint}")
    if not recipe.data.sources and "data" in names and (not only or "data" in only):
        raise UserError(
            f"{recipe.name}: data.sources is empty, so there is no text. "
            "Name a file, a folder or a source: --set data.sources=[FILE]"
        )
    check_directory(recipe, run.path)
    check_suites(recipe)
    if int(os.environ.get("RANK", "0")) > 0:
        return follow_rank_0(recipe, run, names)
    with run.lock():
        text, path = dump_recipe(recipe), run.path / "recipe.yaml"
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)
        for stage in stages:
            recover(run.path / stage.artefact)
        outcomes = [outcome for stage in stages if (outcome := _one(stage, recipe, run, only, redo, stages))]
        run.hashes.save()
    return outcomes


TOGETHER = "tune"  # the stage that several processes (torchrun) make together
follow = lazy("smallm.finetune.follow:follow")
lead = lazy("smallm.finetune.follow:lead")


def several_processes() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def follow_rank_0(recipe: Recipe, run: Run, names: Collection[str]) -> list[Outcome]:
    """What a rank above 0 does: the training, when there is one. UserError: a recipe without a fine-tuning."""
    if TOGETHER not in names:
        raise UserError(
            f"{recipe.name}: only a fine-tuning is trained by several processes so far, and this recipe has none. "
            "Start it without torchrun."
        )
    follow(recipe, run)
    return []


def refresh_report(path: Path) -> None:
    """Make the report of a finished run again, after another command put results into it; none of a run without one."""
    if not (path / "recipe.yaml").is_file() or not (path / "report" / "stage.json").is_file():
        return
    from smallm.core.recipe import load_recipe

    run_pipeline(load_recipe(path / "recipe.yaml", []), Run(path), only=("report",))


def _one(
    stage: Stage, recipe: Recipe, run: Run, only: Collection[str], redo: bool, stages: tuple[Stage, ...]
) -> Outcome | None:
    """One stage of the list: made, found done, or (not in `only`) left as it is."""
    title = f"[{stages.index(stage) + 1}/{len(stages)}] {stage.name}"
    if only and stage.name not in only:
        if any(s.name in only for s in stages[stages.index(stage) :]) and not _current(stage, recipe, run):
            say(f"{title}: does not match the recipe, and --only leaves it as it is")
        return None

    def announced(recipe: Recipe, run: Run) -> Path:
        say(f"{title} …")
        if together:
            lead(recipe, True)
        return stage.make(recipe, run)

    together = stage.name == TOGETHER and several_processes()
    path, made = run_stage(dataclasses.replace(stage, make=announced), recipe, run, redo=redo)
    if together and not made:
        lead(recipe, False)
    if made and stage.name in CARDS_AFTER:
        write_cards(recipe, run)
    record = run.stage_record(stage.artefact)
    seconds = record["seconds"] if record else 0.0
    say(f"{title}: {'made' if made else 'done before'} in {duration(seconds)}{'' if made else ', skipped'}")
    return Outcome(stage.name, path, made, seconds)


def _current(stage: Stage, recipe: Recipe, run: Run) -> bool:
    """Whether the stage is done under this recipe, as far as can be told without its sources."""
    if run.stage_record(stage.artefact) is None:
        return False
    try:
        return is_done(stage, run, stage_key(stage, recipe, stage_inputs(stage, recipe, run)))
    except UserError:
        return False


def check_directory(recipe: Recipe, path: Path) -> None:
    """Raises UserError when `path` is another recipe's run, or something that is no run at all."""
    recipe_file = path / "recipe.yaml"
    if recipe_file.is_file():
        name = yamltree.parse(recipe_file.read_text("utf-8"), str(recipe_file)).value.get("name")
        if name != recipe.name:
            raise UserError(
                f"{path}: holds the run of another recipe (`{name}`, this one is `{recipe.name}`). "
                "Choose another directory with --run NAME, or delete this one."
            )
    elif path.exists() and (not path.is_dir() or any(p.name != ".lock" for p in path.iterdir())):
        raise UserError(f"{path}: is there already and is not a run (no recipe.yaml). Choose another with --run NAME.")
