"""The compare stage: base against tuned on the same test items, written to eval/<name>/.

Both sides are asked through the tuned model's own chat template with the same prompt ids, in the number format and
attention that they are served in, greedily and many at a time; results are evaluation's files, the comparison is
evaluation's (paired, with intervals). A base from scratch never saw a turn of chat: it is asked the same way, and the
comparison says so. Baselines (copy, nearest neighbour, commonest label) answer the same items by the same metrics.
"""

from __future__ import annotations

from pathlib import Path

from smallm.core.config import Recipe
from smallm.core.console import say
from smallm.core.files import new_directory, write_json
from smallm.core.run import Run
from smallm.finetune.conclude import conclusion
from smallm.finetune.sides import baseline_files, evaluate_side, questions_of


def compare_with_base(recipe: Recipe, run: Run) -> Path:
    """Write `eval/<name>/` of the run: results and items of both, baselines, comparison, verdict.json; returns it.

    UserError: no test items, a model that does not load, prompts that are not those of the training.
    """
    from smallm.finetune.base import base_directory

    name = recipe.finetune.name
    base, tuned = base_directory(recipe, run), run.path / "tuned" / name
    questions = questions_of(recipe, run, tuned)
    n, of = len(questions.asked), questions.all_items
    say(f"comparing {name} with its base on {n:,} of {of:,} test items ({questions.kind})")
    final = run.path / "eval" / name
    with new_directory(final) as directory:
        sides = (
            evaluate_side(recipe, "base", base, questions, directory),
            evaluate_side(recipe, name, tuned, questions, directory),
        )
        baselines = baseline_files(run.path / "tokens" / name, questions, recipe, sides[1], directory)
        verdict = conclusion(recipe, questions, sides, baselines, directory)
        write_json(directory / "verdict.json", verdict)
    say(verdict["sentence"])
    return final
