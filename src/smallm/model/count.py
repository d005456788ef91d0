"""Counting before building: parameters, FLOPs and bytes of a model, from its configuration alone.

Every formula is held to the real modules by tests. Letters: B rows, T time, N = B T tokens, D width,
H heads, K key-value heads, C head width, F feed-forward width, L layers, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

from smallm.core.config import ModelConfig
from smallm.model.presets import complete, ffn_width, sizes


def parameters(config: ModelConfig) -> int:
    """All parameters; a tied head counts once."""
    config = complete(config, config.vocab_size)
    V, D = config.vocab_size, config.width
    tables = V * D * (1 if config.tied else 2) + _positions(config) + (V if config.head_bias else 0)
    return tables + non_embedding_parameters(config)


def non_embedding_parameters(config: ModelConfig) -> int:
    """Blocks and final norm: without token embedding, position embedding and output head."""
    config = complete(config, config.vocab_size)
    return config.layers // (config.shared_layers or 1) * _block(config) + _final_norm(config)


def matrix_parameters(config: ModelConfig) -> int:
    """N of the 6N rule: what each token is multiplied with. The head counts, tied or not; looking up a row of the
    embedding is no product, so the input embedding and positions do not. (nanoGPT's and nanochat's N.) A block that
    serves two layers is computed, and counts, twice."""
    config = complete(config, config.vocab_size)
    head = config.vocab_size * (config.width + (1 if config.head_bias else 0))
    return config.layers * _block(config) + _final_norm(config) + head


def _positions(config: ModelConfig) -> int:
    return config.context * config.width if config.position == "learned" else 0


def _final_norm(config: ModelConfig) -> int:
    return 0 if config.block == "post" else _norm(config)


def _norms(config: ModelConfig) -> int:
    """In a block."""
    return 1 if config.block == "parallel" else 2


def _norm(config: ModelConfig) -> int:
    return config.width * (2 if config.norm == "layer" and config.bias else 1)


def _block(config: ModelConfig) -> int:
    """One layer: four projections, two or three MLP matrices, biases, norms."""
    H, K, C = sizes(config)
    D, F, gates = config.width, ffn_width(config), 2 if config.mlp == "swiglu" else 1
    matrices = 2 * D * H * C + 2 * D * K * C + (gates + 1) * D * F
    biases = (H + 2 * K) * C + D + gates * F + D if config.bias else 0
    return matrices + biases + _norms(config) * _norm(config) + (2 * C if config.qk_norm else 0)


def flops_per_token(config: ModelConfig, context: int | None = None) -> dict[str, float]:
    """FLOPs of one training token, forward and backward.

    "6N": 2 N forward and 4 N backward, N = `matrix_parameters`. "with_attention": plus 12 L H C T, the products of
    queries with keys and of weights with values over the whole T x T square, as PaLM (Chowdhery et al. 2022,
    appendix B) and nanoGPT's estimate_mfu count it: a causal kernel does half of that, packed documents less.
    `context` is T, by default the configuration's.
    """
    config = complete(config, config.vocab_size)
    H, _, C = sizes(config)
    dense = 6.0 * matrix_parameters(config)
    return {"6N": dense, "with_attention": dense + 12.0 * config.layers * H * C * (context or config.context)}


def bytes_of_cache(config: ModelConfig, batch: int, length: int, bytes_per_value: int = 4) -> int:
    """The KV cache of `batch` rows of `length` tokens."""
    _, K, C = sizes(complete(config, config.vocab_size))
    return 2 * config.layers * batch * length * K * C * bytes_per_value


# Bytes of optimiser state a parameter: AdamW keeps two float32 moments, Muon one momentum buffer.
OPTIMIZER_BYTES = {"adamw": 8, "muon": 4}


def bytes_of_training(
    config: ModelConfig,
    tokens: int,
    *,
    optimizer: str = "muon",
    activation_bytes: int = 4,
    checkpointing: bool = False,
    loss_chunk: int = 2048,
    masked: bool = True,
) -> dict[str, int]:
    """Bytes that one training step holds, by what they are for; "total" is their sum.

    `tokens`: N in one micro-batch on one device. `activation_bytes`: 4 in float32, 2 under bf16 autocast; weights,
    gradients and optimiser stay float32, autocast adds a half-precision copy of each matrix, which all layers of a
    shared block read. `optimizer` muon: the matrices of the blocks by Muon, everything else by AdamW. `checkpointing`:
    only the input of each block is kept and one block is recomputed at a time. `masked`: attention reads a T x T mask
    a row (every backend but varlen), of which a window makes one more. Activations are what autograd saves eagerly; a
    compiled step needs less. The batch itself, its own mask included, is not counted.
    """
    config = complete(config, config.vocab_size)
    total = parameters(config)
    stored = config.layers // (config.shared_layers or 1)
    blocks = stored * _block_matrices(config) if optimizer == "muon" else 0
    state = blocks * OPTIMIZER_BYTES["muon"] + (total - blocks) * OPTIMIZER_BYTES["adamw"]
    block = activation_bytes_per_token(config, activation_bytes)
    D, V = config.width, config.vocab_size
    layers = config.layers * D * 4 + block if checkpointing else config.layers * block
    # The final norm's input, output and the loss: gradient of the hidden states, one chunk of logits and its gradient.
    ends = D * (4 + activation_bytes) + D * 4
    mask = 4 * config.context if masked and 0 < (config.window or 0) < config.context else 0
    # Each stored matrix once, and the head's: `matrix_parameters` of a model whose blocks each serve one layer.
    copied = matrix_parameters(replace(config, layers=stored, shared_layers=1))
    result = {
        "weights": 4 * total,
        "gradients": 4 * total,
        "optimizer": state,
        "casts": 0 if activation_bytes == 4 else activation_bytes * copied,
        "activations": tokens * (layers + ends + mask),
        "logits": 3 * min(tokens, loss_chunk) * V * 4,
    }
    return {**result, "total": sum(result.values())}


def _block_matrices(config: ModelConfig) -> int:
    H, K, C = sizes(config)
    gates = 2 if config.mlp == "swiglu" else 1
    return 2 * config.width * (H + K) * C + (gates + 1) * config.width * ffn_width(config)


def activation_bytes_per_token(config: ModelConfig, activation_bytes: int = 4) -> int:
    """Bytes that autograd keeps of one token in one block, eagerly, with a fused attention kernel.

    Counted tensor by tensor: inputs of the products; what norms and activations need; queries, keys, values and the
    kernel's output. Norms work in float32 whatever the rest does; the rotation keeps nothing of its own.
    """
    H, K, C = sizes(config)
    D, F, a = config.width, ffn_width(config), activation_bytes
    # The norm's float32 input, RMSNorm's normalised values before the weight, and the output, a product's input.
    norm = D * ((8 if config.norm == "rms" else 4) + a)
    heads = (2 * H + 2 * K) * C * a + (8 * (H + K) * C if config.qk_norm else 0)
    # SwiGLU: gate, its SiLU, up, their product; the plain ones: the activation's input (ReLU²: output) and the result,
    # which of ReLU is all.
    inner = {"swiglu": 4, "relu": 1}.get(config.mlp or "swiglu", 2) * F * a
    return _norms(config) * norm + heads + inner
