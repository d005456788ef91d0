"""Laws of differences: a model against itself is zero everywhere; one against another is plain subtraction."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from explain.conftest import OURS, PROMPT, make_ours

from smallm.core.errors import UserError
from smallm.evaluate.local_models import Options
from smallm.explain.difference import difference
from smallm.explain.explain import Explanation, explain, explain_both
from smallm.explain.subject import Subject, open_subject


@pytest.mark.parametrize("kind", ["ours", "gemma2", "adapter"])
def test_a_model_against_itself_is_zero_in_every_view(kind: str, explained: Callable[..., Explanation]):
    a = explained(kind)
    found = difference(a, a)
    assert found.missing == {}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, np.ndarray | float):
                assert float(np.nanmax(np.abs(part))) == 0.0, field.name


def test_an_adapter_against_its_base_is_subtraction(subject_of: Callable[[str], Subject]):
    tuned = subject_of("adapter")
    base = open_subject(str(tuned.path.parent / "base"), Options())
    a, b = explain_both(tuned, base, PROMPT)
    found = difference(a, b)
    np.testing.assert_array_equal(
        found.surprise_T[1:], (a.trace.predictions.surprise_T - b.trace.predictions.surprise_T)[1:]
    )
    assert found.attention[0] is not None
    assert float(np.abs(found.attention[0]).max()) > 1e-3
    np.testing.assert_allclose(found.attention[0].sum(-1), 0.0, atol=1e-5)
    p, q = (x.trace.logits_TV.double().softmax(-1) for x in (a, b))
    np.testing.assert_allclose(found.divergence_T, (p * (p.log2() - q.log2())).sum(-1).numpy(), atol=1e-9)
    assert float(found.divergence_T.min()) > 0


def test_models_of_other_shapes_share_what_they_can(
    tmp_path: Path, subject_of: Callable[[str], Subject], explained: Callable[..., Explanation]
):
    other = open_subject(str(make_ours(tmp_path, seed=5, layers=2, **OURS["ours"])), Options())
    a, b = explain_both(subject_of("ours"), other, PROMPT)
    found = difference(a, b)
    assert set(found.missing) >= {"attention", "lens"}
    assert found.attention == []
    assert not np.isnan(found.divergence_T).any()


def test_another_tokenizer_is_refused(tmp_path: Path, subject_of: Callable[[str], Subject]):
    with pytest.raises(UserError, match="as different tokens"):
        explain_both(subject_of("ours"), subject_of("phi3"), PROMPT)
    short = open_subject(str(make_ours(tmp_path, context=8)), Options())
    with pytest.raises(UserError, match="was made for 8"):
        explain_both(subject_of("ours"), short, PROMPT)


def test_a_likeliest_token_that_the_other_cannot_say_is_watched_in_the_first_alone(tmp_path: Path):
    first, second = (
        open_subject(str(make_ours(tmp_path / name, preset="llama", tied=False)), Options()) for name in "ab"
    )
    assert first.tokenizer.add_tokens(["<|new|>"]) == 1
    new = first.usable - 1
    assert new == second.usable
    ids = first.encode(PROMPT)
    with torch.inference_mode():
        first.model.head.weight[new] = 100 * first.model.hidden(torch.tensor([ids]))[0, -1]
    a, b = explain_both(first, second, PROMPT)
    assert a.ablation is not None
    assert b.ablation is not None
    assert a.ablation.target == new
    assert b.ablation.target < second.usable
    assert difference(a, b).missing["ablation"] == "their ablations watched different tokens"


@pytest.mark.parametrize("opens", [0, 1])
def test_tokenizers_that_differ_in_what_opens_a_document_alone_are_compared_in_both_directions(
    opens: int, tmp_path: Path
):
    subjects = [open_subject(str(make_ours(tmp_path / name)), Options()) for name in "ab"]
    subjects[1 - opens].tokenizer.bos_token = None
    read = [subject.encode(PROMPT) for subject in subjects]
    assert read[opens] == [0, *read[1 - opens]]
    a, b = explain_both(*subjects, PROMPT)
    assert a.ids == b.ids == read[0]


def test_differences_want_the_same_ids(subject_of: Callable[[str], Subject]):
    a, b = (explain(subject_of("ours"), "x", ids=ids, layers=False) for ids in ([5, 6], [5, 7]))
    with pytest.raises(ValueError, match="same ids"):
        difference(a, b)
    assert a.ablation is None
    assert torch.equal(a.trace.logits_TV[0], b.trace.logits_TV[0])
