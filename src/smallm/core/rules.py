"""Rules between the keys of a recipe: what each key allows by itself, but not together with another.

Bounds and types of single keys are the schema's (core/config.py, core/schema.py).
"""

from __future__ import annotations

import re

from smallm.core.config import Recipe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SPECIAL_TOKENS, BYTES = 32, 256  # of every BPE and unigram vocabulary (DESIGN.md, tokenizer)


def rules(recipe: Recipe) -> list[tuple[str, str]]:
    """Rules between keys that are broken: (the key to change, the message)."""
    train, model, tokenizer = recipe.train, recipe.model, recipe.tokenizer
    broken = []
    if not NAME.fullmatch(recipe.name):
        broken.append(("name", f"name is `{recipe.name}`; it names a directory: letters, digits, `.`, `_`, `-` only."))
    if train.batch_tokens < model.context:
        broken.append(
            (
                "train.batch_tokens",
                f"train.batch_tokens is {train.batch_tokens}, less than one row of model.context "
                f"({model.context}). Raise the one or lower the other.",
            )
        )
    if train.tokens < train.batch_tokens:
        broken.append(
            (
                "train.tokens",
                f"train.tokens is {train.tokens}, less than one step of train.batch_tokens ({train.batch_tokens}).",
            )
        )
    broken += _finetune_rules(recipe)
    least = SPECIAL_TOKENS + BYTES
    if tokenizer.kind != "char" and tokenizer.path is None and tokenizer.vocab_size < least:
        broken.append(
            (
                "tokenizer.vocab_size",
                f"tokenizer.vocab_size is {tokenizer.vocab_size}; at least {least} are needed: "
                f"{SPECIAL_TOKENS} special tokens and {BYTES} bytes.",
            )
        )
    if tokenizer.kind != "char" and tokenizer.path is None and 0 < model.vocab_size < tokenizer.vocab_size:
        broken.append(
            (
                "model.vocab_size",
                f"model.vocab_size is {model.vocab_size}, but tokenizer.vocab_size is {tokenizer.vocab_size}. "
                "Leave model.vocab_size at 0: it then follows the tokenizer.",
            )
        )
    return broken


def _finetune_rules(recipe: Recipe) -> list[tuple[str, str]]:
    """Rules of `finetune`, where it is used."""
    tune, broken = recipe.finetune, []
    if not tune.data:
        return broken
    if not NAME.fullmatch(tune.name):
        broken.append(("finetune.name", f"finetune.name is `{tune.name}`: letters, digits, `.`, `_`, `-` only."))
    if tune.name == "base":
        broken.append(("finetune.name", "finetune.name is `base`, which is what the pretrained model is called here."))
    if tune.model is None and not recipe.data.sources:
        broken.append(
            ("finetune.model", "finetune.model: name the MODEL to tune, or give data.sources to train one here first.")
        )
    if tune.model is None and tune.max_length > recipe.model.context:
        broken.append(
            (
                "finetune.max_length",
                f"finetune.max_length is {tune.max_length}, but the model that is trained here has a context of "
                f"{recipe.model.context}. Lower it to that.",
            )
        )
    if tune.method == "full" and tune.load_in_4bit:
        broken.append(
            ("finetune.load_in_4bit", "4-bit weights cannot be trained; only adapters on them (finetune.method: lora).")
        )
    if tune.labels and tune.task != "classification":
        broken.append(
            ("finetune.labels", f"finetune.labels has no use in task `{tune.task}`; set task: classification.")
        )
    if len(set(tune.labels)) < len(tune.labels):
        broken.append(("finetune.labels", "finetune.labels names a class twice."))
    return broken
