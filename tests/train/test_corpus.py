"""Laws of train/corpus.py and of whole rows: masks, weights, examples that are never cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train.test_pack import shard_of
from train.tokens import documents_of, write_shard

from smallm.core.errors import UserError
from smallm.core.tokenfile import TokenShard
from smallm.train.corpus import IGNORE, Corpus, open_masks
from smallm.train.pack import Cursor, Rows, held_out_rows


def masked_corpus(
    lengths: list[int], trained: float = 0.4, weights: list[float] | None = None, seed: int = 0
) -> Corpus:
    """One shard a weight; masks drawn at random, the last token of each document always trained."""
    generator = np.random.default_rng(seed)
    shards: list[TokenShard] = []
    masks: list[np.ndarray] = []
    for _ in weights or [1.0]:
        documents = [generator.integers(1, 60, n).astype(np.uint16) for n in lengths]
        shards += shard_of(documents)
        mask = (generator.random(sum(lengths)) < 0.4).astype(np.uint8)
        mask[np.cumsum(lengths) - 1] = 1
        masks.append(mask)
    return Corpus(shards, 64, masks=masks, weights=weights)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 16), min_size=1, max_size=60), st.integers(0, 5))
def test_whole_rows_hold_every_document_once_an_epoch_uncut_and_train_exactly_its_mask(
    lengths: list[int], seed: int
) -> None:
    corpus = masked_corpus(lengths, seed=seed)
    rows = Rows(corpus, 16, seed, whole=True)
    taken = rows.take(rows.rows_of_epoch(0))
    assert rows.cursor == Cursor(1, 0, 0)
    pieces = [piece for row in taken for piece in row]
    assert sorted(pieces) == [(d, 0, n) for d, n in enumerate(lengths)]
    assert all(sum(piece[2] for piece in row) <= 16 for row in taken)
    batch = corpus.batch(taken, 16)
    assert corpus.masks is not None
    ends = np.cumsum(lengths)
    expected = sum(int(corpus.masks[0][e - n + 1 : e].sum()) for n, e in zip(lengths, ends, strict=True))
    assert batch.n_trained == int((batch.targets_BT != IGNORE).sum()) == expected == int(corpus.trained().sum())
    # A target is the token that follows in the same document, whatever else stands in the row.
    for b, row in enumerate(taken):
        at = 0
        for document, _, n in row:
            ids = corpus.shards[0].ids[ends[document] - n : ends[document]].astype(int)
            mask = corpus.masks[0][ends[document] - n : ends[document]]
            wanted = np.append(np.where(mask[1:] == 1, ids[1:], IGNORE), IGNORE)
            assert batch.targets_BT[b, at : at + n].tolist() == wanted.tolist()
            at += n


def test_a_document_longer_than_a_whole_row_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match=r"has 17 tokens, but rows have 16"):
        Rows(masked_corpus([5, 17]), 16, 0, whole=True)


def test_weights_repeat_the_whole_part_and_draw_the_rest_anew_each_epoch() -> None:
    corpus = masked_corpus([4] * 400, weights=[1.0, 2.25, 0.5])
    drawn = [corpus.copies(epoch, 7) for epoch in range(3)]
    for copies in drawn:
        assert (copies[:400] == 1).all()
        assert set(copies[400:800]) == {2, 3}
        assert set(copies[800:]) == {0, 1}
        # Binomial of 400: five standard deviations, a false alarm in 1.7 million.
        assert abs(copies[400:800].sum() - 900) < 5 * (400 * 0.25 * 0.75) ** 0.5
        assert abs(copies[800:].sum() - 200) < 5 * 10
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], corpus.copies(0, 7))
    rows = Rows(corpus, 16, 7, whole=True)
    count = np.zeros(1200, int)
    for row in rows.take(rows.rows_of_epoch(0)):
        for document, _, _ in row:
            count[document] += 1
    assert np.array_equal(count, drawn[0])


def test_one_more_document_leaves_the_draws_of_the_others_alone() -> None:
    fewer, more = (masked_corpus([5] * n, weights=[0.5]) for n in (60, 60))
    extra = Corpus([*fewer.shards, *masked_corpus([7] * 3, seed=9).shards], 64, weights=[0.5, 0.5])
    assert np.array_equal(extra.copies(0, 1)[:60], more.copies(0, 1))


def test_whole_rows_go_on_from_any_cursor_as_if_nothing_had_been() -> None:
    corpus = masked_corpus([5, 9, 14, 3, 8] * 30, weights=[1.5])
    whole = Rows(corpus, 16, 0, whole=True)
    rows = whole.take(250)
    assert whole.cursor.epoch >= 1
    at = Rows(corpus, 16, 0, whole=True)
    at.take(101)
    assert Rows(corpus, 16, 0, cursor=at.cursor, whole=True).take(60) == rows[101:161]


def test_alone_every_row_is_one_document() -> None:
    corpus = masked_corpus([5, 9, 3] * 10)
    rows = Rows(corpus, 16, 0, whole=True, alone=True)
    assert rows.rows_of_epoch() == 30
    batch = rows.batch(30)
    assert batch.single
    assert rows.stream


def test_a_trimmed_batch_ends_where_its_longest_row_does() -> None:
    batch = masked_corpus([5, 9, 3]).batch([[(0, 0, 5)], [(2, 0, 3), (1, 0, 9)]], 32)
    assert batch.used == [5, 12]
    trimmed = batch.trimmed(8)
    assert trimmed.input_ids_BT.shape == (2, 16)
    assert torch.equal(trimmed.targets_BT, batch.targets_BT[:, :16])
    assert (batch.targets_BT[:, 16:] == IGNORE).all()
    assert batch.rows(0, 1).trimmed(8).input_ids_BT.shape == (1, 8)


def test_held_out_rows_hold_every_document_once() -> None:
    corpus = masked_corpus([5, 9, 14, 3] * 20)
    for alone in (False, True):
        pieces = [p for batch in held_out_rows(corpus, 16, 3, alone=alone) for row in batch for p in row]
        assert sorted(pieces) == [(d, 0, int(n)) for d, n in enumerate(corpus.length)]


def test_a_mask_that_does_not_fit_its_tokens_is_refused(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.bin", documents_of([4, 5]))
    with pytest.raises(UserError, match=r"not one byte for each of 9 tokens"):
        open_masks([shard])
    (tmp_path / "train-00000.mask").write_bytes(bytes(9))
    assert open_masks([shard])[0].tolist() == [0] * 9
    with pytest.raises(UserError, match="9 tokens, but its mask has 8"):
        Corpus([shard], masks=[np.zeros(8, np.uint8)])
