"""Short English stories for children, from our own grammar: unlimited, seeded, the same on every machine.

A story binds roles (hero, friend, helper, object, place, weather ...) once, so that names, pronouns, verbs and
things stay true from the first sentence to the last; a plot then gives the row of beats, each told in one of several
ways. The words and rules are story_grammar.py's. All text is written for smallm (licence: that of this package).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache

from . import story_grammar as grammar
from .story_grammar import Entity, Plot

VERSION = "1"  # raise it with every change of words, grammar or drawing: it stands in manifests and keys

_BITS = 10  # tables hold 2**10 entries, so that a draw is one getrandbits and an index
# Frequency of rank r is 1 / (r + 3): the first of 100 words is 34 times as frequent as the last. At 1 / (r + 8) a
# model of 4M parameters had not learned the genders of rare names and the verbs of rare things in 1.5 M tokens.
_OFFSET = 3


def _spread(items: list, weights: list[int] | None = None) -> list:
    """2**_BITS entries with each item at least once, frequencies falling with the rank; integers only."""
    size = 1 << _BITS
    weights = weights or [10**9 // (rank + _OFFSET) for rank in range(len(items))]
    spare, total = size - len(items), sum(weights)
    table: list = []
    for item, weight in zip(items, weights, strict=True):
        table += [item] * (1 + spare * weight // total)
    return table + [items[rank % len(items)] for rank in range(size - len(table))]


def _uniform(items: list) -> list:
    return _spread(items, [1] * len(items))


@cache
def _templates_of(plot_name: str) -> set[str]:
    plot = next(plot for plot in grammar.PLOT_LIST if plot.name == plot_name)
    return {t for part in plot.paragraphs for beat, _ in part for t in grammar.BEATS[beat]}


def _forms(role: str, entity: Entity, keys: set[str]) -> dict[str, str]:
    """What fills each slot key of a role when it is bound to the entity (forms with one phrase only)."""
    filled = {}
    for key in keys:
        slot = grammar.parse_slot(key)
        if slot.role == role and len(entity[slot.form]) == 1:
            filled[key] = grammar.inflect(slot, entity[slot.form][0])
    return filled


class _Tables:
    """Everything that is drawn from, spread out for one-index draws; built once a process."""

    def __init__(self) -> None:
        keys = {key for lines in grammar.BEATS.values() for line in lines for key in grammar.slots_of(line)}
        free = {key for key in keys if not grammar.parse_slot(key).role}
        # `treat2` is drawn like `treat`, but differs from the word before it.
        common = {
            key: _uniform(grammar.phrases_of(key)) if key[0] == "=" else _spread(grammar.phrases_of(key))
            for key in free
        }
        stand_keys = [key for key in free if grammar.parse_slot(key).form == "stand"]
        self.free = {
            group: common
            | {key: _spread([grammar.inflect(grammar.parse_slot(key), noun) for noun in nouns]) for key in stand_keys}
            for group, nouns in grammar.STANDS.items()
        }

        def spread(role: str, entities: list[Entity]) -> list[dict[str, str]]:
            return _spread([_forms(role, entity, keys) for entity in entities])

        kinds = {"child": grammar.CHILDREN, "animal": grammar.ANIMALS}
        self.people = {
            (role, kind, gender): spread(role, entities)
            for role in "AB"
            for kind, by_gender in kinds.items()
            for gender, entities in by_gender.items()
        }
        self.helpers = {kind: spread("C", entities) for kind, entities in grammar.HELPERS.items()}
        self.places = {group: spread("L", entities) for group, entities in grammar.PLACES.items()}
        self.roles = {role: spread(role, grammar.ROLES[role]) for role in grammar.ROLES if role not in "ABCL"}
        self.species = _spread(list(grammar.SPECIES))
        # "{A} ran" -> "%(A)s ran": one formatting a story.
        self.beats = {
            name: _uniform([re.sub(r"\{([^}]*)\}", r"%(\1)s", line) for line in lines])
            for name, lines in grammar.BEATS.items()
        }
        self.plots = _uniform([self._plot(plot) for plot in grammar.PLOT_LIST])

    def _plot(
        self, plot: Plot
    ) -> tuple[list[list[tuple[list[str], bool]]], tuple[str, ...], list[list[dict[str, str]]]]:
        paragraphs = [[(self.beats[beat], always) for beat, always in part] for part in plot.paragraphs]
        used = {grammar.parse_slot(key).role for line in _templates_of(plot.name) for key in grammar.slots_of(line)}
        return paragraphs, plot.places, [table for role, table in self.roles.items() if role in used]


@cache
def _tables() -> _Tables:
    return _Tables()


class _Slots(dict[str, str]):
    """The bound roles of one story; a key that is not bound is a category, drawn anew at every use."""

    def __init__(self, free: dict[str, list[str]], bits) -> None:
        super().__init__()
        self.free, self.bits, self.last = free, bits, ""

    def __missing__(self, key: str) -> str:
        table, bits = self.free[key], self.bits
        word = table[bits(_BITS)]
        if key[-1] == "2":
            while word.lower() == self.last.lower():
                word = table[bits(_BITS)]
        self.last = word
        return word


def _story(tables: _Tables, bits) -> str:
    """One story from the stream of random bits."""
    paragraphs, places, roles = tables.plots[bits(_BITS)]
    group = places[bits(4) % len(places)]
    child = bits(2) > 0
    kind = "child" if child else "animal"
    hero, friend = "mf" if bits(1) else "fm"
    slots = _Slots(tables.free[group], bits)
    slots.update(tables.people["A", kind, hero][bits(_BITS)])
    slots.update(tables.people["B", kind, friend][bits(_BITS)])
    slots.update(tables.helpers[kind][bits(_BITS)])
    slots.update(tables.places[group][bits(_BITS)])
    for table in roles:
        slots.update(table[bits(_BITS)])
    if not child:
        slots["A.noun"] = tables.species[bits(_BITS)]
        slots["B.noun"] = tables.species[bits(_BITS)]
    text = "\n\n".join(
        [" ".join([table[bits(_BITS)] for table, always in part if always or bits(1)]) for part in paragraphs]
    )
    return text % slots


def generate(seed: int, size_bytes: int | None = None) -> Iterator[str]:
    """Stories, one a string, until at least `size_bytes` bytes of UTF-8 are out (without end when None).

    The same seed and VERSION give the same stories on every machine and Python (Mersenne Twister bits and integer
    arithmetic only). The text is ASCII, so its bytes are its characters.
    """
    tables, bits = _tables(), random.Random(seed).getrandbits
    written = 0
    while size_bytes is None or written < size_bytes:
        story = _story(tables, bits)
        written += len(story)
        yield story
