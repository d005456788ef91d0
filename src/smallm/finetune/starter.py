"""A first recipe for the examples in a folder: what format, task, labels and lengths they have, and what is odd.

For `smallm new DIR --for finetune`. Each file of records is a set; its name says whether it is for test or validation.
A file that cannot be learned from as it stands is told with its reason and left out of the recipe.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.data.paths import RECORDS, SourceFile, list_files
from smallm.data.rows import read_rows
from smallm.data.starter import comment, quoted, slug
from smallm.finetune.columns import ASKED_PAIRS, usual_columns
from smallm.finetune.examples import Example, content_id
from smallm.finetune.formats import LOOKED_AT, Converter, detect_format

SAMPLE = 5000  # records of a file that are converted; the others are only counted
MODEL = "microsoft/Phi-3.5-mini-instruct"
CHARACTERS_PER_TOKEN = 3.0  # of a large vocabulary, on the careful side
LONGEST = 4096  # Phi-3.5 changes its rotary factors above
_USES = {"test": r"test|eval", "validation": r"val(id(ation)?)?|dev"}


@dataclass
class FoundSet:
    """One file that can be learned from."""

    path: str
    format: str
    task: str
    use: str
    records: int
    labels: list[str] = field(default_factory=list)
    names: tuple[str, str] | None = None  # of a classification's columns


@dataclass
class TuneFindings:
    """What `smallm new --for finetune` says about a folder."""

    path: Path
    sets: list[FoundSet] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    prompt_characters: list[int] = field(default_factory=list)
    answer_characters: list[int] = field(default_factory=list)

    @property
    def task(self) -> str:
        """The task of all sets, or `instruct` where they differ."""
        tasks = {one.task for one in self.sets}
        return tasks.pop() if len(tasks) == 1 else "instruct"

    @property
    def max_length(self) -> int:
        """A power of two that holds the longest example of the sample, 256 to 4,096 tokens."""
        whole = [a + b for a, b in zip(self.prompt_characters, self.answer_characters, strict=True)]
        length = 256
        while length < min(LONGEST, max(whole, default=0) / CHARACTERS_PER_TOKEN + 32):
            length *= 2
        return length

    def describe(self) -> list[str]:
        """The findings as lines for a person."""
        said = []
        for one in self.sets:
            use = "" if one.use == "auto" else f", for {one.use}"
            labels = f", labels {', '.join(one.labels[:8])}{', …' if len(one.labels) > 8 else ''}" if one.labels else ""
            said.append(f"{one.path}: {one.records:,} records, format {one.format}, task {one.task}{use}{labels}")
        for name, values in (("prompts", self.prompt_characters), ("answers", self.answer_characters)):
            ordered = sorted(values)
            said.append(f"{name}: {ordered[len(ordered) // 2]:,} characters in the middle, {ordered[-1]:,} at most")
        return said + [f"odd: {line}" for line in self.odd]


def inspect_examples(directory: Path) -> TuneFindings:
    """Look at every file of records in the folder. UserError when none can be learned from."""
    binaries: list[Path] = []
    listing = list_files(str(directory), "smallm new", binaries)
    found = TuneFindings(directory)
    others = Counter(Path(f.name).suffix or f.name for f in listing.files if f.kind not in RECORDS)
    if others:
        found.odd.append(
            "files without records are left out: " + ", ".join(f"{n} {e}" for e, n in sorted(others.items()))
        )
    for file in listing.files:
        if file.kind in RECORDS:
            try:
                _look_at(file, found)
            except UserError as error:
                found.odd.append(f"{file.name} is left out: {str(error).splitlines()[0]}")
    if not found.sets:
        raise UserError(f"{directory}: no file here can be learned from. " + " ".join(found.odd))
    return found


def _look_at(file: SourceFile, found: TuneFindings) -> None:
    """Add one file to the findings. UserError: it cannot be learned from."""
    rows = read_rows(file.path, file.kind)
    first = list(islice(rows, LOOKED_AT))
    for row in first:
        if row.fields is None:
            raise UserError(f"{row.place(file.name)}: {row.problem}.")
    records = [row.fields for row in first if row.fields is not None]
    if not records:
        raise UserError(f"{file.name} holds no record.")
    names = usual_columns(records[0], "classification")
    task, format_ = ("classification", "columns") if names else ("instruct", "")
    if not names:
        format_, _ = detect_format(records, where=file.name)
        if format_ == "prompt-completion" and any(
            pair[0] == "question" and set(pair) <= set(records[0]) for pair in ASKED_PAIRS
        ):
            task = "qa"
    converter = Converter(TuneSource(), FinetuneConfig(task=task), file.name, where=file.name, first=records, task=task)  # type: ignore[arg-type]
    one = FoundSet(file.name, format_, task, _use_of(file.name), 0, names=names)
    labels: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    examples: list[Example] = []
    for row in (*first, *rows):
        one.records += 1
        if row.fields is None:
            raise UserError(f"{row.place(file.name)}: {row.problem}.")
        if one.records <= SAMPLE:
            made = converter(row.fields, row.place(file.name))
            examples += made
            seen.update(content_id(each.messages) for each in made)
            labels.update(str(each.fields.get("label")) for each in made if names)
    if names and 2 * len(labels) > max(8, sum(labels.values())):
        raise UserError(f"the field `{names[1]}` holds {len(labels)} values in {sum(labels.values())}: no classes.")
    one.labels = sorted(labels)
    found.sets.append(one)
    found.prompt_characters += [sum(len(m["content"]) for m in each.before) for each in examples]
    found.answer_characters += [len(each.answer) for each in examples]
    found.odd += [f"{file.name}: {n:,} times: {what}" for what, n in converter.changed.items()]
    if twice := sum(n - 1 for n in seen.values()):
        found.odd.append(f"{file.name}: {twice:,} of {len(examples):,} examples stand twice (dropped, counted)")
    if labels and all(label.isdecimal() for label in labels):
        found.odd.append(f"{file.name}: the labels are numbers: say what they mean with `label_names`")
    if one.records < 100 and one.use == "auto":
        found.odd.append(f"{file.name}: only {one.records} records: hardly enough to learn from and to measure on")


def _use_of(name: str) -> str:
    """`test` or `validation` where the file's name says so, else auto."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((use for use, pattern in _USES.items() if any(re.fullmatch(pattern, word) for word in words)), "auto")


def write_tune_recipe(found: TuneFindings, name: str) -> str:
    """The recipe as YAML text, for `<name>.yaml` in the folder itself."""
    head = "\n".join(f"#   {comment(line)}" for line in found.describe())
    sets = "".join(_set_lines(one) for one in found.sets if one.task == found.task or found.task == "instruct")
    answers = sorted(found.answer_characters)
    longest = min(512, max(16, int(answers[int(0.99 * (len(answers) - 1))] / CHARACTERS_PER_TOKEN) + 8))
    return f"""\
# Written by `smallm new --for finetune`. See which tokens are learned: smallm audit {name}.yaml
# Will it fit, how long: smallm plan {name}.yaml    Run it: smallm run {name}.yaml
#
# What was found here:
{head}

name: {quoted(slug(name))}
description: {quoted(f"{MODEL.split('/')[-1]} tuned on the examples of {found.path.resolve().name}")}

finetune:
  model: {MODEL}  # a Hub name, a model directory, or a run (runs/quickstart)
  task: {found.task}  # instruct, translation, qa or classification: decides the default prompt and the metrics
  language: en  # of the answers
  data:  # paths are relative to this file
{sets}  validation: 0.02  # shares, by hash of the prompt; none is drawn where a set is named for it
  test: 0.05
  max_length: {found.max_length}  # tokens of a packed row and of the longest example
  too_long: raise  # or drop, or truncate (the prompt's beginning, never the answer)
  load_in_4bit: true  # QLoRA; below 1B parameters LoRA on 16-bit weights is better
  lora_r: 16
  learning_rate: 2e-4
  epochs: 1
  batch_rows: 8
  max_new_tokens: {longest}  # of a generated answer
"""


def _set_lines(one: FoundSet) -> str:
    lines = [f"    - path: {quoted(one.path)}", f"      format: {one.format}  # found; {one.records:,} records"]
    if one.names:
        lines += [f"      input: {quoted(one.names[0])}", f"      output: {quoted(one.names[1])}"]
    if one.use != "auto":
        lines.append(f"      use: {one.use}  # by the file's name")
    lines.append("      # license: SPDX identifier, for the card")
    return "\n".join(lines) + "\n"


__all__ = ["TuneFindings", "inspect_examples", "write_tune_recipe"]
