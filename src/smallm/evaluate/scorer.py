"""A model as evaluation sees it: text in, log-likelihoods, answers and chat prompts out, whatever kind of model it is.

`load_scorer` takes a run, a model or adapter directory, a Hub name or the address of an OpenAI-compatible server. All
give a `Scorer` whose identity (hashes, settings) says what its scores belong to. Rules are lm-eval's (0.4.13): the
join of context and continuation (evaluate/requests.py), the cut of what is too long, the rolling windows of a text.
A NaN never becomes a score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from smallm.core.console import progress
from smallm.core.errors import UserError
from smallm.evaluate.identity import tokenizer_sha256, tokenizer_state_sha256
from smallm.evaluate.requests import TRUNCATED, WINDOWS, Encoder, Request, Score

Pair = tuple[Sequence[int], Sequence[int]]
# Token pairs to (log p, greedy), in order; the second argument is told how many are done.
PairScorer = Callable[[list[Pair], Callable[[int], None]], list[tuple[float, bool]]]
# Prompts of ids, stop strings, new tokens at most -> answers.
Writer = Callable[[list[list[int]], Sequence[str], int], list[str]]


class Scorer(Protocol):
    """What tasks, lm-eval's adapter and the stage need of a model."""

    name: str  # as the user named it
    tokenizer: Any  # a Transformers tokenizer
    max_length: int  # inputs in one window
    weights_sha256: str | None  # None: cannot be known (a server), so that nothing is cached
    tokenizer_sha256: str
    parameters: int | None
    settings: dict[str, Any]  # JSON; everything else that changes a score

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        """log p of each continuation after its context, in the order given."""
        ...

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        """log p of whole texts, in lm-eval's rolling windows; `greedy` is always False."""
        ...

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        """Greedy answers, ended at a stop string (which is not given), the end token or the limit."""
        ...

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """The messages as the model's chat template writes them, up to where the answer begins."""
        ...


def load_scorer(
    model: str | Path,
    *,
    dtype: Any = "auto",
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    tokenizer: Any = None,
    add_bos: bool | None = None,
    batch_tokens: int | None = None,
    device: Any = None,
    trust_remote_code: bool = False,
    max_length: int | None = None,
) -> TextScorer:
    """The scorer of a run, model directory, Hub name, adapter directory or http(s) address.

    `dtype` auto: the checkpoint's where the device has it in hardware, else float32. `add_bos` None: True for models
    that smallm trained (their documents begin so, their tokenizers leave it to the caller), else the tokenizer's own
    habit. `tokenizer`: needed for a server. `max_length` shortens the window. UserError: whatever does not load.
    """
    if str(model).startswith(("http://", "https://")):
        from smallm.evaluate.server import load_server

        local_only = {"dtype": dtype != "auto", "load_in_4bit": load_in_4bit, "load_in_8bit": load_in_8bit}
        for option in (name for name, given in local_only.items() if given):
            raise UserError(
                f"{model}: {option} is for models that smallm loads; the server has loaded this one already."
            )
        return load_server(str(model), tokenizer=tokenizer, add_bos=add_bos, max_length=max_length)

    from smallm.evaluate.local_models import Options, quantisation

    quantise = quantisation(load_in_4bit, load_in_8bit)
    options = Options(dtype, quantise, tokenizer, device, trust_remote_code, max_length)
    return _load_local(model, options, add_bos, batch_tokens)


def _load_local(model: str | Path, options: Any, add_bos: bool | None, batch_tokens: int | None) -> TextScorer:
    """The scorer of a model on this machine; `options` are evaluate/local_models.py's."""
    from smallm.evaluate.greedy import TransformersWriter, stops_of, write_decoder
    from smallm.evaluate.local_models import load_local
    from smallm.evaluate.score import score_tokens
    from smallm.model.decoder import Decoder

    loaded = load_local(model, options)

    def score(pairs: list[Pair], done: Callable[[int], None]) -> list[tuple[float, bool]]:
        return score_tokens(loaded.backend, pairs, batch_tokens=batch_tokens, done=done)

    if isinstance(loaded.model, Decoder):

        def write(prompts: list[list[int]], until: Sequence[str], limit: int) -> list[str]:
            return write_decoder(loaded.model, loaded.tokenizer, prompts, stops_of(loaded.tokenizer, until), limit)

    else:
        writer = TransformersWriter(loaded.model, loaded.tokenizer)

        def write(prompts: list[list[int]], until: Sequence[str], limit: int) -> list[str]:
            return writer.write(prompts, stops_of(loaded.tokenizer, until, writer.end_ids), limit)

    return make_scorer(
        str(model),
        loaded.tokenizer,
        score,
        write,
        max_length=loaded.backend.max_length,
        weights_sha256=loaded.weights_sha256,
        parameters=loaded.parameters,
        settings=loaded.settings,
        add_bos=True if add_bos is None and loaded.smallm else add_bos,
        backend=loaded.backend,
    )


def make_scorer(
    name: str,
    tokenizer: Any,
    score: PairScorer,
    write: Writer,
    *,
    max_length: int,
    weights_sha256: str | None,
    parameters: int | None,
    settings: dict[str, Any],
    add_bos: bool | None,
    room: int | None = None,
    backend: Any = None,
) -> TextScorer:
    """A scorer of these parts; says in its settings what the tokenizer does. `room`, `backend`: see `TextScorer`."""
    from smallm.tokenizer.directory import bos_id

    prefix_id = bos_id(tokenizer)
    facts = {"add_bos": add_bos, "prefix_id": prefix_id, "tokenizer_state_sha256": tokenizer_state_sha256(tokenizer)}
    return TextScorer(
        name=name,
        tokenizer=tokenizer,
        max_length=max_length,
        weights_sha256=weights_sha256,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        parameters=parameters,
        settings=settings | facts,
        encoder=Encoder(tokenizer, add_bos=add_bos, prefix_id=prefix_id),
        score=score,
        write=write,
        room=room or max_length,
        backend=backend,
    )


def count_marks(scores: Sequence[Score]) -> dict[str, int]:
    """How many scores carry each mark; marks that none carries are left out."""
    return dict(sorted(Counter(mark for score in scores for mark in score.marks).items()))


@dataclass
class TextScorer:
    """The `Scorer` of any model: text to ids, windows, duplicates once; `score` and `write` know the model.

    `room`: tokens that a prompt and its answer share. `backend`: evaluate/backends.py's, None for a server.
    """

    name: str
    tokenizer: Any
    max_length: int
    weights_sha256: str | None
    tokenizer_sha256: str
    parameters: int | None
    settings: dict[str, Any]
    encoder: Encoder = field(repr=False)
    score: PairScorer = field(repr=False)
    write: Writer = field(repr=False)
    room: int = 0
    backend: Any = field(default=None, repr=False)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        """As `Scorer` says. UserError: an empty continuation, a score that is not a number."""
        unique = list(dict.fromkeys(requests))
        split = [self._pieces(request) for request in unique]
        found = self._score([pieces for pieces, _ in split], [r.context[-60:] + r.continuation for r in unique])
        scores = {
            request: Score(logprob, greedy, sum(len(continuation) for _, continuation in pieces), marks)
            for request, (pieces, marks), (logprob, greedy) in zip(unique, split, found, strict=True)
        }
        return [scores[request] for request in requests]

    def rolling(self, texts: Sequence[str]) -> list[Score]:
        """As `Scorer` says; a text that takes more than one window is marked. UserError: an empty text."""
        unique = list(dict.fromkeys(texts))
        split = [self._windows(text) for text in unique]
        found = self._score(split, unique)
        scores = {
            text: Score(logprob, False, sum(len(ids) for _, ids in windows), (WINDOWS,) if len(windows) > 1 else ())
            for text, windows, (logprob, _) in zip(unique, split, found, strict=True)
        }
        return [scores[text] for text in texts]

    def generate(self, prompts: Sequence[str], *, until: Sequence[str] = (), max_new_tokens: int = 256) -> list[str]:
        """As `Scorer` says; a prompt that leaves too little room loses its beginning, as lm-eval cuts it."""
        room = self.room - max_new_tokens
        if max_new_tokens < 1 or room < 1:
            raise UserError(
                f"{self.name}: max_new_tokens is {max_new_tokens}, the context {self.room} tokens, of which at least "
                f"one is the prompt's. Ask for 1 to {self.room - 1}."
            )
        unique = list(dict.fromkeys(prompts))
        ids = [(self.encoder.encode(prompt) or [self.encoder.prefix_id])[-room:] for prompt in unique]
        answers = dict(zip(unique, self.write(ids, until, max_new_tokens), strict=True))
        return [answers[prompt] for prompt in prompts]

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """As `Scorer` says. UserError: the tokenizer has no template, or it refuses these messages."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                f"{self.name}: its tokenizer has no chat template, so it was not trained to chat. "
                "Evaluate it with plain prompts."
            )
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError) as error:
            raise UserError(f"{self.name}: its chat template refuses the messages ({error}).") from None
        return str(text)

    def _pieces(self, request: Request) -> tuple[list[Pair], tuple[str, ...]]:
        """The token pairs that make up a request, and its marks: one pair, or the windows of a long continuation."""
        from smallm.evaluate.score import rolling_windows

        context, continuation, marks = self.encoder.pair(request)
        if len(continuation) > self.max_length:
            # Its first window begins with what stands before it, and that is all of the context that fits.
            return list(rolling_windows(continuation, context[-1], self.max_length)), (*marks, WINDOWS)
        room = self.max_length + 1 - len(continuation)  # the last token is predicted, never an input
        if len(context) > room:
            return [(context[-room:], continuation)], (*marks, TRUNCATED)
        return [(context, continuation)], marks

    def _windows(self, text: str) -> list[Pair]:
        from smallm.evaluate.score import rolling_windows

        prefix_id = self.encoder.prefix_id
        # With BOS from us, it is the first window's context already; a tokenizer's own is scored, as lm-eval does.
        ids = self.encoder.encode(text, special=self.encoder.add_bos is None)
        ids = ids[1:] if self.encoder.add_bos and ids[:1] == [prefix_id] else ids
        if not text or not ids:
            raise UserError(f"{self.name}: a text to score is empty ({text[:20]!r}). Leave it out of the task.")
        return list(rolling_windows(ids, prefix_id, self.max_length))

    def _score(self, items: Sequence[Sequence[Pair]], texts: Sequence[str]) -> list[tuple[float, bool]]:
        """(sum of log p, all greedy) of each item's pairs; equal pairs are scored once. UserError: not a number."""
        keys = [[(tuple(context), tuple(continuation)) for context, continuation in pairs] for pairs in items]
        unique = list(dict.fromkeys(key for pairs in keys for key in pairs))
        total = len(unique)
        with progress("scoring", total, "requests") as bar:
            scored = self.score(list(unique), lambda done: bar.update(done) if done < total else None)
        found = dict(zip(unique, scored, strict=True))
        sums = [(sum(found[k][0] for k in pairs), all(found[k][1] for k in pairs)) for pairs in keys]
        for (logprob, _), text in zip(sums, texts, strict=True):
            if not math.isfinite(logprob):
                raise UserError(
                    f"{self.name}: the score of {text[-80:]!r} is {logprob}, which is no score. The weights "
                    f"hold NaN or infinity, or {self.settings.get('dtype', 'the dtype')} overflows: try float32."
                )
        return sums
