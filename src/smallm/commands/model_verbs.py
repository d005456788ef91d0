"""`smallm import` and `smallm explain`, as typer reads them; their work is in modules imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smallm.commands.options import Greedy, JsonOption, MinP, ModelArg, Seed, Temperature, TopK, TopP


def import_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A directory, a Hub name, or a .bin of llama2.c.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: models/ and the model's name.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="llama2.c: its tok*.bin; default: the one beside it.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Of a Hub model: its commit, tag or branch.")] = None,
    json: JsonOption = False,
) -> None:
    """Take a model of others, checked, as a directory here."""
    from smallm.commands.import_model import import_command

    import_command(model, out=out, tokenizer=tokenizer, revision=revision, as_json=json)


def explain(
    model: ModelArg,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to look at; - reads it from stdin.")],
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="MODEL", help="Another model with this tokenizer; the difference."),
    ] = None,
    heads: Annotated[bool, typer.Option("--heads", help="Remove each head too, not only each layer.")] = False,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Tokens to generate, step by step; 0 = none.")] = 12,
    temperature: Temperature = None,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    seed: Seed = 0,
    greedy: Greedy = False,
    chat: Annotated[bool, typer.Option("--chat", help="The prompt is a user's message in the chat template.")] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    load_in_4bit: Annotated[
        bool, typer.Option("--load-in-4bit", help="MODEL in NF4 (the one to compare with is not).")
    ] = False,
    tokenizer: Annotated[str | None, typer.Option(metavar="DIR", help="In place of the model's own.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The same as JSON; - prints it on stdout.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Default: explain/ in the model's run, or here.")
    ] = None,
) -> None:
    """Show what a model does with a prompt, as a page.

    Attention, logit lens, ablation, position encoding and a generation, in one HTML file that needs no network.
    """
    from smallm.commands.explain import explain_command

    sampling = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "greedy": greedy,
    }
    explain_command(
        model,
        prompt,
        against=against,
        heads=heads,
        steps=steps,
        sampling=sampling,
        chat=chat,
        dtype=dtype,
        load_in_4bit=load_in_4bit,
        tokenizer=tokenizer,
        json_file=json,
        output=output,
    )
