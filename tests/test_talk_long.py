"""Laws of long texts through Transformers: LongRoPE changes its factors on the way, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, make_model, save_base

from smallm.commands.talk_tuned import _generate, _reach, generate_other
from smallm.finetune.lengths import longest_text
from smallm.model.generate import CONTEXT, SamplingConfig, encode_prompt
from smallm.tokenizer.directory import load_tokenizer


def finished(generator: Any) -> tuple[list[int], str]:
    """(all ids, why it ended)."""
    ids = []
    while True:
        try:
            ids.append(next(generator))
        except StopIteration as end:
            return ids, end.value


@pytest.mark.parametrize("length", [28, 32, 33])
@pytest.mark.parametrize("window", [None, 6])
def test_a_text_that_outgrows_the_first_length_is_continued_as_if_it_had_never_been_short(
    window: int | None, length: int
) -> None:
    model = make_model("phi3", sliding_window=window)
    context, switch = _reach(model.config)
    assert (context, switch) == (64, 32)
    for seed in range(3):
        prompt = documents((length,), seed=seed)[0].tolist()
        sampling = SamplingConfig(max_new_tokens=100, greedy=True)
        ids, reason = finished(_generate(model, prompt, sampling, set(), 320, context, switch))
        assert (len(prompt) + len(ids), reason) == (64, CONTEXT)
        text = list(prompt)
        while len(text) < 64:  # every token from all before it, without a cache
            with torch.no_grad():
                text.append(int(model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].argmax()))
        assert ids == text[length:]


def test_weights_in_4_bits_leave_the_context_as_it_is(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", "phi3")
    tokenizer, text = load_tokenizer(base), "the cat"
    while len(encode_prompt(tokenizer, text)) <= 40:
        text += " and the dog"
    assert len(encode_prompt(tokenizer, text)) < 60
    sampling = SamplingConfig(max_new_tokens=3, greedy=True)
    assert generate_other(base, text, sampling, show=False, load_in_4bit=True)[1] is not None


def test_the_length_of_the_change_is_said_where_there_is_one() -> None:
    hub = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    for kind in ("longrope", "su"):
        assert longest_text(hub | {"rope_scaling": {"type": kind}}) == (131072, 4096)
    dynamic = {"rope_type": "dynamic", "factor": 4.0}
    assert longest_text({"max_position_embeddings": 2048, "rope_parameters": dynamic}) == (2048, None)
    short = {"rope_type": "longrope", "original_max_position_embeddings": 4096}
    assert longest_text({"max_position_embeddings": 4096, "rope_parameters": short}) == (4096, None)
    assert longest_text({"model_type": "mamba"}) is None
