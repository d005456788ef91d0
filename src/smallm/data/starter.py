"""A first recipe for the text at hand: commented, sized to it, and to minutes on a laptop's CPU.

A pure function of the findings of data/inspect.py. Rules of thumb, each written beside its figure.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from smallm.core.console import count
from smallm.core.errors import UserError

if TYPE_CHECKING:
    from smallm.data.inspect import Findings

SPEED = 1.5e11  # FLOP/s of training on two laptop cores in float32
FLOPS = 6e13  # of the starter run: some minutes
EPOCHS = 4  # repeating text more than four times teaches little (Muennighoff et al. 2023)
MIN_VALIDATION = 20_000  # data/build.py refuses less
BYTES_PER_TOKEN = 3.5  # of a small vocabulary on western text


UNPRINTED = r"[\x7f-\x9f\u2028\u2029\ufeff]"


class Size(NamedTuple):
    """A row of the table: from `min_bytes` of text on, this model."""

    min_bytes: int
    layers: int
    width: int
    context: int
    max_vocab: int
    batch_tokens: int


# More text does not make it larger: in so few minutes a wider model sees too few tokens to be better.
SIZES = (
    Size(1_000_000, 6, 192, 256, 4096, 4096),
    Size(0, 4, 128, 128, 2048, 2048),
)


def write_recipe(findings: Findings, name: str) -> str:
    """The recipe as YAML text, for `<name>.yaml` in the folder itself. UserError when there is too little text."""
    size = next(s for s in SIZES if findings.bytes >= s.min_bytes)
    share, rule = validation(findings)
    # One entry per 500 bytes of text: rarer tokens are seen too seldom to be learned.
    vocab = int(min(max(findings.bytes / 500, 512), size.max_vocab)) // 64 * 64
    context = min(size.context, max(32, int(findings.longest / BYTES_PER_TOKEN) // 32 * 32))
    parameters = 12 * size.layers * size.width**2 + vocab * size.width
    text_tokens = findings.bytes * (1 - share) / BYTES_PER_TOKEN
    tokens = int(min(EPOCHS * text_tokens, FLOPS / (6 * parameters)))
    tokens = max(tokens // size.batch_tokens, 50) * size.batch_tokens
    steps = tokens // size.batch_tokens
    every = max(10, steps // 10)
    found = "\n".join(f"#   {comment(line)}" for line in findings.describe())
    prompts = "".join(f"  - {quoted(p)}\n" for p in findings.prompts)
    return f"""\
# Written by `smallm new`. Run it: smallm run {name}.yaml    What it takes: smallm plan {name}.yaml
#
# What was found here:
{found}
#
# Arithmetic: about {count(float(parameters))} parameters, {count(float(tokens))} tokens \
({tokens / max(1.0, text_tokens):.1f} times the text), {6 * parameters * tokens:.1e} FLOPs:
# about {6 * parameters * tokens / SPEED / 60:.0f} min on two laptop cores. For a better model raise train.tokens \
first, then model.width.

name: {quoted(slug(name))}
description: {quoted(f"A small model from scratch on the text of {findings.path.resolve().name}")}
{"prompts:  # what chat and the report try first" + chr(10) + prompts if prompts else ""}
data:
  sources:  # paths are relative to this file; recipes (*.yaml) and runs/ are left out
{_sources(findings)}  documents: auto  # found: {findings.documents_mode}; or file, line, blank-lines, separator
  validation: {share:g}  # share held out, never trained on
  validation_split: {rule}

tokenizer:
  kind: bpe
  vocab_size: {vocab}  # about one token per 500 bytes of text

model:
  preset: qwen3  # opens in Transformers, vLLM and llama.cpp
  layers: {size.layers}
  width: {size.width}
  context: {context}  # tokens that the model sees at once

train:
  tokens: {tokens}  # seen in all, repeats included: {steps} steps
  batch_tokens: {size.batch_tokens}
  validate_every: {every}
  checkpoint_every: {every}
"""


def validation(findings: Findings) -> tuple[float, str]:
    """(share, rule) that give at least 20 kB of held-out text, with room for chance; UserError when none does."""
    if findings.bytes < MIN_VALIDATION * 2.5:
        raise UserError(
            f"{findings.path}: only {findings.bytes:,} bytes of text. At least {MIN_VALIDATION * 2.5:,.0f} are needed, "
            f"{MIN_VALIDATION:,} of them to measure on. Add text."
        )
    unique = findings.bytes * (1 - findings.duplicate_share)
    few = findings.documents * (1 - findings.duplicate_share) < 60
    if few and unique * 0.1 < MIN_VALIDATION * 1.3:
        return _up(min(0.45, MIN_VALIDATION * 1.3 / unique)), "tail"
    share = 0.05 if few else max(0.05, min(0.4, MIN_VALIDATION * 2 / unique))
    # Whole documents jump by whole documents: with few and small ones, take the end of each instead.
    return (_up(share), "hash") if share < 0.3 else (_up(min(0.45, MIN_VALIDATION * 1.3 / unique)), "tail")


def _up(share: float) -> float:
    """Rounded up to a hundredth."""
    return min(0.49, -(-share * 100 // 1) / 100)


def slug(name: str) -> str:
    """`My Texts` -> `my-texts`: what a run directory may be called."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-.") or "my-model"


def _sources(findings: Findings) -> str:
    rows = []
    for source in findings.sources:
        rows.append(f"    - path: {quoted(source['path'])}")
        if source.get("text", "text") != "text":
            rows.append(f"      text: {quoted(source['text'])}  # the field that holds the text")
    return "\n".join(rows) + "\n"


def quoted(text: str) -> str:
    """A YAML scalar: bare where that is safe, else in JSON's quotes, which are YAML's."""
    bare = re.fullmatch(r"[A-Za-z_./][\w./-]*", text) and text.lower() not in {
        "true",
        "false",
        "yes",
        "no",
        "null",
        "on",
    }
    if bare:
        return text
    # YAML folds these even inside quotes, where JSON leaves them as they are.
    return re.sub(UNPRINTED, lambda m: f"\\u{ord(m[0]):04x}", json.dumps(text, ensure_ascii=False))


def comment(text: str) -> str:
    """One line, without characters that would end the comment."""
    return re.sub(rf"[\x00-\x1f]|{UNPRINTED}", " ", text)
