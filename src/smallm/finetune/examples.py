"""One example of a fine-tuning: a conversation that ends in the answer to learn, and what stays with it.

A conversation is an optional system message, then user and assistant in turn, the last an assistant's; or a single
message of role `text`: a plain text that is learned whole, without a chat template. `checked` holds that law and says
where it is broken. Standard library only: rendering and training import this.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from smallm.core.errors import UserError

if TYPE_CHECKING:
    from smallm.core.config import FinetuneConfig, TuneSource

SYSTEM, USER, ASSISTANT, TEXT = "system", "user", "assistant", "text"
ROLES = (SYSTEM, USER, ASSISTANT)
# What other models end an answer with; at the end of an answer it is taken off: the base's own template writes its end.
END_TOKENS = (
    "<|endoftext|>", "<|end_of_text|>", "<|end|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<eos>",
    "</s>", "<|return|>", "<｜end▁of▁sentence｜>",
)  # fmt: skip


class Message(TypedDict):
    """One turn: role is system, user or assistant (or `text`, alone)."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """`messages` end with an assistant's turn; `place` says where it stood; what shares a `cluster` stays in one split.

    `place` is for messages to the user (`data/x.jsonl:12`). `fields` are for evaluation: `input` (what is asked
    about, without the template), `label`, `held_out`, …
    """

    messages: tuple[Message, ...]
    source: str
    place: str
    id: str
    cluster: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def before(self) -> tuple[Message, ...]:
        """The messages before the last answer; none of a plain text."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The content of the last message."""
        return self.messages[-1]["content"]

    @property
    def is_text(self) -> bool:
        """Whether it is a plain text: learned whole, no template, no prompt."""
        return self.messages[0]["role"] == TEXT


def example(
    messages: Sequence[Message], source: str, place: str, cluster: str = "", fields: Mapping[str, Any] | None = None
) -> Example:
    """An Example of checked messages, with the id of its content."""
    kept = checked(messages, place)
    return Example(kept, source, place, content_id(kept), cluster, dict(fields or {}))


def content_id(messages: Sequence[Message]) -> str:
    """16 hex digits of the roles and contents: equal conversations have equal ids, whatever set they stand in."""
    content = json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


def checked(messages: Sequence[Message], place: str) -> tuple[Message, ...]:
    """The messages, when they are a conversation to learn from; UserError with the place, the rule and the remedy."""
    if not messages:
        raise UserError(f"{place}: no messages. A conversation needs a user's and an assistant's turn at least.")
    if len(messages) == 1 and messages[0]["role"] == TEXT:
        _check_content(messages[0], 1, place)
        return tuple(messages)
    expected = USER
    for number, message in enumerate(messages, 1):
        role = message["role"]
        if role not in ROLES:
            raise UserError(f"{place}: message {number} has the role `{role}`; {_roles_rule(role)}")
        _check_content(message, number, place)
        if role == SYSTEM and number == 1:
            continue
        if role != expected:
            raise UserError(
                f"{place}: message {number} is the {role}'s where the {expected}'s should stand. After an optional "
                "system message, user and assistant take turns. Join two turns of the same role, or remove one."
            )
        expected = ASSISTANT if expected == USER else USER
    if messages[-1]["role"] != ASSISTANT:
        raise UserError(
            f"{place}: ends with the {messages[-1]['role']}'s message; the last one must be the assistant's, since "
            "that is what is learned. Add the answer, or remove the message."
        )
    return tuple(messages)


def _roles_rule(role: str) -> str:
    remedy = {
        "developer": "write it as `system`.",
        "human": "write it as `user`, or set `format: sharegpt`.",
        "gpt": "write it as `assistant`, or set `format: sharegpt`.",
    }
    rule = "roles are system, user and assistant: "
    return rule + remedy.get(
        role, "rename it, or write what a tool said into the user's text, or remove the conversation."
    )


def _check_content(message: Message, number: int, place: str) -> None:
    content, role = message["content"], message["role"]
    if not isinstance(content, str):
        kind = "null" if content is None else f"a {type(content).__name__}"
        raise UserError(
            f"{place}: the content of message {number} ({role}) is {kind}, not text. Only text is learned here: remove "
            "the conversation, or write the content as text."
        )
    if not content.strip():
        remedy = "an empty answer teaches to say nothing" if role == ASSISTANT else "there is nothing in it"
        raise UserError(f"{place}: message {number} ({role}) is empty: {remedy}. Fill it in or remove the record.")
    if not content.isascii():
        try:
            content.encode("utf-8")
        except UnicodeEncodeError:  # "\ud83d" alone is JSON but no text
            raise UserError(
                f"{place}: message {number} ({role}) holds half of a surrogate pair. Repair the text or remove it."
            ) from None


# ---- what counts as the same ---------------------------------------------------------------------------------------


def normal(text: str) -> str:
    """A text without differences of case, width and blanks: NFKC, casefold, every run of blanks one space."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


def prompt_text(one: Example) -> str:
    """What is asked, as one text: the messages before the answer but the system's; a plain text is its own prompt."""
    if one.is_text:
        return one.answer
    return _as_text([m for m in one.before if m["role"] != SYSTEM])


def asked_texts(one: Example) -> list[str]:
    """What is asked before each answer of a conversation, as texts: the earlier ones are learned too."""
    if one.is_text:
        return [one.answer]
    turns = [m for m in one.messages if m["role"] != SYSTEM]
    return [_as_text(turns[:i]) for i, m in enumerate(turns) if m["role"] == ASSISTANT]


def _as_text(turns: Sequence[Message]) -> str:
    return turns[0]["content"] if len(turns) == 1 else "\n".join(f"{m['role']}: {m['content']}" for m in turns)


def input_text(one: Example) -> str:
    """What is asked about, without the words of the template where they are known (`fields.input`), else the prompt."""
    given = one.fields.get("input")
    return given if isinstance(given, str) and given else prompt_text(one)


def strip_end_token(text: str) -> tuple[str, str]:
    """(the text without an end token of another model at its end, that token or "").

    Blanks that follow the token go with it. `</s>` stays where an `<s>` opens before it: that is HTML.
    """
    trimmed = text.rstrip()
    for token in END_TOKENS:
        if trimmed.endswith(token) and not (token == "</s>" and "<s>" in trimmed):
            return trimmed[: -len(token)], token
    return text, ""


def convert(record: Mapping[str, Any], source: TuneSource, tune: FinetuneConfig, place: str) -> Example:
    """One record to its example, by the source's format (found from this record where it is `auto`).

    For single records; sets.py converts whole sets. Raises UserError with the place when the record breaks a law.
    """
    from smallm.finetune.formats import Converter  # templates need jinja2, which training does without

    (made,) = Converter(source, tune, source.name or "data", first=[record])(record, place)
    return made


__all__ = [
    "ASSISTANT", "END_TOKENS", "ROLES", "SYSTEM", "TEXT", "USER", "Example", "Message", "asked_texts", "checked",
    "content_id", "convert", "example", "input_text", "normal", "prompt_text", "strip_end_token",
]  # fmt: skip
