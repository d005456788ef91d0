"""Laws of `smallm audit`: what is learned is marked, the counts are there, a fault ends it with exit code 2."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from finetune.chat_tokenizers import make_ours
from finetune.tiny_phi3 import make_phi3
from typer.testing import CliRunner

from smallm.cli import app
from smallm.commands.audit import GREEN, row_text, table
from smallm.finetune.audit import QUANTILES

RECIPE = """name: mine
data: {sources: [text.txt]}
model: {context: 128}
finetune:
  name: t
  max_length: 64
  test: 0.1
  data: [rows.jsonl]
"""


def row(question: str, answer: str) -> str:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


@pytest.fixture(scope="module")
def tokenizer_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ours")
    make_ours(directory)
    return directory


@pytest.fixture
def here(tokenizer_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, its rows, and a run that has a tokenizer and no model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tokenizer_directory, tmp_path / "runs" / "mine" / "tokenizer")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("A text.\n")
    (tmp_path / "rows.jsonl").write_text("".join(row(f"Question {i}", f"Answer {i}\nHo") for i in range(30)), "utf-8")
    return tmp_path


def call(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["audit", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_rows_are_shown_with_what_is_learned_between_brackets_and_the_counts_after_them(here: Path):
    code, out, said = call("mine.yaml", "--rows", "2")
    assert code == 0
    assert out.count("row ") == 2
    shown = re.search(
        r"<\|endoftext\|><\|user\|>⏎\nQuestion (\d+)<\|end\|>⏎\n<\|assistant\|>⏎\n(⟦.*?⟧)⏎", out, re.DOTALL
    )
    assert shown
    assert shown[2] == f"⟦Answer {shown[1]}⏎\nHo<|end|>⟧"
    assert out.count("⟦") == out.count("⟧") == 2
    assert re.search(r"^examples +2\d +1 +3$", out, re.MULTILINE)
    assert re.search(r"^share trained +\d+\.\d % ", out, re.MULTILINE)
    assert "BOS: 1 in 30 rows" in out
    assert "last learned tokens: <|end|> 30; generation stops at <|end|>, <|endoftext|>" in out
    assert "No fault found: what is trained is what is marked." in said
    assert max(map(len, out.splitlines())) <= 100
    assert not (here / "runs" / "mine" / "tokens").exists()


def test_json_is_the_audit_alone_and_rows_may_be_none(here: Path):
    code, out, _ = call("mine.yaml", "--rows", "0", "--json")
    found = json.loads(out)
    assert (code, found["format"], found["failed"], found["rows"]) == (0, "smallm-audit-1", 0, [])
    assert found["splits"]["train"]["examples"] + found["splits"]["validation"]["examples"] == 27


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_a_fault_ends_with_exit_code_2_after_what_could_be_shown(here: Path, json_flag: tuple[str, ...]):
    with open(here / "rows.jsonl", "a", encoding="utf-8") as f:
        f.write(row("Hi", "\n\n\nHo"))
        f.write(row("word " * 60, "Ho"))
    code, out, said = call("mine.yaml", *json_flag)
    assert code == 2
    assert "rows.jsonl:31: the prompt's tokens are not the beginning of the row's" in said
    assert re.search(r"rows\.jsonl:32: \d+ tokens, and finetune.max_length is 64", said)
    assert "No fault found" not in said
    assert (json.loads(out)["failed"] == 2) if json_flag else "⟦" in out
    code, out, said = call("mine.yaml", "--set", "finetune.too_long=drop", *json_flag)
    assert code == 2  # the other row is still wrong
    assert "warning: 1 examples over finetune.max_length (64 tokens) were left out" in said


def test_a_base_that_is_not_made_yet_and_a_recipe_without_examples_are_told_what_to_do(here: Path):
    shutil.rmtree(here / "runs")
    code, _, said = call("mine.yaml")
    assert code == 2
    assert "smallm run RECIPE --run runs/mine --only data --only tokenizer" in said.replace("\n", " ")
    code, _, said = call("mine.yaml", "--set", "finetune.data=[]")
    assert code == 2
    assert "finetune.data is empty, so there is nothing to audit" in said


def test_phi_s_swallowed_newlines_are_not_shown_since_no_token_holds_them(here: Path):
    make_phi3(here / "phi")
    code, out, _ = call("mine.yaml", "--rows", "1", "--set", "finetune.model=phi", "--set", "data.sources=[]")
    assert code == 0
    assert re.search(r"<\|user\|> Question \d+<\|end\|><\|assistant\|>⟦ Answer \d+⏎\nHo<\|end\|><\|endoftext\|>⟧", out)
    assert "generation stops at <|end|>, <|endoftext|>" in out
    assert "BOS: 0 in 30 rows" in out


PIECES = [
    ["<|user|>", False, True],
    ["\nHi" + "x" * 1000, False, False],
    ["Ho\x1b[31m\n", True, False],
    ["<|end|>", True, True],
]


def test_on_a_terminal_colour_marks_what_is_learned_and_no_control_character_of_the_data_gets_through():
    shown: dict[str, Any] = {"id": "ab", "source": "s", "tokens": 9, "trained": 2, "pieces": PIECES}
    coloured, plain = (row_text(shown, 1, 1, colour=colour) for colour in (True, False))
    assert f"{GREEN}Ho␛[31m⏎\x1b[0m\n{GREEN}<|end|>\x1b[0m" in coloured
    assert "⟦" not in coloured
    assert plain.endswith("⟦Ho␛[31m⏎\n<|end|>⟧")
    assert "\x1b" not in plain
    assert "… 403 characters …" in plain  # of what is not learned, the middle is left out


def test_sets_labels_and_odd_rows_have_their_lines_where_there_are_any():
    one: dict[str, Any] = {
        "examples": 1200, "tokens": 5000, "trained_tokens": 1000, "trained_share": 0.2, "answers": 1200,
        "lengths": dict.fromkeys(QUANTILES, 7), "dropped": 3, "cut": 0, "with_typed_specials": 0,
        "sources": {s: {"examples": 600, "tokens": 2500, "trained_tokens": 500, "dropped": 0} for s in "ab"},
        "labels": {f"l{i}": 20 - i for i in range(20)},
    }  # fmt: skip
    none = one | {"examples": 0, "trained_share": None, "lengths": dict.fromkeys(QUANTILES), "dropped": 0}
    template = {"sha256": "ab" * 32, "first_tokens": {}, "last_trained_tokens": {}, "bos_per_row": {}, "end_tokens": []}
    figures = {
        "splits": {"train": one, "validation": none, "test": none}, "max_length": 64, "train_on": "all",
        "template": template, "data": {"duplicates": {"dropped": {"stands twice in train": 4}}},
    }  # fmt: skip
    shown = table(figures)
    assert re.search(r"^too long, left out +3 +0 +0$", shown, re.MULTILINE)
    assert "too long, cut" not in shown
    assert re.search(r"^a +600 +2,500 +20\.0 %$", shown, re.MULTILINE)
    assert "20 labels in train: l0 20, l1 19" in shown
    assert "4 stands twice in train" in shown
    assert re.search(r"^share trained +20\.0 % +– +–$", shown, re.MULTILINE)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
@pytest.mark.slow
def test_on_a_pseudo_terminal_it_is_coloured(here: Path):
    import os
    import pty

    written = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 4096)
        written.extend(data)
        return data

    environment = {"NO_COLOR": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    code = pty.spawn(["env", *(f"{k}={v}" for k, v in environment.items()), sys.executable, "-m", "smallm.cli", "audit",
                      "mine.yaml", "--rows", "1"], read)  # fmt: skip
    assert code == 0
    assert GREEN.encode() in written
    assert "⟦".encode() not in written
