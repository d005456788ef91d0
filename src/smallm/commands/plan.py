"""`smallm plan`: the plan of a recipe on the terminal or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from smallm.commands.run import run_directory
from smallm.core.recipe import load_recipe
from smallm.plan.estimate import make_plan, render


def plan_command(recipe: str, *, gpus: list[str], overrides: list[str], as_json: bool) -> None:
    loaded = load_recipe(recipe, overrides)
    run: Path | None = run_directory(recipe, "", loaded.name)
    plan = make_plan(loaded, gpus, run=run if run and run.is_dir() else None)
    print(json.dumps(plan.as_json(), indent=2) if as_json else render(plan))
