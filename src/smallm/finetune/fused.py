"""LoRA's linear layer in one step of autograd, for training: x W' + s (x A') B', equal to PEFT's.

PEFT makes three products, a scaling and a sum, each a tensor as wide as the output, forward and backward. Here the
second product is added into the first one's result, and of each layer x and x A' alone are kept; a 4-bit W is decoded
where it is used and not kept. Where anything else is asked for (evaluation, dropout, DoRA, a merged or a second
adapter, arguments of PEFT's own) the layer's own forward runs: nothing is copied, saved files do not change.
Letters: N tokens, I inputs, O outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Weight = Callable[[torch.dtype], Tensor]


class _LoraLinear(torch.autograd.Function):
    """x_NI, A_rI, B_Or -> x W' (+ bias) + s x A' B'. `weight(dtype)` gives W_OI; it is frozen."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x_NI: Tensor, a_rI: Tensor, b_Or: Tensor, weight: Weight, bias_O: Tensor | None, scale: float
    ) -> Tensor:
        out_NO, h_Nr = _product(x_NI, a_rI, b_Or, weight, bias_O, scale)
        ctx.save_for_backward(x_NI, h_Nr, a_rI, b_Or)
        ctx.weight, ctx.scale = weight, scale
        return out_NO

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_Nr, a_rI, b_Or = ctx.saved_tensors
        found = _gradients(outgoing[0], x_NI, h_Nr, a_rI, b_Or, ctx.weight, ctx.scale, ctx.needs_input_grad[:3])
        return *found, None, None, None


class _GatedLoraLinear(torch.autograd.Function):
    """_LoraLinear of x_NI = silu(gate_NI) up_NI, which is made again in the backward pass and not kept."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        gate_NI: Tensor,
        up_NI: Tensor,
        a_rI: Tensor,
        b_Or: Tensor,
        weight: Weight,
        bias_O: Tensor | None,
        scale: float,
    ) -> Tensor:
        out_NO, h_Nr = _product(functional.silu(gate_NI).mul_(up_NI), a_rI, b_Or, weight, bias_O, scale)
        ctx.save_for_backward(gate_NI, up_NI, h_Nr, a_rI, b_Or)
        ctx.weight, ctx.scale = weight, scale
        return out_NO

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        gate_NI, up_NI, h_Nr, a_rI, b_Or = ctx.saved_tensors
        silu_NI = functional.silu(gate_NI)
        wanted = (True, *ctx.needs_input_grad[2:4])
        d_x, d_a, d_b = _gradients(outgoing[0], silu_NI * up_NI, h_Nr, a_rI, b_Or, ctx.weight, ctx.scale, wanted)
        assert d_x is not None
        d_gate = torch.ops.aten.silu_backward(d_x * up_NI, gate_NI)
        return d_gate, d_x.mul_(silu_NI), d_a, d_b, None, None, None


def _product(
    x_NI: Tensor, a_rI: Tensor, b_Or: Tensor, weight: Weight, bias_O: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """out_NO and x A' (h_Nr)."""
    low = x_NI.dtype
    w_OI, a_low, b_low = weight(low), a_rI.to(low), b_Or.to(low)
    out_NO = torch.mm(x_NI, w_OI.t()) if bias_O is None else torch.addmm(bias_O.to(low), x_NI, w_OI.t())
    h_Nr = torch.mm(x_NI, a_low.t())
    return out_NO.addmm_(h_Nr, b_low.t(), alpha=scale), h_Nr


def _gradients(
    outgoing: Tensor,
    x_NI: Tensor,
    h_Nr: Tensor,
    a_rI: Tensor,
    b_Or: Tensor,
    weight: Weight,
    scale: float,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of x, A and B, those that are `wanted`."""
    g_NO, low = outgoing.contiguous(), x_NI.dtype
    with torch.autocast(g_NO.device.type, enabled=False):
        d_h_Nr = torch.mm(g_NO, b_Or.to(low)).mul_(scale)
        d_x = torch.mm(g_NO, weight(low)).addmm_(d_h_Nr, a_rI.to(low)) if wanted[0] else None
        d_a = torch.mm(d_h_Nr.t(), x_NI).to(a_rI.dtype) if wanted[1] else None
        d_b = torch.mm(g_NO.t(), h_Nr).mul_(scale).to(b_Or.dtype) if wanted[2] else None
    return d_x, d_a, d_b


def install(model: nn.Module) -> int:
    """Give every LoRA layer of `model` that it fits the fused forward; how many. Idempotent."""
    try:
        from peft.tuners.lora.layer import LoraLayer
    except ImportError:
        return 0
    found = 0
    for module in model.modules():
        if isinstance(module, LoraLayer) and _weight_of(module) is not None:
            if not hasattr(module, "smallm_plain_forward"):
                module.smallm_plain_forward = module.forward  # type: ignore[assignment]
                module.forward = partial(_forward, module)  # type: ignore[assignment]
            found += 1
    return found


def remove(model: nn.Module) -> None:
    """Undo `install`."""
    for module in model.modules():
        if "smallm_plain_forward" in module.__dict__:
            module.forward = module.__dict__.pop("smallm_plain_forward")


def _weight_of(module: Any) -> Weight | None:
    """How to get the layer's frozen matrix; None where it is no plain or 4-bit linear layer."""
    base = module.get_base_layer()
    if getattr(module, "fan_in_fan_out", False) or base.weight.requires_grad:
        return None
    if type(base) is nn.Linear:
        return partial(_plain, base)
    if type(base).__name__ == "Linear4bit":
        return partial(_decoded, base)
    return None


def _plain(base: nn.Linear, dtype: torch.dtype) -> Tensor:
    return base.weight.to(dtype)


def _decoded(base: Any, dtype: torch.dtype) -> Tensor:
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(base.weight, base.weight.quant_state).to(dtype)


@dataclass(frozen=True)
class Fit:
    """A layer that the fused forward computes: its parts, and the type of its products."""

    a_rI: Tensor
    b_Or: Tensor
    weight: Weight
    bias_O: Tensor | None
    scale: float
    low: torch.dtype
    casts_back: bool  # a 4-bit layer answers in its input's type


def fit(module: Any, x: Tensor) -> Fit | None:
    """How to compute the LoRA layer on an input like `x`; None where its own forward is to run."""
    name = _adapter(module)
    base = module.get_base_layer()
    low = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    four_bit = getattr(base, "compute_dtype", None)
    repacked = getattr(getattr(base.weight, "quant_state", None), "packing_format_for_cpu", False)
    weight = _weight_of(module)
    if (
        name is None
        or weight is None
        or not torch.is_grad_enabled()
        or repacked
        or (base.bias is not None and base.bias.requires_grad)
        or (four_bit is not None and four_bit != low)
        or (four_bit is None and base.weight.dtype not in (low, torch.float32))
    ):
        return None
    a, b = module.lora_A[name].weight, module.lora_B[name].weight
    return Fit(a, b, weight, base.bias, float(module.scaling[name]), low, four_bit is not None)


def _forward(module: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The fused layer where it computes what the plain one does, else the plain one."""
    how = None if args or kwargs else fit(module, x)
    if how is None:
        return module.smallm_plain_forward(x, *args, **kwargs)
    return computed(how, x)


def computed(how: Fit, x: Tensor, up: Tensor | None = None) -> Tensor:
    """The layer's answer to x, or to silu(x) up."""
    parts = how.a_rI, how.b_Or, how.weight, how.bias_O, how.scale
    with torch.autocast(x.device.type, enabled=False):
        flat_NI = x.reshape(-1, x.shape[-1]).to(how.low)
        if up is None:
            out_NO = _LoraLinear.apply(flat_NI, *parts)
        else:
            out_NO = _GatedLoraLinear.apply(flat_NI, up.reshape(-1, up.shape[-1]).to(how.low), *parts)
    out: Tensor = out_NO.view(*x.shape[:-1], out_NO.shape[-1])  # type: ignore[union-attr]
    return out.to(x.dtype) if how.casts_back else out


def _adapter(module: Any) -> str | None:
    """The one adapter that is active, in its plain form; None otherwise."""
    active = [name for name in module.active_adapters if name in module.lora_A]
    if module.disable_adapters or module.merged or len(active) != 1 or active[0] in module.lora_variant:
        return None
    name = active[0]
    dropout = module.lora_dropout[name]
    random = isinstance(dropout, nn.Dropout) and dropout.p > 0 and dropout.training
    biased = module.lora_A[name].bias is not None or module.lora_B[name].bias is not None
    return None if random or biased or not isinstance(dropout, nn.Identity | nn.Dropout) else name
