"""Which split an example is in: by the hash of its cluster, else of its prompt; never by chance, never by the seed.

    up to 1,000 clusters or prompts   ranked by hash: the first share is test, the next validation, one of each at least
    more                              the hash, read as a fraction, below the share: adding data moves no example

Equal prompts have equal keys, so that no prompt stands in two splits; a cluster (a contract, a law, a passage) is
never divided. Sides that the recipe or a generator names are left as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from smallm.finetune.examples import Example, normal, prompt_text
from smallm.finetune.sources import Side

RANKED = 1000
SPLITS = ("train", "validation", "test")


def key_of(one: Example) -> str:
    """What decides: the cluster, else the prompt without differences of case and blanks."""
    return f"cluster {one.cluster}" if one.cluster else f"prompt {normal(prompt_text(one))}"


def fraction(key: str) -> float:
    """A hash of the key in [0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big") / 2**64


def sides_of(keys: Sequence[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Key -> split, for shares of test and validation (train has the rest, one key at least)."""
    by_hash = {key: fraction(key) for key in keys}
    if len(by_hash) > RANKED:
        return {key: _threshold(at, shares) for key, at in by_hash.items()}
    ranked = sorted(by_hash, key=lambda key: (by_hash[key], key))
    sides, taken = dict.fromkeys(ranked, "train"), 0
    for split in ("test", "validation"):
        share = shares.get(split, 0.0)
        count = max(1, round(share * len(ranked))) if share else 0
        count = max(0, min(count, len(ranked) - 1 - taken))
        sides |= dict.fromkeys(ranked[taken : taken + count], split)
        taken += count
    return sides


def _threshold(at: float, shares: Mapping[str, float]) -> str:
    test = shares.get("test", 0.0)
    return "test" if at < test else "validation" if at < test + shares.get("validation", 0.0) else "train"


def split(examples: Sequence[tuple[Example, Side]], shares: Mapping[str, float]) -> dict[str, list[Example]]:
    """The examples by split, in order. `auto` draws test and validation, `learned` validation alone, others stay."""
    drawn = sides_of([key_of(one) for one, side in examples if side == "auto"], shares)
    learned = sides_of(
        [key_of(one) for one, side in examples if side == "learned"], {"validation": shares.get("validation", 0.0)}
    )
    found: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for one, side in examples:
        where = drawn[key_of(one)] if side == "auto" else learned[key_of(one)] if side == "learned" else side
        found[where].append(one)
    return found


def divided_clusters(splits: Mapping[str, Sequence[Example]]) -> int:
    """How many clusters stand in more than one split: where sets of different sides share them."""
    where: dict[str, set[str]] = {}
    for name, examples in splits.items():
        for one in examples:
            if one.cluster:
                where.setdefault(one.cluster, set()).add(name)
    return sum(len(names) > 1 for names in where.values())
