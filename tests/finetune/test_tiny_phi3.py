"""The shrunken Phi-3.5 has what makes the real one hard: fused modules, swallowed newlines, pad among the ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finetune.tiny_phi3 import ADDED, WINDOW, make_phi3, make_tokenizer

from smallm.tokenizer.directory import load_tokenizer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phi3")
    make_phi3(path)
    return path


def test_it_opens_as_a_phi3_with_fused_modules_and_two_lists_of_factors(directory: Path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    names = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert names == {"qkv_proj", "o_proj", "gate_up_proj", "down_proj", "lm_head"}
    assert type(model).__name__ == "Phi3ForCausalLM"
    assert model.config.rope_parameters["rope_type"] == "longrope"
    tokenizer = load_tokenizer(directory)
    ends = tokenizer.convert_tokens_to_ids(["<|end|>", "<|assistant|>", "<|endoftext|>"])
    assert model.generation_config.eos_token_id == ends
    assert tokenizer.pad_token_id == model.generation_config.pad_token_id == ends[-1]
    assert model.config.vocab_size > len(tokenizer)


def test_a_row_over_the_window_changes_the_first_positions_too(directory: Path):
    """LongRoPE: the whole batch takes the long factors. This is why packed rows stay at or under the window."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    ids = torch.randint(3, 400, (1, WINDOW + 1), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        short = model(ids[:, :WINDOW], use_cache=False).logits[:, :8]
        long = model(ids, use_cache=False).logits[:, :8]
    assert (short - long).abs().max() > 1e-3


def test_the_newline_after_a_turn_s_name_is_swallowed(directory: Path):
    tokenizer = load_tokenizer(directory)
    names = dict(zip(ADDED, tokenizer.convert_tokens_to_ids(list(ADDED)), strict=True))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|user|>\nHi<|end|>\n<|assistant|>\n"
    ids = tokenizer.encode(text)
    assert ids[0] == names["<|user|>"]
    assert ids[-2:] == [names["<|end|>"], names["<|assistant|>"]]
    assert tokenizer.bos_token_id not in ids
    assert sorted(names.values()) == list(range(min(names.values()), min(names.values()) + 11))


def test_text_comes_back_and_the_newline_stays_where_the_end_does_not_strip(tmp_path: Path):
    tokenizer = make_tokenizer(tmp_path, end_rstrip=False)
    text = "Hör zu: das 東京 ist\n  neu."
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("<|end|>\n<|user|>\n")[1:-1] != []
