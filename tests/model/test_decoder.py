"""Laws of the decoder: documents are islands, positions restart, every switch does what it says."""

from __future__ import annotations

import shutil

import pytest
import torch
from model.tiny import SWITCHES_AND_SHARED, config, decoder, ids, packed
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from smallm.model.attention import make_borders
from smallm.model.decoder import Decoder, rope_angles, rotate
from smallm.model.presets import complete

every_switch = pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)


@every_switch
@torch.no_grad()
def test_packed_documents_have_the_logits_of_the_documents_alone(switches: dict) -> None:
    model, lengths = decoder(**switches), [7, 20, 13]
    segments, positions = packed(lengths)
    tokens = ids(1, 40)
    logits = model(tokens, positions[None], make_borders(segments[None], "sdpa"))
    alone = [model(tokens[:, s : s + n]) for s, n in ((0, 7), (7, 20), (27, 13))]
    torch.testing.assert_close(logits, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_changing_one_document_leaves_the_logits_of_its_neighbours_alone() -> None:
    model = decoder()
    segments, positions = packed([12, 12, 12])
    borders = make_borders(segments[None], "sdpa")
    tokens = ids(1, 36)
    changed = tokens.clone()
    changed[:, 12:24] = (changed[:, 12:24] + 1) % 96
    before, after = model(tokens, positions[None], borders), model(changed, positions[None], borders)
    torch.testing.assert_close(before[:, :12], after[:, :12], atol=0, rtol=0)
    torch.testing.assert_close(before[:, 24:], after[:, 24:], atol=1e-6, rtol=1e-6)
    assert (before[:, 12:24] - after[:, 12:24]).abs().max() > 0.1


@every_switch
@torch.no_grad()
def test_no_position_sees_a_later_one(switches: dict) -> None:
    model, tokens = decoder(**switches), ids(2, 24)
    changed = tokens.clone()
    changed[:, 15:] = (changed[:, 15:] + 1) % 96
    torch.testing.assert_close(model(tokens)[:, :15], model(changed)[:, :15], atol=1e-6, rtol=1e-6)


@every_switch
def test_every_parameter_gets_a_gradient(switches: dict) -> None:
    model = decoder(**switches)
    model(ids(2, 16)).square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_tying_shares_one_tensor_and_survives_a_move() -> None:
    model = Decoder(config())
    assert model.head.weight is model.embed.weight
    assert model.to(torch.float64).head.weight is model.embed.weight
    assert Decoder(config(tied=False)).head.weight is not Decoder(config(tied=False)).embed.weight


@torch.no_grad()
def test_the_decoder_of_2017_is_torchs_own_layer_under_a_causal_mask() -> None:
    model, tokens = decoder(preset="transformer"), ids(2, 20)
    position, channel = torch.arange(20)[:, None], torch.arange(64)[None]
    angle = position / 10_000 ** (2 * (channel // 2) / 64)
    x = model.embed.weight[tokens] * 8 + torch.where(channel % 2 == 0, angle.sin(), angle.cos())
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True, layer_norm_eps=1e-5).eval()
        theirs = dict(layer.named_parameters())
        for part in ("weight", "bias"):
            projections = [getattr(block.get_submodule(f"attention.{n}"), part) for n in "qkv"]
            theirs[f"self_attn.in_proj_{part}"].copy_(torch.cat(projections))
            for name, ours in {
                "self_attn.out_proj": "attention.o",
                "linear1": "mlp.up",
                "linear2": "mlp.down",
                "norm1": "attention_norm",
                "norm2": "mlp_norm",
            }.items():
                theirs[f"{name}.{part}"].copy_(getattr(block.get_submodule(ours), part))
        x = layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(20), is_causal=True)
    torch.testing.assert_close(model(tokens), x @ model.embed.weight.T, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[40], [7, 20, 13]])
@pytest.mark.parametrize("backend", ["sdpa", "reference"])
def test_a_window_is_the_slow_twins_mask(backend: str, lengths: list[int]) -> None:
    model, tokens = decoder(window=6), ids(1, 40)
    segments, positions = packed(lengths)
    expected = model(tokens, positions[None], make_borders(segments[None], "reference", 6))
    torch.testing.assert_close(
        model(tokens, positions[None], make_borders(segments[None], backend)), expected, atol=1e-5, rtol=1e-5
    )
    if len(lengths) == 1:
        torch.testing.assert_close(model(tokens), expected, atol=1e-5, rtol=1e-5)
    changed = tokens.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 96
    # Two layers of a window of 6: what is 11 tokens back is out of sight.
    torch.testing.assert_close(model(changed)[:, 11:], model(tokens)[:, 11:], atol=1e-6, rtol=1e-6)
    assert (model(changed)[:, 10] - model(tokens)[:, 10]).abs().max() > 1e-4


@torch.no_grad()
def test_layers_that_share_a_block_are_the_block_computed_twice() -> None:
    shared, plain = decoder(shared_layers=2), decoder()
    state = {n.replace("blocks.1", "blocks.0"): p for n, p in shared.named_parameters()}
    for name, parameter in plain.named_parameters():
        parameter.copy_(state[name.replace("blocks.1", "blocks.0")])
    assert torch.equal(shared(ids(2, 20)), plain(ids(2, 20)))
    assert len(shared.blocks) == 1


@torch.no_grad()
def test_the_soft_cap_bounds_the_logits_and_only_bends_them() -> None:
    capped, free = decoder(soft_cap=2.0), decoder()
    tokens = ids(1, 8)
    assert capped(tokens).abs().max() < 2
    torch.testing.assert_close(capped(tokens), 2 * torch.tanh(free(tokens) / 2))


@torch.no_grad()
def test_rotation_keeps_lengths_and_makes_products_depend_on_distance_alone() -> None:
    angles = rope_angles(complete(config(), 0))
    x, y = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(0)).unbind(0)

    def turned(v: torch.Tensor, t: int) -> torch.Tensor:
        return rotate(v, angles[t].cos()[None, None, None], angles[t].sin()[None, None, None])

    torch.testing.assert_close(turned(x, 9).norm(), x.norm())
    torch.testing.assert_close((turned(x, 9) * turned(y, 4)).sum(), (turned(x, 25) * turned(y, 20)).sum())


def test_casting_the_weights_leaves_the_rotary_table_in_float32() -> None:
    model = Decoder(config())
    before = model.cos_TR.clone()
    model.to(torch.bfloat16)
    assert model.embed.weight.dtype == torch.bfloat16
    torch.testing.assert_close(model.cos_TR, before, atol=0, rtol=0)


def test_dropout_acts_in_training_alone() -> None:
    model, tokens = decoder(dropout=0.3), ids(1, 16)
    torch.testing.assert_close(model(tokens), model(tokens))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(tokens), model(tokens))
    borders = make_borders(packed([8, 8])[0][None], "sdpa")
    assert model(tokens, borders=borders).isfinite().all()


def test_the_forward_pass_knows_no_family() -> None:
    """Families are configurations: no name of one stands in the code that computes."""
    import inspect
    import re

    from smallm.model import attention, cache
    from smallm.model import decoder as module

    for source in (attention, cache, module):
        code = re.sub(r'""".*?"""|#.*', "", inspect.getsource(source), flags=re.S)
        assert re.findall(r"qwen|llama|gpt|phi|mistral|preset\b", code, flags=re.I) == []


@torch.no_grad()
def test_under_autocast_the_residual_stream_is_in_half_precision_and_logits_stay_close() -> None:
    model, tokens = decoder(), ids(1, 16)
    expected = model(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(tokens)
        logits = model(tokens)
    assert hidden.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.1 * expected.abs().max()


# The switches that take a path of their own through the forward pass.
COMPILED = ("grouped heads", "transformer", "phi", "long rope in a window", "mobilellm")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, inside inductor
@pytest.mark.parametrize("name", COMPILED)
def test_the_forward_and_backward_pass_compile_whole_and_once(name: str) -> None:
    _compiles(decoder(**SWITCHES_AND_SHARED[name]), "inductor")


@every_switch
@pytest.mark.slow
def test_every_switch_is_traced_whole_and_once(switches: dict) -> None:
    _compiles(decoder(**switches), "aot_eager")


def _compiles(model: Decoder, backend: str) -> None:
    """One graph serves rows of any borders, with the logits and gradients of the model itself."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    tokens = ids(2, 32)
    for lengths in ([10, 22], [32], [5, 5, 22]):
        segments, positions = packed(lengths)
        borders = make_borders(segments.repeat(2, 1), "sdpa")
        found = []
        for run in (compiled, model):
            model.zero_grad()
            logits = run(tokens, positions.repeat(2, 1), borders)
            logits.square().mean().backward()
            found.append([logits.detach(), *(p.grad for p in model.parameters())])
        for ours, plain in zip(*found, strict=True):
            torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)
    assert counter.frame_count == 1


def test_the_head_is_a_linear_layer() -> None:
    assert isinstance(Decoder(config()).head, nn.Linear)
