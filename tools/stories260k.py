"""stories260K (llama2.c's smallest trained model, MIT) as a model directory with a tokenizer that Transformers opens.

The weights are read as they lie, the tokenizer is rebuilt from llama2.c's tok512.bin: sentencepiece's BPE with byte
fallback, a space put before the text, <s> first. Used by tests, by benchmarks, and by the page docs/stories260k.md.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

SPACE = "\u2581"


def make_model(folder: Path, data: Path) -> Path:
    """`folder` with config.json, model.safetensors, tokenizer.json; `data` holds models/stories260K*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(data / "models" / "stories260K-hf-derived" / name, folder / name)
    tokenizer = read_tokenizer(data / "models" / "stories260K" / "tok512.bin")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    return folder


def read_tokenizer(path: Path) -> Tokenizer:
    """llama2.c's tokenizer.bin: int32 longest piece, then float32 score, int32 length and bytes of each piece."""
    raw = path.read_bytes()
    pieces: list[str] = []
    at = 4
    while at < len(raw):
        _, length = struct.unpack_from("<fi", raw, at)
        pieces.append(raw[at + 8 : at + 8 + length].decode("utf-8").replace(" ", SPACE))
        at += 8 + length
    pieces[:3] = ["<unk>", "<s>", "</s>"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    # The scores fall with the id: of two pairs the one whose whole has the lower id is merged first.
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces[259:]
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])  # type: ignore[assignment]
    tokenizer.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer
