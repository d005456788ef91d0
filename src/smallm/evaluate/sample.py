"""Continuations of prompts by a loaded model, several at a time: what reports show and story figures judge.

Each prompt begins a document (BOS first). The same seed gives the same samples on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smallm.model.generate import SamplingConfig, decoder_of, encode_prompt, generate_batch, stop_ids_of


@dataclass(frozen=True)
class Sample:
    """A prompt and its continuation; `ended` when the model ended the document, not the limit."""

    prompt: str
    text: str
    seed: int
    ended: bool


def sample_texts(loaded: Any, prompts: Sequence[str], max_tokens: int, temperature: float, seed: int) -> list[Sample]:
    """One continuation of each prompt, in order, sample i from seed + i; a prompt longer than the context is cut."""
    context = loaded.model.config.context
    ids = [encode_prompt(loaded.tokenizer, prompt)[: context - 1] for prompt in prompts]
    sampling = SamplingConfig(max_new_tokens=max_tokens, temperature=temperature, seed=seed)
    stop, usable = stop_ids_of(loaded.tokenizer), len(loaded.tokenizer)
    decode = decoder_of(loaded.tokenizer)
    return [
        Sample(
            prompt=prompt,
            text=decode(new),
            seed=seed + i,
            ended=len(new) < max_tokens and len(begun) + len(new) < context,
        )
        for i, (prompt, begun, new) in enumerate(
            zip(prompts, ids, generate_batch(loaded.model, ids, sampling, stop, usable=usable), strict=True)
        )
    ]
