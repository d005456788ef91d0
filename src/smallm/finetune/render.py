"""Conversations to token ids and the mask of what is learned: built on ids, prefix by prefix, or refused.

Each answer is checked before anything of it is learned: the ids of its prompt (the messages before it and the
generation prompt, as at inference) are a prefix of the ids of the whole; between them and the end of turn stands the
answer; the end of turn is learned, and the template's last end token with it. Nothing is masked for being the pad id.
What breaks a law is a UserError with the row's place and turn. Light: no torch, no reading of data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from smallm.core.errors import UserError
from smallm.finetune.chat_template import ChatTemplate, Messages, at
from smallm.finetune.examples import ASSISTANT, SYSTEM, TEXT
from smallm.tokenizer.directory import bos_id

TRAIN_ON = ("answers", "last-answer", "all")
# The probe: two words that no template changes and no special token's name holds.
QUESTION, ANSWER = "qwertz", "asdfgh"


@dataclass(frozen=True)
class Rendered:
    """One row: `ids`, `mask` (mask[i]: token i is a label; the first never is, nothing predicts it), learned `turns`.

    `spans` are the answers' ids, (first, end of turn included); `typed`: names of specials in the text, kept as text.
    """

    ids: list[int]
    mask: list[bool]
    turns: int
    spans: tuple[tuple[int, int], ...] = ()
    typed: int = 0

    @property
    def trained(self) -> int:
        """Number of labels."""
        return sum(self.mask)


@dataclass(frozen=True)
class Closing:
    """What the template writes after the last answer: its text, the end of turn, and the end tokens after that."""

    text: str
    turn: int
    after: tuple[int, ...]


class Renderer:
    """Rows and prompts of one tokenizer. `system`: put before conversations that have no system message."""

    def __init__(self, tokenizer: Any, *, train_on: str = "answers", system: str | None = None) -> None:
        if train_on not in TRAIN_ON:
            raise UserError(f"train_on: `{train_on}` is none of {', '.join(TRAIN_ON)}.")
        self.tokenizer, self.train_on, self.system = tokenizer, train_on, system or None
        self.template = ChatTemplate(tokenizer)

    @cached_property
    def closing(self) -> Closing:
        """How the template ends an answer. UserError: it has none, it fails, or it writes no end token there."""
        conversation = [{"role": "user", "content": QUESTION}, {"role": ASSISTANT, "content": ANSWER}]
        if self.system or not self.template._accepts(conversation):
            conversation = [{"role": SYSTEM, "content": self.system or "zuiopq"}, *conversation]
        written = self.template.text(conversation, prompt=False)
        text = written[written.rindex(ANSWER) + len(ANSWER) :]
        ends = [self.template.specials[name] for name in self.template.names.findall(text)]
        if not ends:
            raise UserError(
                f"the chat template of {self.template.name} writes no special token after an answer, so the model "
                f"would never learn to stop (after it stands {text!r}). Write `eos_token` there in the base's "
                "chat_template."
            )
        return Closing(text, ends[0], tuple(ends[1:]))

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Where generation stops: the end of turn first, then the template's last end tokens, then EOS."""
        closing = self.closing if self.template.source else None
        ends = [closing.turn, *closing.after] if closing else []
        if self.template.eos is not None:
            ends.append(self.template.eos)
        return tuple(dict.fromkeys(ends))

    def with_system(self, messages: Messages) -> list[Mapping[str, Any]]:
        """The messages as they are rendered: with the recipe's system message where they have none."""
        if self.system and messages and messages[0]["role"] not in (SYSTEM, TEXT):
            return [{"role": SYSTEM, "content": self.system}, *messages]
        return list(messages)

    def prompt(self, messages: Messages, place: str = "") -> list[int]:
        """Ids at inference: the messages before the answer and the generation prompt; of a text what opens it."""
        if not messages or messages[0]["role"] == TEXT:
            return [bos_id(self.tokenizer)]
        return self.template.ids(self.with_system(messages), prompt=True, place=place)

    def row(self, messages: Messages, place: str = "") -> Rendered:
        """The row of a conversation that ends with an answer, or of a text. UserError: a law is broken."""
        if len(messages) == 1 and messages[0]["role"] == TEXT:
            return self._text_row(messages[0]["content"], place)
        messages = self.with_system(messages)
        answers = [i for i, message in enumerate(messages) if message["role"] == ASSISTANT]
        if not answers or answers[-1] != len(messages) - 1:
            raise UserError(f"{at(place)}the last message must be the assistant's: it is what is learned.")
        written = self.template.write(messages, prompt=False, place=place)
        whole = written[1]
        learned = answers[-1:] if self.train_on == "last-answer" else answers
        spans = tuple(self._span(messages, i, written, place) for i in learned)
        mask = [self.train_on == "all"] * len(whole)
        for first, end in spans:
            mask[first:end] = [True] * (end - first)
        last = spans[-1][1]
        for i in range(last, len(whole)):  # the template's last end token; a newline after the turn is not learned
            mask[i] = mask[i] or whole[i] in self.closing.after
        mask[0] = False
        return self._checked(Rendered(whole, mask, len(spans), spans, self.template.typed(messages)), place)

    # ---- laws -----------------------------------------------------------------------------------------------------

    def _span(
        self, messages: list[Mapping[str, Any]], i: int, row: tuple[str, list[int]], place: str
    ) -> tuple[int, int]:
        """Where the answer that is message `i` stands in the row's ids, its end of turn included, after every check."""
        last, whole = i == len(messages) - 1, row[1]
        text, closed = row if last else self.template.write(messages[: i + 1], prompt=False, place=place)
        prompt, before = self.template.write(messages[:i], prompt=True, place=place)
        self._check_prefix(before, closed, i, place)
        self._check_text(prompt, messages[i]["content"], text, i, place)
        first = len(before)
        end = next((k for k in range(first, len(closed)) if closed[k] == self.closing.turn), None)
        if end is None or end == first:
            what = "no end of turn follows" if end is None else "no token is left of"
            raise UserError(
                f"{at(place)}{what} the answer in message {i + 1} ({messages[i]['content'][:60]!r}); an answer is at "
                "least one token and its end. Change the row, or remove it."
            )
        if not last and whole[: end + 1] != closed[: end + 1]:
            raise UserError(
                f"{at(place)}the chat template of {self.template.name} writes message {i + 1}, an answer, otherwise "
                "when others follow than when it is the last, so what would be learned is not what is asked at "
                "inference. Set finetune.train_on: last-answer, or cut the conversation there."
            )
        return first, end + 1

    def _check_prefix(self, before: list[int], closed: list[int], i: int, place: str) -> None:
        """The prompt's ids are a prefix of the ids with the answer."""
        if closed[: len(before)] == before:
            return
        k = next((k for k, (a, b) in enumerate(zip(before, closed, strict=False)) if a != b), len(closed))
        names = self.tokenizer.convert_ids_to_tokens
        raise UserError(
            f"{at(place)}the prompt's tokens are not the beginning of the row's in message {i + 1}: token {k} is "
            f"{names(before[k])!r} at inference and {names(closed[k]) if k < len(closed) else 'missing'!r} in "
            "training, so what is learned could not be told from what is asked. Often the answer begins with blanks "
            "that join the template's: take them off."
        )

    def _check_text(self, prompt: str, answer: str, text: str, i: int, place: str) -> None:
        """Prompt + answer + closing is what the template writes: the training rendering is the inference one."""
        closing = self.closing.text
        middle = text[len(prompt) : len(text) - len(closing)]
        if prompt + middle + closing == text and middle.strip().endswith(answer.strip()):
            return
        raise UserError(
            f"{at(place)}the chat template of {self.template.name} does not write message {i + 1} as prompt, answer "
            f"and end: it writes {text[len(prompt) - 30 :][:90]!r}, where the prompt at inference ends in "
            f"{prompt[-30:]!r}. Training would differ from inference; choose a base whose template keeps them apart."
        )

    def _checked(self, row: Rendered, place: str) -> Rendered:
        """The row, when something is learned and every answer's end with it."""
        if not row.trained:
            raise UserError(
                f"{at(place)}no token of this row would be learned. Remove it, or change finetune.train_on."
            )
        if not all(row.mask[end - 1] for _, end in row.spans):
            raise AssertionError(f"{place}: the end of an answer is not learned")
        return row

    def _text_row(self, text: str, place: str) -> Rendered:
        """BOS, the text, EOS: all learned but the first, which nothing predicts."""
        end = self.template.eos
        if end is None:
            raise UserError(
                f"{at(place)}{self.template.name} has no eos_token, so a text has no end to learn. Name one in its "
                "tokenizer_config.json."
            )
        ids = [bos_id(self.tokenizer), *self.template.plain(text, place), int(end)]
        typed = self.template.typed([{"content": text}])
        row = Rendered(ids, [False] + [True] * (len(ids) - 1), 1, ((1, len(ids)),), typed)
        if len(ids) < 3:
            raise UserError(f"{at(place)}no token is left of the text {text[:60]!r}. Remove the row.")
        return self._checked(row, place)


def end_ids_of(renderer: Renderer, generation: Mapping[str, Any], vocab_size: int) -> list[int]:
    """Where generation stops: the renderer's ends, then those of the base's generation_config.json."""
    given = generation.get("eos_token_id")
    listed: Sequence[Any] = given if isinstance(given, list) else [] if given is None else [given]
    return list(dict.fromkeys([*renderer.end_ids, *(int(i) for i in listed if 0 <= int(i) < vocab_size)]))
