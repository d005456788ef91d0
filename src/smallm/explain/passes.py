"""One forward pass with everything kept, and going on from the middle of it with something removed.

`run_pass` keeps the residual stream before the first layer and after each, every attention, and the logits.
`resume` lets the model's own code run again with the layers before `start` answered from that pass: embedding, masks,
final norm, head, scale and soft cap stay the model's.
Letters: B rows, L layers, T time, D width, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.explain.capture import Attention, around, hidden_of, like
from smallm.explain.subject import Subject


@dataclass(frozen=True)
class Pass:
    """`states`: L + 1 of (1, T, D); `forms`: what each layer returned; `weights`: of each layer, (H, T, T) or None."""

    ids: list[int]
    states: list[Tensor]
    forms: list[Any]
    weights: list[Tensor | None]
    kv_heads: dict[int, int]
    logits_TV: Tensor

    @property
    def layers(self) -> int:
        return len(self.forms)


@torch.inference_mode()
def run_pass(subject: Subject, ids: Sequence[int]) -> Pass:
    """The pass over a prompt. UserError: no attention of the model can be seen, even with the eager implementation."""
    found = _run(subject, ids)
    if not any(w is not None for w in found.weights) and hasattr(subject.model, "set_attn_implementation"):
        before = subject.config._attn_implementation
        say(f"{subject.name}: its attention ({before}) gives no weights; looking at it with the eager one")
        try:
            subject.model.set_attn_implementation("eager")
        except (ValueError, ImportError) as error:
            raise UserError(f"{subject.name}: its attention ({before}) cannot be made eager: {error}") from None
        found = _run(subject, ids)
    if not any(w is not None for w in found.weights):
        raise UserError(
            f"{subject.name}: no attention weights can be seen in {type(subject.model).__name__}: it calls neither "
            "torch's scaled_dot_product_attention nor a softmax over the tokens. `smallm explain` needs one of them."
        )
    return found


def _run(subject: Subject, ids: Sequence[int]) -> Pass:
    states: list[Tensor] = []
    forms: list[Any] = []
    seen = Attention(record=True)

    def act(n: int, run: Callable[[], Any], hidden: Tensor) -> Any:
        if n == 0:
            states.append(hidden)
        seen.layer = n
        output = run()
        seen.layer = None
        states.append(hidden_of(output))
        forms.append(output)
        return output

    ids_1T = torch.tensor([list(ids)], device=subject.device)
    with around(subject.layers, act), seen:
        logits_TV = subject.logits(ids_1T)[0].float()
    if not forms:
        raise UserError(f"{subject.name}: {type(subject.model).__name__} does not run its layers one by one.")
    weights = [seen.weights.get(n) for n in range(len(forms))]
    return Pass(list(ids), states, forms, weights, seen.kv_heads, logits_TV)


@torch.inference_mode()
def resume(
    subject: Subject,
    base: Pass,
    start: int,
    *,
    hidden_BTD: Tensor | None = None,
    keep_BH: Tensor | None = None,
    last: bool = False,
) -> Tensor:
    """logits_BTV of the model from layer `start` on (start = L: final norm and head alone), in float32.

    `hidden_BTD`: the input of that layer, by default what it was. `keep_BH`: 0 for the heads of layer `start` that are
    removed, a row each. `last`: the last position alone.
    """
    injected = base.states[start] if hidden_BTD is None else hidden_BTD
    B = len(injected) if keep_BH is None else len(keep_BH)
    injected = injected.expand(B, -1, -1)
    seen = Attention(keep_BH=keep_BH, of=start)

    def act(n: int, run: Callable[[], Any], hidden: Tensor) -> Any:
        if n < start:
            return like(base.forms[n], injected if n == start - 1 else hidden)
        seen.layer = n
        output = run()
        seen.layer = None
        return output

    ids_BT = torch.tensor([base.ids], device=subject.device).expand(B, -1)
    if start == 0 and hidden_BTD is not None:
        raise ValueError("the first layer's input is the embedding: begin at layer 1 to put another one in")
    with around(subject.layers, act), seen:
        return subject.logits(ids_BT, last=last).float()
