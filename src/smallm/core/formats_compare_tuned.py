"""The schema of what a fine-tuning's comparison with its base came to: eval/<name>/verdict.json."""

from __future__ import annotations

from smallm.core.format_checks import Format
from smallm.core.formats_eval import FIGURE, HEX64
from smallm.core.schemas import anything, array, boolean, integer, mapping, maybe, number, one_of, record, text

_SIDE = record(
    {
        "name": text("in file names and sentences"),
        "file": text("of its results, beside this file"),
        "weights_sha256": maybe(HEX64),
        "parameters": maybe(integer()),
        "settings": mapping(anything(), "number format, quantisation, template, end tokens, …"),
    }
)
_DIFFERENCE = {
    "difference": maybe(number("b - a, on the same items")),
    "standard_error": maybe(number("of the difference")),
    "low": maybe(number("95 %")),
    "high": maybe(number("95 %")),
    "p_value": maybe(number("of no difference, not corrected")),
    "items": integer(),
    "minimum_detectable": maybe(number("the smallest difference that would be seen 4 times in 5")),
}
_ROW = record(
    {"metric": text(), "title": text(), "higher_is_better": boolean(), "a": FIGURE, "b": FIGURE, **_DIFFERENCE},
    extra=True,
)
_SAID = record({"text": text("what it wrote"), "value": number("the item's own value of the metric")})
_EXAMPLE = record(
    {
        "id": text(),
        "source": text("the set that it came from"),
        "messages": array(record({"role": text(), "content": text()}), "before the answer"),
        "answer": text("the right one"),
        "a": _SAID,
        "b": _SAID,
    }
)
_SLICE = record(
    {
        "value": text(),
        "items": integer(),
        "a": maybe(FIGURE),
        "b": maybe(FIGURE),
        "difference": maybe(record(_DIFFERENCE, extra=True)),
    }
)
_TABLE = array(array(integer()), "rows: the right label; columns: what was said, the last one being none of them")

COMPARE_TUNED_FORMATS: tuple[Format, ...] = (
    Format(
        "verdict of a fine-tuning",
        ("eval/*/verdict.json",),
        "json",
        "Base (a) against tuned (b) on the test items: the verdict and its sentence, figures with paired intervals, "
        "baselines, parts of the items, forgetting, examples. The result files and comparisons lie beside it.",
        record(
            {
                "format": one_of("smallm-tuned-verdict-1"),
                "name": text(),
                "task": one_of("translation", "qa", "classification", "instruct", "statutes", "tagging"),
                "metric": text("the one that decides"),
                "verdict": one_of("better", "worse", "cannot tell", "at chance"),
                "sentence": text(),
                "forgetting_sentence": text("empty: not measured"),
                "items": integer("asked"),
                "test_items": integer("there are"),
                "language": text("of the answers"),
                "base": _SIDE,
                "tuned": _SIDE,
                "comparison": text("file beside this one"),
                "row": _ROW,
                "others": mapping(_ROW, "further metrics of the same answers"),
                "answers": maybe(_ROW | {"description": "bits per byte of the right answers given their prompts"}),
                "signature": maybe(text("sacrebleu's")),
                "needed": maybe(
                    record(
                        {
                            "items": maybe(integer("in all; null: over a million")),
                            "more": maybe(integer("than there were")),
                            "rule": text("how that was reckoned"),
                        }
                    )
                ),
                "chance": maybe(
                    record(
                        {
                            "value": number("what guessing gives"),
                            "low": number("95 % of a guesser's scores lie between"),
                            "high": number("these two"),
                            "a_at_chance": boolean(),
                            "b_at_chance": boolean(),
                        }
                    )
                ),
                "majority": maybe(number("accuracy of always the commonest label of the test items")),
                "baselines": array(
                    record({"name": text(), "title_of": text(), "means": text(), "file": text()}, extra=True),
                    "a is the baseline, b the tuned model",
                ),
                "beyond_baselines": maybe(boolean("the tuned model is better than each; null: none was scored")),
                "forgetting": maybe(
                    record(
                        {
                            "verdict": one_of("none seen", "learned", "slight", "noticeable", "large"),
                            "share": number("of the bits before; positive: worse"),
                            "row": _ROW,
                            "text": record(
                                {
                                    "kind": one_of("file", "held-out", "python-docs"),
                                    "about": text(),
                                    "documents": integer(),
                                    "windows": integer("drawn by hash"),
                                }
                            ),
                            "rule": text(),
                        }
                    )
                ),
                "slices": mapping(array(_SLICE), "field of the examples -> its values"),
                "confusion": maybe(record({"labels": array(text()), "a": _TABLE, "b": _TABLE})),
                "examples": record({"best": array(_EXAMPLE), "worst": array(_EXAMPLE), "random": array(_EXAMPLE)}),
                "notes": array(text(), "what a reader of the figures must know"),
                "not_measured": array(text(), "what has no figure, and why"),
            }
        ),
    ),
)
