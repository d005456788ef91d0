"""One pass of the decoder over a few tokens, compiled by numba: what fast.py runs.

A pass takes rows: each is a token with a slot (whose keys and values it joins) and a position of its own. A prompt is
many rows of one slot, a step of a batch one row a slot, and both may stand in one pass. All keys and values of a layer
are stored before any row attends, and a row sees the positions up to its own.
Arithmetic is float32, never reordered: a row's result depends on nothing but its own slot.
Weights come as addresses.
Letters: N rows, W rows whose logits are wanted, D width, H heads, K key-value heads, C head width, G = H / K, F
feed-forward width, V vocabulary, L layers, B slots, S positions, X several of these side by side, A addresses, M
matrices (their five numbers: layout.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import config, njit, prange

from smallm.core.files import cache_directory
from smallm.model.compiled.layout import (
    A_NORM,
    A_NORM_BIAS,
    BFLOAT16,
    COS,
    DOWN,
    EMBED,
    END,
    HEADS,
    K_NORM,
    M_NORM,
    M_NORM_BIAS,
    MLP,
    NO,
    NONE,
    NORM,
    NORM_BIAS,
    ONE,
    OUT,
    PARALLEL,
    POSITIONS,
    POST,
    PRE,
    Q_NORM,
    SIN,
    WAVES,
    Room,
    Shape,
)  # fmt: skip
from smallm.model.compiled.products import multiply_floats, parallel, project
from smallm.model.compiled.rows import ONE as UNIT
from smallm.model.compiled.rows import mix, normalise, rotate, serial, softmax
from smallm.model.compiled.tiles import address, bfloat_at, float_at

MANY = 1 << 15  # multiplications of attention from which on it is worth waking the other threads


@serial
def attend(
    n: Any, k: Any, slot: Any, position: Any, window: Any, qkv_NX: Any, keys_BKSC: Any, values_BKSC: Any,
    scores_NHS: Any, heads_NX: Any,
) -> None:  # fmt: skip
    """One row's queries of one key-value head."""
    K, S, C, H = keys_BKSC.shape[1], keys_BKSC.shape[2], keys_BKSC.shape[3], scores_NHS.shape[1]
    G, first = H // K, 0
    if window > 0:
        first = max(0, position - window + 1)
    seen = position + 1 - first
    keys = address(keys_BKSC) + 4 * (((slot * K + k) * S + first) * C)
    queries = address(qkv_NX) + 4 * (n * qkv_NX.shape[1] + k * G * C)
    scores = address(scores_NHS) + 4 * ((n * H + k * G) * S)
    multiply_floats(keys, C, queries, C, C, scores, S, seen, G)
    scale = np.float32(1 / np.sqrt(C))
    for h in range(k * G, (k + 1) * G):
        total = softmax(scores_NHS[n, h], seen, scale)
        mix(values_BKSC[slot, k, first:], scores_NHS[n, h], seen, total, heads_NX[n, h * C : (h + 1) * C])


@parallel
def share_heads(
    slots_N: Any, positions_N: Any, window: Any, qkv_NX: Any, keys_BKSC: Any, values_BKSC: Any,
    scores_NHS: Any, heads_NX: Any,
) -> None:  # fmt: skip
    """Every row, every key-value head."""
    K = keys_BKSC.shape[1]
    for i in prange(len(slots_N) * K):
        n, k = np.int64(i) // K, np.int64(i) % K
        attend(n, k, slots_N[n], positions_N[n], window, qkv_NX, keys_BKSC, values_BKSC, scores_NHS, heads_NX)


@serial
def attend_all(
    threads: Any, slots_N: Any, positions_N: Any, window: Any, qkv_NX: Any, keys_BKSC: Any, values_BKSC: Any,
    scores_NHS: Any, heads_NX: Any,
) -> None:  # fmt: skip
    """Every row's queries; by all threads where there is enough to do."""
    K, work = keys_BKSC.shape[1], 0
    for n in range(len(slots_N)):
        work += min(positions_N[n] + 1, window if window > 0 else positions_N[n] + 1) * heads_NX.shape[1]
    if threads > 1 and work > MANY:
        share_heads(slots_N, positions_N, window, qkv_NX, keys_BKSC, values_BKSC, scores_NHS, heads_NX)
    else:
        for n in range(len(slots_N)):
            for k in range(K):
                attend(n, k, slots_N[n], positions_N[n], window, qkv_NX, keys_BKSC, values_BKSC, scores_NHS, heads_NX)


@serial
def embed(shape: Any, around_A: Any, token: Any, position: Any, x_D: Any) -> None:
    """A token's row, with that of its position where positions are learned or sinusoids."""
    D, table, learned, waves = x_D.shape[0], around_A[EMBED], around_A[POSITIONS], around_A[WAVES]
    scale = np.float32(np.sqrt(D)) if waves != 0 else UNIT
    for d in range(D):
        if shape.kind == BFLOAT16:
            x_D[d] = bfloat_at(table, token * D + d) * scale
        else:
            x_D[d] = float_at(table, token * D + d) * scale
    for d in range(D):
        if waves != 0:
            x_D[d] += float_at(waves, position * D + d)
        if learned != 0 and shape.kind == BFLOAT16:
            x_D[d] += bfloat_at(learned, position * D + d)
        elif learned != 0:
            x_D[d] += float_at(learned, position * D + d)


@serial
def store(shape: Any, norms_A: Any, around_A: Any, room: Any, layer: Any, slots_N: Any, positions_N: Any) -> None:
    """Norms and rotation of queries and keys; the keys and values go to their places in the caches."""
    H, K, C = shape.heads, shape.kv_heads, shape.head_width
    for n in range(len(slots_N)):
        slot, position = slots_N[n], positions_N[n]
        for h in range(H + 2 * K):
            x_C = room.qkv_NX[n, h * C : (h + 1) * C]
            if norms_A[Q_NORM] != 0 and h < H + K:
                normalise(NO, x_C, norms_A[Q_NORM] if h < H else norms_A[K_NORM], NO, shape.eps, x_C)
            if shape.rotated > 0 and h < H + K:
                rotate(x_C, around_A[COS], around_A[SIN], position, shape.rotated)
            for c in range(C):
                if h >= H + K:
                    room.values_LBKSC[layer, slot, h - H - K, position, c] = x_C[c]
                elif h >= H:
                    room.keys_LBKSC[layer, slot, h - H, position, c] = x_C[c]


@serial
def normalise_rows(shape: Any, x_ND: Any, weight: Any, bias: Any, rows_N: Any, out_ND: Any) -> None:
    """The norm of these rows of x, one after the other in `out`; copied where the model has no such norm."""
    for n in range(len(rows_N)):
        if weight != 0:
            normalise(shape.layer_norm, x_ND[rows_N[n]], weight, bias, shape.eps, out_ND[n])
        else:
            for d in range(x_ND.shape[1]):
                out_ND[n, d] = x_ND[rows_N[n], d]


def run(
    threads: int, shape: Shape, norms_LA: Any, products_LM5: Any, around_A: Any, head_M5: Any, room: Room, ids_N: Any,
    slots_N: Any, positions_N: Any, wanted_W: Any, logits_WV: Any,
) -> None:  # fmt: skip
    """The pass: keys and values of all rows stored, logits of the wanted rows (increasing) written."""
    kind, D, N, W, all_N = shape.kind, shape.width, len(ids_N), len(wanted_W), room.rows_N[: len(ids_N)]
    x_ND, normed_ND, F, heads = room.x_ND, room.normed_ND, shape.ffn_width, shape.heads * shape.head_width
    for n in range(N):
        embed(shape, around_A, ids_N[n], positions_N[n], x_ND[n])
    source = address(x_ND) if shape.block == POST else address(normed_ND)
    for layer in range(shape.layers):
        norms_A, matrices_M5 = norms_LA[layer], products_LM5[layer]
        for half in range(2):  # attention, then the MLP
            norm, bias = norms_A[M_NORM if half else A_NORM], norms_A[M_NORM_BIAS if half else A_NORM_BIAS]
            if shape.block == PRE or (shape.block == PARALLEL and half == 0):
                normalise_rows(shape, x_ND, norm, bias, all_N, normed_ND)
            if half == 0:
                project(threads, kind, matrices_M5, HEADS, OUT, source, D, D, N, room.qkv_NX, NONE, room.qkv_NX)
                store(shape, norms_A, around_A, room, layer, slots_N, positions_N)
                attend_all(
                    threads, slots_N, positions_N, shape.window, room.qkv_NX, room.keys_LBKSC[layer],
                    room.values_LBKSC[layer], room.scores_NHS, room.heads_NX,
                )  # fmt: skip
                mixed = address(room.heads_NX)
                project(threads, kind, matrices_M5, OUT, MLP, mixed, heads, heads, N, room.out_ND, NONE, x_ND)
            else:
                project(threads, kind, matrices_M5, MLP, DOWN, source, D, D, N, room.mlp_NX, shape.mlp, room.mlp_NX)
                activated = address(room.mlp_NX) + 4 * F
                project(threads, kind, matrices_M5, DOWN, END, activated, 2 * F, F, N, room.out_ND, NONE, x_ND)
            if shape.block == POST:
                normalise_rows(shape, x_ND, norm, bias, all_N, x_ND)
    if W > 0:
        normalise_rows(shape, x_ND, around_A[NORM], around_A[NORM_BIAS], wanted_W, normed_ND)
        project(threads, kind, head_M5, NO, ONE, address(normed_ND), D, D, W, logits_WV, NONE, logits_WV)


def _compiled(function: Callable[..., None]) -> Any:
    """The function, compiled at its first call and kept on disk for the next process.

    The folder (in NUMBA_CACHE_DIR, else in smallm's cache) is named by these sources: numba itself looks at one file
    alone. Where no folder can be written each process compiles anew.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    before: str = config.CACHE_DIR  # type: ignore[attr-defined]
    folder = Path(before or cache_directory("compiled")) / hashlib.sha256(sources).hexdigest()[:16]
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no folder to write to
        return serial(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


run_rows = _compiled(run)
