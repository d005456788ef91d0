"""`smallm eval`: a model on suites of tasks; a table on the terminal, results and items beside the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.console import count, duration, say, warn, wrapped
from smallm.core.errors import UserError

DEFAULT_SUITE = "smallm"
HARNESS = "lm-eval:"
WIDTH = 100


def eval_command(
    model: str,
    *,
    suites: Sequence[str] = (),
    tasks: Sequence[str] = (),
    limit: int | None = None,
    shots: int | None = None,
    chat: bool = False,
    dtype: str = "auto",
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    tokenizer: str | None = None,
    data: Sequence[str] = (),
    include_path: Sequence[str] = (),
    out: Path | None = None,
    no_cache: bool = False,
    batch_tokens: int | None = None,
    allow_remote_code: bool = False,
    as_json: bool = False,
) -> None:
    """Evaluate, print, write. UserError: any mistake; nothing is scored before all tasks were read."""
    from smallm.evaluate.cache import ScoreCache
    from smallm.evaluate.contamination import load_contamination, run_of
    from smallm.evaluate.run_suite import run_suite
    from smallm.evaluate.task_data import data_dirs

    own = [name for name in tasks if not name.startswith(HARNESS)]
    theirs = [name.removeprefix(HARNESS) for name in tasks if name.startswith(HARNESS)]
    chosen, dirs = choose(suites, own, theirs), data_dirs(data)
    scorer = _scorer(
        model,
        {"dtype": dtype, "load_in_4bit": load_in_4bit, "load_in_8bit": load_in_8bit, "tokenizer": tokenizer,
         "batch_tokens": batch_tokens, "trust_remote_code": allow_remote_code},
    )  # fmt: skip
    path = scorer.files.directory if scorer.files else None
    run = run_of(path) if path else None
    quantised = "4bit" if load_in_4bit else "8bit" if load_in_8bit else ""
    where = Target(out or (run / "eval" if run else Path("eval")), model, path, quantised)
    cache, contamination = None if no_cache else ScoreCache(), load_contamination(run)
    changes: dict[str, Any] = {"limit": limit, "shots": shots, "chat": chat}
    files: list[Path] = []
    for suite in chosen:
        result = run_suite(
            suite, scorer, dirs=dirs, cache=cache, contamination=contamination, allow_remote_code=allow_remote_code,
            **changes,
        )  # fmt: skip
        facts = {"limit": limit, "skipped": result.skipped, "seconds": result.seconds}
        files.append(where.write(suite_name(suite.name, own, **changes), result.results, scorer, **facts))
    if theirs:
        files.append(_harness(theirs, scorer, where, include_path=include_path, cache=cache, **changes))
    pages = [_page(file) for file in files]
    if run and out is None:
        renew_report(run)
    if as_json:
        print(
            json.dumps({"files": [str(file) for file in files], "results": [_read(file) for file in files]}, indent=2)
        )
        return
    for file in (*files, *pages):
        print(file)


def _page(file: Path) -> Path:
    """The page that shows a result's items, beside it."""
    from smallm.publish.items_page import write_items_page

    items, page = (file.with_name(f"{file.stem}.items.{ending}") for ending in ("parquet", "html"))
    return write_items_page(_read(file), items, page)


def renew_report(run: Path) -> None:
    """The run's report shows what was just written; where it cannot be made now, the results stand all the same."""
    from smallm.pipeline import refresh_report

    try:
        refresh_report(run)
    except UserError as error:
        warn(f"{run / 'report'} does not show this yet: {error}")


def _scorer(model: str, options: dict[str, Any]) -> Any:
    """The model, its weights unread; says which directory a name came to mean."""
    from smallm.evaluate.cache import default_directory
    from smallm.evaluate.lazy_scorer import LazyScorer

    given = {name: value for name, value in options.items() if value not in (None, False, "auto")}
    scorer = LazyScorer(model, given, default_directory().parent / "models")
    if scorer.files and str(scorer.files.directory) != model:
        say(f"model: {scorer.files.directory}")
    return scorer


def choose(suites: Sequence[str], tasks: Sequence[str], harness: Sequence[str]) -> list[Any]:
    """The suites of the command line, narrowed to `tasks` where some are named; the built-in one by default."""
    from smallm.evaluate.suites import load_suite, narrowed

    if not suites and harness and not tasks:
        return []
    loaded = [load_suite(name) for name in dict.fromkeys(suites or [DEFAULT_SUITE])]
    names = [suite.name for suite in loaded]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"--suite: two suites are called {twice}, and results are named by their suite. Rename one.")
    if not tasks:
        return loaded
    known = {spec.name for suite in loaded for spec in suite.tasks}
    for name in tasks:
        if name not in known:
            if len(loaded) == 1:
                narrowed(loaded[0], [name])  # raises, with the nearest name
            raise UserError(f"--task {name}: none of the suites {', '.join(names)} has it.")
    return [
        narrowed(suite, [t for t in tasks if t in {spec.name for spec in suite.tasks}])
        for suite in loaded
        if any(spec.name in tasks for spec in suite.tasks)
    ]


def suite_name(suite: str, tasks: Sequence[str], *, limit: int | None, shots: int | None, chat: bool) -> str:
    """The suite's part of the file name; what narrows or changes it stands after it, so that nothing whole is lost."""
    from smallm.core.files import sha256_bytes

    parts = [suite]
    if tasks:
        joined = "+".join(sorted(tasks))
        parts.append(joined if len(joined) <= 40 else sha256_bytes(joined.encode())[:8])
    if limit is not None:
        parts.append(f"limit{limit}")
    if shots is not None:
        parts.append(f"{shots}shot")
    if chat:
        parts.append("chat")
    return "-".join(parts)


def _harness(
    names: Sequence[str], scorer: Any, where: Target, *, limit: int | None, shots: int | None, chat: bool,
    include_path: Sequence[str], cache: Any,
) -> Path:  # fmt: skip
    """Tasks of lm-eval, through our scorer as its model: its own keys in the result, our figures and items beside."""
    from smallm.evaluate.harness_run import run_harness

    found = run_harness(
        scorer, names, limit=limit, num_fewshot=shots, include_path=list(include_path), apply_chat_template=chat,
        cache=cache,
    )  # fmt: skip
    name = suite_name("lm-eval", [Path(name).stem for name in names], limit=limit, shots=shots, chat=chat)
    return where.write(name, found.results, scorer, limit=limit, seconds=found.seconds, harness=found.json)


@dataclass(frozen=True)
class Target:
    """Where results go and what they are called."""

    directory: Path
    model: str
    path: Path | None
    quantised: str

    def write(self, name: str, results: Any, scorer: Any, **options: Any) -> Path:
        """Write a suite's result and print its table."""
        from smallm.evaluate.results import ModelFacts, model_tag, read_result, write_result

        facts = ModelFacts(
            name=self.model,
            path=str(self.path) if self.path else None,
            weights_sha256=scorer.weights_sha256,
            tokenizer_sha256=scorer.tokenizer_sha256,
            parameters=scorer.parameters,
            settings=scorer.settings,
        )
        tag = model_tag(self.model, self.path, quantised=self.quantised)
        file = write_result(self.directory, tag, name, facts, results, **options)
        say()
        say(table(read_result(file), [result.task.name for result in results]))
        return file


def _read(file: Path) -> dict[str, Any]:
    from smallm.core.files import read_json

    return read_json(file)


# ---- the table -----------------------------------------------------------------------------------------------------


def table(result: dict[str, Any], order: Sequence[str] = ()) -> str:
    """A suite's result for a terminal of 100 columns: figures, errors, what is at chance, what was left out.

    `order`: of the tasks (the file has them sorted); a task's primary metric comes first.
    """
    model, suite = result["model"], result["suite"]
    size = f", {count(model['parameters'])} parameters" if model.get("parameters") else ""
    rows = [("task", "metric", "value", "95 % interval", "items", "")]
    for name in order or result["tasks"]:
        task = result["tasks"][name]
        figures = sorted(task["metrics"].items(), key=lambda pair: pair[0] != task["primary"])
        for number, (metric, figure) in enumerate(figures):
            shown = name if number == 0 else ""
            notes = _notes(task, metric, figure)
            items = str(task["items"]) if number == 0 else ""
            rows.append((shown, metric, _value(figure), _interval(figure), items, notes))
    lines = [f"{suite} on {model['name']}{size} ({duration(result.get('seconds', 0.0))})", "", *_columns(rows)]
    sentences = [wrapped(text, WIDTH) for text in _sentences(result)]
    return "\n".join([*lines, "", *sentences])


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their content; notes that would pass WIDTH go to a line of their own."""
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    widths[0] = min(widths[0], 30)
    lines = []
    for row in rows:
        name = row[0]
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        cells = [name.ljust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3].ljust(widths[3])]
        line = "  ".join([*cells, row[4].rjust(widths[4])])
        if not row[5] or len(line) + 2 + len(row[5]) <= WIDTH:
            lines.append(f"{line}  {row[5]}".rstrip())
        else:
            lines += [line.rstrip(), " " * (widths[0] + 2) + row[5]]
    return lines


def _value(figure: dict[str, Any]) -> str:
    error = figure["standard_error"]
    if figure["value"] is None:
        return "not measured"
    return f"{_number(figure['value'])}" + (f" ± {_number(error)}" if error is not None else "")


def _interval(figure: dict[str, Any]) -> str:
    if figure["low"] is None or figure["high"] is None:
        return "unknown"
    return f"{_number(figure['low'])} to {_number(figure['high'])}"


def _number(value: float) -> str:
    """Four digits after the point below 10, fewer above; 2.4e+10 for what is too large to be read."""
    size = abs(value)
    if size >= 1e6:
        return f"{value:.2e}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:,.0f}"


def _notes(task: dict[str, Any], metric: str, figure: dict[str, Any]) -> str:
    """Chance beside every figure that has one; marks and contamination beside the primary one."""
    notes = []
    if figure["chance"] is not None:
        notes.append(f"at chance ({figure['chance']:.2f})" if figure["at_chance"] else f"chance {figure['chance']:.2f}")
    if metric == "acc" and task.get("majority") is not None:
        notes.append(f"commonest label {task['majority']:.2f}")
    if metric == task["primary"]:
        # Texts are always read in windows; of a continuation that is odd.
        odd = {mark: n for mark, n in task["marks"].items() if task["kind"] != "perplexity" or mark != "windows"}
        notes += [f"{n} {mark}" for mark, n in odd.items()]
        found = task["contamination"]["items"]
        if found:
            notes.append(f"CONTAMINATED: {found} items")
    return ", ".join(notes)


def _sentences(result: dict[str, Any]) -> list[str]:
    """What a reader must know before using the figures."""
    tasks = result["tasks"]
    lines = []
    lost = [name for name, task in tasks.items() if task["metrics"][task["primary"]]["at_chance"]]
    if lost:
        lines.append(
            f"At chance: {', '.join(lost)}. Guessing does as well there, so these figures say nothing about the model "
            "(bits per byte tells models of any size apart)."
        )
    if any(task["marks"].get("truncated") for task in tasks.values()):
        lines.append("truncated: the prompt is longer than the model's window and lost its beginning.")
    lines += [_contamination(tasks)]
    skipped = result.get("skipped") or []
    if skipped:
        lines.append(
            f"Skipped {len(skipped)} tasks (the result says why): {', '.join(row['task'] for row in skipped)}."
        )
    if result.get("limit"):
        lines.append(f"Limited to {result['limit']} items a task, drawn by hash: not the figures of the whole tasks.")
    return lines


def _contamination(tasks: dict[str, Any]) -> str:
    if not all(task["contamination"]["checked"] for task in tasks.values()):
        return "Contamination: the training data was not checked for these items."
    found = {name: task for name, task in tasks.items() if task["contamination"]["items"]}
    if not found:
        return "Contamination: the training data was searched, none of these items is in it."
    parts = []
    for name, task in found.items():
        clean = task["contamination"]["clean"]
        without = f"; without them {task['primary']} {_number(clean['value'])}" if clean else ""
        parts.append(f"{task['contamination']['items']} of {task['items']} items of {name}{without}")
    return f"Contamination: found in the training data: {', '.join(parts)}."
