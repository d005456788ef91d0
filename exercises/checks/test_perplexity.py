"""Your figures against smallm.evaluate.bits_per_byte, which reports and cards print."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from smallm.core.config import ModelConfig
from smallm.evaluate.bits_per_byte import Document, score_documents_reference, summarise
from smallm.model.decoder import Decoder

LENGTHS, SIZES = (9, 20, 3), (31, 80, 7)


def scored() -> tuple[list[tuple[np.ndarray, np.ndarray]], dict[str, float]]:
    """(logits, ids) of three documents by a random model, and the house's figures of them."""
    model = Decoder(ModelConfig(layers=1, width=32, heads=2, context=32, vocab_size=64), seed=1).eval()
    random = np.random.default_rng(0)
    with torch.no_grad():
        model.head.weight.add_(torch.from_numpy(random.normal(size=(64, 32))))
    documents = [
        Document(str(i), "here", random.integers(0, 64, size=n), size)
        for i, (n, size) in enumerate(zip(LENGTHS, SIZES, strict=True))
    ]
    with torch.no_grad():
        pairs = [(model(torch.from_numpy(d.ids_T)[None])[0].double().numpy(), d.ids_T) for d in documents]
    facts = summarise(score_documents_reference(model, documents))
    return pairs, {"bits": facts["bits_per_byte"]["value"], "perplexity": facts["perplexity"]["value"]}


def test_they_equal_the_figures_of_an_evaluation(exercise: ModuleType) -> None:
    pairs, expected = scored()
    nats = [exercise.document_nats(logits, ids) for logits, ids in pairs]
    assert exercise.perplexity(nats, [n - 1 for n in LENGTHS]) == pytest.approx(expected["perplexity"], rel=1e-5)
    assert exercise.bits_per_byte(nats, SIZES) == pytest.approx(expected["bits"], rel=1e-5)


def test_a_model_that_guesses_has_the_vocabulary_as_perplexity(exercise: ModuleType) -> None:
    nats = exercise.document_nats(np.zeros((5, 64)), np.arange(5))
    assert exercise.perplexity([nats], [4]) == pytest.approx(64)
    assert exercise.bits_per_byte([nats], [4]) == pytest.approx(6)


def test_long_documents_count_for_what_they_are(exercise: ModuleType) -> None:
    together = exercise.perplexity([1.0, 90.0], [1, 30])
    assert together == pytest.approx(np.exp(91 / 31))
    assert exercise.bits_per_byte([np.log(2), np.log(2)], [1, 3]) == pytest.approx(0.5)
