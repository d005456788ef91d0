"""Drawing for the generators of tasks: the same on every machine, distinct records, train and test apart.

A generator writes `make(draw) -> Drawn | None`; `collect` calls it until it has the records asked for. Drawn.key names
what a test holds out (a pair of lemmas, a pair of operands, a story): a hash of the key alone decides whether a record
belongs to train or to test, so no seed ever moves one across. Only Mersenne Twister bits and integer arithmetic decide.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypeVar

from smallm.core.errors import UserError

T = TypeVar("T")
Split = Literal["train", "test"]

TEST_SHARE = 8  # one key in 8 is a test key
_PATIENCE = 20_000  # draws without a new record after which a generator counts as exhausted


class Draw:
    """Uniform draws from a seeded stream of bits."""

    def __init__(self, name: str, seed: int) -> None:
        # A string seed is hashed with SHA-512: generators with the same seed have streams of their own.
        self.bits = random.Random(f"{name}:{seed}").getrandbits
        self.name, self.seed = name, seed
        self.accepted = 0  # records that `collect` has kept so far

    def below(self, n: int) -> int:
        """0 to n - 1. Raises ValueError when n < 1."""
        if n < 1:
            raise ValueError(f"nothing to draw from: n is {n}")
        width = (n - 1).bit_length()
        while (value := self.bits(width) if width else 0) >= n:
            pass
        return value

    def between(self, low: int, high: int) -> int:
        """low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, part: int, whole: int) -> bool:
        """True in part of whole cases."""
        return self.below(whole) < part

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """n of the items without repeating a place, in drawn order. Raises ValueError when there are fewer."""
        if n > len(items):
            raise ValueError(f"{n} of {len(items)} items asked for")
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(n)]

    def order(self, items: Sequence[T]) -> list[T]:
        """All items in drawn order."""
        return self.some(items, len(items))

    def turn(self, items: Sequence[T]) -> T:
        """The item whose turn it is: of every len(items) records that are kept, each item has one, in drawn order."""
        block, place = divmod(self.accepted, len(items))
        return Draw(f"{self.name} turn {block}", self.seed).order(items)[place]

    def fill(self, text: str, words: Mapping[str, Sequence[str]]) -> str:
        """`Pay {day} [at once|now].`: a word for each slot, one of the alternatives in brackets; no nesting.

        Brackets are resolved first, so that alternatives may hold slots. Raises KeyError for an unknown slot.
        """
        parts = text.split("[")
        out = [parts[0]]
        for part in parts[1:]:
            inside, _, after = part.partition("]")
            out += [self.pick(inside.split("|")), after]
        parts = "".join(out).split("{")
        out = [parts[0]]
        for part in parts[1:]:
            slot, _, after = part.partition("}")
            out += [self.pick(words[slot]), after]
        return "".join(out)


@dataclass(frozen=True)
class Drawn:
    """One record, the identity by which repeats are dropped, and the key by which train and test are told apart."""

    record: dict[str, Any]
    identity: str
    key: str


def in_test(name: str, key: str) -> bool:
    """Whether the key is held out for tests: by a hash, the same in every process."""
    return blake2b(f"{name}:{key}".encode(), digest_size=4).digest()[0] % TEST_SHARE == 0


def check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise UserError(f"split: {split!r} is neither train nor test.")


def collect(
    name: str,
    seed: int,
    items: int,
    split: str,
    make: Callable[[Draw], Drawn | None],
    held_out: Callable[[Drawn], bool] | None = None,
) -> list[dict[str, Any]]:
    """The first `items` distinct records of the split in this seed's stream; a longer draw begins with a shorter one.

    `make` may return None where a draw made no sense. `held_out` replaces the hash of the key. Raises UserError when
    the generator has no more distinct records, or when the split or the number is none.
    """
    check_split(split)
    if items < 0:
        raise UserError(f"synth:{name}: {items} items asked for; the number must be 0 or more.")
    decide = held_out or (lambda drawn: in_test(name, drawn.key))
    draw, seen, records, fruitless = Draw(name, seed), set(), [], 0
    while len(records) < items:
        drawn = make(draw)
        if drawn is not None and drawn.identity not in seen and decide(drawn) == (split == "test"):
            seen.add(drawn.identity)
            records.append(drawn.record)
            draw.accepted += 1
            fruitless = 0
            continue
        fruitless += 1
        if fruitless > _PATIENCE:
            raise UserError(
                f"synth:{name}: no more than about {len(records):,} distinct {split} items exist, "
                f"{items:,} were asked for. Ask for fewer."
            )
    return records
