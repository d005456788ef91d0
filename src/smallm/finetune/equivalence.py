"""Is it still the same model? Adapter in memory, adapter from disk and merged model on the same prompts.

Each gives its logits at the last positions of every prompt and its greedy answer; compared are the largest and mean
difference, the divergence of the predictions, and how many answers are the same. What counts as equal depends on the
format the weights are stored in, and on what the adapter does at all: rounding that is as large as its whole effect
has erased it, however small it is against the logits. `equivalence.json` keeps the figures beside what was compared.
Letters: P prompts, U positions of a prompt, V vocabulary.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smallm.core.files import read_json, write_json
from smallm.finetune.causal import row_limit

FILE = "equivalence.json"
FORMAT = "smallm-equivalence-1"
POSITIONS = 16  # the last of each prompt
NEW_TOKENS = 24
PROMPTS = 12
# For models without examples at hand: languages, numbers, code, an instruction.
FIXED = (
    "The cat sat on the mat and looked at the river.",
    "Translate into German: The old king hears a song.",
    "Der Vertrag endet mit Ablauf des 31. Dezember, ohne dass es einer Kündigung bedarf.",
    "Question: How many days are in two weeks? Answer:",
    "Q3 revenue rose 12.5 % to $4.1 billion, above expectations.",
    "Once upon a time there was a small dog who",
    "def add(a, b):\n    return",
    "§ 433 Absatz 1 BGB verpflichtet den Verkäufer,",
)


@dataclass(frozen=True)
class Limits:
    """What two models may differ by and still be the same. `spread`: mean difference over the logits' own standard
    deviation; `effect`: over what the adapter changes; `kl` in nats; `answers`: share of equal greedy texts."""

    spread: float
    effect: float
    kl: float
    answers: float
    why: str


# By the coarsest format that either side stores or computes in.
LIMITS = {
    "float32": Limits(1e-4, 1e-2, 1e-5, 0.9, "float32 rounds at 6e-8, sums in another order; answers may flip at ties"),
    "float16": Limits(0.02, 0.25, 2e-3, 0.5, "float16 rounds weights at 5e-4: .01 to .1 of an adapter's effect"),
    "bfloat16": Limits(0.06, 0.25, 1e-2, 0.5, "bfloat16 rounds weights at 4e-3: .01 to .11 of an adapter's effect"),
}


@dataclass(frozen=True)
class Seen:
    """What a model says to the prompts. `logits`: (U, V) each, float32 on the CPU; `answers`: new ids."""

    logits: list[Tensor]
    answers: list[list[int]]
    format: str = "float32"


def look(model: Any, prompts: Sequence[Sequence[int]], end_ids: Sequence[int] = (), *, answers: bool = True) -> Seen:
    """What a Transformers model (adapters, 4-bit weights) says, in evaluation mode; it is left as it was."""
    was_training = model.training
    model.eval()
    prompts = [list(ids)[-_room(model) :] for ids in prompts]
    try:
        with torch.inference_mode():
            logits = [_logits(model, ids) for ids in prompts]
            said = [_greedy(model, ids, set(end_ids)) for ids in prompts] if answers else []
    finally:
        model.train(was_training)
    return Seen(logits, said, _format(model))


def look_at(directory: Path, prompts: Sequence[Sequence[int]], **options: Any) -> tuple[Seen, Seen | None, str]:
    """(what the model of a directory says, for an adapter what its base says without it, its hash): loaded from disk,
    as an evaluation loads it."""
    from smallm.evaluate.local_models import Options, load_local
    from smallm.finetune.save import end_ids_of

    loaded = load_local(directory, Options(**options))
    model, ends = loaded.model, end_ids_of(directory)
    if not hasattr(model, "generate"):  # our decoder: the same directory through Transformers says it the same way
        model = _through_transformers(directory, model)
    seen, bare = look(model, prompts, ends), None
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            bare = look(model, prompts, ends, answers=False)
    return seen, bare, loaded.weights_sha256


def _through_transformers(directory: Path, decoder: Any) -> Any:
    from smallm.evaluate.transformers_models import load_transformers

    weight = next(decoder.parameters())
    return load_transformers(directory, weight.dtype, weight.device, quantise=None, trust_remote_code=False)[0]


def _room(model: Any) -> int:
    """Tokens of a prompt that leave the model's window room for an answer."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    return max(1, min(row_limit(config), 1 << 12) - NEW_TOKENS)


def _logits(model: Any, ids: Sequence[int]) -> Tensor:
    """(U, V): all that is kept of a prompt."""
    device = next(model.parameters()).device
    out = model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0, -POSITIONS:]
    return out.float().cpu()


def _greedy(model: Any, ids: Sequence[int], ends: set[int]) -> list[int]:
    """At most NEW_TOKENS new ids, the end token left out. By `generate`: the cache and the rope of serving."""
    from transformers import GenerationConfig

    device = next(model.parameters()).device
    ids_1T = torch.tensor([list(ids)], device=device)
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0), use_cache=True,
    )  # fmt: skip
    out = model.generate(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), generation_config=config)
    new = out[0, ids_1T.shape[1] :].tolist()
    return new[: next((at for at, i in enumerate(new) if i in ends), len(new))]


def _format(model: Any) -> str:
    """The coarsest floating format among the weights that are not adapters."""
    found = {p.dtype for n, p in model.named_parameters() if p.is_floating_point() and "lora_" not in n}
    for name in ("bfloat16", "float16"):
        if getattr(torch, name) in found:
            return name
    return "float32"


def compare(a: Seen, b: Seen, bare: Seen | None = None, *, stored: str | None = None) -> dict[str, Any]:
    """Figures of b against a (the evaluated one), and `equal` with the reasons against. `bare`: a without its adapter.

    `stored`: the format that b's weights were rounded to on disk.
    """
    rows = [(x, y) for x, y in zip(a.logits, b.logits, strict=True)]
    width = min(min(x.shape[-1], y.shape[-1]) for x, y in rows)  # a vocabulary may be padded
    wanted, found = (torch.cat([x[i][:, :width] for x in rows]) for i in (0, 1))
    difference = (found - wanted).abs()
    log_p, log_q = wanted.log_softmax(-1), found.log_softmax(-1)
    kl = float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
    spread = float(wanted.std())
    figures: dict[str, Any] = {
        "prompts": len(rows),
        "positions": len(wanted),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "logits_spread": spread,
        "kl": max(0.0, kl),
        "same_top_token": float((wanted.argmax(-1) == found.argmax(-1)).float().mean()),
        "equal_answers": _share(a.answers, b.answers),
        "over_effect": None,
    }
    if bare is not None:
        without = torch.cat([x[:, :width] for x in bare.logits])
        effect = float((wanted - without).abs().mean())
        figures["adapter_effect"] = effect
        figures["over_effect"] = figures["mean_difference"] / effect if effect > 0 else None
    coarsest = next((n for n in ("bfloat16", "float16") if n in (a.format, b.format, stored)), "float32")
    limits = LIMITS[coarsest]
    figures |= {"format": coarsest, "limits": asdict(limits)}
    reasons = _reasons(figures, limits)
    return figures | {"equal": not reasons, "reasons": reasons}


def _share(a: list[list[int]], b: list[list[int]]) -> float | None:
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a) if a and b else None


def _reasons(figures: dict[str, Any], limits: Limits) -> list[str]:
    """Why they are not the same, in words."""
    spread, mean = figures["logits_spread"], figures["mean_difference"]
    if not all(math.isfinite(figures[k]) for k in ("mean_difference", "kl", "logits_spread")):
        return ["the logits are not finite"]
    found = []
    if mean > limits.spread * spread:
        found.append(f"mean difference {mean:.2g} is over {limits.spread:g} of the logits' spread ({spread:.2g})")
    if figures["kl"] > limits.kl:
        found.append(f"divergence {figures['kl']:.2g} nats is over {limits.kl:g}")
    # An effect below the rounding itself cannot be told from it; the two limits above hold there.
    over: float | None = figures["over_effect"]
    if over is not None and over > limits.effect and figures["adapter_effect"] > 1e-5 * spread:
        found.append(f"the difference is {over:.2g} of what the adapter does at all (limit {limits.effect:g})")
    if figures["equal_answers"] is not None and figures["equal_answers"] < limits.answers:
        found.append(f"only {100 * figures['equal_answers']:.0f} % of the greedy answers are the same")
    return found


# ---- prompts ---------------------------------------------------------------------------------------------------------


def prompts_for(
    directory: Path, tokenizer: Any, run: Path | None = None, name: str | None = None
) -> tuple[list[list[int]], str]:
    """(ids of the prompts, where they are from): the test set of the fine-tuning's run, else fixed ones."""
    path = run / "tokens" / name / "test.jsonl" if run is not None and name is not None else None
    limit = 512
    if path is not None and path.is_file():
        rows = [line for line in path.read_text("utf-8").splitlines() if line.strip()][:PROMPTS]
        asked = [json.loads(row)["messages"] for row in rows]
        if asked:
            return [ids[-limit:] for ids in _chats(tokenizer, asked)], f"tokens/{name}/test.jsonl"
    if getattr(tokenizer, "chat_template", None):
        return _chats(tokenizer, [[{"role": "user", "content": text}] for text in FIXED]), "fixed, as chat"
    return [list(tokenizer(text)["input_ids"]) for text in FIXED], "fixed"


def _chats(tokenizer: Any, asked: Sequence[list[dict[str, str]]]) -> list[list[int]]:
    from smallm.finetune.render import Renderer

    renderer = Renderer(tokenizer)
    return [renderer.prompt(messages) for messages in asked]


# ---- the record ------------------------------------------------------------------------------------------------------


def record(directory: Path, **entry: Any) -> Path:
    """Add one comparison to equivalence.json of `directory`; those of other pairs stay."""
    path = directory / FILE
    known = read_json(path) if path.is_file() else {"format": FORMAT, "comparisons": []}
    pair = (entry.get("a"), entry.get("b"))
    kept = [c for c in known["comparisons"] if (c.get("a"), c.get("b")) != pair]
    write_json(path, {"format": FORMAT, "comparisons": [*kept, entry]})
    return path


def check_saved(
    decoder: Any,
    directory: Path,
    tokenizer: Any = None,
    run: Path | None = None,
    name: str | None = None,
    release: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Adapter in memory against the one just saved, loaded as an evaluation loads it; recorded beside it.

    To be called with the training's model after `save_tuned`, also in a directory that is not in its place yet (a
    relative name of the base counts from there). `release`: called before the saved one is opened, since two bases may
    not fit; the training's model is then gone. RuntimeError when they differ: our fault, never the user's.
    """
    from smallm.evaluate.model_tokenizer import open_tokenizer
    from smallm.finetune.save import end_ids_of

    tokenizer = open_tokenizer(None, directory) if tokenizer is None else tokenizer
    prompts, source = prompts_for(directory, tokenizer, run, name)
    with decoder.serving_attention():
        memory = look(decoder.model, prompts, end_ids_of(directory))
    if release is not None:
        release()
    disk, bare, sha256 = look_at(directory, prompts)
    whole = directory / "config.json"  # a whole model is rounded to its base's format when it is saved
    found = compare(memory, disk, bare, stored=read_json(whole).get("dtype") if whole.is_file() else None)
    record(directory, a="in memory", b="from disk", weights_sha256=sha256, from_prompts=source, **found)
    if not found["equal"]:
        raise RuntimeError(f"{directory}: what was saved is not what was trained: {'; '.join(found['reasons'])}")
    return found
