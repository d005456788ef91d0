"""A request to score: a continuation after a context, as text and as token ids, by lm-eval's rule of the join.

Text in, ids out; scores come from evaluate/score.py. lm-eval's rule (0.4.13, `TemplateLM._encode_pair`): spaces at the
context's end move to the continuation; context and whole are encoded, and the continuation is what follows the
context's length in the whole. Where that leaves nothing (one token spans the join), lm-eval stops; here the shared
prefix of the two encodings is the context and the rest is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smallm.core.errors import UserError

TRUNCATED, SPANS, WINDOWS = "truncated", "spans", "windows"


@dataclass(frozen=True)
class Request:
    """Score `continuation` after `context` ("" is the start of a document)."""

    context: str
    continuation: str


@dataclass(frozen=True)
class Score:
    """log p of the continuation in nats; was each token the likeliest; scored tokens; what was odd (MARKS)."""

    logprob: float
    greedy: bool
    tokens: int
    marks: tuple[str, ...] = ()


class Encoder:
    """Text to ids as a model reads it. `add_bos` None: what the tokenizer does by itself (as lm-eval's `hf`).

    `prefix_id` stands for an empty context: BOS, or EOS where there is no BOS.
    """

    def __init__(self, tokenizer: Any, *, add_bos: bool | None, prefix_id: int) -> None:
        self.tokenizer, self.add_bos, self.prefix_id = tokenizer, add_bos, prefix_id

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Ids of `text`; `special` False adds no special token, True those that the model was trained to see."""
        if not special:
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        prefix = self.tokenizer.decode([self.prefix_id])
        if self.add_bos is None and not (prefix and text.startswith(prefix)):
            return list(self.tokenizer.encode(text))
        ids = list(self.tokenizer.encode(text, add_special_tokens=False))
        return [self.prefix_id, *ids] if self.add_bos and ids[:1] != [self.prefix_id] else ids

    def pair(self, request: Request) -> tuple[list[int], list[int], tuple[str, ...]]:
        """(context ids, continuation ids, marks); both are never empty. UserError: nothing to score."""
        context, continuation = request.context, request.continuation
        if not continuation:
            raise UserError(f"the continuation after {context[-60:]!r} is empty: there is nothing to score.")
        if not context:
            ids = self.encode(continuation, special=False)
            if not ids:
                raise UserError(f"{continuation[:60]!r} has no tokens: there is nothing to score.")
            return ([self.prefix_id], ids, ()) if ids[0] != self.prefix_id or len(ids) == 1 else (ids[:1], ids[1:], ())
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        if not context:  # nothing but spaces
            return self.pair(Request("", continuation))
        whole, begun = self.encode(context + continuation), self.encode(context)
        spans = whole[: len(begun)] != begun
        if len(whole) > len(begun):
            return begun or [self.prefix_id], whole[len(begun) :], (SPANS,) if spans else ()
        shared = _shared(whole, begun)
        shared = min(shared, len(whole) - 1)
        return whole[:shared] or [self.prefix_id], whole[shared:], (SPANS,)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common prefix."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n
