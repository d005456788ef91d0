"""Laws of finetune/fused_blocks.py: Transformers' results and gradients, with less kept for the backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from smallm.finetune import fused, fused_blocks

SMALL = {
    "vocab_size": 64, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
# Norms and MLPs that are replaced of two layers: norms of layers and the last one, of queries and keys; MLPs.
REPLACED = {"llama": 7, "qwen3": 11, "mistral": 7, "phi3": 7, "gemma2": 0, "gpt_neox": 0}


def adapted(kind: str, *, four_bit: bool = False) -> nn.Module:
    """A shrunken model of Transformers with LoRA on every linear layer, weights of norms away from one."""
    import peft
    import transformers

    torch.manual_seed(0)
    known = {k: v for k, v in SMALL.items() if kind not in ("phi3", "gpt_neox") or k != "head_dim"}
    config = transformers.AutoConfig.for_model(kind, **known)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    for name, p in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(p, 1.0, 0.3)
    if four_bit:
        _to_nf4(model)
    lora = peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", init_lora_weights=False)
    return peft.get_peft_model(model, lora).train()  # type: ignore[arg-type]


def _to_nf4(model: nn.Module) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    for parent in list(model.modules()):
        for name, plain in list(parent.named_children()):
            if isinstance(plain, nn.Linear) and name != "lm_head":
                made: Any = Linear4bit(
                    plain.in_features,
                    plain.out_features,
                    bias=plain.bias is not None,
                    compute_dtype=torch.float32,
                    quant_type="nf4",
                )
                made.load_state_dict(plain.state_dict())
                made.support_avx512bf16_for_cpu = False
                setattr(parent, name, made.to("cpu"))


def looked_at(model: nn.Module, kept: list[int] | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradients of a loss; `kept` gets the numbers of elements that autograd keeps."""
    model.zero_grad()
    ids = torch.arange(40).view(2, 20) % 64
    seen: set[int] = set()

    def keep(t: torch.Tensor) -> torch.Tensor:
        if kept is not None and t.data_ptr() not in seen and not isinstance(t, nn.Parameter):
            seen.add(t.data_ptr())
            kept.append(t.numel())
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        logits = model(input_ids=ids).logits
    nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    return logits.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", REPLACED)
@pytest.mark.parametrize("four_bit", [False, True])
def test_logits_and_every_gradient_are_those_of_transformers(kind: str, four_bit: bool) -> None:
    model = adapted(kind, four_bit=four_bit)
    logits, gradients = looked_at(model)
    fused.install(model)
    assert fused_blocks.install(model) == fused_blocks.install(model) == REPLACED[kind]
    found, its = looked_at(model)
    torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)
    assert its.keys() == gradients.keys()
    assert len(its) >= 16
    for name, value in gradients.items():
        assert float((its[name] - value).norm()) < 2e-5 * float(value.norm()), name
    fused.remove(model)
    assert torch.equal(looked_at(model)[0], logits)


def test_less_is_kept_of_each_layer() -> None:
    plain: list[int] = []
    ours: list[int] = []
    model = adapted("llama")
    fused.install(model)
    looked_at(model, plain)
    fused_blocks.install(model)
    looked_at(model, ours)
    tokens, width, layers = 40, SMALL["intermediate_size"], SMALL["num_hidden_layers"]
    assert sum(plain) - sum(ours) >= 2 * tokens * width * layers


def test_evaluation_is_left_to_transformers() -> None:
    model = adapted("llama").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        fused.install(model)
        fused_blocks.install(model)
        assert torch.equal(model(input_ids=ids).logits, before)


def test_a_norm_that_is_trained_is_left_alone() -> None:
    model = adapted("llama")
    for name, p in model.named_parameters():
        if "norm" in name:
            p.requires_grad_(True)
    fused.install(model)
    assert fused_blocks.install(model) == 2, "the MLPs alone"
    _, gradients = looked_at(model)
    assert sum("norm" in name for name in gradients) == 5


def test_in_bfloat16_it_rounds_where_transformers_does() -> None:
    norm: Any = adapted("llama").base_model.model.model.norm  # type: ignore[union-attr]
    found = []
    for install in (False, True):
        if install:
            assert fused_blocks.install(norm) == 1
        x = torch.randn(64, 48, generator=torch.Generator().manual_seed(3)).bfloat16().requires_grad_()
        out = norm(x)
        out.float().pow(2).sum().backward()
        assert x.grad is not None
        found.append((out.detach(), x.grad.clone()))
    assert found[0][0].dtype == found[1][0].dtype
    assert float((found[0][0] != found[1][0]).float().mean()) < 0.01, "roots may differ in the last bit"
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0.02, atol=0.02)
