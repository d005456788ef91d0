"""Bits per byte and perplexity of held-out documents, by document.

A document is its token ids, BOS first. It is cut into windows of T inputs that do not overlap;
each window starts with a fresh context (positions from 0) and its last input predicts the token
that opens the next one, so every token but BOS is predicted exactly once, the first one from BOS
alone. The end of a document is not scored (as in lm-eval's rolling log-likelihood). Windows of
all documents are sorted by length and batched; logits exist for one chunk of positions at a time.

Takes a model with `.hidden(ids_BT)`, `.logits(hidden)` and `.config`; knows nothing of text or files.
Letters: B rows, T tokens, D width, N scored positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from smallm.core.console import progress
from smallm.core.errors import UserError
from smallm.evaluate.ratios import ratio_of_sums

# Logits of one chunk stay below this: 32 MB of float32 keeps a core's share of the cache useful.
CHUNK_BYTES = 32_000_000


@dataclass(frozen=True)
class Document:
    """One held-out document: ids_T with BOS first, its UTF-8 bytes, where it came from."""

    id: str
    source: str
    ids_T: np.ndarray
    bytes: int

    @property
    def tokens(self) -> int:
        """Predicted tokens: all but BOS."""
        return len(self.ids_T) - 1


@dataclass(frozen=True)
class Scores:
    """One row a document, in the order given: nats and counts."""

    id: list[str]
    source: list[str]
    nats_N: np.ndarray
    tokens_N: np.ndarray
    bytes_N: np.ndarray


@torch.inference_mode()
def score_documents(
    model: Any, documents: Sequence[Document], *, batch_tokens: int = 16_384, say: bool = False
) -> Scores:
    """Sum of -log p over each document's tokens, in nats.

    Equal to `score_documents_reference` to 1e-4 (relative). Memory: `batch_tokens` hidden states and
    CHUNK_BYTES of logits, however long or many the documents. Raises UserError when a document
    has no byte or when an id is outside the model's vocabulary.
    """
    _check(model, documents)
    windows = _windows(documents, model.config.context)
    device = next(model.parameters()).device
    nats_N = np.zeros(len(documents))
    was_training = model.training
    model.eval()
    with progress("evaluation", len(windows), "windows") as bar:
        done = 0
        for batch in _batches(windows, batch_tokens):
            lengths = [end - start for _, start, end in batch]
            inputs_BT, targets_BT = _pad(documents, batch, max(lengths))
            hidden_BTD = model.hidden(inputs_BT.to(device))
            trained_BT = targets_BT >= 0
            losses_N = token_losses(model, hidden_BTD[trained_BT.to(device)], targets_BT[trained_BT].to(device))
            rows_N = np.repeat([i for i, _, _ in batch], lengths)
            np.add.at(nats_N, rows_N, losses_N.double().cpu().numpy())
            done += len(batch)
            if say:
                bar.update(done)
    model.train(was_training)
    return _scores(documents, nats_N)


@torch.inference_mode()
def score_documents_reference(model: Any, documents: Sequence[Document]) -> Scores:
    """The slow twin: one document, one window at a time, full logits."""
    context = model.config.context
    nats = []
    for document in documents:
        ids_T = torch.from_numpy(np.asarray(document.ids_T, np.int64))
        total = 0.0
        for start in range(0, document.tokens, context):
            inputs_T = ids_T[start : start + context]
            targets_T = ids_T[start + 1 : start + 1 + context]
            logp_TV = model(inputs_T[None])[0].double().log_softmax(-1)[: len(targets_T)]
            total -= logp_TV.gather(1, targets_T[:, None]).sum().item()
        nats.append(total)
    return _scores(documents, np.array(nats))


def token_losses(model: Any, hidden_ND: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """-log p(target) for each position, in nats (float32); logits for one chunk at a time."""
    chunk = max(1, CHUNK_BYTES // (4 * model.config.vocab_size))
    losses = [
        torch.nn.functional.cross_entropy(model.logits(hidden).float(), targets, reduction="none")
        for hidden, targets in zip(hidden_ND.split(chunk), targets_N.split(chunk), strict=True)
    ]
    return torch.cat(losses)


def summarise(scores: Scores) -> dict[str, Any]:
    """The figures of eval/<model>.json: bits per byte, perplexity, and both by source.

    bits per byte = nats / ln 2 / UTF-8 bytes, errors by document (evaluate/ratios.py); perplexity =
    exp(nats per token), its interval the exponential of the 95 % interval of nats per token.
    """
    sources = np.array(scores.source)
    by_source = {name: _figures(scores, sources == name) for name in sorted(set(scores.source))}
    overall = _figures(scores, np.ones(len(sources), bool))
    perplexity = overall.pop("perplexity")
    return {"bits_per_byte": overall, "perplexity": perplexity, "by_source": by_source}


def _figures(scores: Scores, chosen_N: np.ndarray) -> dict[str, Any]:
    nats, tokens, size = scores.nats_N[chosen_N], scores.tokens_N[chosen_N], scores.bytes_N[chosen_N]
    bits = ratio_of_sums(nats / math.log(2), size)
    per_token = ratio_of_sums(nats, tokens)
    low_high = per_token.interval()
    return {
        "value": bits.value,
        "standard_error": bits.standard_error,
        "documents": bits.documents,
        "bytes": int(size.sum()),
        "tokens": int(tokens.sum()),
        "perplexity": {
            "value": math.exp(per_token.value),
            "low": math.exp(low_high[0]) if low_high else None,
            "high": math.exp(low_high[1]) if low_high else None,
        },
    }


def _windows(documents: Sequence[Document], context: int) -> list[tuple[int, int, int]]:
    """(document, first input, end of inputs) of every window, longest first, ties by position."""
    windows = [
        (i, start, min(start + context, document.tokens))
        for i, document in enumerate(documents)
        for start in range(0, document.tokens, context)
    ]
    return sorted(windows, key=lambda w: (w[1] - w[2], w[0], w[1]))


def _batches(windows: list[tuple[int, int, int]], batch_tokens: int) -> list[list[tuple[int, int, int]]]:
    """Neighbours in length together, at most `batch_tokens` padded positions (at least one row)."""
    batches: list[list[tuple[int, int, int]]] = []
    for window in windows:
        longest = batches[-1][0][2] - batches[-1][0][1] if batches else 0
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
        batches[-1].append(window)
    return batches


def _pad(
    documents: Sequence[Document], batch: list[tuple[int, int, int]], width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """inputs_BT and targets_BT, filled on the right (attention is causal: the fill changes nothing)."""
    inputs_BT = np.zeros((len(batch), width), np.int64)
    targets_BT = np.full((len(batch), width), -1, np.int64)
    for row, (i, start, end) in enumerate(batch):
        ids_T = documents[i].ids_T
        inputs_BT[row, : end - start] = ids_T[start:end]
        targets_BT[row, : end - start] = ids_T[start + 1 : end + 1]
    return torch.from_numpy(inputs_BT), torch.from_numpy(targets_BT)


def _check(model: Any, documents: Sequence[Document]) -> None:
    if not documents:
        raise UserError("There is no held-out document to evaluate on. Give data.validation a larger share.")
    vocabulary = model.config.vocab_size
    for document in documents:
        if document.tokens < 1 or document.bytes < 1:
            raise UserError(f"Held-out document {document.id} is empty. Rerun `smallm run` to rebuild the tokens.")
        largest = int(document.ids_T.max())
        if largest >= vocabulary:
            raise UserError(
                f"Held-out document {document.id} holds token {largest}, but the model knows {vocabulary} tokens. "
                "The tokens and the model come from different runs."
            )


def _scores(documents: Sequence[Document], nats_N: np.ndarray) -> Scores:
    return Scores(
        id=[d.id for d in documents],
        source=[d.source for d in documents],
        nats_N=nats_N,
        tokens_N=np.array([d.tokens for d in documents], np.int64),
        bytes_N=np.array([d.bytes for d in documents], np.int64),
    )
