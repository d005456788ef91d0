"""Cards: data/README.md and base/README.md with the Hub's metadata, base/.eval_results/*.yaml; a fine-tuning's too.

Metadata goes through a YAML writer and text through the Markdown filter, so no name or sample can break
the card. `RepoCard.validate()` asks the Hub; tests parse the cards with huggingface_hub's own classes
instead. Written for what is there: a card before training says "not measured".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.files import write_text
from smallm.core.run import Run
from smallm.publish import task_words, words
from smallm.publish.facts import Facts, Source, read_facts
from smallm.publish.task_facts import finite
from smallm.publish.task_report import task_results, view_of_tasks
from smallm.publish.tune_cards import write_tune_cards
from smallm.publish.tune_report import write_tune_pages

# The Hub's size_categories (huggingface.co/docs/hub/datasets-cards), by number of rows.
SIZES = (
    (1e3, "n<1K"),
    (1e4, "1K<n<10K"),
    (1e5, "10K<n<100K"),
    (1e6, "100K<n<1M"),
    (1e7, "1M<n<10M"),
    (1e8, "10M<n<100M"),
    (1e9, "100M<n<1B"),
)


def write_cards(recipe: Recipe, run: Run) -> list[Path]:
    """Write the cards of the artefacts that exist; returns their paths."""
    facts = read_facts(recipe, run)
    written = []
    if facts.data is not None:
        written.append(run.path / "data" / "README.md")
        write_text(written[-1], data_card(facts))
    if facts.model is not None:
        written.append(run.path / "base" / "README.md")
        write_text(written[-1], model_card(facts))
        results = run.path / "base" / ".eval_results" / "smallm.yaml"
        if entries := eval_results(facts):
            write_text(results, as_yaml(entries))
            written.append(results)
        else:
            results.unlink(missing_ok=True)
    return written + write_tune_cards(write_tune_pages(facts))


def data_card(facts: Facts) -> str:
    from smallm.publish.report import environment, source_bars, tokenizer_bars

    view = {"facts": facts, "words": words, "source_bars": source_bars(facts), "tokenizer_bars": tokenizer_bars(facts)}
    return front_matter(data_metadata(facts)) + environment().get_template("data_card.md.j2").render(view)


def model_card(facts: Facts) -> str:
    from smallm.publish.report import environment, evaluation_rows, final_samples, source_bars

    tasks = view_of_tasks(facts, drawn=False)
    view = {
        "facts": facts,
        "tasks": tasks,
        "task_words": task_words,
        "words": words,
        "verdict": words.verdict(facts),
        "source_bars": source_bars(facts),
        "evaluation_rows": evaluation_rows(facts),
        "samples": final_samples(facts)[:3],
        "limitations": [*words.limitations(facts), *([tasks.chance] if tasks.chance else [])],
        "prompt": python_string((facts.recipe.prompts or ["Once upon a time"])[0]),
        "shell_prompt": shell_string((facts.recipe.prompts or ["Once upon a time"])[0]),
        "transformers": (facts.path / "base" / "config.json").is_file(),
    }
    return front_matter(model_metadata(facts)) + environment().get_template("model_card.md.j2").render(view)


def size_category(rows: int) -> str:
    """The Hub's name for so many rows."""
    return next((name for limit, name in SIZES if rows < limit), "n>1T")


def data_metadata(facts: Facts) -> dict[str, Any]:
    """The YAML front matter of a dataset on the Hub."""
    data = facts.data
    assert data is not None
    rows = sum(s.documents for s in data.splits.values())
    return {
        "pretty_name": facts.name,
        **_license(facts),
        "language": languages(facts),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "source_datasets": ["original"],
        "tags": ["smallm", *(["synthetic"] if any(s.kind == "synth" for s in data.sources) else [])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"{name}-*.parquet"} for name in data.splits],
            }
        ],
    }


def model_metadata(facts: Facts) -> dict[str, Any]:
    """The YAML front matter of a model on the Hub, `model-index` included when it was evaluated."""
    preset = ((facts.model or {}).get("model") or {}).get("preset")
    metadata = {
        **_license(facts),
        "language": languages(facts),
        "library_name": "transformers" if (facts.path / "base" / "config.json").is_file() else "smallm",
        "pipeline_tag": "text-generation",
        "tags": ["smallm", "small-language-model", *([str(preset)] if preset else [])],
        "datasets": _hub_datasets(facts),
        "base_model": facts.recipe.train.init_from if is_hub_name(facts.recipe.train.init_from) else None,
    }
    metadata = {key: value for key, value in metadata.items() if value}
    figures = published_figures(facts)
    if figures:
        from huggingface_hub import EvalResult
        from huggingface_hub.repocard_data import eval_results_to_model_index

        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type=figure.dataset,
                dataset_name=figure.title,
                dataset_split=figure.split,
                metric_type=figure.metric,
                metric_name=figure.metric_title,
                metric_value=round(figure.value, 6),
            )
            for figure in figures
        ]
        metadata["model-index"] = eval_results_to_model_index(facts.name, results)
    return metadata


@dataclass(frozen=True)
class Published:
    """One figure for the Hub's metadata: of which data set, which metric, its value, and what it is worth."""

    dataset: str
    title: str
    split: str | None
    metric: str
    metric_title: str
    value: float
    notes: str


def published_figures(facts: Facts) -> list[Published]:
    """The held-out figures, then the primary metric of every task: once, of the result with the most items.

    Scores of weights that were quantised on load are not the published weights' and stay out.
    """
    found = []
    if facts.evaluation is not None:
        bits, perplexity = facts.evaluation["bits_per_byte"], facts.evaluation["perplexity"]
        where = (dataset_id(facts), f"{facts.name}, held-out documents", "validation")
        notes = f"bits per byte, lower is better; {bits['documents']} held-out documents, {bits['bytes']} bytes"
        if bits.get("standard_error") is not None:
            notes += f"; standard error {bits['standard_error']:.4f} over documents"
        found += [
            Published(*where, "bits_per_byte", "bits per byte", float(bits["value"]), notes),
            Published(*where, "perplexity", "perplexity per token", float(perplexity["value"]), ""),
        ]
    seen: set[str] = set()
    whole = [result for result in task_results(facts) if not result.settings.get("quantisation")]
    for result in sorted(whole, key=lambda result: -(result.limit or math.inf)):
        for name, task in result.tasks.items():
            metric = str(task["primary"])
            figure = task["metrics"][metric]
            value = finite(figure.get("value"))
            if value is None or name in seen:
                continue
            seen.add(name)
            dataset = result.datasets.get(name) or hub_name(f"{result.suite}-{name}")
            notes = task_notes(task, figure, metric, result.limit)
            title = f"{name}, suite {result.suite}"
            found.append(Published(dataset, title, None, metric, task_words.title(metric), value, notes))
    return found


def task_notes(task: dict[str, Any], figure: dict[str, Any], metric: str, limit: int | None) -> str:
    """What a reader of the bare value must know: error, items, chance, contamination, how BLEU was computed."""
    better = "higher" if figure.get("higher_is_better") is not False else "lower"
    parts = [f"{task_words.title(metric)}, {better} is better", f"{figure.get('items') or task.get('items')} items"]
    if figure.get("standard_error") is not None:
        parts.append(f"standard error {figure['standard_error']:.4f}")
    if figure.get("chance") is not None:
        parts.append(f"chance {figure['chance']:.4f}" + (": at chance" if task_words.at_chance(figure) else ""))
    parts += [f"at most {limit} items of the task"] if limit else []
    parts.append(f"contamination: {task_words.contamination(task)}")
    return "; ".join([*parts, *([str(task["signature"])] if task.get("signature") else [])])


def eval_results(facts: Facts) -> list[dict[str, Any]]:
    """The entries of .eval_results/: dataset id, task id, value (what `model-index` is being replaced by)."""
    from huggingface_hub._eval_results import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=figure.dataset,
            task_id=figure.metric,
            value=round(figure.value, 6),
            notes=figure.notes,
        )
        for figure in published_figures(facts)
        if figure.notes
    ]
    return eval_result_entries_to_yaml(entries)


def dataset_id(facts: Facts) -> str:
    """The name under which the data would be published: what the Hub allows in a name."""
    return hub_name(facts.name)


def hub_name(text: str) -> str:
    """`text` with only what the Hub allows in a name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "dataset"


def languages(facts: Facts) -> list[str]:
    """Known for our own sources; a user's text is 'und', undetermined, until someone measures it."""
    sources = facts.data.sources if facts.data else []
    if not sources or not {s.kind for s in sources} <= {"synth", "builtin"}:
        return ["und"]
    return ["en", "de"] if any("sentences" in s.spec for s in sources) else ["en"]


def python_string(text: str) -> str:
    """`text` as a Python literal that cannot close a code fence."""
    return repr(text).replace("`", r"\x60")


def shell_string(text: str) -> str:
    """`text` as one word of a shell, on one line, without a backquote."""
    import shlex

    return shlex.quote(" ".join(text.split()).replace("`", "'"))


def _license(facts: Facts) -> dict[str, Any]:
    return license_of_sources(facts.data.sources if facts.data else [])


def license_of_sources(sources: list[Source]) -> dict[str, Any]:
    """The Hub's licence fields of a mixture."""
    found = words.license_of(sources)
    if found != "other":
        return {"license": found}
    names = sorted({words.source_license(s) for s in sources})
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.-]+", "-", "-and-".join(names).lower())}


def _hub_datasets(facts: Facts) -> list[str]:
    return sorted({s.spec for s in facts.data.sources if s.kind == "hub" and is_hub_name(s.spec)}) if facts.data else []


def is_hub_name(name: str | None) -> bool:
    return bool(name and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) and not Path(name).exists())


def front_matter(metadata: dict[str, Any]) -> str:
    return f"---\n{as_yaml(metadata)}---\n"


def as_yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
