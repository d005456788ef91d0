"""A tokenizer directory opens in AutoTokenizer with the ids of tokenizer.json, alone or beside a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.tokenizer.directory import bos_id, load_tokenizer


def test_auto_tokenizer_gives_the_ids_of_the_file(run: Run, nasty: list[str]):
    directory = run.path / "tokenizer"
    file = Tokenizer.from_file(str(directory / "tokenizer.json"))
    auto = load_tokenizer(directory)
    assert auto(nasty)["input_ids"] == [file.encode(text).ids for text in nasty]


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2", "mistral"])
def test_a_model_configuration_beside_it_changes_no_id(run: Run, nasty: list[str], family: str, tmp_path: Path):
    shutil.copytree(run.path / "tokenizer", tmp_path / "base")
    alone = load_tokenizer(run.path / "tokenizer")
    (tmp_path / "base" / "config.json").write_text(json.dumps({"model_type": family, "transformers_version": "5.17.0"}))
    beside = load_tokenizer(tmp_path / "base")
    assert beside(nasty)["input_ids"] == alone(nasty)["input_ids"]
    assert beside.backend_tokenizer.to_str() == alone.backend_tokenizer.to_str()


def test_saving_and_loading_again_changes_no_id(run: Run, nasty: list[str], tmp_path: Path):
    tokenizer = load_tokenizer(run.path / "tokenizer")
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again(nasty)["input_ids"] == tokenizer(nasty)["input_ids"]
    assert again.chat_template == tokenizer.chat_template


def test_encoding_adds_no_special_and_bos_eos_pad_are_named(run: Run):
    tokenizer = load_tokenizer(run.path / "tokenizer")
    assert 0 not in tokenizer("hello")["input_ids"]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|endoftext|>",
        "<|endoftext|>",
        "<|pad|>",
    )
    assert bos_id(tokenizer) == tokenizer.eos_token_id == 0
    assert tokenizer.pad_token_id == 1
    assert tokenizer("<|endoftext|>")["input_ids"] == [0]
    assert 0 not in tokenizer("<|endoftext|>", split_special_tokens=True)["input_ids"]


@pytest.mark.slow
def test_loading_says_nothing(runs: dict[str, Run]):
    """No warning, no log line: a reader of the model sees a clean load."""
    paths = [str(run.path / "tokenizer") for run in runs.values()]
    script = f"from transformers import AutoTokenizer as A; [A.from_pretrained(path) for path in {paths!r}]"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
