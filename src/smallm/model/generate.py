"""Generation: token ids in and out for the decoder, text in and out for a loaded model.

`generate_ids` and `generate_batch` know nothing of text; `generate_text` streams pieces of text that
never split a character and never show a part of a stop string. A generation ends at a stop id, a stop
string, `max_new_tokens`, or where the context is full; the generators return that reason.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Protocol

import torch

from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.model.decoder import Decoder
from smallm.model.sampling import SamplingConfig, draw, streams
from smallm.model.steps import open_steps

__all__ = ["SamplingConfig", "generate_batch", "generate_ids", "generate_text", "until_stop"]

# Why a generation ended.
STOP_ID, STOP_TEXT, LENGTH, CONTEXT = "stop id", "stop string", "max_new_tokens", "context full"


class TextModel(Protocol):
    """What `generate_text` needs of a loaded model (model/load.py makes one)."""

    model: Decoder
    tokenizer: Any


def _check_prompts(model: Decoder, prompts: Sequence[Sequence[int]]) -> None:
    for prompt in prompts:
        if len(prompt) == 0:
            raise UserError("the prompt has no tokens: begin with the BOS id")
        if len(prompt) >= model.config.context:
            raise UserError(
                f"the prompt has {len(prompt)} tokens; the model's context is {model.config.context}, "
                "of which at least one must be left for the answer. Shorten the prompt."
            )
        if min(prompt) < 0 or max(prompt) >= model.config.vocab_size:
            worst = min(prompt) if min(prompt) < 0 else max(prompt)
            raise UserError(
                f"the prompt holds the token id {worst}; the model knows 0 to {model.config.vocab_size - 1}. "
                "Model and tokenizer belong to different runs."
            )


def generate_ids(
    model: Decoder,
    prompt_ids: Sequence[int],
    sampling: SamplingConfig,
    stop_ids: Iterable[int] = (),
    *,
    usable: int | None = None,
    fast: bool = False,
) -> Generator[int, None, str]:
    """New ids one by one; a stop id ends the generation and is not given. Returns the reason of the end.

    `usable`: only ids below it are drawn (a vocabulary is padded beyond its tokenizer). `fast`: by the compiled pass
    where it runs this model (model/fast.py), whose logits are equal up to rounding; else by the model, in evaluation
    mode while it draws. UserError: an empty prompt, or one that fills the context.
    """
    _check_prompts(model, [prompt_ids])
    stop, total = frozenset(stop_ids), model.config.context
    steps = open_steps(model, [prompt_ids], sampling.max_new_tokens, fast)
    random = streams(sampling, 1)
    seen_BV = _seen(model, [prompt_ids], sampling)
    length, token = len(prompt_ids), -1
    for _ in range(sampling.max_new_tokens):
        logits_BV = (steps.prompt() if token < 0 else steps.step([token]))[:, :usable]
        token = draw(logits_BV, sampling, random, None if seen_BV is None else seen_BV[:, :usable])[0]
        if token in stop:
            return STOP_ID
        yield token
        length += 1
        if length >= total:
            return CONTEXT
        if seen_BV is not None:
            seen_BV[0, token] = True
    return LENGTH


def _seen(model: Decoder, prompts: Sequence[Sequence[int]], sampling: SamplingConfig) -> torch.Tensor | None:
    """Which ids each row holds, bool (B, V); None when nothing asks."""
    if sampling.repetition_penalty == 1:
        return None
    seen_BV = torch.zeros(len(prompts), model.config.vocab_size, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        seen_BV[row, list(prompt)] = True
    return seen_BV.to(next(model.parameters()).device)


def generate_batch(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    stop_ids: Iterable[int] = (),
    *,
    usable: int | None = None,
    batch: int = 64,
    fast: bool = False,
) -> list[list[int]]:
    """New ids of every prompt, in order; row i is what `generate_ids` gives it with seed + i.

    Prompts run `batch` at a time; rows that have ended leave the batch. (Equal up to rounding: two logits within 1e-6
    may change places. With `fast` equal to the bit.)
    """
    _check_prompts(model, prompts)
    stop = frozenset(stop_ids)
    random = streams(sampling, len(prompts))
    out: list[list[int]] = [[] for _ in prompts]
    # Like lengths together: little padding, and a long prompt does not cost the short ones their context.
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for at in range(0, len(order), batch):
        _generate_rows(model, order[at : at + batch], prompts, sampling, stop, usable, random, out, fast)
    return out


def _generate_rows(
    model: Decoder,
    rows: list[int],
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    stop: frozenset[int],
    usable: int | None,
    random: list[Any],
    out: list[list[int]],
    fast: bool,
) -> None:
    """Fill `out` for these rows, together."""
    total = model.config.context
    steps = open_steps(model, [prompts[i] for i in rows], sampling.max_new_tokens, fast)
    seen_BV = _seen(model, [prompts[i] for i in rows], sampling)
    tokens: list[int] = []
    while rows:
        logits_BV = (steps.step(tokens) if tokens else steps.prompt())[:, :usable]
        tokens = draw(logits_BV, sampling, [random[i] for i in rows], None if seen_BV is None else seen_BV[:, :usable])
        going: list[int] = []
        for at, (i, token) in enumerate(zip(rows, tokens, strict=True)):
            if token in stop:
                continue
            out[i].append(token)
            if seen_BV is not None:
                seen_BV[at, token] = True
            if len(out[i]) < sampling.max_new_tokens and len(prompts[i]) + len(out[i]) < total:
                going.append(at)
        if len(going) < len(rows):
            steps.keep(going)
            seen_BV = None if seen_BV is None else seen_BV[going]
        rows, tokens = [rows[at] for at in going], [tokens[at] for at in going]


def decode_stream(ids: Generator[int, None, str], decode: Callable[[list[int]], str]) -> Generator[str, None, str]:
    """Text pieces of a stream of ids, none of which ends inside a character; returns what `ids` returned.

    A piece is the difference between the text with and without the newest ids, both decoded from a little
    earlier on: some tokenizers (SentencePiece) treat the first token of a text differently.
    """
    tokens: list[int] = []
    before, shown = 0, 0  # tokens[before:shown] is context that was given out already
    while True:
        try:
            tokens.append(next(ids))
            ended = None
        except StopIteration as end:
            ended = str(end.value)
        old, new = decode(tokens[before:shown]), decode(tokens[before:])
        # U+FFFD at the end is a character whose other bytes may still come.
        if new != old and (ended is not None or not new.endswith("\ufffd")):
            yield new[len(old) :]
            before, shown = shown, len(tokens)
        if ended is not None:
            return ended


def until_stop(pieces: Generator[str, None, str], stop: Sequence[str]) -> Generator[str, None, str]:
    """The pieces up to the first stop string, which is not shown, nor is a part of one while it may still become
    one; returns the reason of the end."""
    held = ""
    while True:
        try:
            held += next(pieces)
        except StopIteration as end:
            if held:
                yield held
            return str(end.value)
        found = [at for s in stop if (at := held.find(s)) >= 0]
        if found:
            if held[: min(found)]:
                yield held[: min(found)]
            pieces.close()
            return STOP_TEXT
        keep = max((n for s in stop for n in range(1, min(len(s), len(held) + 1)) if held.endswith(s[:n])), default=0)
        ready, held = held[: len(held) - keep], held[len(held) - keep :]
        if ready:
            yield ready


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Ids of a prompt as a document begins: BOS first, which smallm's tokenizers leave to the caller."""
    from smallm.tokenizer.directory import bos_id

    ids = list(tokenizer.encode(prompt, add_special_tokens=False)) if prompt else []
    if ids and tokenizer.bos_token_id is None:  # Qwen: texts begin with their first word
        return ids
    bos = bos_id(tokenizer)
    return ids if ids[:1] == [bos] else [bos, *ids]


def stop_ids_of(tokenizer: Any) -> set[int]:
    """End of document, and end of turn where the tokenizer has one as a single id."""
    end = tokenizer.get_vocab().get("<|end|>")
    return {i for i in (tokenizer.eos_token_id, end) if i is not None}


def generate_text(
    loaded: TextModel, prompt: str, sampling: SamplingConfig, *, fast: bool = False
) -> Generator[str, None, str]:
    """Text pieces that continue `prompt` (empty: a new document); returns the reason of the end.

    `fast`: as in `generate_ids`.
    """
    tokenizer = loaded.tokenizer
    if tokenizer is None:
        raise UserError(
            "this model directory has no tokenizer: text cannot be turned into ids. Copy its tokenizer there."
        )
    stop_ids = stop_ids_of(tokenizer) | set(getattr(loaded, "stop_ids", ()))
    usable = min(len(tokenizer), loaded.model.config.vocab_size)
    ids = generate_ids(loaded.model, encode_prompt(tokenizer, prompt), sampling, stop_ids, usable=usable, fast=fast)
    reason = yield from until_stop(decode_stream(ids, decoder_of(tokenizer)), sampling.stop)
    if reason == CONTEXT:
        say(f"(the text ends here: the model's context of {loaded.model.config.context} tokens is full)")
    return reason


def decoder_of(tokenizer: Any) -> Callable[[list[int]], str]:
    """Ids to text, special tokens left out, spaces as they are."""
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
