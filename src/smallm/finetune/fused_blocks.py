"""RMS norms and gated MLPs of Transformers' models with less kept for the backward pass, equal to their own.

Around the frozen matrices of a LoRA training these small operations are a good part of the time, and what they keep is
most of the memory: of an MLP four tensors as wide as it is, here two (the product of gate and up is made again); of a
norm's float32 copy in 16-bit training nothing. A module is replaced only where it is seen to compute the same: each
norm and each activation is tried on numbers first.
Letters: N tokens, D width, I the MLP's width.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smallm.finetune import fused

SAME = 1e-6  # float32, of random numbers around 1


class _RmsNorm(torch.autograd.Function):
    """x_ND -> w_D (x / rms(x)) in float32, rounded to x's type before the product with the frozen w_D."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, w_D: Tensor, eps: float) -> Tensor:  # type: ignore[override]
        x = x_ND.float()
        r_N1 = torch.rsqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) / x.shape[-1] + eps)
        ctx.save_for_backward(x_ND, w_D, r_N1)
        return w_D * (x * r_N1).to(x_ND.dtype)

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, w_D, r_N1 = ctx.saved_tensors
        x = x_ND.float()
        g_ND = (outgoing[0] * w_D).to(x_ND.dtype).float()
        s_N1 = torch.linalg.vecdot(g_ND, x).unsqueeze(-1) * r_N1.pow(3) / -x.shape[-1]
        return g_ND.mul_(r_N1).addcmul_(x, s_N1).to(x_ND.dtype), None, None


def install(model: nn.Module) -> int:
    """Replace what is known to be equal; how many modules. Idempotent. After `fused.install`."""
    found = 0
    for module in model.modules():
        new = _norm_of(module) or _mlp_of(module)
        if new is None:
            continue
        found += 1
        if not hasattr(module, "smallm_plain_forward"):
            module.smallm_plain_forward = module.forward  # type: ignore[assignment]
            module.forward = partial(new, module)  # type: ignore[assignment]
    return found


def _plain(module: Any) -> Any:
    return getattr(module, "smallm_plain_forward", module.forward)


# ------------------------------------------------------------------ norms


def _norm_of(module: Any) -> Any:
    """`_norm` for an RMS norm with a frozen weight that is seen to compute what _RmsNorm does."""
    weight, eps = getattr(module, "weight", None), _eps(module)
    if not type(module).__name__.endswith("RMSNorm") or weight is None or eps is None or weight.requires_grad:
        return None
    generator = torch.Generator().manual_seed(0)
    x_ND = torch.randn(4, weight.shape[-1], generator=generator).to(weight.device)
    with torch.no_grad(), torch.autocast(x_ND.device.type, enabled=False):
        plain, ours = _plain(module)(x_ND), _RmsNorm.apply(x_ND, weight, eps)
    same = plain.dtype == ours.dtype and torch.allclose(plain, ours, rtol=SAME, atol=SAME)
    return _norm if same else None


def _eps(module: Any) -> float | None:
    return next((float(v) for k in ("variance_epsilon", "eps") if (v := getattr(module, k, None)) is not None), None)


def _norm(module: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args or kwargs or not torch.is_grad_enabled() or not x.requires_grad or module.weight.requires_grad:
        return module.smallm_plain_forward(x, *args, **kwargs)
    return _RmsNorm.apply(x, module.weight, _eps(module))  # type: ignore[return-value]


# ------------------------------------------------------------------ gated MLPs


def _mlp_of(module: Any) -> Any:
    """`_mlp` or `_joined_mlp` for SwiGLU with a LoRA layer on its way down."""
    down = getattr(module, "down_proj", None)
    if not hasattr(down, "lora_A") or not _is_silu(module):
        return None
    # Only Transformers' own forms, whose forward is known: others may scale, drop or route.
    if type(module).__name__ in {"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "SmolLM3MLP"}:
        return _mlp
    return _joined_mlp if type(module).__name__ == "Phi3MLP" else None


def _is_silu(module: Any) -> bool:
    activation: Any = getattr(module, "act_fn", getattr(module, "activation_fn", None))
    x = torch.linspace(-4, 4, 33)
    return isinstance(activation, nn.Module) and torch.equal(activation(x), functional.silu(x))


def _mlp(module: Any, x: Tensor) -> Tensor:
    how = fused.fit(module.down_proj, x)
    if how is None:
        return module.smallm_plain_forward(x)
    return fused.computed(how, module.gate_proj(x), module.up_proj(x))


def _joined_mlp(module: Any, x: Tensor) -> Tensor:
    """Phi-3's: gate and up are one product."""
    how = fused.fit(module.down_proj, x)
    if how is None:
        return module.smallm_plain_forward(x)
    gate, up = module.gate_up_proj(x).chunk(2, dim=-1)
    return fused.computed(how, gate, up)
