"""Tiny random models as directories, and lm-eval's `hf` model of them: what ours is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

END = "<|endoftext|>"
# What the tokenizers of the shared data leave to their configuration.
SPECIAL: dict[str, dict[str, Any]] = {
    "gpt2": {"bos_token": END, "eos_token": END, "unk_token": END},
    "mistral": {},
    "t5": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
}


def save_tiny(directory: Path, tokenizers: Path, kind: str = "gpt2", *, context: int = 128, seed: int = 0) -> Path:
    """A random two-layer Llama, 32 wide, float32, with a real tokenizer; spread enough that no two logits tie."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizers / kind, **SPECIAL[kind])
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=context, initializer_range=0.3, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def hf_model(directory: Path, **options: Any) -> Any:
    """lm-eval's own model of a directory, on the CPU in float32."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(str(directory), device="cpu", dtype="float32", batch_size=8, **options)


def our_model(directory: Path, **options: Any) -> Any:
    from smallm.evaluate.harness import SmallmLM

    return SmallmLM(str(directory), device="cpu", dtype="float32", **options)


def asked(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    """lm-eval's requests of one kind."""
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, given, 0) for given in arguments]  # type: ignore[arg-type]
