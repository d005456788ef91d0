"""Laws of train/loss.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.tiny import SWITCHES_AND_SHARED, decoder
from torch import nn

from smallm.core.config import ModelConfig
from smallm.model.attention import make_borders
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


every_switch = pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)


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


@every_switch
@pytest.mark.parametrize("packed", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(switches: dict, packed: bool) -> None:
    batch, found = random_batch(T=24), []  # past LongRoPE's first length
    if packed:
        segments_BT = torch.tensor([0] * 9 + [1] * 15).expand(4, 24)
        positions_BT = torch.cat([torch.arange(9), torch.arange(15)]).expand(4, 24)
        borders = make_borders(segments_BT, "sdpa")
        batch = replace(batch, segments_BT=segments_BT, positions_BT=positions_BT, borders=borders, single=False)
    for on in (False, True):
        model = LossModel(decoder(**switches).train(), activation_checkpointing=on)
        loss = model(batch)[0]
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    assert all(gradient is not None for gradient in found[0])
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_16_bit_head_is_as_near_to_the_exact_loss_as_its_format_allows(dtype: torch.dtype, frozen: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(40, 64, generator=generator).to(dtype)
    head = nn.Linear(64, 700, bias=False)
    head.weight.data = (0.1 * torch.randn(700, 64, generator=generator)).to(dtype)
    targets = torch.randint(0, 700, (40,), generator=generator)
    targets[::3] = IGNORE
    exact = nn.Linear(64, 700, bias=False)
    exact.weight.data = head.weight.data.double()
    head.weight.requires_grad_(not frozen)
    ours, twin = hidden.clone().requires_grad_(), hidden.double().requires_grad_()
    loss, n = chunked_cross_entropy(ours, head, targets, chunk=16)
    (loss / n).backward()
    expected = torch.nn.functional.cross_entropy(exact(twin), targets, ignore_index=IGNORE)
    expected.backward()
    assert loss.dtype == torch.float32
    assert float(loss.detach() / n) == pytest.approx(
        float(expected.detach()), rel=2e-2 if dtype == torch.bfloat16 else 2e-3
    )
    size = 2e-2 if dtype == torch.bfloat16 else 3e-3
    assert ours.grad is not None and twin.grad is not None and exact.weight.grad is not None  # noqa: PT018
    assert ours.grad.dtype == dtype
    assert float((ours.grad.double() - twin.grad).norm()) < size * float(twin.grad.norm())
    if frozen:
        assert head.weight.grad is None
    else:
        assert head.weight.grad is not None
        off = head.weight.grad.double() - exact.weight.grad
        assert float(off.norm()) < size * float(exact.weight.grad.norm())


def test_float16_keeps_gradients_that_only_the_losss_scale_brings_into_its_range() -> None:
    # A target that is nearly certain: float16 has six steps left for its gradient before the scale, many after it.
    head = nn.Linear(8, 4096, bias=False)
    head.weight.data = torch.zeros(4096, 8, dtype=torch.float16)
    head.weight.data[0] = 0.002
    hidden = torch.full((8, 8), 1062.0, dtype=torch.float16, requires_grad=True)
    loss, _ = chunked_cross_entropy(hidden, head.requires_grad_(False), torch.zeros(8, dtype=torch.long))
    (loss * 8192.0).backward()
    twin = torch.full((8, 8), 1062.0, dtype=torch.float64, requires_grad=True)
    logits = twin @ head.weight.double().t()
    torch.nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long), reduction="sum").backward()
    assert hidden.grad is not None and twin.grad is not None  # noqa: PT018
    assert 1e-7 < float(twin.grad.abs().max()) < 5e-7
    torch.testing.assert_close(hidden.grad.double() / 8192.0, twin.grad, rtol=2e-2, atol=0)


def test_a_lora_on_the_head_counts_in_value_and_gradient() -> None:
    from peft import LoraConfig, inject_adapter_in_model

    model = nn.ModuleDict({"head": nn.Linear(16, 300, bias=False)})
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["head"], init_lora_weights=False), model)
    head = model["head"]
    hidden = torch.randn(30, 16)
    targets = torch.randint(0, 300, (30,))
    targets[::2] = IGNORE

    def run(function):
        h = hidden.clone().requires_grad_()
        model.zero_grad()
        loss, n = function(h, head, targets)
        (loss / n).backward()
        return loss.detach(), h.grad, {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}

    ours = run(lambda h, m, t: chunked_cross_entropy(h, m, t, chunk=7))
    twin = run(cross_entropy_reference)
    torch.testing.assert_close(ours[0], twin[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1], twin[1], rtol=1e-5, atol=1e-6)
    assert ours[2].keys() == twin[2].keys()
    assert any("lora_A" in name for name in ours[2])
    for name, value in twin[2].items():
        torch.testing.assert_close(ours[2][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrapped", [True, False])
def test_no_trained_position_at_all_is_a_loss_of_zero_that_still_reaches_every_parameter(wrapped: bool) -> None:
    linear = nn.Linear(12, 37, bias=False)
    head = Scaled(linear) if wrapped else linear
    hidden = torch.randn(5, 12, requires_grad=True)
    none = torch.empty(0, dtype=torch.long)
    loss, n = chunked_cross_entropy(hidden[none], head, none)
    loss.backward()
    assert (float(loss.detach()), int(n)) == (0.0, 0)
    assert hidden.grad is not None
    assert linear.weight.grad is not None
    assert not hidden.grad.any()
    assert not linear.weight.grad.any()


EVALUATION = """
import sys, numpy as np, torch
from pathlib import Path
torch.set_num_threads(1)
from smallm.core.config import ModelConfig, TrainConfig
from smallm.core.tokenfile import INDEX_DTYPE, TokenShard
from smallm.model.decoder import Decoder
from smallm.train.corpus import Corpus
from smallm.train.feed import Feed
from smallm.train.job import Job, Validation, validate
from smallm.train.loss import LossModel
from smallm.train.memory import memory_in_use
from smallm.train.pack import Rows, held_out_rows
V, T, L = 50_000, 1024, 128
ids = np.random.default_rng(0).integers(0, V, 64 * L).astype(np.uint16)
index = np.zeros(64, INDEX_DTYPE)
index["start"], index["length"], index["bytes"] = np.arange(64) * L, L, 100
mask = np.zeros(64 * L, np.uint8)
mask.reshape(64, L)[:, -(L if sys.argv[1] == "all" else 8):] = 1
corpus = Corpus([TokenShard(Path("x"), ids, index, "")], V, masks=[mask])
decoder = Decoder(ModelConfig(layers=1, width=32, heads=1, context=T, vocab_size=V))
model = LossModel(decoder)
model.use_reference = sys.argv[1] == "whole"
feed = Feed(Rows(corpus, T, 0, whole=True), 4, 4, "cpu", "sdpa", trim=True)
held_out = Validation(corpus, held_out_rows(corpus, T, 4), 100)
job = Job(model, feed, TrainConfig(), 1, Path(sys.argv[2]), held_out)
before = memory_in_use("cpu")
loss = validate(job)["validation_loss"]
print(memory_in_use("cpu") - before, loss)
"""


@pytest.mark.slow
def test_an_evaluation_keeps_no_logits_of_all_tokens(tmp_path) -> None:
    import subprocess
    import sys

    def peak(kind: str) -> tuple[int, float]:
        done = subprocess.run(
            [sys.executable, "-c", EVALUATION, kind, str(tmp_path)], capture_output=True, text=True, check=True
        )
        size, loss = done.stdout.split()
        return int(size), float(loss)

    whole_logits = 4 * 1024 * 50_000 * 4
    trained, everything, faulty = peak("few"), peak("all"), peak("whole")
    assert trained[0] < 0.25 * whole_logits
    assert everything[0] < 0.5 * whole_logits
    assert faulty[0] > whole_logits  # the meter sees them where they are
    assert trained[1] == pytest.approx(faulty[1], rel=1e-5)
