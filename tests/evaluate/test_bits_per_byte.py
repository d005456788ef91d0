"""Bits per byte: equal to its slow twin, and to hand-made answers."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.evaluate import score
from smallm.evaluate.bits_per_byte import Document, score_documents, score_documents_reference, summarise
from smallm.model.decoder import Decoder
from smallm.model.presets import complete

VOCABULARY, CONTEXT = 64, 16


def make_model(**switches: object) -> Decoder:
    config = ModelConfig(layers=2, width=32, heads=2, context=CONTEXT, **switches)  # type: ignore[arg-type]
    model = Decoder(complete(config, VOCABULARY), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():  # far from the near-uniform start, so that errors would show
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.3)
    return model


def make_document(tokens: int, seed: int = 0, source: str = "a") -> Document:
    ids = np.random.default_rng([seed, tokens]).integers(2, VOCABULARY, tokens + 1).astype(np.uint16)
    ids[0] = 0
    return Document(f"{seed:032x}", source, ids, bytes=2 * tokens)


@pytest.fixture(scope="module")
def model() -> Decoder:
    return make_model()


@pytest.mark.parametrize("switches", [{}, {"soft_cap": 5.0}, {"preset": "gpt2"}, {"preset": "llama"}])
def test_batched_windows_equal_the_slow_twin(switches: dict[str, object]):
    model = make_model(**switches)
    documents = [make_document(n, seed) for seed, n in enumerate([1, 2, CONTEXT - 1, CONTEXT, CONTEXT + 1, 70, 5, 33])]
    fast, slow = score_documents(model, documents), score_documents_reference(model, documents)
    np.testing.assert_allclose(fast.nats_N, slow.nats_N, rtol=1e-4)
    assert fast.tokens_N.tolist() == [1, 2, 15, 16, 17, 70, 5, 33]


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    batch_tokens=st.integers(1, 200),
    chunk_bytes=st.integers(1, 10_000),
)
def test_batching_and_chunking_never_change_a_score(lengths: list[int], batch_tokens: int, chunk_bytes: int):
    model, documents = make_model(), [make_document(n, i) for i, n in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "CHUNK_BYTES", chunk_bytes)
        fast = score_documents(model, documents, batch_tokens=batch_tokens)
    np.testing.assert_allclose(fast.nats_N, score_documents_reference(model, documents).nats_N, rtol=1e-4)


def test_changing_one_document_leaves_the_scores_of_the_others_alone(model: Decoder):
    documents = [make_document(n, n) for n in (9, 20, 40)]
    before = score_documents(model, documents).nats_N
    after = score_documents(model, [documents[0], make_document(20, 99), documents[2]]).nats_N
    np.testing.assert_allclose(before[[0, 2]], after[[0, 2]], rtol=1e-6)
    assert before[1] != pytest.approx(after[1])


def test_a_uniform_model_needs_log2_of_the_vocabulary_bits_a_token(model: Decoder):
    uniform = make_model()
    with torch.no_grad():
        uniform.head.weight.zero_()
    summary = summarise(score_documents(uniform, [make_document(n, n) for n in (8, 30)]))
    # Two bytes a token.
    assert summary["bits_per_byte"]["value"] == pytest.approx(math.log2(VOCABULARY) / 2, rel=1e-5)
    assert summary["perplexity"]["value"] == pytest.approx(VOCABULARY, rel=1e-5)
    assert summary["bits_per_byte"]["standard_error"] == pytest.approx(0, abs=1e-6)


def test_logits_of_all_positions_never_exist_at_once(model: Decoder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(score, "CHUNK_BYTES", 4 * VOCABULARY * 10)
    seen: list[int] = []
    original = Decoder.logits

    def spy(self: Decoder, hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden[..., 0].numel())
        return cast(torch.Tensor, original(self, hidden))

    monkeypatch.setattr(Decoder, "logits", spy)
    score_documents(model, [make_document(n, seed) for seed, n in enumerate((40, 40, 50))])
    assert max(seen) <= 10
    assert sum(seen) == 130


def test_sources_add_up_to_the_whole(model: Decoder):
    documents = [make_document(n, n, source) for n, source in [(9, "a"), (20, "b"), (40, "a")]]
    summary = summarise(score_documents(model, documents))
    assert set(summary["by_source"]) == {"a", "b"}
    for field in ("documents", "bytes", "tokens"):
        assert sum(s[field] for s in summary["by_source"].values()) == summary["bits_per_byte"][field]
    assert summary["by_source"]["b"]["standard_error"] is None  # one document
    assert summary["by_source"]["b"]["perplexity"]["low"] is None
    perplexity = summary["perplexity"]
    assert perplexity["low"] < perplexity["value"] < perplexity["high"]


def test_the_mode_of_the_model_is_as_it_was(model: Decoder):
    model.train()
    score_documents(model, [make_document(5)])
    assert model.training
    model.eval()


def lm_eval_nats(model: Decoder, document: Document) -> float:
    """lm-eval's rolling log-likelihood: its windows, its split, its input of a pair."""
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids, total = document.ids_T.tolist(), 0.0
    for pair in get_rolling_token_windows(ids[1:], prefix_token=ids[0], max_seq_len=CONTEXT, context_len=1):
        context, continuation = make_disjoint_window(pair)
        inputs = torch.tensor((context + continuation)[-(CONTEXT + 1) :][:-1])
        with torch.inference_mode():
            logp_TV = model(inputs[None])[0].double().log_softmax(-1)[-len(continuation) :]
        total -= logp_TV.gather(1, torch.tensor(continuation)[:, None]).sum().item()
    return total


def test_windows_are_those_of_lm_evals_rolling_log_likelihood(model: Decoder):
    documents = [make_document(n, n) for n in (1, 2, 15, 16, 17, 31, 32, 33, 50, 100)]
    wanted = [lm_eval_nats(model, document) for document in documents]
    np.testing.assert_allclose(score_documents_reference(model, documents).nats_N, wanted, rtol=1e-6)
    np.testing.assert_allclose(score_documents(model, documents).nats_N, wanted, rtol=1e-4)


def test_the_last_window_of_a_document_has_a_full_context(model: Decoder):
    document = make_document(CONTEXT + 1, 3)
    other = Document(document.id, "a", document.ids_T.copy(), document.bytes)
    other.ids_T[2] = (other.ids_T[2] + 1) % VOCABULARY or 2  # the oldest input of the last window but one
    with torch.inference_mode():
        last = [
            model(torch.from_numpy(d.ids_T[1:-1].astype(np.int64))[None])[0, -1].log_softmax(-1)[int(d.ids_T[-1])]
            for d in (document, other)
        ]
    head = [score_documents(model, [Document("0", "a", d.ids_T[:-1], 1)]).nats_N[0] for d in (document, other)]
    whole = [score_documents(model, [d]).nats_N[0] for d in (document, other)]
    assert last[0] != pytest.approx(float(last[1]), rel=1e-3)
    for i in range(2):
        assert whole[i] - head[i] == pytest.approx(-float(last[i]), rel=1e-3)


def test_a_model_that_answers_nan_is_refused(model: Decoder):
    broken = make_model()
    with torch.no_grad():
        broken.head.weight[3] = math.nan
    with pytest.raises(UserError, match="weights hold NaN"):
        score_documents(broken, [make_document(5)])


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no held-out document"),
        ([Document("0" * 32, "a", np.array([0, 99]), 2)], "token 99"),
        ([Document("0" * 32, "a", np.array([0]), 0)], "empty"),
    ],
)
def test_documents_that_cannot_be_scored_are_refused(model: Decoder, documents: list[Document], message: str):
    with pytest.raises(UserError, match=message):
        score_documents(model, documents)
