"""Laws of running a task: lm-eval's requests and rules, figures equal to their definitions, odd scores refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_scorer import FakeScorer

from smallm.core.errors import UserError
from smallm.evaluate.contamination import Contamination
from smallm.evaluate.requests import Request
from smallm.evaluate.run_suite import load_tasks, run_suite
from smallm.evaluate.run_tasks import TaskResult, requests_of, run_task
from smallm.evaluate.suites import load_suite
from smallm.evaluate.summary import calibration
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import Task, read_task

CHOICE = 'prompt: "{{q}}\\nAnswer:"\nchoices: c\nanswer: a\n'


def task(folder: Path, text: str, rows: list[dict[str, Any]]) -> Task:
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "t.yaml").write_text("task: t\ndata: d.jsonl\n" + text)
    return load_task(read_task(folder / "t.yaml"), [])


def run(folder: Path, text: str, rows: list[dict[str, Any]], scorer: Any = None, **options: Any) -> TaskResult:
    return run_task(task(folder, text, rows), scorer or FakeScorer(), **options)


def choices(n: int = 40) -> list[dict[str, Any]]:
    return [{"q": f"q{i}", "c": ["a bit", "longer words", "x"][: 2 + i % 2], "a": i % 2, "p": i // 4} for i in range(n)]


def test_requests_are_lm_evals(tmp_path: Path):
    rows = choices(1)
    this = task(tmp_path, CHOICE, rows)
    assert requests_of(this, FakeScorer()) == [
        [Request("q0\nAnswer:", " a bit"), Request("q0\nAnswer:", " longer words")]
    ]
    pairs = task(tmp_path, "choices: ['{{q}}', '{{c[0]}}']\nanswer: 0\n", rows)
    assert requests_of(pairs, FakeScorer()) == [[Request("", " q0"), Request("", " a bit")]]
    contexts = task(tmp_path, "contexts: c\ncontinuation: '{{q}}'\nanswer: a\n", rows)
    assert requests_of(contexts, FakeScorer()) == [[Request("a bit", " q0"), Request("longer words", " q0")]]


def test_examples_stand_before_the_prompt_as_lm_eval_puts_them(tmp_path: Path):
    text = CHOICE + 'shots: 2\ndescription: "Choose.\\n\\n"\ntrain: t.jsonl\n'
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"q": q, "c": ["u", "v"], "a": 1}) + "\n" for q in "xyz"))
    (request, _), *_ = requests_of(task(tmp_path, text, choices(3)), FakeScorer())
    assert request.context == "Choose.\n\nx\nAnswer: v\n\ny\nAnswer: v\n\nq0\nAnswer:"
    assert request.continuation == " a bit"


def test_a_chat_task_is_rendered_by_the_template_with_nothing_between(tmp_path: Path):
    text = CHOICE + "shots: 1\ndescription: Choose.\ntrain: t.jsonl\nchat: true\n"
    (tmp_path / "t.jsonl").write_text(json.dumps({"q": "x", "c": ["u", "v"], "a": 1}) + "\n")
    (request, _), *_ = requests_of(task(tmp_path, text, choices(3)), FakeScorer())
    assert request.context == (
        "<system>Choose.</system><user>x\nAnswer:</user><assistant>v</assistant><user>q0\nAnswer:</user><assistant>"
    )
    assert request.continuation == "a bit"


def test_accuracy_is_the_argmax_and_its_norm_is_by_character(tmp_path: Path):
    scores = {" a bit": -5.0, " longer words": -6.0, " x": -2.0}  # a character: -1, -0.5, -2
    rows = [{"q": "q", "c": ["a bit", "longer words", "x"], "a": 1}]
    result = run(tmp_path, CHOICE + "metrics: [acc, acc_norm, acc_bytes, brier]\n", rows,
                 FakeScorer(score=lambda r: scores[r.continuation]))  # fmt: skip
    (record,) = result.records
    assert record.prediction == "x"
    assert (record.values["acc"], record.values["acc_norm"], record.correct) == (0.0, 1.0, False)
    weights = np.exp([-5.0, -6.0, -2.0])
    p = weights / weights.sum()
    assert record.probability == pytest.approx(p[2])
    assert record.values["brier"] == pytest.approx(p[0] ** 2 + (p[1] - 1) ** 2 + p[2] ** 2)


def test_the_first_of_equal_choices_counts_as_in_lm_eval(tmp_path: Path):
    rows = [{"q": "q", "c": ["u", "v"], "a": gold} for gold in (0, 1)]
    result = run(tmp_path, CHOICE, rows, FakeScorer(score=lambda r: -1.0))
    assert [record.correct for record in result.records] == [True, False]


def test_choices_have_chance_beside_them_and_others_have_not(tmp_path: Path):
    result = run(tmp_path, CHOICE, choices())
    figure = result.summary.metrics["acc"]
    assert figure["chance"] == pytest.approx(np.mean([1 / (2 + i % 2) for i in range(40)]))
    assert figure["at_chance"] == (figure["chance_low"] <= figure["value"] <= figure["chance_high"])
    words = run(tmp_path, "prompt: q\ncontinuation: q\n", choices()).summary.metrics
    assert {name: f["chance"] for name, f in words.items()} == {"acc": None, "perplexity": None}


def test_perplexity_of_a_target_is_lm_evals_exp_of_the_mean(tmp_path: Path):
    from lm_eval.api.metrics import perplexity

    result = run(tmp_path, "prompt: q\ncontinuation: '{{c[1]}}'\n", choices())
    logprobs = [record.logprobs[0] for record in result.records]
    assert result.summary.metrics["perplexity"]["value"] == pytest.approx(perplexity(logprobs))
    assert result.summary.metrics["acc"]["value"] == np.mean([record.correct for record in result.records])


def test_bits_per_byte_is_the_ratio_of_sums_over_documents(tmp_path: Path):
    rows = [{"t": "word " * (i + 1) + "über", "s": "ab"[i % 2]} for i in range(10)]
    result = run(tmp_path, "text: t\nsource: s\nmetrics: [bits_per_byte, word_perplexity, token_perplexity]\n", rows)
    nats = sum(-record.logprobs[0] for record in result.records)
    metrics = result.summary.metrics
    assert metrics["bits_per_byte"]["value"] == pytest.approx(
        nats / math.log(2) / sum(len(row["t"].encode()) for row in rows)
    )
    assert metrics["word_perplexity"]["value"] == pytest.approx(
        math.exp(nats / sum(len(row["t"].split()) for row in rows))
    )
    assert metrics["bits_per_byte"]["standard_error"] > 0
    assert set(result.summary.sources) == {"a", "b"}
    assert result.summary.sources["a"]["bits_per_byte"]["items"] == 5


def test_items_of_a_cluster_widen_the_interval(tmp_path: Path):
    def by_passage(request: Request) -> float:
        passage = int(request.context[1:].split("\n")[0]) // 4  # all four items of a passage right or all wrong
        return -1.0 if (request.continuation == " u") == (passage % 2 == 0) else -2.0

    rows = [{"q": f"q{i}", "c": ["u", "v"], "a": 0, "p": i // 4} for i in range(80)]
    alone = run(tmp_path, CHOICE, rows, FakeScorer(score=by_passage)).summary.metrics["acc"]
    shared = run(tmp_path, CHOICE + "cluster: p\n", rows, FakeScorer(score=by_passage)).summary.metrics["acc"]
    assert (alone["clusters"], shared["clusters"]) == (80, 20)
    assert alone["value"] == shared["value"] == 0.5
    assert shared["standard_error"] == pytest.approx(2 * alone["standard_error"], rel=0.05)


def test_written_answers_are_judged_by_reference(tmp_path: Path):
    rows = [{"q": f"say word{i}", "a": f"word{i}" if i % 2 else ["other", "The word" + str(i) + "!"]} for i in range(6)]
    result = run(tmp_path, "prompt: q\nanswer: a\nmetrics: [exact_match, f1, bleu, chrf]\n", rows)
    assert result.summary.metrics["exact_match"]["value"] == 1
    assert result.summary.metrics["chrf"]["value"] > 50
    assert result.summary.metrics["chrf"]["standard_error"] is not None
    assert "bleu: nrefs:2|" in str(result.summary.signature)
    assert "chrf: nrefs:2|" in str(result.summary.signature)


def test_labels_are_looked_for_in_what_is_written(tmp_path: Path):
    rows = [{"q": "say yes", "a": "Yes"}, {"q": "say no", "a": "Yes"}, {"q": "say what", "a": "No"}]
    text = "kind: generate\nprompt: q\nanswer: a\nchoices: ['No', 'Yes']\nmetrics: [acc, macro_f1]\n"
    result = run(tmp_path, text, rows)
    assert [record.correct for record in result.records] == [True, False, False]
    assert result.summary.metrics["acc"]["value"] == pytest.approx(1 / 3)
    assert result.summary.metrics["acc"]["chance"] is None
    assert result.summary.majority == pytest.approx(2 / 3)


def test_macro_f1_of_a_classification_is_scikit_learns(tmp_path: Path):
    from sklearn.metrics import f1_score

    rows = [{"q": f"q{i}", "a": i % 3} for i in range(60)]
    result = run(tmp_path, "prompt: q\nchoices: [u, v, w, never]\nanswer: a\nmetrics: [acc, macro_f1]\n", rows)
    gold, said = [i % 3 for i in range(60)], [record.predicted for record in result.records]
    wanted = f1_score(gold, said, labels=[0, 1, 2], average="macro")
    assert result.summary.metrics["macro_f1"]["value"] == pytest.approx(wanted)
    assert result.summary.majority == pytest.approx(1 / 3)


def test_calibration_of_a_known_case(tmp_path: Path):
    # Confidence 0.8 on four items, three of them right: error 0.05.
    rows = [{"q": f"q{i}", "c": ["u", "v"], "a": int(i == 3)} for i in range(4)]
    scorer = FakeScorer(score=lambda r: math.log(0.8 if r.continuation == " u" else 0.2))
    found = run(tmp_path, CHOICE, rows, scorer).summary.calibration
    assert found is not None
    assert found["ece"] == pytest.approx(0.05)
    filled = [b for b in found["bins"] if b["items"]]
    assert filled == [{"low": 0.7, "high": 0.8, "confidence": pytest.approx(0.8), "accuracy": 0.75, "items": 4}]
    assert found["brier"] == pytest.approx((3 * 2 * 0.2**2 + 2 * 0.8**2) / 4)


def test_every_item_falls_into_one_bin(tmp_path: Path):
    result = run(tmp_path, CHOICE, choices())
    assert sum(b["items"] for b in calibration(result.records)["bins"]) == 40


def test_marks_are_counted_by_item(tmp_path: Path):
    rows = [*choices(3), {"q": "long " * 200, "c": ["u", "v"], "a": 0}]
    assert run(tmp_path, CHOICE, rows).summary.marks == {"truncated": 1}


def test_a_prompt_that_leaves_no_room_for_its_answer_is_marked(tmp_path: Path):
    class Words:
        def encode(self, text: str) -> list[str]:
            return text.split()

    scorer = FakeScorer()  # 128 tokens, of which 64 are the answer's
    scorer.tokenizer = Words()
    rows = [{"q": "word " * n, "a": "x"} for n in (10, 64, 65)] + [{"q": "lettersandmoreletters" * 20, "a": "x"}]
    result = run(tmp_path, "prompt: q\nanswer: a\n", rows, scorer)
    assert [record.marks for record in result.records] == [(), (), ("truncated",), ()]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused_with_its_item(tmp_path: Path, value: float):
    with pytest.raises(UserError, match=r"task t, item [0-9a-f]{16} \('q0.*the model's score is"):
        run(tmp_path, CHOICE, choices(), FakeScorer(score=lambda r: value))


def test_hits_of_contamination_stand_beside_the_score(tmp_path: Path):
    this = task(tmp_path, CHOICE, choices())
    unchecked = run_task(this, FakeScorer())
    assert unchecked.summary.contamination == {"checked": False, "items": None, "clean": None}
    assert {record.contaminated for record in unchecked.records} == {None}
    found = [this.items[i].id for i in (0, 5)]
    hits = [{"task": "t", "item_id": i, "doc_id": "d", "ngram": "x"} for i in found]
    hits.append({"task": "other", "item_id": this.items[1].id, "doc_id": "d", "ngram": "x"})
    result = run_task(this, FakeScorer(), contamination=Contamination(hits))
    assert [r.item.id for r in result.records if r.contaminated] == found
    contamination = result.summary.contamination
    assert (contamination["checked"], contamination["items"], contamination["clean"]["items"]) == (True, 2, 38)
    clean = [r.values["acc"] for r in result.records if not r.contaminated]
    assert contamination["clean"]["value"] == np.mean(clean)
    nothing = run_task(this, FakeScorer(), contamination=Contamination([])).summary.contamination
    assert nothing == {"checked": True, "items": 0, "clean": None}


def test_a_metric_from_the_hub_runs_only_with_leave(tmp_path: Path, monkeypatch: Any):
    text = "prompt: q\nanswer: '{{q}}'\nmetrics: [f1, 'evaluate:thing']\n"
    with pytest.raises(UserError, match="evaluate:thing runs code of the Hub"):
        run(tmp_path, text, choices())
    monkeypatch.setattr("smallm.evaluate.summary.library_metric", lambda name, said, wanted: float(len(said)))
    result = run(tmp_path, text, choices(), allow_remote_code=True)
    assert result.summary.metrics["evaluate:thing"]["value"] == 40
    assert result.summary.metrics["evaluate:thing"]["standard_error"] is None


# ---- suites --------------------------------------------------------------------------------------------------------


def suite(folder: Path, *tasks: str) -> Any:
    rows = "".join(json.dumps(row) + "\n" for row in choices())
    (folder / "d.jsonl").write_text(rows)
    (folder / "s.yaml").write_text("suite: s\ntasks:\n" + "".join(tasks))
    return load_suite(str(folder / "s.yaml"))


def entry(name: str, data: str = "d.jsonl") -> str:
    return f"  - task: {name}\n    data: {data}\n    prompt: q\n    choices: c\n    answer: a\n"


def test_a_task_without_its_data_is_skipped_aloud_in_a_packaged_suite_and_refused_in_ones_own(
    tmp_path: Path, capsys: Any
):
    from dataclasses import replace

    mine = suite(tmp_path, entry("one"), entry("two", "none.jsonl"))
    with pytest.raises(UserError, match=r"none\.jsonl is not on this machine"):
        load_tasks(mine, [])
    packaged = replace(mine, tasks=tuple(replace(spec, packaged=True) for spec in mine.tasks))
    result = run_suite(packaged, FakeScorer(), dirs=[tmp_path])
    assert [r.task.name for r in result.results] == ["one"]
    assert [row["task"] for row in result.skipped] == ["two"]
    assert "warning: skipped: " in capsys.readouterr().err
    with pytest.raises(UserError, match="the data of none of its 2 tasks"):
        run_suite(packaged, FakeScorer(), dirs=[])


def test_all_tasks_are_read_before_the_first_is_scored(tmp_path: Path):
    broken = entry("two").replace("prompt: q", "prompt: '{{none}}'")
    scorer = FakeScorer()
    with pytest.raises(UserError, match="no field `none`"):
        run_suite(suite(tmp_path, entry("one"), broken), scorer, dirs=[])
    assert scorer.calls == 0


def test_shots_and_chat_of_the_command_line_reach_the_tasks_that_can_use_them(tmp_path: Path):
    text = "  - task: whole\n    data: d.jsonl\n    text: q\n"
    tasks, _ = load_tasks(suite(tmp_path, entry("one"), text), [], shots=2, chat=True, limit=7)
    assert [len(t.shots) for t in tasks] == [2, 0]
    assert [bool(t.spec.values["chat"]) for t in tasks] == [True, False]
    assert [len(t.items) for t in tasks] == [7, 7]


@pytest.mark.slow
def test_a_real_model_gives_what_its_scorer_gives(tmp_path: Path):
    from tiny_hf import make_model, make_tokenizer

    from smallm.evaluate.scorer import load_scorer

    make_model(tmp_path / "model")
    make_tokenizer(tmp_path / "model")
    scorer = load_scorer(tmp_path / "model")
    rows = choices(8)
    result = run(tmp_path, CHOICE, rows, scorer)
    for record, row in zip(result.records, rows, strict=True):
        asked = [Request(f"{row['q']}\nAnswer:", f" {choice}") for choice in row["c"]]
        assert record.logprobs == pytest.approx([score.logprob for score in scorer.loglikelihoods(asked)], abs=1e-4)
    texts = run(tmp_path, "text: '{{q}} the cat sat'\n", rows, scorer)
    assert texts.summary.metrics["bits_per_byte"]["value"] > 0
    written = run(tmp_path, "prompt: q\nanswer: '{{c[0]}}'\nmax_new_tokens: 5\n", rows, scorer)
    assert len(written.records) == 8
