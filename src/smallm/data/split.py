"""Train or validation: the sound rule for any number of documents, from one book to a web crawl.

    under 50 documents     the last tenth of each, cut at a paragraph, line or word
    50 to 1,000            whole documents in the order of their hashes, until the share of bytes is reached
    more                   a document whose hash, read as a fraction, is below the share
    validation_split: tail the last `validation` share of each document's characters, exactly

Law: no text stands in both splits, duplicates included. A source is judged by itself, so that each has
validation text. The first 1,000 documents of a source wait on disk until their number is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

SplitName = Literal["train", "validation"]
Write = Callable[[SplitName, bytes, str], None]

FEW = 50
RANKED = 1000
TENTH = 0.1
# A cut is moved back to a border within so many characters, or a twentieth of the document if that is less.
BORDER = 4000
UNDECIDED, TRAIN, VALIDATION, BOTH = 0, 1, 2, 3
NAMES: dict[int, SplitName] = {TRAIN: "train", VALIDATION: "validation"}
HEADER = struct.Struct("<16sQ")

RULES = {
    "hash": "per source: under 50 documents the last tenth of each; up to 1,000 whole documents in the order of "
    "their hashes until the share of bytes; else documents whose hash is below the share",
    "tail": "the last share of each document's characters",
}


def document_id(text: str) -> bytes:
    """The first 16 bytes of the sha256 of the text's UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).digest()[:16]


class Splitter:
    """Sends the documents of one source to train or validation.

    `sides` (id -> side) is shared by all sources of a build: a text that comes again, also as a piece, goes
    where it went before. It costs about 100 bytes a document. Documents wait in `folder`. Use in a `with`: `add`
    per document, then `finish`.
    """

    def __init__(self, share: float, rule: str, sides: dict[bytes, int], write: Write, folder: Path) -> None:
        self.share, self.rule, self.sides, self.write = share, rule, sides, write
        self.threshold = int(share * 2**64)
        self.waiting: Spool | None = None if rule == "tail" else Spool(folder)

    def __enter__(self) -> Splitter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.waiting:
            self.waiting.close()

    def add(self, identity: bytes, text: str) -> None:
        self.sides.setdefault(identity, UNDECIDED)
        if self.rule == "tail":
            self._place(identity, text, BOTH)
        elif self.waiting is None:
            self._place(identity, text, self._by_hash(identity))
        else:
            self.waiting.add(identity, text)
            if len(self.waiting.sizes) > RANKED:
                self._replay(self._by_hash)

    def finish(self) -> None:
        """Place what still waits."""
        if self.waiting is None:
            return
        if len(self.waiting.sizes) < FEW:
            self._replay(lambda identity: BOTH)
        else:
            chosen = lowest_hashes(self.waiting.sizes, self.share)
            self._replay(lambda identity: VALIDATION if identity in chosen else TRAIN)

    def _by_hash(self, identity: bytes) -> int:
        return VALIDATION if int.from_bytes(identity[:8], "big") < self.threshold else TRAIN

    def _replay(self, decide: Callable[[bytes], int]) -> None:
        spool, self.waiting = self.waiting, None
        assert spool is not None
        with contextlib.closing(spool):
            for identity, text in spool:
                self._place(identity, text, decide(identity))

    def _place(self, identity: bytes, text: str, side: int) -> None:
        side = self.sides[identity] or side
        if side == BOTH:
            head, tail = self._pieces(text)
            head_id, tail_id = document_id(head), document_id(tail)
            if self._fits(head, tail, head_id, tail_id):
                self.sides[identity] = BOTH
                self.sides[head_id], self.sides[tail_id] = TRAIN, VALIDATION
                self.write("train", head_id, head)
                self.write("validation", tail_id, tail)
                return
            side = TRAIN
        self.sides[identity] = side
        self.write(NAMES[side], identity, text)

    def _pieces(self, text: str) -> tuple[str, str]:
        return tail_split(text, self.share) if self.rule == "tail" else last_tenth(text)

    def _fits(self, head: str, tail: str, head_id: bytes, tail_id: bytes) -> bool:
        """Both pieces hold text, and neither stands on the other side already."""
        sides = self.sides
        apart = head_id != tail_id and sides.get(head_id) != VALIDATION and sides.get(tail_id) != TRAIN
        return bool(apart and head.strip() and tail.strip())


def tail_split(text: str, share: float) -> tuple[str, str]:
    """The first int(n * (1 - share)) characters and the rest: nanoGPT's 90/10 at share 0.1. Exact arithmetic."""
    cut = int(len(text) * (1 - Fraction(str(share))))
    return text[:cut], text[cut:]


def last_tenth(text: str) -> tuple[str, str]:
    """The text up to about nine tenths and the rest, cut before a paragraph, else after a line, else after a blank."""
    aim = len(text) - round(len(text) * TENTH)
    start = aim - min(BORDER, len(text) // 20)
    for border in ("\n\n", "\n", " "):
        at = text.rfind(border, start, aim)
        if at > 0:
            return text[: at + len(border)], text[at + len(border) :]
    return text[:aim], text[aim:]


def lowest_hashes(sizes: dict[bytes, int], share: float) -> set[bytes]:
    """Documents in the order of their hashes until `share` of all bytes; one that overshoots by half is passed over."""
    target = share * sum(sizes.values())
    chosen: set[bytes] = set()
    taken = 0
    for identity in sorted(sizes):
        if taken >= target:
            break
        if taken + sizes[identity] <= 1.5 * target:
            chosen.add(identity)
            taken += sizes[identity]
    return chosen or {min(sizes, key=lambda identity: (sizes[identity], identity))}


class Spool:
    """Documents waiting on disk, in order. `sizes`: bytes of each distinct one."""

    def __init__(self, folder: Path) -> None:
        # In the run's own folder: a thousand books do not fit into a /tmp that is memory.
        self.file = tempfile.TemporaryFile(prefix=".waiting-", dir=folder)  # noqa: SIM115  closed by close()
        self.sizes: dict[bytes, int] = {}

    def add(self, identity: bytes, text: str) -> None:
        data = text.encode("utf-8")
        self.sizes[identity] = len(data)
        self.file.write(HEADER.pack(identity, len(data)))
        self.file.write(data)

    def __iter__(self) -> Iterator[tuple[bytes, str]]:
        self.file.seek(0)
        while header := self.file.read(HEADER.size):
            identity, size = HEADER.unpack(header)
            yield identity, self.file.read(size).decode("utf-8")

    def close(self) -> None:
        self.file.close()
