"""Hashes of what a score belongs to: any change that could change a score changes them, and nothing else does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_hf import TEMPLATE, make_directory, make_model, make_tokenizer

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, write_json
from smallm.evaluate.identity import (
    config_sha256,
    stamps,
    tokenizer_sha256,
    tokenizer_state_sha256,
    weights_sha256,
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_directory(path)
    return path


@pytest.fixture
def model(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "model")


def in_shards(directory: Path) -> None:
    """Split model.safetensors into two shards with an index, as large models come."""
    tensors = load_file(directory / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, directory / file, metadata={"format": "pt"})
    weight_map = {name: file for file, held in parts.items() for name in held}
    write_json(directory / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    (directory / "model.safetensors").unlink()


def test_one_file_of_weights_has_the_hash_that_smallm_json_has(model: Path):
    assert weights_sha256(model) == weights_sha256(str(model)) == sha256_file(model / "model.safetensors")


@settings(max_examples=15, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), sharded=st.booleans())
def test_any_bit_of_the_weights_changes_the_hash_whatever_the_dates_say(
    place: float, bit: int, sharded: bool, original: Path, tmp_path_factory: pytest.TempPathFactory
):
    model = shutil.copytree(original, tmp_path_factory.mktemp("bits") / "model")
    if sharded:
        in_shards(model)
    before = weights_sha256(model)
    file = sorted(model.glob("model*.safetensors"))[-1]
    stat, data = file.stat(), bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    file.write_bytes(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert weights_sha256(model) != before


def test_shards_are_those_of_the_index(model: Path):
    in_shards(model)
    before = weights_sha256(model)
    (model / "model-00003-of-00002.safetensors").write_bytes(b"not in the index")
    assert weights_sha256(model) == before
    first, second = sorted(model.glob("model-0000[12]*"))
    data = first.read_bytes(), second.read_bytes()
    first.write_bytes(data[1])
    second.write_bytes(data[0])
    assert weights_sha256(model) != before  # swapped
    second.unlink()
    with pytest.raises(UserError, match="1 of 2 shards are missing"):
        weights_sha256(model)
    (model / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(UserError, match="not an index of shards"):
        weights_sha256(model)


def test_a_copy_and_new_dates_are_the_same_model(model: Path, tmp_path: Path):
    copy = shutil.copytree(model, tmp_path / "copy")
    os.utime(copy / "model.safetensors", (1, 1))
    assert weights_sha256(copy) == weights_sha256(model)
    assert config_sha256(copy) == config_sha256(model)
    assert stamps(copy) != stamps(model)


def test_an_adapters_hash_is_over_its_own_weights_and_its_base(model: Path, tmp_path: Path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    write_json(adapter / "adapter_config.json", {"peft_type": "LORA"})
    shutil.copy(model / "model.safetensors", adapter / "adapter_model.safetensors")
    other = tmp_path / "other"
    make_model(other, seed=5)
    found = {weights_sha256(adapter), weights_sha256(adapter, model), weights_sha256(adapter, other)}
    assert len(found) == 3
    shutil.copy(other / "model.safetensors", adapter / "adapter_model.safetensors")
    assert weights_sha256(adapter, model) not in found
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="opens no pickle"):
        weights_sha256(adapter, model)


def test_a_directory_without_weights_is_refused(tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="opens no pickle"):
        weights_sha256(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rms_norm_eps", 1e-3),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 500.0}),
        ("final_logit_softcapping", 30.0),
        ("time_step_limit", [0.0, float("inf")]),  # infinities are no JSON, and stand in Mamba's configurations
    ],
)
def test_a_switch_of_the_configuration_changes_its_hash(key: str, value: object, model: Path):
    before = config_sha256(model)
    import json

    (model / "config.json").write_text(json.dumps({**read_json(model / "config.json"), key: value}))
    assert config_sha256(model) != before


def test_names_and_versions_do_not(model: Path):
    before = config_sha256(model)
    values = read_json(model / "config.json")
    write_json(
        model / "config.json", {**values, "_name_or_path": "elsewhere", "transformers_version": "9", "dtype": "x"}
    )
    assert config_sha256(model) == before
    (model / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        config_sha256(model)


def test_code_beside_a_model_counts_only_where_it_runs(model: Path):
    before = config_sha256(model), config_sha256(model, code=True)
    (model / "modeling.py").write_text("x = 1\n")
    assert config_sha256(model) == before[0]
    with_code = config_sha256(model, code=True)
    assert with_code != before[1]
    (model / "modeling.py").write_text("x = 2\n")
    assert config_sha256(model, code=True) != with_code


def test_a_tokenizers_hash_is_that_of_its_file(model: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    expected = sha256_file(model / "tokenizer.json")
    assert tokenizer_sha256(model) == tokenizer_sha256(str(model)) == tokenizer_sha256(tokenizer) == expected
    (model / "tokenizer.json").unlink()
    assert tokenizer_sha256(tokenizer) == tokenizer_state_sha256(tokenizer)
    with pytest.raises(UserError, match="no tokenizer there"):
        tokenizer_sha256(model)
    (model / "vocab.json").write_text("{}")
    before = tokenizer_sha256(model)
    (model / "merges.txt").write_text("a b\n")
    assert tokenizer_sha256(model) != before


def test_the_state_of_a_tokenizer_is_what_it_does_and_not_how_it_was_called(tmp_path: Path):
    from transformers import AutoTokenizer

    plain = make_tokenizer(tmp_path / "plain")
    before = tokenizer_state_sha256(plain)
    plain("the cat", padding="max_length", truncation=True, max_length=9)
    assert tokenizer_state_sha256(plain) == before
    assert tokenizer_state_sha256(AutoTokenizer.from_pretrained(tmp_path / "plain")) == before
    assert tokenizer_state_sha256(make_tokenizer(tmp_path / "bos", adds_bos=True)) != before
    # A chat template changes prompts, which a score's key holds as they are.
    assert tokenizer_state_sha256(make_tokenizer(tmp_path / "chat", template=TEMPLATE)) == before
    config = tmp_path / "plain" / "tokenizer_config.json"
    write_json(config, {**read_json(config), "eos_token": "<|turn|>"})
    assert tokenizer_sha256(tmp_path / "plain") == tokenizer_sha256(tmp_path / "chat")
    assert tokenizer_state_sha256(AutoTokenizer.from_pretrained(tmp_path / "plain")) != before
