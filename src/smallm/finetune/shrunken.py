"""A shrunken Phi-3.5 in a folder: the real architecture, chat template and end tokens; random weights, a small BPE.

What is as in microsoft/Phi-3.5-mini-instruct: fused `qkv_proj` and `gate_up_proj`, LongRoPE with its two lists of
factors, untied embeddings padded beyond the vocabulary, the chat template's text, a sentencepiece-like BPE with byte
fallback (`▁` put in front), added tokens that strip the white space after them, pad = `<|endoftext|>` which is also one
of the three end tokens, no BOS from the tokenizer. What is not: the sizes, and the pieces (the real ones need the Hub).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
ENDOFTEXT, ASSISTANT, SYSTEM, END, USER = "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"
# In the order of their ids in Phi-3.5 (32000 to 32010).
ADDED = (
    ENDOFTEXT, ASSISTANT, "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>", "<|placeholder4|>", SYSTEM, END,
    "<|placeholder5|>", "<|placeholder6|>", USER,
)  # fmt: skip
SPARE = 53  # 32064 rows of the embedding, 32011 tokens
WORDS = (
    "The cat sat on the mat and the dog ran to the river. What is it? Yes, it is one of them! No, not that. "
    "Der König hört ein Lied über den Fluss, und die Katze schläft auf der Matte. Translate this into German: "
    "Frage Antwort Gesetz Absatz Satz 1 2 3 40 500 positive negative neutral label answer question house Haus."
)
PIECES = 420
WINDOW = 128  # original_max_position_embeddings: 4096 in the real one


def make_tokenizer(
    directory: Path, *, end_rstrip: bool = True, adds_bos: bool = False, template: str = TEMPLATE
) -> Any:
    """The tokenizer, saved into `directory`. `end_rstrip` False: `<|end|>` keeps the newline after it, as a token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    vocab, merges = _pieces(trainers, Tokenizer, models)
    core = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # type: ignore[assignment]
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)  # type: ignore[assignment]
    core.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>")])
    core.add_tokens([AddedToken("</s>", normalized=False, rstrip=True)])
    for name in ADDED:
        strips = name != ENDOFTEXT and (name != END or end_rstrip)
        core.add_special_tokens([AddedToken(name, normalized=False, rstrip=strips)])
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token=ENDOFTEXT, pad_token=ENDOFTEXT, unk_token="<unk>",
        clean_up_tokenization_spaces=False, model_max_length=131072, padding_side="left",
    )  # fmt: skip
    tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    return tokenizer


def _pieces(trainers: Any, tokenizer_class: Any, models: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges in Llama's order: three specials, 256 bytes, pieces."""
    import json

    learner = tokenizer_class(models.BPE())
    texts = ["▁" + word for word in WORDS.split(" ")] * 20
    learner.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=PIECES, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    return {name: i for i, name in enumerate(dict.fromkeys(names))}, [tuple(pair) for pair in learned["merges"]]


def make_config(tokenizer: Any, *, window: int = WINDOW, **switches: Any) -> Any:
    """Phi3Config of the small shape. `window`: original_max_position_embeddings; the long one is eight times that."""
    from transformers import Phi3Config

    size: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4,
    } | switches  # fmt: skip
    pairs = size["hidden_size"] // size["num_attention_heads"] // 2
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0 + 0.05 * i for i in range(pairs)],
        "long_factor": [1.0 + 2.0 * i for i in range(pairs)],
        "original_max_position_embeddings": window,
    }
    end = tokenizer.convert_tokens_to_ids(ENDOFTEXT)
    return Phi3Config(
        **size, vocab_size=len(tokenizer) + SPARE, max_position_embeddings=8 * window,
        original_max_position_embeddings=window, rope_parameters=rope, sliding_window=16 * window, bos_token_id=1,
        eos_token_id=end, pad_token_id=end, tie_word_embeddings=False,
    )  # fmt: skip


def make_phi3(
    directory: Path,
    *,
    seed: int = 0,
    window: int = WINDOW,
    end_rstrip: bool = True,
    spread: float = 0.1,
    **switches: Any,
) -> Any:
    """Tokenizer, weights, config.json and generation_config.json in `directory`; gives the model (fp32, eval).

    `spread`: standard deviation of what is added to every parameter, so that predictions are far from uniform.
    """
    import torch
    from transformers import GenerationConfig, Phi3ForCausalLM

    tokenizer = make_tokenizer(directory, end_rstrip=end_rstrip)
    with torch.random.fork_rng():  # what was drawn before a test must not decide which model it gets
        torch.manual_seed(seed)
        model = Phi3ForCausalLM(make_config(tokenizer, window=window, **switches))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
    ends = [tokenizer.convert_tokens_to_ids(name) for name in (END, ASSISTANT, ENDOFTEXT)]
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=ends, pad_token_id=ends[-1])
    model.save_pretrained(directory)
    return model.eval()
