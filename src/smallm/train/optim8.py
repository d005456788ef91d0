"""AdamW with 8-bit moments, by bitsandbytes: made, and its state through checkpoints exactly.

Two moments of a byte each, in blocks of 256 with a scale (Dettmers et al. 2022), for parameters of at least 4,096
elements; smaller ones keep float32. Paged ones live in memory that CUDA moves to the host when the card is full;
the CPU has no pages and takes the plain ones, said. Its state holds numbers and shared tables beside tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from smallm.core.console import say
from smallm.core.errors import UserError

KINDS = ("adamw8bit", "paged_adamw8bit")


def make(kind: str, groups: list[dict[str, Any]], betas: tuple[float, float], eps: float, device: str) -> Any:
    """The optimiser of `kind`. UserError: bitsandbytes is not there, or has no code for the device."""
    try:
        import bitsandbytes
    except ImportError:
        raise UserError(f"finetune.optimizer: {kind} needs bitsandbytes (pip install it), or use `adamw`.") from None
    if device not in ("cuda", "cpu"):
        raise UserError(f"finetune.optimizer: {kind} runs on CUDA and the CPU, not on {device}. Use `adamw`.")
    paged = kind == "paged_adamw8bit" and device == "cuda"
    if kind == "paged_adamw8bit" and not paged:
        say("paged_adamw8bit: pages are CUDA's; on the CPU the moments are 8-bit without them")
    found: Any = bitsandbytes.optim
    return (found.PagedAdamW8bit if paged else found.AdamW8bit)(groups, betas=betas, eps=eps)


def is_8bit(optimizer: Any) -> bool:
    return hasattr(optimizer, "name2qmap")


def to_tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """A parameter's state as tensors that share nothing: numbers become 0-D int64 (of torch's optimisers as it is)."""
    if "qmap1" not in state and not isinstance(state.get("step"), int):
        return state
    return {
        name: value.clone() if isinstance(value, Tensor) else torch.tensor(int(value), dtype=torch.int64)
        for name, value in state.items()
    }


@torch.no_grad()
def restore(optimizer: Any, group: dict[str, Any], parameter: nn.Parameter, tensors: dict[str, Tensor]) -> None:
    """Give `parameter` the state that `to_tensors` wrote; buffers are made by the optimiser (paged, if it pages).

    Raises KeyError when something is missing.
    """
    optimizer.state.pop(parameter, None)
    if not tensors:
        return
    at = next(i for i, g in enumerate(optimizer.param_groups) if g is group)
    place = next(i for i, p in enumerate(group["params"]) if p is parameter)
    optimizer.init_state(group, parameter, at, place)
    state = optimizer.state[parameter]
    for name, value in state.items():
        if name.startswith("qmap"):  # one table for all parameters
            if not torch.equal(value.cpu(), tensors[name].cpu()):
                raise ValueError("this bitsandbytes has another 8-bit table than the one of the checkpoint")
        elif isinstance(value, Tensor):
            value.copy_(tensors[name])
        else:
            state[name] = int(tensors[name])
