"""Continuations of prompts by a loaded model, several at a time: what reports show and story figures judge.

Each prompt begins a document (BOS first). The same seed gives the same samples on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCH = 32


@dataclass(frozen=True)
class Sample:
    """A prompt and its continuation; `ended` when the model ended the document, not the limit."""

    prompt: str
    text: str
    seed: int
    ended: bool


def sample_texts(loaded: Any, prompts: Sequence[str], max_tokens: int, temperature: float, seed: int) -> list[Sample]:
    """One continuation of each prompt, in order; prompts longer than the context keep their beginning."""
    from smallm.model.generate import SamplingConfig, generate_batch

    tokenizer, context = loaded.tokenizer, loaded.model.config.context
    end = tokenizer.eos_token_id
    found: list[Sample] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        ids = [[tokenizer.bos_token_id, *tokenizer.encode(p, add_special_tokens=False)][: context - 1] for p in batch]
        room = min(max_tokens, context - max(map(len, ids)))
        sampling = SamplingConfig(max_new_tokens=room, temperature=temperature, seed=seed + start)
        for prompt, new in zip(batch, generate_batch(loaded.model, ids, sampling, stop_ids=(end,)), strict=True):
            ended = len(new) < room or (bool(new) and new[-1] == end)
            text = tokenizer.decode([i for i in new if i != end], skip_special_tokens=True)
            found.append(Sample(prompt, text, seed + start, ended))
    return found
