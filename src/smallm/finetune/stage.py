"""The stage `tune`: tokens/<name>/ and a base in, tuned/<name>/ out: an adapter directory, or a whole model.

Reads token files, never text or data formats; needs torch, transformers, peft, safetensors, numpy (bitsandbytes
where weights or moments are 4- or 8-bit). Checkpoints in checkpoints/<name> belong to one training key: tokens, base,
settings, seed. With torchrun or accelerate every rank comes here; rank 0 writes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from smallm.core import hardware
from smallm.core.config import FinetuneConfig, Recipe, affecting
from smallm.core.console import count, duration, say
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_json, write_json
from smallm.core.run import Run
from smallm.core.tokenfile import TokenShard, open_shard
from smallm.evaluate.identity import config_sha256, tokenizer_sha256
from smallm.evaluate.model_tokenizer import open_tokenizer
from smallm.finetune.base import base_directory, base_name, base_weights_sha256
from smallm.finetune.causal import CausalDecoder, load_for_training
from smallm.finetune.dtypes import DtypePlan, plan_dtypes
from smallm.finetune.equivalence import check_saved
from smallm.finetune.samples import sampler
from smallm.finetune.save import save_tuned
from smallm.finetune.training import Fit, Parts, fit_of, trainer_of
from smallm.plan.shapes import shape_of_config
from smallm.train import checkpoint, decide, distributed, measure
from smallm.train.corpus import Corpus, open_masks
from smallm.train.distributed import World
from smallm.train.job import State, fits
from smallm.train.journal import FILES
from smallm.train.loop import Trainer

# Keys of `finetune` that do not shape the training itself: what the tokens and the base hold is in their hashes, and
# the rest is the evaluation's.
OF_OTHERS = {
    "name", "model", "revision", "data", "task", "prompt", "system", "labels", "language", "validation", "test",
    "too_long", "train_on", "test_items", "max_new_tokens", "general",
}  # fmt: skip


def tune(recipe: Recipe, run: Run) -> Path:
    """Fine-tune and write tuned/<name>. Resumes by itself. UserError: tokens, base or memory that do not fit."""
    trainer, manifest = prepared(recipe, run)
    state = trainer.run()
    if trainer.job.feed.rows.tally.rows:
        tally = trainer.job.feed.rows.tally
        trainer.say(
            f"tuned on {count(state.tokens)} tokens, {count(state.trained_tokens)} of them trained, in "
            f"{duration(state.seconds)}; rows' tails {100 * tally.tail_share:.2g} %"
        )
    if trainer.job.world.writes:
        _write(recipe, run, trainer, manifest)
    trainer.job.world.barrier()
    return run.path / "tuned" / recipe.finetune.name


def prepared(recipe: Recipe, run: Run) -> tuple[Trainer, dict[str, Any]]:
    """(the Trainer on the run's tokens, every decision taken, nothing trained yet; the tokens' manifest)."""
    settings, tokens = recipe.finetune, run.path / "tokens" / recipe.finetune.name
    manifest = _manifest(tokens)
    base = base_directory(recipe, run)
    _check_tokenizer(base, tokens, manifest)
    train = _corpus(run, tokens, manifest, "train")
    held_out = _corpus(run, tokens, manifest, "validation")
    chosen = run.resolved("device", hardware.pick_device)
    world = distributed.join(chosen, settings.batch_rows)
    device = f"cuda:{world.local_rank}" if chosen == "cuda" and world.size > 1 else chosen
    _set_threads(run, world)
    plan = plan_dtypes(device, settings)
    free = hardware.available_bytes(device)  # before the weights are there
    key = training_key(recipe, manifest, base)
    directory = run.path / "checkpoints" / settings.name
    if world.writes:
        record = {"finetune": asdict(settings), "seed": recipe.seed}
        checkpoint.claim(directory, key, record)
    fit = _fit(recipe, run, key, base, plan, device, free, world)
    torch.manual_seed(recipe.seed)  # the adapters' first weights
    decoder = load_for_training(base, settings, device, plan, open_tokenizer(None, base))
    train.vocab_size = held_out.vocab_size = decoder.config.vocab_size
    sample = sampler(tokens, base, decoder, settings, list(manifest["end_ids"])) if world.writes else None
    parts = Parts(decoder, train, held_out, directory, device, plan, fit, world, sample)
    trainer = trainer_of(parts, settings, recipe.seed)
    if device.startswith("cuda") and not settings.micro_rows and world.size == 1:
        with fits(trainer.job):
            tried = measure.fit(trainer)
        if tried != fit.micro:
            _remember(run, settings.name, key, replace(fit, micro=tried))
    if world.writes:
        engine = world.facts(trainer.model)["engine"]
        decide.announce(
            {"device": device, "dtype": trainer.job.dtype, "micro rows": trainer.job.feed.micro,
             "activation checkpointing": fit.checkpointing, "optimizer": settings.optimizer, "engine": engine}
        )  # fmt: skip
    return trainer, manifest


def training_key(recipe: Recipe, manifest: dict[str, Any], base: Path) -> str:
    """What two trainings must share for the one to resume the other's checkpoints."""
    settings = {k: v for k, v in affecting(recipe.finetune).items() if k not in OF_OTHERS}
    weights, config = base_weights_sha256(base), config_sha256(base)
    return sha256_json(
        {"finetune": settings, "seed": recipe.seed, "tokens": manifest, "base": weights, "config": config}
    )


# ---------------------------------------------------------------------- inputs


def _manifest(tokens: Path) -> dict[str, Any]:
    path = tokens / "manifest.json"
    try:
        return read_json(path)
    except (OSError, ValueError):
        raise UserError(f"{path}: not there or not JSON. Rerun `smallm run` to rebuild the examples.") from None


def _check_tokenizer(base: Path, tokens: Path, manifest: dict[str, Any]) -> None:
    found = tokenizer_sha256(base)
    if found != manifest["tokenizer_sha256"]:
        raise UserError(
            f"{tokens}: encoded with the tokenizer {manifest['tokenizer_sha256'][:8]}…, but the base {base} has "
            f"{(found or 'none')[:8]}…. They come from different models; rerun `smallm run` to rebuild the examples."
        )


def _corpus(run: Run, tokens: Path, manifest: dict[str, Any], split: str) -> Corpus:
    """A split's documents with masks and weights; hashes as the manifest has them."""
    rows = manifest["splits"][split]["shards"]
    shards = [_checked(run, tokens, row, manifest) for row in rows]
    weights = [float(row.get("weight", 1.0)) for row in rows]
    return Corpus(shards, int(manifest["vocab_size"]), masks=open_masks(shards), weights=weights)


def _checked(run: Run, tokens: Path, row: dict[str, Any], manifest: dict[str, Any]) -> TokenShard:
    shard = open_shard(tokens / row["path"])
    for path, kind in ((shard.path, "sha256"), (shard.path.with_suffix(".mask"), "mask_sha256")):
        if kind in row and path.is_file() and run.hashes(path) != row[kind]:
            raise UserError(f"{path}: changed since it was written. Rerun `smallm run` to rebuild the examples.")
    if shard.tokenizer_sha256 != manifest["tokenizer_sha256"]:
        raise UserError(f"{shard.path}: encoded with another tokenizer than manifest.json says. Rebuild the examples.")
    return shard


# ---------------------------------------------------------------------- decisions


def _set_threads(run: Run, world: World) -> None:
    """Torch's threads: the machine's cores, shared by its processes."""
    threads = run.resolved("threads", hardware.cores)
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", world.size)) if world.size > 1 else 1
    torch.set_num_threads(max(1, threads // beside))


def _fit(
    recipe: Recipe, run: Run, key: str, base: Path, plan: DtypePlan, device: str, free: int | None, world: World
) -> Fit:
    """Rows and recomputation, decided once for a training: other rows round otherwise, and a resume is exact."""
    settings = recipe.finetune
    known = _known(run, settings.name)
    same = known.get("key") == key and known.get("asked") == _asked(settings)
    if same and not settings.micro_rows:
        fit = Fit(int(known["micro"]), bool(known["checkpointing"]))
    else:
        shape = shape_of_config(read_json(base / "config.json"), str(base))
        fit = fit_of(shape, settings, plan, device, free, world.size)
    world.barrier()  # all have read before one writes
    if world.writes:
        _remember(run, settings.name, key, fit, _asked(settings))
    return fit


def _asked(settings: FinetuneConfig) -> list[Any]:
    return [settings.micro_rows, settings.activation_checkpointing]


def _known(run: Run, name: str) -> dict[str, Any]:
    found = run.resolved(f"tune/{name}", lambda: {})
    return found if isinstance(found, dict) else {}


def _remember(run: Run, name: str, key: str, fit: Fit, asked: list[Any] | None = None) -> None:
    path = run.path / "resolved.json"
    decisions = read_json(path) if path.exists() else {}
    asked = asked if asked is not None else decisions.get(f"tune/{name}", {}).get("asked")
    decisions[f"tune/{name}"] = {"key": key, "asked": asked, "micro": fit.micro, "checkpointing": fit.checkpointing}
    write_json(path, decisions)


# ---------------------------------------------------------------------- the tuned model


def _write(recipe: Recipe, run: Run, trainer: Trainer, manifest: dict[str, Any]) -> None:
    """tuned/<name>/: weights, tokenizer, template, smallm.json, the journals."""
    settings, job = recipe.finetune, trainer.job
    decoder = job.model.decoder
    assert isinstance(decoder, CausalDecoder)
    final = run.path / "tuned" / settings.name
    with new_directory(final) as partial:
        save_tuned(
            decoder,
            partial,
            base=base_directory(recipe, run),
            base_name=base_name(recipe, run, final),
            end_ids=manifest["end_ids"],
            revision=settings.revision,
            facts=facts_of(recipe, trainer, manifest),
        )
        for name in FILES:
            if (job.directory / name).exists():
                shutil.copy2(job.directory / name, partial / name)
        with fits(job):
            check_saved(decoder, partial, run=run.path, name=settings.name, release=trainer.release)
    say(f"{final}: {'an adapter' if settings.method == 'lora' else 'a whole model'}, {count(_bytes(final), 'B')}")


def facts_of(recipe: Recipe, trainer: Trainer, manifest: dict[str, Any]) -> dict[str, Any]:
    """What smallm.json says of the training."""
    state: State = trainer.state
    job, settings = trainer.job, recipe.finetune
    return {
        "name": settings.name,
        "task": settings.task,
        "system": settings.system,
        "notice": settings.notice,
        "seed": recipe.seed,
        "steps": state.step,
        "total_steps": job.total,
        "best_step": state.best_step if job.keep_best and state.best_loss is not None else state.step,
        "best_loss": state.best_loss,
        "stopped_early": state.stopped,
        "skipped_steps": trainer.scale.skipped,
        "tokens_seen": state.tokens,
        "trained_tokens": state.trained_tokens,
        "epochs": round(state.step * settings.batch_rows / job.feed.rows.rows_of_epoch(0), 3),
        "train_seconds": round(state.seconds, 3),
        "optimizer": settings.optimizer,
        "batch_rows": settings.batch_rows,
        "micro_rows": job.feed.micro,
        "max_length": settings.max_length,
        "examples_sha256": sha256_json(manifest),
        **job.world.facts(trainer.model),
    }


def _bytes(directory: Path) -> int:
    return sum(p.stat().st_size for p in directory.iterdir() if p.is_file())
