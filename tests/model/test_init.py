"""Laws of the initialisation: every tensor is what the table says, and the table is about the configuration."""

from __future__ import annotations

import math

import pytest
import torch
from model.tiny import SWITCHES_AND_SHARED, config

from smallm.model.decoder import Decoder
from smallm.model.init import init_table, initialise, std_of


@pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)
@pytest.mark.parametrize("zero", [True, False])
def test_the_standard_deviation_of_every_tensor_is_what_the_table_says(switches: dict, zero: bool) -> None:
    model = Decoder(config(**switches, zero_init_projections=zero))
    table = init_table(model.config)
    for name, tensor in model.named_parameters():
        std = std_of(name, table)
        if std == 0.0:
            assert torch.all(tensor == (1.0 if name.endswith("norm.weight") else 0.0)), name
            continue
        # The error of a measured std is std / sqrt(2n); five of them: a false alarm in 2 of a million tensors.
        assert tensor.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * tensor.numel())), name
        assert abs(tensor.mean().item()) < 5 * std / math.sqrt(tensor.numel()), name


def test_zero_projections_make_the_untrained_model_its_embedding() -> None:
    model = Decoder(config(zero_init_projections=True)).eval()
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(model.hidden(tokens), model.norm(model.embed(tokens)))


@pytest.mark.parametrize("preset", ["qwen3", "llama", "gpt2"])
def test_the_untrained_loss_is_about_that_of_guessing(preset: str) -> None:
    """Inputs repeat nothing, so that the bias of a tied head to repeat its input costs what it costs."""
    model = Decoder(config(preset=preset, width=256, vocab_size=4096, context=512)).eval()
    tokens = torch.randint(0, 4096, (2, 512), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    assert math.log(4096) - 0.1 < loss.item() < math.log(4096) + 0.5


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    a, b, c = Decoder(config(), seed=1), Decoder(config(), seed=1), Decoder(config(), seed=2)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.embed.weight, c.embed.weight)
    initialise(c, 1)
    assert torch.equal(a.embed.weight, c.embed.weight)


def test_changing_one_switch_leaves_the_other_tensors_first_values_alone() -> None:
    """What makes an ablation paired."""
    plain, changed = (dict(Decoder(config(mlp=mlp)).named_parameters()) for mlp in ("swiglu", "relu2"))
    for name in plain:
        if ".mlp." not in name:
            assert torch.equal(plain[name], changed[name]), name


def test_init_std_overrides_the_width_rule() -> None:
    table = init_table(Decoder(config(init_std=0.05, zero_init_projections=False)).config)
    assert std_of("blocks.0.attention.q.weight", table) == 0.05
    assert std_of("blocks.0.mlp.down.weight", table) == pytest.approx(0.05 / math.sqrt(4))
