"""`smallm plan`: the plan of a recipe on the terminal or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from smallm.commands.run import run_directory
from smallm.core.recipe import load_recipe
from smallm.plan.estimate import make_plan, render
from smallm.plan.tune import plan_tuning, render_tuning


def plan_command(recipe: str, *, gpus: list[str], overrides: list[str], as_json: bool) -> None:
    loaded = load_recipe(recipe, overrides)
    run: Path | None = run_directory(recipe, "", loaded.name)
    run = run if run and run.is_dir() else None
    plan = make_plan(loaded, gpus, run=run) if loaded.data.sources or not loaded.finetune.data else None
    tuning = plan_tuning(loaded, gpus, run=run) if loaded.finetune.data else None
    if as_json:
        content = plan.as_json() if plan else {"recipe": loaded.name}
        print(json.dumps(content | ({"finetune": tuning.as_json()} if tuning else {}), indent=2))
        return
    pages = [render(plan) if plan else loaded.name, *([render_tuning(tuning)] if tuning else [])]
    print(("\n\n" if plan else "\n").join(pages))
