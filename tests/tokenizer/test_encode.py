"""The tokens stage: shards that hold every document, in order, once, whatever its text says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from smallm.core.config import Recipe
from smallm.core.errors import SmallmError, UserError
from smallm.core.files import sha256_file
from smallm.core.formats import validate
from smallm.core.run import Run
from smallm.core.tokenfile import open_split
from smallm.tokenizer.directory import load_tokenizer, tokenizer_sha256
from smallm.tokenizer.encode import encode_data, encode_directory


def documents(run: Run, split: str) -> list[dict]:
    """The split's rows as parquet has them."""
    return [row for p in sorted((run.path / "data").glob(f"{split}-*.parquet")) for row in pq.read_table(p).to_pylist()]


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Run:
    """The run's data and tokenizer in a place of its own."""
    for name in ("data", "tokenizer"):
        shutil.copytree(run.path / name, tmp_path / "run" / name)
    return Run(tmp_path / "run")


def test_shards_hold_each_document_once_with_bos_ids_and_bytes(copy: Run):
    made = encode_data(Recipe(), copy)
    assert made == copy.path / "tokens" / "base"
    manifest = json.loads((made / "manifest.json").read_text())
    tokenizer = load_tokenizer(copy.path / "tokenizer")
    for split in ("train", "validation"):
        rows, shards = documents(copy, split), open_split(made, split)
        (shard,) = shards
        assert len(rows) == len(shard.index) == manifest["splits"][split]["documents"]
        assert shard.tokenizer_sha256 == tokenizer_sha256(copy.path / "tokenizer") == manifest["tokenizer_sha256"]
        for row, entry in zip(rows, shard.index, strict=True):
            ids = shard.ids[entry["start"] : entry["start"] + entry["length"]].tolist()
            assert ids == [0, *tokenizer(row["text"], split_special_tokens=True)["input_ids"]]
            assert bytes(entry["id"]).hex() == row["id"]
            assert entry["bytes"] == len(row["text"].encode())
        assert manifest["splits"][split]["tokens"] == len(shard.ids) == int(shard.index["length"].sum())
        assert manifest["splits"][split]["bytes"] == int(shard.index["bytes"].sum())
        assert manifest["splits"][split]["shards"] == [
            {
                "path": shard.path.name,
                "sha256": sha256_file(shard.path),
                "tokens": len(shard.ids),
                "documents": len(rows),
            }
        ]
    assert manifest["dtype"] == "uint16"
    assert manifest["vocab_size"] == len(tokenizer)


def test_files_have_the_forms_that_are_published(copy: Run):
    for path in [*encode_data(Recipe(), copy).iterdir(), *(copy.path / "tokenizer").iterdir()]:
        validate(path, copy.path)


def test_a_special_name_in_a_text_is_plain_text(copy: Run):
    made = encode_data(Recipe(), copy)
    for split in ("train", "validation"):
        (shard,) = open_split(made, split)
        starts = np.zeros(len(shard.ids), bool)
        starts[shard.index["start"].astype(np.int64)] = True
        assert ((shard.ids == 0) == starts).all()
        if "unk" not in str(load_tokenizer(copy.path / "tokenizer").special_tokens_map):
            assert (np.asarray(shard.ids)[~starts] >= 32).all()
    assert any("<|endoftext|>" in row["text"] for split in ("train", "validation") for row in documents(copy, split))


def test_small_shards_hold_the_same_stream(copy: Run, tmp_path: Path):
    streams = []
    for limit in (10**9, 5000):
        target = tmp_path / str(limit)
        target.mkdir()
        manifest = encode_directory(copy.path / "data", copy.path / "tokenizer", target, shard_tokens=limit)
        shards = open_split(target, "train")
        assert len(shards) == len(manifest["splits"]["train"]["shards"])
        streams.append(
            (
                np.concatenate([s.ids for s in shards]).tolist(),
                np.concatenate([s.index["id"] for s in shards]).tolist(),
                np.concatenate([s.index["length"] for s in shards]).tolist(),
            )
        )
        for shard in shards:
            ends = np.cumsum(shard.index["length"].astype(np.int64))
            assert (shard.index["start"] == ends - shard.index["length"]).all()
    assert len(shards) > 3
    assert streams[0] == streams[1]


def test_encoding_twice_writes_the_same_bytes(copy: Run):
    first = {p.name: p.read_bytes() for p in encode_data(Recipe(), copy).iterdir()}
    assert {p.name: p.read_bytes() for p in encode_data(Recipe(), copy).iterdir()} == first


def test_unknown_characters_are_counted_and_said(tmp_path: Path, write_data, runs: dict[str, Run], capsys):
    write_data(tmp_path / "run", ["abc", "cab"], ["ab\u0416c\u0416", "abc"])
    shutil.copytree(runs["char"].path / "tokenizer", tmp_path / "run" / "tokenizer")
    made = encode_data(Recipe(), Run(tmp_path / "run"))
    assert "validation: 2 characters are not in the vocabulary and became <|unk|>: '\u0416'" in capsys.readouterr().err
    (shard,) = open_split(made, "validation")
    assert (np.asarray(shard.ids) == 2).sum() == 2


def test_an_empty_document_is_a_bos_alone(tmp_path: Path, write_data, run: Run):
    write_data(tmp_path / "run", ["", "ab"], ["a", ""])
    shutil.copytree(run.path / "tokenizer", tmp_path / "run" / "tokenizer")
    (shard,) = open_split(encode_data(Recipe(), Run(tmp_path / "run")), "train")
    assert shard.index["length"][0] == 1


def test_documents_that_went_missing_stop_the_stage(copy: Run):
    path = copy.path / "data" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"]["documents"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(SmallmError, match=r"counts .* documents in train"):
        encode_data(Recipe(), copy)
    for shard in (copy.path / "data").glob("train-*"):
        shard.unlink()
    with pytest.raises(UserError, match=r"no train-\*\.parquet"):
        encode_data(Recipe(), copy)
    assert not (copy.path / "tokens" / "base").exists()
