"""Laws of train/optim.py."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from model.tiny import SWITCHES_AND_SHARED, decoder
from torch import nn

from smallm.core.config import ModelConfig, TrainConfig
from smallm.model.decoder import Decoder
from smallm.train.optim import (
    NEWTON_SCHULZ,
    NEWTON_SCHULZ_STEPS,
    Muon,
    Optimizers,
    clip_gradients,
    orthogonalise,
    parameter_groups,
)


def tiny(**keywords) -> Decoder:
    return Decoder(ModelConfig(layers=2, width=32, heads=2, context=16, vocab_size=64, **keywords))


def fill_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 16, 64), (2, 64, 16), (1, 1, 8)])
def test_orthogonalised_singular_values_are_near_one(shape: tuple[int, ...]) -> None:
    x = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(x)
    assert x.shape == shape
    # A square random matrix has singular values down to about 1/(2n) of the largest; five steps lift those by 3.4^5.
    assert values.max() < 1.3
    assert values.median() > 0.6


@pytest.mark.parametrize("shape", [(2, 24, 96), (2, 96, 24), (3, 32, 88), (1, 256, 704)])
@pytest.mark.parametrize("condition", [0.0, 5.0])
def test_newton_schulz_by_the_gram_matrix_is_the_plain_iteration(shape: tuple[int, ...], condition: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    x = x * torch.logspace(0, -condition, shape[1])[:, None]  # singular values over five orders of magnitude
    a, b, c = NEWTON_SCHULZ
    plain = x.double() / x.double().norm(dim=(-2, -1), keepdim=True)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = plain @ plain.mT
        plain = a * plain + (b * gram + c * gram @ gram) @ plain
    ours = orthogonalise(x).double()
    assert (ours - plain).norm() < 2e-3 * plain.norm()


def test_a_batch_of_matrices_is_orthogonalised_as_each_alone() -> None:
    x = torch.randn(4, 24, 40)
    together = orthogonalise(x)
    for one, alone in zip(together, x, strict=True):
        torch.testing.assert_close(one, orthogonalise(alone[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(32, 32), (64, 24), (24, 64)])
def test_muon_equals_torchs_up_to_its_bf16(shape: tuple[int, int]) -> None:
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = Muon([ours], lr=0.02, momentum=0.95, weight_decay=0.1)
    b = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.1)
    for seed in range(4):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    moved, difference = (theirs - start).norm(), (ours - theirs).norm()
    assert difference < 0.02 * moved


def test_muon_in_bf16_equals_torchs_closely() -> None:
    start, gradient = torch.randn(32, 48), torch.randn(32, 48)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours.grad, theirs.grad = gradient.clone(), gradient.clone()
    Muon([ours], lr=0.02, dtype=torch.bfloat16).step()
    torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0).step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02 * 0.05)


@pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)
@pytest.mark.parametrize("tied", [None, False])
def test_every_parameter_is_in_exactly_one_group(switches: dict, tied: bool | None) -> None:
    model = decoder(**switches if tied is None else {**switches, "tied": tied})
    groups = parameter_groups(model)
    seen = [id(p) for group in groups.values() for _, p in group]
    assert sorted(seen) == sorted(id(p) for p in model.parameters())
    assert all(p.ndim == 2 and name.startswith("blocks.") for name, p in groups["matrices"])
    tables = ["embed.weight", *(["positions.weight"] if model.config.position == "learned" else [])]
    assert [name for name, _ in groups["embeddings"]] == tables
    assert [name for name, _ in groups["head"]] == ([] if model.config.tied else ["head.weight"])
    assert all(p.ndim == 1 for _, p in groups["vectors"])
    assert ("head.bias" in dict(groups["vectors"])) == bool(model.config.head_bias)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_what_is_decayed_is_what_the_table_says(kind: str) -> None:
    model = tiny()
    train = TrainConfig(optimizer=kind, weight_decay=0.5, learning_rate=0.1, muon_learning_rate=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers = Optimizers(model, train)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizers.step()
    for group, members in parameter_groups(model).items():
        decayed = group == "matrices" or (group in ("embeddings", "head") and kind == "adamw")
        for name, p in members:
            torch.testing.assert_close(p.detach(), before[name] * (0.95 if decayed else 1.0))


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_saved_optimiser_goes_on_as_if_never_stopped(kind: str) -> None:
    train = TrainConfig(optimizer=kind)
    never_stopped, model = tiny(), tiny()
    one, two = Optimizers(never_stopped, train), Optimizers(model, train)
    for seed in range(3):
        for m, o in ((never_stopped, one), (model, two)):
            fill_gradients(m, seed)
            o.step()
    saved = {k: v.clone() for k, v in two.tensors().items()}
    again = tiny()
    again.load_state_dict(model.state_dict())
    three = Optimizers(again, train)
    three.load(saved)
    for m, o in ((never_stopped, one), (again, three)):
        fill_gradients(m, 9)
        o.step()
    for a, b in zip(never_stopped.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rates_are_multiples_of_each_groups_peak() -> None:
    train = TrainConfig(learning_rate=0.5, muon_learning_rate=0.1, embedding_learning_rate=0.7)
    train = dataclasses.replace(train, head_learning_rate=0.3)
    optimizers = Optimizers(tiny(tied=False), train)
    for multiplier in (0.5, 0.0, 1.0):
        optimizers.set_rate(multiplier)
        rates = [group["lr"] for o in optimizers.all for group in o.param_groups]
        assert rates == pytest.approx([x * multiplier for x in (0.1, 0.7, 0.3, 0.5)])


def test_clipping_scales_all_gradients_to_the_limit_and_reports_the_norm_before() -> None:
    model = tiny()
    fill_gradients(model, 0)
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    norm = clip_gradients(list(model.parameters()), 1.0)
    torch.testing.assert_close(norm, expected)
    after = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    torch.testing.assert_close(after, torch.tensor(1.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(clip_gradients(list(model.parameters()), 0.0), after)
    small = clip_gradients(list(model.parameters()), 5.0)
    torch.testing.assert_close(small, after)
