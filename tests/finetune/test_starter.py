"""`smallm new --for finetune`: the recipe that it writes loads, reads the folder's sets, and says what is odd there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smallm.commands.new import new_command
from smallm.core.errors import UserError
from smallm.core.recipe import load_recipe
from smallm.finetune.sets import load_examples
from smallm.finetune.starter import inspect_examples

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b<|im_end|>"}]


def write(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")


def examples_of(recipe: Path) -> Any:
    loaded = load_recipe(recipe).finetune
    return loaded, load_examples(loaded, 0, quiet=True)


def test_conversations_become_a_recipe_that_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"messages": [{"role": "user", "content": f"question {i}"}, TURNS[1]]} for i in range(120)]
    write(tmp_path / "d" / "chat.jsonl", [*records, records[0]])
    (tmp_path / "d" / "README.md").write_text("about")
    new_command(tmp_path / "d", "mine", "finetune")
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "d" / "mine.yaml")
    assert "chat.jsonl: 121 records, format messages, task instruct" in said.err
    assert "odd: chat.jsonl: 121 times: end token of another model taken off an answer: <|im_end|>" in said.err
    assert "odd: chat.jsonl: 1 of 121 examples stand twice" in said.err
    assert "odd: files without records are left out: 1 .md" in said.err
    tune, sets = examples_of(tmp_path / "d" / "mine.yaml")
    assert (tune.task, tune.max_length, tune.data[0].format) == ("instruct", 256, "messages")
    assert len(sets.train) + len(sets.validation) + len(sets.test) == 120


def test_labelled_columns_become_a_classification_and_a_files_name_its_split(tmp_path: Path) -> None:
    rows = [f"headline {i},{'up' if i % 2 else 'down'}" for i in range(150)]
    for name, part in (("train.csv", rows[:120]), ("my-test.csv", rows[120:])):
        (tmp_path / name).write_text("\n".join(["text,label", *part]) + "\n")
    new_command(tmp_path, "mine", "finetune")
    tune, sets = examples_of(tmp_path / "mine.yaml")
    assert (tune.task, sets.labels) == ("classification", ("down", "up"))
    assert {one.source for one in sets.test} == {"my-test"}
    assert len(sets.test) == 30


def test_what_cannot_be_learned_from_is_left_out_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path / "good.jsonl", [{"question": f"q {i}", "answer": "a"} for i in range(3)])
    write(tmp_path / "bad.jsonl", [{"question": "q", "answer": "a"}, {"question": "q", "answer": ""}])
    write(tmp_path / "odd.jsonl", [{"x": 1}])
    (tmp_path / "cut.json").write_text('{"question": "q"')
    found = inspect_examples(tmp_path)
    assert [(one.path, one.task) for one in found.sets] == [("good.jsonl", "qa")]
    said = "\n".join(found.odd)
    assert "bad.jsonl is left out: bad.jsonl:2: field `answer` is empty" in said
    assert "odd.jsonl is left out: odd.jsonl: no format fits" in said
    assert "cut.json is left out: cut.json:1: not JSON" in said
    assert "only 3 records" in said
    (tmp_path / "good.jsonl").unlink()
    with pytest.raises(UserError, match="no file here can be learned from"):
        inspect_examples(tmp_path)


def test_a_purpose_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--for dance: say `pretrain`"):
        new_command(tmp_path, None, "dance")


def test_the_longest_example_fits_a_row(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"prompt": "word " * 500, "completion": "x"}])
    assert inspect_examples(tmp_path).max_length == 1024
    write(tmp_path / "a.jsonl", [{"prompt": "word " * 50_000, "completion": "x"}])
    assert inspect_examples(tmp_path).max_length == 4096
