"""Laws of finetune/fused.py: PEFT's result and gradients, with less of both time and memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from smallm.finetune import fused


class Layers(nn.Module):
    """Two linear layers with a nonlinearity, the first one's input without gradient."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(48, 96, bias=bias), nn.Linear(96, 48, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.tanh(self.up(x)))


def adapted(*, bias: bool = False, four_bit: bool = False, **config: Any) -> nn.Module:
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    model = nn.Sequential(Layers(bias), Layers(bias))
    if four_bit:
        import bitsandbytes as bnb

        for layers in model:
            for name in ("up", "down"):
                plain = getattr(layers, name)
                made = bnb.nn.Linear4bit(
                    plain.in_features, plain.out_features, bias=bias, compute_dtype=torch.float32, quant_type="nf4"
                )
                made.load_state_dict(plain.state_dict())
                made.support_avx512bf16_for_cpu = False
                setattr(layers, name, made.to("cpu"))
    model.requires_grad_(False)
    lora = LoraConfig(r=4, lora_alpha=6, target_modules=["up", "down"], init_lora_weights=False, **config)
    return inject_adapter_in_model(lora, model)


def gradients(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    x = x.clone().requires_grad_()
    out = model(x)
    (out * torch.linspace(-1, 1, out.shape[-1])).pow(2).sum().backward()
    assert x.grad is not None
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return out.detach(), grads | {"x": x.grad}


@pytest.mark.parametrize("four_bit", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rslora", [False, True])
def test_value_and_every_gradient_are_those_of_peft(four_bit: bool, bias: bool, rslora: bool) -> None:
    model = adapted(bias=bias, four_bit=four_bit, use_rslora=rslora)
    x = torch.randn(3, 5, 48)
    expected = gradients(model, x)
    calls = count_calls(model)
    assert fused.install(model) == fused.install(model) == 4
    found = gradients(model, x)
    assert calls["plain"] == 0
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-6)
    assert found[1].keys() == expected[1].keys()
    assert sum("lora_" in name for name in found[1]) == 8
    for name, value in expected[1].items():
        assert float((found[1][name] - value).norm()) < 1e-6 * float(value.norm()), name
    fused.remove(model)
    assert torch.equal(gradients(model, x)[0], expected[0])
    assert calls["plain"] == 4


def count_calls(model: nn.Module) -> dict[str, int]:
    """Counts calls of the layers' own forward."""
    calls = {"plain": 0}

    def counted(kind: type[nn.Module]) -> None:
        forward = kind.forward

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls["plain"] += 1
            return forward(self, *args, **kwargs)

        for module in model.modules():
            if type(module) is kind:
                module.forward = counting.__get__(module)  # type: ignore[method-assign]

    kinds = {type(m) for m in model.modules() if hasattr(m, "lora_A")}
    for kind in kinds:
        counted(kind)
    return calls


@pytest.mark.parametrize("case", ["evaluation", "dropout", "dora", "merged", "disabled", "arguments"])
def test_what_it_does_not_compute_is_left_to_peft(case: str) -> None:
    options = {"dropout": {"lora_dropout": 0.5}, "dora": {"use_dora": True}}.get(case, {})
    model = adapted(**options).train()
    fused.install(model)
    plain = copy.deepcopy(adapted(**options)).train()
    layer: Any = model[0].up  # type: ignore[union-attr]
    twin: Any = plain[0].up  # type: ignore[union-attr]
    x = torch.randn(7, 48)
    if case == "merged":
        layer.merge()
        twin.merge()
    elif case == "disabled":
        layer.enable_adapters(False)
        twin.enable_adapters(False)
    arguments: dict[str, Any] = {"adapter_names": ["default"] * 7} if case == "arguments" else {}
    if case == "arguments":
        layer.eval()
        twin.eval()
    found = []
    for one in (layer, twin):
        torch.manual_seed(1)
        with torch.set_grad_enabled(case != "evaluation"):
            found.append(one(x, **arguments))
    assert torch.equal(*found)
    assert "LoraLinear" not in str(getattr(found[0], "grad_fn", ""))


def test_under_autocast_it_is_in_autocasts_type_and_gradients_are_the_adapters() -> None:
    model = adapted()
    x = torch.randn(6, 48)
    exact = gradients(model, x)
    fused.install(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, found = gradients(model, x)
    torch.testing.assert_close(out.float(), exact[0], rtol=5e-2, atol=5e-2)
    for name, value in exact[1].items():
        assert found[name].dtype == torch.float32
        assert float((found[name] - value).norm()) < 0.05 * float(value.norm())


def test_recomputed_layers_give_the_same_gradients() -> None:
    from torch.utils.checkpoint import checkpoint

    model = adapted(four_bit=True)
    fused.install(model)
    x = torch.randn(6, 48)
    expected = gradients(model, x)
    for layers in model:
        layers.forward = lambda x, f=layers.forward: checkpoint(f, x, use_reentrant=False)  # type: ignore[method-assign]
    found = gradients(model, x)
    for name, value in expected[1].items():
        assert torch.equal(found[1][name], value)


def test_it_keeps_no_more_than_the_input_and_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    fused.install(model)
    layer = model[0].up  # type: ignore[union-attr]
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(torch.randn(100, 48, requires_grad=True))
    assert sorted(tuple(t.shape) for t in kept) == sorted([(100, 48), (100, 4), (4, 48), (96, 4)])
