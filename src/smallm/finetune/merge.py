"""Base and adapter as one model, `smallm export --to merged`: float32 arithmetic, tensor by tensor, a stated base.

The base of a QLoRA is its dequantised NF4, the function that was trained and evaluated; the original 16-bit weights
plus the same adapter are another function, written on request alone and called so. Nothing is ever rounded to 4 bits
again: that erases most of an adapter. Host memory: one matrix at a time, in pieces (finetune/tensors.py). A tied
embedding that the adapter made two matrices of is written as two, with the tie taken out of the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smallm.core.console import Progress, say
from smallm.core.errors import UserError
from smallm.core.files import new_directory, read_json, sha256_file, write_json
from smallm.evaluate.identity import ADAPTER_CONFIG, ADAPTER_WEIGHTS, holds_tokenizer, tokenizer_sha256, weight_files
from smallm.finetune.dtypes import NAMES
from smallm.finetune.lora_delta import Delta, read_deltas
from smallm.finetune.nf4 import dequantised
from smallm.finetune.save import GENERATION, copy_tokenizer, template_sha256, write_generation_config
from smallm.finetune.skeleton import Skeleton, skeleton_of
from smallm.finetune.tensors import SHARD_BYTES, Output, Tensors, write_shards
from smallm.model.hf_config import SHARED

FORMAT = "smallm-merged-1"
BASES = ("auto", "original", "dequantised")


@dataclass(frozen=True)
class Merge:
    """What is merged: decided before anything is read. `stated`: original or dequantised."""

    adapter: Path
    base: Path
    stated: str
    dtype: torch.dtype
    quantisation: dict[str, Any] | None
    facts: dict[str, Any] = field(default_factory=dict)


def plan_merge(adapter: Path, base: Path, stated: str = "auto", dtype: str = "auto") -> Merge:
    """Which base and format. UserError: an unknown word, `dequantised` of an adapter that was not trained in 4 bits."""
    if stated not in BASES:
        raise UserError(f"--base {stated}: none of {', '.join(BASES)}.")
    if dtype != "auto" and dtype not in NAMES:
        raise UserError(f"--dtype {dtype}: none of auto, {', '.join(NAMES)}.")
    stored = read_json(base / "config.json").get("quantization_config") if (base / "config.json").is_file() else None
    if stored:
        raise UserError(
            f"{base}: its weights are stored quantised ({stored.get('quant_method', 'unnamed')}); nothing can be added "
            "to them in float32. Merge into the original model: name it in base_model_name_or_path of "
            f"{ADAPTER_CONFIG}."
        )
    facts = read_json(adapter / "smallm.json") if (adapter / "smallm.json").is_file() else {}
    trained_on = facts.get("quantisation")
    if stated == "dequantised" and not trained_on:
        raise UserError(
            f"{adapter}: neither {ADAPTER_CONFIG} nor smallm.json says anything of 4-bit weights: it was trained on "
            "the original base. Leave --base out."
        )
    if stated == "auto":
        stated = "dequantised" if trained_on else "original"
        if not facts:
            say(f"{adapter}: no smallm.json, so what its base was rounded to is not known; merging into the original.")
    return Merge(
        adapter,
        base,
        stated,
        NAMES[dtype] if dtype != "auto" else _stored(base),
        trained_on if stated == "dequantised" else None,
        facts,
    )


def merge(plan: Merge, final: Path, *, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """Write the merged model to `final` (whole or not at all); gives what its smallm.json holds."""
    with new_directory(final) as partial:
        return merge_into(plan, partial, shard_bytes=shard_bytes)


def merge_into(plan: Merge, directory: Path, *, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """The same into a directory that is there. UserError: an adapter that does not fit its base."""
    skeleton = skeleton_of(plan.base)
    weights, adapter = Tensors(weight_files(plan.base)), Tensors([plan.adapter / ADAPTER_WEIGHTS])
    deltas = read_deltas(adapter, plan.adapter, skeleton)
    names = _stored_names(weights, skeleton)
    tied = _check(plan, deltas, names, skeleton)
    outputs = _outputs(plan, weights, names, deltas, skeleton, untie=tied == "untied")
    bar = Progress("merging", len(outputs), "tensors")
    try:
        with torch.no_grad():
            sha256 = write_shards(directory, outputs, shard_bytes=shard_bytes, done=bar.update)
    finally:
        bar.close()
    _write_config(plan, directory, outputs, skeleton, untied=tied == "untied")
    copy_tokenizer(plan.adapter if holds_tokenizer(plan.adapter) else plan.base, directory)
    source = plan.adapter if (plan.adapter / GENERATION).is_file() else plan.base
    write_generation_config(source, directory, plan.facts.get("end_ids", []))
    written = {
        "format": FORMAT,
        "weights_sha256": sha256,
        "base_stated": plan.stated,
        "base": plan.facts.get("base"),
        "adapter_sha256": sha256_file(plan.adapter / ADAPTER_WEIGHTS),
        "evaluated_weights_sha256": plan.facts.get("weights_sha256"),
        "quantisation": plan.quantisation,
        "arithmetic": "float32",
        "dtype": str(plan.dtype).removeprefix("torch."),
        "parameters": sum(math.prod(o.shape) for o in outputs),
        "embeddings": tied,
        "from_scratch": plan.facts.get("from_scratch", False),
        "end_ids": plan.facts.get("end_ids", []),
        "template_sha256": template_sha256(directory),
        "system": plan.facts.get("system"),
        "notice": plan.facts.get("notice", ""),
    }
    if holds_tokenizer(directory):
        written["tokenizer_sha256"] = tokenizer_sha256(directory)
    write_json(directory / "smallm.json", written)
    return written


def _stored(base: Path) -> torch.dtype:
    """The format of the base's weights: what most of their bytes are in."""
    sizes: dict[torch.dtype, int] = {}
    for entry in Tensors(weight_files(base)).entries.values():
        if entry.dtype in NAMES.values():
            sizes[entry.dtype] = sizes.get(entry.dtype, 0) + math.prod(entry.shape)
    return max(sizes, key=lambda d: sizes[d]) if sizes else torch.float32


def _stored_names(weights: Tensors, skeleton: Skeleton) -> dict[str, str]:
    """Parameter of the model -> its name in the files (a checkpoint of the bare body lacks the prefix)."""
    prefix = skeleton.prefix + "."
    found = {}
    for name in weights.entries:
        known = next((n for n in (name, prefix + name, name.removeprefix(prefix)) if n in skeleton.shapes), name)
        found[known] = name
    return found


def _check(plan: Merge, deltas: dict[str, Delta], names: dict[str, str], skeleton: Skeleton) -> str:
    """`tied`, `untied` (the adapter took the tie apart) or `two matrices`. UserError: what does not fit."""
    for parameter, delta in deltas.items():
        stored = names.get(parameter)
        if stored is None and parameter != skeleton.head:
            raise UserError(
                f"{plan.base}: has no tensor {parameter}, which the adapter changes: the family stores it in another "
                "form, and merging tensor by tensor cannot. Serve the adapter as it is (PEFT, vLLM)."
            )
        wanted = skeleton.shapes.get(parameter)
        if wanted is not None and delta.whole is None and not delta.fits(wanted):
            raise UserError(
                f"{plan.adapter}: its matrices for {parameter} are {delta.shape}, the base's {wanted}: another base."
            )
    if plan.facts.get("base", {}).get("weights_sha256"):
        from smallm.evaluate.adapters import check_base

        check_base(plan.adapter, plan.base)
    if not skeleton.tied:
        return "two matrices"
    embedding, head = deltas.get(skeleton.embedding), deltas.get(skeleton.head)
    if embedding is None and head is None:
        return "tied"
    return "tied" if embedding is not None and head is not None and embedding.same_as(head) else "untied"


def _outputs(
    plan: Merge, weights: Tensors, names: dict[str, str], deltas: dict[str, Delta], skeleton: Skeleton, *, untie: bool
) -> list[Output]:
    """Every tensor of the merged model, in the files' order, to be made when it is written."""
    outputs = []
    for parameter, stored in names.items():
        if parameter == skeleton.head and skeleton.tied:
            continue  # some files hold the tied head as well
        outputs.append(_output(plan, weights, stored, stored, deltas.get(parameter), parameter, skeleton))
    if untie:
        stored = names[skeleton.embedding]
        outputs.append(
            _output(plan, weights, stored, skeleton.head, deltas.get(skeleton.head), skeleton.head, skeleton)
        )
    return outputs


def _output(
    plan: Merge,
    weights: Tensors,
    stored: str,
    name: str,
    delta: Delta | None,
    parameter: str,
    skeleton: Skeleton,
) -> Output:
    entry = weights.entries[stored]
    dtype = plan.dtype if entry.dtype.is_floating_point else entry.dtype
    shape = entry.shape if delta is None or delta.whole is None else delta.shape
    module = parameter.removesuffix(".weight")
    rounded = plan.quantisation is not None and parameter.endswith(".weight") and module in plan.quantisation["modules"]

    def pieces() -> Iterator[Tensor]:
        if delta is not None and delta.whole is not None:
            for _, rows in delta.source.rows(delta.whole):
                yield rows.to(dtype)
        elif rounded:
            yield from _rounded(plan, weights.read(stored), delta, parameter in skeleton.transposed, dtype)
        elif delta is not None and delta.magnitude is not None and parameter in skeleton.transposed:
            yield delta.applied(weights.read(stored).float(), 0, True).to(dtype)
        elif delta is None:
            for _, rows in weights.rows(stored):
                yield rows.to(dtype)
        else:
            for first, rows in weights.rows(stored):
                yield delta.applied(rows.float(), first, parameter in skeleton.transposed).to(dtype)

    return Output(name, dtype, shape, pieces)


def _rounded(
    plan: Merge, weight: Tensor, delta: Delta | None, transposed: bool, dtype: torch.dtype
) -> Iterator[Tensor]:
    """A matrix of the 4-bit base: rounded as for training (a Conv1D's is turned before), and what was learned on it."""
    assert plan.quantisation is not None
    formats = (NAMES[plan.quantisation[k]] for k in ("from", "compute"))
    weight = weight.T.contiguous() if transposed else weight
    found = dequantised(weight, *formats)
    del weight
    if delta is not None:
        found = delta.applied(found, 0, False)
    yield (found.T if transposed else found).contiguous().to(dtype)


def _write_config(plan: Merge, directory: Path, outputs: list[Output], skeleton: Skeleton, *, untied: bool) -> None:
    """The base's config.json, without what no longer holds."""
    values = read_json(plan.base / "config.json")
    # Code of its own is not copied: Transformers knows the family. Layers that were one block have adapters each.
    for gone in ("quantization_config", "torch_dtype", "_name_or_path", "auto_map", SHARED):
        values.pop(gone, None)
    values["dtype"] = str(plan.dtype).removeprefix("torch.")
    if untied:
        values["tie_word_embeddings"] = False
    embedding = next(
        o for o in outputs if o.name in (skeleton.embedding, skeleton.embedding.removeprefix(skeleton.prefix + "."))
    )
    values["vocab_size"] = embedding.shape[0]
    write_json(directory / "config.json", values)
