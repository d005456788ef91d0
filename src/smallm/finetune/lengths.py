"""Rows over `max_length`: stop, leave out, or cut the prompt's beginning, by the recipe's choice and counted.

Cutting works on messages, not on ids, so that a cut row is still what the template writes: the oldest exchanges go
first, then the beginning of the user's text before the last answer. The system message stays; an answer is never cut:
where it does not fit with one word of its question, that is an error. Also: how long a row the base can take at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smallm.core.errors import UserError
from smallm.finetune.chat_template import Messages, at
from smallm.finetune.examples import SYSTEM, TEXT
from smallm.finetune.render import Rendered, Renderer

# RoPE whose factors depend on the longest row, and what a context is called.
LONG_ROPE = ("longrope", "su")
CHANGING_ROPE = (*LONG_ROPE, "dynamic")
CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "context")


@dataclass(frozen=True)
class Fitted:
    """A row that fits, and what it took: the messages it was made from, answers and characters that went."""

    messages: list[Mapping[str, Any]]
    row: Rendered
    answers_gone: int = 0
    characters_gone: int = 0

    @property
    def cut(self) -> bool:
        """Whether anything was taken off."""
        return bool(self.answers_gone or self.characters_gone)


def learned_texts(fitted: Fitted, renderer: Renderer) -> list[str]:
    """What of the row is learned, as text: its bytes are what bits per byte are counted over."""
    if renderer.train_on == "all":
        return [m["content"] for m in fitted.messages]
    return [m["content"] for m in fitted.messages if m["role"] in ("assistant", "text")][-fitted.row.turns :]


def fit(renderer: Renderer, messages: Messages, place: str, *, max_length: int, too_long: str) -> Fitted | None:
    """The row in at most `max_length` tokens; None when it is dropped. `too_long`: raise, drop or truncate.

    UserError: too long and to raise, or its last answer alone is too long to keep.
    """
    given = renderer.with_system(messages)
    row = renderer.row(given, place)
    if len(row.ids) <= max_length:
        return Fitted(given, row)
    if too_long == "drop":
        return None
    if too_long == "raise":
        raise UserError(
            f"{at(place)}{len(row.ids)} tokens, and finetune.max_length is {max_length}. Raise it, or set "
            "finetune.too_long: drop (leaves such rows out) or truncate (cuts the prompt's beginning, never an answer)."
        )
    if given[0]["role"] == TEXT:
        raise UserError(
            f"{at(place)}a text of {len(row.ids)} tokens (finetune.max_length is {max_length}) is learned whole, so "
            "nothing of it can be cut. Split it in the data, or set finetune.too_long: drop."
        )
    return _cut(renderer, given, place, max_length)


def _cut(renderer: Renderer, given: list[Mapping[str, Any]], place: str, limit: int) -> Fitted:
    """The longest end of the conversation that fits."""
    system = given[:1] if given[0]["role"] == SYSTEM else []
    turns, gone = given[len(system) :], 0
    while len(turns) > 2:
        turns, gone = turns[2:], gone + 1
        row = renderer.row([*system, *turns], place)
        if len(row.ids) <= limit:
            return Fitted([*system, *turns], row, gone)
    question, answer = turns

    def row_from(start: int) -> tuple[list[Mapping[str, Any]], Rendered]:
        kept = [*system, {**question, "content": question["content"][start:]}, answer]
        return kept, renderer.row(kept, place)

    starts = _word_starts(question["content"])
    low, high = 0, len(starts)  # the first start whose row fits lies in [low, high)
    while low < high:
        middle = (low + high) // 2
        if len(row_from(starts[middle])[1].ids) <= limit:
            high = middle
        else:
            low = middle + 1
    if low == len(starts):
        tokens = len(row_from(starts[-1])[1].ids)
        raise UserError(
            f"{at(place)}the answer and the last word of its question take {tokens} tokens, and finetune.max_length is "
            f"{limit}. An answer is never cut: raise max_length, or set finetune.too_long: drop."
        )
    messages, row = row_from(starts[low])
    return Fitted(messages, row, gone, starts[low])


def _word_starts(text: str) -> list[int]:
    """Where the text may begin: after blanks; in a text without any, at every character."""
    found = [i for i in range(len(text)) if not text[i].isspace() and (i == 0 or text[i - 1].isspace())]
    return found if len(found) > 1 else [i for i in range(len(text)) if not text[i].isspace()]


def longest_row(config: Mapping[str, Any]) -> tuple[int, str] | None:
    """(tokens of the longest row that a model of this config.json takes, why); None where it does not say.

    LongRoPE (Phi-3.5) has two lists of factors, and one row over `original_max_position_embeddings` switches the whole
    batch to the long ones: rows stay at or under it (4,096). Dynamic RoPE is scaled by the longest row likewise.
    """
    config, context = config.get("text_config") or config, context_of(config)
    kind, original = _rope(config)
    if kind in CHANGING_ROPE:
        limits = [n for n in (original, context) if n]
        if limits:
            return min(limits), "longer rows switch its whole batch to the long RoPE factors"
    return (context, "that is its context") if context else None


def longest_text(config: Mapping[str, Any]) -> tuple[int, int | None] | None:
    """(tokens that a model of this config.json goes on to, where its LongRoPE changes factors); None as above.

    Beyond that length the keys in a cache have the wrong factors: everything is computed anew there, once.
    """
    found, context = longest_row(config), context_of(config)
    kind, original = _rope(config.get("text_config") or config)
    if found and context and kind in LONG_ROPE and original and original < context:
        return context, original
    return (found[0], None) if found else None


def context_of(config: Mapping[str, Any]) -> int | None:
    """The context that config.json says."""
    config = config.get("text_config") or config
    return next((int(config[k]) for k in CONTEXT if config.get(k)), None)


def _rope(config: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """(how its rotary positions are scaled, the length that they were made for)."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    original = config.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings")
    return rope.get("rope_type") or rope.get("type"), int(original) if original else None


def check_length(max_length: int, config: Mapping[str, Any], name: str) -> None:
    """UserError when rows of `max_length` are longer than the base takes."""
    found = longest_row(config)
    if found and max_length > found[0]:
        raise UserError(
            f"finetune.max_length: {max_length}, but {name} takes rows of at most {found[0]} tokens "
            f"({found[1]}). Set it to at most {found[0]}."
        )
