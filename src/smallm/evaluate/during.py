"""Tasks scored while a model is trained: the cheap ones of the recipe's suites, a few items each, always the same ones.

The decoder is scored as it stands, in its own number format and without a cache, by the code that evaluates finished
models; nothing is drawn at random. train/ imports this lazily and does without where a library is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smallm.core.config import EvalConfig
from smallm.core.console import say, warn
from smallm.core.errors import UserError
from smallm.evaluate.backends import DecoderBackend
from smallm.evaluate.greedy import stops_of, write_decoder
from smallm.evaluate.recipe_suites import folders_of, is_cheap, suites_of
from smallm.evaluate.run_suite import load_tasks
from smallm.evaluate.run_tasks import run_task
from smallm.evaluate.score import score_tokens
from smallm.evaluate.scorer import Pair, TextScorer, make_scorer
from smallm.evaluate.suites import Suite
from smallm.evaluate.tasks import Task
from smallm.model.decoder import Decoder

Scores = dict[str, dict[str, float]]


def cheap_tasks(evaluation: EvalConfig, decoder: Decoder, tokenizer: Any) -> Callable[[], Scores] | None:
    """A function that scores the decoder as it is then: {task: {metric: value}}; None where no cheap task is here.

    It leaves the decoder in evaluation mode. Tasks of one name in two suites are told apart as SUITE/TASK. UserError:
    a mistake in a task, before the training and not after it.
    """
    tasks = _tasks(evaluation)
    if not tasks:
        return None
    scorer = decoder_scorer(decoder, tokenizer)
    shown = ", ".join(tasks)
    say(f"every {evaluation.every} steps: {shown} (at most {evaluation.every_items} items each)")

    def score() -> Scores:
        found: Scores = {}
        for name, task in list(tasks.items()):
            try:
                figures = run_task(task, scorer).summary.metrics
            except UserError as error:  # what a task cannot do is no reason to stop a training
                warn(f"task {name} is not scored during training: {error}")
                del tasks[name]
                continue
            found[name] = {metric: figure["value"] for metric, figure in figures.items()}
        return found

    return score


def decoder_scorer(decoder: Decoder, tokenizer: Any) -> TextScorer:
    """A scorer of weights that change under it, so that nothing of it is cached."""

    def score(pairs: list[Pair], done: Callable[[int], None]) -> list[tuple[float, bool]]:
        return score_tokens(DecoderBackend(decoder), pairs)

    def write(prompts: list[list[int]], until: Sequence[str], limit: int) -> list[str]:
        return write_decoder(decoder.eval(), tokenizer, prompts, stops_of(tokenizer, until), limit)

    return make_scorer(
        "the model in training", tokenizer, score, write,
        max_length=decoder.config.context, weights_sha256=None, parameters=None, settings={}, add_bos=True,
    )  # fmt: skip


def _tasks(evaluation: EvalConfig) -> dict[str, Task]:
    """The cheap tasks that are here, by name."""
    folders, suites = folders_of(evaluation), suites_of(evaluation)
    names = [spec.name for suite in suites for spec in suite.tasks]
    found: dict[str, Task] = {}
    for suite in suites:
        cheap = Suite(suite.name, suite.about, tuple(spec for spec in suite.tasks if is_cheap(spec)))
        for task in load_tasks(cheap, folders, limit=evaluation.every_items)[0]:
            found[task.name if names.count(task.name) == 1 else f"{suite.name}/{task.name}"] = task
    return found
