"""Laws of result files: they follow the run's schema, carry lm-eval's keys, are whole or absent, read back equal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_scorer import FakeScorer

from smallm.core.errors import UserError
from smallm.core.formats import validate
from smallm.evaluate.contamination import Contamination
from smallm.evaluate.results import ModelFacts, model_tag, read_items, read_result, write_result
from smallm.evaluate.run_tasks import TaskResult, run_task
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import read_task

FACTS = ModelFacts("runs/x/base", "runs/x/base", "ab" * 32, "cd" * 32, 1000, {"dtype": "float32"})
TASKS = {
    "choose": "prompt: q\nchoices: c\nanswer: a\nsource: s\n",
    "context": "contexts: c\ncontinuation: '{{q}}'\nanswer: a\n",
    "follow": "prompt: q\ncontinuation: t\n",
    "write": "prompt: q\nanswer: t\nmetrics: [chrf, bleu, exact_match]\n",
    "whole": "text: t\nsource: s\n",
}


def results(folder: Path, **options: Any) -> list[TaskResult]:
    rows = [{"q": f"q {i}", "c": ["one", "two"], "a": i % 2, "t": f"text {i} über", "s": "ab"[i % 2]} for i in range(8)]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = []
    for name, text in TASKS.items():
        (folder / "t.yaml").write_text(f"task: {name}\ndata: d.jsonl\n{text}")
        found.append(run_task(load_task(read_task(folder / "t.yaml"), []), FakeScorer(), **options))
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "eval").mkdir(parents=True)
    return tmp_path / "run"


def test_a_result_follows_the_schema_of_a_run(tmp_path: Path, run: Path):
    path = write_result(run / "eval", "base", "mine", FACTS, results(tmp_path))
    assert path.name == "base-abababab-mine.json"
    validate(path, run)
    validate(run / "eval" / "base-abababab-mine.items.parquet", run)


def test_what_is_written_reads_back_equal(tmp_path: Path, run: Path):
    found = results(tmp_path, contamination=Contamination([]))
    path = write_result(run / "eval", "base", "mine", FACTS, found, limit=8, skipped=[{"task": "z", "why": "no"}])
    result = read_result(path)
    assert result["model"]["settings"] == {"dtype": "float32"}
    assert (result["suite"], result["limit"], result["skipped"]) == ("mine", 8, [{"task": "z", "why": "no"}])
    rows = read_items(path, result).to_pylist()
    assert len(rows) == 40
    for task in found:
        name, info = task.task.name, result["tasks"][task.task.name]
        assert info["metrics"] == task.summary.metrics
        mine = [row for row in rows if row["task"] == name]
        assert [row["item"] for row in mine] == [record.item.id for record in task.records]
        assert [row["logprobs"] for row in mine] == [list(record.logprobs) for record in task.records]
        assert {row["contaminated"] for row in mine} == {False}


def test_a_figure_is_its_items_scores_over_their_weights(tmp_path: Path, run: Path):
    found = results(tmp_path)
    path = write_result(run / "eval", "base", "mine", FACTS, found)
    result, rows = read_result(path), read_items(path).to_pylist()
    for name in ("choose", "context", "follow", "whole"):
        mine = [row for row in rows if row["task"] == name]
        primary = result["tasks"][name]["primary"]
        assert {row["metric"] for row in mine} == {primary}
        value = sum(row["score"] for row in mine) / sum(row["weight"] for row in mine)
        assert value == pytest.approx(result["tasks"][name]["metrics"][primary]["value"])


def test_items_of_contexts_show_whole_sentences(tmp_path: Path, run: Path):
    path = write_result(run / "eval", "base", "mine", FACTS, results(tmp_path))
    row = next(row for row in read_items(path).to_pylist() if row["task"] == "context")
    assert row["choices"] == ["one q 0", "two q 0"]
    assert row["answer"] == ["one q 0"]
    assert row["prediction"] in row["choices"]


def test_further_figures_are_columns_that_are_null_where_a_task_has_none(tmp_path: Path, run: Path):
    path = write_result(run / "eval", "base", "mine", FACTS, results(tmp_path))
    rows = {row["task"]: row for row in read_items(path).to_pylist()}
    assert rows["whole"]["bytes"] == len("text 7 über".encode())
    assert rows["whole"]["acc"] is None
    assert rows["whole"]["correct"] is None
    assert rows["choose"]["acc_norm"] in (0.0, 1.0)
    assert rows["choose"]["nats"] is None
    assert 0 <= rows["write"]["chrf"] <= 100


def test_lm_evals_keys_stand_beside_ours(tmp_path: Path, run: Path):
    result = read_result(write_result(run / "eval", "base", "mine", FACTS, results(tmp_path), limit=3))
    metric = result["tasks"]["choose"]["metrics"]["acc"]
    row = result["results"]["choose"]
    assert row["alias"] == "choose"
    assert (row["acc,none"], row["acc_stderr,none"]) == (metric["value"], metric["standard_error"])
    assert result["higher_is_better"]["follow"] == {"acc": True, "perplexity": False}
    assert result["n-samples"]["choose"] == {"original": 8, "effective": 8}
    assert result["n-shot"]["choose"] == 0
    assert result["versions"]["choose"] == result["tasks"]["choose"]["version"]
    assert result["configs"]["choose"]["choices"] == "c"
    assert result["config"]["limit"] == 3
    assert result["lm_eval_version"] is None


@pytest.mark.filterwarnings("ignore")
def test_lm_evals_own_table_is_made_of_our_file(tmp_path: Path, run: Path):
    from lm_eval.utils import make_table

    result = read_result(write_result(run / "eval", "base", "mine", FACTS, results(tmp_path)))
    table = make_table(result)
    assert "|choose " in table
    assert "acc_norm" in table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"format": "other"}', "not a result of smallm"),
        ("[]", "not a result of smallm"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, content: str | None, message: str):
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_result(tmp_path / "r.json")


def test_items_that_are_missing_or_of_another_run_are_refused(tmp_path: Path, run: Path):
    found = results(tmp_path)
    path = write_result(run / "eval", "base", "mine", FACTS, found)
    old = path.read_text()
    write_result(run / "eval", "base", "mine", FACTS, found[:2])
    path.write_text(old)  # the new items beside the old figures: an interrupted write
    with pytest.raises(UserError, match="belongs to another run"):
        read_items(path)
    (run / "eval" / "base-abababab-mine.items.parquet").unlink()
    with pytest.raises(UserError, match="are not there"):
        read_items(path)


def test_nothing_half_written_is_left_when_the_disk_is_full(tmp_path: Path, run: Path, monkeypatch: Any):
    found = results(tmp_path)
    monkeypatch.setattr("smallm.core.files.os.replace", lambda a, b: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OSError, match="no space"):
        write_result(run / "eval", "base", "mine", FACTS, found)
    assert list((run / "eval").iterdir()) == []


def test_a_file_is_named_by_model_weights_and_suite(tmp_path: Path):
    base = tmp_path / "runs" / "x" / "base"
    base.mkdir(parents=True)
    assert model_tag("runs/x", base) == "base"
    assert model_tag("runs/x", base, quantised="4bit") == "base-4bit"
    assert model_tag("http://host:8000/v1", None) == "host-8000-v1"
    server = replace(FACTS, name="http://host:8000/v1", weights_sha256=None)
    assert len(server.hash8) == 8
    assert server.hash8 != replace(server, name="http://host:9000/v1").hash8
    assert FACTS.hash8 == "abababab"
