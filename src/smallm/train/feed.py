"""Batches on their way to the device: micro-batches, document borders, pinned memory, prefetch.

On CUDA a thread packs and pins the next batches while the device works, and the copies are
asynchronous: nothing in a step waits for the host. On the CPU packing is done in line.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from smallm.model.attention import make_borders
from smallm.train.corpus import Batch, trained_positions
from smallm.train.pack import Cursor, Rows

AHEAD = 4  # batches packed in advance


@dataclass
class Global:
    """One optimiser step's batch: this rank's micro-batches; of all ranks the trained tokens; the cursor after it.

    `tokens`: those of all documents in it, trained or not.
    """

    parts: list[Batch]
    n_trained: int
    document_ids: list[str]
    cursor: Cursor
    tokens: int = 0


@dataclass
class Feed:
    """Global batches of `count` rows from `rows`, in micro-batches of at most `micro`.

    `always_borders`: also where every row is one document, so that a compiled step sees one graph. `trim`: micro-
    batches end where their longest row does (fine-tuning, whose rows have tails). Of several ranks each packs the
    same batch and keeps its share of the rows.
    """

    rows: Rows
    count: int
    micro: int
    device: str
    backend: str
    always_borders: bool = False
    capacity: int | None = None
    trim: bool = False
    rank: int = 0
    world: int = 1

    def batches(self, steps: int) -> Iterator[Global]:
        """The next `steps` global batches, on the host."""
        if not self.device.startswith("cuda"):
            for _ in range(steps):
                yield self._next()
            return
        waiting: queue.Queue[Global | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()
        thread = threading.Thread(target=self._produce, args=(waiting, steps, stop), daemon=True, name="smallm-feed")
        thread.start()
        try:
            for _ in range(steps):
                item = waiting.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join(timeout=10)  # it may be reading the token files: they can be replaced only after that

    def _produce(self, waiting: queue.Queue[Any], steps: int, stop: threading.Event) -> None:
        try:
            for _ in range(steps):
                item = self._next()
                item.parts = [self._pinned(part) for part in item.parts]
                while not stop.is_set():
                    try:
                        waiting.put(item, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if stop.is_set():
                    return
        except BaseException as error:  # whatever it is, the training thread must hear of it
            waiting.put(error)

    def _next(self) -> Global:
        batch = self.rows.batch(self.count)
        mine = batch.rows(*(self.count * r // self.world for r in (self.rank, self.rank + 1)))
        parts = [self.ready(part) for part in (batch if self.world == 1 else mine).split(self.micro)]
        tokens = sum(batch.used or [])
        return Global(parts, batch.n_trained, batch.document_ids, self.rows.cursor, tokens)

    def ready(self, part: Batch) -> Batch:
        """A micro-batch with the positions to compute a loss for, without the columns that nobody needs."""
        if not self.trim:
            return replace(part, trained_N=trained_positions(part.targets_BT))
        part = part.trimmed()
        # Few tokens are trained: on the CPU, where no shape is compiled, rounding them up to 64 would be felt.
        multiple = 8 if self.device == "cpu" else 64
        return replace(part, trained_N=trained_positions(part.targets_BT, multiple=multiple))

    def _wants_borders(self, batch: Batch) -> bool:
        return not self.rows.stream if self.always_borders else not batch.single

    def _pinned(self, batch: Batch) -> Batch:
        """Page-locked, with what varlen needs counted here, on the host."""
        if self.backend == "varlen" and self._wants_borders(batch):
            try:
                borders = make_borders(batch.segments_BT, "varlen", capacity=self._capacity(batch))
            except ValueError:  # more segments than expected: another shape, and one more compilation
                borders = make_borders(batch.segments_BT, "varlen")
            lengths = borders.lengths
            batch = replace(batch, borders=replace(borders, lengths=None if lengths is None else lengths.pin_memory()))
        fields = ("input_ids_BT", "targets_BT", "positions_BT", "segments_BT", "trained_N")
        pinned = {f: t.pin_memory() for f in fields if (t := getattr(batch, f)) is not None}
        if batch.borders is not None:
            pinned["borders"] = replace(batch.borders, segments_BT=pinned["segments_BT"])
        return replace(batch, **pinned)

    def _capacity(self, batch: Batch) -> int:
        """A number of cumulative lengths with room to spare, the same for every batch (so one compiled graph)."""
        if self.capacity is None:
            found = int((batch.segments_BT.diff(dim=1) != 0).sum()) + len(batch.segments_BT)
            self.capacity = 1 << (2 * max(found, 4 * self.micro)).bit_length()
        return self.capacity

    def to_device(self, batch: Batch, *, training: bool = True) -> Batch:
        """The micro-batch where the model is, with its borders; asynchronous on CUDA (in training)."""
        fields = ("input_ids_BT", "targets_BT", "positions_BT", "segments_BT", "trained_N")
        moved: dict[str, Any] = {
            f: t.to(self.device, non_blocking=True) for f in fields if (t := getattr(batch, f)) is not None
        }
        if batch.borders is not None:
            moved["borders"] = batch.borders.to(self.device)
        elif self._wants_borders(batch) if training else not batch.single:
            moved["borders"] = make_borders(moved["segments_BT"], self.backend)
        return replace(batch, **moved)


def synchronise(device: str) -> None:
    """Wait for the device (for clocks; never inside a step)."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
