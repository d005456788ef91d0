"""Greedy text of a model, many prompts at a time: ids in, text out, cut at the first stop string as lm-eval cuts it.

Equal to prompts run one by one, up to rounding: rows are padded on the left only for models whose logits do not
notice (tried out on the model itself); the others run in batches of one length. Ends at the tokenizer's and the
model's end ids, at a stop string, or after `max_new_tokens`; ids beyond the tokenizer are never drawn.
Letters: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smallm.model.decoder import Decoder
from smallm.model.generate import SamplingConfig, decoder_of, generate_batch, stop_ids_of

# Padded tokens of one batch, prompts and answers, and its rows at most.
BATCH_TOKENS, BATCH_ROWS = 16_384, 64
# Our decoder's first round of new tokens; each next one is twice as long (see `write_decoder`).
FIRST_ROUND = 32
# More tokens than a stop string has bytes: what a token before it may add to the tail that is searched.
TAIL = 8


@dataclass(frozen=True)
class Stops:
    """Where an answer ends: at these ids, and before the first of these strings."""

    ids: frozenset[int]
    texts: tuple[str, ...]

    def found(self, text: str) -> bool:
        return any(stop in text for stop in self.texts)

    def cut(self, text: str) -> str:
        """lm-eval's rule: each string in turn cuts what is left."""
        for stop in self.texts:
            text = text.split(stop)[0]
        return text


def stops_of(tokenizer: Any, until: Sequence[str], more_ids: Sequence[int] = ()) -> Stops:
    """`until` as text, and as an id where a string is one special token (which decoded text does not show)."""
    special = {str(token.content): i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = stop_ids_of(tokenizer) | {special[s] for s in until if s in special} | set(more_ids)
    return Stops(frozenset(ids), tuple(s for s in until if s))


def write_decoder(
    model: Decoder, tokenizer: Any, prompts: Sequence[Sequence[int]], stops: Stops, max_new_tokens: int
) -> list[str]:
    """The answers of our decoder to prompts of ids, in order.

    In rounds of growing length, so that an answer of five words with a stop string does not cost `max_new_tokens`:
    who has not ended goes on from where it was. The repeated prompts cost a few passes over all tokens at once.
    """
    decode, new = decoder_of(tokenizer), [[] for _ in prompts]
    usable = min(len(tokenizer), model.config.vocab_size)
    going, length = list(range(len(prompts))), 0
    while going and length < max_new_tokens:
        step = min(max(FIRST_ROUND, length), max_new_tokens - length)
        begun = [[*prompts[i], *new[i]] for i in going]
        sampling = SamplingConfig(max_new_tokens=step, greedy=True)
        answers = generate_batch(model, begun, sampling, stops.ids, usable=usable)
        for i, ids in zip(going, answers, strict=True):
            new[i] += ids
        length += step
        going = [i for i in going if len(new[i]) == length and not stops.found(decode(new[i]))]
    return [stops.cut(decode(ids)) for ids in new]


class TransformersWriter:
    """`write` for a model of Transformers (adapters and quantised weights too)."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        from transformers import GenerationConfig

        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tokenizer, self.decode = tokenizer, decoder_of(tokenizer)
        said = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        self.end_ids = [said] if isinstance(said, int) else list(said or ())
        # Nothing of the model's own habits (temperature, repetition penalty): greedy is greedy.
        self.model.generation_config = GenerationConfig()
        self._pads: bool | None = None

    def write(self, prompts: Sequence[Sequence[int]], stops: Stops, max_new_tokens: int) -> list[str]:
        """The answers to prompts of ids, in order."""
        answers = [""] * len(prompts)
        for rows in self._batches(prompts, max_new_tokens):
            for i, text in zip(rows, self._batch([prompts[i] for i in rows], stops, max_new_tokens), strict=True):
                answers[i] = text
        return answers

    def _batches(self, prompts: Sequence[Sequence[int]], new: int) -> Iterator[list[int]]:
        """Indices of prompts that run together: neighbours in length, of one length where padding would be noticed."""
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        batch: list[int] = []
        for i in order:
            longest = len(prompts[batch[0]]) if batch else 0
            full = len(batch) == BATCH_ROWS or (len(batch) + 1) * (longest + new) > BATCH_TOKENS
            if batch and (full or (len(prompts[i]) != longest and not self.pads())):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    @torch.inference_mode()
    def _batch(self, prompts: list[Sequence[int]], stops: Stops, max_new_tokens: int) -> list[str]:
        ids_BT, mask_BT = self._padded(prompts)
        vocabulary = self.tokenizer.get_vocab().values()
        ends = sorted(stops.ids)
        out_BT = self.model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,  # what fills a row after its end
            logits_processor=[_Within(max(vocabulary) + 1)],
            stopping_criteria=[_AtText(stops, self.decode, ids_BT.shape[1])],
        )
        return [stops.cut(self.decode(_until(row, stops.ids))) for row in out_BT[:, ids_BT.shape[1] :].tolist()]

    def _padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """ids_BT and mask_BT, filled on the left."""
        longest = max(len(p) for p in prompts)
        ids = [[0] * (longest - len(p)) + list(p) for p in prompts]
        mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
        device = next(self.model.parameters()).device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    @torch.inference_mode()
    def pads(self) -> bool:
        """Does padding on the left leave this model's answers alone? (Not so for some state-space models.)"""
        if self._pads is None:
            prompt = list(range(1, min(9, self.model.config.get_text_config().vocab_size)))
            ids_BT, mask_BT = self._padded([prompt, prompt * 2])
            # Positions as `generate` gives them.
            options = {"position_ids": (mask_BT.cumsum(-1) - 1).clamp(min=0)} if self._takes_positions() else {}
            padded_V = self.model(input_ids=ids_BT, attention_mask=mask_BT, **options).logits[0, -1].float()
            alone_V = self.model(input_ids=torch.tensor([prompt], device=ids_BT.device)).logits[0, -1].float()
            # As far apart as the rounding of the model's number format takes them, and no further.
            coarse = 1e-3 if self.model.dtype == torch.float32 else 3e-2
            self._pads = bool((padded_V - alone_V).abs().max() <= coarse * alone_V.std().clamp(min=1e-6))
        return self._pads

    def _takes_positions(self) -> bool:
        import inspect

        return "position_ids" in inspect.signature(self.model.forward).parameters


class _Within:
    """Only ids below `usable` are drawn: a vocabulary is padded beyond its tokenizer."""

    def __init__(self, usable: int) -> None:
        self.usable = usable

    def __call__(self, input_ids: Tensor, scores_BV: Tensor) -> Tensor:
        if scores_BV.shape[-1] <= self.usable:
            return scores_BV
        scores_BV = scores_BV.clone()
        scores_BV[:, self.usable :] = -torch.inf
        return scores_BV


class _AtText:
    """A row is done when the end of its answer holds a stop string."""

    def __init__(self, stops: Stops, decode: Callable[[list[int]], str], begin: int) -> None:
        self.stops, self.decode, self.begin = stops, decode, begin
        self.tail = max((len(s.encode()) for s in stops.texts), default=0) + TAIL

    def __call__(self, input_ids_BT: Tensor, scores: Any, **_: Any) -> Tensor:
        done = torch.zeros(len(input_ids_BT), dtype=torch.bool)
        if self.stops.texts:
            rows = input_ids_BT[:, max(self.begin, input_ids_BT.shape[1] - self.tail) :].tolist()
            done = torch.tensor([self.stops.found(self.decode(row)) for row in rows])
        return done.to(input_ids_BT.device)


def _until(ids: list[int], ends: frozenset[int]) -> list[int]:
    return ids[: next((at for at, i in enumerate(ids) if i in ends), len(ids))]
