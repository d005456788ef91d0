"""Tasks of ours as files for lm-eval: the same strings, the same scores, in any folder, without smallm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness_models import our_model, save_tiny

from smallm.core.errors import UserError
from smallm.evaluate.harness_run import run_harness
from smallm.evaluate.harness_yaml import READER, reader_source, write_harness_task, write_harness_tasks
from smallm.evaluate.run_tasks import context_of, requests_of, run_task
from smallm.evaluate.task_items import load_task
from smallm.evaluate.tasks import Task, read_task

QUESTIONS = [
    {"q": "Capital of France?", "options": ["Paris", "Rome", "Bern"], "answer": "Paris"},
    {"q": "Line\u2028separator, NEL\u0085 and e\u0301 👩‍👧", "options": ["שלום", "你好"], "answer": "B"},
    {"q": "5", "options": ["7", "['a', 'b']"], "answer": 0},
    {"q": "", "options": ["alone good", "alone bad"], "answer": 1},
]
DATES = [{"q": "2020-01-01", "options": ["2020-01-01", "2021-02-02"], "answer": 0}] * 2
TWINS = [
    {"a": f"The {a} beat the {b} so the {a}", "b": f"The {a} beat the {b} so the {b}", "end": "was glad.", "right": i}
    for i, (a, b) in enumerate([("cat", "dog"), ("red", "blue")])
]
WORDS = [{"q": "The sky is", "w": "blue"}, {"q": "Two and two is", "w": "four"}, {"q": "Up and", "w": "down"}]
ANSWERS = [
    {"q": "The sky is", "w": ["blue", "The Blue!"], "tone": "good"},
    {"q": "Two and two is", "w": ["four"], "tone": "bad"},
]
TEXTS = [{"t": "One short text."}, {"t": " Another, with é and 你好.\n\n" * 40}, {"t": "third"}]
TASKS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "questions": (QUESTIONS, 'prompt: "{{q}}"\nchoices: options\nanswer: answer\nmetrics: [acc, acc_norm, acc_bytes]'),
    "dates": (DATES, 'prompt: "{{q}}"\nchoices: options\nanswer: answer\ntarget_delimiter: ""'),
    "shots": (
        QUESTIONS * 2,
        'prompt: "Q: {{q}}"\nchoices: options\nanswer: answer\nshots: 1\ndescription: "Answer.\\n\\n"',
    ),
    "twins": (TWINS, 'contexts: ["{{a}}", "{{b}}"]\ncontinuation: end\nanswer: right'),
    "words": (WORDS, "prompt: q\ncontinuation: w"),
    "texts": (TEXTS, "text: t\nmetrics: [bits_per_byte, word_perplexity, byte_perplexity]"),
    "answers": (
        ANSWERS,
        'prompt: "{{q}}"\nanswer: w\nmetrics: [exact_match, f1, bleu, chrf]\nmax_new_tokens: 5\nuntil: ["."]',
    ),
    "labels": (
        ANSWERS,
        'prompt: "{{q}}"\nanswer: tone\nchoices: [good, bad]\nkind: generate\nmetrics: [acc]\nmax_new_tokens: 5',
    ),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    folder = tmp_path_factory.mktemp("ours")
    made = {}
    for name, (rows, keys) in TASKS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        (folder / f"{name}.yaml").write_text(f"task: {name}\ndata: {name}.jsonl\n{keys}\n", "utf-8")
        made[name] = load_task(read_task(folder / f"{name}.yaml"))
    return made


@pytest.fixture(scope="module")
def folder(tasks: dict[str, Task], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    paths = write_harness_tasks(list(tasks.values()), made / "first")
    assert [path.name for path in paths] == [f"{name}.yaml" for name in TASKS]
    shutil.move(made / "first", made / "moved")  # where it lies is nowhere in it
    return made / "moved"


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]) -> Any:
    return our_model(save_tiny(tmp_path_factory.mktemp("gpt2"), shared_data("tokenizers"), context=64)).scorer


def built(folder: Path, name: str) -> list[Any]:
    """The requests that lm-eval makes of a task in a folder, by document."""
    from lm_eval.tasks import TaskManager

    task = TaskManager(include_path=str(folder), include_defaults=False).load([name])["tasks"][name]
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    return task.instances


@pytest.mark.parametrize("name", TASKS)
def test_lm_eval_asks_for_the_very_strings_that_we_score(
    name: str, tasks: dict[str, Task], folder: Path, scorer: Any
) -> None:
    task, instances = tasks[name], built(folder, name)
    if task.kind == "perplexity":
        assert [i.args for i in instances] == [(item.prompt,) for item in task.items]
    elif task.kind == "generate":
        assert [i.args[0] for i in instances] == [context_of(task, scorer, item.prompt)[0] for item in task.items]
        values = task.spec.values
        assert {(tuple(i.args[1]["until"]), i.args[1]["max_gen_toks"]) for i in instances} == {
            (tuple(values["until"]), values["max_new_tokens"])
        }
    else:
        wanted = [(r.context, r.continuation) for asked in requests_of(task, scorer) for r in asked]
        assert [i.args for i in instances] == wanted


@pytest.mark.parametrize("name", TASKS)
def test_lm_evals_figures_of_them_are_ours(name: str, tasks: dict[str, Task], folder: Path, scorer: Any) -> None:
    ours = run_task(tasks[name], scorer)
    theirs = run_harness(scorer, [name], include_path=folder)
    for metric, figure in ours.summary.metrics.items():
        assert theirs.json["results"][name][f"{metric},none"] == pytest.approx(figure["value"], rel=1e-9), metric
    for record, again in zip(ours.records, theirs.results[0].records, strict=True):
        assert again.logprobs == record.logprobs
        assert again.prediction.strip() == record.prediction or tasks[name].kind in ("choice", "continuation")
        for metric in theirs.json["higher_is_better"][name]:
            if metric in record.values and metric in again.values:
                assert again.values[metric] == pytest.approx(record.values[metric]), metric
    assert theirs.json["versions"][name] == tasks[name].version


def test_the_reader_needs_no_smallm_and_takes_no_text_for_a_date(folder: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['smallm'] = None\n"
    code += "import smallm_items\nprint(smallm_items.load('dates.jsonl')['test'][0]['choices'])"
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['2020-01-01', '2021-02-02']"


def test_the_readers_rules_are_ours(tmp_path: Path) -> None:
    import importlib.util

    from smallm.evaluate import text_metrics

    (tmp_path / READER).write_text(reader_source(), "utf-8")
    spec = importlib.util.spec_from_file_location("smallm_items_here", tmp_path / READER)
    assert spec is not None
    assert spec.loader is not None
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    for said in ("The blue, sky!", "", "a an", "Der Himmel ist blau."):
        for answers in (["blue sky"], ["Himmel", "der himmel ist BLAU"], [""]):
            for language in ("en", "de"):
                for rule in ("exact_match", "word_f1"):
                    ours = getattr(text_metrics, rule)(said, answers, language)
                    assert getattr(reader, rule)(said, answers, language) == ours


def test_chats_are_written_with_the_models_template_and_refused_without_a_model(
    tasks: dict[str, Task], scorer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks["questions"]
    chat = replace(task, spec=task.spec.changed(chat=True))
    with pytest.raises(UserError, match="chats"):
        write_harness_task(chat, tmp_path)
    template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}[answer]"
    monkeypatch.setattr(scorer.tokenizer, "chat_template", template)
    with pytest.raises(UserError, match="some prompts are empty"):
        write_harness_task(chat, tmp_path, scorer=scorer)
    assert not list(tmp_path.iterdir())
    chat = replace(chat, items=tuple(item for item in chat.items if item.prompt))
    write_harness_task(chat, tmp_path, scorer=scorer)
    instances = built(tmp_path, "questions")
    assert instances[0].args == ("[user] Capital of France?[answer]", "Paris")
    wanted = [(r.context, r.continuation) for asked in requests_of(chat, scorer) for r in asked]
    assert [i.args for i in instances] == wanted


def test_a_task_whose_metrics_lm_eval_does_not_have_is_refused(tasks: dict[str, Task], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels: lm-eval has none of its metrics \(macro_f1\)"):
        write_harness_task(replace(tasks["labels"], metrics=("macro_f1",)), tmp_path)
    assert not list(tmp_path.iterdir())
