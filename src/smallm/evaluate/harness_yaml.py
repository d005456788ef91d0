"""A task of ours as files for lm-eval: the very strings that we score, so that anyone can check them without smallm.

`<task>.yaml` and `<task>.jsonl` in a folder for `lm_eval --include_path`, and beside them smallm_items.py, which reads
the items (datasets' own JSON reader takes texts like 2020-01-01 for dates, and lm-eval resolves paths from where it is
started) and judges written answers by the rules of text_metrics.py, whose functions are copied into it. Prompts are
rendered: descriptions, examples and chat templates are in them. The folder can be moved.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from smallm import __version__
from smallm.core.errors import UserError
from smallm.core.files import write_text
from smallm.evaluate import text_metrics
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.requests import Request
from smallm.evaluate.run_tasks import context_of, is_chat, prefix_of, requests_of
from smallm.evaluate.scorer import Scorer
from smallm.evaluate.tasks import Item, Task

READER = "smallm_items.py"
# What lm-eval calls the way from items to a figure, for metrics that it and we compute alike.
AGGREGATIONS = {
    "choice": {"acc": "mean", "acc_norm": "mean", "acc_bytes": "mean"},
    "continuation": {"acc": "mean", "perplexity": "perplexity"},
    "perplexity": {
        "bits_per_byte": "bits_per_byte",
        "byte_perplexity": "weighted_perplexity",
        "word_perplexity": "weighted_perplexity",
    },
    "generate": {"acc": "mean", "exact_match": "mean", "f1": "mean", "bleu": "bleu", "chrf": "chrf"},
}
Row = dict[str, Any]


def write_harness_task(task: Task, directory: Path, *, scorer: Scorer | None = None) -> Path:
    """Write a task's files into `directory`; returns the YAML's path.

    `scorer` is needed for prompts in chat form, whose template is the model's: they then fit that model only.
    UserError: chat without it or with some empty prompts, none of the task's metrics known to lm-eval.
    """
    if is_chat(task) and scorer is None:
        raise UserError(f"task {task.name}: its prompts are chats; name the model whose template they shall have.")
    wanted = _metrics(task)
    rows, keys = _CONVERT[task.kind](task, scorer)
    config: Row = {
        "dataset_kwargs": {"items_file": f"{task.name}.jsonl"},
        "test_split": "test",
        **keys,
        "num_fewshot": 0,  # lm-eval adds none to a task that says so
        "metric_list": [
            {"metric": name, "aggregation": aggregation, "higher_is_better": metric_info(name).higher_is_better}
            for name, aggregation in wanted.items()
        ],
        "metadata": {"version": task.version},
    }
    text = (
        f"# Written by smallm {__version__}: lm_eval --include_path THIS_FOLDER --tasks {task.name}\n"
        f"task: {json.dumps(task.name)}\n"
        f"custom_dataset: !function {READER.removesuffix('.py')}.load\n"
        + ("process_results: !function smallm_items.judge\n" if task.kind == "generate" else "")
        + yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    )
    write_text(directory / READER, reader_source())
    write_text(directory / f"{task.name}.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    write_text(directory / f"{task.name}.yaml", text)
    return directory / f"{task.name}.yaml"


def write_harness_tasks(tasks: Sequence[Task], directory: Path, *, scorer: Scorer | None = None) -> list[Path]:
    """`write_harness_task` of each."""
    return [write_harness_task(task, directory, scorer=scorer) for task in tasks]


def _metrics(task: Task) -> dict[str, str]:
    """The task's metrics that lm-eval has, with their aggregation there."""
    known = AGGREGATIONS[task.kind]
    # lm-eval would divide by the length of each context with everything that stands before it.
    lengths_differ = task.spec.values["contexts"] is not None and bool(prefix_of(task))
    wanted = {m: known[m] for m in task.metrics if m in known and not (lengths_differ and m != "acc")}
    if not wanted:
        raise UserError(
            f"task {task.name}: lm-eval has none of its metrics ({', '.join(task.metrics)}) for a {task.kind} task; "
            f"it has {', '.join(known)}."
        )
    return wanted


# ---- the kinds of task ---------------------------------------------------------------------------------------------


def _common(item: Item) -> Row:
    return {"id": item.id, "cluster": item.cluster, "source": item.source}


def _paired(task: Task, scorer: Scorer | None) -> Iterator[tuple[Item, list[Request]]]:
    """Each item with exactly what is scored of it."""
    # Only chats ask anything of the scorer.
    return zip(task.items, requests_of(task, scorer), strict=True)  # type: ignore[arg-type]


def _choice(task: Task, scorer: Scorer | None) -> tuple[list[Row], Row]:
    if task.spec.values["contexts"] is not None:
        return _contexts(task, scorer)
    rows, delimiters = [], set()
    for item, asked in _paired(task, scorer):
        delimiters.add(asked[0].continuation.removesuffix(item.choices[0]))
        row = {"prompt": asked[0].context, "choices": list(item.choices), "gold": item.gold}
        rows.append(_common(item) | row)
    if len(delimiters) > 1:
        raise UserError(f"task {task.name}: some prompts are empty, so no chats; lm-eval has one delimiter for all.")
    return rows, {
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "target_delimiter": delimiters.pop(),
    }


def _contexts(task: Task, scorer: Scorer | None) -> tuple[list[Row], Row]:
    """lm-eval's form of WinoGrande: the text is the right context's number, the target what follows each."""
    rows = []
    for item, asked in _paired(task, scorer):
        contexts = [request.context for request in asked]
        rows.append(_common(item) | {"contexts": contexts, "continuation": item.continuation, "gold": item.gold})
    return rows, {
        "output_type": "multiple_choice",
        "doc_to_text": "gold",
        "doc_to_choice": "contexts",
        "doc_to_target": "continuation",
        "target_delimiter": task.spec.values["target_delimiter"],
    }


def _continuation(task: Task, scorer: Scorer | None) -> tuple[list[Row], Row]:
    rows = []
    for item, (asked,) in _paired(task, scorer):
        rows.append(_common(item) | {"prompt": asked.context, "continuation": asked.continuation})
    return rows, {"output_type": "loglikelihood", "doc_to_text": "prompt", "doc_to_target": "continuation"}


def _perplexity(task: Task, scorer: Scorer | None) -> tuple[list[Row], Row]:
    rows = [_common(item) | {"text": item.prompt} for item in task.items]
    return rows, {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text"}


def _generate(task: Task, scorer: Scorer | None) -> tuple[list[Row], Row]:
    values, most = task.spec.values, max(len(item.answer) for item in task.items)
    rows = []
    for item in task.items:
        context, _ = context_of(task, scorer, item.prompt)  # type: ignore[arg-type]
        answer = list(item.answer)
        rows.append(
            _common(item)
            | {
                "prompt": context,
                "answer": answer,
                "references": [*answer, *answer[:1] * (most - len(answer))],  # sacrebleu wants as many for each item
                "labels": list(item.choices),
                "gold": -1 if item.gold is None else item.gold,
                "language": values["language"],
                "metrics": list(_metrics(task)),
            }
        )
    settings = {"until": list(values["until"]), "max_gen_toks": values["max_new_tokens"], "do_sample": False}
    return rows, {
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "generation_kwargs": settings,
    }


_CONVERT = {"choice": _choice, "continuation": _continuation, "perplexity": _perplexity, "generate": _generate}


# ---- the reader beside the items -----------------------------------------------------------------------------------

_READER = '''"""Items that smallm wrote for lm-eval, and smallm's rules for written answers. Needs lm-eval alone."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import datasets

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile({articles!r})


def load(items_file, **_):
    """lm-eval's `custom_dataset`. Types are stated: guessed ones would make dates of texts like 2020-01-01."""
    with open(Path(__file__).parent / items_file, encoding="utf-8", newline="\\n") as lines:
        rows = [json.loads(line) for line in lines]
    text = datasets.Value("string")
    kinds = {{str: text, int: datasets.Value("int64"), list: [text]}}
    features = datasets.Features({{name: kinds[type(value)] for name, value in rows[0].items()}})
    return {{"test": datasets.Dataset.from_list(rows, features=features)}}


def judge(doc, results):
    """lm-eval's `process_results` for generated text."""
    said = results[0].strip()
    found = {{
        "exact_match": exact_match(said, doc["answer"], doc["language"]),
        "f1": word_f1(said, doc["answer"], doc["language"]),
        "bleu": (doc["references"], said),
        "chrf": (doc["references"], said),
    }}
    if doc["labels"]:
        found["acc"] = float(found_label(said, doc["labels"]) == doc["gold"])
    return {{name: found[name] for name in doc["metrics"]}}


{functions}'''


def reader_source() -> str:
    """The text of smallm_items.py. The rules in it are text_metrics.py's own source, so that they cannot drift."""
    names = ("normalise", "exact_match", "word_f1", "_f1", "found_label")
    functions = "\n\n".join(inspect.getsource(getattr(text_metrics, name)) for name in names)
    return _READER.format(articles=text_metrics._ARTICLES.pattern, functions=functions)
