"""Laws of scoring: the fast path gives what one plain forward pass a request gives, for any model and requests."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallm.core.config import ModelConfig
from smallm.evaluate.backends import DecoderBackend, TransformersBackend
from smallm.evaluate.score import predictions, rolling_windows, score_tokens, score_tokens_reference
from smallm.model.decoder import Decoder

V, T = 120, 96
SHAPES: dict[str, ModelConfig] = {
    "llama": ModelConfig(
        preset="llama", layers=2, width=32, heads=4, kv_heads=2, ffn_width=64, context=T, vocab_size=V
    ),
    "qwen3": ModelConfig(preset="qwen3", layers=2, width=32, heads=2, head_width=16, context=T, vocab_size=V),
    "gpt2": ModelConfig(preset="gpt2", layers=2, width=32, heads=2, context=T, vocab_size=V),
    "soft cap": ModelConfig(preset="llama", layers=1, width=32, heads=2, context=T, vocab_size=V, soft_cap=5.0),
    "no positions": ModelConfig(preset="llama", layers=1, width=32, heads=2, context=T, vocab_size=V, position="none"),
}


def decoder(config: ModelConfig, seed: int = 0) -> Decoder:
    """A decoder whose logits differ enough between tokens to notice a wrong one."""
    model = Decoder(config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model


def requests(seed: int, count: int = 40, stem: int = 0) -> list[tuple[list[int], list[int]]]:
    """Items of four choices, some as long as the model takes and longer, half of them behind one shared stem."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> list[int]:
        return torch.randint(
            V, (int(torch.randint(low, high, (1,), generator=generator)),), generator=generator
        ).tolist()

    begun = draw(stem, stem + 1) if stem else []
    contexts = [(begun if i % 2 else []) + draw(1, 50) for i in range(count)]
    contexts[0] = draw(T, T + 30)
    return [(context, draw(1, 10)) for context in contexts for _ in range(4)]


def assert_same(found: list[tuple[float, bool]], wanted: list[tuple[float, bool]], tolerance: float = 1e-4) -> None:
    assert len(found) == len(wanted)
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, wanted, strict=True)) < tolerance
    assert [g for _, g in found] == [g for _, g in wanted]


@pytest.mark.parametrize("shape", SHAPES)
def test_shared_prefixes_score_like_one_request_after_the_other(shape):
    backend = DecoderBackend(decoder(SHAPES[shape]))
    asked = requests(1, stem=60)
    assert_same(score_tokens(backend, asked, batch_tokens=400), score_tokens_reference(backend, asked))


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), min_size=1, max_size=30), st.lists(st.integers(0, 4), min_size=1, max_size=8)
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_requests_that_overlap_in_every_way_score_alike(asked):
    backend = DecoderBackend(decoder(SHAPES["llama"]))
    assert_same(score_tokens(backend, asked), score_tokens_reference(backend, asked))


def test_the_order_of_the_requests_changes_no_score():
    backend = DecoderBackend(decoder(SHAPES["llama"]))
    asked = requests(2)
    forward, backward = score_tokens(backend, asked), score_tokens(backend, asked[::-1])
    assert_same(forward, backward[::-1], 1e-5)


def test_the_batch_size_changes_no_score():
    backend = DecoderBackend(decoder(SHAPES["qwen3"]))
    asked = requests(3, count=10)
    assert_same(score_tokens(backend, asked, batch_tokens=1), score_tokens(backend, asked, batch_tokens=10_000), 1e-5)


def test_a_greedy_continuation_is_called_greedy():
    backend = DecoderBackend(decoder(SHAPES["llama"]))
    context, continuation = [1, 2, 3], []
    for _ in range(5):
        with torch.inference_mode():
            continuation.append(int(backend.decoder(torch.tensor([context + continuation]))[0, -1].argmax()))
    other = [*continuation[:-1], (continuation[-1] + 1) % V]
    assert [g for _, g in score_tokens(backend, [(context, continuation), (context, other)])] == [True, False]


def test_finished_requests_are_counted():
    seen: list[int] = []
    asked = requests(4, count=8)
    score_tokens(DecoderBackend(decoder(SHAPES["llama"])), asked, batch_tokens=100, done=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(asked)


def test_no_request_is_no_work():
    assert score_tokens(DecoderBackend(decoder(SHAPES["llama"])), []) == []


def transformers_models() -> dict[str, Any]:
    import transformers as t

    shared = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": V,
    }
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    grouped = {"num_key_value_heads": 2, "max_position_embeddings": T}
    return {
        "llama": (t.LlamaForCausalLM, t.LlamaConfig(**shared, **grouped, **special)),
        "gpt2": (
            t.GPT2LMHeadModel,
            t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=V, n_positions=T, **special),
        ),
        "gemma2": (t.Gemma2ForCausalLM, t.Gemma2Config(**shared, **grouped, **special, head_dim=16, sliding_window=32)),
        "mistral": (t.MistralForCausalLM, t.MistralConfig(**shared, **grouped, **special, sliding_window=24)),
        "gpt_neox": (t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**shared, max_position_embeddings=T, **special)),
        "bloom": (t.BloomForCausalLM, t.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=V, **special)),
        "cohere": (t.CohereForCausalLM, t.CohereConfig(**shared, **grouped, **special, logit_scale=0.3)),
        "phi3": (t.Phi3ForCausalLM, t.Phi3Config(**shared, **grouped, **special, original_max_position_embeddings=T)),
    }


def plain(model: Any, asked: list[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
    """The model's own logits, one request at a time: nothing of ours but the cut on the left."""
    scores = []
    for context, continuation in asked:
        ids = (context + continuation)[-(T + 1) :]
        with torch.inference_mode():
            logp = model(torch.tensor([ids[:-1]]), use_cache=False).logits[0].double().log_softmax(-1)
        logp, targets = logp[-len(continuation) :], torch.tensor(continuation)
        scores.append((logp.gather(1, targets[:, None]).sum().item(), bool((logp.argmax(-1) == targets).all())))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral", "gpt_neox", "bloom", "cohere", "phi3"])
def test_any_model_of_transformers_scores_as_its_own_logits_say(family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Transformers says of shrunken configurations
        kind, config = transformers_models()[family]
        torch.manual_seed(0)
        model = kind(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    backend = TransformersBackend(model, T)
    asked = requests(5, count=16, stem=60)
    assert_same(score_tokens(backend, asked, batch_tokens=400), plain(model, asked), 2e-4)


def test_a_model_that_takes_no_tree_is_found_out_and_one_with_a_window_only_trusted_inside_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limits = {}
        for family in ("llama", "bloom", "mistral"):
            kind, config = transformers_models()[family]
            torch.manual_seed(0)
            limits[family] = TransformersBackend(kind(config).eval(), T).tree_limit
    assert limits == {"llama": T, "bloom": 0, "mistral": 24}


@given(st.integers(1, 60), st.integers(1, 17))
@settings(max_examples=60, deadline=None)
def test_rolling_windows_predict_each_token_once_with_as_much_context_as_lm_eval_gives(length, max_length):
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids = list(range(100, 100 + length))
    windows = rolling_windows(ids, 1, max_length)
    theirs = [make_disjoint_window(w) for w in get_rolling_token_windows(ids, 1, max_length, 1)]
    assert windows == [(list(a), list(b)) for a, b in theirs]
    assert [token for _, continuation in windows for token in continuation] == ids


def test_predictions_do_not_depend_on_the_chunk(monkeypatch):
    from smallm.evaluate import score

    hidden = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    head = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    import numpy as np

    which = np.sort(np.random.default_rng(0).integers(0, 40, 90))
    target = np.random.default_rng(1).integers(0, 50, 90)
    whole = predictions(lambda h: h @ head.T, hidden, which, target)
    monkeypatch.setattr(score, "CHUNK_BYTES", 4 * 50 * 3)
    small = predictions(lambda h: h @ head.T, hidden, which, target)
    assert np.allclose(whole[0], small[0], atol=1e-6)
    assert (whole[1] == small[1]).all()
    wanted = (hidden @ head.T).double().log_softmax(-1)[torch.from_numpy(which), torch.from_numpy(target)]
    assert np.allclose(whole[0], wanted.numpy(), atol=1e-5)
