"""Laws of llama2.c's files: model and tokenizer come out as they were published; what is no such file is named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny import decoder, ids

from smallm.core.errors import UserError
from smallm.model.decoder import Decoder
from smallm.model.families import load_pretrained
from smallm.model.generate import SamplingConfig, generate_ids
from smallm.model.llama2c import read_llama2c
from smallm.tokenizer.llama2c import read_llama2c_tokenizer


def write_llama2c(path: Path, model: Decoder) -> None:
    """llama2.c's export of version 0, in its own order: the slow twin of the reader."""
    config, state = model.config, dict(model.named_parameters())
    H, K, C = config.heads or 0, config.kv_heads or 0, config.head_width or 0
    V = config.vocab_size if config.tied else -config.vocab_size
    parts = [struct.pack("<7i", config.width, config.ffn_width, config.layers, H, K, V, config.context)]

    def put(tensor: torch.Tensor) -> None:
        parts.append(tensor.detach().float().contiguous().numpy().tobytes())

    def pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
        """From halves to neighbouring pairs."""
        return weight.view(heads, 2, C // 2, -1).transpose(1, 2).reshape(weight.shape)

    put(state["embed.weight"])
    for name in ("attention_norm", "attention.q", "attention.k", "attention.v", "attention.o", "mlp_norm",
                 "mlp.gate", "mlp.down", "mlp.up"):  # fmt: skip
        for i in range(config.layers):
            weight = state[f"blocks.{i}.{name}.weight"]
            put(pairs(weight, {"attention.q": H, "attention.k": K}[name]) if name[-2:] in (".q", ".k") else weight)
    put(state["norm.weight"])
    put(model.cos_TR)
    put(model.sin_TR)
    if not config.tied:
        put(state["head.weight"])
    path.write_bytes(b"".join(parts))


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_a_checkpoint_gives_the_logits_of_the_model_that_was_written(tied: bool, tmp_path: Path) -> None:
    model = decoder(preset="llama", kv_heads=2, tied=tied)
    write_llama2c(tmp_path / "model.bin", model)
    again = read_llama2c(tmp_path / "model.bin")
    torch.testing.assert_close(again(ids(2, 20)), model(ids(2, 20)), atol=0, rtol=0)
    assert (again.head.weight is again.embed.weight) == tied
    assert all(p.requires_grad for p in again.parameters())


def test_the_published_file_writes_its_reference_text(shared_data: Any) -> None:
    folder = shared_data("models/stories260K")
    model = read_llama2c(folder / "stories260K.bin")
    reference = json.loads((folder / "greedy_reference.json").read_text("utf-8"))
    expected = reference["greedy_ids_from_bos"]
    new = list(generate_ids(model, expected[:1], SamplingConfig(greedy=True, max_new_tokens=len(expected) - 1)))
    assert new == expected[1:]
    tokenizer = read_llama2c_tokenizer(folder / "tok512.bin")
    assert tokenizer.decode(expected) == reference["text"]
    derived = load_pretrained(shared_data("models/stories260K-hf-derived"))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), derived.parameters(), strict=True))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes are no checkpoint of llama2.c, whose header alone has 28"),
        (b"PK\x03\x04" + b"\x00" * 100, r"first seven numbers are .* pickle"),
        (struct.pack("<8i", 0x616B3432, 1, 64, 172, 5, 8, 4, 512), "version 1 or 2"),
        (struct.pack("<7i", 64, 172, 5, 8, 4, 512, 512) + b"\x00" * 100, "128 bytes, but .* 1056540. The file is torn"),
    ],
)
def test_what_is_no_checkpoint_of_version_0_is_named(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(data)
    with pytest.raises(UserError, match=says):
        read_llama2c(tmp_path / "model.bin")


@pytest.mark.parametrize("data", [b"", b"\x07\x00\x00\x00" + b"\xff" * 40, struct.pack("<ifi", 4, 0.0, 3) + b"abc"])
def test_what_is_no_tokenizer_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tok.bin").write_bytes(data)
    with pytest.raises(UserError, match=r"tok\.bin: (not a tokenizer of llama2\.c|. pieces)"):
        read_llama2c_tokenizer(tmp_path / "tok.bin")
