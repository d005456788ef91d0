"""The two sides of base against tuned: what both are asked, each one's results as evaluation's files, the baselines'.

Prompts are rendered once, with the tuned model's tokenizer and template, and both sides are asked the same ids. Scores
of weights that were asked the same before come from evaluation's cache.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.core.run import Run
from smallm.evaluate.cache import ScoreCache, default_directory
from smallm.evaluate.lazy_scorer import LazyScorer
from smallm.evaluate.results import ModelFacts, write_result
from smallm.evaluate.run_tasks import TaskResult, run_task
from smallm.evaluate.scorer import Scorer
from smallm.evaluate.tasks import Task
from smallm.finetune.asked import Asked, TestItem, ask, drawn, read_test
from smallm.finetune.baseline_sides import Baseline, baselines_of
from smallm.finetune.chat_scorer import ChatScorer, TableScorer
from smallm.finetune.forgetting import GeneralText, general_text
from smallm.finetune.tuned_tasks import answers_task, kind_of, labels_of, with_columns, written_task


@dataclass(frozen=True)
class Questions:
    """What both sides are asked: items in tokens, their tasks (none written where all are plain texts)."""

    kind: str
    asked: list[Asked]
    written: Task | None
    answers: Task
    general: GeneralText
    end_ids: tuple[int, ...]
    template_sha256: str
    all_items: int

    @property
    def items(self) -> dict[str, TestItem]:
        return {one.item.id: one.item for one in self.asked}


@dataclass(frozen=True)
class Side:
    """One side's results: [written,] answers, general; the file that holds them."""

    tag: str
    file: Path
    model: ModelFacts
    results: tuple[TaskResult, ...]

    def result(self, task: str) -> TaskResult:
        """The result of a task. KeyError: it was not asked."""
        return {result.task.name: result for result in self.results}[task]


def questions_of(recipe: Recipe, run: Run, tuned: Path) -> Questions:
    """The test items, drawn and rendered with the tuned model's tokenizer, and the general text."""
    from smallm.evaluate.identity import tokenizer_sha256
    from smallm.evaluate.model_tokenizer import open_tokenizer
    from smallm.finetune.render import Renderer

    tune = recipe.finetune
    tokens = run.path / "tokens" / tune.name
    manifest = read_json(tokens / "manifest.json")
    tokenizer = open_tokenizer(None, tuned)
    if tokenizer_sha256(tokenizer) != manifest["tokenizer_sha256"]:
        raise UserError(
            f"{tuned}: its tokenizer is not the one that {tokens} was made with. They come from different trainings; "
            "run `smallm run` again."
        )
    renderer = Renderer(tokenizer, train_on=tune.train_on, system=tune.system)
    every = read_test(tokens)
    asked = ask(drawn(every, tune.test_items), renderer)
    with_prompt = [one for one in asked if one.item.messages]
    kind = kind_of(tune, every)
    labels = labels_of(tune, manifest, every) if kind == "classification" else ()
    ends = tuple(manifest.get("end_ids") or renderer.end_ids)
    return Questions(
        kind=kind,
        asked=asked,
        written=written_task(kind, kind, with_prompt, tune, labels=labels, end_ids=ends) if with_prompt else None,
        answers=answers_task(asked),
        general=general_text(recipe, run.path),
        end_ids=ends,
        template_sha256=renderer.template.sha256,
        all_items=len(every),
    )


# ---- a side --------------------------------------------------------------------------------------------------------


def evaluate_side(recipe: Recipe, tag: str, path: Path, questions: Questions, directory: Path) -> Side:
    """Ask one model everything and write its result; scores of these weights that are known are not asked again."""
    tune = recipe.finetune
    given = {"dtype": tune.dtype, "load_in_4bit": tune.load_in_4bit}
    options = {key: value for key, value in given.items() if value not in (False, "auto")}
    scorer: Any = LazyScorer(str(path), options, default_directory().parent / "models")
    chat = ChatScorer(scorer, questions.asked, questions.end_ids, questions.template_sha256)
    side = side_of(recipe, tag, path, chat, scorer, questions, directory)
    del scorer, chat
    _free()
    return side


def side_of(
    recipe: Recipe, tag: str, path: Path, chat: Scorer, plain: Scorer, questions: Questions, directory: Path
) -> Side:
    """A model's results: the test items through `chat`, the general text through `plain`."""
    began, cache = time.monotonic(), ScoreCache()
    results = []
    if questions.written is not None:
        results.append(with_columns(questions.kind, run_task(questions.written, chat, cache), questions.items))
    results.append(run_task(questions.answers, chat, cache))
    results.append(run_task(questions.general.task, plain, cache))
    for result in results:
        say(f"{tag}: {_line(result)}")
    facts = ModelFacts(
        name=tag,
        path=str(path),
        weights_sha256=chat.weights_sha256,
        tokenizer_sha256=chat.tokenizer_sha256,
        parameters=chat.parameters,
        settings=chat.settings,
    )
    limit = len(questions.asked) if len(questions.asked) < questions.all_items else None
    seconds = time.monotonic() - began
    file = write_result(directory, tag, recipe.finetune.name, facts, results, limit=limit, seconds=seconds)
    return Side(tag, file, facts, tuple(results))


def _free() -> None:
    """Give the card's memory back: two models do not stand on it at once."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _line(result: TaskResult) -> str:
    figure = result.summary.metrics[result.task.primary]
    error = f" ± {figure['standard_error']:.3f}" if figure["standard_error"] is not None else ""
    known = f", {result.cached} known" if result.cached else ""
    return (
        f"{result.task.name}: {result.task.primary} {figure['value']:.3f}{error} ({len(result.records)} items{known})"
    )


def baseline_files(
    tokens: Path, questions: Questions, recipe: Recipe, tuned: Side, directory: Path
) -> list[tuple[Baseline, Side]]:
    """Every baseline's answers as a result file of its own, by the same metrics; none where nothing is written."""
    if questions.written is None:
        return []
    found = []
    for baseline in baselines_of(tokens, [one for one in questions.asked if one.item.messages], questions.kind):
        scorer = TableScorer(baseline.name, baseline.answers, tuned.model.tokenizer_sha256)
        result = with_columns(questions.kind, run_task(questions.written, scorer), questions.items)
        facts = ModelFacts(baseline.name, None, None, scorer.tokenizer_sha256, None, scorer.settings)
        file = write_result(directory, baseline.name, recipe.finetune.name, facts, [result])
        say(f"{baseline.title}: {_line(result)}")
        found.append((baseline, Side(baseline.name, file, facts, (result,))))
    return found
