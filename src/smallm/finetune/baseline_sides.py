"""Baselines of a fine-tuning on its test items: their answers by prompt, from the training examples alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.finetune.asked import Asked


@dataclass(frozen=True)
class Baseline:
    """`name` in file names, `title` in sentences, what beating it `means`; `answers` by an item's text."""

    name: str
    title: str
    means: str
    answers: dict[str, str]


def baselines_of(tokens: Path, asked: Sequence[Asked], kind: str) -> list[Baseline]:
    """The baselines that apply to answers of this kind."""
    return []
