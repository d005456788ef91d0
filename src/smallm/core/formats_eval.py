"""The schemas of what evaluation writes: a run's held-out figures, suites of tasks, items, comparisons."""

from __future__ import annotations

from smallm.core.format_checks import Format
from smallm.core.schemas import (
    anything,
    array,
    boolean,
    integer,
    mapping,
    maybe,
    number,
    one_of,
    record,
    text,
)

HEX64 = text("sha256, hexadecimal", pattern="[0-9a-f]{64}")
SAMPLE = {"prompt": text(), "text": text("what the model wrote"), "seed": integer()}

_HELD_OUT = record(
    {
        "value": maybe(number("bits per byte")),
        "standard_error": maybe(number("over documents; null for one document")),
        "documents": integer(),
        "bytes": integer(),
        "tokens": integer(),
    },
    extra=True,
)
_PERPLEXITY = record(
    {"value": maybe(number("token-level")), "low": maybe(number("95 %")), "high": maybe(number("95 %"))}, extra=True
)
_STORIES = record(
    {
        "sampled": integer(),
        "sentences": integer(),
        "accepted_share": maybe(number("of the sentences, by the generator's grammar")),
        "rejected_examples": array(text()),
        "ngram13_in_training_share": maybe(number("of the samples' 13-grams, found in the training text")),
    },
    extra=True,
)
FIGURE = record(
    {
        "value": maybe(number()),
        "standard_error": maybe(number("over clusters; null where it cannot be told")),
        "low": maybe(number("95 %")),
        "high": maybe(number("95 %")),
        "items": integer(),
        "clusters": integer("groups of items that share a passage or a document"),
        "higher_is_better": boolean(),
        "chance": maybe(number("what guessing gives; null where the notion does not apply")),
        "chance_low": maybe(number("95 % of a guesser's scores lie between")),
        "chance_high": maybe(number("these two")),
        "at_chance": maybe(boolean("the value lies inside them")),
    },
    extra=True,
)
_BIN = record(
    {
        "low": number("of the probabilities in it"),
        "high": number(),
        "confidence": maybe(number("mean probability of the answers given")),
        "accuracy": maybe(number("share of them that is right")),
        "items": integer(),
    },
    extra=True,
)
TASK = record(
    {
        "version": text("hash of the task's definition and data"),
        "kind": one_of("choice", "continuation", "generate", "perplexity"),
        "items": integer(),
        "clusters": integer(),
        "primary": text("the metric that comparisons use"),
        "metrics": mapping(FIGURE, "metric -> figure"),
        "marks": mapping(integer(), "what was odd (truncated, spans, windows) -> items"),
        "contamination": record(
            {
                "checked": boolean("was the training data searched for this task's items?"),
                "items": maybe(integer("found there")),
                "clean": maybe(FIGURE | {"description": "the primary metric without them"}),
            },
            extra=True,
        ),
    },
    optional={
        "calibration": maybe(
            record({"ece": maybe(number("expected calibration error")), "brier": maybe(number()), "bins": array(_BIN)},
                   extra=True)
        ),
        "sources": mapping(mapping(FIGURE), "sub-task or domain -> metric -> figure"),
        "signature": maybe(text("sacrebleu's, which says how BLEU and chrF were computed")),
        "seconds": number(),
        "cached": integer("items whose scores were known"),
    },
    extra=True,
)  # fmt: skip
_SKIPPED = record({"task": text(), "why": text()}, extra=True)
_SUITE = record(
    {
        "file": maybe(text("beside this file; null: no task of it could be run")),
        "tasks": mapping(
            record({"version": text(), "items": integer(), "primary": text(), "value": maybe(number())}, extra=True)
        ),
        "skipped": array(_SKIPPED),
    }
)
_MODEL = record(
    {
        "name": text("as the user named it"),
        "path": maybe(text()),
        "weights_sha256": maybe(HEX64 | {"description": "null: cannot be known (a server)"}),
        "tokenizer_sha256": HEX64,
        "parameters": maybe(integer()),
        "settings": mapping(anything(), "everything else that changes a score: dtype, quantisation, adapter, …"),
    },
    extra=True,
)
_SIDE = record(
    {"name": text(), "file": text("of its results"), "weights_sha256": maybe(HEX64), "parameters": maybe(integer())},
    extra=True,
)
_COMPARED = record(
    {
        "task": text(),
        "metric": text(),
        "title": text(),
        "higher_is_better": boolean(),
        "a": FIGURE,
        "b": FIGURE,
        "difference": maybe(number("b - a, on the same items")),
        "standard_error": maybe(number("of the difference")),
        "low": maybe(number("95 %")),
        "high": maybe(number("95 %")),
        "p_value": maybe(number("of no difference")),
        "p_adjusted": maybe(number("over the tasks of this comparison")),
        "test": text("exact McNemar test, sign flips over N items or clusters, …"),
        "items": integer(),
        "clusters": integer(),
        "minimum_detectable": maybe(number("the smallest difference that would be seen 4 times in 5")),
        "a_only": maybe(integer("items that a alone has right")),
        "b_only": maybe(integer()),
        "both": maybe(integer()),
        "neither": maybe(integer()),
        "verdict": one_of("better", "worse", "no difference seen", "both at chance"),
        "contaminated": maybe(boolean("null: the training data was not checked")),
    },
    optional={"false_discovery": maybe(number("the p-value adjusted for the share of false finds"))},
    extra=True,
)

# Evaluation's items: what every row has. One more nullable double column for each further metric of the task.
ITEM_COLUMNS = {
    "task": "string",
    "metric": "string",
    "item": "string",
    "cluster": "string",
    "source": "string",
    "prompt": "string",
    "choices": "list<string>",
    "logprobs": "list<double>",
    "tokens": "list<int64>",
    "answer": "list<string>",
    "prediction": "string",
    "score": "double",
    "weight": "double",
    "correct": "bool",
    "probability": "double",
    "marks": "list<string>",
    "contaminated": "bool",
}

EVALUATION_FORMATS: tuple[Format, ...] = (
    Format(
        "evaluation",
        ("eval/base-????????.json",),
        "json",
        "Held-out figures and samples of a run's model; the name ends in the first 8 digits of the weights' hash.",
        record(
            {
                "format": one_of("smallm-eval-1"),
                "model": text(),
                "weights_sha256": HEX64,
                "tokenizer_sha256": HEX64,
                "bits_per_byte": _HELD_OUT,
                "perplexity": _PERPLEXITY,
                "by_source": mapping(_HELD_OUT),
                "samples": array(record(SAMPLE)),
                "stories": maybe(_STORIES),
                "tasks": mapping(TASK, "one, `held-out`: the same figures as a task that can be compared"),
                "items_file": text("beside this file"),
                "items_sha256": HEX64,
                "suites": mapping(_SUITE, "of the recipe -> where its results are and what they came to"),
            },
            extra=True,
        ),
    ),
    Format(
        "comparison",
        ("eval/compare-*.json", "eval/*/compare-*.json"),
        "json",
        "Two models on the same items, task by task.",
        record(
            {
                "format": one_of("smallm-compare-1"),
                "a": _SIDE,
                "b": _SIDE,
                "tasks": array(_COMPARED),
                "overall": record(
                    {"better": integer("tasks"), "worse": integer(), "unclear": integer(), "sentence": text()},
                    extra=True,
                ),
                "alpha": number("a difference counts when its adjusted p-value is below"),
                "correction": text("for several tasks"),
            },
            optional={
                "flips": array(
                    record({"task": text(), "item": text(), "from": anything(), "to": anything()}, extra=True),
                    "items that one of the two has right and the other wrong",
                ),
                "flips_file": text(),
                "not_compared": array(_SKIPPED, "tasks that only one of the two was evaluated on"),
            },
            extra=True,
        ),
    ),
    Format(
        "results of a suite",
        ("eval/*-????????-*.json", "eval/*/*-????????-*.json"),
        "json",
        "A model on a suite of tasks, named by the model, the first 8 digits of its weights' hash, and the suite. "
        "lm-eval's own keys stand beside ours, so that its tools read the file.",
        record(
            {
                "format": one_of("smallm-eval-1"),
                "model": _MODEL,
                "suite": text(),
                "tasks": mapping(TASK, "task -> its figures"),
                "results": mapping(anything(), "task -> `acc,none`, `acc_stderr,none`, …, as lm-eval writes them"),
                "items_file": text("beside this file"),
                "items_sha256": HEX64,
            },
            optional={
                "skipped": array(_SKIPPED, "tasks whose data was not there"),
                "limit": maybe(integer("items of each task")),
                "seconds": number(),
                "versions": mapping(anything()),
                "n-samples": mapping(anything()),
                "n-shot": mapping(anything()),
                "higher_is_better": mapping(anything()),
                "configs": mapping(anything(), "task -> what it is"),
                "config": mapping(anything()),
                "lm_eval_version": maybe(text("null: lm-eval did not run it")),
                "machine": anything(),
                "package_versions": mapping(text()),
            },
            extra=True,
        ),
    ),
    Format(
        "items",
        ("eval/*.items.parquet", "eval/*/*.items.parquet"),
        "parquet",
        "One row an item of a task, or a held-out document: what was asked, what the model made of it, and its share "
        "of the task's primary metric (`score`, of `weight`). `logprobs` are nats, summed over the `tokens` of each "
        "choice. One more nullable double column for each further metric.",
        columns=ITEM_COLUMNS,
        more_columns=True,
    ),
    Format(
        "evaluation page or figure",
        ("eval/*.html", "eval/*.svg", "eval/*/*.html"),
        "other",
        "A page to browse items or a comparison, complete in itself; a plot.",
    ),
    Format(
        "contamination",
        ("data/contamination.json",),
        "json",
        "Items of tasks that stand in the training text. No such file: nobody looked.",
        array(
            record(
                {
                    "task": text(),
                    "item_id": text("as in the items"),
                    "doc_id": text("of the training document"),
                    "ngram": text("that they share"),
                },
                extra=True,
            )
        ),
    ),
)
