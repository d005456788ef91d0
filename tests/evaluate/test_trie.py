"""Laws of the prefix trees: every request is there once, and a node sees exactly its own beginning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.evaluate.trie import STEM_IDS, Chain, Group, batches, chain_of, mask, plan

ids = st.lists(st.integers(0, 3), min_size=1, max_size=12)
pairs = st.lists(st.tuples(ids, ids), min_size=1, max_size=25)


def path(group: Group, row_at: int, node: int) -> list[int]:
    """The ids from the beginning to a node, read off the parents alone."""
    row, found = group.rows[row_at], []
    while node >= 0:
        found.append(row.ids[node])
        node = row.parent[node]
    return [*group.stem, *reversed(found)]


def predictions(groups: list[Group]) -> list[tuple[int, tuple[int, ...], int]]:
    """(request, what the model has read, the token that is scored after it) of every scored token."""
    return sorted(
        (request, tuple(path(group, at, node)), target)
        for group in groups
        for at, row in enumerate(group.rows)
        for request, node, target in row.wanted
    )


def expected(chains: list[Chain]) -> list[tuple[int, tuple[int, ...], int]]:
    return sorted(
        (c.request, c.inputs[: c.first + i + 1], target) for c in chains for i, target in enumerate(c.targets)
    )


@given(pairs, st.integers(12, 40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_token_is_scored_once_after_exactly_what_its_request_says(requests, max_length, share):
    chains = [chain_of(i, context, continuation, max_length) for i, (context, continuation) in enumerate(requests)]
    assert predictions(plan(chains, share=share)) == expected(chains)


@given(st.lists(st.tuples(ids, ids), min_size=12, max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_shared_stem_leaves_every_prediction_where_it_was(requests):
    stem = list(range(STEM_IDS + 5))
    chains = [chain_of(i, stem + context, continuation, 200) for i, (context, continuation) in enumerate(requests)]
    groups = plan(chains, row_nodes=16)
    assert predictions(groups) == expected(chains)
    nodes = sum(len(group.stem) + sum(len(row.ids) for row in group.rows) for group in groups)
    assert nodes <= sum(len(c.inputs) for c in chains)


def test_few_shot_examples_become_a_stem():
    stem = list(range(100, 100 + 2 * STEM_IDS))
    chains = [chain_of(i, [*stem, i, i + 1], [7, 8], 512) for i in range(200)]
    (group,) = plan(chains)
    assert list(group.stem) == stem
    assert sum(len(row.ids) for row in group.rows) == 200 * 3  # two of the context, one of the continuation


@given(pairs)
@settings(max_examples=80, deadline=None)
def test_a_node_sees_its_ancestors_and_nothing_else(requests):
    chains = [chain_of(i, context, continuation, 64) for i, (context, continuation) in enumerate(requests)]
    for group in plan(chains):
        for row in group.rows:
            width = len(row.ids) + 3
            seen = mask(row, width)
            for node in range(len(row.ids)):
                ancestors, at = set(), node
                while at >= 0:
                    ancestors.add(at)
                    at = row.parent[at]
                assert set(np.flatnonzero(seen[node])) == ancestors
                assert row.depth[node] == len(group.stem) + len(ancestors) - 1
            for filled in range(len(row.ids), width):
                assert set(np.flatnonzero(seen[filled])) == {filled}


@given(pairs, st.integers(1, 200))
@settings(max_examples=80, deadline=None)
def test_batches_hold_every_row_once_and_keep_the_budget(requests, budget):
    chains = [chain_of(i, context, continuation, 64) for i, (context, continuation) in enumerate(requests)]
    for group in plan(chains):
        found = list(batches(group.rows, budget))
        assert [id(row) for batch in found for row in batch] == [id(row) for row in group.rows]
        for batch in found:
            assert len(batch) == 1 or len(batch) * max(len(row.ids) for row in batch) <= budget
            assert len({row.is_chain for row in batch}) == 1


def test_choices_of_one_token_need_no_node_of_their_own():
    chains = [chain_of(i, [1, 2, 3], [10 + i], 16) for i in range(4)]
    (group,) = plan(chains)
    assert [len(row.ids) for row in group.rows] == [3]


def test_a_request_that_is_too_long_loses_tokens_on_the_left():
    chain = chain_of(0, range(20), [90, 91], 8)
    assert chain.inputs == (13, 14, 15, 16, 17, 18, 19, 90)
    assert chain.targets == (90, 91)
    assert chain.first == 6


@pytest.mark.parametrize(("context", "continuation"), [([], [1]), ([1], []), ([1], [2] * 9)])
def test_what_cannot_be_scored_is_refused(context, continuation):
    with pytest.raises(ValueError, match="request 5"):
        chain_of(5, context, continuation, 8)
