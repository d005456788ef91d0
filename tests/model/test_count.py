"""Laws of counting: what is computed before building equals what was built."""

from __future__ import annotations

import pytest
import torch
from model.tiny import SWITCHES, SWITCHES_AND_SHARED, config, ids, packed

from smallm.core.config import ModelConfig
from smallm.model import count
from smallm.model.attention import make_borders, windowed
from smallm.model.cache import KVCache
from smallm.model.decoder import Decoder
from smallm.model.presets import sizes

every_switch = pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)


@pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)
def test_the_counts_are_those_of_the_modules(switches: dict) -> None:
    model = Decoder(config(**switches))
    assert count.parameters(model.config) == sum(p.numel() for p in model.parameters())
    outside = {"embed.weight", "positions.weight", "head.weight", "head.bias"}
    inside = sum(p.numel() for name, p in model.named_parameters() if name not in outside)
    assert count.non_embedding_parameters(model.config) == inside
    blocks = sum(p.numel() for p in model.blocks.parameters())
    head = sum(p.numel() for p in model.head.parameters())
    computed = inside + blocks * (model.shared - 1) + head
    assert count.matrix_parameters(model.config) == computed


def test_gpt2_small_has_its_published_size() -> None:
    gpt2 = ModelConfig(preset="gpt2", layers=12, heads=12, width=768, context=1024, vocab_size=50257)
    assert count.parameters(gpt2) == 124_439_808
    # nanoGPT's estimate_mfu: 6 (N - positions) + 12 L H C T.
    assert count.flops_per_token(gpt2)["with_attention"] == 6 * (124_439_808 - 1024 * 768) + 12 * 12 * 768 * 1024


def test_6n_is_what_torch_counts_in_the_products() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = Decoder(config(qk_norm=False, vocab_size=512))
    tokens = torch.zeros(2, 32, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(tokens).sum().backward()
    products = sum(
        n
        for op, n in counter.get_flop_counts()["Global"].items()
        if "attention" not in str(op) and "bmm" not in str(op)
    )
    vectors = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    assert products == 64 * (count.flops_per_token(model.config)["6N"] - 6 * vectors)


def test_attention_flops_grow_with_the_context_and_nothing_else_does() -> None:
    short, long = (count.flops_per_token(config(), context=t) for t in (32, 64))
    assert short["6N"] == long["6N"]
    assert (long["with_attention"] - long["6N"]) == 2 * (short["with_attention"] - short["6N"])


def _saved_bytes(layers: int, switches: dict, half: bool) -> int:
    """Bytes that autograd keeps for a backward pass of 8 x 64 tokens, parameters and weight casts left out."""
    model = Decoder(config(**switches, layers=layers))
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    rows = {tuple(p.shape) for p in model.parameters()} | {tuple(p.shape[::-1]) for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own and tuple(tensor.shape) not in rows:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
        torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False),
    ):
        model.hidden(torch.zeros(8, 40, dtype=torch.long))
    return sum(t.untyped_storage().nbytes() for t in kept.values())


@every_switch
@pytest.mark.parametrize("half", [False, True])
def test_activation_bytes_are_what_autograd_keeps(switches: dict, half: bool) -> None:
    measured = (_saved_bytes(3, switches, half) - _saved_bytes(1, switches, half)) / 2 / (8 * 40)
    counted = count.activation_bytes_per_token(Decoder(config(**switches)).config, 2 if half else 4)
    assert counted == pytest.approx(measured, rel=0.03)  # means and variances of the norms are left out


def test_the_bytes_of_training_add_up_and_follow_the_optimizer() -> None:
    muon = count.bytes_of_training(config(), 1024, optimizer="muon")
    adamw = count.bytes_of_training(config(), 1024, optimizer="adamw")
    assert adamw["total"] == sum(v for k, v in adamw.items() if k != "total")
    assert adamw["optimizer"] == 8 * count.parameters(config())
    model = Decoder(config())
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks"))
    assert adamw["optimizer"] - muon["optimizer"] == 4 * matrices
    assert count.bytes_of_training(config(), 1024, checkpointing=True)["activations"] < muon["activations"]


@pytest.mark.parametrize("switches", [{}, {"shared_layers": 2}, {"tied": False}, {"preset": "phi"}], ids=str)
def test_autocast_copies_each_stored_matrix_once(switches: dict) -> None:
    model = Decoder(config(layers=4, **switches))
    matrices = {shape for p in model.parameters() if p.ndim == 2 for shape in (tuple(p.shape), tuple(p.shape[::-1]))}
    copies: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in matrices:
            copies[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        model(torch.zeros(8, 40, dtype=torch.long))
    held = sum(t.untyped_storage().nbytes() for t in copies.values())
    counted = count.bytes_of_training(model.config, 320, activation_bytes=2)["casts"]
    assert counted == pytest.approx(held, rel=0.02)  # vectors are few


def test_a_window_needs_one_mask_more_where_attention_reads_masks() -> None:
    def activations(window: int, *, masked: bool = True) -> int:
        return count.bytes_of_training(config(window=window), 4 * 48, masked=masked)["activations"]

    segments, _ = packed([20, 28])
    borders = make_borders(segments.repeat(4, 1), "sdpa")
    made = windowed(borders, 8, ids(4, 48))
    assert made is not None and made.mask_B1TT is not None  # noqa: PT018
    assert made.mask_B1TT is not borders.mask_B1TT
    assert activations(8) - activations(0) == made.mask_B1TT.nbytes
    assert windowed(borders, 48, ids(4, 48)) is borders
    assert activations(48) == activations(8, masked=False) == activations(0)


def test_the_cache_holds_what_was_counted() -> None:
    cache = KVCache(Decoder(config(kv_heads=2)).config, 3, 20)
    assert sizes(Decoder(config(kv_heads=2)).config)[1] == 2
    held = cache.keys_LBKSC.nbytes + cache.values_LBKSC.nbytes
    assert count.bytes_of_cache(config(kv_heads=2), 3, 20) == held
