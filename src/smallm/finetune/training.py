"""One fine-tuning as the training loop's Job: settings, rows, steps, what fits, what is held out.

finetune/stage.py comes here with the tokens of a run, finetune/api.py with rows in memory; nothing here knows of
either. Rows are whole examples, packed where the model keeps documents apart, else one a row. An epoch's rows are
counted by packing the first one. Letters: T tokens of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from smallm.core.config import FinetuneConfig, TrainConfig
from smallm.core.console import count, say, warn
from smallm.core.errors import UserError
from smallm.finetune import fused, fused_blocks
from smallm.finetune.causal import CausalDecoder
from smallm.finetune.dtypes import DtypePlan
from smallm.plan.shapes import Shape
from smallm.plan.tune_memory import tune_memory
from smallm.train.corpus import Corpus
from smallm.train.decide import ENOUGH_TOKENS, MEMORY_SHARE
from smallm.train.distributed import World
from smallm.train.feed import Feed
from smallm.train.job import Job, Validation
from smallm.train.loop import Trainer
from smallm.train.loss import LossModel
from smallm.train.pack import Rows, held_out_rows

# Borders as cumulative lengths: what finetune/attention_hf.py reads, on the CPU as on CUDA.
BACKEND = "varlen"
ADAM_EPS = 1e-8


@dataclass(frozen=True)
class Fit:
    """Rows of one forward pass, and whether layers are recomputed in the backward pass. `bytes`: the estimate."""

    micro: int
    checkpointing: bool
    bytes: int = 0


@dataclass
class Parts:
    """What a fine-tuning is made of. `device`: with its number; `fit`: None = one row at a time."""

    decoder: CausalDecoder
    train: Corpus
    held_out: Corpus | None
    directory: Path
    device: str
    plan: DtypePlan
    fit: Fit = field(default_factory=lambda: Fit(1, False))
    world: World = field(default_factory=World)
    sample: Callable[[int], list[dict[str, Any]]] | None = None


def settings_of(tune: FinetuneConfig) -> TrainConfig:
    """The loop's settings; what it has no key for stands in the Job."""
    return TrainConfig(
        batch_tokens=tune.batch_rows * tune.max_length,
        optimizer="adamw",
        learning_rate=tune.learning_rate,
        weight_decay=tune.weight_decay,
        beta1=tune.beta1,
        beta2=tune.beta2,
        eps=ADAM_EPS,
        grad_clip=tune.grad_clip,
        schedule=tune.schedule,
        warmup_steps=tune.warmup_steps,
        decay_share=0.2,
        final_learning_rate=tune.final_learning_rate,
        validate_every=tune.validate_every,
        log_every=tune.log_every,
        checkpoint_every=tune.checkpoint_every,
        keep_checkpoints=tune.keep_checkpoints,
    )


def fit_of(shape: Shape, tune: FinetuneConfig, plan: DtypePlan, device: str, free: int | None, ranks: int) -> Fit:
    """As many rows as are useful and fit `free` bytes; layers recomputed only where it would not fit otherwise.

    UserError: not even one row fits, with the settings to change.
    """
    T, kind = tune.max_length, device.split(":")[0]
    share = -(-tune.batch_rows // ranks)
    most = min(share, tune.micro_rows or max(1, ENOUGH_TOKENS.get(kind, ENOUGH_TOKENS["cpu"]) // T))
    limit = None if free is None else int(MEMORY_SHARE * free)
    ways = {"on": (True,), "off": (False,), "auto": (False, True)}[tune.activation_checkpointing]
    needed = 0
    for checkpointing in ways:
        rows = most
        while rows:
            needed = tune_memory(
                shape,
                tune,
                rows=rows,
                half=plan.compute != torch.float32,
                cuda=kind == "cuda",
                checkpointing=checkpointing,
            ).total
            if limit is None or needed <= limit:
                return Fit(rows, checkpointing, needed)
            if tune.micro_rows:
                break
            rows //= 2
    quarter = "" if tune.load_in_4bit else ", or set finetune.load_in_4bit: true"
    raise UserError(
        f"fine-tuning needs about {count(needed, 'B')} for {tune.micro_rows or 1} row(s) of {T} tokens, and "
        f"{count(free or 0, 'B')} of memory are free. Lower finetune.max_length{quarter}"
        + (", or finetune.activation_checkpointing: auto." if tune.activation_checkpointing == "off" else ".")
    )


def check_corpus(corpus: Corpus, tune: FinetuneConfig, decoder: CausalDecoder) -> None:
    """UserError: rows longer than the model takes, no examples, one in which nothing is trained."""
    if tune.max_length > decoder.config.context:
        raise UserError(
            f"finetune.max_length is {tune.max_length}, but rows of this model hold at most {decoder.config.context} "
            "tokens (its positions, or where LongRoPE changes its factors). Lower it to that."
        )
    if not corpus.documents:
        raise UserError("no training examples. Give more in finetune.data, or lower finetune.validation and test.")
    untrained = (corpus.trained() == 0).nonzero()[0]
    if len(untrained):
        raise UserError(
            f"{len(untrained)} examples have no trained token (the first is {corpus.document_id(int(untrained[0]))}), "
            "so nothing could be learned from them. Run `smallm audit` on the recipe: it shows which."
        )


def steps_of(rows: Rows, tune: FinetuneConfig) -> int:
    """Optimiser steps: finetune.steps, or as many batches as the epochs have rows; said."""
    each = rows.rows_of_epoch(0)
    total = tune.steps or max(1, math.ceil(round(tune.epochs * each / tune.batch_rows, 6)))
    examples = int(rows.corpus.copies(0, rows.seed).sum())
    epochs = total * tune.batch_rows / each
    say(
        f"{examples:,} examples an epoch in {each:,} rows of {tune.max_length} tokens"
        + ("" if rows.alone else " (packed)")
        + f"; {total:,} steps of {tune.batch_rows} rows = {epochs:.3g} epochs"
    )
    if each < tune.batch_rows:
        warn(
            f"an epoch has {each} rows, fewer than a batch of {tune.batch_rows}: every step sees the examples "
            f"{tune.batch_rows / each:.2g} times. Lower finetune.batch_rows."
        )
    return total


def trainer_of(parts: Parts, tune: FinetuneConfig, seed: int) -> Trainer:
    """The Trainer of these parts; nothing trained yet."""
    return Trainer(job_of(parts, tune, seed))


def job_of(parts: Parts, tune: FinetuneConfig, seed: int) -> Job:
    """The loop's Job of these parts. UserError: examples that this model cannot learn from."""
    decoder, corpus = parts.decoder, parts.train
    check_corpus(corpus, tune, decoder)
    T, alone = tune.max_length, not decoder.isolates
    rows = Rows(corpus, T, seed, whole=True, alone=alone)
    world, micro = parts.world, parts.fit.micro
    feed = Feed(rows, tune.batch_rows, micro, parts.device, BACKEND, trim=True, rank=world.rank, world=world.size)
    held_out = parts.held_out
    validation = None
    if held_out is not None and held_out.documents:
        batches = held_out_rows(held_out, T, micro, alone=alone)
        validation = Validation(held_out, batches, int(held_out.bytes.sum()))
    fused.install(decoder)
    fused_blocks.install(decoder)
    arithmetic = parts.plan.autocast or torch.float32
    return Job(
        model=LossModel(decoder, activation_checkpointing=parts.fit.checkpointing),
        feed=feed,
        train=settings_of(tune),
        total=steps_of(rows, tune),
        directory=parts.directory,
        validation=validation,
        dtype=str(arithmetic).removeprefix("torch."),
        sample=parts.sample,
        optimizer="" if tune.optimizer == "adamw" else tune.optimizer,
        scaler=parts.plan.scaler,
        keep_best=tune.keep_best,
        patience=tune.patience,
        checkpoint_minutes=tune.checkpoint_minutes,
        section="finetune",
        world=world,
    )
