"""The schemas of tokens/<name>/ of a fine-tuning: masked tokens, what was audited, what is asked later."""

from __future__ import annotations

from smallm.core.format_checks import Format
from smallm.core.formats_eval import HEX64
from smallm.core.schemas import anything, array, boolean, integer, mapping, maybe, number, one_of, record, text

_COUNTS = {
    "examples": integer(),
    "tokens": integer("all of the rows"),
    "trained_tokens": integer("labels: the answers and their end tokens"),
    "bytes": integer("UTF-8, of the contents that are learned"),
}
_SHARD = record(
    {
        "path": text("of the .bin, beside the manifest; .idx and .mask have its name"),
        "sha256": HEX64,
        "mask_sha256": HEX64,
        "examples": integer(),
        "tokens": integer(),
        "trained_tokens": integer(),
    },
    optional={"source": text("train: the set that it holds"), "weight": number("train: how often an epoch sees it")},
)
_SPLIT = record(_COUNTS | {"shards": array(_SHARD)})
_BY_SPLIT = record({"train": integer(), "validation": integer(), "test": integer()})
_MESSAGE = record({"role": text("system, user or assistant"), "content": text()})
_LENGTHS = {name: maybe(integer("tokens")) for name in ("shortest", "p05", "p25", "median", "p75", "p95", "longest")}
_AUDITED = record(
    _COUNTS
    | {
        "trained_share": maybe(number("trained_tokens / tokens")),
        "answers": integer("learned ones; each ends in a learned end token"),
        "lengths": record(_LENGTHS),
        "dropped": integer("examples over max_length that were left out"),
        "cut": integer("examples over max_length that lost the beginning of their prompt"),
        "answers_gone": integer("earlier answers that went with it"),
        "characters_gone": integer("of the last question's beginning"),
        "with_typed_specials": integer("examples whose text holds a special token's name (it stays text)"),
        "sources": mapping(
            record(
                {
                    "examples": integer(),
                    "tokens": integer(),
                    "trained_tokens": integer(),
                    "dropped": integer("over max_length"),
                }
            ),
            "set -> counts",
        ),
        "labels": mapping(integer(), "label -> examples, where they have one"),
    }
)
_TEMPLATE = record(
    {
        "sha256": HEX64 | {"description": "of the chat template's text"},
        "closing": text("what it writes after the last answer"),
        "end_tokens": array(text(), "where generation stops, as far as the template and EOS say"),
        "first_tokens": mapping(integer(), "token -> rows that open with it"),
        "last_trained_tokens": mapping(integer(), "token -> rows whose last label it is"),
        "bos_token": maybe(text("null: the tokenizer has none")),
        "bos_per_row": mapping(integer(), "how many BOS -> rows"),
        "clock": boolean("whether it may write today's date"),
    }
)

EXAMPLES_FORMATS: tuple[Format, ...] = (
    Format(
        "token mask",
        ("tokens/*/train-*.mask", "tokens/*/validation-*.mask"),
        "mask",
        "Of a fine-tuning: one byte a token of the shard, 1 = it is a label, 0 = it is not. Beside a mask, a document "
        "is one example, `bytes` of the index are those of what is learned, and the id is the example's, filled up.",
    ),
    Format(
        "test examples",
        ("tokens/*/test.jsonl",),
        "jsonl",
        "What base and tuned model are asked; empty where nothing was held out.",
        record(
            {
                "id": text("16 hexadecimal digits of the content"),
                "messages": array(_MESSAGE, "before the answer, as rendered; none of a plain text"),
                "answer": text("the right one; the text itself, of a plain text"),
                "prompt_ids_length": integer("tokens before the answer"),
                "source": text("the set's name"),
                "cluster": text("what it shares a passage or document with; may be empty"),
                "fields": mapping(anything(), "for evaluation: label, held_out, construction, citation, …"),
            }
        ),
    ),
    Format(
        "examples",
        ("tokens/*/examples.parquet",),
        "parquet",
        "Every example, by split and in order: its messages as rendered (JSON), its tokens and labels.",
        columns={
            "id": "string",
            "split": "string",
            "source": "string",
            "messages": "string",
            "tokens": "int64",
            "trained": "int64",
        },
    ),
    Format(
        "audit",
        ("tokens/*/audit.json",),
        "json",
        "The supervision audit: what is trained, by split; what opens and ends the rows; some rows, piece by piece.",
        record(
            {
                "format": one_of("smallm-audit-1"),
                "splits": mapping(_AUDITED, "train, validation and test"),
                "template": _TEMPLATE,
                "train_on": one_of("answers", "last-answer", "all"),
                "system": maybe(text("put before conversations that have none")),
                "max_length": integer("tokens"),
                "too_long": one_of("raise", "drop", "truncate"),
                "labels": array(text(), "the classes of a classification"),
                "data": mapping(anything(), "what was read, converted, split and dropped as duplicate"),
                "notes": array(text(), "what is right but should be known"),
                "failures": array(text(), "empty: with one, nothing is written"),
                "failed": integer(),
                "rows": array(
                    record(
                        {
                            "id": text(),
                            "source": text(),
                            "tokens": integer(),
                            "trained": integer(),
                            "pieces": array(array(anything()), "[text, is it learned, is it a special token]"),
                        }
                    ),
                    "of train, shown",
                ),
            }
        ),
    ),
    Format(
        "examples manifest",
        ("tokens/*/manifest.json",),
        "json",
        "Shards of a fine-tuning's examples, their weights, and the tokenizer and template that made them.",
        record(
            {
                "format": one_of("smallm-examples-1"),
                "base": maybe(text("the model that is tuned, by its last name; null: the run's own")),
                "tokenizer_sha256": HEX64,
                "template_sha256": HEX64,
                "dtype": one_of("uint16", "uint32"),
                "vocab_size": integer("of the tokenizer; the model's embedding may be larger"),
                "bos_id": maybe(integer()),
                "end_ids": array(integer(), "where generation stops: the template's ends, EOS, the base's own"),
                "max_length": integer("no row is longer"),
                "train_on": one_of("answers", "last-answer", "all"),
                "system": maybe(text()),
                "task": one_of("instruct", "translation", "qa", "classification"),
                "labels": array(text(), "the classes of a classification"),
                "weights": mapping(number(), "set -> how often an epoch sees its examples"),
                "sources": array(mapping(anything()), "the sets: format, licence, counts"),
                "too_long": record(
                    {"choice": one_of("raise", "drop", "truncate"), "dropped": _BY_SPLIT, "cut": _BY_SPLIT}
                ),
                "splits": record({"train": _SPLIT, "validation": _SPLIT, "test": _SPLIT}),
            }
        ),
    ),
)
