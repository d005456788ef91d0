"""Records that hold whole conversations: `messages` (OpenAI's, TRL's) and ShareGPT's `conversations`.

The turns are read as they stand: roles are translated, text parts joined, nothing is guessed. What would be lost
silently (a tool's call, a picture, a turn that is marked as not learned) is the user's error, with its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallm.core.errors import UserError
from smallm.finetune.examples import ASSISTANT, SYSTEM, USER, Message

# Fields that may hold the list of turns, and the names of a turn's two parts in each format.
LISTS = ("messages", "conversations", "conversation")
PARTS = {"messages": ("role", "content"), "sharegpt": ("from", "value")}
SHAREGPT_ROLES = {
    "human": USER, "user": USER, "gpt": ASSISTANT, "assistant": ASSISTANT, "chatgpt": ASSISTANT, "system": SYSTEM,
}  # fmt: skip
# Parts of a turn that change what is learned and that we do not learn.
REFUSED = {
    "tool_calls": "a call of tools",
    "function_call": "a call of a function",
    "tool_call_id": "the answer of a tool",
    "audio": "sound",
}


def turns_field(record: Mapping[str, Any], parts: tuple[str, str]) -> str | None:
    """The field that holds a list of turns with these two parts, or None."""
    for name in LISTS:
        turns = record.get(name)
        if isinstance(turns, list) and turns and all(isinstance(t, Mapping) and parts[0] in t for t in turns):
            return name
    return None


def is_turns(value: Any) -> bool:
    """Whether a value is a list of {role, content}."""
    return isinstance(value, list) and bool(value) and all(isinstance(t, Mapping) and "role" in t for t in value)


def read_turns(turns: Sequence[Mapping[str, Any]], style: str, place: str) -> list[Message]:
    """The messages of a list of turns. UserError for what is no text; roles are judged by examples.checked."""
    role_key, content_key = PARTS[style]
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        for key, what in REFUSED.items():
            if turn.get(key):
                raise UserError(
                    f"{place}: message {number} holds `{key}`: {what} is not learned here. Write it as text, or remove "
                    "the conversation."
                )
        weight = turn.get("weight")
        if weight is not None and weight != 1:
            raise UserError(
                f"{place}: message {number} has weight {weight}: every answer counts the same here. Remove the weight "
                "(finetune.train_on: last-answer learns the last one alone)."
            )
        role = turn.get(role_key)
        if content_key not in turn:
            raise UserError(
                f"{place}: message {number} has no `{content_key}` (it has {', '.join(map(str, turn))}). A message is "
                f"{{{role_key}, {content_key}}}."
            )
        if not isinstance(role, str):
            raise UserError(f"{place}: the `{role_key}` of message {number} is {role!r}, not text.")
        name = SHAREGPT_ROLES.get(role, role) if style == "sharegpt" else role
        messages.append(Message(role=name, content=_text(turn[content_key], number, role, place)))
    return messages


def _text(content: Any, number: int, role: str, place: str) -> Any:
    """A turn's content: text, or OpenAI's list of parts of type text, joined; others as they are, for `checked`."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            raise UserError(
                f"{place}: message {number} ({role}) holds a part of type `{kind}`. Only text is learned here: remove "
                "the conversation, or the part."
            )
        texts.append(part["text"])
    return "".join(texts)
