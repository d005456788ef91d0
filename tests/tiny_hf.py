"""Tiny models of Transformers, each a directory with its tokenizer, and what they score by a plain forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from smallm.evaluate.requests import Request
from smallm.evaluate.scorer import TextScorer

WORDS = "the cat sat on the mat; a dog ran to the river, and the König heard über 東京 songs. What is it? Yes! No.\n"
EOS, PAD, TURN = "<|endoftext|>", "<|pad|>", "<|turn|>"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
    "<|turn|>{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|turn|>assistant:{% endif %}"
)
SMALL: dict[str, Any] = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
REQUESTS = [
    Request("the cat sat", " on the mat"),
    Request("the cat sat", " on a dog"),
    Request("the cat sat ", "on the river"),  # lm-eval moves the space
    Request("", "Yes! No."),
    Request("What is it? ", "東京 🙂"),
    Request("über ", " "),
    Request("the ca", "t"),
]


def make_tokenizer(directory: Path, *, adds_bos: bool = False, template: str | None = None) -> Any:
    """A byte-level BPE of 320 tokens; BOS and EOS are one token, id 0; `adds_bos`: it puts BOS in front by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=[EOS, PAD, TURN], initial_alphabet=alphabet)
    core.train_from_iterator([WORDS] * 20, trainer)
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single=f"{EOS} $A", special_tokens=[(EOS, 0)])  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=EOS, eos_token=EOS, pad_token=PAD)
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    return tokenizer


def make_model(directory: Path, family: str = "llama", *, seed: int = 0, window: int = 48, **switches: Any) -> Any:
    """A model with random weights that are far from uniform predictions, saved without a tokenizer."""
    import transformers as t

    shared: dict[str, Any] = {**SMALL, "max_position_embeddings": window, **switches}
    ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    gemma: dict[str, Any] = {"head_dim": 8, "num_key_value_heads": 2, "query_pre_attn_scalar": 8, "sliding_window": 16}
    gpt2: dict[str, Any] = {
        "vocab_size": shared["vocab_size"],
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": window,
    }
    makers: dict[str, Any] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**shared, **ids, num_key_value_heads=2)),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(**gpt2, **ids)),
        "gpt_neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**shared, **ids)),
        "gemma2": lambda: t.Gemma2ForCausalLM(
            t.Gemma2Config(**shared, **ids, **gemma, final_logit_softcapping=4.0, attn_logit_softcapping=3.0)
        ),
        "bert": lambda: t.BertForMaskedLM(t.BertConfig(**shared, pad_token_id=1)),
    }
    with torch.random.fork_rng():  # what was drawn before a test must not decide which model it gets
        torch.manual_seed(seed)
        model = makers[family]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(directory)
    return model.eval()


def make_directory(directory: Path, family: str = "llama", *, template: str | None = None, **options: Any) -> Any:
    """A model and its tokenizer in one directory; gives the model."""
    adds_bos = options.pop("adds_bos", False)
    model = make_model(directory, family, **options)
    make_tokenizer(directory, adds_bos=adds_bos, template=template)
    return model


@torch.inference_mode()
def plain_score(model: Any, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
    """(log p, greedy) by one forward pass of the whole, in float64 after the logits."""
    ids = torch.tensor([[*context, *continuation][:-1]])  # the last token is predicted, never an input
    logp_TV = model(input_ids=ids).logits[0, len(context) - 1 :].double().log_softmax(-1)
    targets = torch.tensor(continuation)
    greedy = bool((logp_TV.argmax(-1) == targets).all())
    return logp_TV.gather(1, targets[:, None]).sum().item(), greedy


@torch.inference_mode()
def plain_greedy(model: Any, prompt: Sequence[int], new: int, *, usable: int, ends: Sequence[int]) -> list[int]:
    """The greedy answer by a full forward pass a token, without the end's id."""
    ids: list[int] = []
    for _ in range(new):
        logits_V = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, -1, :usable]
        best = int(logits_V.argmax())
        if best in ends:
            break
        ids.append(best)
    return ids


def plain(directory: Path) -> Any:
    """The model as Transformers loads it, untouched by smallm (eager: sdpa would leave Gemma 2's soft cap out)."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def expected(model: Any, scorer: TextScorer, request: Request) -> tuple[float, bool]:
    context, continuation, _ = scorer.encoder.pair(request)
    return plain_score(model, context, continuation)


def poison(directory: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(directory / "model.safetensors")
    name = next(n for n in tensors if "norm.weight" in n and "layers" in n)
    tensors[name][3] = float("nan")
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
