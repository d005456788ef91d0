"""`smallm recipe list|check|schema|copy`."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from smallm.core.config import Recipe
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.files import write_text
from smallm.core.recipe import load, packaged_recipes


def list_command(*, as_json: bool) -> None:
    recipes = {name: load(name).recipe for name in packaged_recipes()}
    if as_json:
        print(json.dumps([{"name": n, "description": r.description} for n, r in recipes.items()], indent=2))
        return
    width = max(map(len, recipes), default=0)
    for name, recipe in recipes.items():
        print(f"{name:<{width}}  {recipe.description}")


def check_command(recipe: str, overrides: list[str], *, as_json: bool) -> None:
    """Exit 2 and every mistake, or what the recipe comes to."""
    from smallm.model.presets import complete
    from smallm.pipeline import check_suites

    loaded = load(recipe, overrides)
    checked = loaded.recipe
    try:
        complete(checked.model, _vocabulary(checked))
    except UserError as error:
        raise UserError(f"{loaded.origin('model')}: {error}") from None
    try:
        check_suites(checked)
    except UserError as error:
        raise UserError(f"{loaded.file}: {error}") from None
    something = checked.data.sources or checked.finetune.data
    hint = "" if something else "data.sources is empty: name the text with --set data.sources=[FILE]"
    if as_json:
        print(json.dumps({"recipe": checked.name, "valid": True, "hint": hint or None}))
        return
    print(f"{loaded.file}: valid; the run is runs/{checked.name}")
    if hint:
        say(f"note: {hint}")


def _vocabulary(recipe: Recipe) -> int:
    """The tokenizer's size as far as it is known: a character set is found in the text."""
    return 256 if recipe.tokenizer.kind == "char" else recipe.tokenizer.vocab_size


def schema_command() -> None:
    from smallm.core.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def copy_command(name: str, to: Path | None) -> None:
    recipes = packaged_recipes()
    if name not in recipes:
        near = difflib.get_close_matches(name, recipes, 1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UserError(f"{name}: no such packaged recipe; there are {', '.join(recipes)}.{hint}")
    target = to or Path(f"{name}.yaml")
    if target.is_dir():
        target = target / f"{name}.yaml"
    if target.exists():
        raise UserError(f"{target}: exists already; name another file: smallm recipe copy {name} FILE")
    write_text(target, recipes[name])
    print(target)
