"""The tensors of a model directory, one at a time, memory-mapped: model.safetensors or the shards of its index.

Each tensor is a view of the mapped file: whoever wants to keep it copies it, piece by piece (`copy_out`), and what was
read is given back, so that a model costs the memory of its weights and not that of its file as well.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.core.hardware import has_bf16
from smallm.model.resolve import CONFIG, INDEX, WEIGHTS

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


PIECE = 1 << 20  # bytes
# As recipes, options and config.json spell what weights are computed in.
NAMES = {
    "float32": torch.float32, "fp32": torch.float32, "F32": torch.float32,
    "bfloat16": torch.bfloat16, "bf16": torch.bfloat16, "BF16": torch.bfloat16,
    "float16": torch.float16, "fp16": torch.float16, "F16": torch.float16,
}  # fmt: skip


def stored_files(directory: Path) -> list[Path]:
    """The safetensors files that hold the weights. UserError: none, a torn index, missing shards."""
    index = directory / INDEX
    if (directory / WEIGHTS).exists():
        return [directory / WEIGHTS]
    if not index.exists():
        found = sorted(p.name for p in directory.glob("*.bin"))
        hint = f" {found[0]} is a pickle, which smallm does not open: convert it to safetensors." if found else ""
        raise UserError(f"{directory}: no {WEIGHTS} and no {INDEX}.{hint}")
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: not an index of shards ({error!r}).") from None
    missing = [name for name in names if not (directory / name).exists()]
    if missing:
        raise UserError(
            f"{directory}: {len(missing)} of {len(names)} shards are missing, the first {missing[0]}. "
            "Copy or download the directory again."
        )
    return [directory / name for name in names]


def stored_tensors(directory: Path) -> Iterator[tuple[str, Tensor, Callable[[], None]]]:
    """(name, tensor, forget) of every tensor, in the order of the files; `forget` gives its pages back."""
    for path in stored_files(directory):
        header, begin = _header(path)
        with open(path, "rb") as f:
            mapped = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)  # closed with the last view of it
        for name, facts in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            start, end = (begin + offset for offset in facts["data_offsets"])
            yield name, _view(path, mapped, name, facts, start), partial(_give_back, mapped, start, end)
            _give_back(mapped, start, end)


def copy_out(target: Tensor, source: Tensor, forget: Callable[[], None]) -> None:
    """Fill `target` from a mapped tensor of any type and stride, without having more than a piece of it in memory."""
    if not source.numel():
        return
    dim = 1 if source.ndim == 2 and source.stride(1) > source.stride(0) else 0
    length = max(1, PIECE * source.shape[dim] // (source.numel() * source.element_size()))
    for ours, theirs in zip(target.split(length, dim), source.split(length, dim), strict=True):
        ours.copy_(theirs)
        forget()


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """(facts by name, where the data begin). UserError for a file that safetensors does not take as whole."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: torn or not safetensors ({error}).") from None
    with open(path, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def _view(path: Path, mapped: mmap.mmap, name: str, facts: dict[str, Any], start: int) -> Tensor:
    """The tensor where it lies in the file."""
    dtype, shape = DTYPES.get(facts["dtype"]), facts["shape"]
    if dtype is None:
        raise UserError(
            f"{path}: {name} is stored as {facts['dtype']}, which our decoder does not compute with. Quantised weights "
            "open through Transformers alone."
        )
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(mapped, dtype=dtype, count=count, offset=start).view(shape)


def _give_back(mapped: mmap.mmap, start: int, end: int) -> None:
    """The pages of what was read need not stay in memory; the file still has them."""
    if hasattr(mmap, "MADV_DONTNEED"):
        first = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, first, end - first)


def pick_dtype(asked: Any, directory: Path, device: torch.device) -> torch.dtype:
    """`auto`: the checkpoint's own where this device multiplies it in hardware, else float32.

    A card without bf16 computes such a checkpoint in float16; where that overflows, the scores say so.
    """
    if isinstance(asked, torch.dtype):
        return asked
    if asked != "auto":
        if asked not in NAMES:
            raise UserError(f"dtype: {asked} is none of auto, float32, bfloat16, float16.")
        return NAMES[asked]
    stored = stored_dtype(directory)
    if device.type == "cuda" and stored != torch.float32:
        return stored if stored == torch.float16 or has_bf16("cuda") else torch.float16
    return stored if stored == torch.bfloat16 and has_bf16(device.type) else torch.float32


def stored_dtype(directory: Path) -> torch.dtype:
    """What config.json says, else the type of most tensors of the first file."""
    config = read_json(directory / CONFIG) if (directory / CONFIG).is_file() else {}
    for values in (config, config.get("text_config") or {}):
        said = values.get("dtype") or values.get("torch_dtype")
        if said in NAMES:
            return NAMES[said]
    header, _ = _header(stored_files(directory)[0])
    kinds = [facts["dtype"] for facts in header.values()]
    return NAMES.get(max(set(kinds), key=kinds.count), torch.float32) if kinds else torch.float32
