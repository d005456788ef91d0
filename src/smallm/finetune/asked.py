"""The test items of a fine-tuning as both models are asked them: prompt ids, the text that they are, the answer's ids.

Items come from tokens/<name>/test.jsonl, ids from the renderer that made the training rows, so that a prompt at
inference is the beginning of a training row: exactly one BOS, no token that training did not see there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.finetune.examples import ASSISTANT, TEXT
from smallm.finetune.render import Renderer

FILE = "test.jsonl"


@dataclass(frozen=True)
class TestItem:
    """A line of test.jsonl: the messages before the answer, the answer, what evaluation knows of it."""

    __test__ = False  # pytest: this is no test

    id: str
    messages: tuple[dict[str, str], ...]
    answer: str
    prompt_length: int | None = None
    source: str = ""
    cluster: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """An item in tokens: `prompt_ids` up to where the answer begins, `text` what they read as, `answer_ids` its words.

    `answer_ids` are the right answer's without the end of turn: a base that never saw a chat is not charged for that.
    """

    item: TestItem
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    text: str

    @property
    def whole(self) -> str:
        """Prompt and answer as one text: the key and the shown text of the answer's bits."""
        return self.text + self.item.answer


def read_test(directory: Path) -> list[TestItem]:
    """The items of tokens/<name>, in order, equal ones once. UserError: no file, a line that is no item, no items."""
    path = directory / FILE
    try:
        lines = path.read_text("utf-8").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Run `smallm run` without --only.") from None
    items: dict[str, TestItem] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            item = _item(line, f"{path}:{number}")
            items.setdefault(item.id, item)
    if not items:
        raise UserError(
            f"{path}: no test examples, so base and tuned cannot be compared. Give finetune.test a larger share, or "
            "name a set with `use: test`."
        )
    return list(items.values())


def _item(line: str, place: str) -> TestItem:
    try:
        row = json.loads(line)
        return TestItem(
            id=str(row["id"]),
            messages=tuple({"role": str(m["role"]), "content": str(m["content"])} for m in row["messages"]),
            answer=str(row["answer"]),
            prompt_length=row.get("prompt_ids_length"),
            source=str(row.get("source") or ""),
            cluster=str(row.get("cluster") or ""),
            fields=dict(row.get("fields") or {}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{place}: no test example ({type(error).__name__}: {error}). Delete tokens/ of this fine-tuning and run "
            "`smallm run` again."
        ) from None


def drawn(items: Sequence[TestItem], count: int) -> list[TestItem]:
    """The `count` items of the smallest ids, in order: ids are hashes, so the first 100 are among the first 200."""
    chosen = {item.id for item in sorted(items, key=lambda item: item.id)[:count]}
    return [item for item in items if item.id in chosen]


def ask(items: Sequence[TestItem], renderer: Renderer) -> list[Asked]:
    """Every item in tokens. UserError: a prompt that is not the one that the tokens were made with."""
    found: list[Asked] = []
    taken: dict[str, tuple[int, ...]] = {}
    for item in items:
        place = f"{FILE}, item {item.id}"
        prompt = tuple(renderer.prompt(item.messages, place))
        row = renderer.row([*item.messages, _answer_of(item)], place)
        first, end = row.spans[-1]
        if tuple(row.ids[:first]) != prompt:
            raise UserError(
                f"{place}: its prompt is not the beginning of its training row, so the model would be asked otherwise "
                "than it was taught. Run `smallm audit` on the recipe: it shows the row."
            )
        if item.prompt_length is not None and item.prompt_length != len(prompt):
            raise UserError(
                f"{place}: {len(prompt)} tokens of prompt, {item.prompt_length} when the examples were made. Another "
                "tokenizer or template; run `smallm run` again so that the tokens are made anew."
            )
        text = renderer.template.text(renderer.with_system(item.messages), prompt=True) if item.messages else ""
        if taken.setdefault(text, prompt) != prompt:  # a typed `<|end|>` reads like the real one, its ids differ
            text = f"{text}\n[{item.id}]"
        found.append(Asked(item, prompt, tuple(row.ids[first : end - 1]), text))
    return found


def _answer_of(item: TestItem) -> dict[str, str]:
    """The last message of the item's row; of a plain text its only one."""
    return {"role": ASSISTANT if item.messages else TEXT, "content": item.answer}
