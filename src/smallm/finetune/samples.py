"""What the model answers while it is tuned: a few test prompts, greedily, by the renderer of the training rows.

For the eye, not for scores (finetune/compare.py). The model answers with its own attention and a cache, as it is
served; the loop puts mode and generators back afterwards (train/job.looking).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from smallm.core.config import FinetuneConfig
from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.evaluate.model_tokenizer import open_tokenizer
from smallm.finetune.asked import drawn, read_test
from smallm.finetune.causal import CausalDecoder

PROMPTS = 3
MAX_TOKENS = 64

Sampler = Callable[[int], list[dict[str, Any]]]


def sampler(
    tokens: Path, base: Path, decoder: CausalDecoder, tune: FinetuneConfig, end_ids: Sequence[int]
) -> Sampler | None:
    """Rows {prompt, text, seed} of the first test items; None, said, where there are none or they cannot be read."""
    try:
        from smallm.finetune.render import Renderer

        tokenizer = open_tokenizer(None, base)
        renderer = Renderer(tokenizer, train_on=tune.train_on, system=tune.system)
        items = drawn(read_test(tokens), PROMPTS)
        asked = [(item, renderer.prompt(item.messages, f"test item {item.id}")) for item in items]
    except (ImportError, UserError) as error:
        warn(f"no samples during tuning: {error}")
        return None
    room = min(MAX_TOKENS, tune.max_new_tokens)

    def sample(step: int) -> list[dict[str, Any]]:
        rows = []
        for item, ids in asked:
            if len(ids) + room > decoder.config.context:
                text = f"(its prompt has {len(ids)} tokens: no room for an answer)"
            else:
                text = tokenizer.decode(greedy(decoder, ids, room, end_ids), skip_special_tokens=True)
            shown = item.messages[-1]["content"] if item.messages else ""
            rows.append({"prompt": shown, "text": text, "seed": 0})
        return rows

    return sample


@torch.no_grad()
def greedy(decoder: CausalDecoder, ids: Sequence[int], most: int, end_ids: Sequence[int]) -> list[int]:
    """The most likely continuation of at most `most` tokens, without the end token that stopped it."""
    from transformers import GenerationConfig

    ids_1T = torch.tensor([list(ids)], device=decoder.device)
    ends = [int(i) for i in end_ids]
    config = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=ends, pad_token_id=ends[0], use_cache=True
    )
    with decoder.serving_attention():
        out = decoder.model.generate(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), generation_config=config)
    answer = out[0, len(ids) :].tolist()
    return answer[:-1] if answer and answer[-1] in ends else answer
