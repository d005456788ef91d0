"""A scorer without a model: every score is a hash of what was asked and of made-up weights; counts its calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from smallm.evaluate.requests import Request, Score


class FakeScorer:
    """The `Scorer` of tests. `answer` writes generations; `score` may replace a request's score."""

    def __init__(
        self,
        weights: str = "a" * 64,
        tokenizer: str = "b" * 64,
        settings: dict[str, Any] | None = None,
        *,
        answer: Callable[[str], str] = lambda prompt: prompt.split()[-1],
        score: Callable[[Request], float] | None = None,
    ) -> None:
        self.name, self.max_length, self.parameters, self.tokenizer = "fake", 128, 1000, None
        self.weights_sha256: str | None = weights
        self.tokenizer_sha256 = tokenizer
        self.settings = settings or {"dtype": "float32"}
        self.answer, self.score = answer, score
        self.asked: list[Any] = []
        self.calls = 0

    def _hash(self, *parts: str) -> int:
        return int(hashlib.sha256("\0".join([str(self.weights_sha256), *parts]).encode()).hexdigest()[:8], 16)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        self._count(requests)
        scores = []
        for request in requests:
            number = self._hash(request.context, request.continuation)
            logprob = self.score(request) if self.score else -(number % 10_000) / 500 - 0.01
            marks = ("truncated",) if len(request.context) > 400 else ()
            scores.append(Score(logprob, number % 3 == 0, len(request.continuation.split()), marks))
        return scores

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        self._count(texts)
        return [Score(-float(len(t)) * (1 + self._hash(t) % 100 / 100), False, len(t.split())) for t in texts]

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        self._count(prompts)
        return [self.answer(prompt) for prompt in prompts]

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        return "".join(f"<{m['role']}>{m['content']}</{m['role']}>" for m in messages) + "<assistant>"

    def _count(self, asked: Sequence[Any]) -> None:
        self.calls += 1
        self.asked += list(asked)
