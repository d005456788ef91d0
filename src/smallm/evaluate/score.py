"""Log-likelihoods of continuations, ids in: each shared prefix is computed once, logits only where they are scored.

Requests become rows of prefix trees (evaluate/trie.py), rows are batched to a token budget, and the head sees only the
nodes whose predictions count, a chunk at a time, so that memory does not grow with the vocabulary times the
text. A slow twin scores one request after the other. Knows nothing of text or files; models come as a `Backend`.
Letters: B rows, N nodes of a row, P ids of a stem, S keys a node may see, U scored nodes, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from smallm.evaluate.trie import Chain, Row, batches, chain_of, mask, plan

Pair = tuple[Sequence[int], Sequence[int]]
# Logits of one chunk stay below this many bytes in float32: it stays in the cache while its maximum and sum are taken.
CHUNK_BYTES = 16_000_000
# Padded nodes of one forward pass. On two cores more than this gains nothing; a card is filled by the larger one.
CPU_TOKENS, GPU_TOKENS = 2_048, 32_768


class Backend(Protocol):
    """What scoring needs of a model (evaluate/backends.py has two)."""

    max_length: int  # inputs in one row
    tree_limit: int  # chains longer than this get a row of their own; 0: every chain does

    @property
    def device(self) -> torch.device: ...

    def stem(self, ids: Sequence[int]) -> Any:
        """Keys and values of a stem, for `hidden`."""
        ...

    def hidden(self, ids_BN: Tensor, positions_BN: Tensor | None, seen_B1NS: Tensor | None, stem: Any) -> Tensor:
        """Hidden states (B, N, D); `seen_B1NS` bool, the stem's keys first; None is plain causal attention."""
        ...

    def logits(self, hidden_UD: Tensor) -> Tensor:
        """(U, V), scale and soft cap included."""
        ...


def score_tokens(
    backend: Backend,
    pairs: Sequence[Pair],
    *,
    batch_tokens: int | None = None,
    done: Callable[[int], None] = lambda requests: None,
) -> list[tuple[float, bool]]:
    """(log p in nats, whether every token was the likeliest) of each (context ids, continuation ids), in order.

    Equal to `score_tokens_reference` to 1e-4 in float32. Longer pairs than the model takes lose tokens on the left.
    `done(n)` is called as requests are finished. ValueError: an empty context or continuation, or a continuation
    longer than the model takes.
    """
    chains = [chain_of(i, context, continuation, backend.max_length) for i, (context, continuation) in enumerate(pairs)]
    budget = batch_tokens or (GPU_TOKENS if backend.device.type == "cuda" else CPU_TOKENS)
    logprobs, greedy = np.zeros(len(chains)), np.ones(len(chains), bool)
    short = [c for c in chains if len(c.inputs) <= backend.tree_limit]
    long = [c for c in chains if len(c.inputs) > backend.tree_limit]
    finished = 0
    with torch.inference_mode():
        for rows, stem in _work(backend, short, long, budget):
            requests, logprob_W, greedy_W = _score_batch(backend, rows, stem)
            np.add.at(logprobs, requests, logprob_W)
            np.logical_and.at(greedy, requests, greedy_W)
            finished += sum(row.chains for row in rows)
            done(finished)
    return [(float(p), bool(g)) for p, g in zip(logprobs, greedy, strict=True)]


def score_tokens_reference(backend: Backend, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
    """The slow twin: one request a forward pass, the whole of its logits, in float64 after the model."""
    scores = []
    for i, (context, continuation) in enumerate(pairs):
        chain = chain_of(i, context, continuation, backend.max_length)
        with torch.inference_mode():
            ids_1N = torch.tensor([chain.inputs], device=backend.device)
            logp_NV = backend.logits(backend.hidden(ids_1N, None, None, None)[0]).double().log_softmax(-1).cpu()
        logp_TV, targets_T = logp_NV[chain.first :], torch.tensor(chain.targets)
        chosen_T = logp_TV.gather(1, targets_T[:, None])[:, 0]
        scores.append((chosen_T.sum().item(), bool((logp_TV.argmax(-1) == targets_T).all())))
    return scores


def rolling_windows(ids: Sequence[int], prefix_id: int, max_length: int) -> list[tuple[list[int], list[int]]]:
    """A text of any length as (context, continuation) pairs that predict every token once (lm-eval's rule).

    The first window's context is `prefix_id`; later ones begin with the last token before them; the last one
    reaches back as far as the model does, so that its predictions have a full context.
    """
    ids, windows = list(ids), []
    for begin in range(0, len(ids), max_length):
        end = min(begin + max_length, len(ids))
        if begin == 0:
            windows.append(([prefix_id], ids[:end]))
        else:
            windows.append((ids[max(0, end - max_length - 1) : begin], ids[begin:end]))
    return windows


def _work(
    backend: Backend, short: list[Chain], long: list[Chain], budget: int
) -> Iterator[tuple[list[Row], tuple[Any, int]]]:
    """Batches of rows, each with its stem (None for most) and the stem's length."""
    for group in plan(short):
        stem = backend.stem(group.stem) if group.stem else None
        for rows in batches(group.rows, budget):
            yield rows, (stem, len(group.stem))
    for group in plan(long, share=False):
        for rows in batches(group.rows, budget):
            yield rows, (None, 0)


def _score_batch(backend: Backend, rows: list[Row], stem: tuple[Any, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(request, log p, greedy) of each wanted prediction of the rows."""
    ids_BN, positions_BN, seen_B1NS = _tensors(rows, stem[1], backend.device)
    hidden_BND = backend.hidden(ids_BN, positions_BN, seen_B1NS, stem[0])
    width = ids_BN.shape[1]
    wanted = sorted(
        (at * width + node, request, target) for at, row in enumerate(rows) for request, node, target in row.wanted
    )
    node_W, request_W, target_W = (np.array(column) for column in zip(*wanted, strict=True))
    node_U, which_W = np.unique(node_W, return_inverse=True)
    hidden_UD = hidden_BND.flatten(0, 1)[torch.from_numpy(node_U).to(hidden_BND.device)]
    logprob_W, greedy_W = predictions(backend.logits, hidden_UD, which_W, target_W)
    return request_W, logprob_W, greedy_W


def predictions(
    logits: Callable[[Tensor], Tensor], hidden_UD: Tensor, which_W: np.ndarray, target_W: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log p of target_W[i] at node which_W[i] (sorted), and whether it is the likeliest; logits a chunk at a time."""
    device = hidden_UD.device
    which, target = torch.from_numpy(which_W).to(device), torch.from_numpy(target_W).to(device)
    logprobs, greedy = [], []
    begin = 0
    chunk = 1  # the first row says how wide the logits are
    while begin < len(hidden_UD):
        logits_CV = logits(hidden_UD[begin : begin + chunk]).float()
        lo, hi = np.searchsorted(which_W, [begin, begin + len(logits_CV)])
        here, targets = which[lo:hi] - begin, target[lo:hi]
        best_C, best_id_C = logits_CV.max(-1)
        chosen = logits_CV[here, targets]
        # In place: the chunk is ours, and its maximum makes the largest term 1.
        total_C = logits_CV.sub_(best_C[:, None]).exp_().sum(-1)
        logprobs.append(chosen - best_C[here] - total_C.log()[here])
        greedy.append(best_id_C[here] == targets)
        begin += len(logits_CV)
        chunk = max(1, CHUNK_BYTES // (4 * logits_CV.shape[1]))
    return torch.cat(logprobs).double().cpu().numpy(), torch.cat(greedy).cpu().numpy()


def _tensors(rows: list[Row], stem: int, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """ids, positions and mask of a batch, filled on the right (what is filled in is seen by itself alone)."""
    width = max(len(row.ids) for row in rows)
    ids_BN = np.zeros((len(rows), width), np.int64)
    for at, row in enumerate(rows):
        ids_BN[at, : len(row.ids)] = row.ids
    ids = torch.from_numpy(ids_BN).to(device)
    if not stem and all(row.is_chain for row in rows):
        return ids, None, None
    positions_BN = np.full((len(rows), width), stem, np.int64)
    seen_BNS = np.ones((len(rows), width, stem + width), bool)
    for at, row in enumerate(rows):
        positions_BN[at, : len(row.ids)] = row.depth
        seen_BNS[at, :, stem:] = mask(row, width)
    return ids, torch.from_numpy(positions_BN).to(device), torch.from_numpy(seen_BNS)[:, None].to(device)
