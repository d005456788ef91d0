"""The steps of a generation: prompts in, logits of the next token out, one token a row and step.

Two ways of one interface. `PlainSteps` is the decoder with its KV cache: every model, every device, easy to read.
`FastSteps` is the compiled pass of fast.py. `open_steps` takes the fast one where it is asked for and can run, and
`decoding` says in a line which one that is and why.
Letters: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from smallm.model.cache import KVCache
from smallm.model.compiled.layout import ROWS
from smallm.model.decoder import Decoder
from smallm.model.fast import FastDecoder, why_not


class Steps(Protocol):
    """A batch of texts that grow by a token a step."""

    def prompt(self) -> Tensor:
        """logits_BV of the token after each prompt."""
        ...

    def step(self, tokens: Sequence[int]) -> Tensor:
        """logits_BV after one more token in each row; may be overwritten by the next call."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row that is not in `rows` (indices of the present ones)."""
        ...


class PlainSteps:
    """The decoder itself; prompts are padded on the left. Puts the model into evaluation mode while it computes."""

    def __init__(self, model: Decoder, prompts: Sequence[Sequence[int]], new: int) -> None:
        parameter, total = next(model.parameters()), model.config.context
        longest = max(map(len, prompts))
        starts_B = torch.tensor([longest - len(prompt) for prompt in prompts])
        room = max(longest - len(prompt) + min(len(prompt) + new, total) for prompt in prompts)
        self.model, self.device = model, parameter.device
        self.padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        self.cache = KVCache(
            model.config, len(prompts), room, device=parameter.device, dtype=parameter.dtype, starts_B=starts_B
        )

    def prompt(self) -> Tensor:
        return self._logits(self.padded)

    def step(self, tokens: Sequence[int]) -> Tensor:
        return self._logits([[token] for token in tokens])

    def keep(self, rows: Sequence[int]) -> None:
        self.cache.keep(torch.tensor(list(rows), dtype=torch.long, device=self.device))

    @torch.inference_mode()
    def _logits(self, ids: list[list[int]]) -> Tensor:
        """The head sees one position, not the prompt."""
        training = self.model.training
        if training:
            self.model.eval()
        hidden_BTD = self.model.hidden(torch.tensor(ids, device=self.device), cache=self.cache)
        logits_BV = self.model.logits(hidden_BTD[:, -1:])[:, 0]
        if training:
            self.model.train()
        return logits_BV


class FastSteps:
    """The compiled pass; a row keeps its slot, whatever leaves the batch, and has no padding."""

    def __init__(self, model: Decoder, prompts: Sequence[Sequence[int]], new: int) -> None:
        length = min(max(map(len, prompts)) + new, model.config.context)
        self.decoder = FastDecoder(model, len(prompts), length)
        self.prompts = [list(prompt) for prompt in prompts]
        self.slots, self.lengths = list(range(len(prompts))), [len(prompt) for prompt in prompts]

    def prompt(self) -> Tensor:
        return self.decoder.prefill(self.prompts, self.slots)

    def step(self, tokens: Sequence[int]) -> Tensor:
        parts: list[Tensor] = []
        for begin in range(0, len(tokens), ROWS):
            part = slice(begin, begin + ROWS)
            rows = range(len(tokens[part]))
            logits = self.decoder.run(list(tokens[part]), self.slots[part], self.lengths[part], rows)
            parts.append(logits if len(tokens) <= ROWS else logits.clone())
        self.lengths = [length + 1 for length in self.lengths]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def keep(self, rows: Sequence[int]) -> None:
        self.slots, self.lengths = [self.slots[i] for i in rows], [self.lengths[i] for i in rows]


def open_steps(model: Decoder, prompts: Sequence[Sequence[int]], new: int, fast: bool) -> Steps:
    """Steps of at most `new` tokens after these prompts; `fast`: compiled, where that runs this model."""
    return FastSteps(model, prompts, new) if fast and why_not(model) is None else PlainSteps(model, prompts, new)


def decoding(model: Decoder) -> str:
    """What `fast=True` means for this model, in a line."""
    reason = why_not(model)
    if reason is not None:
        return f"plain: {reason}"
    dtype = str(model.embed.weight.dtype).removeprefix("torch.")
    return f"fast: compiled, {dtype} weights, {torch.get_num_threads()} threads"
