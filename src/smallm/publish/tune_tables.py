"""A fine-tuning as tables: what was tuned, base against tuned, parts of the items, examples, the audit; plain text.

Rows for the templates of report, cards and write-up, from publish/tune_facts.py; escaping is the templates' work.
"""

from __future__ import annotations

from typing import Any

from smallm.core.console import count, duration
from smallm.publish import task_words as say
from smallm.publish.facts import Facts
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.tune_words import SLICE_TITLES, base_name, method, peak, trained
from smallm.publish.words import joined, percent


def made_rows(facts: Facts, t: TuneFacts) -> list[tuple[str, str]]:
    """What was trained, how, in which formats: label and value."""
    tuned, adapter, tune = t.tuned or {}, t.adapter or {}, facts.recipe.finetune
    coverage = tuned.get("coverage") or {}
    base = tuned.get("base") or {}
    rows = [
        ("Base", base_name(t) + (f", revision {base['revision']}" if base.get("revision") else "")),
        ("Method", method(t)),
        ("Trained parameters", trained(t) + (f" of {count(tuned['parameters'])}" if tuned.get("parameters") else "")),
        ("Targets", targets(coverage, adapter)),
        ("Left as they are", left_out(coverage)),
        ("Number formats", formats(tuned)),
        ("Loss on", {"answers": "the answers' tokens", "last-answer": "the last answer's tokens",
                     "all": "all tokens"}.get(tune.train_on, tune.train_on)),
        ("Rows", rows_of(tuned)),
        ("Steps", steps(tuned)),
        ("Optimiser", f"{tuned.get('optimizer') or tune.optimizer}, peak rate {tune.learning_rate:g}, {tune.schedule}"
                      + (f", {tune.warmup_steps} warm-up steps" if tune.warmup_steps else "")),
        ("Time and memory", time_and_memory(facts, tuned)),
    ]  # fmt: skip
    return [(label, value) for label, value in rows if value]


def targets(coverage: dict[str, Any], adapter: dict[str, Any]) -> str:
    modules = coverage.get("modules") or {}
    if modules:
        return joined([f"{name} × {n}" for name, n in modules.items()])
    named = adapter.get("target_modules")
    return joined(sorted(map(str, named))) if isinstance(named, list) else str(named or "")


def left_out(coverage: dict[str, Any]) -> str:
    found = coverage.get("left_out") or {}
    return "; ".join(f"{name} × {x['count']} ({x['why']})" for name, x in found.items())


def formats(tuned: dict[str, Any]) -> str:
    """'4-bit matrix: nf4 3.6B; norm: float32 0.2M; adapter: float32 25M': the census."""
    census = tuned.get("census") or {}
    return "; ".join(
        f"{kind}: {', '.join(f'{name} {count(n)}' for name, n in sorted(found.items(), key=lambda x: -x[1]))}"
        for kind, found in sorted(census.items(), key=lambda x: -sum(x[1].values()))
    )


def rows_of(tuned: dict[str, Any]) -> str:
    if not tuned.get("batch_rows"):
        return ""
    packed = "whole examples packed, each alone" if tuned.get("packed_rows") else "one example a row"
    size = f"{tuned['batch_rows']} of {tuned.get('max_length')} tokens a step"
    return f"{size}, {tuned.get('micro_rows')} at a time, {packed}"


def steps(tuned: dict[str, Any]) -> str:
    if tuned.get("steps") is None:
        return ""
    best = tuned.get("best_step")
    other = best not in (None, tuned["steps"])
    kept = f"; the weights of step {best:,} were kept (lowest validation loss)" if other else ""
    early = ", stopped early" if tuned.get("stopped_early") else ""
    epochs = f", {tuned['epochs']:g} epochs" if tuned.get("epochs") else ""
    return f"{tuned['steps']:,}{epochs}{early}{kept}"


def time_and_memory(facts: Facts, tuned: dict[str, Any]) -> str:
    seconds = tuned.get("train_seconds")
    parts = [duration(seconds) if seconds is not None else "", peak(facts)]
    if tuned.get("tokens_seen"):
        share = f", {percent(tuned['trained_tokens'] / tuned['tokens_seen'])} of them trained" if tuned.get(
            "trained_tokens") else ""  # fmt: skip
        parts.append(f"{count(tuned['tokens_seen'])} tokens{share}")
    return "; ".join(part for part in parts if part)


# ---- base against tuned --------------------------------------------------------------------------------------------


def figure_rows(t: TuneFacts) -> list[dict[str, Any]]:
    """One row a metric: base, tuned, the paired difference with its interval, each baseline's figure."""
    v = t.verdict
    if v is None:
        return []
    rows = [("", v["row"]), *(("", row) for row in (v["others"] or {}).values())]
    if v["answers"] and v["answers"]["metric"] != v["row"]["metric"]:
        rows.append(("of the right answers, given their prompts", v["answers"]))
    if v["forgetting"]:
        rows.append((f"of general text: {v['forgetting']['text']['about']}", v["forgetting"]["row"]))
    return [_figure_row(i, note, row, v) for i, (note, row) in enumerate(rows)]


def _figure_row(i: int, note: str, row: dict[str, Any], v: dict[str, Any]) -> dict[str, Any]:
    metric = str(row["metric"])
    sign = say.VERDICTS.get(str(row.get("verdict")), ("", ""))
    given = not note and v["baselines"]
    return {
        "title": say.title(metric),
        "note": note,
        "better": "more" if row["higher_is_better"] else "less",
        "decides": i == 0,
        "base": say.number(metric, row["a"]["value"]),
        "base_interval": say.interval(metric, row["a"]),
        "tuned": say.number(metric, row["b"]["value"]),
        "tuned_interval": say.interval(metric, row["b"]),
        "difference": say.difference(metric, row["difference"]),
        "interval": say.difference_interval(metric, row["low"], row["high"]),
        "sign": sign[0],
        "class": sign[1],
        "verdict": str(row.get("verdict") or ""),
        "baselines": [
            say.number(metric, ((b["metrics"] or {}).get(metric) or {}).get("value")) if given else "–"
            for b in v["baselines"]
        ],
    }


def slice_tables(t: TuneFacts) -> list[dict[str, Any]]:
    """Figures of parts of the items: one table a field."""
    v = t.verdict
    if v is None:
        return []
    metric = str(v["metric"])
    return [
        {
            "title": SLICE_TITLES.get(field, field.replace("_", " ")),
            "rows": [
                {
                    "value": row["value"],
                    "items": row["items"],
                    "base": say.number(metric, (row["a"] or {}).get("value")),
                    "tuned": say.number(metric, (row["b"] or {}).get("value")),
                    "interval": say.interval(metric, row["b"]),
                    "difference": say.difference(metric, (row["difference"] or {}).get("difference")),
                }
                for row in rows
            ],
        }
        for field, rows in (v["slices"] or {}).items()
    ]


def examples(t: TuneFacts) -> list[dict[str, Any]]:
    """best, worst and random examples, each with its title: what was asked, right, said before and after."""
    v = t.verdict
    if v is None:
        return []
    metric = str(v["metric"])
    titles = {"best": "Gained most", "worst": "Gained least or lost most", "random": "Drawn at random"}
    return [
        {
            "kind": kind,
            "title": titles[kind],
            "rows": [
                {
                    "asked": e["messages"],
                    "answer": e["answer"],
                    "before": e["a"]["text"],
                    "after": e["b"]["text"],
                    "before_value": say.number(metric, e["a"]["value"]),
                    "after_value": say.number(metric, e["b"]["value"]),
                }
                for e in v["examples"][kind]
            ],
        }
        for kind in titles
        if v["examples"].get(kind)
    ]


# ---- the audit -----------------------------------------------------------------------------------------------------


def split_rows(t: TuneFacts) -> list[dict[str, Any]]:
    """Counts of each split: examples, tokens, trained share, lengths."""
    splits = (t.audit or {}).get("splits") or {}
    return [
        {
            "name": name,
            "examples": split["examples"],
            "tokens": split["tokens"],
            "share": split["trained_share"],
            "median": (split["lengths"] or {}).get("median"),
            "longest": (split["lengths"] or {}).get("longest"),
            "dropped": split["dropped"],
            "cut": split["cut"],
        }
        for name in ("train", "validation", "test")
        if (split := splits.get(name))
    ]


def audit_lines(t: TuneFacts) -> list[str]:
    """What was checked, in sentences: openings, ends, template, duplicates, notes."""
    audit = t.audit
    if audit is None:
        return []
    template, data = audit["template"] or {}, audit["data"] or {}
    lines = []
    if template.get("bos_token"):
        counts = template["bos_per_row"] or {}
        once = set(counts) == {"1"}
        lines.append(
            f"Every row opens with one {template['bos_token']}."
            if once
            else f"Rows by their number of {template['bos_token']}: "
            + joined([f"{n} in {k:,} rows" for n, k in counts.items()])
            + "."
        )
    ends = template.get("last_trained_tokens") or {}
    if ends:
        lines.append(
            "The last token learned is " + joined([f"{name} in {n:,} rows" for name, n in ends.items()])
            + "; an answer ends at " + joined([str(x) for x in template.get("end_tokens") or []]) + "."
        )  # fmt: skip
    duplicates = (data.get("duplicates") or {}).get("dropped") or {}
    lines += [f"{n:,} examples left out: {reason}." for reason, n in duplicates.items()]
    lines += [f"{note}." for note in audit["notes"] or []]
    return lines


def label_rows(t: TuneFacts) -> list[dict[str, Any]]:
    """Examples of each class by split; none where there are no classes."""
    labels = ((t.audit or {}).get("data") or {}).get("labels") or {}
    splits = ("train", "validation", "test")
    return [
        {"label": label, **{split: (labels.get(split) or {}).get(label, 0) for split in splits}}
        for label in labels.get("classes") or []
    ]


def source_rows(t: TuneFacts) -> list[dict[str, Any]]:
    """The sets: name, what it is, licence, examples by split, dropped."""
    return [
        {
            "name": str(s["name"]),
            "spec": str(s["spec"]) if str(s["spec"]).startswith(str(s["kind"])) else f"{s['kind']}: {s['spec']}",
            "licence": str(s["licence"] or "not stated"),
            "format": str(s["format"] or ""),
            "weight": s["weight"],
            "records": s["records"],
            "train": s["train"],
            "validation": s["validation"],
            "test": s["test"],
            "dropped": sum((s["dropped"] or {}).values()),
        }
        for s in t.sources
    ]
