"""The evaluation stage: eval/base-<hash8>.json and its items, of the base model of a run, and the recipe's suites.

Bits per byte and perplexity on held-out documents, samples, (for models of our stories) how well it speaks the
stories' grammar, and a result file for each suite of tasks. Files are named by the weights' hash, so figures never pass
to other weights. Other commands write into eval/ too: what they wrote stays there when the stage is redone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import say
from smallm.core.files import files_below, new_directory, read_json, sha256_file, write_json
from smallm.core.run import Run
from smallm.evaluate.bits_per_byte import Document, score_documents, summarise
from smallm.evaluate.heldout import gzip_bits_per_byte, held_out_documents, held_out_result, texts_of
from smallm.evaluate.results import FORMAT, task_json, write_items
from smallm.evaluate.sample import Sample, sample_texts
from smallm.evaluate.stage_suites import evaluate_suites
from smallm.evaluate.stories import story_figures

SAMPLE_TOKENS, STORY_TOKENS = 120, 400
# A sample without a prompt of the recipe's begins with so many words of a held-out document.
OPENING_WORDS = 5


def evaluate_base(recipe: Recipe, run: Run) -> Path:
    """Write `eval/` of the run; returns its path."""
    import torch

    from smallm.model.load import load_model

    loaded = load_model(run.path / "base")
    loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    record = _record(run.path / "base")
    documents = held_out_documents(run.path, record["tokenizer_sha256"], recipe.eval.max_tokens)
    scores = score_documents(loaded.model, documents, say=True)
    held_out = held_out_result(run.path / "data", scores)
    samples = _samples(recipe, run, loaded, documents)
    result = {
        "format": FORMAT,
        "model": "base",
        **record,
        **summarise(scores),
        "gzip_bits_per_byte": gzip_bits_per_byte(run.path / "data", documents),
        "samples": [{"prompt": s.prompt, "text": s.text, "seed": s.seed} for s in samples],
        "stories": _stories(recipe, run, loaded),
        # Without what a clock gave: the report's key depends on this file.
        "tasks": {"held-out": {k: v for k, v in task_json(held_out).items() if k not in ("seconds", "cached")}},
    }
    _say_result(result)
    del loaded  # the suites load their own, which a card may not have room for beside this one
    final = run.path / "eval"
    name = f"base-{record['weights_sha256'][:8]}"
    with new_directory(final) as directory:
        _carry_over(run, final, directory)
        items = directory / f"{name}.items.parquet"
        write_items(items, [held_out])
        result |= {"items_file": items.name, "items_sha256": sha256_file(items)}
        result["suites"] = evaluate_suites(recipe, run, directory)
        write_json(directory / f"{name}.json", result)
    return final


def own_files(artefact: Path) -> set[str]:
    """The files of `eval/` that this stage wrote for the run's present weights; the others are other commands'."""
    name = f"base-{_record(artefact.parent / 'base')['weights_sha256'][:8]}"
    suites = read_json(artefact / f"{name}.json")["suites"].values()
    results = [suite["file"].removesuffix(".json") for suite in suites if suite["file"]]
    return {f"{stem}{ending}" for stem in (name, *results) for ending in (".json", ".items.parquet")}


def _carry_over(run: Run, old: Path, new: Path) -> None:
    """Copy what other commands wrote into `old`: what the stage's record does not name, or not with this content.

    Folders below are other stages' artefacts (a fine-tuning's comparison): they stay done, so their records go along.
    """
    record = run.stage_record(old.name)
    mine = record["outputs"] if record else {}
    below = [path for path in old.glob("*/stage.json") if not path.parent.name.endswith((".partial", ".old"))]
    for path in [*files_below(old), *below] if old.is_dir() else []:
        name = path.relative_to(old).as_posix()
        if name not in mine or sha256_file(path) != mine[name]["sha256"]:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, new / name)


def _record(base: Path) -> dict[str, str]:
    """Hashes of the weights and the tokenizer, from smallm.json or (of a model of others) from the files."""
    record = read_json(base / "smallm.json") if (base / "smallm.json").is_file() else {}
    weights = record.get("weights_sha256") or sha256_file(base / "model.safetensors")
    tokenizer = record.get("tokenizer_sha256") or sha256_file(base / "tokenizer.json")
    return {"weights_sha256": weights, "tokenizer_sha256": tokenizer}


def _samples(recipe: Recipe, run: Run, loaded: Any, documents: list[Document]) -> list[Sample]:
    """report.samples continuations of the recipe's prompts, or of the openings of held-out documents."""
    count = recipe.report.samples
    prompts = recipe.prompts or _openings(run.path / "data", {d.id for d in documents}, count)
    chosen = [prompts[i % len(prompts)] for i in range(count)] if prompts else [""] * count
    return sample_texts(loaded, chosen, SAMPLE_TOKENS, recipe.temperature, recipe.seed)


def _stories(recipe: Recipe, run: Run, loaded: Any) -> dict[str, Any] | None:
    """eval.stories stories that go on from the openings of held-out ones; None without our stories in the data."""
    manifest = read_json(run.path / "data" / "manifest.json")
    names = {s["name"] for s in manifest["sources"] if s["kind"] == "synth" and "stories" in s["spec"]}
    if not names or not recipe.eval.stories:
        return None
    held_out = (
        r["text"] for r in texts_of(run.path / "data", "validation", ["text", "source"]) if r["source"] in names
    )
    openings = [
        opening for _, text in zip(range(recipe.eval.stories), held_out, strict=False) if (opening := _opening(text))
    ]
    if not openings:
        return None
    prompts = [openings[i % len(openings)] for i in range(recipe.eval.stories)]
    stories = sample_texts(loaded, prompts, STORY_TOKENS, recipe.temperature, recipe.seed + 1)
    training = (
        row["text"] for row in texts_of(run.path / "data", "train", ["text", "source"]) if row["source"] in names
    )
    return {**story_figures(stories, training), "temperature": recipe.temperature}


def _openings(data: Path, ids: set[str], count: int) -> list[str]:
    found: list[str] = []
    for row in texts_of(data, "validation", ["id", "text"]):
        if row["id"] in ids and (opening := _opening(row["text"])):
            found.append(opening)
        if len(found) == count:
            break
    return found


def _opening(text: str) -> str:
    """The first OPENING_WORDS words as they stand in the text; '' when there are no more than these."""
    parts = text.split(maxsplit=OPENING_WORDS)
    return text[: len(text) - len(parts[-1])].rstrip() if len(parts) > OPENING_WORDS else ""


def _say_result(result: dict[str, Any]) -> None:
    figures = result["bits_per_byte"]
    error = f" ± {figures['standard_error']:.4f}" if figures["standard_error"] is not None else ""
    line = f"evaluation: {figures['value']:.4f}{error} bits per byte on {figures['documents']} held-out documents"
    stories = result["stories"]
    if stories and stories["accepted_share"] is not None:
        line += f"; {100 * stories['accepted_share']:.1f} % of {stories['sentences']} story sentences accepted"
    say(line)
