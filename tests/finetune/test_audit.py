"""Laws of the audit: what it counts is what is there, and one broken law stops the run with every row's place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from finetune.chat_tokenizers import MAKERS

from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.finetune.audit import KEPT_FAILURES, Audit, audit
from smallm.finetune.examples import Example, example
from smallm.finetune.render import Renderer
from smallm.tokenizer.directory import load_tokenizer


@dataclass(frozen=True)
class Sets:
    """As sets.py gives them."""

    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = {}
    for kind in ("ours", "phi3", "chatml"):
        directory = tmp_path_factory.mktemp(kind)
        MAKERS[kind](directory)
        found[kind] = load_tokenizer(directory)
    return found


def one(question: str, answer: str, place: str = "x.jsonl:1", source: str = "s", **fields: Any) -> Example:
    return example([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], source, place,
                   fields=fields)  # fmt: skip


def sets(count: int = 6) -> Sets:
    made = [one(f"Question {i}", f"Answer {i}", f"x.jsonl:{i}", "ab"[i % 2], label=f"l{i % 3}") for i in range(count)]
    return Sets(made[:-2], made[-2:-1], made[-1:], {"read": count}, ("l0", "l1", "l2"))


def run(given: Sets, tokenizer: Any, **options: Any) -> Audit:
    tune = FinetuneConfig(**({"max_length": 200} | options))
    return audit(given, Renderer(tokenizer, train_on=tune.train_on, system=tune.system), tune)


def test_the_figures_are_those_of_the_rows(tokenizers: dict[str, Any]):
    given = sets(12)
    done = run(given, tokenizers["ours"])
    renderer = Renderer(tokenizers["ours"])
    for split in ("train", "validation", "test"):
        rows = [renderer.row(x.messages) for x in getattr(given, split)]
        found = done.figures["splits"][split]
        assert found["examples"] == len(rows)
        assert found["tokens"] == sum(len(row.ids) for row in rows)
        assert found["trained_tokens"] == sum(row.trained for row in rows)
        assert found["answers"] == len(rows)
        assert found["bytes"] == sum(len(x.answer.encode()) for x in getattr(given, split))
        assert found["lengths"]["longest"] == max(len(row.ids) for row in rows)
        assert sum(s["tokens"] for s in found["sources"].values()) == found["tokens"]
        assert [row.ids.tolist() for row in done.rows[split]] == [row.ids for row in rows]
        assert [row.mask.tolist() for row in done.rows[split]] == [row.mask for row in rows]
    assert done.figures["splits"]["train"]["labels"] == {"l0": 4, "l1": 3, "l2": 3}
    assert done.figures["template"]["bos_per_row"] == {"1": 12}
    assert done.figures["template"]["last_trained_tokens"] == {"<|end|>": 12}
    assert done.figures["data"] == {"read": 12}
    assert not done.failed
    done.raise_failures()


def test_rows_shown_come_from_every_set_and_join_to_their_text(tokenizers: dict[str, Any]):
    for kind in ("ours", "phi3"):
        done = run(sets(40), tokenizers[kind])
        assert len(done.shown) == 5
        assert {row["source"] for row in done.shown} == {"a", "b"}
        by_id = {row.example.id: row for row in done.rows["train"]}
        for shown in done.shown:
            row = by_id[shown["id"]]
            assert "".join(text for text, _, _ in shown["pieces"]) == tokenizers[kind].decode(row.ids.tolist())
            assert row.example.answer in "".join(text for text, learned, _ in shown["pieces"] if learned)
            assert not any("Question" in text for text, learned, _ in shown["pieces"] if learned)


def test_dropped_and_cut_rows_are_counted_and_said(tokenizers: dict[str, Any]):
    given = sets(8)
    long = one("word " * 80, "Answer", "x.jsonl:99", "b")
    given = replace(given, train=[*given.train, long])
    dropped = run(given, tokenizers["ours"], max_length=60, too_long="drop")
    assert dropped.figures["splits"]["train"]["dropped"] == 1
    assert dropped.figures["splits"]["train"]["sources"]["b"]["dropped"] == 1
    assert dropped.notes == ["1 examples over finetune.max_length (60 tokens) were left out"]
    cut = run(given, tokenizers["ours"], max_length=60, too_long="truncate")
    assert cut.figures["splits"]["train"]["cut"] == 1
    assert cut.figures["splits"]["train"]["characters_gone"] > 200
    assert cut.notes == ["1 examples over 60 tokens lost the beginning of their prompt"]
    assert max(len(row.ids) for row in cut.rows["train"]) <= 60
    with pytest.raises(UserError, match=r"x\.jsonl:99: \d+ tokens, and finetune.max_length is 60"):
        run(given, tokenizers["ours"], max_length=60).raise_failures()


def test_every_broken_row_is_named_up_to_a_number_and_all_are_counted(tokenizers: dict[str, Any]):
    broken = [one(f"Q{i}", "\n\n\nx", f"x.jsonl:{i}") for i in range(KEPT_FAILURES + 3)]
    done = run(Sets([*broken, one("Hi", "Ho")]), tokenizers["ours"])
    assert done.failed == KEPT_FAILURES + 3
    with pytest.raises(UserError) as caught:
        done.raise_failures()
    lines = str(caught.value).split("\n")
    assert [line.split(":")[1] for line in lines[:-1]] == [str(i) for i in range(KEPT_FAILURES)]
    assert lines[-1] == "… and 3 more."


def test_a_template_that_fails_for_all_is_said_once_and_at_once(tokenizers: dict[str, Any], tmp_path: Path):
    tokenizers["chatml"].save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.chat_template = "{{ nothing.there }}"
    with pytest.raises(UserError, match=r"the chat template of .* fails \('nothing' is undefined\)"):
        run(sets(), tokenizer)


def test_a_prompt_that_is_learned_and_asked_is_a_failure(tokenizers: dict[str, Any]):
    given = sets()
    leak = one("Question 5", "Another answer", "y.jsonl:7")
    with pytest.raises(
        UserError, match=r"y\.jsonl:7: the same prompt is learned here and asked in the test \(x\.jsonl:5"
    ):
        run(replace(given, train=[*given.train, leak]), tokenizers["ours"]).raise_failures()


def test_nothing_left_to_learn_is_a_failure(tokenizers: dict[str, Any]):
    with pytest.raises(UserError, match=r"no example is left to learn \(4 over finetune.max_length were dropped\)"):
        run(sets(), tokenizers["ours"], max_length=8, too_long="drop").raise_failures()
    with pytest.raises(UserError, match="no example to learn"):
        run(Sets(), tokenizers["ours"]).raise_failures()


def test_typed_specials_and_dates_are_said(tokenizers: dict[str, Any], tmp_path: Path):
    given = replace(sets(), train=[one("What is <|end|>?", "An end.")])
    done = run(given, tokenizers["phi3"])
    assert done.figures["splits"]["train"]["with_typed_specials"] == 1
    assert done.notes[0].startswith("1 examples hold names of special tokens; they are text here")
    tokenizers["chatml"].save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.chat_template = "{{ strftime_now('%d') }}" + tokenizer.chat_template
    assert "today's date" in run(sets(), tokenizer).notes[-1]


def test_bytes_are_those_of_what_is_learned(tokenizers: dict[str, Any]):
    messages = [{"role": r, "content": c} for r, c in
                (("user", "ä"), ("assistant", "bb"), ("user", "c"), ("assistant", "dddd"))]  # fmt: skip
    given = Sets([example(messages, "s", "x:1")])  # type: ignore[arg-type]
    sizes = {how: run(given, tokenizers["ours"], train_on=how).rows["train"][0].bytes
             for how in ("answers", "last-answer", "all")}  # fmt: skip
    assert sizes == {"answers": 6, "last-answer": 4, "all": 9}
