"""Documents by number: which ids, which targets, how many are trained, how often an epoch sees them.

The target of every token is the token that follows in its document. Of a document's last token it is,
in pretraining, the document's own first one (BOS, which separates documents). With masks (fine-tuning)
a token is a target only where its mask says so, the last token of a document has none, and nothing ever
wraps around. Ids and masks stay memory-mapped; index arrays alone are in memory.
Letters: B rows, T tokens of a row, N positions of a batch (B * T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smallm.core.errors import UserError
from smallm.core.tokenfile import TokenShard

IGNORE = -100

Piece = tuple[int, int, int]  # document number, first token within the document, tokens


@dataclass
class Batch:
    """B packed rows. `n_trained` counts targets that are not -100 (known here, so no device is asked).

    `single`: every row is one segment (and perhaps a tail after it), so plain causal attention is
    exact and neither positions nor borders are needed. `trained_N` lists the flat positions to
    compute a loss for, padded to a multiple of 64 with positions whose target is -100; None = all.
    `borders` is what the attention backend made of `segments_BT`, once for all layers. `used`: tokens of
    each row before its tail.
    """

    input_ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor
    n_trained: int
    document_ids: list[str]
    single: bool = False
    trained_N: Tensor | None = None
    borders: Any = None
    used: list[int] | None = None

    def rows(self, first: int, last: int) -> Batch:
        """Rows first..last-1 as a batch; keeps the document ids of the whole."""
        targets_BT = self.targets_BT[first:last]
        return replace(
            self,
            input_ids_BT=self.input_ids_BT[first:last],
            targets_BT=targets_BT,
            positions_BT=self.positions_BT[first:last],
            segments_BT=self.segments_BT[first:last],
            n_trained=int((targets_BT != IGNORE).sum()),
            trained_N=None,
            used=None if self.used is None else self.used[first:last],
        )

    def trimmed(self, multiple: int = 8) -> Batch:
        """Without the columns after the longest row's last document: what a tail computes is nobody's."""
        longest, T = max(self.used or [self.input_ids_BT.shape[1]]), self.input_ids_BT.shape[1]
        end = min(T, -(-max(1, longest) // multiple) * multiple)
        if end == T:
            return self
        fields = ("input_ids_BT", "targets_BT", "positions_BT", "segments_BT")
        return replace(self, **{name: getattr(self, name)[:, :end] for name in fields})

    def split(self, micro: int) -> list[Batch]:
        """Micro-batches of at most `micro` rows, as even as can be (their sizes differ by one at most)."""
        count = len(self.input_ids_BT)
        parts = -(-count // micro)
        edges = [count * i // parts for i in range(parts + 1)]
        return [self.rows(a, b) for a, b in pairwise(edges)]


def trained_positions(targets_BT: Tensor, *, below: float = 0.9, multiple: int = 64) -> Tensor | None:
    """Flat positions with a target, padded with untrained ones; None when most positions are trained."""
    flat_N = targets_BT.reshape(-1)
    trained = torch.nonzero(flat_N != IGNORE).squeeze(1)
    if len(trained) >= below * len(flat_N):
        return None
    padding = min(-len(trained) % multiple, len(flat_N) - len(trained))
    return torch.cat([trained, torch.nonzero(flat_N == IGNORE).squeeze(1)[:padding]])


class Corpus:
    """The documents of one split, by number, over memory-mapped shards.

    `masks`: of each shard, one byte a token, 1 = it is a label (fine-tuning). `weights`: of each shard, how often
    an epoch sees its documents.
    """

    def __init__(
        self,
        shards: Sequence[TokenShard],
        vocab_size: int | None = None,
        *,
        masks: Sequence[np.ndarray] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.shards, self.vocab_size = list(shards), vocab_size
        self.masks = None if masks is None else list(masks)
        for shard, mask in zip(self.shards, self.masks or (), strict=bool(masks)):
            if len(mask) != len(shard.ids):
                raise UserError(f"{shard.path}: {len(shard.ids)} tokens, but its mask has {len(mask)}. Rebuild both.")
        used = [s.index[s.index["length"] > 0] for s in self.shards]
        self.start = np.concatenate([i["start"].astype(np.int64) for i in used] or [np.zeros(0, np.int64)])
        self.length = np.concatenate([i["length"].astype(np.int64) for i in used] or [np.zeros(0, np.int64)])
        self.bytes = np.concatenate([i["bytes"].astype(np.int64) for i in used] or [np.zeros(0, np.int64)])
        self.ids = np.concatenate([i["id"] for i in used] or [np.zeros(0, "V16")])
        self.shard = np.repeat(np.arange(len(used), dtype=np.int32), [len(i) for i in used])
        self.weight = np.repeat(np.asarray(weights or [1.0] * len(used), np.float64), [len(i) for i in used])

    @property
    def documents(self) -> int:
        return len(self.length)

    @property
    def tokens(self) -> int:
        return int(self.length.sum())

    def trained(self) -> np.ndarray:
        """Of every document, its targets: those that its mask trains, or all of its tokens where there is none."""
        if self.masks is None:
            return self.length.copy()
        found = np.zeros(self.documents, np.int64)
        for n, mask in enumerate(self.masks):
            mine = np.flatnonzero(self.shard == n)
            if len(mine):
                start = self.start[mine]
                # A document's first token follows nothing, so it is no target.
                found[mine] = np.add.reduceat(mask, start, dtype=np.int64) - np.asarray(mask)[start]
        return found

    def copies(self, epoch: int, seed: int) -> np.ndarray:
        """How often each document comes in an epoch: its weight, of which the fraction is drawn.

        Drawn by a hash of the document's id and the epoch, so that another document more changes nothing of it.
        """
        whole = np.floor(self.weight)
        share = self.weight - whole
        words = np.ascontiguousarray(self.ids).view(np.uint64).reshape(-1, 2)
        salt = np.random.default_rng([seed, epoch, 1]).integers(1 << 63, dtype=np.uint64)
        drawn = _mixed(words[:, 0] ^ _mixed(words[:, 1] ^ salt)) / 2.0**64
        return (whole + (drawn < share)).astype(np.int64)

    def document_id(self, document: int) -> str:
        return self.ids[document].tobytes().hex()

    def read(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a piece (a copy: targets may be masked).

        Raises UserError on an id that the model has no row for.
        """
        document, first, length = piece
        ids, start = self.shards[self.shard[document]].ids, int(self.start[document])
        begin, end = start + first, start + int(self.length[document])
        inputs = np.asarray(ids[begin : begin + length], np.int64)
        targets = np.array(ids[begin + 1 : min(begin + length + 1, end)], np.int64)
        if self.masks is not None:
            targets[self.masks[self.shard[document]][begin + 1 : begin + 1 + len(targets)] == 0] = IGNORE
        if len(targets) < length:  # the document ends here: its first token (BOS) follows it, or nothing
            targets = np.append(targets, np.int64(ids[start]) if self.masks is None else IGNORE)
        if self.vocab_size is not None and length and int(inputs.max()) >= self.vocab_size:
            raise UserError(
                f"{self.shards[self.shard[document]].path}: token id {int(inputs.max())} in document "
                f"{self.document_id(document)}, but the model's vocabulary is {self.vocab_size}. The tokens and the "
                "model come from different tokenizers; set model.vocab_size to 0 (the tokenizer's) and run again."
            )
        return inputs, targets

    def batch(self, rows: Sequence[Sequence[Piece]], context: int) -> Batch:
        """Assemble rows. A tail's inputs are id 0, its segment number is one above the row's last."""
        shape = (len(rows), context)
        ids_BT, targets_BT = np.zeros(shape, np.int64), np.full(shape, IGNORE, np.int64)
        positions_BT, segments_BT = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        ramp = np.arange(context)
        for b, row in enumerate(rows):
            at = 0
            for s, piece in enumerate(row):
                end = at + piece[2]
                ids_BT[b, at:end], targets_BT[b, at:end] = self.read(piece)
                positions_BT[b, at:end], segments_BT[b, at:end] = ramp[: piece[2]], s
                at = end
            positions_BT[b, at:], segments_BT[b, at:] = ramp[: context - at], len(row)
        documents = dict.fromkeys(piece[0] for row in rows for piece in row)
        return Batch(
            torch.from_numpy(ids_BT),
            torch.from_numpy(targets_BT),
            torch.from_numpy(positions_BT),
            torch.from_numpy(segments_BT),
            int((targets_BT != IGNORE).sum()),
            [self.document_id(d) for d in documents],
            single=all(len(row) <= 1 for row in rows),
            used=[sum(piece[2] for piece in row) for row in rows],
        )


def _mixed(words: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele et al. 2014): every bit of the result depends on every bit of the word."""
    z = words + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def open_masks(shards: Sequence[TokenShard]) -> list[np.ndarray]:
    """The `.mask` files of the shards, memory-mapped. Raises UserError when one is missing or torn."""
    found = []
    for shard in shards:
        path = shard.path.with_suffix(".mask")
        if not path.is_file() or path.stat().st_size != len(shard.ids):
            raise UserError(f"{path}: not one byte for each of {len(shard.ids)} tokens. Rebuild the examples.")
        found.append(np.memmap(path, np.uint8, "r") if len(shard.ids) else np.zeros(0, np.uint8))
    return found
