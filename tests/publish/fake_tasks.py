"""Results of two models on a suite of seven tasks, made up in a second, in the format of eval/.

`fake_results(run)` adds to a run: base-<hash8>-core.json with its items, the same of a tuned model, their
comparison (all four verdicts), and the tasks' rows of metrics.jsonl. Texts are nasty on purpose.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from publish.fake_run import WEIGHTS, items_table

from smallm.core.files import sha256_bytes, sha256_file, write_json, write_text

TUNED = sha256_bytes(b"tuned weights")
NASTY = [
    "</script><script>alert('x')</script><img src=https://evil.example/x onerror=1>",
    "quotes \" ' ` & &amp; <b>bold</b> {{7*7}} ${7*7} \\u003c \\n",
    "emoji 🦊👩‍👩‍👧‍👦 and combining e\u0301, zero\u200bwidth, NUL-free\u0007bell",
    "עברית ואז English ואז עוד עברית \u202eforced right to left",
    "العربية مع أرقام 123 وإنجليزية inside",
    "line one\n\n\n   indented line\n\ttab\n" * 3,
    "averylongwordthatnobodybroke" * 40,
    "few-shot. " * 600 + "\nQuestion: what is at the end?\nAnswer:",
    "<!-- comment --> ]]> %%% line\u2028separator",
]
SHOTS = "Question: <i>who</i>?\nAnswer: a fox\n\n"
SPEC = {
    # task: (kind, metric, choices, probability that base and tuned are right, items)
    "arc_easy": ("choice", "acc_norm", 4, (0.255, 0.262), 240),
    "agreement": ("choice", "acc", 2, (0.66, 0.86), 400),
    "sentiment": ("choice", "acc", 3, (0.74, 0.55), 300),
    "story-questions": ("choice", "acc", 4, (0.52, 0.525), 160),
    "translate-en-de": ("generate", "bleu", 0, (11.8, 14.1), 60),
    "short-answers": ("generate", "exact_match", 0, (0.31, 0.33), 120),
    "held-out": ("perplexity", "bits_per_byte", 0, (0.612, 0.571), 80),
}
DOMAINS = ("synth-stories", "python-docs", "letters & <i>notes</i>")


def fake_results(run: Path, *, tasks: Sequence[str] = tuple(SPEC), prompts: int = 1) -> dict[str, Path]:
    """Write all of it below run/eval; `prompts` repeats every item (for pages of many items)."""
    paths: dict[str, Path] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    results = {}
    for side, (name, weights) in enumerate((("base", WEIGHTS), ("tuned", TUNED))):
        stem = f"{name}-{weights[:8]}-core"
        rows[name] = [row for task in tasks for row in _items(task, side, prompts)]
        results[name] = _result(name, weights, stem, rows[name], tasks)
        paths[name], paths[f"{name}-items"] = run / "eval" / f"{stem}.json", run / "eval" / f"{stem}.items.parquet"
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(items_table(rows[name]), paths[f"{name}-items"], compression="zstd")
        results[name]["items_sha256"] = sha256_file(paths[f"{name}-items"])
        write_json(paths[name], results[name])
    paths["compare"] = run / "eval" / "compare-base-tuned.json"
    write_json(paths["compare"], fake_comparison(results, rows))
    if (run / "base" / "metrics.jsonl").is_file():
        _curves(run / "base" / "metrics.jsonl")
    return paths


def _items(task: str, side: int, prompts: int) -> list[dict[str, Any]]:
    kind, metric, n_choices, ability, n = SPEC[task]
    texts, answers = random.Random(f"{task} texts"), random.Random(f"{task} answers {side}")
    shared = random.Random(f"{task} difficulty")
    found = []
    for i in range(n * prompts):
        nasty = (
            NASTY[i % len(NASTY)] if i % 5 == 0 else "The old fox walked " + "slowly " * texts.randint(0, 40) + "home."
        )
        prompt = f"{nasty}\nQuestion {i}:"
        row: dict[str, Any] = {
            "task": task, "metric": metric, "item": sha256_bytes(f"{task} {i}".encode())[:16],
            "cluster": f"passage {i // 2}", "source": "", "prompt": prompt, "choices": [], "logprobs": [], "tokens": [],
            "answer": [], "prediction": "", "weight": 1.0, "marks": [], "contaminated": None, "correct": None,
            "probability": None, "nats": None, "bytes": None,
        }  # fmt: skip
        luck = 0.7 * shared.random() + 0.3 * answers.random()  # the two models find the same items hard
        right = luck < _quantile(ability[side])
        row |= _choice(n_choices, right, answers, texts) if kind == "choice" else {}
        row |= _generated(metric, right, texts, answers) if kind == "generate" else {}
        row |= _document(i, ability[side], texts, answers) if kind == "perplexity" else {}
        if task == "agreement":
            row["source"] = ("anaphor_gender", "determiner_noun", "irregular_forms")[i % 3]
        if task == "sentiment":
            row["contaminated"] = i % 25 == 0
        row["marks"] = ["truncated"] if len(prompt) > 4000 else ["spans"] if i % 31 == 0 else []
        found.append(row)
    return found


@cache
def _quantile(share: float) -> float:
    """x with P(0.7 U + 0.3 V < x) = share, by bisection on its distribution (a trapezoid)."""
    low, high = 0.0, 1.0
    grid = (np.arange(200) + 0.5) / 200
    values = (0.7 * grid[:, None] + 0.3 * grid[None, :]).ravel()
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if (values < middle).mean() < share else (low, middle)
    return low


def _choice(n: int, right: bool, answers: random.Random, texts: random.Random) -> dict[str, Any]:
    gold = texts.randrange(n)
    choices = [f" {w} {k}" for k, w in enumerate(texts.sample(["red", "<b>blue</b>", "ירוק", "gelb 🟡"], n))]
    chosen = gold if right else answers.choice([k for k in range(n) if k != gold])
    logprobs = [answers.uniform(-30, -12) for _ in range(n)]
    logprobs[chosen] = max(logprobs) + answers.expovariate(1.2) + 0.05
    weights = [math.exp(x - max(logprobs)) for x in logprobs]
    return {
        "choices": choices, "logprobs": logprobs, "tokens": [3] * n, "answer": [choices[gold]],
        "prediction": choices[chosen], "score": float(right), "correct": right,
        "probability": max(weights) / sum(weights),
    }  # fmt: skip


def _generated(metric: str, right: bool, texts: random.Random, answers: random.Random) -> dict[str, Any]:
    words = [
        "der",
        "alte",
        "Fuchs",
        "ging",
        "langsam",
        "nach",
        "Hause",
        "und",
        "<i>schlief</i>",
        "bis",
        "zum",
        "Morgen",
    ]
    reference = " ".join(texts.choices(words, k=texts.randint(2, 14)))
    text = reference if right else " ".join(answers.choices(words, k=answers.randint(1, 20)))
    score = float(right) if metric == "exact_match" else answers.uniform(2, 30)
    return {
        "answer": [reference, "another reference"], "prediction": text, "score": score,
        "correct": right if metric == "exact_match" else None,
    }  # fmt: skip


def _document(i: int, bits: float, texts: random.Random, answers: random.Random) -> dict[str, Any]:
    size = texts.randint(200, 4000)
    found = bits * (1, 3.1, 1.7)[i % 3] * size * answers.uniform(0.9, 1.1)
    return {
        "source": DOMAINS[i % 3], "score": found, "weight": float(size), "nats": found * math.log(2),
        "bytes": float(size), "logprobs": [-found * math.log(2)], "tokens": [size // 4],
    }  # fmt: skip


def _figure(rows: list[dict[str, Any]], metric: str, n_choices: int = 0) -> dict[str, Any]:
    y, x = np.array([r["score"] for r in rows]), np.array([r["weight"] for r in rows])
    value, n = float(y.sum() / x.sum()), len(rows)
    error = float(math.sqrt(n / (n - 1) * ((y - value * x) ** 2).sum()) / x.sum())
    chance = 1 / n_choices if n_choices else None
    half = 1.96 * math.sqrt(chance * (1 - chance) / n) if chance else 0.0
    return {
        "value": value, "standard_error": error, "low": value - 1.96 * error, "high": value + 1.96 * error,
        "items": n, "clusters": len({r["cluster"] for r in rows}), "higher_is_better": metric != "bits_per_byte",
        "chance": chance, "chance_low": chance and chance - half, "chance_high": chance and chance + half,
        "at_chance": bool(abs(value - chance) <= half) if chance else None,
    }  # fmt: skip


def _bins(rows: list[dict[str, Any]]) -> dict[str, Any]:
    bins = []
    for k in range(10):
        inside = [r for r in rows if k / 10 <= r["probability"] < (k + 1) / 10 or (k == 9 and r["probability"] == 1)]
        if inside:
            bins.append(
                {"low": k / 10, "high": (k + 1) / 10, "items": len(inside),
                 "confidence": sum(r["probability"] for r in inside) / len(inside),
                 "accuracy": sum(r["correct"] for r in inside) / len(inside)}
            )  # fmt: skip
    ece = sum(b["items"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(rows)
    return {"ece": ece, "brier": 0.21, "bins": bins}


def _result(name: str, weights: str, stem: str, rows: list[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    tasks = {}
    for task in names:
        kind, metric, n_choices, _, _ = SPEC[task]
        own = [r for r in rows if r["task"] == task]
        counted = {mark: sum(mark in r["marks"] for r in own) for mark in ("truncated", "spans")}
        hits = sum(bool(r["contaminated"]) for r in own) if task == "sentiment" else 0
        checked = task in ("sentiment", "agreement")
        clean = _figure([r for r in own if not r["contaminated"]], metric, n_choices) if hits else None
        sources = sorted({r["source"] for r in own if r["source"]})
        figure = _figure(own, metric, n_choices)
        metrics = {metric: figure}
        if metric == "acc_norm":
            metrics["acc"] = figure | {"value": figure["value"] - 0.01}
        if metric == "bleu":
            metrics["chrf"] = figure | {"value": 38.2, "low": 36.0, "high": 40.4}
        tasks[task] = {
            "version": "0a1b2c3d", "kind": kind, "items": len(own), "clusters": figure["clusters"], "primary": metric,
            "metrics": metrics, "marks": {k: v for k, v in counted.items() if v},
            "contamination": {"checked": checked, "items": hits if checked else None, "clean": clean},
            "calibration": _bins(own) if kind == "choice" else None, "seconds": 1.5, "cached": 0,
            "sources": {s: {metric: _figure([r for r in own if r["source"] == s], metric, n_choices)} for s in sources},
            **({"majority": 0.42} if task == "sentiment" else {}),
            "signature": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0" if metric == "bleu" else None,
        }  # fmt: skip
    return {
        "format": "smallm-eval-1", "suite": "core",
        "model": {"name": f"runs/quickstart/{name}", "path": f"runs/quickstart/{name}", "weights_sha256": weights,
                  "tokenizer_sha256": "ab" * 32, "parameters": 4_198_400, "settings": {"dtype": "float32"}},
        "tasks": tasks, "results": {}, "versions": {}, "n-samples": {}, "n-shot": {}, "higher_is_better": {},
        "configs": {"short-answers": {"prefix": SHOTS}}, "config": {}, "lm_eval_version": None,
        "machine": {"cpu": "A CPU", "cores": 2},
        "package_versions": {}, "items_file": f"{stem}.items.parquet", "limit": None, "seconds": 10.5,
        "skipped": [{"task": "lambada", "why": "its data is not on <this> machine"}],
    }  # fmt: skip


def fake_comparison(results: dict[str, Any], rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """compare-base-tuned.json: real differences and errors of the rows, verdicts by normal p-values and Holm."""
    tasks, flips = [], []
    for task in results["base"]["tasks"]:
        _, metric, n_choices, _, _ = SPEC[task]
        a, b = ([r for r in rows[side] if r["task"] == task] for side in ("base", "tuned"))
        fig_a, fig_b = (results[side]["tasks"][task]["metrics"][metric] for side in ("base", "tuned"))
        y = np.array([q["score"] / q["weight"] - p["score"] / p["weight"] for p, q in zip(a, b, strict=True)])
        mean, error = float(fig_b["value"] - fig_a["value"]), float(y.std(ddof=1) / math.sqrt(len(y)))
        p_value = math.erfc(abs(mean / error) / math.sqrt(2))
        binary = a[0]["correct"] is not None
        pairs = [(p["correct"], q["correct"]) for p, q in zip(a, b, strict=True)] if binary else []
        adjusted = min(1.0, p_value * len(SPEC))
        higher = metric != "bits_per_byte"
        verdict = "no difference seen"
        if n_choices and fig_a["at_chance"] and fig_b["at_chance"]:
            verdict = "both at chance"
        elif adjusted < 0.05:
            verdict = "better" if (mean > 0) == higher else "worse"
        tasks.append(
            {
                "task": task, "metric": metric, "title": metric, "higher_is_better": higher, "a": fig_a, "b": fig_b,
                "difference": mean, "standard_error": error, "low": mean - 1.96 * error, "high": mean + 1.96 * error,
                "p_value": p_value, "p_adjusted": adjusted, "test": "exact McNemar" if binary else "paired permutation",
                "items": len(a), "clusters": fig_a["clusters"], "minimum_detectable": 2.8 * error,
                "a_only": pairs.count((True, False)) if binary else None,
                "b_only": pairs.count((False, True)) if binary else None,
                "both": pairs.count((True, True)) if binary else None,
                "neither": pairs.count((False, False)) if binary else None,
                "verdict": verdict, "contaminated": {"sentiment": True, "agreement": False}.get(task),
            }
        )  # fmt: skip
        for p, q, (was, now) in zip(a, b, pairs, strict=False):
            if was != now:
                words = {True: "right", False: "wrong"}
                flips.append({"task": task, "item": p["item"], "from": words[was], "to": words[now]})
                assert p["item"] == q["item"]
    counts = {word: sum(t["verdict"] == word for t in tasks) for word in ("better", "worse")}
    return {
        "format": "smallm-compare-1",
        "a": {"name": "runs/quickstart/base", "file": f"base-{WEIGHTS[:8]}-core.json", "weights_sha256": WEIGHTS,
              "parameters": 4_198_400},
        "b": {"name": "runs/quickstart/tuned", "file": f"tuned-{TUNED[:8]}-core.json", "weights_sha256": TUNED,
              "parameters": 4_198_400},
        "tasks": tasks,
        "overall": {
            **counts, "unclear": len(tasks) - sum(counts.values()),
            "sentence": f"runs/quickstart/tuned is better than runs/quickstart/base in {counts['better']} of "
            f"{len(tasks)} tasks and worse in {counts['worse']}.",
        },
        "not_compared": [{"task": "lambada", "why": "only base has it (core); tuned was not evaluated on <it>"}],
        "notes": ["number format: bfloat16 in base, float32 in tuned"],
        "alpha": 0.05, "correction": f"Holm over {len(tasks)} tasks", "flips": flips,
    }  # fmt: skip


def _curves(file: Path) -> None:
    """Tasks in the rows of metrics.jsonl that have a validation."""
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        if "validation_loss" in row:
            learned = 1 - math.exp(-row["step"] / 60)
            row["tasks"] = {
                "arc_easy": {"acc_norm": 0.25 + 0.01 * math.sin(row["step"])},
                "agreement": {"acc": 0.5 + 0.17 * learned},
                "held-out": {"bits_per_byte": 3.0 - 2.4 * learned},
            }
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
