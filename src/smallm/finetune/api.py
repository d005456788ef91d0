"""Fine-tuning without a recipe: rows in memory in, a Trainer out, whose adapter `save` writes.

    trainer = sft_trainer(Sft(model="runs/quickstart", rows=[{"prompt": "…", "completion": "…"}], output=Path("out")))
    trainer.run()
    trainer.save()          # -> out/adapter, which PEFT and vLLM load

The same rows, masks, loop and laws as `smallm run`: rows in any format of finetune/formats.py, rendered by the base's
own chat template. Needs torch, transformers, peft, safetensors, numpy and the template's jinja2.
"""

from __future__ import annotations

import hashlib
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smallm.core import hardware
from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_json
from smallm.core.tokenfile import INDEX_DTYPE, TokenShard
from smallm.evaluate.identity import config_sha256, tokenizer_sha256, weights_sha256
from smallm.evaluate.model_tokenizer import open_tokenizer
from smallm.finetune.base import name_from
from smallm.finetune.causal import CausalDecoder, load_for_training
from smallm.finetune.conversations import read_turns
from smallm.finetune.dtypes import plan_dtypes
from smallm.finetune.equivalence import check_saved
from smallm.finetune.examples import Message, checked
from smallm.finetune.lengths import fit, learned_texts
from smallm.finetune.render import Renderer
from smallm.finetune.save import save_tuned
from smallm.finetune.training import Parts, fit_of, job_of
from smallm.model.resolve import is_hub_name, resolve_model
from smallm.plan.shapes import shape_of_config
from smallm.train import checkpoint, distributed, measure
from smallm.train.corpus import Corpus
from smallm.train.job import fits
from smallm.train.loop import Trainer


@dataclass
class Sft:
    """One fine-tuning of `model` (a directory, a run, a Hub name) on `rows`. Other names are the recipe's
    (`finetune:` in core/config.py), with its meanings; `threads` 0: all cores."""

    model: str | Path
    rows: Sequence[dict[str, Any]]
    output: str | Path
    held_out: Sequence[dict[str, Any]] = ()
    max_length: int = 1024
    too_long: str = "raise"
    train_on: str = "answers"
    system: str | None = None
    task: str = "instruct"
    batch_rows: int = 8
    micro_rows: int = 0
    steps: int = 0
    epochs: float = 1.0
    optimizer: str = "adamw"
    learning_rate: float = 2e-4
    schedule: str = "linear"
    warmup_steps: int = 0
    final_learning_rate: float = 0.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    grad_clip: float = 1.0
    method: str = "lora"
    lora_r: int = 16
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    lora_target_modules: str | list[str] = "all-linear"
    lora_modules_to_save: list[str] = field(default_factory=list)
    use_rslora: bool = False
    use_dora: bool = False
    load_in_4bit: bool = False
    dtype: str = "auto"
    activation_checkpointing: str = "auto"
    validate_every: int = 50
    keep_best: bool = True
    patience: int = 0
    log_every: int = 10
    checkpoint_every: int = 100
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    seed: int = 0
    device: str = "auto"
    threads: int = 0

    def config(self) -> FinetuneConfig:
        """These settings as the recipe's section, values checked by the bounds of its table."""
        known = {f.name: f for f in fields(FinetuneConfig)}
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name in known}
        values["model"] = str(self.model)
        for name, value in values.items():
            _check_word(name, value)
            _check_bounds(name, value, known[name].metadata.get("bounds", {}))
        if self.method == "full" and self.load_in_4bit:
            raise UserError("load_in_4bit: 4-bit weights cannot be trained; only adapters on them (method: lora).")
        return FinetuneConfig(**values)


class SftTrainer(Trainer):
    """The loop's Trainer on rows in memory. `base`: the directory that is tuned, `hub_name`: where it is from, if the
    Hub; `end_ids`: what ends an answer."""

    base: Path
    hub_name: str
    end_ids: tuple[int, ...]
    output: Path

    def save(self, directory: str | Path | None = None) -> Path:
        """Write the adapter (or the whole model) with tokenizer, template and end tokens; default <output>/adapter.

        Opened again from there and compared with the model in memory.
        """
        final = Path(directory) if directory is not None else self.output / "adapter"
        decoder = self.job.model.decoder
        assert isinstance(decoder, CausalDecoder)
        facts = {
            "steps": self.state.step,
            "tokens_seen": self.state.tokens,
            "trained_tokens": self.state.trained_tokens,
            "train_seconds": round(self.state.seconds, 3),
            **self.job.world.facts(self.model),
        }
        if self.job.world.writes:
            with new_directory(final) as partial:
                name = self.hub_name or name_from(self.base, final)
                save_tuned(decoder, partial, base=self.base, base_name=name, end_ids=self.end_ids, facts=facts)
                check_saved(decoder, partial)
        self.job.world.barrier()
        return final


def sft_trainer(sft: Sft) -> SftTrainer:
    """The Trainer of `sft`: `.run()` trains (and resumes by itself from <output>/checkpoints), `.save()` writes.

    UserError: rows that break a law of the renderer, a base that is not there, memory that does not suffice.
    """
    tune = sft.config()
    base = resolve_model(str(sft.model), key="model")
    device = hardware.pick_device() if sft.device == "auto" else sft.device
    world = distributed.join(device, tune.batch_rows)
    if world.size > 1 and device == "cuda":
        device = f"cuda:{world.local_rank}"
    if sft.threads:
        torch.set_num_threads(sft.threads)
    tokenizer = open_tokenizer(None, base)
    renderer = Renderer(tokenizer, train_on=tune.train_on, system=tune.system)
    train = corpus_of(sft.rows, tune, renderer, "rows")
    held_out = corpus_of(sft.held_out, tune, renderer, "held_out")
    plan = plan_dtypes(device, tune)
    shape = shape_of_config(read_json(base / "config.json"), str(base))
    fitting = fit_of(shape, tune, plan, device, hardware.available_bytes(device), world.size)
    output = Path(sft.output)
    key = _key(sft, train, held_out, base)
    if world.writes:
        checkpoint.claim(output / "checkpoints", key, {"model": str(sft.model)})
    torch.manual_seed(sft.seed)
    decoder = load_for_training(base, tune, device, plan, tokenizer)
    train.vocab_size = held_out.vocab_size = decoder.config.vocab_size
    parts = Parts(decoder, train, held_out, output / "checkpoints", device, plan, fitting, world)
    trainer = SftTrainer(job_of(parts, tune, sft.seed))
    if device.startswith("cuda") and not tune.micro_rows and world.size == 1:
        with fits(trainer.job):
            measure.fit(trainer)
    trainer.base, trainer.output, trainer.end_ids = base, output, tuple(renderer.end_ids)
    trainer.hub_name = str(sft.model) if is_hub_name(str(sft.model)) else ""
    return trainer


def corpus_of(rows: Sequence[dict[str, Any]], tune: FinetuneConfig, renderer: Renderer, name: str) -> Corpus:
    """Rows rendered, as a corpus in memory. UserError with the row's number; long ones by `too_long`, counted."""
    found: list[tuple[list[int], list[bool], int, bytes]] = []
    dropped = cut = 0
    for number, messages in enumerate(messages_of(rows, tune, name)):
        done = fit(renderer, messages, f"{name}[{number}]", max_length=tune.max_length, too_long=tune.too_long)
        if done is None:
            dropped += 1
            continue
        cut += done.cut
        written = sum(len(text.encode("utf-8")) for text in learned_texts(done, renderer))
        content = repr([(m["role"], m["content"]) for m in messages]).encode("utf-8")
        found.append((done.row.ids, done.row.mask, written, hashlib.sha256(content).digest()[:16]))
    if dropped or cut:
        warn(f"{name}: of {len(rows)} over max_length {tune.max_length}, {dropped} left out, {cut} prompts shortened")
    index = np.zeros(len(found), INDEX_DTYPE)
    at = 0
    for i, (ids, _, written, digest) in enumerate(found):
        index[i] = (at, len(ids), written, np.void(digest))
        at += len(ids)
    flat = np.fromiter((i for ids, *_ in found for i in ids), np.uint32, at)
    mask = np.fromiter((m for _, mask, *_ in found for m in mask), np.uint8, at)
    shard = TokenShard(Path(f"<{name}>"), flat, index, "")
    return Corpus([shard], masks=[mask])


def messages_of(rows: Sequence[dict[str, Any]], tune: FinetuneConfig, name: str) -> list[tuple[Message, ...]]:
    """The conversations of rows in any format. `messages` and prompt with completion need no template engine."""
    if all("messages" in row for row in rows):
        return [
            checked(read_turns(row["messages"], "messages", f"{name}[{i}]"), f"{name}[{i}]")
            for i, row in enumerate(rows)
        ]
    from smallm.finetune.formats import Converter

    convert = Converter(TuneSource(path=name), tune, name, where=name, first=list(rows))
    return [example.messages for i, row in enumerate(rows) for example in convert(row, f"{name}[{i}]")]


def _key(sft: Sft, train: Corpus, held_out: Corpus, base: Path) -> str:
    """What two calls must share for the second to resume the first."""
    left_out = {"rows", "held_out", "output", "model", "device", "threads", "micro_rows", "log_every"}
    if not (sft.keep_best or sft.patience):
        left_out.add("validate_every")
    settings = {f.name: getattr(sft, f.name) for f in fields(sft) if f.name not in left_out}
    digests = [hashlib.sha256(c.shards[0].ids.tobytes() + c.masks[0].tobytes()).hexdigest()  # type: ignore[index]
               for c in (train, held_out)]  # fmt: skip
    hashes = {"base": weights_sha256(base), "config": config_sha256(base), "tokenizer": tokenizer_sha256(base)}
    return sha256_json({"sft": settings, "rows": digests, **hashes})


def _check_word(name: str, value: Any) -> None:
    """UserError when a key that takes certain words has another."""
    hint = typing.get_type_hints(FinetuneConfig)[name]
    words = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    if words and value not in words:
        raise UserError(f"{name}: {value!r} is none of {', '.join(map(repr, words))}.")


def _check_bounds(name: str, value: Any, bounds: dict[str, float]) -> None:
    """UserError when a number breaks its key's bounds (the recipe's schema does this for recipes)."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    words = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under"}
    for bound, limit in bounds.items():
        kept = {"ge": value >= limit, "gt": value > limit, "le": value <= limit, "lt": value < limit}[bound]
        if not kept or math.isnan(value):
            raise UserError(f"{name}: {value} must be {words[bound]} {limit:g}.")
