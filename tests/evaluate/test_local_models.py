"""What loads to be scored, and how: dtype, window, tokenizer, code of its own; the rest is refused with its reason."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import (
    REQUESTS,
    TEMPLATE,
    expected,
    make_directory,
    make_model,
    poison,
)

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, write_json
from smallm.evaluate import local_models
from smallm.evaluate.scorer import TextScorer, load_scorer
from smallm.model import stored as stored_weights

OURS, OTHERS = ("llama", "gpt2"), ("gpt_neox", "gemma2")
WINDOW = 48


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One directory a family; weights differ."""
    root = tmp_path_factory.mktemp("models")
    for seed, family in enumerate((*OURS, *OTHERS)):
        make_directory(root / family, family, seed=seed, template=TEMPLATE if family == "llama" else None)
    return {family: root / family for family in (*OURS, *OTHERS)}


@pytest.fixture(scope="module")
def scorers(models: dict[str, Path]) -> dict[str, TextScorer]:
    return {family: load_scorer(path) for family, path in models.items()}


def test_a_wrong_request_for_a_window_or_dtype_or_device_names_the_rule(models: dict[str, Path]):
    assert load_scorer(models["llama"], max_length=20).settings["max_length"] == 20
    assert load_scorer(models["gemma2"], max_length=20).max_length == 20
    for family in ("llama", "gemma2"):
        with pytest.raises(UserError, match="takes 2 to 48"):
            load_scorer(models[family], max_length=49)
    with pytest.raises(UserError, match="int3 is none of auto, float32"):
        load_scorer(models["llama"], dtype="int3")
    with pytest.raises(UserError, match="no device of torch"):
        load_scorer(models["llama"], device="toaster")
    with pytest.raises(UserError, match="exclude each other"):
        load_scorer(models["llama"], load_in_4bit=True, load_in_8bit=True)


@pytest.mark.parametrize(
    ("stored", "device", "hardware", "chosen"),
    [
        ("bfloat16", "cuda", True, torch.bfloat16),
        ("bfloat16", "cuda", False, torch.float16),  # Turing
        ("float16", "cuda", False, torch.float16),
        ("float32", "cuda", True, torch.float32),
        ("bfloat16", "cpu", True, torch.bfloat16),
        ("bfloat16", "cpu", False, torch.float32),
        ("float16", "cpu", True, torch.float32),
    ],
)
def test_auto_is_the_checkpoints_dtype_where_the_hardware_has_it(
    stored: str, device: str, hardware: bool, chosen: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_weights, "has_bf16", lambda _: hardware)
    write_json(tmp_path / "config.json", {"dtype": stored})
    assert stored_weights.pick_dtype("auto", tmp_path, torch.device(device)) is chosen
    assert stored_weights.pick_dtype("fp16", tmp_path, torch.device(device)) is torch.float16


def test_a_configuration_that_names_no_dtype_leaves_it_to_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_model(tmp_path).to(torch.bfloat16).save_pretrained(tmp_path)
    values = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {k: v for k, v in values.items() if k not in ("dtype", "torch_dtype")})
    monkeypatch.setattr(stored_weights, "has_bf16", lambda _: True)
    assert stored_weights.pick_dtype("auto", tmp_path, torch.device("cpu")) is torch.bfloat16


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(family: str, tmp_path: Path):
    make_directory(tmp_path, family, vocab_size=300)
    with pytest.raises(UserError, match="vocabulary is 300 but its tokenizer has"):
        load_scorer(tmp_path)


def test_the_tokenizer_of_another_run_is_refused_even_when_named(models: dict[str, Path], tmp_path: Path):
    ours = shutil.copytree(models["llama"], tmp_path / "base")
    write_json(ours / "smallm.json", {"tokenizer_sha256": "0" * 64})
    for tokenizer in (None, models["llama"]):
        with pytest.raises(UserError, match="different runs"):
            load_scorer(ours, tokenizer=tokenizer)


def test_a_model_without_a_tokenizer_takes_the_one_that_is_named(models: dict[str, Path], tmp_path: Path):
    for family in ("llama", "gpt_neox"):
        make_model(tmp_path / family, family)
        with pytest.raises(UserError, match="no tokenizer beside the weights"):
            load_scorer(tmp_path / family)
        scorer = load_scorer(tmp_path / family, tokenizer=models["gpt2"])
        assert scorer.tokenizer_sha256 == sha256_file(models["gpt2"] / "tokenizer.json")
        with pytest.raises(UserError, match="holds no tokenizer"):
            load_scorer(tmp_path / family, tokenizer=tmp_path)
    with pytest.raises(UserError, match="could not be had from the Hub"):
        load_scorer(tmp_path / "llama", tokenizer="smallm-tests/there-is-no-such-tokenizer")


def test_weights_that_change_while_they_are_read_are_noticed(models: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    mine = shutil.copytree(models["llama"], tmp_path / "base")
    original = local_models._load

    def slow(*given: Any) -> Any:
        loaded = original(*given)
        poison(mine)
        return loaded

    monkeypatch.setattr(local_models, "_load", slow)
    with pytest.raises(UserError, match="rewritten while they were read"):
        load_scorer(mine)


def test_an_encoder_that_loads_as_a_causal_model_is_refused(tmp_path: Path):
    make_directory(tmp_path, "bert")
    with pytest.raises(UserError, match=r"not a causal model|does not load it"):
        load_scorer(tmp_path)


def test_weights_that_are_not_all_there_are_refused_instead_of_random(models: dict[str, Path], tmp_path: Path):
    from safetensors.torch import load_file, save_file

    torn = shutil.copytree(models["gpt_neox"], tmp_path / "torn")
    tensors = load_file(torn / "model.safetensors")
    del tensors["gpt_neox.layers.1.mlp.dense_h_to_4h.weight"]
    save_file(tensors, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lack 1 tensors"):
        load_scorer(torn)
    (torn / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(UserError, match="does not load it"):
        load_scorer(torn)
    torch.save({}, torn / "pytorch_model.bin")
    (torn / "model.safetensors").unlink()
    with pytest.raises(UserError, match="opens no pickle"):
        load_scorer(torn)


def test_a_family_of_ours_with_a_switch_that_we_lack_goes_through_transformers(tmp_path: Path):
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = make_directory(tmp_path, "llama", rope_parameters=scaled)
    scorer = load_scorer(tmp_path)
    assert scorer.settings["kind"] == "transformers"
    [score] = scorer.loglikelihoods([REQUESTS[0]])
    assert score.logprob == pytest.approx(expected(model, scorer, REQUESTS[0])[0], abs=1e-4)


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own_kind"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_of_a_models_own_runs_only_with_leave(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    mine = shutil.copytree(models["llama"], tmp_path / "mine")
    values = read_json(mine / "config.json")
    owner = {"AutoConfig": "own_code.OwnConfig", "AutoModelForCausalLM": "own_code.OwnModel"}
    write_json(mine / "config.json", values | {"model_type": "own_kind", "auto_map": owner})
    (mine / "own_code.py").write_text(CODE)
    with pytest.raises(UserError, match="trust_remote_code=True"):
        load_scorer(mine)
    both = load_scorer(mine, trust_remote_code=True), load_scorer(models["llama"])
    [theirs], [ours] = (scorer.loglikelihoods(REQUESTS[:1]) for scorer in both)
    assert theirs.logprob == pytest.approx(ours.logprob, abs=1e-4)
    # Another code is another model.
    (mine / "own_code.py").write_text(CODE + "# changed\n")
    assert load_scorer(mine, trust_remote_code=True).settings["config_sha256"] != both[0].settings["config_sha256"]


def test_a_family_that_transformers_knows_needs_no_code_whatever_its_directory_brings(
    models: dict[str, Path], tmp_path: Path
):
    mine = shutil.copytree(models["gpt_neox"], tmp_path / "mine")
    owner = {"AutoConfig": "gone.OwnConfig", "AutoModelForCausalLM": "gone.OwnModel"}
    write_json(mine / "config.json", read_json(mine / "config.json") | {"auto_map": owner})
    assert load_scorer(mine).settings["kind"] == "transformers"


def test_settings_are_json_and_name_what_was_chosen(scorers: dict[str, TextScorer]):
    for family, scorer in scorers.items():
        found = json.loads(json.dumps(scorer.settings))
        assert found["dtype"] == "float32"
        assert (found["max_length"], found["prefix_id"], found["quantisation"]) == (WINDOW, 0, None)
        assert found["attention"] in ("sdpa", "eager")
        assert scorer.name.endswith(family)
        model = scorer.backend.decoder if family in OURS else scorer.backend.model
        assert scorer.parameters == sum(p.numel() for p in model.parameters())
    assert len({scorer.weights_sha256 for scorer in scorers.values()}) == 4


def test_a_run_means_its_newest_model(models: dict[str, Path], tmp_path: Path):
    shutil.copytree(models["llama"], tmp_path / "run" / "base")
    assert load_scorer(tmp_path / "run").weights_sha256 == load_scorer(models["llama"]).weights_sha256
    with pytest.raises(UserError, match="no such directory"):
        load_scorer(tmp_path / "rum")
    os.rename(tmp_path / "run" / "base" / "config.json", tmp_path / "run" / "base" / "adapter_config.json")
    with pytest.raises(UserError):
        load_scorer(tmp_path / "run" / "base")
