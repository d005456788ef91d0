"""Bits per byte and perplexity of held-out documents, by document.

A document is its token ids, BOS first. Every token but BOS is predicted exactly once, the end of a document never,
in lm-eval's rolling windows of T inputs: the first begins with BOS, each next with the last token before it, and the
last one reaches back T inputs, so that its predictions have a full context. Figures of a run therefore equal
lm-eval's rolling log-likelihood of the same texts. Scoring itself is evaluate/score.py's.

Takes our decoder; knows nothing of text or files.
Letters: T inputs of a window, N documents, V vocabulary.
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
from smallm.evaluate.backends import DecoderBackend
from smallm.evaluate.ratios import ratio_of_sums
from smallm.evaluate.score import rolling_windows, score_tokens


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


def score_documents(
    model: Any, documents: Sequence[Document], *, batch_tokens: int | None = None, say: bool = False
) -> Scores:
    """Sum of -log p over each document's tokens, in nats.

    Equal to `score_documents_reference` to 1e-4 (relative). Memory: `batch_tokens` hidden states and one chunk of
    logits, however long or many the documents. Raises UserError when a document has no byte, when an id is
    outside the model's vocabulary, or when the model's answer is not a number.
    """
    _check(model, documents)
    windows = [
        (i, window)
        for i, document in enumerate(documents)
        for window in rolling_windows(document.ids_T[1:].tolist(), int(document.ids_T[0]), model.config.context)
    ]
    nats_N = np.zeros(len(documents))
    was_training = model.training
    with progress("evaluation", len(windows), "windows") as bar:
        scores = score_tokens(
            DecoderBackend(model),
            [window for _, window in windows],
            batch_tokens=batch_tokens,
            done=bar.update if say else lambda windows: None,
        )
    model.train(was_training)
    np.subtract.at(nats_N, [i for i, _ in windows], [logprob for logprob, _ in scores])
    return _scores(documents, nats_N)


@torch.inference_mode()
def score_documents_reference(model: Any, documents: Sequence[Document]) -> Scores:
    """The slow twin: one document, one window at a time, full logits."""
    T, nats = model.config.context, []
    for document in documents:
        ids = torch.from_numpy(np.asarray(document.ids_T, np.int64))
        total = 0.0
        for predicted in range(0, document.tokens, T):
            end = min(predicted + T, document.tokens)
            start = max(0, end - T)
            logp_TV = model(ids[None, start:end])[0].double().log_softmax(-1)[predicted - start :]
            total -= logp_TV.gather(1, ids[predicted + 1 : end + 1, None]).sum().item()
        nats.append(total)
    return _scores(documents, np.array(nats))


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
            "value": _exp(per_token.value),
            "low": _exp(low_high[0]) if low_high else None,
            "high": _exp(low_high[1]) if low_high else None,
        },
    }


def _exp(nats: float) -> float | None:
    """None where the perplexity of a broken model is beyond a float64."""
    return math.exp(nats) if nats < 700 else None


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
    for document, nats in zip(documents, nats_N, strict=True):
        if not math.isfinite(nats):
            raise UserError(
                f"held-out document {document.id}: the model's log-likelihood is {nats}, so no figure of it would mean "
                "anything. Its weights hold NaN or infinities; train again or use an earlier checkpoint."
            )
    return Scores(
        id=[d.id for d in documents],
        source=[d.source for d in documents],
        nats_N=nats_N,
        tokens_N=np.array([d.tokens for d in documents], np.int64),
        bytes_N=np.array([d.bytes for d in documents], np.int64),
    )
