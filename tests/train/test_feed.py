"""Laws of train/feed.py and train/journal.py."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from train.tokens import documents_of, write_shard

from smallm.core.errors import UserError
from smallm.train import journal
from smallm.train.corpus import Batch, Corpus
from smallm.train.feed import Feed
from smallm.train.pack import Cursor, Rows


def feed_at(path: Path, device: str = "cpu", lengths: tuple[int, ...] = (9, 30, 5, 40) * 20, vocab: int = 64) -> Feed:
    shard = write_shard(path / "train-00000.bin", documents_of(lengths))
    return Feed(Rows(Corpus([shard], vocab), 16, 0), 8, 3, device, "sdpa")


def unpinned(self: Feed, batch: Batch) -> Batch:
    return batch


def test_batches_prefetched_by_a_thread_are_those_made_in_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "_pinned", unpinned)
    in_line = list(feed_at(tmp_path).batches(12))
    threaded = list(feed_at(tmp_path, "cuda").batches(12))
    assert [b.cursor for b in threaded] == [b.cursor for b in in_line]
    for a, b in zip(threaded, in_line, strict=True):
        assert a.n_trained == b.n_trained == sum(p.n_trained for p in b.parts)
        assert all(torch.equal(x.targets_BT, y.targets_BT) for x, y in zip(a.parts, b.parts, strict=True))


def test_the_cursor_of_a_batch_is_where_a_resume_goes_on_however_far_the_thread_is_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Feed, "_pinned", unpinned)
    expected = [b.parts[0].input_ids_BT for b in feed_at(tmp_path).batches(6)]
    batches = feed_at(tmp_path, "cuda").batches(6)
    third = [next(batches) for _ in range(3)][-1]
    batches.close()
    resumed = feed_at(tmp_path)
    resumed.rows.cursor = third.cursor
    assert torch.equal(next(iter(resumed.batches(1))).parts[0].input_ids_BT, expected[3])


def test_an_error_in_the_thread_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "_pinned", unpinned)
    with pytest.raises(UserError, match="vocabulary is 8"):
        list(feed_at(tmp_path, "cuda", vocab=8).batches(3))


def test_the_thread_ends_when_the_training_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "_pinned", unpinned)
    batches = feed_at(tmp_path, "cuda").batches(1000)
    next(batches)
    batches.close()
    for thread in threading.enumerate():
        if thread.name == "smallm-feed":
            thread.join(timeout=5)
            assert not thread.is_alive()


def test_borders_are_made_only_where_a_row_holds_several_documents(tmp_path: Path) -> None:
    mixed, stream = feed_at(tmp_path / "a"), feed_at(tmp_path / "b", lengths=(4000,))
    assert mixed.to_device(mixed.rows.batch(2)).borders is not None
    assert stream.to_device(stream.rows.batch(2)).borders is None
    mixed.always_borders = stream.always_borders = True
    assert mixed.to_device(mixed.rows.batch(2)).borders is not None
    assert stream.to_device(stream.rows.batch(2)).borders is None
    # Held-out rows go by what they hold, whatever the training's do.
    held_out = mixed.rows.batch(2)
    assert stream.to_device(held_out, training=False).borders is not None


def test_a_cursor_survives_json() -> None:
    assert Cursor(**{"epoch": 3, "window": 2, "row": 1}) == Cursor(3, 2, 1)


def test_rewinding_a_journal_cuts_all_files_at_the_step_and_drops_a_torn_line(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path)
    for step in (0, 5, 10):
        for name in journal.FILES:
            book.write(name, {"step": step, "text": "ü", "value": 0.1 + step})
    before = (tmp_path / journal.METRICS).read_bytes()
    with open(tmp_path / journal.METRICS, "a", encoding="utf-8") as f:
        f.write('{"step": 15, "val')
    book.rewind(10)
    assert (tmp_path / journal.METRICS).read_bytes() == before
    book.rewind(5)
    for name in journal.FILES:
        assert [r["step"] for r in journal.read(tmp_path / name)] == [0, 5]
    book.rewind(-1)
    assert journal.read(tmp_path / journal.METRICS) == []


def test_a_journal_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.Journal(tmp_path).write(journal.METRICS, {"step": 1, "loss": float(np.nan)})
