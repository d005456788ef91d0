"""Questions about our stories, with answers by construction: who, where, what, how many, how it ends.

A record is {story, question, choices (4), answer, cluster, topic}. `story` is a run of paragraphs of one story of
stories.py, at most 115 words, so that a prompt fits a small context; the questions of a story share its `cluster`.
Facts are read from the passage with the stories' own grammar, so only what the passage says is asked. Wrong choices
are of the same category, first those that the passage names too. Held out from train: stories.
All text is written for smallm (licence: that of this package); the table of questions is question_rules.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

from . import question_rules, stories
from . import story_grammar as grammar
from .draw import Draw, Drawn, collect, in_test
from .story_parser import parse_sentences

VERSION = "1"  # raise it with every change of questions, drawing, or of the stories

MIN_WORDS, MAX_WORDS = 40, 115  # of a passage
PER_STORY = 4  # questions of one story at most
Found = dict[str, tuple[str, ...]]


@dataclass
class Passage:
    """What a passage says: its sentences by beat, roles bound to their plain phrase, words of each category."""

    text: str
    sentences: list[tuple[frozenset[str], str, dict[str, str]]] = field(default_factory=list)  # beats, template, slots
    roles: dict[str, str] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)


@cache
def _beats_of() -> dict[str, frozenset[str]]:
    """Sentence template -> the beats that hold it."""
    found: dict[str, set[str]] = {}
    for beat, lines in grammar.BEATS.items():
        for line in lines:
            for sentence in grammar.split_sentences(line):
                found.setdefault(sentence, set()).add(beat)
    return {sentence: frozenset(beats) for sentence, beats in found.items()}


def _phrases(key: str) -> list[str]:
    """Every phrase that may fill a slot, longest first, so that `the old fox` is not taken for `the`."""
    slot = grammar.parse_slot(key) if key[0] != "=" else None
    if slot is None or not slot.role:
        phrases = grammar.phrases_of(key)
    else:
        phrases = [grammar.inflect(slot, p) for e in grammar.ROLES[slot.role] for p in e.get(slot.form, ())]
    return sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))


@cache
def _pattern(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A pattern with a group a slot, and the slots' keys."""
    keys = tuple(grammar.slots_of(template))
    parts = re.split(r"\{[^}]*\}", template)
    groups = ["(" + "|".join(map(re.escape, _phrases(key))) + ")" for key in keys]
    pattern = "".join(re.escape(part) + group for part, group in zip(parts, [*groups, ""], strict=True))
    return re.compile(pattern), keys


def _plain(slot: grammar.Slot, phrase: str) -> str:
    """`An apple` -> `apple`: the phrase as its table has it."""
    low = phrase[0].lower() + phrase[1:] if slot.capital else phrase
    if slot.article:
        return low.split(" ", 1)[1]
    return phrase if slot.capital and phrase in _names() else low


@cache
def _names() -> frozenset[str]:
    """Names that begin with a capital wherever they stand."""
    return frozenset(entity[""][0] for role in "ABC" for entity in grammar.ROLES[role] if entity[""][0][0].isupper())


def read(text: str) -> Passage:
    """The facts of a passage of a story; sentences that the grammar does not derive add nothing."""
    passage = Passage(text)
    for sentence in parse_sentences(text):
        match = sentence.template and _pattern(sentence.template)[0].fullmatch(sentence.text)
        if not match or not sentence.template:
            continue
        slots = {}
        for key, phrase in zip(_pattern(sentence.template)[1], match.groups(), strict=True):
            if key[0] == "=":
                continue
            slot = grammar.parse_slot(key)
            plain = _plain(slot, phrase)
            slots[key.removeprefix("^").removeprefix("a/")] = plain
            if not slot.role:
                passage.words.setdefault(slot.form, []).append(plain)
            elif slot.form in ("", "noun", "to", "at"):
                passage.roles[slot.role + ("." + slot.form if slot.form else "")] = plain
        passage.sentences.append((_beats_of()[sentence.template], sentence.template, slots))
    return passage


@cache
def _lexicon(answer: str) -> tuple[str, ...]:
    """Everything of an answer's category."""
    role, _, form = answer.partition(".")
    if role in grammar.ROLES:
        entities = [entity for entity in grammar.ROLES[role] if form in entity]
        return tuple(dict.fromkeys(phrase for entity in entities for phrase in entity[form]))
    return tuple(dict.fromkeys(grammar.CATEGORIES[answer]))


def _people(passage: Passage, right: str) -> tuple[list[str], list[str]]:
    """Who else the passage names, and others of the lexicon of the same kind and gender."""
    inside = [passage.roles[role] for role in "ABC" if role in passage.roles]
    kinds = [*grammar.CHILDREN.values(), *grammar.ANIMALS.values(), *grammar.HELPERS.values()]
    same = next(kind for kind in kinds if any(entity[""][0] == right for entity in kind))
    gender = next(entity["he"] for entity in same if entity[""][0] == right)
    return inside, [entity[""][0] for entity in same if entity["he"] == gender]


def _wrong(draw: Draw, passage: Passage, rule: question_rules.Rule, right: str, used: set[str]) -> list[str]:
    """Three other phrases of the answer's category; at most two are of the passage, so that some are not."""
    if rule.answer in ("A", "B", "C"):
        inside, lexicon = _people(passage, right)
    else:
        lexicon = list(_lexicon(rule.answer))
        inside = [word for form in rule.near for word in passage.words.get(form, [])]
    inside = [phrase for phrase in dict.fromkeys(inside) if phrase != right and phrase not in used]
    chosen = draw.some(inside, min(len(inside), 2))
    text = passage.text.lower()
    # What the passage mentions is a wrong choice only where the rule says so: it might be right as well.
    outside = [p for p in lexicon if p != right and p not in chosen and p not in used and p.lower() not in text]
    return chosen + draw.some(outside, 3 - len(chosen))


def _ask(draw: Draw, passage: Passage, rule: question_rules.Rule) -> tuple[str, list[str], str] | None:
    """question, choices and answer of a rule, or None where the passage does not tell it."""
    told = [(template, slots) for beats, template, slots in passage.sentences if beats & rule.beats]
    told = [(template, slots) for template, slots in told if rule.phrase in template]
    if not told:
        return None
    slots = told[0][1]
    right = passage.roles.get(rule.answer) if rule.answer[0].isupper() else slots.get(rule.answer)
    known = {**passage.roles, **{key: phrase for key, phrase in slots.items() if key not in passage.roles}}
    keys = re.findall(r"\{([^}]*)\}", rule.question)
    if right is None or any(key not in known for key in keys):
        return None
    asked = {known[key] for key in keys}
    if right in asked or (rule.topic == "animal" and right in ("boy", "girl")):
        return None
    question = re.sub(r"\{([^}]*)\}", lambda m: known[m[1]], rule.question)
    wrong = _wrong(draw, passage, rule, right, asked)
    show = grammar.with_article if rule.article else str
    return question, [show(phrase) for phrase in (right, *wrong)], show(right)


def _ending(draw: Draw, passage: Passage, last: str) -> tuple[str, list[str], str] | None:
    """Which sentence ends the story: three others tell of the same people and things."""
    beats = passage.sentences[-1][0] & question_rules.LAST_BEATS
    if not beats or "A" not in passage.roles:
        return None
    entities = {
        role: next((e for e in grammar.ROLES[role] if e[""][0] == phrase), {})
        for role, phrase in passage.roles.items()
        if len(role) == 1
    }
    templates = [t for beat in sorted(beats) for line in grammar.BEATS[beat] for t in grammar.split_sentences(line)]
    wrong: list[str] = []
    for template in draw.order([t for t in templates if t != passage.sentences[-1][1]]):
        made = _render(draw, template, entities)
        if made and made not in passage.text:
            wrong.append(made)
    if len(wrong) < 3:
        return None
    return "Which is the last sentence of the story?", [last, *wrong[:3]], last


def _render(draw: Draw, template: str, entities: dict[str, dict[str, tuple[str, ...]]]) -> str | None:
    """The template with the passage's roles and drawn words; None where a role is not known."""

    def fill(match: re.Match[str]) -> str:
        key = match[1]
        slot = grammar.parse_slot(key) if key[0] != "=" else None
        if slot is None or not slot.role:
            return draw.pick(grammar.phrases_of(key))
        return grammar.inflect(slot, entities[slot.role][slot.form][0])

    try:
        return re.sub(r"\{([^}]*)\}", fill, template)
    except KeyError:
        return None


def _passage(draw: Draw, story: str) -> str:
    """Paragraphs in a row, MIN_WORDS to MAX_WORDS: half of the time from the beginning, else up to the end."""
    paragraphs = story.split("\n\n")
    backwards = draw.chance(1, 2)
    kept: list[str] = []
    words = 0
    for paragraph in reversed(paragraphs) if backwards else paragraphs:
        words += len(paragraph.split())
        if words > MAX_WORDS:
            break
        kept.append(paragraph)
    return "\n\n".join(reversed(kept) if backwards else kept)


def _of_story(draw: Draw, story: str) -> Iterator[Drawn]:
    """Up to PER_STORY questions about a passage of the story, in drawn order."""
    text = _passage(draw, story)
    if len(text.split()) < MIN_WORDS:
        return
    passage = read(text)
    cluster = blake2b(story.encode(), digest_size=8).hexdigest()
    answers: set[str] = set()
    asked = 0
    for rule in draw.order([*question_rules.RULES, *[None] * question_rules.ENDINGS]):
        if rule is not None:
            made = _ask(draw, passage, rule)
        else:
            last = grammar.split_sentences(story)[-1]
            made = _ending(draw, passage, last) if text.endswith(last) else None
        if made is None or made[2] in answers:
            continue
        question, choices, answer = made
        answers.add(answer)
        topic = rule.topic if rule else "ending"
        shuffled = draw.order(choices)
        record = {"story": text, "question": question, "choices": shuffled, "answer": answer, "cluster": cluster}
        yield Drawn({**record, "topic": topic}, f"{text}\n{question}", story)
        asked += 1
        if asked == PER_STORY:
            return


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct questions, those of a story one after the other; see draw.collect for the splits and errors."""
    # A number of its own: the stories of `stories.generate(seed)` are what a model was trained on.
    number = int.from_bytes(blake2b(f"questions:{seed}".encode(), digest_size=8).digest(), "big")
    told = (s for s in stories.generate(number) if in_test("questions", s) == (split == "test"))
    pending: list[Drawn] = []

    def make(draw: Draw) -> Drawn | None:
        if not pending:
            pending.extend(reversed(list(_of_story(draw, next(told)))))
        return pending.pop() if pending else None

    return collect("questions", seed, items, split, make)
