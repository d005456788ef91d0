"""The configuration of a run as plain dataclasses: all that training imports of it.

One field is one key of the recipe: its type, default, help text, bounds, and whether it
affects the result (and so the stage's key) stand here once. `core/recipe.py` builds the
pydantic schema from these tables; nothing here imports more than the standard library.
"""

# ruff: noqa: RUF009  (`key` returns a dataclass field)

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


def key(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    size: bool = False,
    affects: bool = True,
    plain: Any = None,
) -> Any:
    """A recipe key: default, help, bounds; `size` reads 5M or 20MB; `affects` the stage's key.

    `plain`: of a switch that came later, what was done before there was one. It is left out of keys, as None is, so
    that what was made before keeps its key (but see `affecting`).
    """
    bounds = {k: v for k, v in {"ge": ge, "gt": gt, "le": le, "lt": lt}.items() if v is not None}
    metadata = {"help": help, "bounds": bounds, "size": size, "affects": affects}
    if plain is not None:
        metadata["plain"] = plain
    if isinstance(default, (list, dict)):
        value = default
        return field(default_factory=lambda: type(value)(value), metadata=metadata)
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


Documents = Literal["auto", "file", "line", "blank-lines", "separator"]


@dataclass(frozen=True)
class SourceConfig:
    """One source of text. Exactly one of path, hub, synth, builtin is set."""

    path: str | None = key(None, "file, folder or glob: .txt .md .jsonl .json(.gz .zst) .parquet .csv")
    hub: str | None = key(None, "a dataset of the Hugging Face Hub, streamed")
    synth: Literal["stories", "sentences", "headlines"] | None = key(None, "a generator of ours")
    builtin: Literal["python-docs"] | None = key(None, "text found on every machine")
    name: str | None = key(None, "the source's name in cards and reports; default from the above")
    text: str = key("text", "the field or column that holds the text")
    documents: Documents | None = key(None, "what a document is, for this source")
    separator: str | None = key(None, "the line that ends a document, with documents: separator")
    size: int | None = key(None, "take at most so many bytes of text", gt=0, size=True)
    license: str | None = key(None, "SPDX identifier or 'other', for the card")
    subset: str | None = key(None, "the Hub dataset's configuration")
    split: str = key("train", "the Hub dataset's split")
    revision: str | None = key(None, "the Hub dataset's commit")


@dataclass(frozen=True)
class DataConfig:
    """Sources to documents, split into train and validation."""

    sources: list[SourceConfig] = key(
        [], "where the text comes from; a string is a path or `python-docs` or `synth:stories`"
    )
    documents: Documents = key("auto", "what a document is: file, line, blank-lines, separator; auto decides and says")
    separator: str = key("<|endoftext|>", "the line or token that ends a document, with documents: separator")
    validation: float = key(0.05, "share of documents (by hash) held out", gt=0, lt=0.5)
    validation_split: Literal["hash", "tail"] = key(
        "hash", "hash: by the document's hash; tail: the last `validation` share of each document's characters"
    )
    max_bad_share: float = key(0.01, "stop when more than this share of a file's records is unreadable", ge=0, le=1)
    min_characters: int = key(1, "documents shorter than this are dropped, counted", ge=1)
    deduplicate: bool = key(True, "drop exact duplicates, counted")
    shard_bytes: int = key(64_000_000, "text bytes in one parquet shard", gt=0, size=True)


@dataclass(frozen=True)
class TokenizerConfig:
    """Text to ids."""

    kind: Literal["bpe", "unigram", "char"] = key("bpe", "byte-level BPE, sentencepiece unigram, or characters")
    vocab_size: int = key(4096, "tokens, reserved specials included (char: found in the text)", ge=64, size=True)
    train_bytes: int = key(50_000_000, "the trainer reads at most so much text, evenly over documents", gt=0, size=True)
    path: str | None = key(None, "use this tokenizer directory instead of training one")


Preset = Literal["qwen3", "llama", "gpt2", "mistral", "phi", "phi3", "smollm", "mobilellm", "transformer"]


@dataclass(frozen=True)
class ModelConfig:
    """One decoder, completely. A recipe's `model:` leaves None what its preset decides.

    `model/presets.py` fills every None; after that no field but soft_cap, init_std and rope_scaling is None.
    """

    preset: Preset = key("qwen3", "the family whose switches and layout are the default")
    layers: int = key(6, "transformer blocks", ge=1)
    width: int = key(256, "D, the residual stream", ge=8)
    heads: int | None = key(None, "H, query heads; default width / head_width", ge=1)
    kv_heads: int | None = key(None, "K, key-value heads; default = heads", ge=1)
    head_width: int | None = key(None, "C; default 64 (qwen3) or width / heads", ge=2)
    ffn_width: int | None = key(None, "F, the MLP's inner width; default by preset", ge=8)
    context: int = key(256, "T, tokens in one row", ge=8)
    vocab_size: int = key(0, "V; 0 takes the tokenizer's (padded to 64)", ge=0)
    position: Literal["rope", "learned", "sinusoidal", "none"] | None = key(None, "how positions enter")
    rope_theta: float | None = key(None, "base of the rotary angles", gt=0)
    rope_fraction: float | None = key(None, "share of each head that is rotated (1 = full)", gt=0, le=1)
    rope_scaling: dict[str, Any] | None = key(
        None, "as in config.json: rope_type linear, llama3 or longrope, with its keys", plain={}
    )
    window: int | None = key(None, "attention reaches back over so many tokens; 0 = all", ge=0, plain=0)
    block: Literal["pre", "post", "parallel"] | None = key(
        None, "norm before each sublayer, after it (2017), or once before both side by side (Phi)", plain="pre"
    )
    norm: Literal["rms", "layer"] | None = key(None, "RMSNorm or LayerNorm")
    norm_eps: float | None = key(None, "epsilon of the norms", gt=0)
    qk_norm: bool | None = key(None, "RMSNorm on queries and keys, per head, before the rotation")
    mlp: Literal["swiglu", "gelu", "relu2", "relu"] | None = key(None, "gated SiLU, GELU (tanh), squared ReLU, or ReLU")
    bias: bool | None = key(None, "biases on the linear layers and in LayerNorm")
    head_bias: bool | None = key(None, "a bias on the output head", plain=False)
    tied: bool | None = key(None, "the output head is the embedding")
    shared_layers: int | None = key(
        None, "so many layers in a row are one block's weights (MobileLLM: 2)", ge=1, plain=1
    )
    soft_cap: float | None = key(None, "logits = cap * tanh(logits / cap)", gt=0)
    dropout: float = key(0.0, "on embeddings, attention and residuals, in training", ge=0, lt=1)
    init_std: float | None = key(
        None, "standard deviation of the normal init; None: by the table in model/init.py", gt=0
    )
    zero_init_projections: bool | None = key(None, "output projections of attention and MLP start at 0")


@dataclass(frozen=True)
class TrainConfig:
    """One training from scratch or continued."""

    tokens: int = key(5_000_000, "budget of tokens seen, all epochs together", gt=0, size=True)
    batch_tokens: int = key(8192, "tokens in one optimiser step, over all devices", gt=0, size=True)
    micro_batch: int = key(0, "rows in one forward pass; 0 = as many as fit", ge=0, affects=False)
    init_from: str | None = key(None, "MODEL to continue from instead of a fresh initialisation")
    seed: int | None = key(None, "of first weights and order of the rows; default: the recipe's", ge=0, plain=-1)
    optimizer: Literal["muon", "adamw"] = key("muon", "muon: matrices by Muon, the rest by AdamW")
    learning_rate: float = key(3e-3, "peak rate of AdamW's parameters", gt=0)
    muon_learning_rate: float = key(0.02, "peak rate of Muon's matrices", gt=0)
    embedding_learning_rate: float | None = key(
        None, "AdamW's peak rate for the embeddings (and a tied head); default learning_rate", gt=0
    )
    head_learning_rate: float | None = key(
        None, "AdamW's peak rate for an untied head; default embedding_learning_rate", gt=0
    )
    weight_decay: float = key(0.1, "decoupled, on matrices only", ge=0)
    beta1: float = key(0.9, "AdamW", ge=0, lt=1)
    beta2: float = key(0.95, "AdamW", ge=0, lt=1)
    eps: float = key(1e-8, "AdamW", gt=0)
    momentum: float = key(0.95, "Muon", ge=0, lt=1)
    grad_clip: float = key(1.0, "clip the global gradient norm here; 0 = never", ge=0)
    schedule: Literal["wsd", "cosine", "linear", "constant"] = key("wsd", "of the learning rates")
    warmup_steps: int = key(0, "linear warm-up", ge=0)
    decay_share: float = key(0.5, "wsd: the last share of the steps decays linearly", ge=0, le=1)
    final_learning_rate: float = key(0.0, "share of the peak rate at the last step", ge=0, le=1)
    loss_chunk: int = key(0, "positions in one chunk of the loss; 0 = auto", ge=0, affects=False)
    dtype: Literal["auto", "float32", "bfloat16"] = key(
        "auto", "autocast; auto takes bfloat16 where hardware multiplies it"
    )
    compile: Literal["auto", "on", "off"] = key("auto", "torch.compile; auto decides once, says so, and keeps it")
    activation_checkpointing: bool = key(False, "recompute blocks in the backward pass", affects=False)
    validate_every: int = key(100, "optimiser steps between validations (first and last always)", ge=1, affects=False)
    validation_tokens: int = key(
        200_000, "validate on at most so many tokens during training", gt=0, size=True, affects=False
    )
    sample_every: int = key(0, "steps between samples; 0 = with each validation", ge=0, affects=False)
    prompts: list[str] = key([], "what the samples continue; empty = start of a document", affects=False)
    log_every: int = key(10, "steps between lines on the console", ge=1, affects=False)
    checkpoint_every: int = key(200, "steps between checkpoints", ge=1, affects=False)
    keep_checkpoints: int = key(2, "newest checkpoints kept", ge=1, affects=False)
    deterministic: bool = key(False, "bit-identical on a GPU too (slower); the CPU always is")


@dataclass(frozen=True)
class TuneSource:
    """One set of examples. Exactly one of path, hub and synth is set; `hub` may stand beside `path`.

    With both, the file is read where it is there, else the data set of the Hub: the choice is said.
    """

    path: str | None = key(None, "file, folder or glob: .jsonl .json .csv .tsv .parquet (.gz .zst)")
    hub: str | None = key(None, "a dataset of the Hugging Face Hub, streamed; beside `path`, where the file is absent")
    synth: Literal["translation", "sentiment", "clauses", "questions", "arithmetic"] | None = key(
        None, "a generator of ours, with train and test halves"
    )
    name: str | None = key(None, "the set's name in cards and reports; default from the above")
    format: Literal["auto", "messages", "prompt-completion", "alpaca", "sharegpt", "text", "columns"] = key(
        "auto", "the shape of a record; auto finds it in the first records and says so"
    )
    reader: Literal["statutes", "ner-tagging", "cuad-clauses"] | None = key(
        None, "for files of a shape of their own: laws in Markdown, CoNLL columns, CUAD's table"
    )
    prompt: str | None = key(None, "columns: template of the prompt, {{field}}; default: the task's")
    answer: str | None = key(None, "columns: template of the answer, {{field}}; default: the task's")
    input: str | None = key(None, "columns: the field that is asked about (text, sentence, question)")
    output: str | None = key(None, "columns: the field that is learned (label, translation, answer)")
    context: str | None = key(None, "columns: the field with the passage of a question")
    label_names: list[str] = key([], "columns: what the labels 0, 1, 2, … mean, in their order")
    cluster: str | None = key(None, "the field whose records stay in one split (a contract, a law)")
    use: Literal["auto", "train", "validation", "test"] = key(
        "auto", "which split these examples are; auto: drawn by hash (a generator: its own halves)"
    )
    weight: float = key(1.0, "how often it is seen, against the other sets: 2 is twice an epoch", gt=0)
    items: int = key(0, "at most so many examples, drawn by hash; 0 = all (a generator: 20,000)", ge=0)
    subset: str | None = key(None, "the Hub dataset's configuration")
    split: str = key("train", "the Hub dataset's split")
    revision: str | None = key(None, "the Hub dataset's commit")
    license: str | None = key(None, "SPDX identifier or 'other', for the card")


@dataclass(frozen=True)
class FinetuneConfig:
    """One fine-tuning: examples in, an adapter (or a whole model) out. Runs when `data` is set."""

    name: str = key("tuned", "names tokens/<name> and tuned/<name>")
    model: str | None = key(None, "MODEL to tune: directory, run or Hub name; default: this recipe's own base")
    revision: str | None = key(None, "the Hub model's commit")
    data: list[TuneSource] = key([], "the examples; a string is a path, `hub:NAME` or `synth:NAME`")
    task: Literal["instruct", "translation", "qa", "classification"] = key(
        "instruct", "decides the default prompt and the metrics"
    )
    prompt: str | None = key(None, "template of the prompt, {{field}}; default: the task's")
    system: str | None = key(None, "system message before every conversation")
    labels: list[str] = key([], "classification: the classes; empty = those of the training examples")
    language: str = key("en", "of the answers, for the prompts and the scores")
    validation: float = key(0.02, "share of the examples (by hash) for the curves", ge=0, lt=0.5)
    test: float = key(0.05, "share of the examples (by hash) for base against tuned", ge=0, lt=0.5)
    max_length: int = key(1024, "tokens of a packed row, and of the longest example", ge=8)
    too_long: Literal["raise", "drop", "truncate"] = key(
        "raise", "examples over max_length: stop, leave out, or cut the prompt's beginning; never the answer"
    )
    train_on: Literal["answers", "last-answer", "all"] = key(
        "answers", "which tokens are learned: every assistant turn, the last one, or everything"
    )
    method: Literal["lora", "full"] = key("lora", "adapters, or every weight")
    lora_r: int = key(16, "rank", ge=1)
    lora_alpha: float = key(16.0, "scale: alpha / r (rslora: alpha / sqrt(r))", gt=0)
    lora_dropout: float = key(0.0, "on the adapters' input", ge=0, lt=1)
    lora_target_modules: str | list[str] = key("all-linear", "all-linear, or names; one that matches nothing stops")
    lora_modules_to_save: list[str] = key([], "modules trained whole beside the adapters (embed_tokens, lm_head)")
    use_rslora: bool = key(False, "rank-stabilised scale (Kalajdzievski 2023)")
    use_dora: bool = key(False, "weight-decomposed adapters (Liu et al. 2024)")
    load_in_4bit: bool = key(False, "QLoRA: the frozen base in NF4, double quantisation")
    epochs: float = key(1.0, "passes over the examples", gt=0)
    steps: int = key(0, "optimiser steps instead of epochs; 0 = by epochs", ge=0)
    batch_rows: int = key(8, "rows of max_length in one optimiser step, over all devices", ge=1)
    micro_rows: int = key(0, "rows in one forward pass; 0 = as many as fit", ge=0, affects=False)
    optimizer: Literal["adamw", "adamw8bit", "paged_adamw8bit"] = key("adamw", "8-bit and paged through bitsandbytes")
    learning_rate: float = key(2e-4, "peak rate", gt=0)
    weight_decay: float = key(0.0, "decoupled, on matrices", ge=0)
    beta1: float = key(0.9, "AdamW", ge=0, lt=1)
    beta2: float = key(0.999, "AdamW", ge=0, lt=1)
    grad_clip: float = key(1.0, "clip the global gradient norm here; 0 = never", ge=0)
    schedule: Literal["wsd", "cosine", "linear", "constant"] = key("linear", "of the learning rate")
    warmup_steps: int = key(0, "linear warm-up", ge=0)
    final_learning_rate: float = key(0.0, "share of the peak rate at the last step", ge=0, le=1)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key(
        "auto", "of the frozen weights and the arithmetic: bfloat16, on Turing float16 with a scaler, else float32"
    )
    activation_checkpointing: Literal["auto", "on", "off"] = key(
        "auto", "recompute layers in the backward pass; auto: on where it would not fit otherwise", affects=False
    )
    validate_every: int = key(50, "optimiser steps between validations (first and last always)", ge=1, affects=False)
    keep_best: bool = key(True, "the result is the checkpoint of the lowest validation loss, not the last")
    patience: int = key(0, "stop after so many validations without a better one; 0 = never", ge=0)
    log_every: int = key(10, "steps between lines on the console", ge=1, affects=False)
    checkpoint_every: int = key(100, "steps between checkpoints", ge=1, affects=False)
    checkpoint_minutes: float = key(10.0, "and at least every so many minutes", gt=0, affects=False)
    keep_checkpoints: int = key(2, "newest checkpoints kept", ge=1, affects=False)
    test_items: int = key(300, "items of base against tuned, drawn by hash", ge=1)
    max_new_tokens: int = key(128, "of a generated answer", ge=1)
    general: str | None = key(None, "text for forgetting: a file; default: the run's held-out text, else Python's docs")
    notice: str = key("", "said on card, report and demo: `no legal advice`", affects=False)


@dataclass(frozen=True)
class EvalConfig:
    """Held-out bits per byte and perplexity, and suites of tasks."""

    max_tokens: int = key(1_000_000, "evaluate on at most so many held-out tokens (whole documents)", gt=0, size=True)
    stories: int = key(0, "synth stories: sample so many and parse them against the grammar", ge=0)
    suites: list[str] = key([], "suites of tasks: names of packaged ones, or YAML files")
    data: list[str] = key([], "folders that hold files of the suites' tasks")
    items: int = key(0, "items of each task, evenly over its file; 0 = all", ge=0)
    every: int = key(0, "optimiser steps between scores of the suites' cheap tasks; 0 = never", ge=0, affects=False)
    every_items: int = key(50, "items of each task then", ge=1, affects=False)


@dataclass(frozen=True)
class ReportConfig:
    """The page, and prices for the cost column."""

    samples: int = key(10, "samples shown at the end", ge=1, affects=False)
    price_per_hour: float = key(0.0, "of this machine, in `currency`; 0 = own machine, not priced", ge=0, affects=False)
    currency: str = key("USD", "of price_per_hour", affects=False)


@dataclass(frozen=True)
class Recipe:
    """One complete run: every section, every default written out."""

    name: str = key("", "the run's name; the directory is runs/<name>")
    description: str = key("", "one line for recipe list, report and card", affects=False)
    seed: int = key(0, "of everything random", ge=0)
    prompts: list[str] = key([], "three prompts that suit the model, for chat and the report", affects=False)
    temperature: float = key(0.8, "of sampling: chat, samples, story figures", gt=0, le=5, affects=False)
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def affecting(section: Any, preset: dict[str, Any] | None = None) -> Any:
    """`section` as plain JSON data, without the fields that do not affect the result.

    `preset`: what the section's None stand for. Where it says otherwise than `plain`, that value counts.
    """
    if dataclasses.is_dataclass(section) and not isinstance(section, type):
        # Where the best step is kept, or patience ends the run, this key says which steps those can be.
        picked = getattr(section, "keep_best", False) or getattr(section, "patience", 0)
        said = preset or {}
        plain = {f.name: f.metadata["plain"] for f in dataclasses.fields(section) if "plain" in f.metadata}
        before = [n for n, p in plain.items() if (x := getattr(section, n)) is None or x == p == said.get(n, p)]
        return {
            f.name: affecting(getattr(section, f.name))
            for f in dataclasses.fields(section)
            if (f.metadata.get("affects", True) or (picked and f.name == "validate_every")) and f.name not in before
        }
    if isinstance(section, (list, tuple)):
        return [affecting(x) for x in section]
    return section
