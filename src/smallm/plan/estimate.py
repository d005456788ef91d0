"""The plan of a recipe: what it will hold, compute, take and cost, before anything runs.

`make_plan` gives plain data (for `--json`), `render` the page for people, `arithmetic` the lines
that open each packaged recipe; a test holds those lines equal to what is computed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import count, duration
from smallm.model.count import flops_per_token, non_embedding_parameters, parameters
from smallm.model.presets import complete
from smallm.plan.memory import TrainingMemory, training_memory
from smallm.plan.tables import DEFAULT_CARDS, card
from smallm.plan.text import Text, text_at_hand
from smallm.plan.time import Fit, on_card, on_this_machine
from smallm.plan.tune import arithmetic_of_tuning

EPOCHS_TO_WARN = 4.0  # repeating text up to four times is as good as fresh text (Muennighoff et al. 2023)
TOKENS_PER_PARAMETER = 20.0  # compute-optimal (Hoffmann et al. 2022)
_ARITHMETIC = re.compile(r"# \S+ parameters \(|# (Q?LoRA|full): |#   \S+ +.* at \S+ % of its peak")
CHARACTERS = 100  # ids of a character tokenizer before its text was read


@dataclass(frozen=True)
class Plan:
    """Everything that `smallm plan` says. FLOPs are of the whole training."""

    recipe: str
    parameters: int
    non_embedding_parameters: int
    vocab_size: int
    context: int
    tokens: int
    steps: int
    batch_tokens: int
    flops_6n: float
    flops_with_attention: float
    memory: TrainingMemory
    text: Text
    epochs: float | None
    optimal_tokens: int
    machines: tuple[Fit, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"memory": self.memory.as_dict()}


def make_plan(recipe: Recipe, gpus: Sequence[str] = (), *, run: Path | None = None, here: bool = True) -> Plan:
    """The plan for the cards named (by default three and this machine; `here=False` leaves it out)."""
    known = CHARACTERS if recipe.tokenizer.kind == "char" else recipe.tokenizer.vocab_size
    model = complete(recipe.model, known)
    total = parameters(model)
    per_token = flops_per_token(model, model.context)
    tokens = recipe.train.tokens
    text = text_at_hand(recipe, run)
    epochs = tokens / text.tokens if text.tokens else None
    flops = per_token["6N"] * tokens
    machines = [on_card(model, recipe.train, flops, card(name)) for name in gpus or DEFAULT_CARDS]
    if here and not gpus:
        machines.insert(0, on_this_machine(model, recipe.train, flops))
    return Plan(
        recipe=recipe.name,
        parameters=total,
        non_embedding_parameters=non_embedding_parameters(model),
        vocab_size=model.vocab_size,
        context=model.context,
        tokens=tokens,
        steps=math.ceil(tokens / recipe.train.batch_tokens),
        batch_tokens=recipe.train.batch_tokens,
        flops_6n=flops,
        flops_with_attention=per_token["with_attention"] * tokens,
        memory=training_memory(model, recipe.train, half=recipe.train.dtype != "float32", rows=1),
        text=text,
        epochs=epochs,
        optimal_tokens=int(TOKENS_PER_PARAMETER * total),
        machines=tuple(machines),
        warnings=tuple(_warnings(recipe, text, epochs, total, machines)),
    )


def _warnings(recipe: Recipe, text: Text, epochs: float | None, total: int, machines: list[Fit]) -> list[str]:
    found = []
    if epochs is not None and epochs > EPOCHS_TO_WARN:
        wanted = TOKENS_PER_PARAMETER * total
        times = wanted / (text.tokens or 1)
        found.append(
            f"{epochs:.1f} epochs over the text: beyond {EPOCHS_TO_WARN:g} it is learned by heart, not learned from. "
            f"The text has about {count(text.tokens or 0)} tokens; {count(total)} parameters would want about "
            f"{count(wanted)} (20 each, {times:.{0 if times >= 10 else 1}f} times the text). "
            "Add text, take a smaller model, or lower train.tokens."
        )
    if text.bytes == 0 and not recipe.data.sources:
        found.append("data.sources is empty: name the text with --set data.sources=[FILE].")
    for fit in machines:
        if not fit.rows:
            found.append(
                f"{fit.machine}: one row needs {count(fit.needs_bytes, 'B')}, more than it has. "
                "Try train.activation_checkpointing: true or a smaller model.context."
            )
    return found


def render(plan: Plan) -> str:
    """The plan as text for a terminal."""
    memory = plan.memory
    text = "unknown length" if plan.text.tokens is None else f"about {count(plan.text.tokens)} tokens"
    if plan.text.known:
        text = f"{count(plan.text.tokens or 0)} tokens"
    epochs = f", {plan.epochs:.2g} epochs" if plan.epochs is not None else ""
    lines = [
        f"{plan.recipe}",
        f"  parameters   {count(plan.parameters)} ({count(plan.non_embedding_parameters)} without embeddings), "
        f"vocabulary {plan.vocab_size}, context {plan.context}",
        f"  training     {count(plan.tokens)} tokens in {plan.steps} steps of {count(plan.batch_tokens)}",
        f"  text         {text}{epochs} ({plan.text.note})",
        f"  compute      {plan.flops_6n:.3g} FLOPs counting 6N, {plan.flops_with_attention:.3g} with attention",
        f"  memory       weights {count(memory.weights, 'B')}, gradients {count(memory.gradients, 'B')}, "
        f"optimiser {count(memory.optimizer, 'B')}, 16-bit copies {count(memory.casts, 'B')}, "
        f"logits {count(memory.logits, 'B')}, activations {count(memory.activations, 'B')} a row",
        "",
    ]
    width = max(len(fit.machine) for fit in plan.machines) if plan.machines else 0
    for fit in plan.machines:
        has = count(fit.memory_bytes, "B") if fit.memory_bytes else "unknown memory"
        fits = f"fits with {fit.rows} row{'s' if fit.rows != 1 else ''} at a time" if fit.rows else "does not fit"
        took = duration(3600 * fit.hours) if fit.hours is not None else "unknown time"
        cost = f", {fit.cost:.2f} USD" if fit.cost is not None else ""
        lines.append(f"  {fit.machine:<{width}}  {has:>7}: {fits}, {took}{cost}")
        lines.append(f"  {'':<{width}}  at {100 * fit.efficiency:.0f} % ({fit.source})")
    lines += ["", *(f"warning: {warning}" for warning in plan.warnings)]
    return "\n".join(lines).rstrip()


def arithmetic(recipe: Recipe) -> str:
    """The comment that opens a packaged recipe: parameters, tokens, FLOPs, hours and cost; of what it trains."""
    parts = [_pretraining(recipe)] if recipe.data.sources else []
    parts += [arithmetic_of_tuning(recipe)] if recipe.finetune.data else []
    return "\n".join(parts or [_pretraining(recipe)])


def _pretraining(recipe: Recipe) -> str:
    plan = make_plan(recipe, DEFAULT_CARDS, here=False)
    hours = [
        f"#   {fit.machine:<9} {_hours(fit.hours)}, {fit.cost:,.2f} USD, at {100 * fit.efficiency:.0f} % of its peak"
        for fit in plan.machines
    ]
    return "\n".join(
        [
            f"# {count(plan.parameters)} parameters ({count(plan.non_embedding_parameters)} without embeddings), "
            f"{count(plan.tokens)} tokens in {plan.steps:,} steps, {plan.flops_6n:.2e} FLOPs (6N).",
            *hours,
        ]
    )


def _hours(hours: float | None) -> str:
    return "unknown" if hours is None else duration(3600 * hours)


def with_arithmetic(name: str, text: str) -> str:
    """The text of a packaged recipe with its opening comment brought up to date.

    The first line names the recipe; the block of `arithmetic` follows it, between two empty comments.
    """
    from smallm.core.recipe import recipe_from_text

    block = arithmetic(recipe_from_text(text, f"{name}.yaml", Path("/")))
    lines = text.splitlines(keepends=True)
    rest = [line for line in lines[1:] if not _ARITHMETIC.match(line)]
    while rest and rest[0] == "#\n":
        del rest[0]
    return "".join([lines[0], "#\n", block, "\n", "#\n", *rest])


if __name__ == "__main__":  # python -m smallm.plan.estimate: rewrite the openings of the packaged recipes
    for _file in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")):
        _file.write_text(with_arithmetic(_file.stem, _file.read_text("utf-8")), "utf-8")
