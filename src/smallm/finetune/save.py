"""What a fine-tuning leaves behind: an adapter directory that plain PEFT and vLLM load, or a whole model.

Beside the weights: tokenizer and chat template as they were (byte for byte), generation_config.json with every token
that ends an answer, and smallm.json, which names the base by hash, the quantisation it was trained on, and the formats.
No pickle; adapter_config.json holds no absolute path.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from smallm.core import hardware
from smallm.core.files import read_json, sha256_bytes, sha256_file, write_json
from smallm.evaluate.identity import ADAPTER_CONFIG, ADAPTER_WEIGHTS, holds_tokenizer, tokenizer_sha256, weights_sha256
from smallm.finetune.causal import CausalDecoder
from smallm.finetune.render import Renderer
from smallm.model.hf_config import SHARED
from smallm.tokenizer.directory import COPIED

FORMAT = "smallm-tuned-1"
GENERATION = "generation_config.json"
SHARD_BYTES = "5GB"


def save_tuned(
    decoder: CausalDecoder,
    directory: Path,
    *,
    base: Path,
    base_name: str,
    end_ids: Sequence[int],
    tokenizer: Path | None = None,
    revision: str | None = None,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the tuned model into `directory` (which is there); gives what smallm.json holds.

    `base`: the directory that was tuned; `base_name`: what the adapter calls it. `tokenizer`: the directory of the
    examples' tokenizer (default: the base's). `end_ids`: the tokens that end a trained answer; the base's own end ids
    stay in the list after them. `facts`: steps, tokens, seconds and the like.
    """
    full = not hasattr(decoder.model, "peft_config")
    if full:
        _save_whole(decoder, directory, base)
    else:
        _save_adapter(decoder.model, directory, base_name, revision)
    tokenizer = base if tokenizer is None or not holds_tokenizer(tokenizer) else tokenizer
    copy_tokenizer(tokenizer, directory)
    write_generation_config(base, directory, end_ids)
    base_sha256 = weights_sha256(base)
    plan = decoder.plan
    written: dict[str, Any] = {
        "format": FORMAT,
        "method": "full" if full else "lora",
        "base": {"name": base_name, "revision": revision, "weights_sha256": base_sha256},
        "weights_sha256": weights_sha256(directory, None if full else base),
        "tokenizer_sha256": tokenizer_sha256(directory),
        "template_sha256": template_sha256(directory),
        "end_ids": list(dict.fromkeys(int(i) for i in end_ids)),
        "quantisation": quantisation(decoder),
        "parameters": decoder.coverage.total if decoder.coverage else None,
        "trained_parameters": sum(p.numel() for p in decoder.parameters() if p.requires_grad),
        "coverage": decoder.coverage.to_json() if decoder.coverage else None,
        "dtypes": plan.to_json() if plan else None,
        "census": decoder.census,
        "from_scratch": is_from_scratch(base),
        "packed_rows": decoder.isolates,
        "machine": {
            "cpu": hardware.cpu_name(),
            "cores": hardware.cores(),
            "memory_bytes": hardware.memory()[0],
            "gpus": [gpu.name for gpu in hardware.gpus()],
        },
    }
    if not full:
        written["adapter_sha256"] = sha256_file(directory / ADAPTER_WEIGHTS)
    written |= facts or {}
    write_json(directory / "smallm.json", written)
    return written


def quantisation(decoder: CausalDecoder) -> dict[str, Any] | None:
    """How the frozen base was rounded, precisely enough to round it again: None for 16- and 32-bit weights."""
    modules = [
        name.removesuffix(".base_layer")
        for name, module in decoder.base.named_modules()
        if type(getattr(module, "weight", None)).__name__ == "Params4bit" and not hasattr(module, "base_layer")
    ]
    if not modules:
        return None
    compute = str(decoder.plan.compute).removeprefix("torch.") if decoder.plan else "float32"
    weights = str(decoder.plan.weights).removeprefix("torch.") if decoder.plan else "float32"
    return {
        "type": "nf4", "double": True, "block": 64, "from": weights, "compute": compute, "modules": sorted(modules)
    }  # fmt: skip


def _save_adapter(model: Any, directory: Path, base_name: str, revision: str | None) -> None:
    """adapter_model.safetensors and adapter_config.json, in PEFT's form."""
    from peft import get_peft_model_state_dict

    state: dict[str, torch.Tensor] = {}
    for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        # Tied modules share their storage; the file holds both, so that every reader finds what it asks for.
        state[name] = tensor.detach().to("cpu", copy=True).contiguous()
    save_file(state, directory / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = model.peft_config["default"]
    config.save_pretrained(str(directory))
    values = read_json(directory / ADAPTER_CONFIG)
    for key in ("target_modules", "modules_to_save"):
        if isinstance(values.get(key), list):
            values[key] = sorted(values[key])  # PEFT keeps sets: their order is nobody's
    values |= {"base_model_name_or_path": base_name, "revision": revision, "inference_mode": True}
    write_json(directory / ADAPTER_CONFIG, values)


def _save_whole(decoder: CausalDecoder, directory: Path, base: Path) -> None:
    """The model in its family's layout, its weights in the base's format (trained in float32)."""
    said = read_json(base / "config.json")
    name = str(said.get("dtype") or said.get("torch_dtype") or "float32")
    dtype = getattr(torch, name, torch.float32)
    stored: dict[tuple[int, torch.Size], torch.Tensor] = {}  # tied tables stay one: Transformers drops ties by storage
    state = {}
    for name, tensor in decoder.base.state_dict().items():
        kept = dtype if tensor.is_floating_point() else tensor.dtype
        place = (tensor.data_ptr(), tensor.shape)
        state[name] = stored.setdefault(place, tensor.detach().to("cpu", kept)) if tensor.numel() else tensor
    decoder.base.save_pretrained(str(directory), state_dict=state, max_shard_size=SHARD_BYTES)
    values = read_json(directory / "config.json")
    values |= {"dtype": str(dtype).removeprefix("torch.")}
    values.pop("_name_or_path", None)
    values.pop(SHARED, None)  # layers that were one block's copies were tuned one by one
    write_json(directory / "config.json", values)


def is_from_scratch(base: Path) -> bool:
    """Did smallm pretrain the base? (Its documents begin with BOS, which its tokenizer leaves to the caller.)"""
    return (base / "smallm.json").is_file() and bool(read_json(base / "smallm.json").get("from_scratch", True))


def copy_tokenizer(source: Path, directory: Path) -> None:
    """The tokenizer's files and the chat template, unchanged."""
    for name in COPIED:
        if (source / name).is_file() and (source / name).resolve() != (directory / name).resolve():
            shutil.copyfile(source / name, directory / name)


def write_generation_config(base: Path, directory: Path, end_ids: Sequence[int]) -> None:
    """The base's habits, and in `eos_token_id` the list of all tokens that end an answer: the trained ones first."""
    path = base / GENERATION
    values = read_json(path) if path.is_file() else {}
    if not values and (base / "config.json").is_file():
        config = read_json(base / "config.json")
        values = {k: config[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id") if config.get(k) is not None}
    own = values.get("eos_token_id")
    own = own if isinstance(own, list) else [] if own is None else [own]
    ends = list(dict.fromkeys(int(i) for i in (*end_ids, *own)))
    values.pop("transformers_version", None)
    if ends:
        values["eos_token_id"] = ends
    write_json(directory / GENERATION, values)


def end_ids_of(directory: Path) -> list[int]:
    """The tokens that end an answer of this model, by its generation_config.json."""
    path = directory / GENERATION
    said = read_json(path).get("eos_token_id") if path.is_file() else None
    return said if isinstance(said, list) else [] if said is None else [int(said)]


def answer_ends(directory: Path, renderer: Renderer) -> set[int]:
    """The ids at which a written answer ends: those of generation_config.json, or the chat template's without them."""
    return set(end_ids_of(directory)) or set(renderer.end_ids)


def template_sha256(directory: Path) -> str | None:
    """The hash of the chat template's text; None without one."""
    text = template_of(directory)
    return None if text is None else sha256_bytes(text.encode("utf-8"))


def template_of(directory: Path) -> str | None:
    """The chat template: of its own file, or in tokenizer_config.json."""
    own, config = directory / "chat_template.jinja", directory / "tokenizer_config.json"
    if own.is_file():
        return own.read_text("utf-8")
    found = read_json(config).get("chat_template") if config.is_file() else None
    return found if isinstance(found, str) else None
