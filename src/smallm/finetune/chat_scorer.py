"""A model asked through its chat template, as evaluation's `Scorer`; and baselines, which answer from a table.

`ChatScorer` puts a fine-tuning's own prompt ids in the place of text: what a task calls a prompt is looked up, never
encoded again, so that no tokenizer's habit (a second BOS, a lost newline) can come between. Both sides of a comparison
are asked the same ids, in the dtype and attention that they are served in, many at a time, padded on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallm.core.console import progress
from smallm.core.errors import UserError
from smallm.evaluate.requests import TRUNCATED, Request, Score
from smallm.finetune.asked import Asked

ENDLESS = 1 << 30


class ChatScorer:
    """The `Scorer` of a loaded model (evaluate/scorer.py's TextScorer) for these items; other texts are as its own.

    `end_ids` end an answer for both sides. `settings` hold what the prompts were made with, so that the cache of
    scores knows another template from this one.
    """

    def __init__(self, scorer: Any, asked: Sequence[Asked], end_ids: Sequence[int], template_sha256: str) -> None:
        self.scorer, self.tokenizer, self.name = scorer, scorer.tokenizer, scorer.name
        self.max_length, self.parameters = scorer.max_length, scorer.parameters
        self.weights_sha256, self.tokenizer_sha256 = scorer.weights_sha256, scorer.tokenizer_sha256
        self.room = ENDLESS  # a prompt is never cut here: `generate` says where one does not fit
        self.settings = scorer.settings | {"template_sha256": template_sha256, "end_ids": list(end_ids)}
        self.prompts = {one.text: one.prompt_ids for one in asked}
        self.answers = {one.whole: one for one in asked}
        # Special ones stop by their id; what is an ordinary token stops as the text that it is.
        self.until = tuple(str(self.tokenizer.convert_ids_to_tokens(i)) for i in end_ids)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        return self.scorer.loglikelihoods(requests)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        return self.scorer.chat(messages)

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        """log p of the right answers given their prompts, each text being an item's `whole`. KeyError: another text."""
        items = [self.answers[text] for text in texts]
        pairs = [(one.prompt_ids, one.answer_ids) for one in items]
        with progress("scoring", len(pairs), "answers") as bar:
            scored = self.scorer.score(pairs, bar.update)
        return [
            Score(logprob, greedy, len(one.answer_ids), (TRUNCATED,) if self._cut(one) else ())
            for one, (logprob, greedy) in zip(items, scored, strict=True)
        ]

    def _cut(self, one: Asked) -> bool:
        return len(one.prompt_ids) + len(one.answer_ids) > self.max_length + 1

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        """Greedy answers to prompts that are items' texts, ended at an end of turn.

        Where a prompt leaves less room in the window than `max_new_tokens`, its answer has that room: the prompt is
        never cut. UserError: a prompt that fills the window.
        """
        limits = []
        for prompt in prompts:
            room = self.max_length - len(self.prompts[prompt])
            if room < 1:
                raise UserError(
                    f"{self.name}: a test prompt has {len(self.prompts[prompt])} tokens, the model's window "
                    f"{self.max_length}. Lower finetune.max_length below the window."
                )
            limits.append(min(max_new_tokens, room))
        answers = [""] * len(prompts)
        done = 0
        with progress("answering", len(prompts), "items") as bar:
            for limit in sorted(set(limits), reverse=True):
                rows = [i for i, own in enumerate(limits) if own == limit]
                ids = [list(self.prompts[prompts[i]]) for i in rows]
                for i, text in zip(rows, self.scorer.write(ids, (*until, *self.until), limit), strict=True):
                    answers[i] = text
                done += len(rows)
                bar.update(done)
        return answers


class TableScorer:
    """A baseline as a `Scorer`: answers by prompt, from a table. Its weights are nobody's, so nothing is cached."""

    def __init__(self, name: str, answers: Mapping[str, str], tokenizer_sha256: str) -> None:
        self.name, self.table, self.tokenizer_sha256 = name, dict(answers), tokenizer_sha256
        self.weights_sha256: str | None = None
        self.parameters: int | None = None
        self.tokenizer: Any = None
        self.max_length = self.room = ENDLESS
        self.settings: dict[str, Any] = {"kind": "baseline"}

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        return [self.table[prompt] for prompt in prompts]

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        raise NotImplementedError("a baseline gives no probabilities")

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        raise NotImplementedError("a baseline gives no probabilities")

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        raise NotImplementedError("a baseline has no template")
