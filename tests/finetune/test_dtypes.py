"""Laws of the number formats: the plan follows the card, the census follows the plan, evaluation corrupts nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, save_base, tuned

from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.core.hardware import cpu_bf16
from smallm.finetune import dtypes
from smallm.finetune.causal import CausalDecoder
from smallm.finetune.dtypes import DtypePlan, advise, census, check_census, plan_dtypes


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("dtypes") / "base")


def plan_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, bf16: bool = False, **keys: Any
) -> DtypePlan:
    """The plan on a card of this compute capability; None: a processor, with bfloat16 in hardware or not."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(dtypes, "cpu_bf16", lambda: bf16)
    return plan_dtypes("cpu" if capability is None else "cuda", FinetuneConfig(**keys))


@pytest.mark.parametrize(
    ("capability", "weights", "scaler"),
    [
        ((7, 0), torch.float16, True),
        ((7, 5), torch.float16, True),  # T4
        ((8, 0), torch.bfloat16, False),  # A100
        ((8, 9), torch.bfloat16, False),
        ((9, 0), torch.bfloat16, False),  # H100
    ],
)
def test_turing_trains_in_float16_with_a_scaler_and_later_cards_in_bfloat16(
    capability: tuple[int, int], weights: torch.dtype, scaler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for four_bit in (False, True):
        plan = plan_on(monkeypatch, capability, load_in_4bit=four_bit)
        assert (plan.weights, plan.autocast, plan.scaler) == (weights, weights, scaler)
        assert plan.compute == weights  # bnb_4bit_compute_dtype is always said
        assert plan.adapters == torch.float32
        assert plan.norms == (torch.float32 if four_bit else weights)


def test_a_processor_takes_bfloat16_where_it_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, fast = plan_on(monkeypatch, None), plan_on(monkeypatch, None, bf16=True)
    assert (slow.weights, slow.autocast, slow.compute, slow.scaler) == (torch.float32, None, torch.float32, False)
    assert (fast.weights, fast.autocast, fast.compute, fast.scaler) == (*[torch.bfloat16] * 3, False)


def test_full_tuning_keeps_float32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_on(monkeypatch, (8, 0), method="full").weights == torch.float32
    turing = plan_on(monkeypatch, (7, 5), method="full")
    assert (turing.weights, turing.autocast, turing.scaler) == (torch.float32, torch.float16, True)


def test_a_format_that_the_device_does_not_multiply_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"compute capability 7\.5.*auto"):
        plan_on(monkeypatch, (7, 5), dtype="bfloat16")
    with pytest.raises(UserError, match="CUDA cards alone"):
        plan_on(monkeypatch, None, dtype="float16")
    assert plan_on(monkeypatch, (8, 0), dtype="float16").scaler
    plan_on(monkeypatch, None, dtype="bfloat16")
    assert "emulated" in capsys.readouterr().err


def test_the_census_counts_every_parameter_once_and_nf4_unpacked(base: Path) -> None:
    plain, rounded = tuned(base), tuned(base, load_in_4bit=True)
    for decoder in (plain, rounded):
        table = census(decoder.model)
        trained = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
        assert table["adapter"] == {"float32": trained}
        assert decoder.coverage is not None
        assert sum(n for found in table.values() for n in found.values()) == decoder.coverage.total + trained
    assert plain.census is not None
    assert rounded.census is not None
    assert rounded.census["4-bit matrix"] == {"nf4": plain.census["matrix"]["float32"]}
    assert rounded.census["embedding"] == {"float32": 320 * 32}  # never rounded, never upcast
    assert rounded.census["norm"] == {"float32": 5 * 32}


@pytest.mark.parametrize("fault", ["adapters in 16 bits", "embeddings upcast", "norms left", "not in 4 bits"])
def test_a_model_that_is_not_in_the_planned_formats_stops(fault: str, base: Path) -> None:
    """PEFT's prepare_model_for_kbit_training upcasts embeddings (bitsandbytes #1569), TRL casts adapters to bf16."""
    decoder = tuned(base, load_in_4bit=fault != "not in 4 bits")
    plan = DtypePlan(torch.bfloat16, autocast=torch.bfloat16, four_bit=True)
    for name, module in decoder.base.named_modules():
        own = list(module.parameters(recurse=False))
        if own and "lora_" not in name and not any(dtypes._is_4bit(p) for p in own):
            module.to(torch.float32 if dtypes.is_norm(module) else torch.bfloat16)
    if fault != "not in 4 bits":
        check_census(census(decoder.model), plan)
    if fault == "adapters in 16 bits":
        next(p for n, p in decoder.named_parameters() if "lora_A" in n).data = torch.zeros(16, 32, dtype=torch.bfloat16)
    elif fault == "embeddings upcast":
        decoder.base.get_input_embeddings().float()
    elif fault == "norms left":
        plan = replace(plan, norms=torch.bfloat16)
    with pytest.raises(AssertionError, match="not the planned ones"):
        check_census(census(decoder.model), plan)


def test_norms_in_float32_give_out_the_format_that_came_in(base: Path) -> None:
    """Float32 norms would otherwise make the whole residual stream float32, twice the memory."""
    from smallm.evaluate.transformers_models import load_transformers

    model, _ = load_transformers(base, torch.bfloat16, torch.device("cpu"), quantise=None, trust_remote_code=False)
    ids = documents((9,))[0][None]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        dtypes.prepare(model, DtypePlan(torch.bfloat16, norms=torch.float32))
        norm = model.model.layers[0].input_layernorm
        assert norm.weight.dtype == torch.float32
        assert norm(torch.ones(1, 2, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
        assert torch.equal(model(input_ids=ids).logits, before)  # the same function as it is served


def gradient(decoder: CausalDecoder) -> torch.Tensor:
    ids_BT = documents((40,), seed=5)[0].view(2, 20)
    decoder.train().zero_grad()
    decoder(ids_BT).float().log_softmax(-1)[..., 7].sum().backward()
    return torch.cat([p.grad.flatten() for p in decoder.parameters() if p.grad is not None])


def test_the_gradient_after_an_evaluation_is_the_one_before(base: Path) -> None:
    """NF4 on the processor: bitsandbytes repacks 4-bit weights in evaluation where it may."""
    decoder = tuned(base, load_in_4bit=True)
    before = gradient(decoder)
    assert before.norm() > 0
    decoder.eval()
    with torch.inference_mode():
        decoder(documents((12,))[0][None])
    assert torch.equal(gradient(decoder), before)


def test_every_4bit_layer_is_forbidden_to_repack(base: Path) -> None:
    """The switch that the law above hangs on, wherever this test runs."""
    decoder = tuned(base, load_in_4bit=True)
    layers = [m for m in decoder.modules() if type(m).__name__ == "Linear4bit" and hasattr(m, "quant_state")]
    assert len(layers) == 14
    assert all(m.support_avx512bf16_for_cpu is False for m in layers)  # type: ignore[union-attr]


def test_without_that_switch_a_processor_with_avx512_bf16_repacks(base: Path) -> None:
    """The fault itself: the test above would see it."""
    from bitsandbytes.functional import has_avx512bf16

    if not (cpu_bf16() and has_avx512bf16()):
        pytest.skip("needs a processor with AVX512-BF16: only there bitsandbytes repacks")
    decoder = tuned(base, load_in_4bit=True, dtype="bfloat16")
    before = gradient(decoder)
    for module in decoder.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = True  # type: ignore[assignment]
    decoder.eval()
    with torch.no_grad():
        decoder(documents((12,))[0][None])
    assert not torch.allclose(gradient(decoder), before, rtol=0.05)


def test_a_small_model_in_4_bits_is_advised_against(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned(base, load_in_4bit=True)
    assert "below 1B, LoRA on 16-bit weights is better" in capsys.readouterr().err
    assert advise(999_999_999, FinetuneConfig(load_in_4bit=True))
    assert not advise(1_000_000_000, FinetuneConfig(load_in_4bit=True))
    assert not advise(1_000, FinetuneConfig())
