"""LoRA's linear layer in one step of autograd, for training: x W' + s (x A') B', equal to PEFT's.

PEFT makes three products, a scaling and a sum, each a tensor as wide as the output, forward and backward. Here the
second product is added into the first one's result, and of each layer x and x A' alone are kept; a 4-bit W is decoded
where it is used and not kept. Where anything else is asked for (evaluation, dropout, DoRA, a merged or a second
adapter, arguments of PEFT's own) the layer's own forward runs: nothing is copied, saved files do not change.
Letters: N tokens, I inputs, O outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Weight = Callable[[torch.dtype], Tensor]


class _LoraLinear(torch.autograd.Function):
    """x_NI, A_rI, B_Or -> x W' (+ bias) + s x A' B'. `weight(dtype)` gives W_OI; it is frozen."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x_NI: Tensor, a_rI: Tensor, b_Or: Tensor, weight: Weight, bias_O: Tensor | None, scale: float
    ) -> Tensor:
        low = x_NI.dtype
        w_OI, a_low, b_low = weight(low), a_rI.to(low), b_Or.to(low)
        out_NO = torch.mm(x_NI, w_OI.t()) if bias_O is None else torch.addmm(bias_O.to(low), x_NI, w_OI.t())
        h_Nr = torch.mm(x_NI, a_low.t())
        out_NO.addmm_(h_Nr, b_low.t(), alpha=scale)
        ctx.save_for_backward(x_NI, h_Nr, a_rI, b_Or)
        ctx.weight, ctx.scale = weight, scale
        return out_NO

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, h_Nr, a_rI, b_Or = ctx.saved_tensors
        g_NO, low = outgoing[0].contiguous(), x_NI.dtype
        with torch.autocast(g_NO.device.type, enabled=False):
            d_h_Nr = torch.mm(g_NO, b_Or.to(low)).mul_(ctx.scale)
            d_x = None
            if ctx.needs_input_grad[0]:
                d_x = torch.mm(g_NO, ctx.weight(low)).addmm_(d_h_Nr, a_rI.to(low))
            d_a = torch.mm(d_h_Nr.t(), x_NI).to(a_rI.dtype) if ctx.needs_input_grad[1] else None
            d_b = torch.mm(g_NO.t(), h_Nr).mul_(ctx.scale).to(b_Or.dtype) if ctx.needs_input_grad[2] else None
        return d_x, d_a, d_b, None, None, None


def install(model: nn.Module) -> int:
    """Give every LoRA layer of `model` that it fits the fused forward; how many. Idempotent."""
    try:
        from peft.tuners.lora.layer import LoraLayer
    except ImportError:
        return 0
    found = 0
    for module in model.modules():
        if isinstance(module, LoraLayer) and (weight := _weight_of(module)) is not None:
            if not hasattr(module, "smallm_plain_forward"):
                module.smallm_plain_forward = module.forward  # type: ignore[assignment]
                module.forward = partial(_forward, module, weight)  # type: ignore[assignment]
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


def _forward(module: Any, weight: Weight, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The fused layer where it computes what the plain one does, else the plain one."""
    name = _adapter(module)
    base = module.get_base_layer()
    low = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    four_bit = getattr(base, "compute_dtype", None)
    repacked = getattr(getattr(base.weight, "quant_state", None), "packing_format_for_cpu", False)
    if (
        name is None
        or args
        or kwargs
        or not torch.is_grad_enabled()
        or repacked
        or (base.bias is not None and base.bias.requires_grad)
        or (four_bit is not None and four_bit != low)
        or (four_bit is None and base.weight.dtype not in (low, torch.float32))
    ):
        return module.smallm_plain_forward(x, *args, **kwargs)
    given = x.dtype
    with torch.autocast(x.device.type, enabled=False):
        flat_NI = x.reshape(-1, x.shape[-1]).to(low)
        a, b = module.lora_A[name].weight, module.lora_B[name].weight
        out_NO = _LoraLinear.apply(flat_NI, a, b, weight, base.bias, float(module.scaling[name]))
    out: Tensor = out_NO.view(*x.shape[:-1], out_NO.shape[-1])  # type: ignore[union-attr]
    return out.to(given) if four_bit is not None else out


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
