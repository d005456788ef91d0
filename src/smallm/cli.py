"""The command line: verbs, their options and help.

Each verb's work is in `commands/`, imported when the verb runs, so that help is instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from smallm import __version__
from smallm.commands.guard import guarded
from smallm.commands.model_verbs import explain, import_
from smallm.commands.options import (
    SETTINGS,
    DataOption,
    FourBit,
    Greedy,
    HelpOption,
    JsonOption,
    MinP,
    ModelArg,
    Penalty,
    RecipeArg,
    RunOption,
    Seed,
    SetOption,
    Stop,
    Temperature,
    Tokens,
    TopK,
    TopP,
)
from smallm.commands.recipe_verbs import recipes

app = typer.Typer(help="The workbench for small language models: from raw text to a published model.", **SETTINGS)
app.add_typer(recipes, name="recipe")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"smallm {__version__}")
        raise typer.Exit()


@app.callback(add_help_option=False)
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
    help: HelpOption = False,
) -> None:
    pass


@app.command()
@guarded
def run(
    recipe: RecipeArg,
    name: RunOption = "",
    only: Annotated[list[str], typer.Option("--only", metavar="STAGE", help="Only this stage; repeatable.")] = [],  # noqa: B006
    overrides: SetOption = [],  # noqa: B006
    redo: Annotated[bool, typer.Option("--redo", help="Allow redoing a training that took over ten minutes.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file again instead of trusting its date.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a recipe's run; stages that are done are skipped.

    Ctrl-C and kill are safe at any moment: the same command goes on from there.
    """
    from smallm.commands.run import run_command

    run_command(recipe, name=name, only=only, overrides=overrides, redo=redo, verify=verify, as_json=json)


@app.command()
@guarded
def plan(
    recipe: RecipeArg,
    gpu: Annotated[list[str], typer.Option("--gpu", metavar="NAME", help="A card to plan for; repeatable.")] = [],  # noqa: B006
    overrides: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> None:
    """Will it fit, how long, at what cost; runs nothing."""
    from smallm.commands.plan import plan_command

    plan_command(recipe, gpus=gpu, overrides=overrides, as_json=json)


@app.command()
@guarded
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of text files, or of examples.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the recipe and its run; default: the folder's.")
    ] = None,
    purpose: Annotated[str, typer.Option("--for", help="`pretrain` on text, or `finetune` on examples.")] = "pretrain",
) -> None:
    """Look through a folder, write a recipe for it."""
    from smallm.commands.new import new_command

    new_command(directory, name, purpose)


@app.command()
@guarded
def generate(
    model: ModelArg,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to continue; - reads it from stdin.")],
    max_new_tokens: Tokens = 200,
    temperature: Temperature = None,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    stop: Stop = [],  # noqa: B006
    seed: Seed = 0,
    greedy: Greedy = False,
    load_in_4bit: FourBit = False,
    json: JsonOption = False,
) -> None:
    """Continue a prompt, streaming to stdout."""
    from smallm.commands.talk import generate_command

    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": tuple(stop),
        "seed": seed,
        "greedy": greedy,
    }
    generate_command(model, prompt, options, as_json=json, load_in_4bit=load_in_4bit)


@app.command()
@guarded
def chat(
    model: ModelArg,
    max_new_tokens: Tokens = 200,
    temperature: Temperature = None,
    seed: Seed = 0,
) -> None:
    """Write with a model, line by line."""
    from smallm.commands.talk import chat_command

    chat_command(model, {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed})


app.command("import")(guarded(import_))
app.command()(guarded(explain))


@app.command("eval")
@guarded
def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, model or adapter directory, or a server's http address.")
    ],
    suite: Annotated[
        list[str],
        typer.Option("--suite", metavar="NAME", help="A packaged suite or a YAML file; repeatable. Default: smallm."),
    ] = [],  # noqa: B006
    task: Annotated[
        list[str],
        typer.Option("--task", metavar="NAME", help="Only this task; `lm-eval:NAME` is one of lm-eval's. Repeatable."),
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items a task, drawn by hash.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Examples before each question.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the model's chat template.")] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    load_in_4bit: FourBit = False,
    load_in_8bit: Annotated[bool, typer.Option("--load-in-8bit", help="LLM.int8.")] = False,
    tokenizer: Annotated[str | None, typer.Option(metavar="DIR", help="For a server, or in place of its own.")] = None,
    data: DataOption = [],  # noqa: B006
    include_path: Annotated[
        list[str],
        typer.Option("--include-path", metavar="DIR", help="Task files of lm-eval, for lm-eval:NAME; repeatable."),
    ] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: the run's eval/, or eval/ here.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Score again what was scored before.")] = False,
    batch_tokens: Annotated[
        int | None, typer.Option("--batch-tokens", min=1, help="Tokens of one forward pass.")
    ] = None,
    allow_remote_code: Annotated[
        bool, typer.Option("--allow-remote-code", help="Run code that a model or a metric of the Hub brings.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Score a model on suites of tasks, with error bars."""
    from smallm.commands.evaluate import eval_command

    eval_command(
        model,
        suites=suite,
        tasks=task,
        limit=limit,
        shots=shots,
        chat=chat,
        dtype=dtype,
        load_in_4bit=load_in_4bit,
        load_in_8bit=load_in_8bit,
        tokenizer=tokenizer,
        data=data,
        include_path=include_path,
        out=out,
        no_cache=no_cache,
        batch_tokens=batch_tokens,
        allow_remote_code=allow_remote_code,
        as_json=json,
    )


@app.command()
@guarded
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, a model directory, or a result file of `smallm eval`.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B minus A.")],
    suite: Annotated[str | None, typer.Option("--suite", metavar="NAME", help="Only this suite's results.")] = None,
    run_missing: Annotated[
        bool, typer.Option("--run-missing", help="Evaluate first what one of them has no result on.")
    ] = False,
    data: DataOption = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: beside B's results.")] = None,
    json: JsonOption = False,
) -> None:
    """Is B better than A? The same items, paired, with error bars."""
    from smallm.commands.compare import compare_command

    compare_command(a, b, suite=suite, out=out, run_missing=run_missing, data=data, as_json=json)


@app.command()
@guarded
def ablate(
    ablation: Annotated[str, typer.Argument(metavar="ABLATION", help="A YAML file, or a packaged one: papers.")],
    only: Annotated[
        list[str], typer.Option("--only", metavar="GROUP[.ARM]", help="Only these, with their baseline; repeatable.")
    ] = [],  # noqa: B006
    seeds: Annotated[str, typer.Option("--seeds", metavar="A,B", help="Only these seeds. Default: all of its.")] = "",
    list_only: Annotated[bool, typer.Option("--list", help="What is done, what is left, how long that takes.")] = False,
    table: Annotated[bool, typer.Option("--table", help="Only write the table of what is done.")] = False,
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", metavar="M", min=0.0, help="Stop, resumably, after M minutes; 0 = never.")
    ] = 0.0,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Default: runs/ablations/ and its name.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a recipe with one switch changed at a time.

    Equal FLOPs, paired seeds; the table has intervals. Ctrl-C and kill are safe: the same command goes on from there.
    """
    from smallm.commands.ablate import ablate_command

    ablate_command(
        ablation,
        only=only,
        seeds=seeds,
        to=to,
        list_only=list_only,
        table_only=table,
        max_minutes=max_minutes,
        as_json=json,
    )


@app.command()
@guarded
def audit(
    recipe: RecipeArg,
    name: RunOption = "",
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows to show.")] = 5,
    overrides: SetOption = [],  # noqa: B006
    json: JsonOption = False,
) -> None:
    """Which tokens of the examples are trained; checks them.

    Fails (exit 2) on whatever would train something else than the recipe says. Trains nothing.
    """
    from smallm.commands.audit import audit_command

    audit_command(recipe, name=name, rows=rows, overrides=overrides, as_json=json)


@app.command()
@guarded
def export(
    model: ModelArg,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="merged: one model of base and adapter.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: export/FORMAT in the model's run.")] = None,
    base: Annotated[
        str, typer.Option(help="merged: auto, original, or dequantised (the 4-bit base that was trained on).")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the written weights: auto, float32, bfloat16 or float16.")] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where it is not equal to the evaluated model.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write a model in another form; check it is the same."""
    from smallm.commands.export import export_command

    export_command(model, to=to, out=out, base=base, dtype=dtype, force=force, as_json=json)


@app.command()
@guarded
def doctor(json: JsonOption = False) -> None:
    """What this machine has and what smallm will use."""
    from smallm.commands.doctor import doctor_command

    doctor_command(as_json=json)


def main() -> None:
    """The `smallm` program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a narrow terminal encoding shows ?, and never ends a run
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app()


if __name__ == "__main__":
    main()
