"""A generation step by step: the distribution of each next token as the sampler narrows it, and the draw.

The ids are those of `smallm generate` with the same settings (which asks a tuned model in its chat template: `chat`):
the distributions are model/sampling.py's own, taken after each of its filters, and the token is drawn by its `draw`
from the same stream of random numbers.
Letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from smallm.explain.subject import Subject
from smallm.model.generate import CONTEXT, LENGTH, STOP_ID
from smallm.model.sampling import SamplingConfig, draw, streams, warp

SHOWN = 10


@dataclass(frozen=True)
class Step:
    """One drawn token. `shown`: the likeliest ids and the drawn one; `stages`: filter -> their probabilities after it.

    `remaining`: filter -> ids that may still be drawn. `number` in [0, 1) fell into `interval`, the drawn id's share
    when all ids stand in a line in the order of their numbers (both None when greedy). `ends`: the id ends the text.
    """

    drawn: int
    shown: list[int]
    stages: dict[str, list[float]]
    remaining: dict[str, int]
    number: float | None
    interval: tuple[float, float] | None
    ends: bool


@dataclass(frozen=True)
class Generation:
    """`reason`: why it ended, in the words of model/generate.py."""

    sampling: SamplingConfig
    steps: list[Step]
    reason: str

    @property
    def ids(self) -> list[int]:
        """What `smallm generate` would write: without the id that ended it."""
        return [step.drawn for step in self.steps if not step.ends]


class Overheard:
    """A stream of random numbers that remembers the last one."""

    def __init__(self, stream: np.random.Generator) -> None:
        self.stream, self.last = stream, 0.0

    def random(self) -> float:
        self.last = float(self.stream.random())
        return self.last


def follow(subject: Subject, prompt_ids: Sequence[int], sampling: SamplingConfig, *, chat: bool = False) -> Generation:
    """Generate `sampling.max_new_tokens` tokens, fewer where the text (`chat`: the answer) ends or the context does."""
    if sampling.repetition_penalty != 1:
        raise ValueError("the steps show temperature, top-k, top-p and min-p; no repetition penalty")
    room = min(len(prompt_ids) + sampling.max_new_tokens, subject.context)
    stream, random = subject.stream(room), Overheard(streams(sampling, 1)[0])
    steps: list[Step] = []
    ends = subject.ends(chat=chat)
    new, length = list(prompt_ids), len(prompt_ids)
    while length < subject.context and len(steps) < sampling.max_new_tokens:
        step = _step(stream.next(new)[:, : subject.usable], sampling, random, ends)
        steps.append(step)
        if step.ends:
            return Generation(sampling, steps, STOP_ID)
        new, length = [step.drawn], length + 1
    return Generation(sampling, steps, CONTEXT if length >= subject.context else LENGTH)


def filters(sampling: SamplingConfig) -> dict[str, SamplingConfig]:
    """Name -> the settings up to and with this filter, in the sampler's order; those that are off are left out."""
    if sampling.deterministic:
        return {}
    off = replace(sampling, top_k=0, top_p=1.0, min_p=0.0)
    found = {"temperature": off}
    if sampling.top_k:
        found["top-k"] = replace(off, top_k=sampling.top_k)
    if sampling.top_p < 1:
        found["top-p"] = replace(off, top_k=sampling.top_k, top_p=sampling.top_p)
    if sampling.min_p > 0:
        found["min-p"] = sampling
    return found


@torch.inference_mode()
def _step(logits_1V: Tensor, sampling: SamplingConfig, random: Overheard, ends: set[int]) -> Step:
    logits_1V = logits_1V.float()
    stages = {"model": logits_1V.softmax(-1)[0]}
    for name, settings in filters(sampling).items():
        stages[name] = warp(logits_1V, settings).softmax(-1)[0]
    (drawn,) = draw(logits_1V, sampling, [random])  # type: ignore[list-item]
    shown = stages["model"].topk(min(SHOWN, logits_1V.shape[-1])).indices.tolist()
    shown += [] if drawn in shown else [drawn]
    final_V = list(stages.values())[-1].double()
    number = interval = None
    if not sampling.deterministic:
        sums_V = (final_V / final_V.sum()).cumsum(0)
        number = random.last
        interval = (float(sums_V[drawn - 1]) if drawn else 0.0, float(sums_V[drawn]))
    return Step(
        drawn=drawn,
        shown=shown,
        stages={name: p_V[shown].tolist() for name, p_V in stages.items()},
        remaining={name: int((p_V > 0).sum()) for name, p_V in stages.items()},
        number=number,
        interval=interval,
        ends=drawn in ends,
    )
