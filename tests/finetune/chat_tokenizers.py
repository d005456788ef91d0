"""Tokenizers with chat templates of every kind, for the laws of rendering; and the slow twin of the masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smallm.finetune.shrunken import WORDS, make_tokenizer

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Llama 2's: the system message inside the first user's, each exchange opened by BOS and ended by EOS, contents trimmed.
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system_message = '<<SYS>>\n' + messages[0]['content'] + "
    "'\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}{% else %}{% set system_message = '' %}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}"
    "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)


def make_ours(directory: Path) -> Any:
    """A tokenizer as the tokenizer stage trains it, with our template."""
    from smallm.tokenizer.bpe import train_bpe
    from smallm.tokenizer.directory import load_tokenizer, write_directory

    write_directory(directory, train_bpe(iter([WORDS + "\n\n\n"] * 4), 400), kind="bpe")
    return load_tokenizer(directory)


def make_chatml(directory: Path) -> Any:
    """Qwen's form: byte-level, no BOS, `<|im_end|>` is EOS and `<|endoftext|>` is pad."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        [WORDS] * 4, trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    )
    core.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(directory)
    return tokenizer


MAKERS: dict[str, Callable[[Path], Any]] = {
    "ours": make_ours,
    "phi3": make_tokenizer,
    "phi3-newline": lambda path: make_tokenizer(path, end_rstrip=False),
    "llama2": lambda path: make_tokenizer(path, adds_bos=True, template=LLAMA2),
    "chatml": make_chatml,
}


def twin(tokenizer: Any, messages: Sequence[dict[str, str]], train_on: str = "answers") -> tuple[list[int], list[bool]]:
    """Ids and mask by characters: a token is learned when its characters lie in an answer or the end right after it.

    Obviously right where contents hold no special's name; knows nothing of prefixes of ids.
    """
    text = tokenizer.apply_chat_template(list(messages), tokenize=False)
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(coded["input_ids"]), coded["offset_mapping"]
    specials = {t.content: i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    spans, last = [], 0
    for i in answers[-1:] if train_on == "last-answer" else answers:
        begin = len(tokenizer.apply_chat_template(list(messages[:i]), tokenize=False, add_generation_prompt=True))
        here = text.index(messages[i]["content"].strip(), begin) + len(messages[i]["content"].strip())
        at, name = min((text.find(name, here), name) for name in specials if text.find(name, here) >= 0)
        spans.append((begin, at + len(name)))
        last = at + len(name)
    mask = [train_on == "all" or any(a < end and start < b for a, b in spans) for start, end in offsets]
    mask = [
        m or (start >= last and i in specials.values()) for m, i, (start, _) in zip(mask, ids, offsets, strict=True)
    ]
    bos = tokenizer.bos_token_id
    if bos is not None and tokenizer.encode("x")[0] == bos and ids[0] != bos:
        ids, mask = [bos, *ids], [False, *mask]
    return ids, [False, *mask[1:]]
