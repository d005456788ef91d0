"""Laws of ablation: nothing removed changes nothing, and what is removed is exactly that."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from explain.conftest import PROMPT
from torch import nn

from smallm.explain.ablate import ablate, without, without_heads
from smallm.explain.explain import Explanation
from smallm.explain.passes import run_pass
from smallm.explain.subject import Subject


def test_ablating_nothing_changes_nothing(subject: Subject):
    base = run_pass(subject, subject.encode(PROMPT))
    whole_V = base.logits_TV[-1, : subject.usable]
    torch.testing.assert_close(without(subject, base, None), whole_V, atol=1e-5, rtol=1e-5)
    for layer in range(base.layers):
        none_BV = without_heads(subject, base, layer, [[], []])
        torch.testing.assert_close(none_BV, whole_V.expand(2, -1), atol=1e-5, rtol=1e-5)


def test_a_removed_layer_is_a_model_without_that_layer(subject_of: Callable[[str], Subject]):
    subject = subject_of("ours")
    base = run_pass(subject, subject.encode(PROMPT))
    for layer in range(base.layers):
        shorter = copy.deepcopy(subject.model)
        shorter.blocks = nn.ModuleList([b for i, b in enumerate(shorter.blocks) if i != layer])
        shorter.config = dataclasses.replace(shorter.config, layers=base.layers - 1)
        with torch.inference_mode():
            expected = shorter(torch.tensor([base.ids]))[0, -1, : subject.usable]
        torch.testing.assert_close(without(subject, base, layer), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "projection"),
    [
        ("ours", "blocks.{}.attention.o"),
        ("phi3", "model.layers.{}.self_attn.o_proj"),
        ("gemma2", "model.layers.{}.self_attn.o_proj"),
    ],
)
def test_a_removed_head_is_one_whose_output_weights_are_zero(
    kind: str, projection: str, subject_of: Callable[[str], Subject]
):
    subject = subject_of(kind)
    base = run_pass(subject, subject.encode(PROMPT))
    for layer, weights in enumerate(base.weights):
        assert weights is not None
        H = len(weights)
        found_BV = without_heads(subject, base, layer, [[h] for h in range(H)])
        for h in range(H):
            model = copy.deepcopy(subject.model)
            weight = model.get_submodule(projection.format(layer)).weight
            C = weight.shape[1] // H
            with torch.inference_mode():
                weight[:, h * C : (h + 1) * C] = 0
                out = model(torch.tensor([base.ids]))
            expected = (out if torch.is_tensor(out) else out.logits)[0, -1, : subject.usable]
            torch.testing.assert_close(found_BV[h], expected.float(), atol=1e-4, rtol=1e-4)


def test_every_layer_and_head_has_its_row_and_the_change_is_to_the_whole_model(
    explained: Callable[..., Explanation],
):
    for kind in ("ours", "adapter"):
        found = explained(kind).ablation
        assert found is not None
        facts = explained(kind).model
        assert [r.layer for r in found.layers] == list(range(facts["layers"]))
        assert [(r.layer, r.head) for r in found.heads] == [
            (layer, h) for layer, H in enumerate(facts["heads"]) for h in range(H)
        ]
        for removal in (*found.layers, *found.heads):
            assert removal.probability == pytest.approx(found.probability + removal.change, abs=1e-6)
            assert removal.bits >= 0
            assert 0 <= removal.probability <= 1


def test_heads_in_one_batch_are_the_heads_one_by_one(subject: Subject):
    base = run_pass(subject, subject.encode(PROMPT))
    together = without_heads(subject, base, 0, [[0], [1], [0, 1]])
    for row, heads in enumerate(([0], [1], [0, 1])):
        alone = without_heads(subject, base, 0, [heads])[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)
    assert ablate(subject, base).heads == []
