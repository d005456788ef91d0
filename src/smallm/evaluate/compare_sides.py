"""The two sides of a comparison: result files read, tasks matched, items paired; what does not match is refused.

A side is one model with the files of its results. Only equal tasks on equal items are compared: another version of a
task, other items or another metric stop the comparison with a message that says which. Tasks of one side alone are
listed, never dropped. Letters: N items.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.evaluate.results import read_items, read_result

HELD_OUT = "held-out"
COLUMNS = ("item", "cluster", "score", "weight", "correct", "prediction", "choices", "answer")
# Settings of a scorer that change what a score means, as a reader calls them; the others follow from them.
SETTINGS = {
    "dtype": "number format", "quantisation": "quantisation", "quantise": "quantisation", "adapter": "adapter",
    "add_bos": "add_bos", "max_length": "window", "kind": "kind", "attention": "attention", "base_url": "server",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One result file. `tag` and `run` are the model in file names (base, tuned-4bit) and the run's directory."""

    path: Path
    content: dict[str, Any]

    @cached_property
    def items(self) -> Any:
        """The items as an Arrow table. UserError as `read_items`."""
        return read_items(self.path, self.content)

    def rows(self, task: str) -> Any:
        """The table of a task's items."""
        import pyarrow.compute as pc

        return self.items.filter(pc.equal(self.items["task"], task))  # type: ignore[attr-defined]

    @property
    def suite(self) -> str:
        return str(self.content.get("suite") or HELD_OUT)

    @property
    def model(self) -> dict[str, Any]:
        """The model's facts; a run's own file has them at its top."""
        model = self.content.get("model")
        if isinstance(model, dict):
            return model
        keys = ("weights_sha256", "tokenizer_sha256")
        return {"name": str(model), "parameters": None, "settings": {}, **{k: self.content.get(k) for k in keys}}

    @property
    def tag(self) -> str:
        match = re.match(r"(.+?)-[0-9a-f]{8}(-.*)?$", self.path.stem)
        return match[1] if match else self.path.stem

    @property
    def run(self) -> str:
        """The run's name, where the file lies in a run's eval/; else the directory's."""
        parent = self.path.resolve().parent
        return (parent.parent if parent.name == "eval" else parent).name


@dataclass(frozen=True)
class Side:
    """A model and the results to compare; `name` is what it is called in sentences, `slug` in file names."""

    results: tuple[Result, ...]
    name: str
    slug: str

    @property
    def model(self) -> dict[str, Any]:
        """The facts of the model: those of a suite's result, which know more, before the run's own."""
        return max(
            (r.model for r in self.results), key=lambda m: (m.get("parameters") is not None, bool(m["settings"]))
        )

    def suites(self) -> set[str]:
        return {result.suite for result in self.results}


@dataclass(frozen=True)
class Pair:
    """A task on both sides, its items in one order: columns of `COLUMNS` by side."""

    task: str
    metric: str
    a_result: Result
    b_result: Result
    a: dict[str, list[Any]]
    b: dict[str, list[Any]]

    @property
    def ids(self) -> list[str]:
        return self.a["item"]

    def clusters(self) -> list[str] | None:
        """None where every item is its own."""
        names = self.a["cluster"]
        return names if len(set(names)) < len(names) else None


def read_sides(a: Sequence[Path], b: Sequence[Path]) -> tuple[Side, Side]:
    """Both sides with names that tell them apart. UserError: a file that is no result, files of several models."""
    left, right = ([Result(Path(p), read_result(p)) for p in paths] for paths in (a, b))
    for result in (*left, *right):
        for task, found in result.content["tasks"].items():
            if not isinstance(found, dict) or found.get("primary") not in (found.get("metrics") or {}):
                raise UserError(f"{result.path}: {task} has no figure of its primary metric. Run the evaluation again.")
    for results in (left, right):
        hashes = {r.model.get("weights_sha256") or r.model.get("name") for r in results}
        if len(hashes) > 1:
            raise UserError(
                f"{', '.join(str(r.path) for r in results)}: results of different weights on one side "
                f"({', '.join(str(h)[:8] for h in sorted(map(str, hashes)))}). Name results of one model."
            )
    names = _names(left[0], right[0])
    return Side(tuple(left), names[0], _slug(names[0])), Side(tuple(right), names[1], _slug(names[1]))


def _names(a: Result, b: Result) -> tuple[str, str]:
    """The tags, else the runs' names, else both, else with the weights' hash, else with the file's name."""
    choices = [
        (a.tag, b.tag),
        (a.run, b.run),
        (f"{a.run}/{a.tag}", f"{b.run}/{b.tag}"),
        *[tuple(f"{r.tag} {str(r.model.get('weights_sha256'))[:8]}" for r in (a, b))],
        (a.path.stem, b.path.stem),
        (f"{a.tag} (first)", f"{b.tag} (second)"),
    ]
    return next((x, y) for x, y in choices if x != y)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-")


def match(a: Side, b: Side, suite: str | None = None) -> tuple[list[Pair], list[dict[str, str]]]:
    """The tasks of both sides paired, and {task, why} of those that are not compared.

    Results of one suite are compared with each other; where a task is in several, the result of most items counts.
    UserError: nothing to compare, or a task that is not the same on both sides (all of them said).
    """
    pairs: dict[str, tuple[Result, Result]] = {}
    alone: dict[str, str] = {}
    for name in sorted(a.suites() | b.suites()):
        if suite is not None and name != suite:
            continue
        left = {t: r for r in a.results if r.suite == name for t in r.content["tasks"]}
        right = {t: r for r in b.results if r.suite == name for t in r.content["tasks"]}
        for task in sorted(left.keys() | right.keys()):
            if task in left and task in right:
                known = pairs.get(task)
                if known is None or _items(known[0], task) < _items(left[task], task):
                    pairs[task] = (left[task], right[task])
            else:
                has, lacks = (a, b) if task in left else (b, a)
                alone[task] = f"only {has.name} has it ({name}); {lacks.name} was not evaluated on it"
    problems, found = {}, []
    for task, (left_result, right_result) in pairs.items():
        try:
            found.append(_pair(task, left_result, right_result))
        except UserError as error:
            problems[task] = str(error)
    # Held-out documents are the runs' own: where the runs read other data, that is no mistake of the comparison.
    if found and HELD_OUT in problems:
        alone[HELD_OUT] = problems.pop(HELD_OUT)
    if problems:
        raise UserError("\n".join(problems.values()))
    if not found:
        raise UserError(_nothing(a, b, suite))
    return found, [{"task": t, "why": why} for t, why in sorted(alone.items()) if t not in pairs or t == HELD_OUT]


def _items(result: Result, task: str) -> int:
    return int(result.content["tasks"][task].get("items") or 0)


def _nothing(a: Side, b: Side, suite: str | None) -> str:
    wanted = f" of suite {suite}" if suite else ""
    have = "; ".join(f"{side.name} has {', '.join(sorted(side.suites()))}" for side in (a, b))
    return f"no result{wanted} that both have ({have}). Evaluate both on one suite: `smallm eval MODEL --suite NAME`."


def _pair(task: str, a: Result, b: Result) -> Pair:
    """The task's items of both in a's order. UserError: not the same task, metric or items, a score that is none."""
    left, right = a.content["tasks"][task], b.content["tasks"][task]
    versions = [side.get("version") for side in (left, right)]
    if versions[0] != versions[1]:
        raise UserError(
            f"{task}: {a.path} ran version {versions[0]} of it, {b.path} version {versions[1]}"
            f"{_cause(task, a, b)}. Scores of different questions say nothing about each other: run both with the "
            "same smallm, data and options."
        )
    if left["primary"] != right["primary"]:
        raise UserError(
            f"{task}: its figure is {left['primary']} in {a.path} and {right['primary']} in {b.path}. Run both anew."
        )
    columns = [_columns(task, result) for result in (a, b)]
    a_ids, b_ids = (column["item"] for column in columns)
    _refuse_other_items(task, a, b, a_ids, b_ids)
    place = {item: i for i, item in enumerate(b_ids)}
    order = [place[item] for item in a_ids]
    ordered = {name: [values[i] for i in order] for name, values in columns[1].items()}
    return Pair(task, left["primary"], a, b, columns[0], ordered)


def _cause(task: str, a: Result, b: Result) -> str:
    """What the options say about why two versions differ: examples, chat form; '' when they do not."""
    shots = [(r.content.get("n-shot") or {}).get(task) for r in (a, b)]
    chat = [bool(((r.content.get("configs") or {}).get(task) or {}).get("chat")) for r in (a, b)]
    found = []
    if shots[0] != shots[1]:
        found.append(f"{shots[0]} examples before each question here, {shots[1]} there")
    if chat[0] != chat[1]:
        found.append("one through the chat template, one not")
    if task == HELD_OUT:
        found.append("their held-out documents differ")
    return f" ({'; '.join(found)})" if found else ""


def _columns(task: str, result: Result) -> dict[str, list[Any]]:
    """The task's rows of the items file. UserError: none, an item twice, a score that is no number."""
    missing = [name for name in ("task", *COLUMNS) if name not in result.items.column_names]
    if missing:
        raise UserError(f"{result.path}: its items have no column {missing[0]}. Run the evaluation again.")
    columns: dict[str, list[Any]] = result.rows(task).select(COLUMNS).to_pydict()
    if not columns["item"]:
        raise UserError(f"{result.path}: its items file has no item of {task}. Run the evaluation again.")
    if len(set(columns["item"])) < len(columns["item"]):
        twice = next(i for i in columns["item"] if columns["item"].count(i) > 1)
        raise UserError(f"{result.path}: {task}, item {twice} is there twice. Run the evaluation again.")
    for name in ("score", "weight"):
        for item, value in zip(columns["item"], columns[name], strict=True):
            if value is None or value != value or value in (float("inf"), float("-inf")):
                raise UserError(
                    f"{result.path}: {task}, item {item}: its {name} is {value}. Nothing can be compared with it: find "
                    "out why (damaged weights, an overflow: `--dtype float32`) and run the evaluation again."
                )
    return columns


def _refuse_other_items(task: str, a: Result, b: Result, a_ids: list[str], b_ids: list[str]) -> None:
    only = [(r, sorted(set(mine) - set(other))) for r, mine, other in ((a, a_ids, b_ids), (b, b_ids, a_ids))]
    said = [
        f"{len(items)} items are in {result.path} alone ({', '.join(items[:3])}{', …' if len(items) > 3 else ''})"
        for result, items in only
        if items
    ]
    if said:
        limits = [r.content.get("limit") for r in (a, b)]
        limited = f" --limit was {limits[0]} and {limits[1]}." if limits[0] != limits[1] else ""
        raise UserError(f"{task}: {'; '.join(said)}.{limited} Run both on the same items.")


def setting_notes(a: Side, b: Side) -> list[str]:
    """What is said aloud: settings that differ though the items are the same, and when both sides are one model."""
    first, second, notes = a.model, b.model, []
    mine, other = first.get("settings") or {}, second.get("settings") or {}
    if mine and other:
        for key in sorted(mine.keys() | other.keys()):
            if key in SETTINGS and mine.get(key) != other.get(key):
                notes.append(
                    f"{SETTINGS[key]}: {_value(mine.get(key))} in {a.name}, {_value(other.get(key))} in {b.name}"
                )
    hashes = first.get("weights_sha256"), second.get("weights_sha256")
    if hashes[0] and hashes[0] == hashes[1]:
        why = "only the settings above differ" if notes else "any difference would be one of the machine or the library"
        notes.append(f"{a.name} and {b.name} are the same weights ({hashes[0][:8]}): {why}")
    elif first.get("tokenizer_sha256") != second.get("tokenizer_sha256"):
        notes.append("the models have different tokenizers: bits per byte can be compared, perplexity by token cannot")
    return notes


def _value(value: Any) -> str:
    return (
        {None: "none", True: "yes", False: "no"}.get(value, str(value)) if value in (None, True, False) else str(value)
    )
