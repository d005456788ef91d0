"""`smallm run`: a recipe to a run directory, ending with the report's path on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from smallm.core.console import duration, say
from smallm.core.recipe import load_recipe
from smallm.core.run import Run


def run_directory(recipe: str, name: str, recipe_name: str) -> Path:
    """`runs/NAME`, NAME as a path if it is one, or the run itself when RECIPE is a run directory."""
    if name:
        return Path(name) if "/" in name or "\\" in name else Path("runs") / name
    return Path(recipe) if (Path(recipe) / "recipe.yaml").is_file() else Path("runs") / recipe_name


def run_command(
    recipe: str, *, name: str, only: list[str], overrides: list[str], redo: bool, verify: bool, as_json: bool
) -> None:
    from smallm.pipeline import is_follower, run_pipeline

    loaded = load_recipe(recipe, overrides)
    run = Run(run_directory(recipe, name, loaded.name), verify=verify)
    try:
        outcomes = run_pipeline(loaded, run, only=only, redo=redo)
    except KeyboardInterrupt:
        say(f"\nStopped. What is finished is kept; the same command goes on from there (run directory: {run.path}).")
        raise typer.Exit(130) from None
    if is_follower():  # rank 0 says what was made
        return
    made = [o for o in outcomes if o.made]
    if not made:
        say("Nothing to do: every stage is done.")
    elif len(outcomes) > 1:
        say(f"{len(made)} of {len(outcomes)} stages made in {duration(sum(o.seconds for o in made))}.")
    report = run.path / "report" / "index.html"
    if as_json:
        stages = [
            {"stage": o.stage, "artefact": str(o.artefact), "made": o.made, "seconds": o.seconds} for o in outcomes
        ]
        shown = str(report) if report.is_file() else None
        print(json.dumps({"run": str(run.path), "report": shown, "stages": stages}, indent=2))
    elif report.is_file() and (not only or "report" in only):
        print(report)
    else:
        print(outcomes[-1].artefact if outcomes else run.path)
