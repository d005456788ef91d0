"""A run with a fine-tuning made up in seconds: tiny Llama base with chat template, tokens/<name>, a PEFT adapter.

`fake_tuning(path, ...)` writes base/, tokens/<name>/ and tuned/<name>/ as the stages do; nothing is trained. The
adapter moves the weights far enough that its answers are not the base's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smallm.core.config import FinetuneConfig, Recipe, TuneSource
from smallm.core.files import read_json, sha256_file, write_json, write_text
from smallm.core.recipe import dump_recipe
from smallm.core.run import Run
from smallm.finetune.examples import content_id
from smallm.tokenizer.chat import CHAT_TEMPLATE

SPECIALS = ["<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
WORDS = "the cat sat on the mat; a dog ran to the river. Der König hört ein Lied über 東京. good bad What is it? Yes.\n"


def chat_tokenizer(directory: Path) -> Any:
    """A byte-level BPE of 320 tokens with the specials and the chat template of the models trained here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIALS, initial_alphabet=alphabet)
    core.train_from_iterator([WORDS] * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=SPECIALS[0], eos_token=SPECIALS[0], pad_token=SPECIALS[1]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(directory)
    return tokenizer


def row(question: str, answer: str, *, before: Sequence[tuple[str, str]] = (), **fields: Any) -> dict[str, Any]:
    """An example: (user, assistant) turns before it, the question, its answer, fields for evaluation."""
    turns = [m for u, a in before for m in ({"role": "user", "content": u}, {"role": "assistant", "content": a})]
    messages = [*turns, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "fields": fields}


def translations(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Made-up pairs; every third holds out its combination, two constructions."""
    nouns, verbs = ("cat", "dog", "king", "song", "river"), ("sat", "ran", "sang", "hört")
    return [
        row(f"the {nouns[i % 5]} {verbs[i % 4]} {i}", f"Der {nouns[i % 5]} {verbs[i % 4]} {i}.",
            held_out=i % 3 == 0, construction=("perfect", "modal")[i % 2])
        for i in range(first, first + count)
    ]  # fmt: skip


def fake_tuning(
    path: Path,
    *,
    name: str = "german",
    train: Sequence[dict[str, Any]] | None = None,
    test: Sequence[dict[str, Any]] | None = None,
    full: bool = False,
    window: int = 128,
    **settings: Any,
) -> tuple[Recipe, Run]:
    """Write the run. `settings` are FinetuneConfig's; `full`: tuned/<name> is a whole model."""
    train = translations(24) if train is None else train
    test = translations(12, first=100) if test is None else test
    path.mkdir(parents=True, exist_ok=True)
    general = path / "general.txt"  # read in no time, where Python's documentation takes seconds
    write_text(general, WORDS * 3)
    options: dict[str, Any] = {"task": "translation", "language": "de", "max_new_tokens": 8, "general": str(general)}
    options |= settings
    tune = FinetuneConfig(name=name, data=[TuneSource(synth="translation", name="pairs")], **options)
    recipe = Recipe(name=path.name, finetune=tune)
    write_text(path / "recipe.yaml", dump_recipe(recipe))
    make_base(path / "base", window)
    make_tokens(path, name, train, test, tune)
    make_tuned(path / "base", path / "tuned" / name, full=full)
    return recipe, Run(path)


def make_base(directory: Path, window: int = 128) -> None:
    from tiny_hf import make_model

    make_model(directory, "llama", window=window)
    chat_tokenizer(directory)


def make_tokens(
    path: Path, name: str, train: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]], tune: FinetuneConfig
) -> None:
    """test.jsonl, examples.parquet and manifest.json as the examples stage writes them; no shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    from smallm.finetune.render import Renderer

    directory = path / "tokens" / name
    directory.mkdir(parents=True)
    renderer = Renderer(AutoTokenizer.from_pretrained(path / "base"), train_on=tune.train_on, system=tune.system)
    lines, rows = [], []
    for split, records in (("train", train), ("test", test)):
        for record in records:
            messages = record["messages"]
            ident, rendered = content_id(messages), renderer.row(messages)
            rows.append({"id": ident, "split": split, "source": "pairs", "messages": json.dumps(messages),
                         "tokens": len(rendered.ids), "trained": sum(rendered.mask)})  # fmt: skip
            if split == "test":
                prompt = renderer.prompt(messages[:-1])
                lines.append({"id": ident, "messages": messages[:-1], "answer": messages[-1]["content"],
                              "prompt_ids_length": len(prompt), "source": "pairs",
                              "cluster": record["fields"].pop("cluster", ""), "fields": record["fields"]})  # fmt: skip
    write_text(directory / "test.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    pq.write_table(pa.Table.from_pylist(rows), directory / "examples.parquet")
    manifest = {
        "format": "smallm-examples-1", "tokenizer_sha256": sha256_file(path / "base" / "tokenizer.json"),
        "template_sha256": renderer.template.sha256, "end_ids": list(renderer.end_ids), "bos_id": 0,
        "task": tune.task, "labels": tune.labels or None, "vocab_size": 384, "max_length": tune.max_length,
    }  # fmt: skip
    write_json(directory / "manifest.json", manifest)


def make_tuned(base: Path, directory: Path, *, full: bool = False) -> None:
    """A LoRA adapter on the base with matrices that are not zero (or the whole model, moved), its tokenizer beside."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    generator = torch.Generator().manual_seed(3)
    if not full:
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if full or "lora_B" in key:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(directory)
    if not full:  # PEFT looks for a configuration under this name while it saves
        config = directory / "adapter_config.json"
        write_json(config, read_json(config) | {"base_model_name_or_path": "../../base"})
    AutoTokenizer.from_pretrained(base).save_pretrained(directory)
