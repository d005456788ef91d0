"""The tokenizer stage: what it writes, what it refuses, and that it is deterministic."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smallm.core.config import Recipe, TokenizerConfig
from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.tokenizer.directory import load_tokenizer, tokenizer_sha256
from smallm.tokenizer.specials import RESERVED
from smallm.tokenizer.train import make_tokenizer


def retrain(source: Run, target: Path, **config) -> Run:
    """A run beside `source` with the same data and another tokenizer."""
    shutil.copytree(source.path / "data", target / "data")
    run = Run(target)
    make_tokenizer(Recipe(name="run", tokenizer=TokenizerConfig(**config)), run)
    return run


def test_the_report_holds_what_was_measured(run: Run):
    report = json.loads((run.path / "tokenizer" / "report.json").read_text())
    assert report["vocab_size"] == len(load_tokenizer(run.path / "tokenizer"))
    assert 0 < report["used_tokens"] <= report["vocab_size"]
    assert set(report["by_source"]) == {"code", "prose"}
    low, high = sorted(report["by_source"].values())
    assert 1 <= low <= report["bytes_per_token"] <= high
    assert report["sha256"] == tokenizer_sha256(run.path / "tokenizer")
    assert len(report["longest_tokens"]) == 20
    manifest = json.loads((run.path / "data" / "manifest.json").read_text())
    assert report["trained_on_bytes"] == manifest["splits"]["train"]["bytes"]


def test_the_reserved_specials_are_the_first_32_ids(runs: dict[str, Run]):
    for kind in ("bpe", "unigram"):
        tokenizer = load_tokenizer(runs[kind].path / "tokenizer")
        assert tokenizer.convert_ids_to_tokens(list(range(32))) == list(RESERVED)
        assert len(tokenizer) == 1000


def test_less_is_read_when_train_bytes_is_small(runs: dict[str, Run], tmp_path: Path):
    small = retrain(runs["bpe"], tmp_path / "run", vocab_size=400, train_bytes=40_000)
    report = json.loads((small.path / "tokenizer" / "report.json").read_text())
    assert 30_000 < report["trained_on_bytes"] < 50_000


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_larger_than_the_text_supports_is_refused_with_the_size_that_works(
    kind: str, tmp_path: Path, write_data
):
    write_data(tmp_path / "run", ["the cat sat on the mat. a dog ran.\n" * 3] * 40, ["the cat\n"] * 4)
    recipe = Recipe(name="run", tokenizer=TokenizerConfig(kind=kind, vocab_size=30_000))
    with pytest.raises(UserError, match=r"Set tokenizer.vocab_size to at most \d+") as error:
        make_tokenizer(recipe, Run(tmp_path / "run"))
    works = int(str(error.value).split("at most ")[1].split(",")[0])
    assert not (tmp_path / "run" / "tokenizer").exists()
    recipe = Recipe(name="run", tokenizer=TokenizerConfig(kind=kind, vocab_size=works))
    made = make_tokenizer(recipe, Run(tmp_path / "run"))
    assert len(load_tokenizer(made)) == works


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(kind: str, tmp_path: Path, write_data):
    write_data(tmp_path / "run", ["the cat sat on the mat\n"] * 40, ["the cat\n"] * 4)
    with pytest.raises(UserError, match="too small: 32 specials and 256 bytes"):
        make_tokenizer(Recipe(name="r", tokenizer=TokenizerConfig(kind=kind, vocab_size=100)), Run(tmp_path / "run"))


SCRIPT = """
import argparse, inspect, sys
from smallm.tokenizer.bpe import train_bpe
from smallm.tokenizer.unigram import train_unigram, to_tokenizers
texts = inspect.getsource(argparse).split("\\n\\n")
sys.stdout.write(train_bpe(iter(texts), 700).to_str())
sys.stdout.write(to_tokenizers(train_unigram(iter(texts), 600)).to_str())
"""


def test_threads_and_hash_seeds_leave_the_bytes_alone():
    outputs = set()
    for parallel, threads, seed in (("false", "1", "1"), ("true", "2", "2"), ("true", "5", "3")):
        env = os.environ | {
            "TOKENIZERS_PARALLELISM": parallel,
            "RAYON_NUM_THREADS": threads,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        outputs.add(subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, check=True).stdout)
    assert len(outputs) == 1


def test_training_twice_writes_the_same_files(runs: dict[str, Run], tmp_path: Path):
    for kind in ("bpe", "unigram"):
        again = retrain(runs[kind], tmp_path / kind, kind=kind, vocab_size=1000)
        for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"):
            first = runs[kind].path / "tokenizer" / name
            assert first.exists() == (again.path / "tokenizer" / name).exists()
            assert not first.exists() or first.read_bytes() == (again.path / "tokenizer" / name).read_bytes()


def test_an_existing_tokenizer_is_copied_and_its_opening_token_named(runs: dict[str, Run], tmp_path: Path, capsys):
    path = str(runs["bpe"].path / "tokenizer")
    copied = retrain(runs["bpe"], tmp_path / "run", path=path)
    assert tokenizer_sha256(copied.path / "tokenizer") == tokenizer_sha256(path)
    assert "<|endoftext|> opens every document" in capsys.readouterr().err


def test_a_path_that_is_no_tokenizer_is_refused(tmp_path: Path, write_data):
    write_data(tmp_path / "run", ["some text\n"], ["more\n"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").touch()
    for path, message in ((tmp_path / "nothing", "not a directory"), (tmp_path / "other", "no tokenizer.json")):
        with pytest.raises(UserError, match=message):
            make_tokenizer(Recipe(tokenizer=TokenizerConfig(path=str(path))), Run(tmp_path / "run"))


def test_a_tokenizer_without_bos_or_eos_is_refused(runs: dict[str, Run], tmp_path: Path, write_data):
    write_data(tmp_path / "run", ["some text\n"], ["more\n"])
    shutil.copytree(runs["bpe"].path / "tokenizer", tmp_path / "bare")
    (tmp_path / "bare" / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(UserError, match="neither bos_token nor eos_token"):
        make_tokenizer(Recipe(tokenizer=TokenizerConfig(path=str(tmp_path / "bare"))), Run(tmp_path / "run"))


def test_the_character_kind_has_every_character_of_the_train_split_and_says_no_gguf(runs, tmp_path, capsys):
    run = retrain(runs["char"], tmp_path / "run", kind="char", train_bytes=1000)
    assert tokenizer_sha256(run.path / "tokenizer") == tokenizer_sha256(runs["char"].path / "tokenizer")
    assert "no GGUF form" in capsys.readouterr().err
    vocabulary = load_tokenizer(run.path / "tokenizer").get_vocab()
    characters = sorted(vocabulary, key=vocabulary.__getitem__)
    assert characters[:3] == ["<|endoftext|>", "<|pad|>", "<|unk|>"]
    assert characters[3:] == sorted(characters[3:])
