"""General text: which one, always the same windows, scored as plain PyTorch scores it; a change of it is a new key."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finetune.fake_tuning import fake_tuning
from tiny_hf import plain, plain_score

from smallm.core.errors import UserError
from smallm.core.files import HashCache, read_json, write_json, write_text
from smallm.evaluate.results import read_items
from smallm.finetune.compare import compare_with_base
from smallm.finetune.compare_key import fingerprint
from smallm.finetune.forgetting import CHARACTERS, WINDOWS, general_text


def with_general(path: Path, text: str, name: str = "general.txt") -> Path:
    write_text(path / name, text)
    return path / name


def test_a_named_file_comes_first_then_the_runs_held_out_text_then_pythons_docs(tmp_path: Path):
    recipe, run = fake_tuning(tmp_path / "run", general=None)
    assert general_text(recipe, run.path).kind == "python-docs"
    table = pa.table({"id": ["a"], "text": ["a held out text about a cat"], "source": ["stories"]})
    (run.path / "data").mkdir()
    pq.write_table(table, run.path / "data" / "validation-00000-of-00001.parquet")
    write_json(run.path / "data" / "manifest.json", {})
    held = general_text(recipe, run.path)
    assert (held.kind, [i.prompt for i in held.task.items]) == ("held-out", ["a held out text about a cat"])
    named = with_general(tmp_path, "another text")
    recipe, run = fake_tuning(tmp_path / "run2", general=str(named))
    assert [i.prompt for i in general_text(recipe, run.path).task.items] == ["another text"]


def test_windows_are_few_short_the_same_each_time_and_of_one_cluster_a_document(tmp_path: Path):
    lines = [json.dumps({"text": f"document {i}. " + "the cat sat on the mat. " * 200}) for i in range(60)]
    named = with_general(tmp_path, "\n".join(lines), "texts.jsonl")
    recipe, run = fake_tuning(tmp_path / "run", general=str(named))
    first, second = general_text(recipe, run.path), general_text(recipe, run.path)
    assert first.task.items == second.task.items
    assert len(first.task.items) == WINDOWS
    assert all(len(i.prompt) <= CHARACTERS for i in first.task.items)
    assert first.documents == len({i.cluster for i in first.task.items}) > 20


def test_bits_are_the_models_own_on_the_plain_text_before_and_after(tmp_path: Path):
    named = with_general(tmp_path, "the cat sat on the mat and the dog ran to the river")
    recipe, run = fake_tuning(tmp_path / "run", general=str(named))
    out = compare_with_base(recipe, run)
    (file,) = out.glob("base-????????-german.json")
    (item,) = (r for r in read_items(file).to_pylist() if r["task"] == "general")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.path / "base")
    ids = tokenizer.encode(item["prompt"], add_special_tokens=False)
    wanted, _ = plain_score(plain(run.path / "base"), [0], ids)
    assert item["nats"] == pytest.approx(-wanted, abs=1e-3)
    verdict = read_json(out / "verdict.json")
    assert verdict["forgetting"]["text"]["windows"] == 1
    assert verdict["forgetting"]["verdict"] == "none seen"  # one document has no interval


def test_another_text_is_another_key(tmp_path: Path):
    named = with_general(tmp_path, "one text")
    recipe, run = fake_tuning(tmp_path / "run", general=str(named))
    first = fingerprint(recipe, HashCache(run.path / ".hashes.json"))
    with_general(tmp_path, "two texts")
    assert fingerprint(recipe, HashCache(run.path / ".hashes.json")) != first


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("gone.txt", None, "no such file"), ("e.txt", "  \n", "no text there"), ("x.jsonl", '{"a": 1}', "field `text`")],
)
def test_a_text_that_is_none_is_told(tmp_path: Path, name: str, text: str | None, message: str):
    if text is not None:
        with_general(tmp_path, text, name)
    recipe, run = fake_tuning(tmp_path / "run", general=str(tmp_path / name))
    with pytest.raises(UserError, match=message):
        general_text(recipe, run.path)
