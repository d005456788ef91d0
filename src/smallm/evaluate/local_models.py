"""Models on this machine, ready to be scored: our decoder, others through Transformers, adapters, 4- and 8-bit weights.

A directory whose family our decoder knows is loaded by it; every other causal model, an adapter's base, and whatever
is quantised on load goes through Transformers. What was chosen stands in `settings`: it is part of what a score means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.core.hardware import pick_device
from smallm.evaluate.adapters import base_name, check_base, trained_in_4bit, with_adapter
from smallm.evaluate.backends import DecoderBackend, TransformersBackend
from smallm.evaluate.identity import (
    adapted_sha256,
    config_sha256,
    is_adapter,
    stamps,
    weights_sha256,
)
from smallm.evaluate.model_tokenizer import check_belongs, open_tokenizer
from smallm.evaluate.transformers_models import INT8, NF4, brief, check_causal, load_transformers
from smallm.model.families import CONFIG, load_pretrained, read_config
from smallm.model.load import HUB_FILES, load_model, resolve_model
from smallm.model.stored import pick_dtype


@dataclass(frozen=True)
class Options:
    """How to load, as the caller asked. `quantise`: NF4, INT8 or None; `max_length` may shorten the window."""

    dtype: Any = "auto"
    quantise: str | None = None
    tokenizer: Any = None
    device: Any = None
    trust_remote_code: bool = False
    max_length: int | None = None


@dataclass(frozen=True)
class LocalModel:
    """A loaded model. `model`: our Decoder or Transformers'; `smallm`: smallm pretrained it, or its base."""

    model: Any
    backend: DecoderBackend | TransformersBackend
    tokenizer: Any
    weights_sha256: str
    parameters: int
    smallm: bool
    settings: dict[str, Any]


def quantisation(load_in_4bit: bool, load_in_8bit: bool) -> str | None:
    """NF4, INT8 or None. UserError: both."""
    if load_in_4bit and load_in_8bit:
        raise UserError("load_in_4bit and load_in_8bit exclude each other. Choose one.")
    return NF4 if load_in_4bit else INT8 if load_in_8bit else None


def load_local(name: str | Path, options: Options) -> LocalModel:
    """The model that `name` means (`resolve_model`; an adapter too), loaded and checked.

    UserError: nothing there, pickles, code without leave, a vocabulary that is not the tokenizer's, weights that
    changed while they were read.
    """
    directory = _directory(name, options.trust_remote_code)
    adapter = directory if is_adapter(directory) else None
    base = directory if adapter is None else _base(adapter, options.trust_remote_code)
    if (base / CONFIG).is_file() or not (base / "smallm_model.json").is_file():
        _check_json(base / CONFIG)
    before = stamps(directory, base)
    base_sha256 = check_base(adapter, base) if adapter else None
    if adapter and options.quantise is None and trained_in_4bit(adapter):
        options = replace(options, quantise=NF4)
    model, backend, tokenizer, settings = _load(adapter, base, options)
    sha256 = weights_sha256(directory)
    sha256 = adapted_sha256(sha256, base_sha256) if base_sha256 else sha256
    if stamps(directory, base) != before:
        raise UserError(f"{directory}: its weights were rewritten while they were read. Evaluate when that is done.")
    settings |= {
        "adapter": adapter.name if adapter else None,
        "max_length": backend.max_length,
        "config_sha256": config_sha256(*dict.fromkeys((directory, base)), code=options.trust_remote_code),
    }
    return LocalModel(
        model=model,
        backend=backend,
        tokenizer=tokenizer,
        weights_sha256=sha256,
        parameters=_parameters(model),
        smallm=_from_scratch(base),
        settings=settings,
    )


def _load(adapter: Path | None, base: Path, options: Options) -> tuple[Any, Any, Any, dict[str, Any]]:
    """(model, backend, tokenizer, settings)."""
    try:
        device = torch.device(options.device or pick_device())
    except RuntimeError:
        raise UserError(f"device: {options.device} is no device of torch (cpu, cuda, cuda:1, mps).") from None
    dtype = pick_dtype(options.dtype, base, device)
    chosen = {"dtype": str(dtype).removeprefix("torch."), "device": device.type}
    if adapter is None and options.quantise is None and is_ours(base):
        kind = {"kind": "decoder", "attention": "sdpa", "quantisation": None}
        return *_decoder(base, dtype, device, options), chosen | kind
    if not (base / CONFIG).is_file():
        what = "adapters" if adapter else "4- and 8-bit weights"
        raise UserError(f"{base}: this model opens in smallm alone; {what} go through Transformers, which cannot.")
    beside = (base,) if adapter is None else (adapter, base)
    tokenizer = open_tokenizer(options.tokenizer, *beside, trust_remote_code=options.trust_remote_code)
    model, facts = load_transformers(
        base, dtype, device, quantise=options.quantise, trust_remote_code=options.trust_remote_code
    )
    if adapter is not None:
        model = with_adapter(model, adapter, device)
    backend = TransformersBackend(model, _window(model.config, tokenizer, options.max_length, base))
    check_belongs(tokenizer, backend.vocab_size, base, same=adapter is None)
    check_causal(backend, base)
    return model, backend, tokenizer, chosen | facts | {"kind": "adapter" if adapter else "transformers"}


def _decoder(base: Path, dtype: torch.dtype, device: torch.device, options: Options) -> tuple[Any, Any, Any]:
    """(model, backend, tokenizer) by our decoder."""
    if options.tokenizer is None:
        loaded = load_model(base, dtype=dtype, device=device)
        model, tokenizer = loaded.model, open_tokenizer(loaded.tokenizer, base)
    else:
        tokenizer = open_tokenizer(options.tokenizer, trust_remote_code=options.trust_remote_code)
        model = load_pretrained(base, dtype=dtype, device=device)
    backend = DecoderBackend(model)
    check_belongs(tokenizer, backend.vocab_size, base)
    if options.max_length is not None:
        _check_window(options.max_length, backend.max_length, base)
        backend.max_length, backend.tree_limit = options.max_length, min(options.max_length, backend.tree_limit)
    return model, backend, tokenizer


def _directory(name: str | Path, code: bool) -> Path:
    """The directory of a model or adapter; `code`: a Hub model's Python files are fetched too, otherwise not."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path if is_adapter(path) else resolve_model(path, adapters=True)
    found = resolve_model(name)
    if code:
        from huggingface_hub import snapshot_download

        try:
            snapshot_download(str(name), allow_patterns=[*HUB_FILES, "*.py"])
        except Exception as error:  # the transport's own, of many kinds
            raise UserError(f"{name}: its code could not be had from the Hub ({type(error).__name__}).") from None
    return found


def _base(adapter: Path, code: bool) -> Path:
    try:
        return _directory(base_name(adapter), code)
    except UserError as error:
        raise UserError(f"{adapter}: its base model cannot be loaded. {error}") from None


def is_ours(directory: Path) -> bool:
    """Does our decoder know this configuration? (A known family with a switch of its own: no.)"""
    if not (directory / CONFIG).is_file():
        return True
    if read_json(directory / CONFIG).get("quantization_config"):
        return False
    try:
        read_config(directory)
    except UserError:
        return False
    return True


def _window(config: Any, tokenizer: Any, asked: int | None, directory: Path) -> int | None:
    """Tokens of the window by lm-eval's order: configuration, tokenizer, None (2048); `asked` may shorten it."""
    text = config.get_text_config()
    found = [getattr(text, key, None) for key in ("n_positions", "max_position_embeddings", "n_ctx")]
    known = next((int(n) for n in found if n), None)
    if known is None and tokenizer.model_max_length < 1e9:  # Transformers writes 1e30 for "not known"
        known = int(tokenizer.model_max_length)
    if asked is not None:
        _check_window(asked, known, directory)
    return asked or known


def _check_window(asked: int, known: int | None, directory: Path) -> None:
    if asked < 2 or (known is not None and asked > known):
        raise UserError(f"max_length: {asked} tokens asked; {directory} takes 2 to {known or 'any number'}.")


def _from_scratch(base: Path) -> bool:
    """Did smallm pretrain it? (Merged models say of what they were merged.)"""
    path = base / "smallm.json"
    return path.is_file() and bool(read_json(path).get("from_scratch", True))


def _parameters(model: Any) -> int:
    """Parameters, those of 4-bit weights unpacked (Transformers counts them so)."""
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return int(
        model.num_parameters() if hasattr(model, "num_parameters") else sum(p.numel() for p in model.parameters())
    )


def _check_json(path: Path) -> None:
    try:
        if isinstance(read_json(path), dict):
            return
        why = "not an object"
    except (OSError, ValueError) as error:
        why = brief(error)
    raise UserError(f"{path}: missing or not JSON ({why}).")
