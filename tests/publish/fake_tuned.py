"""A finished fine-tuning made up in a second: tokens/<name>, tuned/<name>, eval/<name>, as the stages write them.

`fake_tuned(run, ...)` adds it to a run (of publish/fake_run.py, or to none: a run without any pretraining). The
comparison is the stage's own code on made-up answers; nothing is trained. Texts may be hostile on purpose.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smallm.core import yamltree
from smallm.core.config import FinetuneConfig, Recipe, TuneSource
from smallm.core.files import sha256_bytes, sha256_file, sha256_json, write_bytes, write_json, write_text
from smallm.core.recipe import dump_recipe
from smallm.core.run import Run
from smallm.evaluate.requests import Request, Score
from smallm.evaluate.tasks import Item, Task, parse_task
from smallm.finetune.asked import Asked, TestItem
from smallm.finetune.baseline_sides import TITLES, Baseline
from smallm.finetune.chat_scorer import ENDLESS
from smallm.finetune.conclude import conclusion
from smallm.finetune.forgetting import TASK, GeneralText
from smallm.finetune.sides import Questions, Side, side_of
from smallm.finetune.tuned_tasks import answers_task, written_task

BASE, ADAPTER = sha256_bytes(b"base weights"), b"adapter weights"
TOKENIZER = "cd" * 32
NOUNS = {"cat": "die Katze", "dog": "der Hund", "river": "der Fluss", "song": "das Lied", "mill": "die Mühle"}
VERBS = {"sees": "sieht", "hears": "hört", "loves": "liebt", "finds": "findet"}
LABELS = ("rising", "falling", "unchanged", "unclear")
NOTICE = "No legal advice: check every quotation against the law itself."
Answer = Callable[[TestItem, random.Random], str]


class MadeUp:
    """A `Scorer` whose answers come from a function and whose bits are `bits` a byte, with noise by text."""

    def __init__(self, name: str, weights: str, bits: float, answers: Mapping[str, str], settings: Any) -> None:
        self.name, self.bits, self.table = name, bits, answers
        self.weights_sha256: str | None = weights
        self.parameters: int | None = 3_821_079_552
        self.tokenizer_sha256, self.tokenizer = TOKENIZER, None
        self.max_length = self.room = ENDLESS
        self.settings: dict[str, Any] = settings

    def generate(self, prompts: Any, *, until: Any = (), max_new_tokens: int = 256) -> list[str]:
        return [self.table[prompt] for prompt in prompts]

    def rolling(self, texts: Any) -> list[Score]:
        return [Score(-self._bits(text) * math.log(2), False, max(1, len(text) // 4)) for text in texts]

    def _bits(self, text: str) -> float:
        """What texts have in common (how hard each is) and, a tenth of it, what is this model's own."""
        shared = random.Random(text).gauss(1, 0.2)
        own = random.Random(f"{self.name} {text}").gauss(0, 0.02)
        return self.bits * len(text.encode()) * max(0.1, shared + own)

    def loglikelihoods(self, requests: Sequence[Request]) -> list[Score]:
        raise NotImplementedError

    def chat(self, messages: Any) -> str:
        raise NotImplementedError


def fake_tuned(
    path: Path,
    *,
    name: str = "german",
    kind: str = "translation",
    recipe: Recipe | None = None,
    items: int = 60,
    skill: float = 0.7,
    hostile: str = "",
    notice: str = "",
    nearest: float = 0.35,
    forgotten: float = 1.012,
) -> tuple[Recipe, Run]:
    """Write it into the run at `path`. `skill`: the share of items that the tuned model has right; the base a tenth.

    `recipe`: of a run that pretrains too; its base is then the run's own. `nearest`: the nearest example's skill.
    """
    tune = FinetuneConfig(
        name=name, model=None if recipe else "microsoft/Phi-3.5-mini-instruct", task="translation", language="de",
        data=[TuneSource(synth="translation")], load_in_4bit=recipe is None, notice=notice, test_items=items,
        learning_rate=2e-4, warmup_steps=10,
    )  # fmt: skip
    if kind == "classification":
        tune = replace(tune, task="classification", language="en", labels=list(LABELS))
    recipe = replace(recipe or Recipe(name=path.name, description=hostile or "Phi-3.5 learns German"), finetune=tune)
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / "recipe.yaml", dump_recipe(recipe))
    rows = _rows(kind, items, hostile)
    _tokens(path / "tokens" / name, rows, hostile)
    tuned_sha = _tuned(path / "tuned" / name, recipe)
    _compare(path / "eval" / name, recipe, rows, kind, tuned_sha, {"base": 0.1, "tuned": skill, "nearest": nearest},
             forgotten)  # fmt: skip
    for artefact, seconds in ((f"tokens/{name}", 8.5), (f"tuned/{name}", 7262.0), (f"eval/{name}", 640.0)):
        _stage(path / artefact, seconds)
    return recipe, Run(path)


def _stage(directory: Path, seconds: float) -> None:
    write_json(directory / "stage.json", {
        "stage": directory.parent.name, "stage_version": 1, "key": "k", "inputs": {}, "config": {}, "outputs": {},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "peft": "0.21.2"}, "seed": 0, "seconds": seconds,
        "peak_bytes": 8_320_000_000,
    })  # fmt: skip


def _rows(kind: str, items: int, hostile: str) -> list[dict[str, Any]]:
    """Test items: what is asked, the answer, fields."""
    rng, rows = random.Random(4), []
    for i in range(items):
        a, b, v = rng.choice(list(NOUNS)), rng.choice(list(NOUNS)), rng.choice(list(VERBS))
        if kind == "classification":
            label = LABELS[min(int(rng.expovariate(0.8)), 3)]
            asked = f"Headline {i}: profits of the {a} company are {label} says the {b}. Which way do they move?"
            rows.append({"asked": asked, "answer": label, "fields": {"label": label}})
            continue
        asked = f"Translate into German: The {a} {v} the {b} ({i})."
        answer = f"{NOUNS[a].capitalize()} {VERBS[v]} {NOUNS[b]} ({i})."
        fields = {"held_out": i % 3 == 0, "construction": ("perfect", "modal", "separable verb", "subordinate")[i % 4]}
        rows.append({"asked": asked, "answer": answer, "fields": fields})
    if hostile:
        rows[0]["asked"] += hostile
    return rows


def _tokens(directory: Path, rows: list[dict[str, Any]], hostile: str) -> None:
    """manifest.json, audit.json and test.jsonl; the shards are not read by pages."""
    count = {"train": 18_000, "validation": 360, "test": len(rows)}
    splits = {
        name: {"examples": n, "tokens": n * 61, "trained_tokens": n * 14, "bytes": n * 43, "shards": []}
        for name, n in count.items()
    }
    write_json(directory / "manifest.json", {
        "format": "smallm-examples-1", "base": "Phi-3.5-mini-instruct", "tokenizer_sha256": TOKENIZER,
        "template_sha256": "ef" * 32, "dtype": "uint16", "vocab_size": 32011, "bos_id": 1,
        "end_ids": [32007, 32000, 32001], "max_length": 1024, "train_on": "answers", "system": None,
        "task": "translation", "labels": [], "weights": {"pairs": 1.0}, "sources": [],
        "too_long": {"choice": "raise", "dropped": {}, "cut": {}}, "splits": splits,
    })  # fmt: skip
    pieces = [
        ["<|user|>", False, True], ["\n" + rows[0]["asked"], False, False], ["<|end|>", False, True],
        ["\n", False, False], ["<|assistant|>", False, True], ["\n", False, False],
        [rows[0]["answer"] + hostile, True, False], ["<|end|>", True, True], ["\n", False, False],
    ]  # fmt: skip
    source = {
        "name": "pairs" + hostile, "where": "synth:translation", "kind": "synth", "spec": "translation",
        "format": "columns", "licence": "apache-2.0", "weight": 1.0, "use": "auto", "records": 20_000,
        "examples": 20_000, "dropped": {"twice": 12}, "changed": {}, "notes": [], "warnings": [], "prompt": "", **count,
    }  # fmt: skip
    figures = {
        name: {
            **{k: v for k, v in split.items() if k != "shards"}, "trained_share": round(14 / 61, 6),
            "answers": split["examples"],
            "lengths": {"shortest": 31, "p05": 40, "p25": 52, "median": 60, "p75": 68, "p95": 90, "longest": 133},
            "dropped": 0, "cut": 3 * (name == "train"), "answers_gone": 0, "characters_gone": 0,
            "with_typed_specials": 0, "sources": {}, "labels": {},
        }
        for name, split in splits.items()
    }  # fmt: skip
    write_json(directory / "audit.json", {
        "format": "smallm-audit-1", "splits": figures, "train_on": "answers", "system": None, "max_length": 1024,
        "too_long": "raise", "labels": [], "failures": [], "failed": 0, "notes": ["3 examples were cut" + hostile],
        "template": {"sha256": "ef" * 32, "closing": "<|end|>\n", "end_tokens": ["<|end|>", "<|endoftext|>"],
                     "first_tokens": {"<s>": 18420}, "last_trained_tokens": {"<|end|>": 18420}, "bos_token": "<s>",
                     "bos_per_row": {"1": 18420}, "clock": False},
        "data": {"task": "translation", "language": "de", "sources": [source], "splits": {},
                 "duplicates": {"dropped": {"the same prompt stands in test": 12}, "near": []}, "warnings": []},
        "rows": [{"id": f"{i:016x}", "source": "pairs", "tokens": 61, "trained": 14, "pieces": pieces}
                 for i in range(5)],
    })  # fmt: skip
    lines = [json.dumps({"id": f"{i:016x}", "messages": [{"role": "user", "content": r["asked"]}],
                         "answer": r["answer"], "fields": r["fields"]}) for i, r in enumerate(rows)]  # fmt: skip
    write_text(directory / "test.jsonl", "\n".join(lines) + "\n")


def _tuned(directory: Path, recipe: Recipe) -> str:
    """An adapter's files (the weights are no weights), journals; gives the weights' hash."""
    write_bytes(directory / "adapter_model.safetensors", ADAPTER)
    weights = sha256_json({"adapter": sha256_bytes(ADAPTER), "base": BASE})
    four_bit = recipe.finetune.load_in_4bit
    write_json(directory / "adapter_config.json", {
        "base_model_name_or_path": recipe.finetune.model or "../../base", "peft_type": "LORA", "r": 16,
        "lora_alpha": 16, "use_dora": False, "use_rslora": False, "target_modules": ["qkv_proj", "o_proj"],
    })  # fmt: skip
    write_text(directory / "tokenizer.json", "{}\n")
    write_json(directory / "smallm.json", {
        "format": "smallm-tuned-1", "method": "lora", "base": {"name": recipe.finetune.model or "../../base",
        "revision": None, "weights_sha256": BASE}, "weights_sha256": weights, "tokenizer_sha256": TOKENIZER,
        "template_sha256": "ef" * 32, "end_ids": [32007, 32000, 32001], "adapter_sha256": sha256_bytes(ADAPTER),
        "quantisation": {"type": "nf4", "double": True} if four_bit else None, "parameters": 3_821_079_552,
        "trained_parameters": 25_165_824, "from_scratch": False, "packed_rows": True, "dtypes": {}, "name": "german",
        "coverage": {"modules": {"qkv_proj": 32, "o_proj": 32, "gate_up_proj": 32, "down_proj": 32}, "saved": {},
                     "left_out": {"lm_head": {"count": 1, "why": "the output head"}}, "trained": 25_165_824,
                     "total": 3_821_079_552},
        "census": {"4-bit matrix": {"nf4": 3_623_878_656}, "adapter": {"float32": 25_165_824},
                   "embedding": {"float16": 98_500_608}, "head": {"float16": 98_500_608},
                   "norm": {"float32": 199_680}},
        "steps": 400, "total_steps": 400, "best_step": 300, "best_loss": 0.412, "stopped_early": False,
        "skipped_steps": 1, "tokens_seen": 3_276_800, "trained_tokens": 752_000, "epochs": 2.97,
        "train_seconds": 7261.4, "optimizer": "paged_adamw8bit", "batch_rows": 8, "micro_rows": 2, "max_length": 1024,
        "machine": {"cpu": "A CPU", "cores": 8, "memory_bytes": 13_600_000_000, "gpus": ["Tesla T4"]},
    })  # fmt: skip
    rng, rows = random.Random(2), []
    for step in range(0, 401, 10):
        loss = 0.4 + 1.9 * math.exp(-step / 40) + rng.gauss(0, 0.02) - 0.0003 * step
        row: dict[str, Any] = {"step": step, "tokens": step * 8192}
        row |= {"loss": loss, "learning_rate": 2e-4 * (1 - step / 400), "grad_norm": 0.6} if step else {}
        if step % 50 == 0:
            over = max(0, step - 300) * 0.0006
            row |= {"validation_loss": loss + 0.03 + over,
                    "validation_bits_per_byte": (loss + 0.03 + over) / math.log(2) / 43 * 14}  # fmt: skip
        rows.append(row)
    write_text(directory / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    return weights


def _compare(
    directory: Path, recipe: Recipe, rows: list[dict[str, Any]], kind: str, weights: str, skill: dict[str, float],
    forgotten: float,
) -> None:  # fmt: skip
    """The comparison, by finetune/conclude.py, on made-up answers."""
    tune = recipe.finetune
    asked = [_asked(i, row) for i, row in enumerate(rows)]
    labels = LABELS if kind == "classification" else ()
    questions = Questions(
        kind, asked, written_task(kind, kind, asked, tune, labels=labels), answers_task(asked), _general(), (32007,),
        "ef" * 32, 5 * len(rows),
    )  # fmt: skip
    settings = {"dtype": "float16", "quantisation": "nf4, double" if tune.load_in_4bit else None, "adapter": None}
    directory.mkdir(parents=True)
    sides: list[Side] = []
    for tag, sha, bits, general in (("base", BASE, 0.37, 0.80), (tune.name, weights, 0.13, 0.80 * forgotten)):
        own = skill["base" if tag == "base" else "tuned"]
        table = {one.text: _said(one.item, own, tag, kind) for one in asked}
        # What answers it has is part of what it is: scores are cached by hash and settings.
        own_settings = settings | {"adapter": None if tag == "base" else tag, "made_up": [own, bits, general]}
        chat = MadeUp(tag, sha, bits, table, own_settings)
        plain = MadeUp(tag, sha, general, {}, own_settings)
        sides.append(side_of(recipe, tag, Path(tag), chat, plain, questions, directory))
    names = ("nearest", "majority") if kind == "classification" else ("copy", "nearest")
    baselines = [
        _baseline(name, recipe, questions, skill["nearest"] if name == "nearest" else 0.0, directory) for name in names
    ]
    write_json(directory / "verdict.json", conclusion(recipe, questions, (sides[0], sides[1]), baselines, directory))


def _asked(i: int, row: dict[str, Any]) -> Asked:
    item = TestItem(
        sha256_bytes(f"{i} {row['asked']}".encode())[:16], ({"role": "user", "content": row["asked"]},), row["answer"],
        None, "pairs", "", row["fields"],
    )  # fmt: skip
    return Asked(item, (1, i + 2), (3, 4), f"<|user|>\n{row['asked']}<|end|>\n<|assistant|>\n")


def _said(item: TestItem, skill: float, who: str, kind: str) -> str:
    """A right answer with probability `skill` (the same items are hard for all), else a wrong one."""
    hard = random.Random(item.id).random() * 0.8 + random.Random(f"{who} {item.id}").random() * 0.2
    if hard < skill:
        return item.answer
    rng = random.Random(f"{who} wrong {item.id}")
    if kind == "classification":
        return rng.choice([*LABELS, "I am not able to say <b>that</b>."])
    return "" if rng.random() < 0.1 else " ".join(rng.sample(item.answer.split(), 3)) + " &"


def _baseline(name: str, recipe: Recipe, questions: Questions, skill: float, directory: Path) -> tuple[Baseline, Side]:
    from smallm.evaluate.results import ModelFacts, write_result
    from smallm.evaluate.run_tasks import run_task
    from smallm.finetune.chat_scorer import TableScorer

    assert questions.written is not None
    commonest = questions.asked[0].item.answer
    said = {
        one.text: {"copy": one.item.messages[0]["content"], "majority": commonest}.get(
            name, _said(one.item, skill, name, questions.kind)
        )
        for one in questions.asked
    }
    baseline, scorer = Baseline(name, *TITLES[name], said), TableScorer(name, said, TOKENIZER)
    result = run_task(questions.written, scorer)
    facts = ModelFacts(name, None, None, TOKENIZER, None, scorer.settings)
    return baseline, Side(name, write_result(directory, name, recipe.finetune.name, facts, [result]), facts, (result,))


def _general() -> GeneralText:
    texts = [f"Window {i} of a manual: " + "raises an error if the key is missing. " * 8 for i in range(40)]
    items = tuple(
        Item(sha256_bytes(t.encode())[:16], t, cluster=str(i // 2), bytes=len(t), words=len(t.split()))
        for i, t in enumerate(texts)
    )
    spec = parse_task(yamltree.parse(TASK, "general"))
    task: Task = Task("general", "0a1b2c3d", spec.kind, items, spec.values["metrics"], "bits_per_byte", spec)
    return GeneralText(task, "python-docs", "documentation of Python 3.11.9", 20)


__all__ = ["NOTICE", "fake_tuned", "sha256_file"]
