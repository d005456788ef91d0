"""Laws of train/loss.py."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from smallm.core.config import ModelConfig
from smallm.model.decoder import Decoder
from smallm.train.corpus import IGNORE, Batch, trained_positions
from smallm.train.loss import LossModel, chunk_rows, chunked_cross_entropy, cross_entropy_reference


class Scaled(nn.Module):
    """A head that is not a plain linear layer, as one with an adapter on it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.linear(x)


def gradients(function, hidden: torch.Tensor, head: nn.Module, targets: torch.Tensor, **keywords):
    hidden = hidden.clone().requires_grad_()
    head.zero_grad()
    loss, n = function(hidden, head, targets, **keywords)
    (loss / max(1, int(n))).backward()
    return loss.detach(), int(n), [hidden.grad, *(p.grad.clone() for p in head.parameters())]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40),
    chunk=st.integers(0, 50),
    cap=st.sampled_from([None, 5.0]),
    bias=st.booleans(),
    masked=st.sampled_from([0.0, 0.5, 1.0]),
    wrapped=st.booleans(),
    seed=st.integers(0, 9),
)
def test_value_and_gradients_equal_the_slow_twin(
    rows: int, chunk: int, cap: float | None, bias: bool, masked: float, wrapped: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, 12, generator=generator)
    linear = nn.Linear(12, 37, bias=bias)
    head = Scaled(linear) if wrapped else linear
    targets = torch.randint(0, 37, (rows,), generator=generator)
    targets[torch.rand(rows, generator=generator) < masked] = IGNORE
    ours = gradients(chunked_cross_entropy, hidden, head, targets, chunk=chunk, soft_cap=cap)
    twin = gradients(cross_entropy_reference, hidden, head, targets, soft_cap=cap)
    assert ours[1] == twin[1]
    torch.testing.assert_close(ours[0], twin[0], rtol=1e-5, atol=1e-5)
    for a, b in zip(ours[2], twin[2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(
            chunked_cross_entropy(hidden, head, targets, chunk=chunk, soft_cap=cap)[0], twin[0], rtol=1e-5, atol=1e-5
        )


def test_the_gradient_is_exactly_zero_for_masked_tokens() -> None:
    hidden = torch.randn(9, 8, requires_grad=True)
    targets = torch.tensor([1, IGNORE, 2, IGNORE, IGNORE, 3, 0, IGNORE, 4])
    chunked_cross_entropy(hidden, nn.Linear(8, 5, bias=False), targets, chunk=4)[0].backward()
    assert hidden.grad is not None
    assert (hidden.grad[targets == IGNORE] == 0).all()
    assert (hidden.grad[targets != IGNORE] != 0).any()


def test_very_unlikely_targets_give_a_finite_loss_and_gradient() -> None:
    head = nn.Linear(4, 6, bias=False)
    hidden = (1e4 * torch.randn(5, 4)).requires_grad_()
    targets = torch.arange(5)
    ours = gradients(chunked_cross_entropy, hidden.detach(), head, targets)
    twin = gradients(cross_entropy_reference, hidden.detach(), head, targets)
    torch.testing.assert_close(ours[0], twin[0], rtol=1e-5, atol=1e-2)
    assert all(torch.isfinite(g).all() for g in ours[2])


def test_chunks_are_equal_in_size_and_cover_all_rows() -> None:
    for rows in (1, 7, 512, 1000, 8192):
        for vocabulary in (64, 4096, 50304):
            chunk = chunk_rows(rows, vocabulary, "cpu")
            assert 1 <= chunk <= rows
            assert rows - chunk * (-(-rows // chunk) - 1) > 0


def tiny(**keywords) -> Decoder:
    return Decoder(
        ModelConfig(layers=2, width=32, heads=2, context=16, vocab_size=64, zero_init_projections=False, **keywords)
    )


def random_batch(B: int = 4, T: int = 16, masked: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 64, (B, T), generator=generator)
    targets = torch.randint(0, 64, (B, T), generator=generator)
    if masked:
        targets[:, 3:] = IGNORE
    positions = torch.arange(T).expand(B, T)
    n = int((targets != IGNORE).sum())
    return Batch(ids, targets, positions, torch.zeros(B, T, dtype=torch.long), n, [], True, trained_positions(targets))


@pytest.mark.parametrize("cap", [None, 10.0])
@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_model_equals_the_models_own_logits(tied: bool, cap: float | None) -> None:
    decoder = tiny(tied=tied, soft_cap=cap)
    batch = random_batch()
    loss, n = LossModel(decoder)(batch)
    loss.backward()
    ours = [p.grad.clone() for p in decoder.parameters() if p.grad is not None]
    decoder.zero_grad()
    logits = decoder(batch.input_ids_BT)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten(), reduction="sum")
    expected.backward()
    assert n == batch.input_ids_BT.numel()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    for a, b in zip(ours, (p.grad for p in decoder.parameters()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_computing_trained_positions_alone_changes_nothing() -> None:
    decoder, batch = tiny(), random_batch(masked=True)
    assert batch.trained_N is not None
    chosen = LossModel(decoder)(batch)[0]
    batch.trained_N = None
    torch.testing.assert_close(chosen, LossModel(decoder)(batch)[0], rtol=1e-5, atol=1e-5)


def test_activation_checkpointing_gives_the_same_gradients() -> None:
    batch, found = random_batch(), []
    for on in (False, True):
        model = LossModel(tiny(), activation_checkpointing=on)
        model(batch)[0].backward()
        found.append([p.grad for p in model.parameters()])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_a_head_that_the_fast_path_does_not_know_is_noticed_and_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    decoder = tiny(soft_cap=3.0)
    honest = LossModel(decoder)
    assert honest.verify(random_batch()) < 1e-3
    assert not honest.use_reference
    decoder.logits = lambda hidden: 2 * decoder.head(hidden)  # type: ignore[method-assign]
    other = LossModel(decoder)
    other.verify(random_batch())
    assert other.use_reference
    batch = random_batch()
    logits = decoder(batch.input_ids_BT).flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, batch.targets_BT.flatten(), reduction="sum")
    torch.testing.assert_close(other(batch)[0], expected)
    assert "differs from the model's own logits" in capsys.readouterr().err


def test_under_autocast_the_loss_is_float32_and_the_gradient_close_to_full_precision() -> None:
    decoder, batch, found = tiny(), random_batch(), []
    model = LossModel(decoder, chunk=16)
    for low in (False, True):
        decoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss, n = model(batch)
        assert loss.dtype == torch.float32
        (loss / n).backward()
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in decoder.parameters())
        found.append((loss.detach(), torch.cat([p.grad.flatten() for p in decoder.parameters() if p.grad is not None])))
    (full, exact), (half, rough) = found
    torch.testing.assert_close(half, full, rtol=1e-3, atol=0)
    assert (rough - exact).norm() < 0.03 * exact.norm()
