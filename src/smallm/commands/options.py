"""Arguments and options that several verbs share, as typer reads them: one name, one help text, everywhere."""

from __future__ import annotations

from typing import Annotated, Any

import typer

SETTINGS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,  # plain help: rich would take longer to import than the verb to answer
    "pretty_exceptions_enable": False,
    "add_completion": False,  # as the help option of the groups, below
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 110},
}
RecipeArg = Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, a run, or a packaged recipe's name.")]
ModelArg = Annotated[str, typer.Argument(metavar="MODEL", help="A run (runs/quickstart) or a model directory.")]
SetOption = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable.")]
DataOption = Annotated[
    list[str], typer.Option("--data", metavar="DIR", help="Where the suites' files lie; repeatable.")
]
RunOption = Annotated[str, typer.Option("--run", metavar="NAME", help="Directory below runs/, or a path.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for machines.")]

Tokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens to write at most.")]
Temperature = Annotated[
    float | None,
    typer.Option(min=0.0, help="0 is greedy; 1 is the model's own distribution. Default: the recipe's, or 0.8."),
]
TopK = Annotated[int, typer.Option("--top-k", min=0, help="Only the k likeliest tokens; 0 = all.")]
TopP = Annotated[float, typer.Option("--top-p", min=0.0, max=1.0, help="Only the likeliest, this much together.")]
MinP = Annotated[float, typer.Option("--min-p", min=0.0, max=1.0, help="Drop below this share of the likeliest.")]
Penalty = Annotated[float, typer.Option("--repetition-penalty", min=0.01, help="Above 1 repeats less.")]
Stop = Annotated[list[str], typer.Option("--stop", metavar="TEXT", help="Stop before this text; repeatable.")]
Seed = Annotated[int, typer.Option(help="The same seed writes the same text.")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")]


def _help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(context.get_help())
        raise typer.Exit()


# Of the groups, in place of typer's own: that one has no default, and typer loads pydantic to make a boolean of it
# before it comes to any verb's help (0.2 s).
HelpOption = Annotated[
    bool, typer.Option("--help", "-h", callback=_help, is_eager=True, help="Show this message and exit.")
]
