"""Finance headlines with their tone, positive, negative or neutral, by construction.

A record is {text, label, frame, why}. Labels take turns, and every frame has all three, so neither the frame nor the
length tells the label; within a frame the tone hangs on two things at once: profit that falls and debt that falls, a
forecast of costs that is cut, an event and its negation, two figures to compare (one headline in 8). `why` says both in
two words (`bad, down`: of something bad there is less), which a model that answers with it learns sooner. Held out from
train: wordings (a text whose figures are left out). The companies are invented.
All text is written for smallm (licence: that of this package).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from . import lexicon_finance as words
from .draw import Draw, Drawn, collect
from .story_grammar import split_list

VERSION = "2"  # raise it with every change of words, frames or drawing

LABELS = ("positive", "negative", "neutral")


@cache
def _lists() -> dict[str, list[str]]:
    return {name: split_list(value) for name, value in vars(words).items() if name.isupper() and "TOLD" not in name}


def _of(name: str) -> list[str]:
    return _lists()[name]


def _company(draw: Draw) -> str:
    return f"{draw.pick(_of('NAMES'))} {draw.pick(_of('TRADES'))}"


def _metric(draw: Draw, good: bool, money: bool = False) -> tuple[str, bool]:
    """A figure that companies report, and whether its verb is plural. `money`: one that is counted in dollars."""
    metrics = _of("METRICS_GOOD" if good else "METRICS_BAD")
    name, _, number = draw.pick([m for m in metrics if not money or m[:-2] not in _of("COUNTED")]).rpartition(" ")
    return name, number == "p"


def _verb(draw: Draw, name: str, form: int, slight: bool = False) -> str:
    """form 0: third person singular, 1: plural and base. `slight`: no doubling, whose denial says little."""
    verbs = [verb for verb in _of(name) if not slight or verb.split()[1] not in ("double", "halve", "surge", "plunge")]
    return draw.pick(verbs).split()[form].replace("_", " ")


def _amount(draw: Draw) -> str:
    return f"${draw.between(2, 95)}{draw.pick(('', '', '0'))} million"


def _fill(draw: Draw, text: str) -> str:
    """Slots of events: city, product, person, post, day, n, amount."""
    drawn = {
        "city": draw.pick(_of("CITIES")), "product": draw.pick(_of("PRODUCTS")), "person": draw.pick(_of("PEOPLE")),
        "post": draw.pick(_of("POSTS")), "day": _day(draw), "n": f"{draw.between(2, 99)}0", "amount": _amount(draw),
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda m: drawn.get(m[1], m[0]), text)


def _day(draw: Draw) -> str:
    day = draw.pick(_of("DAYS"))
    return f"on {day}" if day.endswith("day") else day


def _event(draw: Draw, good: bool) -> str:
    return _fill(draw, draw.pick(_of("EVENTS_GOOD" if good else "EVENTS_BAD")))


# ---- frames: (draw, company, label) -> headline and why; each can say all three labels -----------------------------


def _kind(good: bool) -> str:
    return "good" if good else "bad"


def _moved(good: bool, label: str) -> str:
    """`good, down`: what kind of figure it is, and where it goes."""
    if label == "neutral":
        return f"{_kind(good)}, same"
    return f"{_kind(good)}, {'up' if good == (label == 'positive') else 'down'}"


def _change(draw: Draw, co: str, label: str) -> tuple[str, str]:
    good_metric = draw.chance(1, 2)
    metric, plural = _metric(draw, good_metric)
    if label == "neutral":
        verb, tail = _verb(draw, "STILL", int(plural)), ""
    else:
        verb = _verb(draw, "UP" if good_metric == (label == "positive") else "DOWN", int(plural))
        fits = not re.match(r"doubl|hal[fv]", verb)
        tail = f" by {draw.between(2, 60)} percent" if fits and draw.chance(1, 2) else ""
    period = f"{draw.pick(_of('PERIODS'))} " if draw.chance(1, 2) else ""
    if draw.chance(1, 2):
        return f"{period}{metric} at {co} {verb}{tail}", _moved(good_metric, label)
    return f"{co} says {period}{metric} {verb}{tail}", _moved(good_metric, label)


def _not_change(draw: Draw, co: str, label: str) -> tuple[str, str]:
    """`does not fall after all`; neutral: whether it does is not known."""
    good_metric = draw.chance(1, 2)
    metric, plural = _metric(draw, good_metric)
    up = draw.chance(1, 2) if label == "neutral" else good_metric == (label == "negative")
    verb = _verb(draw, "UP" if up else "DOWN", 1, slight=True)
    if label == "neutral":
        known = draw.pick(("will say {day} whether", "cannot say yet whether", "does not comment on whether"))
        return f"{co} {_fill(draw, known)} {metric} will {verb}", f"{_kind(good_metric)}, unknown"
    does = "do" if plural else "does"
    said = draw.pick((f"{metric} at {co} {does} not {verb} after all", f"{co} says {metric} will not {verb} after all"))
    return said, f"{_kind(good_metric)}, not {'up' if up else 'down'}"


def _forecast(draw: Draw, co: str, label: str) -> tuple[str, str]:
    good_metric = draw.chance(1, 2)
    metric, _ = _metric(draw, good_metric)
    up = good_metric == (label == "positive")
    how = draw.pick(_of("KEEP" if label == "neutral" else "RAISE" if up else "CUT"))
    verb, _, adverb = how.partition(" ")
    whose = draw.pick(("its forecast for", "its estimate of", "the outlook for its"))
    said = f"{co} {verb} {whose} {draw.pick(_of('PERIODS'))} {metric}{' ' + adverb if adverb else ''}"
    return said, _moved(good_metric, label)


def _expected(draw: Draw, co: str, label: str) -> tuple[str, str]:
    good_metric = draw.chance(1, 2)
    metric, plural = _metric(draw, good_metric)
    up = good_metric == (label == "positive")
    be = "are" if plural else "is"
    if label == "neutral":
        how = draw.pick(("as expected", "in line with forecasts", "just what analysts had forecast"))
    else:
        how = draw.pick(("higher", "larger", "above") if up else ("lower", "smaller", "below"))
        how = f"{how} forecasts" if how in ("above", "below") else f"{how} than {draw.pick(('expected', 'forecast'))}"
    return f"{draw.pick(_of('PERIODS'))} {metric} at {co} {be} {how}", _moved(good_metric, label)


def _figures(draw: Draw, co: str, label: str) -> tuple[str, str]:
    """Two figures to compare; equal ones are neutral."""
    good_metric = draw.chance(1, 2)
    metric, _ = _metric(draw, good_metric, money=True)
    low = draw.between(2, 80)
    high = low + draw.between(max(1, low // 4), low + 5)
    more = good_metric == (label == "positive")
    now, then = (low, low) if label == "neutral" else (high, low) if more else (low, high)
    unit = draw.pick(("million", "billion"))
    before = draw.pick((
        "against {} a year earlier", "after {} last year", "where analysts had expected {}", "compared with {} before",
        "from {} a year ago",
    ))  # fmt: skip
    verb = draw.pick(("reports", "posts", "announces", "publishes"))
    return f"{co} {verb} {metric} of ${now} {unit}, {before.format(f'${then} {unit}')}", _moved(good_metric, label)


def _will(draw: Draw, co: str, label: str) -> tuple[str, str]:
    good = draw.chance(1, 2) if label == "neutral" else label == "positive"
    event = _event(draw, good)
    if label == "neutral":
        how = draw.pick(
            ("does not know yet whether it will", "is asked whether it will", "will say {day} whether it will")
        )
        return f"{co} {_fill(draw, how)} {event}", f"{_kind(good)}, unknown"
    how = draw.pick(("will", "is to", "says it will", "is expected to", "confirms that it will"))
    return f"{co} {how} {event}", f"{_kind(good)}, yes"


def _will_not(draw: Draw, co: str, label: str) -> tuple[str, str]:
    good = draw.chance(1, 2) if label == "neutral" else label == "negative"
    event = _event(draw, good)
    if label == "neutral":
        how = draw.pick(("does not say whether it will", "leaves open whether it will", "has not said whether it will"))
        return f"{co} {how} {event}", f"{_kind(good)}, unknown"
    how = ("will not", "is no longer expected to", "says it will not", "is not to", "confirms that it will not")
    return f"{co} {draw.pick(how)} {event}{draw.pick(('', ' after all'))}", f"{_kind(good)}, not"


def _told(draw: Draw, co: str, label: str) -> tuple[str, str]:
    texts = {"positive": words.TOLD_GOOD, "negative": words.TOLD_BAD, "neutral": words.TOLD_NEUTRAL}[label]
    said = _fill(draw, draw.pick([" ".join(text.split()) for text in texts.split(";")])).replace("{co}", co)
    return said, {"positive": "good, yes", "negative": "bad, yes", "neutral": "neither"}[label]


FRAMES: dict[str, Callable[[Draw, str, str], tuple[str, str]]] = {
    "change": _change, "not_change": _not_change, "forecast": _forecast, "expected": _expected,
    "figures": _figures, "will": _will, "will_not": _will_not, "told": _told,
}  # fmt: skip


def _make(draw: Draw) -> Drawn | None:
    frame, label = draw.pick(tuple(FRAMES)), draw.turn(LABELS)
    text, why = FRAMES[frame](draw, _company(draw), label)
    text = text[0].upper() + text[1:]
    return Drawn({"text": text, "label": label, "frame": frame, "why": why}, text, re.sub(r"\d+", "#", text))


def records(seed: int, items: int, *, split: str = "test") -> list[dict[str, Any]]:
    """Distinct headlines in drawn order; see draw.collect for the splits and errors."""
    return collect("sentiment", seed, items, split, _make)
