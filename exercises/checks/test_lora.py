"""Your LoRA layer against PEFT's."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

X_NI = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)


def peft_layer(r: int, alpha: float) -> tuple[nn.Module, list[np.ndarray]]:
    """A linear layer of 24 inputs and 40 outputs under an adapter of random weights, and its W, A, B."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 40, bias=False))
    config = LoraConfig(r=r, lora_alpha=alpha, target_modules=["0"], init_lora_weights=False)  # type: ignore[arg-type]
    adapted = inject_adapter_in_model(config, model)
    weights = dict(adapted.named_parameters())
    names = ("0.base_layer.weight", "0.lora_A.default.weight", "0.lora_B.default.weight")
    return adapted, [weights[name].detach().numpy() for name in names]


@pytest.mark.parametrize(("r", "alpha"), [(1, 1), (4, 8), (16, 4)])
def test_it_equals_pefts_layer_and_so_does_the_merged_one(exercise: ModuleType, r: int, alpha: float) -> None:
    layer, (w, a, b) = peft_layer(r, alpha)
    with torch.no_grad():
        expected = layer(torch.from_numpy(X_NI)).numpy()
    np.testing.assert_allclose(exercise.lora_forward(X_NI, w, a, b, alpha), expected, atol=1e-5)
    np.testing.assert_allclose(X_NI @ exercise.merged(w, a, b, alpha).T, expected, atol=1e-5)


def test_with_b_at_zero_it_is_the_base_layer(exercise: ModuleType) -> None:
    _, (w, a, b) = peft_layer(4, 8)
    np.testing.assert_array_equal(exercise.lora_forward(X_NI, w, a, 0 * b, 8), X_NI @ w.T)


def test_the_change_has_the_rank_of_the_adapter(exercise: ModuleType) -> None:
    _, (w, a, b) = peft_layer(3, 6)
    change = exercise.merged(w, a, b, 6).astype(np.float64) - w
    assert np.linalg.matrix_rank(change, tol=1e-4) == 3
