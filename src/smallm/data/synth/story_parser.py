"""Which sentences of a text does the grammar of the stories derive? Built from the generator's own tables.

A sentence is accepted when some template yields it: every slot filled from its category, every role bound to one
entity throughout the sentence (so pronouns agree with names, verbs with objects, articles with the next word), and
spacing and quotes in order. What a story means from sentence to sentence is not judged.

All templates share one trie over words; a slot is an edge that tries the phrases beginning with the word at hand.
A role is a bit mask of the entities that still fit: a sentence fails where a mask becomes zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from . import story_grammar as grammar

_TOKEN = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|[^\sA-Za-z]")
_SLOT_OR_TOKEN = re.compile(r"\{[^}]*\}|" + _TOKEN.pattern)
# No double or stray space, a space after punctuation, quotes in pairs that hug what they quote.
_BAD_SPACE = re.compile(r"\s[.,!?]|[.,!?][A-Za-z]|\s\s|[^\S ]")
_GOOD_QUOTES = re.compile(r'(?:(?:[^"]*\s)?"[^\s"](?:[^"]*[^\s"])?"(?=\s|$))*[^"]*')

Tokens = tuple[str, ...]


@dataclass(frozen=True)
class ParsedSentence:
    """A sentence, whether the grammar derives it, and by which template."""

    text: str
    accepted: bool
    template: str | None


@dataclass
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    slots: dict[str, tuple[_Filler, _Node]] = field(default_factory=dict)
    template: str | None = None


@dataclass
class _Filler:
    """Phrases of one slot by their first token: (tokens, entities that have this form as a bit mask)."""

    role: str
    by_first: dict[str, list[tuple[Tokens, int]]]
    may_be_empty: bool


def _tokens(text: str) -> Tokens:
    return tuple(_TOKEN.findall(text))


@cache
def _filler(key: str) -> _Filler:
    masks: dict[Tokens, int] = {}
    role = "" if key.startswith("=") else grammar.parse_slot(key).role
    if role:
        slot = grammar.parse_slot(key)
        for number, entity in enumerate(grammar.ROLES[role]):
            for phrase in entity.get(slot.form, ()):
                tokens = _tokens(grammar.inflect(slot, phrase))
                masks[tokens] = masks.get(tokens, 0) | 1 << number
    else:
        masks = {_tokens(phrase): -1 for phrase in grammar.phrases_of(key)}
    by_first: dict[str, list[tuple[Tokens, int]]] = {}
    for tokens, mask in masks.items():
        if tokens:
            by_first.setdefault(tokens[0], []).append((tokens, mask))
    return _Filler(role, by_first, () in masks)


@cache
def _trie() -> _Node:
    root = _Node()
    for beat in grammar.BEATS.values():
        for line in beat:
            for sentence in grammar.split_sentences(line):
                node = root
                for item in _SLOT_OR_TOKEN.findall(sentence):
                    if item.startswith("{"):
                        key = item[1:-1]
                        if key not in node.slots:
                            node.slots[key] = (_filler(key), _Node())
                        node = node.slots[key][1]
                    else:
                        node = node.words.setdefault(item, _Node())
                node.template = sentence
    return root


def _match(node: _Node, tokens: Tokens, at: int, bound: dict[str, int]) -> str | None:
    """The template that derives tokens[at:] from this node under the bindings, or None. Depth first."""
    if at == len(tokens):
        if node.template is not None:
            return node.template
        for filler, following in node.slots.values():
            if filler.may_be_empty and (found := _match(following, tokens, at, bound)):
                return found
        return None
    word = tokens[at]
    following = node.words.get(word)
    if following is not None and (found := _match(following, tokens, at + 1, bound)):
        return found
    for filler, following in node.slots.values():
        for phrase, mask in filler.by_first.get(word, ()):
            end = at + len(phrase)
            if len(phrase) > 1 and tokens[at:end] != phrase:
                continue
            now = bound
            if filler.role:
                mask &= bound.get(filler.role, -1)
                if not mask:
                    continue
                now = {**bound, filler.role: mask}
            if found := _match(following, tokens, end, now):
                return found
        if filler.may_be_empty and (found := _match(following, tokens, at, bound)):
            return found
    return None


def template_of(sentence: str) -> str | None:
    """The template that derives exactly this sentence, or None."""
    if _BAD_SPACE.search(sentence) or not _GOOD_QUOTES.fullmatch(sentence):
        return None
    return _match(_trie(), _tokens(sentence), 0, {})


def _surely_complete(sentence: str) -> bool:
    whole = sentence[-1] in ".!?" and sentence.count('"') % 2 == 0
    return whole or sentence.endswith('."')


def parse_sentences(text: str, truncated: bool = False) -> list[ParsedSentence]:
    """Every sentence of the text with the grammar's verdict.

    `truncated`: the text was cut by a length limit, so a last sentence that is not surely complete (no full stop, or
    an end inside or right after speech, whose speaker may have been cut off) is left out.
    """
    sentences = grammar.split_sentences(text)
    if truncated and sentences and not _surely_complete(sentences[-1]):
        sentences.pop()
    parsed = []
    for sentence in sentences:
        template = template_of(sentence)
        parsed.append(ParsedSentence(sentence, template is not None, template))
    return parsed


def parse_story(text: str, truncated: bool = False) -> list[tuple[str, bool]]:
    """(sentence, accepted) of each sentence: parse_sentences without the templates."""
    return [(sentence.text, sentence.accepted) for sentence in parse_sentences(text, truncated)]


def accepted_share(texts: Iterable[str], truncated: bool = False) -> float:
    """Accepted sentences over all sentences of the texts. Raises ValueError when there is no sentence."""
    verdicts = [sentence.accepted for text in texts for sentence in parse_sentences(text, truncated)]
    if not verdicts:
        raise ValueError("no sentence in the texts, so no share of accepted ones")
    return sum(verdicts) / len(verdicts)
