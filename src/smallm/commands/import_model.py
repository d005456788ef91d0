"""`smallm import`: a model of others as a directory here, checked before it stands there.

A Transformers directory (local, or of the Hub) is taken as it is, files and all: our decoder reads it. Checked without
loading it: its family is known, every tensor is there in its shape, the tokenizer's ids fit. A checkpoint of llama2.c
(.bin) is converted.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smallm.core.config import ModelConfig
from smallm.core.console import count, say
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_file, write_json

FORMAT = "smallm-imported-1"


def import_command(
    model: str, *, out: Path | None, tokenizer: Path | None, revision: str | None, as_json: bool
) -> None:
    config, facts = import_model(model, out, tokenizer=tokenizer, revision=revision)
    if as_json:
        print(json.dumps(facts, indent=2, sort_keys=True))
    else:
        say(describe(config))
        print(facts["path"])


def import_model(
    model: str, out: Path | None = None, *, tokenizer: Path | None = None, revision: str | None = None
) -> tuple[ModelConfig, dict[str, Any]]:
    """Bring `model` into `out` (default: models/ and its name): its configuration; what smallm.json says, and its path.

    UserError (nothing is written): nothing there, an unknown family, tensors missing, a tokenizer that does not fit.
    """
    source = Path(model).expanduser()
    single = source.is_file() and source.suffix == ".bin"
    final = out if out is not None else Path("models") / (source.stem if single else source.name)
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise UserError(f"{final}: is there already. Choose another place with --out DIR, or use what is there.")
    try:
        with new_directory(final) as partial:
            if single:
                config = _convert(source, partial, tokenizer)
            else:
                if tokenizer is not None:
                    raise UserError(f"--tokenizer is for checkpoints of llama2.c; {model} brings its own.")
                config = _take(model, partial, revision)
            facts = _record(partial, model, revision, config)
    except BaseException:
        shutil.rmtree(final.with_name(final.name + ".partial"), ignore_errors=True)
        raise
    return config, {**facts, "path": str(final)}


def _take(model: str, partial: Path, revision: str | None) -> ModelConfig:
    """The files of a Transformers directory (or a run's model), after the checks."""
    from smallm.model.families import check_stored
    from smallm.model.load import check_vocabulary, tokenizer_beside
    from smallm.model.resolve import HUB_FILES, OWN_CONFIG, resolve_model

    directory = resolve_model(model, revision=revision)
    if str(directory) != model:
        say(f"model: {directory}")
    config = check_stored(directory)
    tokenizer = tokenizer_beside(directory)
    check_vocabulary(directory, config.vocab_size, tokenizer)
    if tokenizer is None:
        say(f"{directory}: no tokenizer beside the weights: this model takes and gives ids, not text")
    for path in sorted(directory.iterdir()):
        if path.is_file() and any(fnmatch.fnmatch(path.name, pattern) for pattern in (*HUB_FILES, OWN_CONFIG)):
            _link(path.resolve(), partial / path.name)
    return config


def _link(source: Path, target: Path) -> None:
    """Weights are gigabytes and never changed in place: the same file where the disk allows, else a copy."""
    if source.suffix == ".safetensors":
        try:
            os.link(source, target)
            return
        except OSError:  # another disk, or one without links
            pass
    shutil.copyfile(source, target)


def _convert(source: Path, partial: Path, tokenizer: Path | None) -> ModelConfig:
    """A checkpoint of llama2.c as a directory in Llama's layout, with its tokenizer where there is one."""
    from smallm.model.families import save_pretrained
    from smallm.model.llama2c import read_llama2c

    decoder = read_llama2c(source)
    config = decoder.config
    save_pretrained(decoder, partial, special_ids={"bos_token_id": 1, "eos_token_id": 2})
    if tokenizer is None:
        beside = sorted(p for p in source.parent.glob("tok*.bin") if p != source)
        tokenizer = beside[0] if len(beside) == 1 else None
    if tokenizer is None:
        say(f"{source}: no tokenizer beside it (tok*.bin); name one with --tokenizer, or the model takes ids alone")
        return config
    from smallm.tokenizer.llama2c import read_llama2c_tokenizer, write_llama2c_tokenizer

    if not tokenizer.is_file():
        raise UserError(f"--tokenizer {tokenizer}: there is no such file.")
    pieces = read_llama2c_tokenizer(tokenizer)
    if pieces.get_vocab_size() != config.vocab_size:
        raise UserError(
            f"{tokenizer}: {pieces.get_vocab_size()} tokens, but {source} was trained with {config.vocab_size}. They "
            "do not belong together; name the right one with --tokenizer."
        )
    write_llama2c_tokenizer(pieces, partial, config.context)
    say(f"tokenizer: {tokenizer}")
    return config


def _record(partial: Path, model: str, revision: str | None, config: ModelConfig) -> dict[str, Any]:
    """smallm.json of the directory: where it came from, what it is, hashes. A run's own stays as it is."""
    from smallm.model import count as counts

    if (partial / "smallm.json").is_file():
        try:
            return read_json(partial / "smallm.json")
        except ValueError as error:
            raise UserError(
                f"{model}: its smallm.json is not JSON ({error}), so what it is cannot be told. "
                "Put the whole file there, or delete it: the import writes a new one."
            ) from None
    facts: dict[str, Any] = {
        "format": FORMAT,
        "from_scratch": False,
        "imported_from": model,
        "revision": revision,
        "model": asdict(config),
        "parameters": counts.parameters(config),
        "non_embedding_parameters": counts.non_embedding_parameters(config),
    }
    for key, name in (("weights_sha256", "model.safetensors"), ("tokenizer_sha256", "tokenizer.json")):
        if (partial / name).is_file():
            facts[key] = sha256_file(partial / name)
    write_json(partial / "smallm.json", facts)
    return facts


def describe(config: ModelConfig) -> str:
    """Two lines about a model of a complete configuration: its size, and the switches that make its family."""
    from smallm.model.count import parameters

    model = asdict(config)
    grouped = "" if model["heads"] == model["kv_heads"] else f" over {model['kv_heads']}"
    switches = [
        {"rope": "rotary positions", "learned": "learned positions", "sinusoidal": "sinusoidal positions"}.get(
            model["position"], "no positions"
        ),
        f"{(model['rope_scaling'] or {}).get('rope_type', '')} scaling" if model["rope_scaling"] else "",
        f"a window of {model['window']}" if model["window"] else "",
        {"pre": "", "post": "post-norm", "parallel": "parallel block"}[model["block"]],
        {"rms": "RMSNorm", "layer": "LayerNorm"}[model["norm"]],
        {"swiglu": "SwiGLU", "gelu": "GELU", "relu": "ReLU", "relu2": "ReLU²"}[model["mlp"]],
        "norms on queries and keys" if model["qk_norm"] else "",
        "biases" if model["bias"] else "",
        "tied" if model["tied"] else "untied",
    ]
    return (
        f"{model['preset']}: {count(parameters(config))} parameters, {model['layers']} layers of width "
        f"{model['width']}, {model['heads']} heads{grouped}, context {model['context']}, vocabulary "
        f"{model['vocab_size']}\n" + ", ".join(switch for switch in switches if switch)
    )
