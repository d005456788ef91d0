"""The cache law: altered weights, tokenizer, task or settings never hit; equal ones hit fully; torn files do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_scorer import FakeScorer
from hypothesis import given
from hypothesis import strategies as st

from smallm.evaluate.cache import CacheFile, ScoreCache, cache_key, prompt_key, request_key, text_key
from smallm.evaluate.requests import Request, Score
from smallm.evaluate.run_tasks import run_task
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import Task, read_task

ROWS = [{"q": f"number {i}", "c": ["one", "two"], "a": i % 2, "t": f"the text number {i}"} for i in range(12)]
KINDS = {
    "choice": "prompt: q\nchoices: c\nanswer: a\n",
    "continuation": "prompt: q\ncontinuation: t\n",
    "generate": "prompt: q\nanswer: t\n",
    "perplexity": "text: t\n",
}


def task(folder: Path, text: str = KINDS["choice"], rows: Any = ROWS) -> Task:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "t.yaml").write_text("task: t\ndata: d.jsonl\n" + text)
    return load_task(read_task(folder / "t.yaml"), [])


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_second_run_asks_the_model_nothing_and_gives_the_same(tmp_path: Path, kind: str):
    this = task(tmp_path, KINDS[kind])
    first, second = FakeScorer(), FakeScorer()
    before = run_task(this, first, ScoreCache(tmp_path / "cache"))
    after = run_task(this, second, ScoreCache(tmp_path / "cache"))
    assert first.calls == 1
    assert second.calls == 0
    assert (before.cached, after.cached) == (0, 12)
    assert before.records == after.records
    assert before.summary == after.summary


@pytest.mark.parametrize(
    "other",
    [
        {"weights": "c" * 64},
        {"tokenizer": "c" * 64},
        {"settings": {"dtype": "bfloat16"}},
        {"settings": {"dtype": "float32", "config_sha256": "x"}},
    ],
)
@pytest.mark.parametrize("kind", list(KINDS))
def test_altered_weights_tokenizer_or_settings_never_hit(tmp_path: Path, kind: str, other: dict[str, Any]):
    this = task(tmp_path, KINDS[kind])
    run_task(this, FakeScorer(), ScoreCache(tmp_path / "cache"))
    scorer = FakeScorer(**other)
    assert run_task(this, scorer, ScoreCache(tmp_path / "cache")).cached == 0
    assert scorer.asked


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [{**ROWS[0], "q": "another"}, *ROWS[1:]]},
        {"rows": [{**ROWS[0], "c": ["one", "three"]}, *ROWS[1:]]},
        {"rows": [{**ROWS[0], "a": 1}, *ROWS[1:]]},
        {"text": KINDS["choice"].replace("q", "'Q: {{q}}'")},
        {"text": KINDS["choice"] + "target_delimiter: ': '\n"},
        {"text": KINDS["choice"] + "shots: 1\n"},
        {"text": KINDS["choice"] + "chat: true\n"},
    ],
)
def test_an_altered_task_never_hits(tmp_path: Path, change: dict[str, Any]):
    run_task(task(tmp_path), FakeScorer(), ScoreCache(tmp_path / "cache"))
    scorer = FakeScorer()
    assert run_task(task(tmp_path, **change), scorer, ScoreCache(tmp_path / "cache")).cached == 0
    assert scorer.asked


def test_a_limited_run_serves_the_whole_one(tmp_path: Path):
    this = task(tmp_path)
    run_task(this.limited(5), FakeScorer(), ScoreCache(tmp_path / "cache"))
    scorer = FakeScorer()
    assert run_task(this, scorer, ScoreCache(tmp_path / "cache")).cached == 5
    assert len(scorer.asked) == 14  # seven items of two choices


def test_generations_of_other_limits_are_others(tmp_path: Path):
    assert len({prompt_key("p", ["\n"], 5), prompt_key("p", ["\n"], 6), prompt_key("p", [], 5)}) == 3
    assert text_key("p") != prompt_key("p", [], 5)


def test_a_model_whose_weights_cannot_be_known_is_never_cached_and_that_is_said_once(tmp_path: Path, capsys: Any):
    this, cache = task(tmp_path), ScoreCache(tmp_path / "cache")
    for _ in range(2):
        scorer = FakeScorer()
        scorer.weights_sha256 = None
        assert run_task(this, scorer, cache).cached == 0
        assert scorer.calls == 1
    assert not (tmp_path / "cache").exists()
    assert capsys.readouterr().err.count("not cached") == 1


@pytest.mark.parametrize("damage", ["torn", "foreign", "empty", "altered", "moved"])
def test_a_file_that_is_torn_or_not_ours_is_passed_over_with_a_warning_and_written_anew(
    tmp_path: Path, damage: str, capsys: Any
):
    import pyarrow as pa
    import pyarrow.parquet as pq

    this = task(tmp_path)
    good = run_task(this, FakeScorer(), ScoreCache(tmp_path / "cache"))
    (file,) = (tmp_path / "cache").rglob("*.parquet")
    whole = file.read_bytes()
    if damage == "torn":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        pq.write_table(pa.table({"x": [1]}), file)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "altered":
        table = pq.read_table(file)
        changed = pa.array([value + 1 for value in table["logprob"].to_pylist()])
        pq.write_table(table.set_column(1, "logprob", changed).replace_schema_metadata(table.schema.metadata), file)
    else:  # the scores of another model under this one's name
        other = tmp_path / "other"
        run_task(this, FakeScorer("d" * 64), ScoreCache(other))
        file.write_bytes(next(other.rglob("*.parquet")).read_bytes())
    scorer = FakeScorer()
    again = run_task(this, scorer, ScoreCache(tmp_path / "cache"))
    assert "not a file of scores" in capsys.readouterr().err
    assert again.cached == 0
    assert again.records == good.records
    assert run_task(this, FakeScorer(), ScoreCache(tmp_path / "cache")).cached == 12


def test_a_score_that_is_no_number_is_not_kept(tmp_path: Path):
    from smallm.core.errors import UserError

    this = task(tmp_path)
    with pytest.raises(UserError, match="the model's score is nan"):
        run_task(this, FakeScorer(score=lambda request: float("nan")), ScoreCache(tmp_path / "cache"))
    assert run_task(this, FakeScorer(), ScoreCache(tmp_path / "cache")).cached == 0


def test_what_another_process_added_meanwhile_is_kept(tmp_path: Path):
    one, two = (CacheFile(tmp_path / "k.parquet", "k") for _ in range(2))
    one.add({"a": Score(-1.0, True, 2, ("spans",))})
    one.save()
    two.add({"b": "text"})
    two.save()
    assert CacheFile(tmp_path / "k.parquet", "k").values == {"a": Score(-1.0, True, 2, ("spans",)), "b": "text"}


def test_a_directory_that_cannot_be_written_costs_the_cache_and_not_the_run(tmp_path: Path, capsys: Any):
    (tmp_path / "file").write_text("in the way")
    result = run_task(task(tmp_path), FakeScorer(), ScoreCache(tmp_path / "file" / "cache"))
    assert len(result.records) == 12
    assert "scores cannot be cached" in capsys.readouterr().err


@given(st.lists(st.text(max_size=4), min_size=4, max_size=4))
def test_requests_have_the_same_key_only_when_they_are_the_same(parts: list[str]):
    a, b = Request(parts[0], parts[1]), Request(parts[2], parts[3])
    assert (request_key(a) == request_key(b)) == (a == b)


def test_the_key_does_not_depend_on_the_order_of_settings():
    a, b = FakeScorer(settings={"x": 1, "y": 2}), FakeScorer(settings={"y": 2, "x": 1})
    assert cache_key(a, "v") == cache_key(b, "v") != cache_key(a, "w")
