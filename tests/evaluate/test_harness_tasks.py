"""lm-eval's own task definitions on real records, the Hub's answer replaced by local files: our run against `hf`'s."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_models import hf_model, our_model, save_tiny

from smallm.evaluate.harness_run import HarnessResult, run_harness

pytestmark = pytest.mark.slow  # lm-eval reads its thousands of task files

NAMES = ["arc_easy", "piqa", "lambada_openai", "blimp_passive_1", "winogrande"]
LIMIT = 16


def hub_rows(name: str, find: Callable[[str], Path]) -> list[dict[str, Any]]:
    """Real records in the shape that the Hub's data set has."""
    file = "blimp/passive_1" if name == "blimp_passive_1" else f"eval/{name}"
    rows = [json.loads(line) for line in gzip.decompress(find(f"{file}.jsonl.gz").read_bytes()).splitlines()]
    if name == "arc_easy":
        letters = "ABCDE"
        return [
            {
                "question": row["query"].removeprefix("Question: "),
                "choices": {"text": row["choices"], "label": list(letters[: len(row["choices"])])},
                "answerKey": letters[row["gold"]],
            }
            for row in rows
        ]
    if name == "piqa":
        goals = [row["query"].removeprefix("Question: ").strip() for row in rows]
        return [
            {"goal": goal, "sol1": row["choices"][0], "sol2": row["choices"][1], "label": row["gold"]}
            for goal, row in zip(goals, rows, strict=True)
        ]
    if name == "lambada_openai":
        return [{"text": f"{row['context']} {row['continuation']}"} for row in rows]
    if name == "winogrande":
        return [split_sentence(row) for row in rows]
    return rows


def split_sentence(row: dict[str, Any]) -> dict[str, Any]:
    """The blank stands where the two contexts part."""
    first, second = row["context_options"]
    shared = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    return {
        "sentence": f"{first[:shared]}_ {row['continuation']}",
        "option1": first[shared:],
        "option2": second[shared:],
        "answer": str(row["gold"] + 1),
    }


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]
) -> tuple[HarnessResult, dict[str, Any]]:
    import datasets
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    names = {"allenai/ai2_arc": "arc_easy", "baber/piqa": "piqa", "EleutherAI/lambada_openai": "lambada_openai",
             "nyu-mll/blimp": "blimp_passive_1", "allenai/winogrande": "winogrande"}  # fmt: skip

    def load(path: str, name: str | None = None, **_: Any) -> Any:
        rows = datasets.Dataset.from_list(hub_rows(names[path], shared_data))
        return {"train": rows, "validation": rows, "test": rows}

    directory = save_tiny(tmp_path_factory.mktemp("gpt2"), shared_data("tokenizers"), context=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", load)
        ours = run_harness(our_model(directory).scorer, NAMES, limit=LIMIT)
        theirs: Any = simple_evaluate(
            model=hf_model(directory), tasks=NAMES, task_manager=TaskManager(), limit=LIMIT, bootstrap_iters=0
        )
    return ours, theirs


@pytest.mark.parametrize("name", NAMES)
def test_the_definitions_of_lm_eval_run_unchanged(name: str, runs: tuple[HarnessResult, dict[str, Any]]) -> None:
    ours, theirs = runs
    for key, value in theirs["results"][name].items():
        if isinstance(value, float):
            assert ours.json["results"][name][key] == pytest.approx(value, rel=1e-5), key
    result = next(part for part in ours.results if part.task.name == name)
    rows = sorted(theirs["samples"][name], key=lambda row: row["doc_id"])
    assert len(result.records) == len(rows) == LIMIT
    for record, row in zip(result.records, rows, strict=True):
        assert record.logprobs == pytest.approx([answers[0][0] for answers in row["resps"]], abs=1e-4)
        assert record.correct == bool(row["acc"])
        texts = [record.item.prompt + choice for choice in record.item.choices]
        assert all(text.strip() for text in texts)
    assert ours.json["versions"][name] == theirs["versions"][name] == 1.0
    assert ours.json["configs"][name]["metadata"]["config_source"].startswith("lm_eval/tasks/")
    assert result.task.primary == "acc"
