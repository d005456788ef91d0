"""Laws of train/pack.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train.tokens import documents_of, write_shard

from smallm.core.errors import UserError
from smallm.core.tokenfile import TokenShard
from smallm.train import pack
from smallm.train.corpus import IGNORE, Corpus, Piece, trained_positions
from smallm.train.pack import Cursor, Rows, cut, open_rows, pack_window, validation_batches

lengths_and_context = st.tuples(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(2, 40))


def shard_of(documents: list[np.ndarray], shards: int = 1) -> list[TokenShard]:
    """Shards in memory."""
    found = []
    for part in np.array_split(np.arange(len(documents)), shards):
        chosen = [documents[i] for i in part]
        index = np.zeros(len(chosen), pack_index())
        at = 0
        for k, (i, ids) in enumerate(zip(part, chosen, strict=True)):
            index[k] = (at, len(ids), len(ids), np.void(int(i).to_bytes(16, "big")))
            at += len(ids)
        ids = np.concatenate(chosen) if chosen else np.zeros(0, np.uint16)
        found.append(TokenShard(Path("memory.bin"), ids, index, "00"))
    return found


def pack_index() -> np.dtype:
    from smallm.core.tokenfile import INDEX_DTYPE

    return INDEX_DTYPE


def distinct(lengths: list[int]) -> list[np.ndarray]:
    """Documents in which every token is unique in the corpus."""
    edges = np.cumsum([0, *lengths])
    return [np.arange(a, b, dtype=np.uint16) for a, b in pairwise(edges)]


def one_epoch(rows: Rows) -> list[list[Piece]]:
    epoch, found = rows.cursor.epoch, []
    while rows.cursor.epoch == epoch:
        found.extend(rows.take(1))
    return found


@settings(max_examples=150, deadline=None)
@given(lengths_and_context, st.integers(0, 3), st.integers(1, 3))
def test_every_token_is_an_input_exactly_once_an_epoch(case: tuple[list[int], int], seed: int, shards: int) -> None:
    lengths, context = case
    rows = Rows(Corpus(shard_of(distinct(lengths), shards)), context, seed)
    for _ in range(3):
        batch = rows.corpus.batch(one_epoch(rows), context)
        trained = batch.input_ids_BT[batch.targets_BT != IGNORE]
        assert sorted(trained.tolist()) == list(range(sum(lengths)))
        assert batch.n_trained == sum(lengths)


@settings(max_examples=150, deadline=None)
@given(lengths_and_context, st.integers(0, 3))
def test_targets_are_the_next_tokens_and_no_segment_crosses_documents(case: tuple[list[int], int], seed: int) -> None:
    lengths, context = case
    documents = distinct(lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first, last = np.cumsum([0, *lengths[:-1]]), np.cumsum(lengths) - 1
    rows = Rows(Corpus(shard_of(documents)), context, seed)
    batch = rows.corpus.batch(one_epoch(rows), context)
    for ids, targets, positions, segments in zip(
        batch.input_ids_BT, batch.targets_BT, batch.positions_BT, batch.segments_BT, strict=True
    ):
        for segment in segments.unique():
            inside = segments == segment
            assert torch.equal(positions[inside], torch.arange(int(inside.sum())))
            if (targets[inside] == IGNORE).all():
                continue
            some, following = ids[inside].numpy(), targets[inside].numpy()
            assert len(set(owner[some])) == 1
            assert np.array_equal(np.diff(some), np.ones(len(some) - 1))
            ends = some == last[owner[some]]
            assert np.array_equal(following, np.where(ends, first[owner[some]], some + 1))


@settings(max_examples=100, deadline=None)
@given(lengths_and_context, st.integers(0, 60), st.integers(1, 7))
def test_rows_from_a_cursor_are_the_rows_that_would_have_followed(
    case: tuple[list[int], int], skip: int, size: int
) -> None:
    lengths, context = case
    corpus = Corpus(shard_of(distinct(lengths)))
    never_stopped, first = Rows(corpus, context, 1), Rows(corpus, context, 1)
    expected = never_stopped.take(skip + 3 * size)[skip:]
    first.take(skip)
    resumed = Rows(corpus, context, 1, cursor=first.cursor)
    assert [row for _ in range(3) for row in resumed.take(size)] == expected
    assert resumed.cursor == never_stopped.cursor


def test_a_cursor_in_a_later_window_packs_that_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "WINDOW_ROWS", 8)
    corpus = Corpus(shard_of(distinct([5, 9, 14, 3] * 50)))
    whole = Rows(corpus, 16, 0)
    rows = one_epoch(whole)
    assert whole._windows > 5
    at = Rows(corpus, 16, 0)
    at.take(60)
    packed: list[int] = []
    monkeypatch.setattr(pack, "pack_window", lambda p, c, **k: packed.append(len(p)) or pack_window(p, c, **k))
    resumed = Rows(corpus, 16, 0, cursor=at.cursor)
    assert resumed.take(4) == rows[60:64]
    assert len(packed) <= 2


def test_epochs_differ_from_each_other_and_seeds_too() -> None:
    corpus = Corpus(shard_of(distinct([7, 30, 12, 90, 4, 18] * 6)))
    a = Rows(corpus, 16, 0)
    first, second = one_epoch(a), one_epoch(a)
    assert first != second
    assert Counter(p[0] for row in first for p in row).keys() == Counter(p[0] for row in second for p in row).keys()
    assert one_epoch(Rows(corpus, 16, 1)) != first
    assert one_epoch(Rows(corpus, 16, 0)) == first


@pytest.mark.parametrize("context", [64, 256, 1024])
@pytest.mark.parametrize("kind", ["lognormal", "short", "0.6 of the context", "one stream"])
def test_tails_are_at_most_one_percent(kind: str, context: int) -> None:
    generator = np.random.default_rng(0)
    lengths = {
        "lognormal": np.clip(generator.lognormal(5.5, 1, 4000), 5, 20_000),
        "short": generator.integers(10, 60, 20_000),
        "0.6 of the context": np.full(3000, 0.6 * context),
        "one stream": np.array([500_000]),
    }[kind].astype(int)
    rows = Rows(Corpus(shard_of([np.zeros(n, np.uint16) for n in lengths])), context, 0)
    one_epoch(rows)
    assert rows.tally.tokens == lengths.sum()
    assert rows.tally.tail_share <= 0.01


def test_tails_on_real_text_are_at_most_one_percent(shared_data: Callable[[str], Path]) -> None:
    text = (shared_data("tinystories") / "tinystories-lowercased-4MB.txt").read_text("utf-8")
    words = [len(part.split()) + 1 for part in text.split("\n") if part]
    assert sum(words) > 200 * 256
    rows = Rows(Corpus(shard_of([np.zeros(n, np.uint16) for n in words])), 256, 0)
    one_epoch(rows)
    assert rows.tally.tail_share <= 0.01


def test_documents_that_fit_are_cut_only_when_best_fit_cannot() -> None:
    generator = np.random.default_rng(0)
    pieces = [(i, 0, int(n)) for i, n in enumerate(generator.integers(20, 500, 5000))]
    assert pack_window(pieces, 1024)[1] <= 50
    assert pack_window([(i, 0, 614) for i in range(1000)], 1024)[1] > 300


def test_one_long_stream_needs_no_mask() -> None:
    rows = Rows(Corpus(shard_of([np.zeros(40_000, np.uint16)])), 256, 0)
    assert rows.stream
    for _ in range(100):
        assert rows.batch(4).single
    mixed = Rows(Corpus(shard_of(distinct([100, 30, 60] * 40))), 256, 0)
    assert not mixed.stream
    assert not mixed.batch(4).single


def test_micro_batches_are_the_rows_of_the_batch_in_order() -> None:
    batch = Rows(Corpus(shard_of(distinct([11, 30, 7] * 30))), 16, 0).batch(10)
    for micro in (1, 3, 4, 10, 99):
        parts = batch.split(micro)
        assert torch.equal(torch.cat([p.input_ids_BT for p in parts]), batch.input_ids_BT)
        assert sum(p.n_trained for p in parts) == batch.n_trained
        sizes = [len(p.input_ids_BT) for p in parts]
        assert max(sizes) <= micro
        assert max(sizes) - min(sizes) <= 1


def test_validation_scores_every_token_but_bos_once_and_counts_whole_documents() -> None:
    lengths = [40, 3, 1, 17, 16, 33]
    corpus = Corpus(shard_of(distinct(lengths)))
    batches, n_bytes = validation_batches(corpus, 16, 10_000, 2)
    assembled = [corpus.batch(rows, 16) for rows in batches]
    targets = sorted(t for b in assembled for t in b.targets_BT[b.targets_BT != IGNORE].tolist())
    first = set(np.cumsum([0, *lengths[:-1]]).tolist())
    assert targets == [t for t in range(sum(lengths)) if t not in first]
    assert n_bytes == sum(lengths) - 1  # the document of BOS alone has nothing to score
    assert validation_batches(corpus, 16, 10_000, 2)[0] == batches


def test_a_single_long_validation_document_is_cut_at_the_limit_and_its_bytes_in_proportion() -> None:
    corpus = Corpus(shard_of([np.zeros(10_001, np.uint16)]))
    batches, n_bytes = validation_batches(corpus, 16, 1600, 4)
    assert sum(p[2] for rows in batches for row in rows for p in row) == 1600
    assert n_bytes == 1600


def test_an_id_outside_the_vocabulary_is_refused_by_name(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.bin", documents_of([50], vocab=64))
    with pytest.raises(UserError, match="vocabulary is 10"):
        Rows(Corpus([shard], vocab_size=10), 16, 0).batch(3)


def test_less_text_than_one_batch_is_refused_with_the_settings_to_change() -> None:
    with pytest.raises(UserError, match=r"train\.batch_tokens"):
        open_rows(shard_of(distinct([20, 20])), 16, 0, batch_rows=8)


def test_trained_positions_hold_every_target_and_nothing_else_that_counts() -> None:
    targets_BT = torch.full((4, 100), IGNORE)
    targets_BT[1, 30:50] = 7
    chosen = trained_positions(targets_BT)
    assert chosen is not None
    assert len(chosen) == 64
    assert len(set(chosen.tolist())) == 64
    assert (targets_BT.flatten()[chosen] != IGNORE).sum() == 20
    assert trained_positions(torch.zeros(4, 100)) is None


def test_cut_pieces_cover_each_document_in_order() -> None:
    document, start, length = cut(np.array([5, 16, 17, 50]), 16, np.array([3, 3, 3, 16]))
    pieces = list(zip(document.tolist(), start.tolist(), length.tolist(), strict=True))
    assert pieces == [
        (0, 0, 5), (1, 0, 16), (2, 0, 3), (2, 3, 14), (3, 0, 16), (3, 16, 16), (3, 32, 16), (3, 48, 2),
    ]  # fmt: skip


def test_the_first_row_of_a_fresh_cursor_is_row_zero() -> None:
    assert Rows(Corpus(shard_of(distinct([9, 9]))), 4, 0).cursor == Cursor(0, 0, 0)
