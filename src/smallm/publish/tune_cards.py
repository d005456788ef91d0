"""The cards of a fine-tuning: tokens/<name>/README.md (its examples) and tuned/<name>/README.md (its model).

Metadata is the Hub's, through a YAML writer; text goes through the Markdown filter. Figures are those of the weights
that lie there now (publish/tune_facts.py asks their hash), else the card says "not measured" and claims no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.files import write_text
from smallm.publish import task_words as say
from smallm.publish import tune_words, words
from smallm.publish.facts import Facts, Source
from smallm.publish.task_facts import finite
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.tune_report import TuneView, view_of_tuning

TASK_CATEGORIES = {
    "translation": "translation",
    "qa": "question-answering",
    "classification": "text-classification",
    "instruct": "text-generation",
}


def write_tune_cards(facts: Facts) -> list[Path]:
    """Write the cards of what is there; returns their paths."""
    tuning = view_of_tuning(facts, drawn=False)
    if tuning is None:
        return []
    from smallm.publish.cards import as_yaml

    t, written = tuning.t, []
    if t.audit is not None and t.manifest is not None:
        written.append(facts.path / t.tokens_dir / "README.md")
        write_text(written[-1], examples_card(facts, tuning))
    if t.tuned is not None:
        written.append(facts.path / t.tuned_dir / "README.md")
        write_text(written[-1], tuned_card(facts, tuning))
        results = facts.path / t.tuned_dir / ".eval_results" / "smallm.yaml"
        if entries := eval_entries(facts, t):
            write_text(results, as_yaml(entries))
            written.append(results)
        else:
            results.unlink(missing_ok=True)
    return written


def examples_card(facts: Facts, tuning: TuneView) -> str:
    """The data card of the examples."""
    from smallm.publish.cards import front_matter
    from smallm.publish.report import environment

    view = {"facts": facts, "tuning": tuning, "t": tuning.t, "words": words, "tune": facts.recipe.finetune}
    text = environment().get_template("examples_card.md.j2").render(view)
    return front_matter(examples_metadata(facts, tuning.t)) + text


def tuned_card(facts: Facts, tuning: TuneView) -> str:
    """The model card of the adapter, or of the whole model."""
    from smallm.publish.cards import front_matter, python_string, shell_string
    from smallm.publish.report import environment

    t, asked = tuning.t, example_prompt(facts, tuning)
    base = ((t.tuned or {}).get("base") or {}).get("name") or "../../base"
    quantisation = (t.tuned or {}).get("quantisation") or {}
    view = {
        "facts": facts,
        "tuning": tuning,
        "t": t,
        "v": t.verdict,
        "words": words,
        "tune": facts.recipe.finetune,
        "adapter": is_adapter_card(t),
        "base": python_string(str(base)),
        "base_name": tune_words.base_name(t),
        "method": tune_words.method(t),
        "compute": str(quantisation.get("compute") or "float32"),
        "four_bit": bool(quantisation),
        "system": python_string(facts.recipe.finetune.system or ""),
        "prompt": python_string(asked),
        "shell_prompt": shell_string(asked),
        "end_ids": [int(i) for i in (t.tuned or {}).get("end_ids") or []],
    }
    return front_matter(tuned_metadata(facts, t)) + environment().get_template("tuned_card.md.j2").render(view)


def example_prompt(facts: Facts, tuning: TuneView) -> str:
    """What the snippets ask: a test question drawn at random, else the recipe's first prompt."""
    for group in reversed(tuning.examples):
        for row in group["rows"]:
            if row["asked"]:
                return str(row["asked"][-1]["content"])
    return (facts.recipe.prompts or ["Hello"])[0]


def is_adapter_card(t: TuneFacts) -> bool:
    return (t.tuned or {}).get("method") != "full"


# ---- metadata ------------------------------------------------------------------------------------------------------


def license_metadata(t: TuneFacts, pretrained_on: Sequence[Source] = ()) -> dict[str, Any]:
    """The common licence of the sets (and of what the base has read); other, with their names, where there is none."""
    from smallm.publish.cards import license_of_sources

    sources = [
        Source(str(s["name"]), str(s["kind"]), str(s["spec"]), s["licence"] or None, None, None, 0, [])
        for s in t.sources
    ]
    return license_of_sources([*pretrained_on, *sources])


def examples_metadata(facts: Facts, t: TuneFacts) -> dict[str, Any]:
    """The YAML front matter of the examples as a data set of the Hub."""
    from smallm.publish.cards import size_category

    tune = facts.recipe.finetune
    rows = sum(int(s.get("examples") or 0) for s in ((t.manifest or {}).get("splits") or {}).values())
    return {
        "pretty_name": f"{facts.name}: {t.name}",
        **license_metadata(t),
        "language": [tune.language],
        "task_categories": [TASK_CATEGORIES[tune.task]],
        "size_categories": [size_category(rows)],
        "source_datasets": hub_sets(facts) or ["original"],
        "tags": ["smallm", "fine-tuning", *(["synthetic"] if any(s["kind"] == "synth" for s in t.sources) else [])],
        "configs": [{"config_name": "default", "data_files": [{"split": "all", "path": "examples.parquet"}]}],
    }


def tuned_metadata(facts: Facts, t: TuneFacts) -> dict[str, Any]:
    """The YAML front matter of the tuned model, `model-index` included when these weights were compared."""
    from smallm.publish.cards import is_hub_name

    tune, adapter = facts.recipe.finetune, is_adapter_card(t)
    named = tune.model if tune.model and is_hub_name(tune.model) else None
    # Weights made from another's are under that one's licence too, which is not known here.
    theirs = {"license": "other", "license_name": "that-of-the-base-and-of-the-data"}
    metadata: dict[str, Any] = {
        **(theirs if tune.model else license_metadata(t, facts.data.sources if facts.data else ())),
        "language": [tune.language],
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "base_model": named,
        # A base of this run has no name on the Hub: a relation to nobody would say nothing.
        "base_model_relation": ("adapter" if adapter else "finetune") if named else None,
        "datasets": hub_sets(facts),
        "tags": ["smallm", *(["lora"] if adapter else []), *(["qlora"] if tune.load_in_4bit else []), tune.task],
    }
    metadata = {key: value for key, value in metadata.items() if value}
    figures = published(facts, t)
    if figures:
        from huggingface_hub import EvalResult
        from huggingface_hub.repocard_data import eval_results_to_model_index

        results = [
            EvalResult(
                task_type=TASK_CATEGORIES[tune.task],
                dataset_type=figure.dataset,
                dataset_name=figure.title,
                dataset_split="test",
                metric_type=figure.metric,
                metric_name=figure.metric_title,
                metric_value=round(figure.value, 6),
            )
            for figure in figures
        ]
        metadata["model-index"] = eval_results_to_model_index(f"{facts.name}-{t.name}", results)
    return metadata


@dataclass(frozen=True)
class TunedFigure:
    """One figure for the Hub: of which test set, which metric, its value, and what it is worth."""

    dataset: str
    title: str
    metric: str
    metric_title: str
    value: float
    notes: str


def published(facts: Facts, t: TuneFacts) -> list[TunedFigure]:
    """The tuned model's figures with base, interval and baselines in their notes; none of other weights."""
    from smallm.publish.cards import hub_name

    v = t.verdict
    if v is None:
        return []
    rows = [v["row"], *(v["others"] or {}).values()]
    if v["answers"] and v["answers"]["metric"] != v["row"]["metric"]:
        rows.append(v["answers"])
    found = []
    for row in rows:
        value = finite(row["b"].get("value"))
        if value is not None:
            name = hub_name(f"{facts.name}-{t.name}")
            title = f"{t.name}, test examples" + (" (bits of the right answers)" if row is v["answers"] else "")
            found.append(TunedFigure(name, title, row["metric"], say.title(row["metric"]), value, notes(row, v)))
    return found


def notes(row: dict[str, Any], v: dict[str, Any]) -> str:
    """What a reader of the bare value must know."""
    metric = str(row["metric"])
    better = "higher" if row["higher_is_better"] else "lower"
    parts = [f"{say.title(metric)}, {better} is better", f"{row['items']} of {v['test_items']} test items"]
    if row["b"].get("low") is not None:
        parts.append(f"95 % interval {say.interval(metric, row['b'])}")
    parts.append(f"base {say.number(metric, row['a'].get('value'))}")
    parts.append(f"difference {say.difference_interval(metric, row['low'], row['high'])} (95 %, paired)")
    for baseline in v["baselines"]:
        value = finite(((baseline["metrics"] or {}).get(metric) or {}).get("value"))
        if value is not None and row is not v["answers"]:
            parts.append(f"baseline {baseline['name']} {say.number(metric, value)}")
    quantised = ((v["tuned"] or {}).get("settings") or {}).get("quantisation")
    parts += [f"on the base in {quantised}"] if quantised else []
    parts += [str(v["signature"])] if v["signature"] and metric in ("bleu", "chrf") else []
    return "; ".join(parts).replace("\u00a0", " ")


def eval_entries(facts: Facts, t: TuneFacts) -> list[dict[str, Any]]:
    """The entries of .eval_results/: data set, metric, value."""
    figures = published(facts, t)
    if not figures:
        return []
    from huggingface_hub._eval_results import EvalResultEntry, eval_result_entries_to_yaml

    return eval_result_entries_to_yaml(
        [
            EvalResultEntry(dataset_id=f.dataset, task_id=f.metric, value=round(f.value, 6), notes=f.notes)
            for f in figures
        ]
    )


def hub_sets(facts: Facts) -> list[str]:
    """The Hub's data sets among the sources."""
    from smallm.publish.cards import is_hub_name

    return sorted({s.hub for s in facts.recipe.finetune.data if s.hub and is_hub_name(s.hub)})
