"""Tiny models for the tests of model/: every switch in turn, random weights everywhere."""

from __future__ import annotations

from typing import Any

import torch

from smallm.core.config import ModelConfig
from smallm.model.decoder import Decoder

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
# Eight pairs of channels; texts of more than 16 tokens are long.
LONGROPE = {
    "rope_type": "longrope",
    "factor": 3.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0 + 0.02 * i for i in range(8)],
    "long_factor": [1.0 + 1.5 * i for i in range(8)],
}
# One entry a switch; the presets as they are among them. Every law about "every switch" runs over these.
SWITCHES: dict[str, dict[str, Any]] = {
    "qwen3": {"preset": "qwen3"},
    "llama": {"preset": "llama"},
    "gpt2": {"preset": "gpt2"},
    "grouped heads": {"kv_heads": 2},
    "one key-value head": {"kv_heads": 1},
    "wide heads": {"head_width": 32},
    "half rotation": {"rope_fraction": 0.5},
    "no positions": {"position": "none"},
    "learned positions": {"position": "learned"},
    "layer norm": {"norm": "layer", "bias": True},
    "layer norm without bias": {"norm": "layer"},
    "gelu": {"mlp": "gelu"},
    "squared relu": {"mlp": "relu2"},
    "untied": {"tied": False},
    "soft cap": {"soft_cap": 5.0},
    "biases": {"bias": True},
    "mistral": {"preset": "mistral"},
    "phi": {"preset": "phi"},
    "phi3": {"preset": "phi3"},
    "smollm": {"preset": "smollm"},
    "transformer": {"preset": "transformer"},
    "transformer, learned positions": {"preset": "transformer", "position": "learned"},
    "sinusoidal positions": {"position": "sinusoidal"},
    "norms after": {"block": "post"},
    "side by side": {"block": "parallel"},
    "relu": {"mlp": "relu"},
    "window": {"window": 5},
    "head with a bias": {"head_bias": True, "tied": False},
    "tied head with a bias": {"head_bias": True},
    "llama 3 scaling": {"preset": "llama", "rope_scaling": LLAMA3},
    "linear scaling": {"preset": "llama", "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "long rope": {"preset": "phi3", "rope_scaling": LONGROPE},
    "long rope in a window": {"preset": "phi3", "rope_scaling": LONGROPE, "window": 7},
}
# Two layers, one block; not for laws about one layer more or less.
SHARED: dict[str, dict[str, Any]] = {"mobilellm": {"preset": "mobilellm"}, "shared layers": {"shared_layers": 2}}
SWITCHES_AND_SHARED = SWITCHES | SHARED


def config(**switches: Any) -> ModelConfig:
    values: dict[str, Any] = {"layers": 2, "width": 64, "heads": 4, "context": 48, "vocab_size": 96}
    return ModelConfig(**{**values, **switches})


def decoder(seed: int = 0, **switches: Any) -> Decoder:
    """A model whose every tensor is random (norm weights and zero projections too), in evaluation mode."""
    model = Decoder(config(**switches))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            mean = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(mean + torch.randn(parameter.shape, generator=generator) * 0.15)
    return model.eval()


def ids(rows: int, length: int, seed: int = 0, vocab_size: int = 96) -> torch.Tensor:
    return torch.randint(0, vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))


def packed(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """(segments_T, positions_T) of one row that holds documents of these lengths."""
    segments = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])
    return segments, torch.cat([torch.arange(n) for n in lengths])
