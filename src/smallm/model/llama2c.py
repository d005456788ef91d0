"""Checkpoints of llama2.c (`model.bin`), read into our decoder.

Version 0: seven int32 (width, MLP width, layers, heads, key-value heads, vocabulary, context; a negative vocabulary:
the head is not tied), then float32 tensors in a fixed order, each for all layers at once. The checkpoint rotates
neighbouring channels; ours are half a head apart, so rows of queries and keys change places.
Letters: L layers, D width, F feed-forward width, H heads, K key-value heads, C head width, V vocabulary, T context.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import torch
from torch import Tensor

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.model.decoder import Decoder

HEADER = struct.Struct("<7i")
MAGIC = 0x616B3432  # "ak42": the later versions of the format begin with it


def read_llama2c(path: Path | str) -> Decoder:
    """The model of a version-0 file, float32, in evaluation mode. UserError: another format, a torn file."""
    path = Path(path)
    config, tied = _config(path)
    with torch.device("meta"):
        decoder = Decoder(config)
    with open(path, "rb") as f:
        mapped = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
    floats_N = torch.frombuffer(mapped, dtype=torch.float32, offset=HEADER.size)
    state: dict[str, Tensor] = {}
    at = 0
    for name, shape, turned_heads in _order(decoder.config, tied):
        count = torch.Size(shape).numel()
        tensor = floats_N[at : at + count].view(shape)
        at += count
        if name is None:
            continue
        if "{i}" not in name:
            state[name] = tensor.clone()
            continue
        for i, layer in enumerate(tensor):
            state[name.replace("{i}", str(i))] = _halves(layer, turned_heads) if turned_heads else layer.clone()
    decoder.load_state_dict(state, strict=False, assign=True)
    decoder.tie()
    decoder.make_buffers()
    return decoder.requires_grad_(True).eval()


def _config(path: Path) -> tuple[ModelConfig, bool]:
    """The configuration by the header, and whether the head is tied; checked against the size of the file."""
    size = path.stat().st_size
    with open(path, "rb") as f:
        head = f.read(HEADER.size)
    if len(head) < HEADER.size:
        raise UserError(f"{path}: {size} bytes are no checkpoint of llama2.c, whose header alone has {HEADER.size}.")
    if int.from_bytes(head[:4], "little") == MAGIC:
        raise UserError(f"{path}: a checkpoint of llama2.c of version 1 or 2; smallm reads version 0 (export.py's).")
    D, F, L, H, K, V, T = HEADER.unpack(head)
    sane = all(0 < n < 1 << 24 for n in (D, F, L, H, K, abs(V), T)) and D % H == 0 and H % K == 0 and (D // H) % 2 == 0
    if not sane or T < 8:
        raise UserError(
            f"{path}: no checkpoint of llama2.c: its first seven numbers are {D}, {F}, {L}, {H}, {K}, {V}, {T}. A "
            "pickle (pytorch_model.bin) is not opened: convert it to safetensors."
        )
    config = ModelConfig(
        preset="llama", layers=L, width=D, heads=H, kv_heads=K, ffn_width=F, context=T, vocab_size=abs(V),
        tied=V > 0,
    )  # fmt: skip
    expected = HEADER.size + 4 * sum(torch.Size(shape).numel() for _, shape, _ in _order(config, V > 0))
    if size != expected:
        raise UserError(f"{path}: {size} bytes, but its header describes a model of {expected}. The file is torn.")
    return config, V > 0


def _order(config: ModelConfig, tied: bool) -> list[tuple[str | None, tuple[int, ...], int]]:
    """(our name, shape, heads whose rows are turned) of every tensor of the file; None for what is computed anew."""
    L, D, V, H, T = config.layers, config.width, config.vocab_size, config.heads or 1, config.context
    F, K = config.ffn_width or 0, config.kv_heads or 1
    C = D // H
    block = "blocks.{i}."
    return [
        ("embed.weight", (V, D), 0),
        (block + "attention_norm.weight", (L, D), 0),
        (block + "attention.q.weight", (L, H * C, D), H),
        (block + "attention.k.weight", (L, K * C, D), K),
        (block + "attention.v.weight", (L, K * C, D), 0),
        (block + "attention.o.weight", (L, D, H * C), 0),
        (block + "mlp_norm.weight", (L, D), 0),
        (block + "mlp.gate.weight", (L, F, D), 0),
        (block + "mlp.down.weight", (L, D, F), 0),
        (block + "mlp.up.weight", (L, F, D), 0),
        ("norm.weight", (D,), 0),
        (None, (2, T, C // 2), 0),  # cosines and sines of the rotation
        *([] if tied else [("head.weight", (V, D), 0)]),
    ]


def _halves(rows_OD: Tensor, heads: int) -> Tensor:
    """Rows of each head from neighbouring pairs (0 1 2 3 …) to halves (0 2 … 1 3 …)."""
    outputs, D = rows_OD.shape
    return rows_OD.view(heads, outputs // heads // 2, 2, D).transpose(1, 2).reshape(outputs, D)
