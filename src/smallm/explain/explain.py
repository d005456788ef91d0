"""`explain`: one model and one prompt, looked at from every side; the data of the page and of the JSON.

Nothing here draws: page.py does, pack.py makes it small, difference.py sets two models side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smallm.core.errors import UserError
from smallm.explain.ablate import Ablation, ablate
from smallm.explain.passes import Pass, run_pass
from smallm.explain.positions import Positions, positions_of
from smallm.explain.steps import Generation, follow
from smallm.explain.subject import Subject
from smallm.explain.tokens import Pieces
from smallm.explain.trace import Trace, trace
from smallm.model.sampling import SamplingConfig


@dataclass(frozen=True)
class Explanation:
    """What was seen. `model` are facts for the head of the page; `ablation` and `generation` None where not asked."""

    model: dict[str, Any]
    prompt: str
    ids: list[int]
    pieces: Pieces
    trace: Trace
    ablation: Ablation | None
    positions: Positions
    generation: Generation | None


def explain(
    subject: Subject,
    prompt: str,
    *,
    ids: Sequence[int] | None = None,
    layers: bool = True,
    heads: bool = False,
    sampling: SamplingConfig | None = None,
    chat: bool = False,
    target: int | None = None,
) -> Explanation:
    """Look at a model's pass over a prompt. `ids`: in place of the tokenizer's (another model's, to compare with it).

    `layers`: remove each layer; `heads`: each head as well. `sampling`: follow a generation so drawn; None: none.
    `chat`: the prompt is a user's message. `target`: the next token that the ablation watches (default: the likeliest).
    UserError: a prompt that does not fit, a model that cannot be looked into.
    """
    ids = list(subject.encode(prompt, chat=chat) if ids is None else ids)
    base = run_pass(subject, ids)
    return Explanation(
        model=facts(subject, base),
        prompt=prompt,
        ids=ids,
        pieces=Pieces(subject.tokenizer),
        trace=trace(subject, base),
        ablation=ablate(subject, base, heads=heads, target=target) if layers or heads else None,
        positions=positions_of(subject, base.layers, len(ids)),
        generation=follow(subject, ids, sampling, chat=chat) if sampling is not None else None,
    )


def explain_both(
    subject: Subject, other: Subject, prompt: str, *, chat: bool = False, **options: Any
) -> tuple[Explanation, Explanation]:
    """Both models on the same ids. UserError: their tokenizers cut the prompt differently."""
    ids = subject.encode(prompt, chat=chat)
    theirs = other.encode(prompt) if not chat else ids
    if opened_alike(subject.tokenizer, ids, theirs) or opened_alike(other.tokenizer, theirs, ids):
        theirs = ids  # they differ in what opens a document alone
    mine, also = Pieces(subject.tokenizer), Pieces(other.tokenizer)
    if theirs != ids or mine.of(ids) != also.of(ids):
        raise UserError(
            f"{subject.name} and {other.name} read the prompt as different tokens ({len(ids)} and {len(theirs)}): "
            "there is nothing to subtract. --against wants a model with the same tokenizer, as a base and its tuning."
        )
    if len(ids) > other.context:
        raise UserError(f"the prompt has {len(ids)} tokens; {other.name} was made for {other.context}. Shorten it.")
    first = explain(subject, prompt, ids=ids, chat=chat, **options)
    target = None if first.ablation is None else first.ablation.target  # of both, so that changes can be subtracted
    if target is not None and target >= other.usable:
        target = None  # the other cannot say it
    return first, explain(other, prompt, ids=ids, chat=chat, target=target, **options)


def opened_alike(tokenizer: Any, long: Sequence[int], short: Sequence[int]) -> bool:
    """Is `long`, which this tokenizer made, `short` behind its BOS?"""
    return long[:1] == [tokenizer.bos_token_id] and long[1:] == short


def facts(subject: Subject, base: Pass) -> dict[str, Any]:
    """What the head of the page says of the model."""
    heads = [len(w) if w is not None else 0 for w in base.weights]
    H, K = subject.heads
    grouped = max(base.kv_heads.values(), default=0)
    settings = subject.loaded.settings
    return {
        "name": subject.name,
        "family": str(getattr(subject.config, "preset" if subject.ours else "model_type", "")),
        "parameters": subject.loaded.parameters,
        "weights_sha256": subject.loaded.weights_sha256,
        "dtype": settings.get("dtype"),
        "quantisation": settings.get("quantisation"),
        "adapter": settings.get("adapter"),
        "layers": base.layers,
        "heads": heads,
        "kv_heads": min(K or H, grouped or H) or max(heads),
        "width": subject.width,
        "vocabulary": subject.usable,
        "context": subject.context,
    }
