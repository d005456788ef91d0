"""`run_pipeline` makes the stages of a recipe that are not done, in order, holding the run's lock.

What the stages are is stages.py's. Several processes (torchrun) meet in the one stage that is trained together.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from smallm.core import yamltree
from smallm.core.config import Recipe
from smallm.core.console import duration, say
from smallm.core.errors import UserError
from smallm.core.files import write_text
from smallm.core.recipe import dump_recipe
from smallm.core.run import Run, Stage, is_done, recover, run_stage, stage_inputs, stage_key
from smallm.stages import lazy, stages_of

# After these, the cards of what is there are written: a run that is stopped has them too.
CARDS_AFTER = ("data", "train", "examples", "tune", "compare")


write_cards = lazy("smallm.publish.cards:write_cards")


def check_suites(recipe: Recipe) -> None:
    """Raises UserError when a suite or its files are not there: before the training, not after it."""
    if recipe.eval.suites:
        from smallm.evaluate.recipe_suites import check

        check(recipe.eval)


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
    if is_follower():
        return follow_rank_0(recipe, run, names, only)
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


def is_follower() -> bool:
    """Whether this process is one of several and not the one that makes the run."""
    return several_processes() and int(os.environ.get("RANK", "0")) > 0


def follow_rank_0(recipe: Recipe, run: Run, names: Collection[str], only: Collection[str] = ()) -> list[Outcome]:
    """What a rank above 0 does: the training, when there is one. UserError: a recipe without a fine-tuning."""
    if only and TOGETHER not in only:
        return []
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
    copied = made and record is not None and "borrowed" in record
    how = "copied; there it was made" if copied else "made" if made else "done before"
    say(f"{title}: {how} in {duration(seconds)}{'' if made else ', skipped'}")
    return Outcome(stage.name, path, made and not copied, seconds)


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
