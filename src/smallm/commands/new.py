"""`smallm new`: what is in a folder, and a commented recipe for it that runs as it is."""

from __future__ import annotations

from pathlib import Path

from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.files import write_text
from smallm.core.recipe import recipe_from_text
from smallm.core.rules import NAME


def new_command(directory: Path, name: str | None, purpose: str = "pretrain") -> None:
    from smallm.data.inspect import inspect_directory
    from smallm.data.starter import slug, write_recipe

    if purpose not in ("pretrain", "finetune"):
        raise UserError(f"--for {purpose}: say `pretrain` (text to train on from scratch) or `finetune` (examples).")
    if not directory.is_dir():
        what = "is a file; put it into a folder of its own" if directory.exists() else "there is no such folder"
        raise UserError(f"{directory}: {what}. `smallm new` reads a folder of text files.")
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"--name {name}: it names a file and a run: letters, digits, `.`, `_`, `-` only.")
    name = name or slug(directory.resolve().name)
    target = directory / f"{name}.yaml"
    if target.exists():
        raise UserError(f"{target}: exists already and is not overwritten. Say --name NAME for another one.")
    if purpose == "finetune":
        from smallm.finetune.starter import inspect_examples, write_tune_recipe

        findings = inspect_examples(directory)
        text = write_tune_recipe(findings, name)
    else:
        findings = inspect_directory(directory)
        text = write_recipe(findings, name)
    recipe_from_text(text, str(target), directory.resolve())  # what we write must load
    write_text(target, text)
    for line in findings.describe():
        say(line)
    say(f"Run it: smallm run {target}    Before: smallm plan {target}")
    print(target)
