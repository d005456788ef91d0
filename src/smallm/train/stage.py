"""The stage `train`: tokens/base and tokenizer/ in, the Hugging Face directory base/ out.

Reads token files, never text; needs torch, safetensors, numpy (and transformers where the model
starts from another one or samples are wanted). Checkpoints live in checkpoints/base and belong to
one training key: the configuration that affects the result, the tokens, the first weights, but not
the budget, so that raising train.tokens continues. Letters: T context.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from smallm.core import hardware
from smallm.core.config import ModelConfig, Recipe, TrainConfig, affecting
from smallm.core.console import count, duration, say, warn
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_file, sha256_json, write_json
from smallm.core.run import Run
from smallm.core.tokenfile import TokenShard, open_split
from smallm.model import count as counts
from smallm.model.attention import best_backend
from smallm.model.decoder import Decoder
from smallm.model.families import load_pretrained, save_pretrained
from smallm.model.load import resolve_model
from smallm.model.presets import complete
from smallm.train import checkpoint, decide, distributed
from smallm.train.corpus import Corpus
from smallm.train.feed import Feed
from smallm.train.job import Job, State, Validation
from smallm.train.journal import FILES
from smallm.train.loop import Trainer
from smallm.train.loss import LossModel
from smallm.train.pack import open_rows, validation_batches

SAMPLE_TOKENS = 120
SAMPLE_PROMPTS = 3
OF_ONE_TRAINING = {"dtype", "micro_batch", "attention", "compile"}  # decisions; device and threads are the machine's
TOKENIZER_FILES_LEFT_OUT = {"report.json", "README.md", "stage.json", "config.json", "model.safetensors"}


def pretrain(recipe: Recipe, run: Run) -> Path:
    """Train from scratch (or on from `train.init_from`) and write base/. Resumes by itself."""
    trainer = trainer_of(recipe, run)
    state = trainer.run()
    tally = trainer.job.feed.rows.tally
    if tally.rows:
        say(
            f"trained on {count(state.tokens)} tokens in {duration(state.seconds)}; rows' tails "
            f"{100 * tally.tail_share:.2f} %, {tally.cut_documents} documents cut to fill a row"
        )
    return _write_base(recipe, run, trainer.job.model.decoder, _manifest(run), state, trainer.job)  # type: ignore[arg-type]


def trainer_of(recipe: Recipe, run: Run) -> Trainer:
    """The Trainer of this recipe on the run's tokens, every decision taken; nothing trained yet."""
    distributed.refuse("pretraining")
    manifest, tokens = _manifest(run), run.path / "tokens" / "base"
    shards = {split: _checked(run, tokens, split, manifest) for split in ("train", "validation")}
    decoder = _decoder(recipe, manifest)
    key = training_key(recipe, manifest, decoder.config)
    _forget_other_decisions(run, key)
    decisions = _decide_machine(recipe.train, run)
    decoder.to(decisions["device"])
    return _trainer(recipe, run, decoder, shards, decisions, _directory_of(key, recipe, run))


def training_key(recipe: Recipe, manifest: dict[str, Any], config: ModelConfig) -> str:
    """What two trainings must share for the one to resume the other's checkpoints: all but the budget."""
    train = {k: v for k, v in affecting(recipe.train).items() if k != "tokens"}
    train["init_from"] = _init_hash(recipe.train.init_from)
    return sha256_json({"model": affecting(config), "train": train, "seed": recipe.seed, "tokens": manifest})


def training_seed(recipe: Recipe) -> int:
    """Of first weights and order: `train.seed`, or the recipe's. So trainings on one text differ in chance alone."""
    return recipe.seed if recipe.train.seed is None else recipe.train.seed


# ---------------------------------------------------------------------- inputs


def _manifest(run: Run) -> dict[str, Any]:
    path = run.path / "tokens" / "base" / "manifest.json"
    try:
        return read_json(path)
    except (OSError, ValueError):
        raise UserError(f"{path}: not there or not JSON. Rerun `smallm run` to rebuild the tokens.") from None


def _checked(run: Run, directory: Path, split: str, manifest: dict[str, Any]) -> list[TokenShard]:
    """The split's shards, their hashes equal to the manifest's: a corpus changed between runs is noticed."""
    shards = open_split(directory, split)
    recorded = {s["path"]: s["sha256"] for s in manifest["splits"][split]["shards"]}
    if {s.path.name for s in shards} != recorded.keys():
        raise UserError(f"{directory}: shards of `{split}` are missing or surplus. Rerun `smallm run` to rebuild them.")
    for shard in shards:
        if run.hashes(shard.path) != recorded[shard.path.name]:
            raise UserError(f"{shard.path}: changed since it was written. Rerun `smallm run` to rebuild it.")
        if shard.tokenizer_sha256 != manifest["tokenizer_sha256"]:
            raise UserError(
                f"{shard.path}: encoded with another tokenizer than manifest.json says. Rebuild the tokens."
            )
    return shards


def _decoder(recipe: Recipe, manifest: dict[str, Any]) -> Decoder:
    """A fresh decoder by the recipe, or the one of `train.init_from` if its tokenizer is this run's."""
    vocabulary, T = int(manifest["vocab_size"]), recipe.model.context
    if recipe.train.init_from is None:
        return Decoder(complete(recipe.model, vocabulary), seed=training_seed(recipe))
    path = resolve_model(recipe.train.init_from)
    theirs = _tokenizer_hash(path)
    if theirs != manifest["tokenizer_sha256"]:
        raise UserError(
            f"train.init_from: {path} was trained with another tokenizer ({(theirs or 'none there')[:8]}…) than these "
            f"tokens ({manifest['tokenizer_sha256'][:8]}…). Set tokenizer.path: {path} to encode the text with its own."
        )
    decoder = load_pretrained(path)
    config = decoder.config
    if config.vocab_size < vocabulary:
        raise UserError(f"train.init_from: {path} knows {config.vocab_size} tokens, its tokenizer has {vocabulary}.")
    if config.position == "learned" and config.context < T:
        raise UserError(f"model.context: {T}, but {path} has positions for {config.context} tokens. Lower it to that.")
    if config.position != "learned" and config.context != T:
        decoder.config = replace(config, context=T)
        decoder.make_buffers()
    decoder.config = replace(decoder.config, dropout=recipe.model.dropout)
    return decoder


def _tokenizer_hash(path: Path) -> str | None:
    if (path / "tokenizer.json").is_file():
        return sha256_file(path / "tokenizer.json")
    facts = path / "smallm.json"
    return read_json(facts).get("tokenizer_sha256") if facts.is_file() else None


def _init_hash(name: str | None) -> str | None:
    if name is None:
        return None
    return sha256_json({p.name: sha256_file(p) for p in sorted(resolve_model(name).glob("*.safetensors"))})


# ---------------------------------------------------------------------- decisions and the job


def _forget_other_decisions(run: Run, key: str) -> None:
    """Decisions that were taken for another training (shape, type, settings) are taken anew."""
    if run.resolved("training", lambda: key) != key:
        path = run.path / "resolved.json"
        kept = {k: v for k, v in read_json(path).items() if k not in OF_ONE_TRAINING}
        write_json(path, kept | {"training": key})


def _decide_machine(train: TrainConfig, run: Run) -> dict[str, Any]:
    """Device, threads and type; sets torch's threads and determinism."""
    device = run.resolved("device", hardware.pick_device)
    found = {"device": device, "dtype": run.resolved("dtype", lambda: decide.autocast_type(train, device))}
    found["threads"] = run.resolved("threads", hardware.cores)
    torch.set_num_threads(found["threads"])
    if train.deterministic and device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return found


def _trainer(
    recipe: Recipe,
    run: Run,
    decoder: Decoder,
    shards: dict[str, list[TokenShard]],
    decisions: dict[str, Any],
    directory: Path,
) -> Trainer:
    """The job, with the decisions that depend on the model: micro-batch, backend, compilation."""
    train, T, device = recipe.train, recipe.model.context, decisions["device"]
    config, dtype = replace(decoder.config, context=T), decisions["dtype"]
    batch_rows = max(1, train.batch_tokens // T)
    total = max(1, train.tokens // (batch_rows * T))
    rows = open_rows(shards["train"], T, training_seed(recipe), config.vocab_size, batch_rows)
    if int(rows.corpus.length.max()) < T:
        longest = int(rows.corpus.length.max())
        warn(f"model.context is {T}, but the longest document has {longest} tokens: a shorter context trains faster.")
    available = hardware.available_bytes(device)
    micro = run.resolved("micro_batch", lambda: decide.micro_batch(config, train, batch_rows, device, dtype, available))
    micro = min(batch_rows, train.micro_batch or micro)
    backend = run.resolved("attention", lambda: best_backend(device, getattr(torch, dtype), dropout=config.dropout))
    model = LossModel(decoder, train.loss_chunk, activation_checkpointing=train.activation_checkpointing)
    held_out = Corpus(shards["validation"], config.vocab_size)
    validation = None
    if held_out.tokens:
        validation = Validation(held_out, *validation_batches(held_out, T, train.validation_tokens, micro))
    job = Job(
        model=model,
        feed=Feed(rows, batch_rows, micro, device, backend),
        train=train,
        total=total,
        directory=directory,
        validation=validation,
        dtype=dtype,
        sample=_sampler(recipe, run, decoder),
        tasks=_tasks(recipe, run, decoder),
        tasks_every=recipe.eval.every,
        flops_per_token=counts.flops_per_token(config, T)["6N"],
        peak_flops=hardware.device_peak(device) if dtype == "bfloat16" else None,
    )
    trainer = Trainer(job)
    choice = run.resolved("compile", lambda: decide.should_compile(train, device, total, trainer.time_a_step))
    job.compile = job.feed.always_borders = choice["on"]
    decide.announce(decisions | {"micro_batch": micro, "attention": backend, "compile": choice["on"], "steps": total})
    return trainer


def _directory_of(key: str, recipe: Recipe, run: Run) -> Path:
    """checkpoints/base for this key; another training's checkpoints are set aside, not mixed in or deleted."""
    record = {"train": asdict(recipe.train), "model": asdict(recipe.model), "seed": training_seed(recipe)}
    return checkpoint.claim(run.path / "checkpoints" / "base", key, record)


def _sampler(recipe: Recipe, run: Run, decoder: Decoder) -> Callable[[int], list[dict[str, Any]]] | None:
    """Samples of the first prompts, always with the same seeds; None without a tokenizer."""
    if not (run.path / "tokenizer" / "tokenizer.json").is_file():
        return None
    try:
        from smallm.model.generate import generate_text
        from smallm.model.load import LoadedModel
        from smallm.model.sampling import SamplingConfig
        from smallm.tokenizer.directory import load_tokenizer

        loaded = LoadedModel(decoder, load_tokenizer(run.path / "tokenizer"), run.path, decoder.config)
    except ImportError as error:
        warn(f"no samples during training: {error}.")
        return None
    prompts = (recipe.train.prompts or recipe.prompts or [""])[:SAMPLE_PROMPTS]

    def sample(step: int) -> list[dict[str, Any]]:
        rows = []
        for seed, prompt in enumerate(prompts):
            length = min(SAMPLE_TOKENS, recipe.model.context - 1)
            settings = SamplingConfig(max_new_tokens=length, temperature=recipe.temperature, seed=seed)
            try:
                text = "".join(generate_text(loaded, prompt, settings))  # type: ignore[arg-type]
            except UserError as error:  # a prompt longer than the context spoils its sample, not the training
                text = f"({error})"
            rows.append({"prompt": prompt, "text": text, "seed": seed})
        return rows

    return sample


def _tasks(recipe: Recipe, run: Run, decoder: Decoder) -> Callable[[], dict[str, dict[str, float]]] | None:
    """The cheap tasks of the recipe's suites on the model as it is; None where none is wanted or can be had."""
    if not (recipe.eval.every and recipe.eval.suites and (run.path / "tokenizer" / "tokenizer.json").is_file()):
        return None
    try:
        from smallm.evaluate.during import cheap_tasks
        from smallm.tokenizer.directory import load_tokenizer

        return cheap_tasks(recipe.eval, decoder, load_tokenizer(run.path / "tokenizer"))
    except ImportError as error:
        warn(f"no tasks during training: {error}.")
        return None


# ---------------------------------------------------------------------- the finished model


def _write_base(recipe: Recipe, run: Run, decoder: Decoder, manifest: dict[str, Any], state: State, job: Job) -> Path:
    """base/: the model in its family's layout, the tokenizer, smallm.json, the journals."""
    final, config = run.path / "base", decoder.config
    with new_directory(final) as partial:
        refused = save_pretrained(decoder, partial)
        if refused:
            say(f"base/ opens with smallm only: {refused}")
        tokenizer = run.path / "tokenizer"
        for path in sorted(tokenizer.iterdir()) if tokenizer.is_dir() else ():
            if path.is_file() and path.name not in TOKENIZER_FILES_LEFT_OUT and not path.name.startswith("."):
                shutil.copy2(path, partial / path.name)
        for name in FILES:
            if (job.directory / name).exists():
                shutil.copy2(job.directory / name, partial / name)
        facts = {
            "parameters": counts.parameters(config),
            "non_embedding_parameters": counts.non_embedding_parameters(config),
            "model": asdict(config),
            "tokenizer_sha256": manifest["tokenizer_sha256"],
            "tokens_seen": state.tokens,
            "steps": state.step,
            "train_seconds": round(state.seconds, 3),
            "compile_seconds": round(state.compile_seconds, 3),
            "flops": job.flops_per_token * state.tokens,
            "weights_sha256": sha256_file(partial / "model.safetensors"),
            "init_from": recipe.train.init_from,
            "machine": {
                "cpu": hardware.cpu_name(),
                "cores": hardware.cores(),
                "memory_bytes": hardware.memory()[0],
                "gpus": [gpu.name for gpu in hardware.gpus()],
            },
        }
        write_json(partial / "smallm.json", facts)
    return final
