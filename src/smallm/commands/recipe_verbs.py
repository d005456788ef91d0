"""The group `smallm recipe`: its verbs, their options and help; the work is in commands/recipes.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smallm.commands.guard import guarded
from smallm.commands.options import SETTINGS, HelpOption, JsonOption, RecipeArg, SetOption

recipes = typer.Typer(help="The packaged recipes, and checking one's own.", **SETTINGS)


@recipes.callback(add_help_option=False)
def _recipes(help: HelpOption = False) -> None:
    pass


@recipes.command("list")
@guarded
def recipe_list(json: JsonOption = False) -> None:
    """The packaged recipes, one line each."""
    from smallm.commands.recipes import list_command

    list_command(as_json=json)


@recipes.command("check")
@guarded
def recipe_check(recipe: RecipeArg, overrides: SetOption = [], json: JsonOption = False) -> None:  # noqa: B006
    """Say every mistake in a recipe, with file and line."""
    from smallm.commands.recipes import check_command

    check_command(recipe, overrides, as_json=json)


@recipes.command("schema")
@guarded
def recipe_schema() -> None:
    """Every key, its default and meaning, as JSON Schema."""
    from smallm.commands.recipes import schema_command

    schema_command()


@recipes.command("copy")
@guarded
def recipe_copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A packaged recipe.")],
    to: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: NAME.yaml here.")] = None,
) -> None:
    """Copy a packaged recipe, to change it."""
    from smallm.commands.recipes import copy_command

    copy_command(name, to)
