"""Open-book questions about German law, made by rule from laws in Markdown: quote the answer, cite the section.

A record is {question, passages, context, answer, quote, citation, answerable, kind, law, id}. One to three paragraphs
of one law are given; the answer quotes the law and cites it (`„…“ (§ 5 Abs. 2 BGB)`), or, a fifth of the time, says
that the passages do not tell (REFUSAL): the right paragraph is then withheld. A question has one right answer among
the passages. Laws, not questions, are split into train, validation and test; what two laws both say is kept in the
first of test, validation, train alone. The questions are those of statutes_definitions.py and statutes_rules.py; laws
are read by statutes_parse.py. No legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

from smallm.core.errors import UserError

from .statutes_definitions import definitions
from .statutes_german import Asked, cited, named
from .statutes_parse import Law, Section, parse_law, sentences
from .statutes_rules import fines, titles
from .statutes_statements import statements
from .synth.draw import Draw, in_test

VERSION = "1"  # raise it with every change of the rules, the drawing, or the reading of laws

REFUSAL = "Das steht nicht im Text."
MAX_PASSAGE = 900  # characters of a paragraph that is given
MAX_CONTEXT = 2400
SPLITS = ("test", "validation", "train")  # in the order of who keeps what several laws say
# How often a kind has its turn while it lasts. Titles are the most, and the least to learn from.
WEIGHTS = {"definition": 4, "condition": 5, "deadline": 3, "fine": 3, "amount": 1, "who": 5, "title": 4}

_UNANSWERABLE = 26  # of 100 questions are made unanswerable where that can be: a fifth is drawn from them


@dataclass
class Passage:
    """A paragraph as it is given, its place in the law, and what it defines."""

    place: int
    section: Section
    number: str
    text: str
    terms: set[str] = field(default_factory=set)

    @cached_property
    def stems(self) -> frozenset[str]:
        return _stems(f"{self.section.title} {self.text}")


@dataclass(frozen=True)
class Made:
    """A record; `key` and `quote_key` are equal for questions that two laws share."""

    record: dict[str, Any]
    key: str
    quote_key: str


def split_of(abbreviation: str) -> str:
    """`test`, `validation` or `train`, by a hash of the abbreviation without its year: `FFG 2017` goes with `FFG`."""
    family = re.sub(r"[\s-]*(?:18|19|20)\d\d(?:[-/]\d+)*$", "", abbreviation).strip() or abbreviation
    if in_test("statutes", family):
        return "test"
    return "validation" if in_test("statutes-validation", family) else "train"


def questions_of(law: Law, *, seed: int = 0, max_context_characters: int = MAX_CONTEXT) -> list[dict[str, Any]]:
    """Every record that the rules make of this law, in its order; of two that ask the same, with other answers, none.

    About a quarter are unanswerable; `records` draws so that it is a fifth. UserError: no room for a passage.
    """
    return [made.record for made in _made(law, seed, max_context_characters)]


# ---- questions of a law --------------------------------------------------------------------------------------------


def _passages(law: Law) -> tuple[list[Passage], list[tuple[Passage, Asked]]]:
    """The paragraphs short enough to be given, and (passage, question) of all that the rules find."""
    given: list[Passage] = []
    found: list[tuple[Passage, Asked]] = []
    name = named(law)
    counts: dict[str, int] = {}
    for section in law.sections:
        counts[section.number] = counts.get(section.number, 0) + 1
    for section in law.sections:
        if counts[section.number] > 1:
            continue  # a citation would not tell which is meant
        own: list[Passage] = []
        for paragraph in section.paragraphs:
            mark = f"({paragraph.number}) " if paragraph.number else ""
            whole = Passage(len(given), section, paragraph.number, mark + paragraph.text)
            draw = Draw(f"statutes {law.abbreviation} {section.number} {paragraph.number}", 0)
            said = sentences(paragraph.text)
            asked = list(definitions(name, section, paragraph, said, draw))
            whole.terms = {a.subject for a in asked}
            fits = len(whole.text) <= MAX_PASSAGE
            if fits:
                given.append(whole)
                own.append(whole)
                asked += statements(section, said)
            asked += fines(section, paragraph, said)
            for one in asked:
                passage = whole if fits else _item_passage(whole, mark, paragraph.lead, paragraph.items, one)
                if passage is not None:
                    found.append((passage, one))
        if own:
            draw = Draw(f"statutes {law.abbreviation} {section.number}", 0)
            shortest = min(own, key=lambda passage: len(passage.text))
            found += [(shortest, asked) for asked in titles(name, section, draw)]
    return given, found


def _item_passage(
    whole: Passage, mark: str, lead: str, items: tuple[tuple[str, str], ...], asked: Asked
) -> Passage | None:
    """Of a long list the item asked for, its neighbours where there is room, and `…` for those left out."""
    at = next((i for i, (number, _) in enumerate(items) if number == asked.item), None)
    if at is None:
        return None
    first = last = at

    def text() -> str:
        shown = " ".join(f"{number} {words}" for number, words in items[first : last + 1])
        return f"{mark}{lead} {'… ' if first else ''}{shown}{' …' if last + 1 < len(items) else ''}"

    if len(text()) > MAX_PASSAGE or asked.quote not in text():
        return None
    for step in (1, -1, 1, -1):
        before = first, last
        first, last = (first, min(last + 1, len(items) - 1)) if step > 0 else (max(first - 1, 0), last)
        if len(text()) > MAX_PASSAGE:
            first, last = before
    return Passage(whole.place, whole.section, whole.number, text(), whole.terms)


def _made(law: Law, seed: int, room: int) -> Iterator[Made]:
    if room < 200:
        raise UserError(f"statutes: max_context_characters is {room}; a passage needs 200 at least.")
    if "§" in law.abbreviation:
        return  # `SeeArbG§119Abs5V`: a citation of it would name two sections
    given, found = _passages(law)
    quotes: dict[str, set[str]] = {}
    for _, asked in found:
        for key in (asked.subject, asked.question):
            quotes.setdefault(key, set()).add(asked.quote)
    seen: set[str] = set()
    for passage, asked in found:
        if len(quotes[asked.subject]) > 1 or len(quotes[asked.question]) > 1 or asked.question in seen:
            continue
        seen.add(asked.question)
        draw = Draw(f"statutes {law.abbreviation} {asked.question}", seed)
        hidden = draw.chance(_UNANSWERABLE, 100)
        record = hidden and _record(law, given, passage, asked, draw, room, withheld=True)
        record = record or _record(law, given, passage, asked, draw, room, withheld=False)
        if record:
            quote = _normal(asked.quote)
            # Which of its wordings asks for a title makes no other question of it.
            what = asked.subject if asked.kind == "title" else asked.question.replace(law.abbreviation, "")
            yield Made(record, f"{quote}|{_normal(what)}", asked.kind + quote if asked.kind == "title" else quote)


def _record(
    law: Law, given: list[Passage], right: Passage, asked: Asked, draw: Draw, room: int, *, withheld: bool
) -> dict[str, Any] | None:
    """None where the right passage is too long, or where the law has no passage that leaves the question open."""
    shown = [] if withheld else [right]
    if not withheld and len(_render(law, right)) > room:
        return None
    wanted = draw.between(1, 3)
    for other in _others(given, right, draw):
        if len(shown) >= wanted:
            break
        size = sum(len(_render(law, p)) + 2 for p in shown) + len(_render(law, other))
        if size <= room and all(other.place != p.place for p in shown) and not _answers(other, right, asked):
            shown.append(other)
    if not shown:
        return None
    shown = draw.order(shown)
    citation = _citation(law, right, asked)
    identity = blake2b(f"{asked.question}|{citation}|{asked.quote}".encode(), digest_size=5).hexdigest()
    return {
        "question": asked.question,
        "passages": [{"section": p.section.number, "title": p.section.title, "text": p.text} for p in shown],
        "context": "\n\n".join(_render(law, p) for p in shown),
        "answer": REFUSAL if withheld else f"„{asked.quote}“ ({citation})",
        "quote": "" if withheld else asked.quote,
        "citation": "" if withheld else citation,
        "answerable": not withheld,
        "kind": f"unanswerable-{asked.kind}" if withheld else asked.kind,
        "law": law.abbreviation,
        "id": f"{law.slug or law.abbreviation}-{identity}",
    }


def _render(law: Law, passage: Passage) -> str:
    title = f" – {passage.section.title}" if passage.section.title else ""
    return f"{cited(passage.section.number)} {law.abbreviation}{title}\n{passage.text}"


def _citation(law: Law, passage: Passage, asked: Asked) -> str:
    """`§ 5 Abs. 2 Nr. 3 BGB`; a title is cited by its section alone."""
    parts = [cited(passage.section.number)]
    if asked.kind != "title":
        parts += [f"Abs. {passage.number}"] if passage.number else []
        if asked.item.endswith("."):
            parts.append(f"Nr. {asked.item[:-1]}")
        elif asked.item.endswith(")"):
            parts.append(f"Buchst. {asked.item[:-1]}")
    return " ".join([*parts, law.abbreviation])


def _others(given: list[Passage], right: Passage, draw: Draw) -> Iterator[Passage]:
    """Other passages of the law, neighbours of the right one twice as often as any: they are of its matter."""
    near = draw.order([p for p in given[max(0, right.place - 8) : right.place + 9] if p.place != right.place])
    for _ in range(24):
        if near and draw.chance(2, 3):
            yield near.pop()
        elif given and (other := draw.pick(given)).place != right.place:
            yield other


# ---- whether a passage answers -------------------------------------------------------------------------------------

_FRAME = (
    "welche welcher welchem wann wird werden kann können darf dürfen muss sind nach dies diese dieser dieses gesetz "
    "verordnung absatz artikel nummer satz frist innerhalb voraussetzung unter lang lange hoch steht dass handelt "
    "ordnungswidrig vorsätzlich fahrlässig leichtfertig bestraft entgegen geldbuße geahndet strafe droht oder eine "
    "einer einem einen eines nicht auch dauer über durch soll haben sowie sich sein seine"
)
_FRAME_STEMS = frozenset(word[:7] for word in _FRAME.split())


def _stems(text: str) -> frozenset[str]:
    """The first seven letters of the words that carry a matter."""
    words = (word[:7] for word in re.findall(r"[a-zäöüß]{4,}", text.lower()))
    return frozenset(words) - _FRAME_STEMS


def _answers(other: Passage, right: Passage, asked: Asked) -> bool:
    """Whether another passage might answer the question as well; when in doubt, it does."""
    if asked.quote in other.text:
        return True
    if asked.kind == "title":
        shared = _stems(asked.quote) & _stems(other.section.title)
        return other.section.number == right.section.number or 2 * len(shared) >= max(1, len(_stems(asked.quote)))
    if asked.kind == "definition":
        term = re.escape(asked.subject.removeprefix("term:"))
        defined = (
            rf"(?i)[„\"(]{term}[“”\")]|\b{term}\b[^.;]{{0,60}}?\b(?:ist|sind|bedeute|bezeichne|gilt|gelten)"
            rf"|{term}:|als {term} "
        )
        return asked.subject in other.terms or re.search(defined, other.text) is not None
    if asked.kind == "fine" and other.section.number == right.section.number and "Geldbuße" in asked.question:
        return "Geldbuße" in other.text
    stems = _stems(asked.question)
    return len(stems & other.stems) >= 0.6 * len(stems) if len(stems) > 1 else bool(stems & other.stems)


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


# ---- records of many laws ------------------------------------------------------------------------------------------


def records(
    laws: Iterable[tuple[str, str]],
    seed: int,
    items: int,
    *,
    split: str = "train",
    max_context_characters: int = MAX_CONTEXT,
) -> list[dict[str, Any]]:
    """`items` distinct records of the split from (name, Markdown) of laws; a longer draw begins with a shorter one.

    Four of five are answerable; kinds take turns by WEIGHTS while they last. All laws must be passed whatever the
    split, so that what a test law says is kept from train. Raises UserError when there are not so many.
    """
    return records_of_splits(laws, seed, {split: items}, max_context_characters=max_context_characters)[split]


def records_of_splits(
    laws: Iterable[tuple[str, str]], seed: int, items: Mapping[str, int], *, max_context_characters: int = MAX_CONTEXT
) -> dict[str, list[dict[str, Any]]]:
    """`records` of several splits, `{"train": 20_000, "test": 2_000}`, with one reading of the laws."""
    for split, number in items.items():
        if split not in SPLITS or number < 0:
            raise UserError(f"statutes: {number} items of split {split!r}; splits are {', '.join(SPLITS)}, items >= 0.")
    pools = _pools(laws, seed, max_context_characters)
    return {split: _drawn(pools[split], seed, number, split) for split, number in items.items()}


def _pools(laws: Iterable[tuple[str, str]], seed: int, room: int) -> dict[str, list[dict[str, Any]]]:
    """All distinct records of each split; a question or a quote of an earlier split is in no later one."""
    made: dict[str, list[Made]] = {split: [] for split in SPLITS}
    for name, markdown in laws:
        law = parse_law(markdown, name)
        made[split_of(law.abbreviation)] += _made(law, seed, room)
    pools: dict[str, list[dict[str, Any]]] = {}
    keys: set[str] = set()
    quotes: set[str] = set()
    for split in SPLITS:
        pool = []
        own: set[str] = set()
        for one in made[split]:
            held = one.quote_key in quotes and not one.quote_key.startswith("title")
            if one.key not in keys and not held:
                keys.add(one.key)
                own.add(one.quote_key)
                pool.append(one.record)
        quotes |= own
        pools[split] = pool
    return pools


def _drawn(pool: list[dict[str, Any]], seed: int, items: int, split: str) -> list[dict[str, Any]]:
    """Blocks of five, one of them unanswerable at a drawn place; kinds in turn, by weight, while they last."""
    draw = Draw(f"statutes {split}", seed)
    stacks: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for record in draw.order(pool):
        stacks.setdefault((record["answerable"], record["kind"].removeprefix("unanswerable-")), []).append(record)
    turns = [kind for kind, weight in WEIGHTS.items() for _ in range(weight)]
    waiting: dict[bool, list[str]] = {True: [], False: []}
    out: list[dict[str, Any]] = []
    hidden = 0
    while len(out) < items:
        if len(out) % 5 == 0:
            hidden = draw.below(5)
        answerable = len(out) % 5 != hidden
        left = {kind for (known, kind), stack in stacks.items() if known == answerable and stack}
        if not left:
            raise UserError(
                f"statutes: these laws give {len(out):,} distinct {split} items, one in five unanswerable; {items:,} "
                "were asked for. Ask for fewer, or give more laws."
            )
        queue = waiting[answerable]
        while not queue or queue[-1] not in left:
            if queue:
                queue.pop()
            else:
                queue += draw.order(turns)
        out.append(stacks[answerable, queue.pop()].pop())
    return out
