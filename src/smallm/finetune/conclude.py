"""What base against tuned came to: comparisons, the verdict, forgetting, parts of the items, examples: verdict.json.

Everything is computed from the result files that were just written, so that `smallm compare` on them says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.files import read_json, write_json
from smallm.evaluate.compare import compare
from smallm.evaluate.compare_others import one_sided_metrics, other_metrics, pairs_of
from smallm.evaluate.compare_sides import Pair
from smallm.evaluate.results import read_result
from smallm.evaluate.statistics import chance_interval
from smallm.finetune import verdict as say
from smallm.finetune.baseline_sides import Baseline
from smallm.finetune.before_after import confusion, examples, slices
from smallm.finetune.forgetting import GENERAL, forgetting
from smallm.finetune.sides import Questions, Side
from smallm.finetune.tuned_tasks import ANSWERS

# Of tuned/<name>/smallm.json (finetune/save.py, which needs torch).
TUNED_FORMAT = "smallm-tuned-1"


def conclusion(
    recipe: Recipe,
    questions: Questions,
    sides: tuple[Side, Side],
    baselines: Sequence[tuple[Baseline, Side]],
    directory: Path,
) -> dict[str, Any]:
    """verdict.json; writes compare-base-<name>.json and a comparison with each baseline into `directory`."""
    base, tuned = sides
    name = recipe.finetune.name
    comparison = compare_files(base, tuned, directory)
    rows = {row["task"]: row for row in comparison["tasks"]}
    primary = questions.written.name if questions.written else ANSWERS
    row = rows[primary]
    pair = pairs_of(base.file, tuned.file)[primary]
    results = (base.result(primary), tuned.result(primary))
    chance = _chance(questions, row)
    word = say.verdict_word(row, chance=chance)
    needed = say.needed_items(row, len(rows)) if word == say.CANNOT_TELL else None
    against = [_against(baseline, side, tuned, primary, directory) for baseline, side in baselines]
    forgot = forgetting(rows.get(GENERAL), questions.general)
    return {
        "format": say.FORMAT,
        "name": name,
        "task": questions.kind,
        "metric": row["metric"],
        "verdict": word,
        "sentence": say.sentence(name, word, row, against, needed),
        "forgetting_sentence": say.forgetting_sentence(forgot),
        "items": len(questions.asked),
        "test_items": questions.all_items,
        "language": recipe.finetune.language,
        "base": _side(base),
        "tuned": _side(tuned),
        "comparison": comparison_file(base, tuned),
        "row": row,
        "others": other_metrics(pair),
        "answers": rows.get(ANSWERS),
        "signature": results[1].summary.signature,
        "needed": needed,
        "chance": chance,
        "majority": results[1].summary.majority,
        "baselines": against,
        "beyond_baselines": say.beyond_baselines(against),
        "forgetting": forgot,
        "slices": slices(pair, results, questions.items),
        "confusion": confusion(results),
        "examples": examples(results, questions.items, row["metric"], recipe.seed),
        "notes": _notes(base, comparison),
        "not_measured": [*_not_measured(questions, rows, baselines), *_one_sided(pair, name)],
    }


def compare_files(a: Side, b: Side, directory: Path) -> dict[str, Any]:
    """The comparison of two result files, written beside them."""
    comparison = compare(a.file, b.file)
    write_json(directory / comparison_file(a, b), comparison)
    return comparison


def comparison_file(a: Side, b: Side) -> str:
    return f"compare-{a.tag}-{b.tag}.json"


def _against(baseline: Baseline, side: Side, tuned: Side, task: str, directory: Path) -> dict[str, Any]:
    """The tuned model against a baseline, on the primary metric, with the others beside it."""
    comparison = compare_files(side, tuned, directory)
    row = next(row for row in comparison["tasks"] if row["task"] == task)
    figures = read_result(side.file)["tasks"][task]["metrics"]
    about = {"name": baseline.name, "title_of": baseline.title, "means": baseline.means, "file": side.file.name}
    return {**row, **about, "comparison": comparison_file(side, tuned), "metrics": figures}


def _chance(questions: Questions, row: dict[str, Any]) -> dict[str, Any] | None:
    """Where a guesser's accuracy would lie; None where answers are free text."""
    task = questions.written
    if task is None or row["metric"] != "acc" or not task.items[0].choices:
        return None
    names = [item.cluster for item in task.items]
    clusters = names if len(set(names)) < len(names) else None
    level = chance_interval([len(item.choices) for item in task.items], clusters)
    return say.chance_of(row["a"], row["b"], level)


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.model.name,
        "file": side.file.name,
        "weights_sha256": side.model.weights_sha256,
        "parameters": side.model.parameters,
        "settings": side.model.settings,
    }


def _notes(base: Side, comparison: dict[str, Any]) -> list[str]:
    """What a reader of the figures must know."""
    notes = []
    if _from_scratch(base.model.path):
        notes.append(
            "The base is a model from scratch that never saw a turn of chat. It is asked through the same template as "
            "the tuned one, so a part of the difference is the form of the answers"
        )
    if base.model.settings.get("quantisation"):
        notes.append(
            f"Both sides ran on the base's weights in {base.model.settings['quantisation']}, as the adapter was "
            "trained. Merged or served in another format they are another model"
        )
    # That one side has the adapter and is loaded with it is what is compared.
    return [*notes, *(note for note in comparison["notes"] if not note.startswith(("adapter:", "kind:")))]


def _one_sided(pair: Pair, name: str) -> list[str]:
    """Metrics that one side alone has, with their figure."""
    sides = {"a": ("base", name), "b": (name, "base")}
    return [
        f"{title}: {value:.3g} in {sides[side][0]}; {sides[side][1]} has nothing to count it over"
        for title, side, value in one_sided_metrics(pair)
    ]


def _from_scratch(base: str | None) -> bool:
    """Whether smallm pretrained the base: one that was tuned since has seen turns of chat."""
    file = Path(base or "") / "smallm.json"
    return file.is_file() and read_json(file).get("format") != TUNED_FORMAT


def _not_measured(questions: Questions, rows: dict[str, Any], baselines: Sequence[tuple[Baseline, Side]]) -> list[str]:
    """What has no figure, and why."""
    found = []
    if questions.written is None:
        found.append("written answers: the test examples are plain texts, which ask nothing")
    elif not baselines:
        found.append("baselines: none applies to these answers")
    texts = sum(not one.item.messages for one in questions.asked)
    if questions.written is not None and texts:
        found.append(f"written answers of {texts} test items that are plain texts")
    if GENERAL not in rows:
        found.append("forgetting: the general text could not be compared")
    return found
