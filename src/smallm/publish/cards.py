"""Cards: data/README.md and base/README.md with the Hub's metadata, and base/.eval_results/*.yaml.

Metadata goes through a YAML writer and text through the Markdown filter, so no name or sample can break
the card. `RepoCard.validate()` asks the Hub; tests parse the cards with huggingface_hub's own classes
instead. Written for what is there: a card before training says "not measured".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.files import write_text
from smallm.core.run import Run
from smallm.publish import words
from smallm.publish.facts import Facts, read_facts

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
        if facts.evaluation is not None:
            write_text(results, _yaml(eval_results(facts)))
            written.append(results)
        else:
            results.unlink(missing_ok=True)
    return written


def data_card(facts: Facts) -> str:
    from smallm.publish.report import environment, source_bars, tokenizer_bars

    view = {"facts": facts, "words": words, "source_bars": source_bars(facts), "tokenizer_bars": tokenizer_bars(facts)}
    return _front_matter(data_metadata(facts)) + environment().get_template("data_card.md.j2").render(view)


def model_card(facts: Facts) -> str:
    from smallm.publish.report import environment, evaluation_rows, final_samples, source_bars

    view = {
        "facts": facts,
        "words": words,
        "verdict": words.verdict(facts),
        "source_bars": source_bars(facts),
        "evaluation_rows": evaluation_rows(facts),
        "samples": final_samples(facts)[:3],
        "limitations": words.limitations(facts),
        "prompt": python_string((facts.recipe.prompts or ["Once upon a time"])[0]),
        "shell_prompt": shell_string((facts.recipe.prompts or ["Once upon a time"])[0]),
        "transformers": (facts.path / "base" / "config.json").is_file(),
    }
    return _front_matter(model_metadata(facts)) + environment().get_template("model_card.md.j2").render(view)


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
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>1T")],
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
        "base_model": facts.recipe.train.init_from if _is_hub_name(facts.recipe.train.init_from) else None,
    }
    metadata = {key: value for key, value in metadata.items() if value}
    if facts.evaluation is not None:
        from huggingface_hub import EvalResult
        from huggingface_hub.repocard_data import eval_results_to_model_index

        common: dict[str, Any] = {
            "task_type": "text-generation",
            "dataset_type": dataset_id(facts),
            "dataset_name": f"{facts.name}, held-out documents",
            "dataset_split": "validation",
        }
        figures = {
            "bits_per_byte": ("bits per byte", facts.evaluation["bits_per_byte"]["value"]),
            "perplexity": ("perplexity per token", facts.evaluation["perplexity"]["value"]),
        }
        results = [
            EvalResult(**common, metric_type=kind, metric_name=name, metric_value=round(float(value), 6))
            for kind, (name, value) in figures.items()
        ]
        metadata["model-index"] = eval_results_to_model_index(facts.name, results)
    return metadata


def eval_results(facts: Facts) -> list[dict[str, Any]]:
    """The entries of .eval_results/: dataset id, task id, value (what `model-index` is being replaced by)."""
    from huggingface_hub._eval_results import EvalResultEntry, eval_result_entries_to_yaml

    evaluation = facts.evaluation
    assert evaluation is not None
    figures = evaluation["bits_per_byte"]
    notes = f"bits per byte, lower is better; {figures['documents']} held-out documents, {figures['bytes']} bytes"
    if figures.get("standard_error") is not None:
        notes += f"; standard error {figures['standard_error']:.4f} over documents"
    value = round(float(figures["value"]), 6)
    return eval_result_entries_to_yaml(
        [EvalResultEntry(dataset_id=dataset_id(facts), task_id="bits_per_byte", value=value, notes=notes)]
    )


def dataset_id(facts: Facts) -> str:
    """The name under which the data would be published: what the Hub allows in a name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", facts.name).strip("-.") or "dataset"


def languages(facts: Facts) -> list[str]:
    """Known for our own sources; a user's text is 'und', undetermined, until someone measures it."""
    kinds = {s.kind for s in facts.data.sources} if facts.data else set()
    return ["en"] if kinds and kinds <= {"synth", "builtin"} else ["und"]


def python_string(text: str) -> str:
    """`text` as a Python literal that cannot close a code fence."""
    return repr(text).replace("`", r"\x60")


def shell_string(text: str) -> str:
    """`text` as one word of a shell, on one line, without a backquote."""
    import shlex

    return shlex.quote(" ".join(text.split()).replace("`", "'"))


def _license(facts: Facts) -> dict[str, Any]:
    sources = facts.data.sources if facts.data else []
    found = words.license_of(sources)
    if found != "other":
        return {"license": found}
    names = sorted({words.source_license(s) for s in sources})
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.-]+", "-", "-and-".join(names).lower())}


def _hub_datasets(facts: Facts) -> list[str]:
    return (
        sorted({s.spec for s in facts.data.sources if s.kind == "hub" and _is_hub_name(s.spec)}) if facts.data else []
    )


def _is_hub_name(name: str | None) -> bool:
    return bool(name and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) and not Path(name).exists())


def _front_matter(metadata: dict[str, Any]) -> str:
    return f"---\n{_yaml(metadata)}---\n"


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
