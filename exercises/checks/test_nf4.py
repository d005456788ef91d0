"""Your NF4 against bitsandbytes', code by code."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

WEIGHTS_N = (np.random.default_rng(0).normal(size=64 * 40) * 0.05).astype(np.float32)


def theirs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(codes, absmax, decoded weights) of bitsandbytes; it packs two codes in a byte, the first one high."""
    packed, state = quantize_4bit(torch.from_numpy(WEIGHTS_N), blocksize=64, quant_type="nf4")
    both = packed.flatten().numpy()
    codes = np.stack([both >> 4, both & 15], axis=1).reshape(-1)
    return codes, state.absmax.numpy(), dequantize_4bit(packed, state).flatten().numpy()


def test_codes_and_largest_weights_are_those_of_bitsandbytes(exercise: ModuleType) -> None:
    codes, absmax = exercise.quantise(WEIGHTS_N)
    np.testing.assert_array_equal(absmax, theirs()[1])
    np.testing.assert_array_equal(codes, theirs()[0])


def test_the_decoded_weights_are_those_of_bitsandbytes(exercise: ModuleType) -> None:
    np.testing.assert_array_equal(exercise.dequantise(*theirs()[:2]), theirs()[2])


def test_zero_and_the_largest_weight_of_a_block_come_back_exactly(exercise: ModuleType) -> None:
    row = np.linspace(-0.5, 0.4, 64).astype(np.float32)
    row[10] = 0.0
    back = exercise.dequantise(*exercise.quantise(row))
    assert back[0] == np.float32(-0.5)
    assert back[10] == 0.0
