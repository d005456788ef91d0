"""A fine-tuning in words: the rows and sentences that report, cards and write-up share, as plain text.

From publish/tune_facts.py; escaping is the templates' work. A fact without a file behind it reads "not measured".
"""

from __future__ import annotations

from typing import Any

from smallm.core.console import count, duration
from smallm.publish import task_words as say
from smallm.publish.facts import Facts
from smallm.publish.task_facts import finite
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.words import NOT_MEASURED, Item, percent

# verdict -> (sign, CSS class, words): sign and word carry what the colour says.
VERDICTS = {
    "better": ("▲", "better", "Better than its base"),
    "worse": ("▼", "worse", "Worse than its base"),
    "cannot tell": ("○", "same", "Cannot tell"),
    "at chance": ("◇", "chance", "At chance"),
}
KINDS = {
    "translation": "translation",
    "qa": "question answering",
    "classification": "classification",
    "instruct": "instructions",
    "statutes": "open-book questions on statutes",
    "tagging": "tagging by generation",
}
SLICE_TITLES = {
    "held_out": "held-out combination",
    "construction": "construction",
    "kind": "kind of question",
    "answerable": "answerable from the text",
    "label": "label",
    "source": "set",
}
FORGOT = {
    "none seen": ("○", "no forgetting seen"),
    "learned": ("▲", "nothing forgotten"),
    "slight": ("▽", "slight"),
    "noticeable": ("▽", "noticeable"),
    "large": ("▼", "large"),
}


def mark(t: TuneFacts) -> tuple[str, str, str]:
    """(sign, class, words) of the verdict. The word of a model that only knows its examples says so."""
    if t.verdict is None:
        return "·", "none", "Not measured"
    found = VERDICTS.get(str(t.verdict["verdict"]), ("·", "none", str(t.verdict["verdict"])))
    if t.verdict["verdict"] == "better" and t.verdict["beyond_baselines"] is False:
        return "△", "mixed", "Better than its base, not than a baseline"
    return found


def verdict(t: TuneFacts) -> str:
    """The sentence that opens the report."""
    if t.verdict is not None:
        return str(t.verdict["sentence"]).replace(" %", "\u00a0%")
    made = f"{base_name(t)} was tuned on {training_size(t)}." if t.tuned else f"{t.name} was not tuned yet."
    why = " The comparison in eval/ is of other weights." if t.stale else ""
    return f"{made} Whether it is better than its base was not measured yet.{why}"


def base_name(t: TuneFacts) -> str:
    """The base as people call it: a name of the Hub, or the directory's own name."""
    name = str(((t.tuned or {}).get("base") or {}).get("name") or "")
    if name == "../../base":
        return "the run's own base"
    if not name.startswith((".", "/")):
        return name or "its base"
    parts = [part for part in name.split("/") if part not in ("", "..", ".")]
    return "/".join(parts[-2:]) if parts[-1:] == ["base"] else parts[-1]


def method(t: TuneFacts) -> str:
    """'QLoRA, rank 16, alpha 16, all-linear', 'LoRA …', 'every weight'."""
    tuned, adapter = t.tuned or {}, t.adapter or {}
    if not tuned:
        return NOT_MEASURED
    if tuned.get("method") == "full":
        return "every weight (full fine-tuning)"
    name = "QLoRA" if tuned.get("quantisation") else "LoRA"
    if adapter.get("use_dora"):
        name += " (weight-decomposed)"
    elif adapter.get("use_rslora"):
        name += " (rank-stabilised)"
    alpha = adapter.get("lora_alpha")
    parts = [name, f"rank {adapter['r']}" if adapter.get("r") else "", f"alpha {alpha:g}" if alpha else ""]
    return ", ".join(part for part in parts if part)


def training_size(t: TuneFacts) -> str:
    train = ((t.manifest or {}).get("splits") or {}).get("train") or {}
    return f"{train['examples']:,} examples" if train.get("examples") is not None else "its examples"


def headline(facts: Facts, t: TuneFacts) -> list[Item]:
    """The strip under the verdict."""
    v, tuned, compared = t.verdict or {}, t.tuned or {}, f"{t.eval_dir}/verdict.json" if t.verdict else None
    items = []
    if v:
        row = v["row"]
        change = say.difference(row["metric"], row["difference"])
        items.append(Item(say.title(row["metric"]), say.number(row["metric"], row["b"]["value"]),
                          f"base {say.number(row['metric'], row['a']['value'])}, {change}", compared))  # fmt: skip
        best = best_baseline(t)
        if best:
            value = say.number(best["metric"], best["a"]["value"])
            items.append(Item("Best baseline", value, best["title_of"], compared))
        items.append(Item("Forgetting", *_forgetting_item(v), compared if v["forgetting"] else None))
        items.append(Item("Test items", f"{v['items']:,}", f"of {v['test_items']:,}", compared))
    else:
        items.append(Item("Base against tuned", NOT_MEASURED, "", None))
    smallm = f"{t.tuned_dir}/smallm.json" if t.tuned else None
    n, total = tuned.get("trained_parameters"), tuned.get("parameters")
    share = f"{percent(n / total)} of {count(total)} parameters" if n and total else ""
    items.append(Item("Trained", NOT_MEASURED if n is None else count(n), share, smallm))
    seconds = tuned.get("train_seconds")
    items.append(Item("Training time", NOT_MEASURED if seconds is None else duration(seconds), peak(facts), smallm))
    return items


def _forgetting_item(v: dict[str, Any]) -> tuple[str, str]:
    found = v["forgetting"]
    if not found:
        return NOT_MEASURED, ""
    word = {"none seen": "none seen", "learned": "none"}.get(found["verdict"], found["verdict"])
    return str(word), f"{signed_percent(found['share'])} bits on general text"


def signed_percent(share: float) -> str:
    return f"{100 * share:+.1f} %".replace("-", say.MINUS).replace(" ", "\u00a0")


def trained(t: TuneFacts) -> str:
    n, total = (t.tuned or {}).get("trained_parameters"), (t.tuned or {}).get("parameters")
    if n is None:
        return NOT_MEASURED
    return f"{count(n)}" + (f" ({percent(n / total)})" if total else "")


def peak(facts: Facts) -> str:
    """'peak memory 1.2 GB' of the fine-tuning."""
    found = next((s.peak_bytes for s in facts.stages if s.name == "tune" and s.peak_bytes), None)
    return f"peak memory {count(float(found), 'B')}" if found else ""


def best_baseline(t: TuneFacts) -> dict[str, Any] | None:
    """The baseline of the best figure on the metric that decides."""
    rows = [b for b in (t.verdict or {}).get("baselines") or [] if finite((b.get("a") or {}).get("value")) is not None]
    sign = {True: 1, False: -1}
    return max(rows, key=lambda b: sign[bool(b["higher_is_better"])] * b["a"]["value"], default=None)


def limits(facts: Facts, t: TuneFacts) -> list[str]:
    """What a reader must not expect of the tuned model, each from a fact."""
    v, found = t.verdict, []
    if v is None:
        why = " (the comparison is of other weights)" if t.stale else ""
        found.append(f"Base against tuned: not measured{why}.")
    else:
        found += [f"{note}." for note in v["notes"]]
        found += [f"Not measured: {line}." for line in v["not_measured"]]
        if v["beyond_baselines"] is False:
            best = best_baseline(t)
            if best:
                found.append(f"It was not seen to be better than {best['title_of']}: {best['means']} may do as well.")
        least = v["row"].get("minimum_detectable")
        if least:
            size = say.difference(v["metric"], least).lstrip("+")
            found.append(f"With {v['row']['items']:,} items, differences under {size} cannot be told from chance.")
        if v["forgetting"] and v["forgetting"]["verdict"] in ("slight", "noticeable", "large"):
            found.append(str(v["forgetting_sentence"]))
    sources = t.sources
    if sources and all(s.get("kind") == "synth" for s in sources):
        found.append(
            "All examples come from a generator with a small vocabulary: figures say how well it learned that "
            "generator, not how well it does on texts that people wrote."
        )
    if facts.recipe.finetune.notice:
        found.append(facts.recipe.finetune.notice)
    found.append("Bias, toxicity and memorised personal data: not measured.")
    return found


def forgetting_mark(t: TuneFacts) -> tuple[str, str]:
    found = (t.verdict or {}).get("forgetting")
    return FORGOT.get(str(found["verdict"]), ("·", str(found["verdict"]))) if found else ("·", NOT_MEASURED)
