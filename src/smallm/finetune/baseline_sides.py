"""Baselines of a fine-tuning on its test items: their answers by prompt, from the training examples alone.

The answers are baselines_text.py's; here is which of them say something about which kind of task, and what beating
them means. A tuned model that is no better than the nearest training example has learned to look one up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smallm.finetune.asked import Asked
from smallm.finetune.baselines_text import baselines
from smallm.finetune.examples import ASSISTANT, Example

# Kind -> baselines that mean something there: nobody's class is its own text, no two translations are alike.
APPLY = {
    "translation": ("copy", "nearest"),
    "qa": ("nearest", "majority"),
    "classification": ("nearest", "majority"),
    "instruct": ("copy", "nearest"),
    "statutes": ("nearest", "majority"),
    "tagging": ("nearest", "majority"),
}
TITLES = {
    "copy": ("the question copied", "copying the question"),
    "nearest": ("the answer of the nearest training example", "looking up the most similar training example"),
    "majority": ("always the commonest training answer", "always giving the commonest answer"),
}


@dataclass(frozen=True)
class Baseline:
    """`name` in file names, `title` in sentences, what it `means` to do as well; `answers` by an item's text."""

    name: str
    title: str
    means: str
    answers: dict[str, str]


def baselines_of(tokens: Path, asked: Sequence[Asked], kind: str) -> list[Baseline]:
    """The baselines that apply to this kind; none without training examples."""
    train = training_examples(tokens / "examples.parquet")
    if not train:
        return []
    test = [
        Example(
            (*one.item.messages, {"role": ASSISTANT, "content": one.item.answer}),  # type: ignore[arg-type]
            one.item.source, "", one.item.id, fields=one.item.fields,
        )
        for one in asked
    ]  # fmt: skip
    said = baselines(train, test)
    texts = [one.text for one in asked]
    return [Baseline(name, *TITLES[name], dict(zip(texts, said[name], strict=True))) for name in APPLY[kind]]


def training_examples(path: Path) -> list[Example]:
    """The conversations of the split `train` that end in an answer; plain texts ask nothing."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["id", "split", "source", "messages"])
    table = table.filter(pc.equal(table["split"], "train"))  # type: ignore[attr-defined]
    found = []
    for row in table.to_pylist():
        messages = json.loads(row["messages"])
        if len(messages) > 1:
            found.append(Example(tuple(messages), row["source"], "", row["id"]))
    return found
