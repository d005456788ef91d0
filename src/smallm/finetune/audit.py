"""The supervision audit: every example rendered, counted and checked before the first step; one fault stops the run.

`audit` renders all splits by the laws of render.py and lengths.py and gives figures (JSON), the failures (each with the
place of its row) and the rows. It fails closed: `Audit.raise_failures` ends `smallm run` and `smallm audit`.
Reads no files: examples come from sets.py, the renderer from tokens.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from smallm.core.config import FinetuneConfig
from smallm.core.console import progress
from smallm.core.errors import UserError
from smallm.finetune.examples import Example, asked_texts, prompt_text
from smallm.finetune.lengths import Fitted, fit, learned_texts
from smallm.finetune.render import Renderer
from smallm.finetune.shown import shown_row
from smallm.tokenizer.words import id_dtype

SPLITS = ("train", "validation", "test")
FORMAT = "smallm-audit-1"
KEPT_FAILURES = 20
SHOWN = 5
QUANTILES = {"shortest": 0.0, "p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "longest": 1.0}


class Sets(Protocol):
    """What sets.py gives: three lists of examples, and what was read, converted and dropped."""

    @property
    def train(self) -> list[Example]: ...
    @property
    def validation(self) -> list[Example]: ...
    @property
    def test(self) -> list[Example]: ...
    @property
    def report(self) -> dict[str, Any]: ...
    @property
    def labels(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Row:
    """One example as it is trained on: `messages` as rendered (cut, with the system's), ids and mask as arrays.

    `prompt`: tokens before the last answer. `bytes`: UTF-8 bytes of the contents that are learned.
    """

    example: Example
    messages: list[Mapping[str, Any]]
    ids: np.ndarray
    mask: np.ndarray
    turns: int
    prompt: int
    bytes: int
    typed: int
    answers_gone: int
    characters_gone: int

    @property
    def trained(self) -> int:
        return int(self.mask.sum())


@dataclass
class Audit:
    """`figures` are audit.json without failures and shown rows; `failed` counts all failures, `failures` names some."""

    figures: dict[str, Any]
    rows: dict[str, list[Row]]
    failures: list[str] = field(default_factory=list)
    failed: int = 0
    notes: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def add(self, failure: str) -> None:
        """One more failure; the first KEPT_FAILURES are kept in words."""
        self.failed += 1
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(failure)

    def raise_failures(self) -> None:
        """UserError when anything is wrong: nothing is trained then."""
        if self.failed:
            more = f"\n… and {self.failed - len(self.failures)} more." if self.failed > len(self.failures) else ""
            raise UserError("\n".join(self.failures) + more)

    def json(self) -> dict[str, Any]:
        """What audit.json holds."""
        return self.figures | {
            "notes": self.notes,
            "failures": self.failures,
            "failed": self.failed,
            "rows": self.shown,
        }


def audit(sets: Sets, renderer: Renderer, tune: FinetuneConfig, *, shown: int = SHOWN) -> Audit:
    """Render, check and count every example. A template that fits no row raises UserError at once."""
    done = Audit({}, {})
    if any(not one.is_text for split in SPLITS for one in getattr(sets, split)):
        _ = renderer.closing  # a template that fails always, or ends no answer, is said once
    gone: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    total = sum(len(getattr(sets, split)) for split in SPLITS)
    with progress("examples to tokens", total, "examples") as bar:
        seen = 0
        for split in SPLITS:
            done.rows[split] = []
            for one in getattr(sets, split):
                row = _row(one, renderer, tune, done, gone[split])
                if row is not None:
                    done.rows[split].append(row)
                seen += 1
                bar.update(seen)
    _check_sets(done, gone)
    splits = {split: _figures(done.rows[split], gone[split]) for split in SPLITS}
    done.figures = {
        "format": FORMAT,
        "splits": splits,
        "template": _template(renderer, done.rows),
        "train_on": renderer.train_on,
        "system": renderer.system,
        "max_length": tune.max_length,
        "too_long": tune.too_long,
        "labels": list(sets.labels),
        "data": sets.report,
    }
    done.notes = _notes(renderer, done.rows, gone, tune)
    done.shown = [shown_row(renderer, row) for row in _spread(done.rows["train"], shown)]
    return done


def _row(one: Example, renderer: Renderer, tune: FinetuneConfig, done: Audit, gone: Counter[str]) -> Row | None:
    """The example's row; None where it was dropped or broke a law (which `done` then holds)."""
    try:
        fitted = fit(renderer, one.messages, one.place, max_length=tune.max_length, too_long=tune.too_long)
    except UserError as error:
        done.add(str(error))
        return None
    if fitted is None:
        gone["dropped"] += 1
        gone[f"dropped {one.source}"] += 1
        return None
    gone["cut"] += fitted.cut
    return _as_row(one, fitted, renderer)


def _as_row(one: Example, fitted: Fitted, renderer: Renderer) -> Row:
    row = fitted.row
    learned = learned_texts(fitted, renderer)
    dtype = id_dtype(max(row.ids) + 1)
    return Row(
        one, fitted.messages, np.array(row.ids, dtype), np.array(row.mask, bool), row.turns, row.spans[-1][0],
        sum(len(text.encode("utf-8")) for text in learned), row.typed, fitted.answers_gone, fitted.characters_gone,
    )  # fmt: skip


# ---- the sets as a whole ---------------------------------------------------------------------------------------------


def _check_sets(done: Audit, gone: Mapping[str, Counter[str]]) -> None:
    """What no single row shows: nothing left to learn, a prompt that is learned and asked."""
    if not done.rows["train"] and not done.failed:
        dropped = gone["train"]["dropped"]
        done.add(
            f"finetune.data: no example is left to learn ({dropped} over finetune.max_length were dropped). Raise "
            "max_length."
            if dropped
            else "finetune.data: no example to learn. Lower finetune.validation and finetune.test, or give more data."
        )
    asked = {prompt_text(row.example): row for row in done.rows["test"] if not row.example.is_text}
    for row in done.rows["train"]:
        texts = [] if row.example.is_text else asked_texts(row.example)
        if twin := next((asked[text] for text in texts if text in asked), None):
            done.add(
                f"{row.example.place}: the same prompt is learned here and asked in the test ({twin.example.place}). "
                "Remove one of them."
            )


def _notes(
    renderer: Renderer, rows: Mapping[str, list[Row]], gone: Mapping[str, Counter[str]], tune: FinetuneConfig
) -> list[str]:
    """What is right but should be known."""
    found = []
    typed = sum(bool(row.typed) for split in SPLITS for row in rows[split])
    if typed:
        found.append(
            f"{typed} examples hold names of special tokens; they are text here, but servers that tokenise a whole "
            "prompt at once read them as the tokens themselves"
        )
    dropped, cut = (sum(gone[split][what] for split in SPLITS) for what in ("dropped", "cut"))
    if dropped:
        found.append(f"{dropped} examples over finetune.max_length ({tune.max_length} tokens) were left out")
    if cut:
        answers = sum(row.answers_gone for split in SPLITS for row in rows[split])
        lost = f", {answers} earlier answers with it" if answers else ""
        found.append(f"{cut} examples over {tune.max_length} tokens lost the beginning of their prompt{lost}")
    if renderer.template.has_clock:
        found.append("the chat template may write today's date: on another day the same examples have other tokens")
    return found


# ---- figures -------------------------------------------------------------------------------------------------------


def _figures(rows: Sequence[Row], gone: Mapping[str, int]) -> dict[str, Any]:
    """Counts of one split."""
    lengths = np.array([len(row.ids) for row in rows], np.int64)
    sources: dict[str, dict[str, int]] = {}
    for row in rows:
        mine = sources.setdefault(row.example.source, {"examples": 0, "tokens": 0, "trained_tokens": 0, "dropped": 0})
        mine["examples"] += 1
        mine["tokens"] += len(row.ids)
        mine["trained_tokens"] += row.trained
    for key, number in gone.items():
        if key.startswith("dropped "):
            name = key.removeprefix("dropped ")
            sources.setdefault(name, {"examples": 0, "tokens": 0, "trained_tokens": 0})["dropped"] = number
    labels = Counter(str(row.example.fields["label"]) for row in rows if row.example.fields.get("label") is not None)
    tokens, trained = int(lengths.sum()), sum(row.trained for row in rows)
    return {
        "examples": len(rows),
        "tokens": tokens,
        "trained_tokens": trained,
        "trained_share": round(trained / tokens, 6) if tokens else None,
        "bytes": sum(row.bytes for row in rows),
        "answers": sum(row.turns for row in rows),
        "lengths": {name: int(np.quantile(lengths, q, method="nearest")) if rows else None
                    for name, q in QUANTILES.items()},
        "dropped": gone.get("dropped", 0),
        "cut": gone.get("cut", 0),
        "answers_gone": sum(row.answers_gone for row in rows),
        "characters_gone": sum(row.characters_gone for row in rows),
        "with_typed_specials": sum(bool(row.typed) for row in rows),
        "sources": dict(sorted(sources.items())),
        "labels": dict(sorted(labels.items())),
    }  # fmt: skip


def _template(renderer: Renderer, rows: Mapping[str, list[Row]]) -> dict[str, Any]:
    """What opens and ends rows, and how often: the laws of BOS and of the end of turn, in figures."""
    template, every = renderer.template, [row for split in SPLITS for row in rows[split]]
    name = renderer.tokenizer.convert_ids_to_tokens
    openings = Counter(int(row.ids[0]) for row in every)
    ends = Counter(int(row.ids[row.mask][-1]) for row in every)
    bos = [int((row.ids == template.bos).sum()) for row in every] if template.bos is not None else []
    return {
        "sha256": template.sha256,
        "closing": renderer.closing.text if template.source else "",
        "end_tokens": [str(name(i)) for i in renderer.end_ids],
        "first_tokens": {str(name(i)): n for i, n in sorted(openings.items())},
        "last_trained_tokens": {str(name(i)): n for i, n in sorted(ends.items())},
        "bos_token": None if template.bos is None else str(name(template.bos)),
        "bos_per_row": {str(n): k for n, k in sorted(Counter(bos).items())},
        "clock": template.has_clock,
    }


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """At most `count` rows: the sets in turn, and of each evenly over its rows."""
    sets: dict[str, list[Row]] = {}
    for row in rows:
        sets.setdefault(row.example.source, []).append(row)
    count = min(count, len(rows))
    picks = dict.fromkeys(sets, 0)
    while sum(picks.values()) < count:
        for name in picks:
            if sum(picks.values()) < count and picks[name] < len(sets[name]):
                picks[name] += 1
    return [sets[name][i * len(sets[name]) // n] for name, n in picks.items() for i in range(n)]
