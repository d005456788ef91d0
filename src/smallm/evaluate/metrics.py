"""The metrics of tasks: what each is called, which way is better, and how it is made of columns of the items.

A `mean` is the mean of an item column; a `ratio` is the sum of one column over the sum of another (over the number of
items where `denominator` is None), `exp` applied where `transform` says so; a `corpus` metric is not a sum over items,
its figure comes from corpus_metrics.py. Every figure that is a text's bits or nats is in the columns nats, tokens,
bytes, words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricInfo:
    """One row: `numerator` and `denominator` name columns of the items; `kinds` are the kinds of task it is for.

    `own`: its columns come from a fine-tuning's comparison alone; a task file cannot ask for it.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    kind: Literal["mean", "ratio", "corpus"]
    kinds: tuple[str, ...]
    numerator: str
    denominator: str | None = None
    transform: Literal["exp"] | None = None
    binary: bool = False
    own: bool = False

    @property
    def higher_is_better(self) -> bool:
        return self.better == "higher"


_RIGHT = ("choice", "continuation", "generate")
_ROWS = (
    MetricInfo("acc", "accuracy", "higher", "share", "mean", _RIGHT, "acc", binary=True),
    MetricInfo("acc_norm", "accuracy by character", "higher", "share", "mean", ("choice",), "acc_norm", binary=True),
    MetricInfo("acc_bytes", "accuracy by byte", "higher", "share", "mean", ("choice",), "acc_bytes", binary=True),
    MetricInfo("brier", "Brier score", "lower", "0 to 2", "mean", ("choice",), "brier"),
    MetricInfo("macro_f1", "macro F1", "higher", "share", "corpus", ("choice", "generate"), "acc"),
    MetricInfo("exact_match", "exact match", "higher", "share", "mean", ("generate",), "exact_match", binary=True),
    MetricInfo("f1", "F1 of words", "higher", "share", "mean", ("generate",), "f1"),
    MetricInfo("bleu", "BLEU", "higher", "0 to 100", "corpus", ("generate",), "bleu"),
    MetricInfo("chrf", "chrF", "higher", "0 to 100", "corpus", ("generate",), "chrf"),
    MetricInfo("bits_per_byte", "bits per byte", "lower", "bits", "ratio", ("perplexity",), "bits", "bytes"),
    MetricInfo(
        "word_perplexity", "perplexity by word", "lower", "", "ratio", ("perplexity",), "nats", "words", "exp"
    ),
    MetricInfo(
        "byte_perplexity", "perplexity by byte", "lower", "", "ratio", ("perplexity",), "nats", "bytes", "exp"
    ),
    MetricInfo(
        "token_perplexity", "perplexity by token", "lower", "", "ratio", ("perplexity",), "nats", "scored", "exp"
    ),
    # Of legal questions and of tagging, whose columns finetune/tuned_tasks.py computes.
    MetricInfo(
        "citation", "section cited exactly", "higher", "share", "ratio", ("generate",), "cited", "answerable", own=True
    ),
    MetricInfo(
        "quote_f1", "F1 of the quote's words", "higher", "share", "ratio", ("generate",), "quoted", "answerable",
        own=True,
    ),
    MetricInfo(
        "refusal_precision", "precision of refusals", "higher", "share", "ratio", ("generate",), "refused_right",
        "refused", own=True,
    ),
    MetricInfo(
        "refusal_recall", "recall of refusals", "higher", "share", "ratio", ("generate",), "refused_right",
        "unanswerable", own=True,
    ),
    # F1 of the spans of all items together, 2 TP over predicted and right ones: a ratio of sums.
    MetricInfo(
        "span_f1", "F1 of spans", "higher", "share", "ratio", ("generate",), "spans_twice_right", "spans_both", own=True
    ),
    # As lm-eval's LAMBADA: exp of the mean nats of a target, whatever its tokens.
    MetricInfo("perplexity", "perplexity of the target", "lower", "", "ratio", ("continuation",), "nats", None, "exp"),
)  # fmt: skip
METRICS: dict[str, MetricInfo] = {row.name: row for row in _ROWS}


def metric_info(name: str) -> MetricInfo:
    """The row of a metric; `evaluate:NAME` (a metric of the `evaluate` library) has one made for it."""
    if name in METRICS:
        return METRICS[name]
    return MetricInfo(name, name.removeprefix("evaluate:"), "higher", "", "corpus", ("generate", "choice"), name)
