"""Fast decoding on the CPU: the decoder's weights where they lie, run by the compiled pass (compiled/).

Takes the weights as they are (float32 or bfloat16, no copy), computes in float32 with float32 keys and values.
`why_not` says which models it does not run and why; those run in the decoder itself (steps.py), whose slow forward pass
is the reference that the tests hold this equal to. Token ids in, logits out; knows nothing of text or sampling.
Letters: N rows, W rows whose logits are wanted, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smallm.core.config import ModelConfig
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.hardware import pick_device
from smallm.model.compiled.layout import BFLOAT16, BLOCKS, FLOAT32, MLPS, ROWS, Shape, blocks, make_room
from smallm.model.decoder import (
    Attention,
    Block,
    Decoder,
    Embedding,
    GatedMLP,
    LayerNorm,
    Linear,
    ParallelBlock,
    PlainMLP,
    PostNormBlock,
    RMSNorm,
)
from smallm.model.presets import ffn_width, sizes
from smallm.model.scaling import switch_length

# Whoever puts another module into the decoder (an adapter, say) means it to be called.
PARTS = (
    *(Decoder, Block, PostNormBlock, ParallelBlock, Attention, GatedMLP, PlainMLP, RMSNorm, LayerNorm, Linear),
    *(Embedding, nn.ModuleList, nn.Identity, nn.Dropout),
)
DTYPES = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16}
# numba's simplest threading layer ends the process when two threads of Python use it at once.
_ONE_AT_A_TIME = threading.Lock()
SAID_AFTER = 2.0  # seconds of compiling
_SET = threading.local()  # numba keeps the number of threads by the thread that asks


@cache
def compiled() -> Any:
    """The pass, compiled when it is first called; a string that says why there is none."""
    try:
        from smallm.model.compiled.forward import run_rows
    except ImportError as error:
        return f"numba cannot be loaded ({error})"
    return run_rows


@contextmanager
def _compiling_is_said(run_rows: Any) -> Iterator[None]:
    """Around the first call: a line when it has compiled for two seconds, so that nobody waits without knowing why."""
    if run_rows.signatures:  # a thread for each step would cost more than the step
        yield
        return

    def tell() -> None:
        if not run_rows.signatures and run_rows.stats.cache_misses:
            say("compiling the decoder for this machine, once; it takes about 15 seconds …")

    timer = threading.Timer(SAID_AFTER, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def why_not(model: nn.Module) -> str | None:
    """Why fast decoding does not run this model; None where it does."""
    if type(model) is not Decoder:
        return f"a {type(model).__name__} is not our decoder"
    foreign = next((m for m in model.modules() if type(m) not in PARTS), None)
    if foreign is not None:
        return f"the decoder holds a {type(foreign).__name__}, which the kernels do not know"
    if any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()):
        return "the decoder has hooks, which the kernels do not call"
    weights = [p for p in model.parameters() if p.ndim == 2]
    if any(p.device.type != "cpu" for p in weights):
        return f"the weights are on {weights[0].device.type}"
    dtypes = {p.dtype for p in weights}
    if len(dtypes) > 1 or not dtypes <= set(DTYPES):
        return f"the weights are {', '.join(sorted(str(d).removeprefix('torch.') for d in dtypes))}"
    if not all(p.is_contiguous() for p in weights):
        return "some weights are views of a larger tensor"
    return _why_not_here(model.config)


def _why_not_here(config: ModelConfig) -> str | None:
    """What stands against the configuration, or against this installation."""
    if switch_length(config.rope_scaling) is not None:
        return "with LongRoPE a text that grows long is computed anew"
    loaded = compiled()
    return loaded if isinstance(loaded, str) else None


def dtype_for(directory: Path) -> torch.dtype | None:
    """The type that the weights of a directory are stored in, where they decode fast in it; else None."""
    from smallm.model.families import read_config
    from smallm.model.stored import stored_dtype

    try:
        if pick_device() != "cpu" or _why_not_here(read_config(directory)) is not None:
            return None
        stored = stored_dtype(directory)
    except UserError:
        return None  # the loader says what is wrong
    return stored if stored in DTYPES else None


class FastDecoder:
    """A decoder's weights and room for `slots` texts of at most `length` tokens.

    The weights are read where they lie: the decoder must not be moved or cast while this is used. Norms and biases are
    copied as float32. ValueError where `why_not` has a reason.
    """

    def __init__(self, model: Decoder, slots: int, length: int) -> None:
        if reason := why_not(model):
            raise ValueError(f"fast decoding does not run this model: {reason}")
        self._run, self.config = compiled(), model.config
        self.slots, self.length = slots, min(length, model.config.context)
        self._held: list[Tensor] = []
        self.shape = self._shape(model)
        layers: list[Any] = [model.blocks[i // model.shared] for i in range(model.config.layers)]
        self._norms = np.array([self._norms_of(layer) for layer in layers], dtype=np.int64)
        self._products = np.array([self._matrices_of(layer) for layer in layers], dtype=np.int64)
        self._around = np.array(self._rest(model), dtype=np.int64)
        self._head = np.array([self._matrix(model.head)], dtype=np.int64)
        self._room = make_room(self.shape, slots, self.length)
        self._logits = np.empty((ROWS, self.shape.vocabulary), dtype=np.float32)

    def _shape(self, model: Decoder) -> Any:
        config = model.config
        H, K, C = sizes(config)
        return Shape(
            kind=DTYPES[model.embed.weight.dtype], layers=config.layers, width=config.width, heads=H, kv_heads=K,
            head_width=C, ffn_width=ffn_width(config), vocabulary=config.vocab_size,
            rotated=0 if model.cos_TR is None else model.cos_TR.shape[1], window=config.window or 0,
            block=BLOCKS[config.block or "pre"], layer_norm=int(config.norm == "layer"),
            mlp=MLPS[config.mlp or "swiglu"], eps=config.norm_eps or 1e-6,
        )  # fmt: skip

    def _at(self, tensor: Tensor | None) -> int:
        """The address of a matrix as it is, of anything else as float32; 0 for None."""
        if tensor is None:
            return 0
        held = tensor.detach() if tensor.ndim == 2 else tensor.detach().float().contiguous()
        self._held.append(held)
        return held.data_ptr()

    def _of(self, module: Any, *names: str) -> list[int]:
        return [self._at(getattr(module, name, None)) for name in names]

    def _norms_of(self, layer: Any) -> list[int]:
        """In the order of layout.py."""
        attention = layer.attention
        return [
            *self._of(layer.attention_norm, "weight", "bias"),
            *self._of(attention.q_norm, "weight"),
            *self._of(attention.k_norm, "weight"),
            *self._of(getattr(layer, "mlp_norm", None), "weight", "bias"),
        ]

    def _matrix(self, linear: Any, column: int = 0, first: int = 0) -> list[int]:
        """Weights, bias, outputs; where they go; the block of their product that they begin with."""
        if linear is None:
            return [0, 0, 0, column, first]
        return [*self._of(linear, "weight", "bias"), linear.out_features, column, first]

    def _matrices_of(self, layer: Any) -> list[list[int]]:
        """In the order of layout.py: queries, keys and values side by side, gate and up as well."""
        attention, mlp = layer.attention, layer.mlp
        queries, keys, F = attention.q.out_features, attention.k.out_features, self.shape.ffn_width
        return [
            self._matrix(attention.q),
            self._matrix(attention.k, queries, blocks(queries)),
            self._matrix(attention.v, queries + keys, blocks(queries) + blocks(keys)),
            self._matrix(attention.o),
            self._matrix(getattr(mlp, "gate", None)),
            self._matrix(mlp.up, F),  # the same blocks as gate: one thread has both
            self._matrix(mlp.down),
        ]

    def _rest(self, model: Decoder) -> list[int]:
        """The addresses of all that is no layer, in the order of layout.py."""
        return [
            *self._of(model.embed, "weight"),
            *self._of(model.positions, "weight"),
            *(self._at(table) for table in (model.cos_TR, model.sin_TR, model.waves_TD)),
            *self._of(model.norm, "weight", "bias"),
        ]

    def run(
        self, ids_N: Sequence[int], slots_N: Sequence[int], positions_N: Sequence[int], wanted_W: Sequence[int]
    ) -> Tensor:
        """logits_WV (float32) of the wanted rows (increasing); overwritten by the next call.

        Row n puts token `ids_N[n]` at `positions_N[n]` of slot `slots_N[n]`. All earlier positions of its slot must
        have been put there before, or stand in this call. ValueError: a slot, position or id out of range.
        """
        ids, slots, positions = (np.array(x, dtype=np.int64) for x in (ids_N, slots_N, positions_N))
        for name, values, limit in (
            ("id", ids, self.shape.vocabulary), ("slot", slots, self.slots), ("position", positions, self.length),
        ):  # fmt: skip
            if len(values) != len(ids) or not 0 < len(values) <= ROWS:
                raise ValueError(f"a pass takes 1 to {ROWS} rows, each with a token, a slot, a position")
            if values.min() < 0 or values.max() >= limit:
                raise ValueError(f"{name}s must be below {limit}: {values.tolist()}")
        wanted = np.array(wanted_W, dtype=np.int64)
        with _ONE_AT_A_TIME, _compiling_is_said(self._run):
            self._run(
                set_threads(), self.shape, self._norms, self._products, self._around, self._head, self._room,
                ids, slots, positions, wanted, self._logits,
            )  # fmt: skip
        logits_WV = torch.from_numpy(self._logits[: len(wanted)])
        cap = self.config.soft_cap
        return logits_WV if cap is None else logits_WV.div_(cap).tanh_().mul_(cap)

    def prefill(self, prompts: Sequence[Sequence[int]], slots: Sequence[int]) -> Tensor:
        """Put whole texts into empty slots; the logits after each text's last token, (prompts, V)."""
        rows = [(i, slot, t) for i, slot in enumerate(slots) for t in range(len(prompts[i]))]
        out = torch.empty(len(prompts), self.shape.vocabulary)
        for begin in range(0, len(rows), ROWS):
            part = rows[begin : begin + ROWS]
            ends = [n for n, (i, _, t) in enumerate(part) if t == len(prompts[i]) - 1]
            ids = [prompts[i][t] for i, _, t in part]
            logits_WV = self.run(ids, [slot for _, slot, _ in part], [t for _, _, t in part], ends)
            for w, n in enumerate(ends):
                out[part[n][0]] = logits_WV[w]
        return out


def set_threads() -> int:
    """As many threads as torch uses, at most those that numba was started with."""
    import numba

    wanted = torch.get_num_threads()
    threads = max(1, min(wanted, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    if getattr(_SET, "threads", None) != threads:
        numba.set_num_threads(threads)
        torch.set_num_threads(wanted)  # where both use one OpenMP, starting numba's threads has changed torch's number
        _SET.threads = threads
    return threads
