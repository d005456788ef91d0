"""The command surface is frozen: a verb, option or default changes only together with cli_surface.txt.

Regenerate: PYTHONPATH=src python tests/test_cli_surface.py > tests/cli_surface.txt
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from smallm import cli

SNAPSHOT = Path(__file__).with_name("cli_surface.txt")


def verbs(app: typer.Typer = cli.app, name: str = "smallm") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every verb and the function behind it."""
    for command in app.registered_commands:
        assert command.callback is not None
        yield f"{name} {command.name or command.callback.__name__}", command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from verbs(group.typer_instance, f"{name} {group.name}")


def parameters(verb: Callable[..., Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """(name, type, typer's Option or Argument, default) of each parameter."""
    hints = typing.get_type_hints(inspect.unwrap(verb), include_extras=True)
    for name, parameter in inspect.signature(verb).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        yield name, kind, info, parameter.default


def surface() -> str:
    """Every verb with its parameters, one a line."""
    lines = []
    for name, verb in sorted(verbs()):
        lines.append(name)
        for parameter, kind, info, default in parameters(verb):
            named = [info.default] if isinstance(info.default, str) else []  # typer's place for a first name
            flags = "/".join([*named, *(info.param_decls or ())]) or "--" + parameter.replace("_", "-")
            shown = flags if isinstance(info, typer.models.OptionInfo) else info.metavar or parameter.upper()
            value = " required" if default is inspect.Parameter.empty else f" = {default!r}"
            type_name = str(kind) if isinstance(kind, types.GenericAlias | types.UnionType) else kind.__name__
            lines.append(f"    {shown}: {type_name.replace('pathlib.', '')}{value}")
    return "\n".join(lines) + "\n"


def test_the_command_surface_is_as_the_snapshot_says() -> None:
    regenerate = "regenerate: PYTHONPATH=src python tests/test_cli_surface.py > tests/cli_surface.txt"
    assert surface() == SNAPSHOT.read_text("utf-8"), regenerate


def test_every_verb_and_parameter_has_a_help_text() -> None:
    for name, verb in verbs():
        assert (verb.__doc__ or "").strip(), name
        assert [p for p, _, info, _ in parameters(verb) if not info.help] == [], name


if __name__ == "__main__":
    print(surface(), end="")
