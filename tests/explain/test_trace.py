"""Laws of looking: what is seen is what the model computes, and looking changes nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from explain.conftest import PROMPT
from tiny_hf import make_directory

from smallm.core.errors import UserError
from smallm.evaluate.local_models import Options
from smallm.explain.explain import explain
from smallm.explain.passes import resume, run_pass
from smallm.explain.subject import Subject, open_subject
from smallm.explain.trace import logit_lens, rollout, trace, without_sink


@torch.inference_mode()
def plain_logits(subject: Subject, ids: list[int]) -> torch.Tensor:
    return subject.logits(torch.tensor([ids]))[0].float()


def test_attention_rows_sum_to_one_and_no_token_looks_ahead(subject: Subject):
    base = run_pass(subject, subject.encode(PROMPT))
    for weights in base.weights:
        assert weights is not None
        np.testing.assert_allclose(weights.sum(-1).numpy(), 1.0, atol=1e-5)
        assert float(torch.triu(weights, 1).abs().max()) == 0.0


def test_looking_changes_no_logit_and_leaves_no_trace_in_the_model(subject: Subject):
    ids = subject.encode(PROMPT)
    before = plain_logits(subject, ids)
    base = run_pass(subject, ids)
    assert torch.equal(base.logits_TV, before)
    assert torch.equal(plain_logits(subject, ids), before)
    assert all("forward" not in layer.__dict__ for layer in subject.layers)


@pytest.mark.parametrize("kind", ["gpt_neox", "phi3", "gemma2", "bloom", "adapter"])
def test_the_weights_are_those_that_transformers_gives_with_eager_attention(
    kind: str, subject_of: Callable[[str], Subject]
):
    subject = subject_of(kind)
    ids = subject.encode(PROMPT)
    seen = run_pass(subject, ids).weights
    before = subject.config._attn_implementation
    subject.model.set_attn_implementation("eager")
    with torch.inference_mode():
        given = subject.model(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    subject.model.set_attn_implementation(before)
    assert len(seen) == len(given)
    for mine, theirs in zip(seen, given, strict=True):
        assert mine is not None
        assert float((mine - theirs[0]).abs().max()) < 1e-5


def test_our_decoder_and_transformers_look_at_the_same_places(tmp_path: Any):
    """A Llama directory is opened by our decoder; Transformers' own eager attention is the reference."""
    model = make_directory(tmp_path, "llama")
    subject = open_subject(str(tmp_path), Options())
    assert subject.ours
    ids = subject.encode(PROMPT)
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        given = model(input_ids=torch.tensor([ids]), output_attentions=True).attentions
    for mine, theirs in zip(run_pass(subject, ids).weights, given, strict=True):
        assert mine is not None
        assert float((mine - theirs[0]).abs().max()) < 1e-5


def test_the_last_row_of_the_lens_is_the_output(subject: Subject):
    ids = subject.encode(PROMPT)
    base = run_pass(subject, ids)
    lens = logit_lens(subject, base)
    assert lens is not None
    p_TV = plain_logits(subject, ids)[:, : subject.usable].log_softmax(-1)
    top = p_TV.topk(3, dim=-1)
    assert np.array_equal(lens.top_ids_LTN[-1], top.indices.numpy())
    assert np.array_equal(lens.top_p_LTN[-1], top.values.exp().numpy())
    said = trace(subject, base).predictions
    assert np.array_equal(lens.top_p_LTN[-1], said.top_p_TN[:, :3])
    assert np.array_equal(lens.entropy_LT[-1], said.entropy_T)


def test_going_on_from_any_layer_ends_in_the_output(subject: Subject):
    base = run_pass(subject, subject.encode(PROMPT))
    for start in range(base.layers + 1):
        torch.testing.assert_close(resume(subject, base, start)[0], base.logits_TV, atol=1e-5, rtol=1e-5)
        last = resume(subject, base, start, last=True)[0, -1]
        torch.testing.assert_close(last, base.logits_TV[-1], atol=1e-5, rtol=1e-5)


def test_probability_rank_and_surprise_are_the_plain_ones(subject: Subject):
    ids = subject.encode(PROMPT)
    said = trace(subject, run_pass(subject, ids)).predictions
    p_TV = plain_logits(subject, ids)[:, : subject.usable].double().softmax(-1)
    assert math.isnan(said.probability_T[0])
    assert said.rank_T[0] == 0
    for t in range(1, len(ids)):
        p = p_TV[t - 1]
        assert said.probability_T[t] == pytest.approx(float(p[ids[t]]), rel=1e-4)
        assert said.surprise_T[t] == pytest.approx(-math.log2(float(p[ids[t]])), rel=1e-4)
        assert said.rank_T[t] == 1 + int((p > p[ids[t]]).sum())
        assert said.entropy_T[t] == pytest.approx(float(-(p_TV[t] * p_TV[t].log2()).sum()), rel=1e-4)


def test_rollout_is_the_product_of_attention_and_residual_and_its_rows_sum_to_one():
    layers = [torch.rand(5, 5, generator=torch.Generator().manual_seed(i)).tril() for i in range(3)]
    layers = [w / w.sum(-1, keepdim=True) for w in layers]
    found = rollout([w.numpy() for w in layers])
    slow = torch.eye(5, dtype=torch.float64)
    for w in layers:
        slow = (0.5 * w.double() + 0.5 * torch.eye(5)) @ slow
    np.testing.assert_allclose(found[-1], slow.numpy(), atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-9)


def test_a_layer_without_attention_leaves_the_rollout_as_it_is_and_keeps_its_number(
    subject_of: Callable[[str], Subject],
):
    subject = subject_of("ours")
    base = run_pass(subject, subject.encode(PROMPT))
    first, _, last = base.weights
    found = trace(subject, dataclasses.replace(base, weights=[None, first, last]))
    assert found.attention[0] is None
    for flow_LTT in (found.rollout_LTT, found.rollout_no_sink_LTT):
        assert len(flow_LTT) == 3
        np.testing.assert_array_equal(flow_LTT[0], np.eye(len(base.ids)))
    two = trace(subject, dataclasses.replace(base, weights=[first, last]))
    np.testing.assert_array_equal(found.rollout_LTT[1:], two.rollout_LTT)


def test_without_the_sink_the_first_column_is_empty_and_rows_sum_to_one():
    weights = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [1.0, 0, 0]])
    np.testing.assert_allclose(without_sink(weights), [[1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_grouped_heads_are_known(subject_of: Callable[[str], Subject]):
    facts = explain(subject_of("ours"), PROMPT).model
    assert (facts["heads"], facts["kv_heads"]) == ([4, 4, 4], 2)
    assert explain(subject_of("phi3"), PROMPT).model["kv_heads"] == 4


def softless(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention that calls neither torch's kernel nor a softmax, as kernels of others do."""
    scores = (query @ key.transpose(2, 3)) * query.shape[-1] ** -0.5
    scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -1e9)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return ((weights / weights.sum(-1, keepdim=True)) @ value).transpose(1, 2), None


def test_an_attention_that_gives_no_weights_is_switched_to_the_eager_one_aloud(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
):
    from transformers import AttentionInterface

    make_directory(tmp_path, "gpt_neox")
    subject = open_subject(str(tmp_path), Options())
    AttentionInterface.register("softless", softless)
    subject.model.set_attn_implementation("softless")
    assert all(w is not None for w in run_pass(subject, subject.encode(PROMPT)).weights)
    assert "softless" in capsys.readouterr().err
    assert subject.config._attn_implementation == "eager"


def test_a_model_whose_attention_cannot_be_seen_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    from smallm.explain import capture

    make_directory(tmp_path, "gpt_neox")
    subject = open_subject(str(tmp_path), Options())
    monkeypatch.setattr(capture.Attention, "__torch_function__", lambda self, f, t, a=(), k=None: f(*a, **(k or {})))
    with pytest.raises(UserError, match="no attention weights can be seen in GPTNeoX"):
        run_pass(subject, subject.encode(PROMPT))


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ("the cat " * 200, r"has \d+ tokens; .* was made for 64"),
        ("a\udcff", "not UTF-8"),
    ],
)
def test_a_prompt_that_cannot_be_looked_at_is_refused(prompt: str, says: str, subject_of: Callable[[str], Subject]):
    with pytest.raises(UserError, match=says):
        subject_of("ours").encode(prompt)


def test_a_prompt_may_fill_the_context_and_may_be_one_token(subject_of: Callable[[str], Subject]):
    from smallm.model.sampling import SamplingConfig

    subject = subject_of("ours")
    full = explain(subject, PROMPT, ids=[5] * subject.context, sampling=SamplingConfig(max_new_tokens=3))
    assert full.generation is not None
    assert (full.generation.steps, full.generation.reason) == ([], "context full")
    assert len(explain(subject, "x", ids=[7], heads=True).ids) == 1
