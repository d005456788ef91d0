"""Laws of import: what stands there afterwards opens, what does not fit is refused, and then nothing stands there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from model.test_llama2c import write_llama2c
from model.tiny import decoder, ids
from tiny_hf import make_directory
from typer.testing import CliRunner, Result

from smallm import cli
from smallm.core.files import read_json, write_json
from smallm.model.families import load_pretrained, save_pretrained
from smallm.model.load import load_model


def smallm(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_directory_is_taken_as_it_is_with_its_tokenizer_and_a_record(tmp_path: Path) -> None:
    source = tmp_path / "theirs"
    make_directory(source, "llama")
    (source / "modeling_own.py").write_text("raise SystemExit")
    (source / "pytorch_model.bin").write_bytes(b"never copied")
    result = smallm("import", str(source), "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    taken = tmp_path / facts["path"]
    assert taken == tmp_path / "models" / "theirs"
    assert (facts["from_scratch"], facts["imported_from"]) == (False, str(source))
    assert not list(taken.glob("*.py")) + list(taken.glob("*.bin"))
    loaded = load_model(taken)
    loaded.verify()
    assert loaded.tokenizer is not None
    tokens = ids(1, 9)
    assert torch.equal(loaded.model(tokens), load_pretrained(source)(tokens))
    again = smallm("import", str(source))
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_the_family_and_its_switches_are_said(tmp_path: Path) -> None:
    save_pretrained(decoder(preset="phi"), tmp_path / "theirs")
    result = smallm("import", "theirs", "--out", "here")
    assert result.exit_code == 0, result.stderr
    assert "no tokenizer beside the weights" in result.stderr
    assert "phi: " in result.stderr
    assert "parallel block, LayerNorm, GELU, biases, untied" in result.stderr
    assert result.stdout == "here\n"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"parameters": 5, "model": {"preset": "llama", "heads": 4}},  # of a smallm that knew fewer switches
        {"format": "smallm-tuned-1", "method": "full", "parameters": None, "end_ids": [2]},
    ],
)
def test_a_directory_with_a_record_of_its_own_is_described_by_its_configuration_and_keeps_it(
    record: dict[str, Any], tmp_path: Path
) -> None:
    save_pretrained(decoder(preset="mistral"), tmp_path / "theirs")
    write_json(tmp_path / "theirs" / "smallm.json", record)
    result = smallm("import", "theirs", "--out", "here")
    assert result.exit_code == 0, result.stderr
    assert "mistral: " in result.stderr
    assert "rotary positions, a window of 4096, RMSNorm, SwiGLU, untied" in result.stderr
    assert read_json(tmp_path / "here" / "smallm.json") == record
    again = smallm("import", "theirs", "--out", "there", "--json")
    assert json.loads(again.stdout) == {**record, "path": "there"}


def test_a_checkpoint_of_llama2c_becomes_a_directory_that_talks(shared_data: Any) -> None:
    source = shared_data("models/stories260K") / "stories260K.bin"
    result = smallm("import", str(source), "--out", "stories")
    assert result.exit_code == 0, result.stderr
    told = smallm("generate", "stories", "", "--greedy", "--max-new-tokens", "60", "--json")
    assert told.exit_code == 0, told.stderr
    reference = json.loads((source.parent / "greedy_reference.json").read_text("utf-8"))["text"]
    assert reference.startswith(json.loads(told.stdout)["text"].strip())


def _unknown(source: Path) -> None:
    write_json(source / "config.json", read_json(source / "config.json") | {"model_type": "mamba"})


def _shardless(source: Path) -> None:
    (source / "model.safetensors").unlink()
    write_json(source / "model.safetensors.index.json", {"weight_map": {"a": "model-00001-of-00002.safetensors"}})


def _weightless(source: Path) -> None:
    (source / "model.safetensors").unlink()


def _other_weights(source: Path) -> None:
    write_json(source / "config.json", read_json(source / "config.json") | {"num_hidden_layers": 9})


def _other_tokenizer(source: Path) -> None:
    other = decoder(preset="llama", vocab_size=64)
    save_pretrained(other, source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_unknown, "model_type mamba is not a family that our decoder knows (gpt2, llama, mistral, openai-gpt, phi,"),
        (_shardless, "1 of 1 shards are missing, the first model-00001-of-00002.safetensors"),
        (_weightless, "no model.safetensors and no model.safetensors.index.json"),
        (_other_weights, "the weights have no tensor model.layers."),
        (_other_tokenizer, "the model's vocabulary is 64 but its tokenizer has"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(change: Any, said: str, tmp_path: Path) -> None:
    source = tmp_path / "theirs"
    make_directory(source, "llama")
    change(source)
    result = smallm("import", str(source))
    assert result.exit_code == 2
    assert said in result.stderr
    assert list((tmp_path / "models").glob("*")) == []


def test_a_torn_record_is_refused_in_words_and_nothing_is_left(tmp_path: Path) -> None:
    make_directory(tmp_path / "theirs", "llama")
    (tmp_path / "theirs" / "smallm.json").write_text('{"format": ')
    result = smallm("import", str(tmp_path / "theirs"), "--out", "here")
    assert result.exit_code == 2
    assert "its smallm.json is not JSON" in result.stderr
    assert not (tmp_path / "here").exists()


def test_a_tokenizer_of_another_size_does_not_go_with_a_checkpoint(shared_data: Any, tmp_path: Path) -> None:
    write_llama2c(tmp_path / "model.bin", decoder(preset="llama"))
    shutil.copyfile(shared_data("models/stories260K") / "tok512.bin", tmp_path / "tok512.bin")
    result = smallm("import", "model.bin")
    assert result.exit_code == 2
    assert "512 tokens, but model.bin was trained with 96" in result.stderr
    assert "there is no such file" in smallm("import", "model.bin", "--tokenizer", "nowhere.bin").stderr
    assert "is for checkpoints of llama2.c" in smallm("import", ".", "--tokenizer", "tok512.bin").stderr


def test_a_file_where_a_model_is_wanted_is_answered_with_import(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    result = smallm("generate", "model.bin", "Once")
    assert result.exit_code == 2
    assert "`smallm import model.bin`" in result.stderr


def test_a_name_that_is_nearly_one_of_the_hub_is_answered_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for verb in (("import",), ("generate",)):
        result = smallm(*verb, "microsoft/Phi-3.5-mini", *(["Once"] if verb == ("generate",) else []))
        assert result.exit_code == 2
        assert "Did you mean microsoft/Phi-3.5-mini-instruct?" in result.stderr
    assert "Did you mean" not in smallm("import", "smallm-tests/there-is-no-such-model").stderr


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("phi-3.5-mini", "microsoft/Phi-3.5-mini-instruct"),
        ("microsoft/phi2", "microsoft/phi-2"),
        ("microsoft/phi-1.5", "microsoft/phi-1_5"),
        ("mistralai/Mistral-7B", "mistralai/Mistral-7B-v0.1"),
        ("SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
        ("microsoft/phi-2", ""),
        ("someone/else", ""),
    ],
)
def test_near_misses(name: str, right: str) -> None:
    from smallm.model.resolve import near_miss

    assert near_miss(name) == (f" Did you mean {right}?" if right else "")


def test_a_family_that_our_decoder_does_not_know_generates_through_transformers(tmp_path: Path) -> None:
    source = tmp_path / "theirs"
    make_directory(source, "gpt_neox")
    result = smallm("generate", str(source), "the", "--greedy", "--max-new-tokens", "5", "--json")
    assert result.exit_code == 0, result.stderr
    assert "through Transformers" in result.stderr
    assert json.loads(result.stdout)["ended"] in ("max_new_tokens", "stop id")
