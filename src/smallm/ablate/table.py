"""What an ablation found: paired differences with intervals, as Markdown tables and one generated sentence a group.

Differences are the arm's bits per byte minus its baseline's at the same seed; below zero is better. The interval is
Student's over the seeds. The words follow from it alone. Lines in, text out; knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smallm.ablate.design import Ablation, Arm, Group, training_flops
from smallm.ablate.results import Found, Line
from smallm.core.console import count as in_words
from smallm.evaluate.paired import PairedScores, interval_of
from smallm.model import count

NOT_MEASURED = "not measured"
HELPS, HURTS, CANNOT_TELL, ONE_SEED, DIVERGED = "helps", "hurts", "cannot tell", "one seed", "diverged"


@dataclass(frozen=True)
class Difference:
    """arm - baseline over the seeds that both have; low and high are None under two seeds."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Row:
    """One arm: its size, its FLOPs over the baseline's, its mean figure, what it makes of the baseline's."""

    arm: Arm
    is_baseline: bool
    parameters: int
    tokens: int
    flops: float
    seeds: int
    diverged: int
    bits_per_byte: float | None
    difference: Difference | None

    @property
    def verdict(self) -> str:
        """helps, hurts, cannot tell, one seed, diverged or not measured: from the interval, never by hand."""
        if self.diverged:
            return DIVERGED
        if self.difference is None:
            return NOT_MEASURED
        if self.difference.low is None or self.difference.high is None:
            return ONE_SEED
        return HELPS if self.difference.high < 0 else HURTS if self.difference.low > 0 else CANNOT_TELL


def rows_of(ablation: Ablation, group: Group, found: Found) -> list[Row]:
    """The group's rows, the baseline first."""
    base = {s: line for s in ablation.seeds if (line := found.of(ablation, group.base, s))}
    budget = training_flops(group.base.recipe)
    rows = []
    for arm in (group.base, *group.others):
        lines = {s: line for s in ablation.seeds if (line := found.of(ablation, arm, s))}
        values = [line["bits_per_byte"] for line in lines.values() if line["bits_per_byte"] is not None]
        rows.append(
            Row(
                arm,
                arm is group.base,
                count.parameters(arm.recipe.model),
                arm.recipe.train.tokens,
                training_flops(arm.recipe) / budget,
                len(lines),
                len(lines) - len(values),
                sum(values) / len(values) if values else None,
                None if arm is group.base else difference(base, lines),
            )
        )
    return rows


def difference(base: dict[int, Line], arm: dict[int, Line]) -> Difference | None:
    """Paired by seed, with the 95 % t interval; None where no seed has both."""
    both = [s for s in base if s in arm and None not in (base[s]["bits_per_byte"], arm[s]["bits_per_byte"])]
    if not both:
        return None
    a, b = ([lines[s]["bits_per_byte"] for s in both] for lines in (base, arm))
    paired = interval_of(PairedScores(a, b))
    return Difference(paired.difference, paired.low, paired.high, len(both))


# ---- words ---------------------------------------------------------------------------------------------------------


def sentence(group: Group, rows: Sequence[Row]) -> str:
    """What the arms do against the baseline, by their intervals."""
    named: dict[str, list[str]] = {}
    for row in rows:
        if not row.is_baseline:
            named.setdefault(row.verdict, []).append(f"`{row.arm.name}`")
    parts = []
    for verdict, words in (
        (HELPS, ("is better", "are better")),
        (HURTS, ("is worse", "are worse")),
        (DIVERGED, ("diverged", "diverged")),
        (CANNOT_TELL, ("cannot be told apart", "cannot be told apart")),
        (ONE_SEED, ("has one seed, so nothing is said", "have one seed, so nothing is said")),
        (NOT_MEASURED, ("is not measured", "are not measured")),
    ):
        if names := named.get(verdict):
            parts.append(f"{_joined(names)} {words[len(names) > 1]}")
    return f"Against `{group.baseline}`: {'; '.join(parts)}."


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def cells(row: Row) -> list[str]:
    """Parameters, tokens, FLOPs, bits per byte, difference, seeds."""
    bits = NOT_MEASURED if row.bits_per_byte is None else f"{row.bits_per_byte:.4f}"
    if row.diverged:
        bits = f"{DIVERGED} in {row.diverged} of {row.seeds}" + ("" if row.bits_per_byte is None else f"; else {bits}")
    size = [in_words(row.parameters), in_words(row.tokens), f"{row.flops:.2f}"]
    return [*size, bits, "–" if row.is_baseline else shown(row.difference), str(row.seeds)]


def shown(found: Difference | None) -> str:
    """`+0.0123 (+0.0100 to +0.0146)`."""
    if found is None:
        return NOT_MEASURED
    if found.low is None or found.high is None:
        return f"{found.mean:+.4f} (one seed, no interval)"
    return f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


HEAD = ("parameters", "tokens", "FLOPs", "bits per byte", "difference", "seeds")


def markdown_row(items: Sequence[str]) -> str:
    return f"| {' | '.join(items)} |"


def group_block(ablation: Ablation, group: Group, found: Found, link: str = "") -> str:
    """A group as a page shows it: table, sentence, and where all rows stand; `not measured` where no run is made."""
    rows = rows_of(ablation, group, found)
    if not any(row.seeds for row in rows):
        return NOT_MEASURED
    lines = [markdown_row([f"`{group.name}`", *HEAD]), "|" + "---|" * (len(HEAD) + 1)]
    lines += [markdown_row([_name(row), *cells(row)]) for row in rows]
    return "\n".join([*lines, "", sentence(group, rows), *([link] if link else [])])


def _name(row: Row) -> str:
    return f"`{row.arm.name}`" + (" (baseline)" if row.is_baseline else "")


def whole_table(ablation: Ablation, found: Found) -> str:
    """Every group in one table, what it was made on, and how to read it."""
    lines = [markdown_row(["switch", "arm", *HEAD]), "|" + "---|" * (len(HEAD) + 2)]
    sentences = []
    for group in ablation.groups:
        rows = rows_of(ablation, group, found)
        lines += [markdown_row([f"`{group.name}`", _name(row), *cells(row)]) for row in rows]
        if any(row.seeds for row in rows):
            sentences.append(f"- {group.title} (`{group.name}`). {sentence(group, rows)}")
    parts = ["\n".join(lines), caption(ablation, found)]
    return "\n\n".join([*parts, "\n".join(sentences)] if sentences else parts)


def caption(ablation: Ablation, found: Found) -> str:
    """What was run, on what, and what the intervals mean."""
    model = ablation.base.model
    shape = f"{model.layers} layers, {model.width} wide, {in_words(count.parameters(model))} parameters"
    differences = [
        row.difference
        for group in ablation.groups
        for row in rows_of(ablation, group, found)
        if row.difference is not None and row.difference.low is not None
    ]
    made = f"{len(found.lines)} runs are measured" if found.lines else "No run is measured yet"
    words = [
        f"{made}; the base has {shape}, {in_words(ablation.base.train.tokens)} tokens. Held-out bits per byte, less is "
        "better; differences are paired by seed (same text, same order, same first weights where shapes agree), with "
        "Student's 95 % interval. FLOPs, over the baseline's, are equal by rule: tokens follow, unless they are the "
        "switch."
    ]
    if differences:
        words.append(
            f"Of {len(differences)} intervals about {len(differences) / 20:.1f} would leave zero out by chance "
            "alone, and rates were tuned for the base."
        )
    if found.lines:
        machines = sorted({machine_words(line["machine"]) for line in found.lines.values()})
        words.append(f"Arithmetic: {found.dtype}. Machines: {'; '.join(machines)}.")
    if found.apart:
        words.append(f"Left out: {found.apart} runs on another text or in another arithmetic.")
    if found.outdated:
        words.append(f"Left out: {found.outdated} runs of arms as they no longer stand.")
    return " ".join(words)


def machine_words(machine: dict[str, Any]) -> str:
    """`2 cores, AMD EPYC`, or the cards' names."""
    return ", ".join(machine["gpus"]) or f"{machine['cores']} cores, {machine['cpu']}"


def table_json(ablation: Ablation, found: Found) -> dict[str, Any]:
    """The table for machines."""
    groups = {}
    for group in ablation.groups:
        rows = rows_of(ablation, group, found)
        groups[group.name] = {
            "baseline": group.baseline,
            "says": sentence(group, rows),
            "arms": {row.arm.name: _row_json(row) for row in rows},
        }
    return {"ablation": ablation.name, "dtype": found.dtype, "runs": len(found.lines), "groups": groups}


def _row_json(row: Row) -> dict[str, Any]:
    d = row.difference
    return {
        "set": row.arm.keys,
        "parameters": row.parameters,
        "tokens": row.tokens,
        "flops": row.flops,
        "seeds": row.seeds,
        "bits_per_byte": row.bits_per_byte,
        "difference": None if d is None else {"mean": d.mean, "low": d.low, "high": d.high, "seeds": d.seeds},
        "verdict": row.verdict,
    }
