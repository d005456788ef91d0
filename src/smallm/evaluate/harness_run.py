"""Tasks of lm-eval by name or YAML, through our scorer: lm-eval's own JSON, and our records and figures beside it.

lm-eval builds the requests and computes its metrics; the scorer answers; harness_items.py makes items of the samples,
so that these tasks get the statistics, pages and comparisons that ours have. What lm-eval prints on the way is kept
quiet, and its seeds are set for the while.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.evaluate.cache import CacheFile, ScoreCache, prompt_key, request_key, text_key
from smallm.evaluate.harness import SmallmLM
from smallm.evaluate.harness_items import task_results
from smallm.evaluate.harness_json import SEEDS, complete
from smallm.evaluate.requests import Request
from smallm.evaluate.run_tasks import TaskResult
from smallm.evaluate.scorer import Scorer

FEWSHOT_SEED = 1234  # lm-eval's
LOUD = ("lm_eval", "datasets", "huggingface_hub", "fsspec", "filelock", "urllib3", "httpx")
# Kinds of local files for lm-eval's `dataset_path`: a set of that name is not one of the Hub.
LOCAL = ("json", "csv", "parquet", "text", "arrow")


@dataclass(frozen=True)
class HarnessResult:
    """`json`: as lm-eval writes its results. `results`: a TaskResult a task, with its items (none unless logged)."""

    json: dict[str, Any]
    results: tuple[TaskResult, ...]
    seconds: float


def run_harness(
    scorer: Scorer,
    names: Sequence[str],
    *,
    limit: int | float | None = None,
    num_fewshot: int | None = None,
    include_path: str | Path | Sequence[str | Path] | None = None,
    apply_chat_template: bool = False,
    seed: int = FEWSHOT_SEED,
    log_samples: bool = True,
    cache: ScoreCache | None = None,
) -> HarnessResult:
    """Run tasks, groups and tags of lm-eval, or YAML files of its form.

    `include_path`: folders with YAMLs of one's own, which come before lm-eval's. `limit`: the first so many documents
    of each task (below 1: that share of them), as lm-eval takes them. `seed` draws the few-shot examples.
    UserError: an unknown name (with the nearest), data that is not here, a task that runs generated code or needs
    images, a task file that does not hold.
    """
    if not names:
        raise UserError("No task of lm-eval is named.")
    if limit is not None and not limit > 0:
        raise UserError(f"limit is {limit}; it must be above 0 (leave it out for all documents).")
    began = time.monotonic()
    with _quiet(), _seeded():
        from lm_eval.evaluator import evaluate

        loaded = _load(names, include_path)
        with _task_errors():
            _check(loaded["tasks"])
        _set_shots(loaded["tasks"], num_fewshot, seed)
        file = cache.open(scorer, "lm-eval") if cache else None
        model = SmallmLM.of(_Remembering(scorer, file) if file else scorer)  # type: ignore[arg-type]
        with _task_errors():
            found: Any = evaluate(
                model,
                loaded,
                limit=limit,  # type: ignore[arg-type]
                bootstrap_iters=0,  # theirs starts processes and takes minutes; errors are statistics.py's
                log_samples=True,
                apply_chat_template=apply_chat_template,
                fewshot_as_multiturn=apply_chat_template,
            )
    samples = found.pop("samples")
    seconds = time.monotonic() - began
    settings = {"limit": limit, "num_fewshot": num_fewshot, "apply_chat_template": apply_chat_template, "seed": seed}
    value = complete(found, samples, model, loaded["tasks"], settings)
    results = task_results(samples, loaded["tasks"], model.scores, seconds) if log_samples else ()
    return HarnessResult(value, tuple(results), seconds)


# ---- loading -------------------------------------------------------------------------------------------------------


def _load(names: Sequence[str], include_path: Any) -> Any:
    """lm-eval's task objects and groups of the names. Reading all of its YAMLs takes seconds: only where they count."""
    from lm_eval.tasks import TaskManager

    folders: list[str | Path] = [include_path] if isinstance(include_path, (str, Path)) else [*(include_path or ())]
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"{folder}: not a directory; lm-eval looks for task files (*.yaml) in a folder.")
    manager = TaskManager(include_path=folders, include_defaults=False)
    if not all(name in manager.task_index or _is_file(name) for name in names):
        manager = TaskManager(include_path=folders)
    loaded: dict[str, Any] = {"tasks": {}, "groups": {}, "group_map": {}}
    for name in dict.fromkeys(names):
        if name not in manager.task_index and not _is_file(name):
            near = difflib.get_close_matches(name, manager.all_tasks, 3)
            hint = f" Did you mean {', '.join(near)}?" if near else " `lm_eval ls tasks` lists them."
            raise UserError(f"{name}: lm-eval has no task, group or tag of that name, nor is it a YAML file.{hint}")
        with _task_errors(name):
            for part, found in manager.load([name]).items():
                loaded[part].update(found)
    return loaded


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and Path(name).is_file()


@contextlib.contextmanager
def _task_errors(name: str = "") -> Iterator[None]:
    """What goes wrong inside a task of lm-eval is told as the task's or its data's, not as a traceback."""
    try:
        yield
    except (UserError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # tasks are code of others, and datasets alone raises a dozen kinds
        task, data = _guilty(error)
        line = (str(error).strip().splitlines() or [""])[0][:200]
        where = f"lm-eval task {task or name}"
        if data is None:
            raise UserError(
                f"{where}: {type(error).__name__}: {line}. The task's definition and its data disagree."
            ) from None
        if data.partition(",")[0] in LOCAL:
            raise UserError(
                f"{where}: its local data cannot be read ({type(error).__name__}: {line}). Mend `dataset_kwargs: "
                "data_files` in its YAML."
            ) from None
        raise UserError(
            f"{where}: its data set {data} cannot be had ({line}). Where the Hub cannot be reached, use local files: "
            "a YAML whose `dataset_path` is json and whose `dataset_kwargs: data_files` names them, in a folder given "
            "as include_path (docs/lm-eval.md shows one)."
        ) from None


def _guilty(error: BaseException) -> tuple[str | None, str | None]:
    """(task, data set) that was being loaded when `error` was raised, read from the frames of lm-eval's own task."""
    from lm_eval.api.task import Task

    task, data, trace = None, None, error.__traceback__
    while trace is not None:
        holder = trace.tb_frame.f_locals.get("self")
        if isinstance(holder, Task):
            task = getattr(getattr(holder, "_config", None), "task", None) or task
            if trace.tb_frame.f_code.co_name == "download":
                data = ", ".join(str(part) for part in (holder.DATASET_PATH, holder.DATASET_NAME) if part)
        trace = trace.tb_next
    return task, data


def _check(tasks: Mapping[str, Any]) -> None:
    for name, task in tasks.items():
        if getattr(task, "UNSAFE_CODE", False):
            raise UserError(
                f"lm-eval task {name}: runs code that the model wrote; smallm runs none. Use lm_eval's CLI."
            )
        if getattr(task, "MULTIMODAL", False):
            raise UserError(f"lm-eval task {name}: needs images or sound; smallm's models read text.")
        if task.OUTPUT_TYPE == "multiple_choice" and task.get_config("doc_to_choice") is not None:
            choices = task.doc_to_choice(task.eval_docs[0])
            if not isinstance(choices, list):  # lm-eval would take the characters of a text for choices
                raise UserError(
                    f"lm-eval task {name}: doc_to_choice gives {str(choices)[:60]!r}, not a list of choices."
                )


def _set_shots(tasks: Mapping[str, Any], num_fewshot: int | None, seed: int) -> None:
    """As lm-eval's `simple_evaluate`: a task that says 0 shots keeps 0."""
    for task in tasks.values():
        said = task.get_config("num_fewshot")
        if said is None or (num_fewshot is not None and said != 0):
            task.set_config(key="num_fewshot", value=num_fewshot or 0)
        task.set_fewshot_seed(seed=seed)


# ---- quiet, seeds --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No chatter of lm-eval and datasets: their loggers say errors only, their bars are off."""
    import datasets
    import lm_eval.api.task as task

    levels = {name: logging.getLogger(name).level for name in LOUD}
    bar, bars = task.tqdm, datasets.are_progress_bars_disabled()
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    task.tqdm = functools.partial(bar, disable=True)  # type: ignore[assignment]
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        task.tqdm = bar
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """lm-eval's seeds inside; outside, the generators go on from where they were."""
    import numpy as np
    import torch

    state = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    random.seed(SEEDS[0])
    np.random.seed(SEEDS[1])
    torch.random.manual_seed(SEEDS[2])
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.random.set_rng_state(state[2])


# ---- scores that were computed before ------------------------------------------------------------------------------


class _Remembering:
    """The scorer with a file of its earlier answers in front; everything else is the scorer's own."""

    def __init__(self, scorer: Scorer, file: CacheFile) -> None:
        self.scorer, self.file = scorer, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scorer, name)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Any]:
        return self._answers([request_key(r) for r in requests], requests, self.scorer.loglikelihoods)

    def rolling(self, texts: Sequence[str]) -> list[Any]:
        return self._answers([text_key(text) for text in texts], texts, self.scorer.rolling)

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[Any]:
        write = functools.partial(self.scorer.generate, until=until, max_new_tokens=max_new_tokens)
        return self._answers([prompt_key(p, until, max_new_tokens) for p in prompts], prompts, write)

    def _answers(self, keys: list[str], asked: Sequence[Any], compute: Any) -> list[Any]:
        missing = {key: one for key, one in zip(keys, asked, strict=True) if self.file.get(key) is None}
        if missing:
            self.file.add(dict(zip(missing, compute(list(missing.values())), strict=True)))
            self.file.save()
        return [self.file.get(key) for key in keys]
