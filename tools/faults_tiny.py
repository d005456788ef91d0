"""Tiny bases, rows and broken variants of both for tools/faults.py: what the faults are injected into.

A byte-level tokenizer of our own with the special tokens of Phi-3's template, a Llama and a Phi-3 (fused modules) of
random weights. Every function is deterministic.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

WORDS = "the cat sat on the mat and a dog ran to the river. What is it? Yes. No. Answer: it was a big red house."
BOS, EOS, PAD, END = "<s>", "<|endoftext|>", "<|pad|>", "<|end|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
# Phi-3.5's own layout: role, newline, text, end of turn, newline; the end of the text last.
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# What is asked for at inference is not what was trained: a system line and another opening of the answer.
WRONG_TEMPLATE = TEMPLATE.replace("'<|assistant|>\n' }}{% else", "'<|assistant|>\nAnswer: ' }}{% else")
QUESTIONS = ["the cat sat", "What is it?", "a dog ran to", "the big house", "on the mat and", "the river"]
ANSWERS = ["on the mat.", "it was a dog.", "the river.", "was red.", "a cat sat.", "No."]
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES: dict[str, Any] = {
    "vocab_size": 384,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def make_tokenizer(folder: Path, *, adds_bos: bool = False, template: str = TEMPLATE, pad: str = PAD) -> Any:
    """A tokenizer in `folder`. `adds_bos`: it puts BOS in front by itself, as Llama's and Mistral's do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    special = [BOS, EOS, PAD, END, *ROLES]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [WORDS] * 20, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=EOS, pad_token=pad)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_base(folder: Path, family: str = "llama", **tokenizer: Any) -> Path:
    """A model of random weights (far from uniform predictions) and its tokenizer."""
    import transformers as t

    ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "phi3":
            model: Any = t.Phi3ForCausalLM(t.Phi3Config(**SIZES, **ids))
        else:
            model = t.LlamaForCausalLM(t.LlamaConfig(**SIZES, **ids))
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape) * 0.05)
    model.save_pretrained(folder)
    make_tokenizer(folder, **tokenizer)
    return folder


def messages_rows(long: bool = False) -> list[dict[str, Any]]:
    """Six question-and-answer chats; `long`: one whose answer, and one whose question, does not fit 64 tokens."""
    pairs = list(zip(QUESTIONS, ANSWERS, strict=True))
    if long:
        pairs += [("What is it?", "the cat sat on the mat and " * 20), ("a dog ran to the river " * 20, "Yes.")]
    return [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in pairs
    ]  # fmt: skip


def split_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as conversational prompt and completion."""
    return [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]


def randomise_adapter(model: torch.nn.Module, scale: float = 0.3) -> None:
    """An adapter that does something: B is zero at the start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * scale / p.shape[1] ** 0.5)


class Said:
    """What a library logged or warned."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def about(self, *words: str) -> str:
        """The first line that holds all words, shortened; '' when nothing was said."""
        for text in self.texts:
            if all(w.lower() in text.lower() for w in words):
                return shorten(text)
        return ""


def shorten(text: str, most: int = 140) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= most else line[: most - 1].rsplit(" ", 1)[0] + "…"


@contextmanager
def listening() -> Iterator[Said]:
    """Everything logged or warned meanwhile, by any library."""
    said = Said()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.texts.append(record.getMessage())

    handler = Handler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("", "transformers", "peft", "trl", "datasets", "smallm")]
    for logger in loggers:
        logger.addHandler(handler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            said.texts += [str(w.message) for w in caught]
            for logger in loggers:
                logger.removeHandler(handler)
