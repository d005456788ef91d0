"""`smallm compare`: two models on the same items; a table, what it means in a sentence, a file and a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.commands.evaluate import renew_report
from smallm.core.console import say, wrapped
from smallm.core.errors import UserError

WIDTH = 100
DEFAULT_SUITE = "smallm"
HELD_OUT = "held-out"


@dataclass(frozen=True)
class Found:
    """A MODEL of the command line and the result files of its weights; `given`: the file itself was named."""

    model: str
    files: dict[Path, str]  # file -> suite
    directory: Path
    weights: str = ""
    given: bool = False
    flags: str = ""  # of `smallm eval` for this model
    others: tuple[str, ...] = ()  # files of the same weights under another tag, of other weights under the same

    def suites(self) -> set[str]:
        return set(self.files.values())

    def of(self, suites: set[str]) -> list[Path]:
        return [file for file, suite in self.files.items() if suite in suites]


def compare_command(
    a: str,
    b: str,
    *,
    suite: str | None = None,
    out: Path | None = None,
    run_missing: bool = False,
    data: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    """Compare, print, write. UserError: no results (the command that makes them is told), nothing that matches."""
    from smallm.core.files import write_json
    from smallm.evaluate.compare import comparison_of
    from smallm.evaluate.compare_sides import match, read_sides

    sides = find(a), find(b)
    missing = lacking(*sides, suite)
    if missing and run_missing:
        for found, name in missing:
            _evaluate(found, name, data)
        sides = find(a), find(b)
        missing = lacking(*sides, suite)
    shared = _shared(*sides, suite)
    if not shared:
        raise UserError(_what_to_run(*sides, missing))
    left, right = read_sides(*(found.of(shared) for found in sides))
    pairs, unpaired = match(left, right)
    comparison = comparison_of(left, right, pairs, unpaired)
    comparison["notes"] += [
        f"{found.model} has no result on suite {name}: `{eval_line(found, name)}`" for found, name in missing
    ]
    directory = out or sides[1].directory
    path = directory / f"compare-{left.slug}-{right.slug}.json"
    write_json(path, comparison)
    page = _page(comparison, pairs, path.with_suffix(".html"))
    if out is None and directory.name == "eval":
        renew_report(directory.parent)
    if as_json:
        print(json.dumps(comparison | {"file": str(path), "page": str(page)}, indent=2, ensure_ascii=False))
        return
    say(table(comparison))
    print(path)
    print(page)


# ---- which results -------------------------------------------------------------------------------------------------


def find(model: str) -> Found:
    """The results of MODEL: a result file, or a run, model or adapter directory, Hub name or address.

    Of a directory those count that were written for its present weights, loaded as they are; quantised ones are
    named by their file. UserError: no such model.
    """
    from smallm.evaluate.results import read_result

    path = Path(model).expanduser()
    if path.suffix == ".json" and (path.is_file() or not path.exists()):
        content = read_result(path)
        return Found(model, {path: str(content.get("suite") or HELD_OUT)}, path.parent, given=True)
    if model.startswith(("http://", "https://")):
        return _of_server(model)
    from smallm.evaluate.contamination import run_of
    from smallm.evaluate.identity import is_adapter, weights_sha256
    from smallm.evaluate.lazy_scorer import files_of
    from smallm.evaluate.results import model_tag

    files = files_of(model)
    if str(files.directory) != model:
        say(f"model: {files.directory}")
    run = run_of(files.directory)
    directory = run / "eval" if run else Path("eval")
    weights = weights_sha256(files.directory, files.base if is_adapter(files.directory) else None)
    return _results(model, model_tag(model, files.directory), weights, weights[:8], directory)


def _of_server(model: str) -> Found:
    """Results under a server's address, whose weights cannot be known."""
    from smallm.core.files import sha256_bytes
    from smallm.evaluate.results import model_tag

    return _results(model, model_tag(model, None), None, sha256_bytes(model.encode())[:8], Path("eval"))


def _results(model: str, tag: str, weights: str | None, hash8: str, directory: Path) -> Found:
    """The result files of a tag and its weights, by what they say and not by their names; the newest of a suite."""
    from smallm.evaluate.results import read_result

    newest: dict[str, Path] = {}
    others = []
    for file in sorted(directory.glob("*.json"), key=lambda f: (f.stat().st_mtime_ns, f.name)):
        if file.name.startswith("compare-") or not re.search(r"-[0-9a-f]{8}(-|\.json$)", file.name):
            continue
        try:
            content = read_result(file)
        except UserError:
            continue  # of another version of smallm, or no result at all
        said = content["model"]["weights_sha256"] if isinstance(content["model"], dict) else content["weights_sha256"]
        if file.name.startswith(f"{tag}-{hash8}") and said == weights:
            newest[str(content.get("suite") or HELD_OUT)] = file
        elif said == weights or file.name.startswith(f"{tag}-"):
            others.append(file.name)
    files = {file: suite for suite, file in newest.items()}
    return Found(model, files, directory, hash8, others=tuple(others))


def _shared(a: Found, b: Found, suite: str | None) -> set[str]:
    """The suites that both were evaluated on; a named file or `suite` narrows them."""
    shared = a.suites() & b.suites()
    return shared & {suite} if suite else shared


def lacking(a: Found, b: Found, suite: str | None) -> list[tuple[Found, str]]:
    """(model, suite) of results that only the other one has, or that neither has where one is asked for."""
    wanted = {suite} if suite else ((a.suites() if a.given else set()) | (b.suites() if b.given else set()))
    wanted = wanted or (a.suites() | b.suites()) or {DEFAULT_SUITE}
    return [
        (found, name)
        for found in (a, b)
        for name in sorted(wanted - found.suites())
        if not found.given and name != HELD_OUT
    ]


def _what_to_run(a: Found, b: Found, missing: Sequence[tuple[Found, str]]) -> str:
    """Why nothing can be compared, and the commands that change it."""
    if not missing:
        have = "; ".join(f"{f.model} is a result on {', '.join(sorted(f.suites())) or 'nothing'}" for f in (a, b))
        return f"no suite is in both: {have}. Name results of the same suite."
    lines = ["nothing to compare yet. Run:"]
    lines += [f"  {eval_line(found, name)}" for found, name in missing]
    lines.append("and then this command again, or add --run-missing.")
    for found in dict.fromkeys(f.model for f, _ in missing):
        side = next(f for f, _ in missing if f.model == found)
        where = f"{found}: no result of its weights ({side.weights}) for this in {side.directory}"
        also = f"; other results there: {', '.join(side.others[:3])}" if side.others else ""
        lines.append(f"({where}{also}.)")
    return "\n".join(lines)


def eval_line(found: Found, suite: str) -> str:
    """The `smallm eval` command for a result of this suite, options that the suite's name holds taken apart."""
    return f"smallm eval {found.model} {' '.join(f'{key} {value}'.strip() for key, value in eval_options(suite))}"


def eval_options(name: str) -> list[tuple[str, str]]:
    """[("--suite", "smallm"), ("--limit", "100"), …] of a result's suite as commands/evaluate.suite_name named it."""
    from smallm.evaluate.suites import packaged_suites

    options: list[tuple[str, str]] = []
    for pattern, option in ((r"-chat$", "--chat"), (r"-(\d+)shot$", "--shots"), (r"-limit(\d+)$", "--limit")):
        if match := re.search(pattern, name):
            options.insert(0, (option, match[1] if match.groups() else ""))
            name = name[: match.start()]
    for known in sorted(packaged_suites(), key=len, reverse=True):
        if name.startswith(f"{known}-"):
            tasks = name[len(known) + 1 :].split("+")
            return [("--suite", known), *(("--task", task) for task in tasks), *options]
    return [("--suite", name), *options]


def _evaluate(found: Found, suite: str, data: Sequence[str]) -> None:
    """Run what `eval_line` says."""
    from smallm.commands.evaluate import eval_command

    options = eval_options(suite)
    value = dict(options)
    say(f"running: {eval_line(found, suite)}")
    eval_command(
        found.model,
        suites=[value["--suite"]],
        tasks=[task for key, task in options if key == "--task"],
        limit=int(value["--limit"]) if "--limit" in value else None,
        shots=int(value["--shots"]) if "--shots" in value else None,
        chat="--chat" in value,
        data=data,
    )


# ---- what is written -----------------------------------------------------------------------------------------------


def _page(comparison: dict[str, Any], pairs: Sequence[Any], path: Path) -> Path:
    """The page with the texts of the flipped items."""
    from smallm.publish.compare_page import write_compare_page

    return write_compare_page(comparison, path, flip_rows(comparison["flips"], pairs))


def flip_rows(flips: Sequence[dict[str, str]], pairs: Sequence[Any]) -> list[dict[str, Any]]:
    """The flips as rows of the page: the item as b answered it, `other` what a answered."""
    from smallm.publish.items_page import answered, item_row

    rows = []
    for pair in pairs:
        changed = {flip["item"]: flip for flip in flips if flip["task"] == pair.task}
        if not changed:
            continue
        sides = [
            {row["item"]: row for row in result.rows(pair.task).to_pylist() if row["item"] in changed}
            for result in (pair.a_result, pair.b_result)
        ]
        rows += [
            {**item_row(sides[1][item]), "other": answered(sides[0][item]), **flip} for item, flip in changed.items()
        ]
    return rows


def table(comparison: dict[str, Any]) -> str:
    """The comparison for a terminal of 100 columns: figures, differences, verdicts, then what it means."""
    from smallm.publish.task_words import VERDICTS

    a, b = comparison["a"]["name"], comparison["b"]["name"]
    rows: list[tuple[str, ...]] = [("task", "", "a", "b", "b - a (95 % interval)", "p", "flips", "verdict")]
    for task in comparison["tasks"]:
        sign = VERDICTS[task["verdict"]][0]
        rows.append((*_cells(task), f"{sign} {task['verdict']}"))
    lines = [f"a: {a}, b: {b}", "", *_columns(rows), ""]
    texts = [comparison["overall"]["sentence"]]
    texts += [f"Not compared: {row['task']}: {row['why']}." for row in comparison["not_compared"]]
    texts += [f"Note: {note}." for note in comparison["notes"]]
    contaminated = [task["task"] for task in comparison["tasks"] if task["contaminated"]]
    if contaminated:
        texts.append(f"CONTAMINATED, items stand in the training text: {', '.join(contaminated)}.")
    if len(comparison["tasks"]) > 1:
        texts.append(
            f"p is corrected for several tasks ({comparison['correction']}); flips: right to wrong, wrong to right."
        )
    return "\n".join([*lines, *(wrapped(text, WIDTH) for text in texts)])


def _cells(task: dict[str, Any]) -> tuple[str, ...]:
    """One row's cells up to the verdict."""
    from smallm.publish import task_words as words

    metric = task["metric"]
    step = words.difference(metric, task["difference"], unit=False)
    low, high = (task[end] for end in ("low", "high"))
    interval = "" if low is None else f" ({words.difference_interval(metric, low, high, unit=False)})"
    p = task["p_adjusted"]
    shown = "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 1 else "1"
    flips = "" if task["a_only"] is None else f"-{task['a_only']} +{task['b_only']}"
    values = [words.number(metric, task[side]["value"]).replace("\u00a0", "") for side in ("a", "b")]
    return task["task"], _short(metric), *values, step + interval, shown, flips


def _short(metric: str) -> str:
    """The metric's name where it is not the usual accuracy; the line is narrow."""
    return {"acc": "", "bits_per_byte": "bits/byte"}.get(metric, metric)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their content; a line too long for WIDTH gives its first cell a line of its own."""
    columns = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:]) or i in (0, len(rows[0]) - 1)]
    widths = {i: max(len(row[i]) for row in rows) for i in columns}
    rest = sum(widths[i] + 2 for i in columns[1:])
    widths[0] = min(widths[0], max(8, WIDTH - rest))
    lines = []
    for row in rows:
        name = row[0]
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        cells = [row[i].rjust(widths[i]) if 2 <= i <= 3 else row[i].ljust(widths[i]) for i in columns[1:]]
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    return lines
