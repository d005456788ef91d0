"""Documents to packed rows: the one kind of batch that every training eats.

Rows of T tokens hold whole documents, best-fit; in pretraining a document longer than T is cut into
pieces, and what a row has left (at most 1 % of an epoch) is a segment of its own with targets -100,
counted. In fine-tuning (`whole`) no document is ever cut. A piece is a segment: positions from 0,
attention stays inside it (model/attention.py reads `segments_BT`). Targets are train/corpus.py's.

The order is a function of (seed, epoch) alone, not of the budget: epoch -> shifted cuts (or copies by
weight) and a shuffle of all pieces -> windows of about 1,024 rows, packed and shuffled one at a time ->
rows. A position in it is three numbers (`Cursor`), so resuming costs one window. Knows nothing of
models or devices. Letters: T tokens of a row.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from smallm.core.errors import UserError
from smallm.core.tokenfile import TokenShard
from smallm.train.corpus import Batch, Corpus, Piece

WINDOW_ROWS = 1024
# A row may leave a tail instead of cutting a document as long as tails stay below this share of the
# window: with the last row of the window (at most 1/1024) the promise of 1 % holds with room to spare.
TAIL_SHARE = 0.004
# One segment a row (no attention mask needed) where that wastes less than this share of all tokens.
STREAM_WASTE = 0.008


@dataclass(frozen=True)
class Cursor:
    """The next row: epoch, window in it, row in that."""

    epoch: int = 0
    window: int = 0
    row: int = 0


@dataclass
class Tally:
    """What the packing did to the rows handed out, for the log and the report."""

    rows: int = 0
    tokens: int = 0
    tail_tokens: int = 0
    segments: int = 0
    cut_documents: int = 0

    @property
    def tail_share(self) -> float:
        return self.tail_tokens / max(1, self.tokens + self.tail_tokens)


def pack_window(pieces: Sequence[Piece], context: int, *, whole: bool = False) -> tuple[list[list[Piece]], int]:
    """Best-fit decreasing: rows of at most `context` tokens, and how many pieces were cut to fill one.

    A row takes the longest piece that still fits until none does. What is left becomes a tail
    while tails are under TAIL_SHARE; otherwise the longest waiting piece is cut to fill it
    (documents of 0.6 T never pair up), unless they are to stay `whole`. Pieces come out exactly once;
    the last row may be short.
    """
    waiting = sorted((length, n, start) for n, (_, start, length) in enumerate(pieces))
    rows: list[list[Piece]] = []
    tails = filled = cuts = 0
    while waiting:
        row, space = [], context
        while waiting and space:
            at = bisect_right(waiting, (space + 1,)) - 1
            if at < 0:
                break
            length, n, start = waiting.pop(at)
            row.append((pieces[n][0], start, length))
            space -= length
        if not whole and space and waiting and tails + space > TAIL_SHARE * (filled + context):
            length, n, start = waiting.pop()
            row.append((pieces[n][0], start, space))
            insort(waiting, (length - space, n, start + space))
            space, cuts = 0, cuts + 1
        tails, filled = tails + space, filled + context
        rows.append(row)
    return rows, cuts


def cut(lengths: np.ndarray, context: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of at most `context` tokens: (document number, first token, tokens), in order.

    A document longer than the context starts with a piece of `shift` tokens (1..context): so the cuts
    of the next epoch fall elsewhere. Shorter ones stay whole.
    """
    first = np.where(lengths > context, shift, lengths)
    count = 1 + -(-(lengths - first) // context)
    document = np.repeat(np.arange(len(lengths)), count)
    k = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    start = np.where(k == 0, 0, first[document] + (k - 1) * context)
    length = np.where(k == 0, first[document], np.minimum(context, lengths[document] - start))
    return document, start, length


@dataclass
class Rows:
    """The endless stream of packed rows of a corpus, from any cursor. `tally` counts what was handed out.

    `whole`: documents are never cut; one longer than a row is an error. `alone`: one document a row, for
    models whose architecture does not keep documents apart.
    """

    corpus: Corpus
    context: int
    seed: int
    cursor: Cursor = field(default_factory=Cursor)
    tally: Tally = field(default_factory=Tally)
    whole: bool = False
    alone: bool = False

    def __post_init__(self) -> None:
        longest = int(self.corpus.length.max(initial=0))
        if self.whole and longest > self.context:
            document = int(self.corpus.length.argmax())
            shard = self.corpus.shards[self.corpus.shard[document]]
            raise UserError(
                f"{shard.path}: example {self.corpus.document_id(document)} has {longest} tokens, but rows have "
                f"{self.context} and examples are never cut here. Raise finetune.max_length, or say what to do with "
                "long ones: finetune.too_long."
            )
        # Where documents are very long against T, one segment a row costs next to nothing and needs no mask.
        waste = self.corpus.documents * self.context <= STREAM_WASTE * self.corpus.tokens
        self.stream = self.alone or (waste and not self.whole)
        self._epoch, self._window = -1, (-1, -1)

    def take(self, count: int) -> list[list[Piece]]:
        """The next `count` rows; epochs follow one another without a break."""
        rows: list[list[Piece]] = []
        while len(rows) < count:
            window = self._load(self.cursor)
            some = window[self.cursor.row : self.cursor.row + count - len(rows)]
            rows.extend(some)
            self.cursor = self._after(self.cursor, len(some), len(window))
        for row in rows:
            used = sum(piece[2] for piece in row)
            self.tally.rows, self.tally.segments = self.tally.rows + 1, self.tally.segments + len(row)
            self.tally.tokens += used
            self.tally.tail_tokens += self.context - used
        return rows

    def batch(self, count: int) -> Batch:
        return self.corpus.batch(self.take(count), self.context)

    def rows_of_epoch(self, epoch: int = 0) -> int:
        """How many rows an epoch has: packs it once. The cursor stays."""
        cursor, tally, total = self.cursor, self.tally, 0
        self.tally = Tally()
        self._cut_and_shuffle(epoch)
        for window in range(self._windows):
            total += len(self._load(Cursor(epoch, window, 0)))
        self.cursor, self.tally = cursor, tally
        return total

    def _after(self, cursor: Cursor, taken: int, size: int) -> Cursor:
        if cursor.row + taken < size:
            return Cursor(cursor.epoch, cursor.window, cursor.row + taken)
        if cursor.window + 1 < self._windows:
            return Cursor(cursor.epoch, cursor.window + 1, 0)
        return Cursor(cursor.epoch + 1, 0, 0)

    def _load(self, cursor: Cursor) -> list[list[Piece]]:
        """The rows of the cursor's window, packed when it is first entered."""
        if cursor.epoch != self._epoch:
            self._cut_and_shuffle(cursor.epoch)
        if (cursor.epoch, cursor.window) != self._window:
            a, b = self._edges[cursor.window], self._edges[cursor.window + 1]
            parts = [column[a:b].tolist() for column in self._pieces]
            pieces = list(zip(*parts, strict=True))
            if self.stream:
                self._rows = [[piece] for piece in pieces]
            else:
                self._rows, cuts = pack_window(pieces, self.context, whole=self.whole)
                self.tally.cut_documents += cuts
                order = np.random.default_rng([self.seed, cursor.epoch, cursor.window]).permutation(len(self._rows))
                self._rows = [self._rows[i] for i in order]
            self._window = (cursor.epoch, cursor.window)
        return self._rows

    def _cut_and_shuffle(self, epoch: int) -> None:
        generator = np.random.default_rng([self.seed, epoch])
        if self.whole:
            document = np.repeat(np.arange(self.corpus.documents), self.corpus.copies(epoch, self.seed))
            pieces = (document, np.zeros_like(document), self.corpus.length[document])
            if not len(document):
                raise UserError("every source's weight is so small that an epoch drew no example. Raise `weight`.")
        else:
            shift = generator.integers(1, self.context + 1, size=self.corpus.documents)
            pieces = cut(self.corpus.length, self.context, shift)
        order = generator.permutation(len(pieces[0]))
        self._pieces = [column[order] for column in pieces]
        before = np.cumsum(self._pieces[2]) - self._pieces[2]
        window = before // (WINDOW_ROWS * self.context)
        self._windows = int(window[-1]) + 1
        self._edges = np.searchsorted(window, np.arange(self._windows + 1))
        self._epoch = epoch


def open_rows(
    shards: Sequence[TokenShard], context: int, seed: int, vocab_size: int | None = None, batch_rows: int = 1
) -> Rows:
    """The training rows of `shards`. Raises UserError when they hold less than one batch."""
    corpus = Corpus(shards, vocab_size)
    if corpus.tokens < batch_rows * context:
        longest = int(corpus.length.max(initial=0))
        raise UserError(
            f"the training split has {corpus.tokens:,} tokens in {corpus.documents:,} documents (the longest has "
            f"{longest:,}), less than one batch of {batch_rows} rows of {context} tokens. Lower train.batch_tokens or "
            "model.context, or give more text in data.sources."
        )
    return Rows(corpus, context, seed)


def validation_batches(corpus: Corpus, context: int, max_tokens: int, rows: int) -> tuple[list[list[list[Piece]]], int]:
    """Fixed rows over at most `max_tokens` of held-out documents, `rows` a batch, and their UTF-8 bytes.

    Cuts as evaluate/bits_per_byte.py does: windows of T inputs from each document's start, every token
    but BOS a target once, the end of a document not scored. Documents come in a seeded order, whole; only
    when the first alone is longer than `max_tokens` is it cut, and its bytes counted in proportion. The last
    batch may have fewer rows.
    """
    order = np.random.default_rng(0).permutation(np.flatnonzero(corpus.length > 1))
    fits = max(1, int(np.searchsorted(np.cumsum(corpus.length[order]), max_tokens, side="right")))
    chosen = np.sort(order[:fits])
    predicted = corpus.length[chosen] - 1
    lengths = np.minimum(predicted, max_tokens)
    n_bytes = round(float((corpus.bytes[chosen] * (lengths / np.maximum(1, predicted))).sum()))
    document, start, length = cut(lengths, context, np.full(len(chosen), context))
    pieces = list(zip(chosen[document].tolist(), start.tolist(), length.tolist(), strict=True))
    packed: list[list[Piece]] = []
    if len(chosen) * context <= STREAM_WASTE * lengths.sum():
        packed = [[piece] for piece in pieces]
    else:
        for part in _windows(pieces, WINDOW_ROWS * context):
            packed.extend(pack_window(part, context)[0])
    return [packed[i : i + rows] for i in range(0, len(packed), rows)], n_bytes


def held_out_rows(corpus: Corpus, context: int, rows: int, *, alone: bool = False) -> list[list[list[Piece]]]:
    """Every document of a fine-tuning's held-out split once, whole, in fixed rows of `context`, `rows` a batch."""
    order = np.random.default_rng(0).permutation(corpus.documents)
    pieces = [(int(d), 0, int(corpus.length[d])) for d in order]
    packed: list[list[Piece]] = []
    for part in _windows(pieces, WINDOW_ROWS * context):
        packed.extend([[piece] for piece in part] if alone else pack_window(part, context, whole=True)[0])
    return [packed[i : i + rows] for i in range(0, len(packed), rows)]


def _windows(pieces: list[Piece], tokens: int) -> Iterator[list[Piece]]:
    window: list[Piece] = []
    total = 0
    for piece in pieces:
        window.append(piece)
        total += piece[2]
        if total >= tokens:
            yield window
            window, total = [], 0
    if window:
        yield window
