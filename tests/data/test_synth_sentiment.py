"""Headlines: the tone read again from the text by rules written apart; words alone do not tell it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from smallm.data.synth import sentiment

GOOD = """profit revenue sales orders earnings exports cash deliveries share output income bookings customer margins"""
BAD = """debt costs losses defaults complaints late write-downs faulty payments stock cancellations bills"""
UP = r"\b(rise|climb|jump|grow|increase|surge|go(es)? up|double|pick(s)? up)"
DOWN = r"\b(fall|drop|shrink|decline|slide|decrease|go(es)? down|plunge|halve)"
GOOD_EVENT = (
    r"(win|pay a higher|pay back|hire|get approval|sell|join|receive|get its credit rating raised|buy back|return|"
)
GOOD_EVENT += r"regain|keep its contract|be taken off|reach)\b"
GOOD_TOLD = (
    r"cheer|record high|praises|sold-out|clears|award|exceeds|ahead of time|lifts its ban|ends after|queue|compete"
)
BAD_TOLD = r"flee|record low|warns|Fire|guilty|lawsuit|dries up|late and|bans|second month|return the|refuse"


def good_metric(text: str) -> bool:
    """`faulty deliveries` and `interest payments` are bad, `deliveries` and `net interest income` good."""
    words = re.findall(r"[a-z-]+", text.lower())
    bad, good = set(BAD.split()) & set(words), set(GOOD.split()) & set(words)
    assert bad or good, text
    return not bad


def tone(text: str) -> str:
    if len(figures := re.findall(r"\$(\d+) (?:million|billion)", text)) == 2:
        now, then = map(int, figures)
        return "neutral" if now == then else sign((now > then) == good_metric(text))
    if "whether" in text:
        return "neutral"
    if re.search(r"forecast for|estimate of|outlook for", text):
        if re.search(r"\b(keeps|confirms|repeats|leaves|reaffirms)\b", text):
            return "neutral"
        up = bool(re.search(r"\b(raises|lifts|increases|upward|boosts)\b", text))
        return sign(up == good_metric(text))
    if re.search(r"\b(as expected|in line with|had forecast)\b", text):
        return "neutral"
    if found := re.search(r"\b(higher|larger|above|lower|smaller|below)\b.*(expected|forecast)", text):
        return sign((found[1] in ("higher", "larger", "above")) == good_metric(text))
    found = re.search(r"\b(will|is to|is expected to|is no longer expected to|is not to)\b( not)? (.*)", text)
    if found and not re.search(rf"^({UP}|{DOWN})", found[3]):
        no = bool(found[2]) or "no longer" in found[1] or "not" in found[1]
        return sign(bool(re.match(GOOD_EVENT, found[3])) != no)
    if re.search(r"unchanged|level|flat|the same|steady|not change", text):
        return "neutral"
    up, down = re.search(UP, text), re.search(DOWN, text)
    if (up or down) and not re.search(r"at a profit|pick a", text):
        return sign((bool(up) == good_metric(text)) != bool(re.search(r" not ", text)))
    if re.search(GOOD_TOLD, text):
        return "positive"
    return "negative" if re.search(BAD_TOLD, text) else "neutral"


def sign(good: bool) -> str:
    return "positive" if good else "negative"


@pytest.fixture(scope="module")
def items() -> list[dict]:
    return sentiment.records(3, 8_000, split="train")


@pytest.mark.parametrize("frame", sentiment.FRAMES)
def test_the_label_is_the_tone_of_the_text(items: list[dict], frame: str):
    asked = [item for item in items if item["frame"] == frame]
    assert len(asked) > 500
    assert [(i["text"], i["label"], tone(i["text"])) for i in asked if tone(i["text"]) != i["label"]] == []


def test_every_label_is_a_third_of_every_frame(items: list[dict]):
    """To one item in all; in a frame within 6 standard deviations: a constant guess is at chance whatever the frame."""
    counts = Counter(item["label"] for item in items)
    assert max(counts.values()) - min(counts.values()) <= 1
    for frame in sentiment.FRAMES:
        labels = Counter(item["label"] for item in items if item["frame"] == frame)
        n = sum(labels.values())
        assert set(labels) == set(sentiment.LABELS)
        assert all(abs(count - n / 3) < 6 * (n * 2 / 9) ** 0.5 for count in labels.values()), (frame, labels)


def test_no_single_word_and_no_majority_of_words_tells_the_label(items: list[dict]):
    """The best word of a headline (whose majority label in train is surest) is right in less than two of three."""
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    for item in items:
        for word in set(item["text"].lower().split()):
            counts[word][item["label"]] += 1
    right = 0
    asked = sentiment.records(4, 1_500)
    for item in asked:
        known = [counts[word] for word in item["text"].lower().split() if sum(counts[word].values()) >= 20]
        best = max(known, key=lambda c: max(c.values()) / sum(c.values()))
        right += best.most_common(1)[0][0] == item["label"]
    assert 0.4 < right / len(asked) < 0.75


def test_negation_and_direction_are_said_of_good_and_of_bad_things(items: list[dict]):
    """A word of direction or `not` goes with both tones nearly equally often."""
    for pattern in (
        r"\bnot\b",
        r"\brise",
        r"\bfall",
        r"\braises\b",
        r"\bcuts its\b",
        r"\bhigher\b",
        r"\bprofit\b",
        r"\bdebt\b",
    ):
        labels = Counter(item["label"] for item in items if re.search(pattern, item["text"]))
        labels.pop("neutral", None)
        assert min(labels.values()) > 0.3 * sum(labels.values()), (pattern, labels)


def test_one_headline_in_eight_has_figures_to_compare(items: list[dict]):
    share = sum(item["frame"] == "figures" for item in items) / len(items)
    assert abs(share - 1 / 8) < 0.03


def test_gold_headlines():
    """The reader above, on headlines written by hand."""
    gold = {
        "Profit at Alvera Foods rises": "positive",
        "Debt at Alvera Foods rises by 3 percent": "negative",
        "Alvera Foods cuts its forecast for annual costs": "positive",
        "Alvera Foods posts losses of $20 million, against $30 million a year earlier": "positive",
        "Alvera Foods posts sales of $20 million, against $30 million a year earlier": "negative",
        "Alvera Foods will not cut 400 jobs": "positive",
        "Alvera Foods is no longer expected to join the leading index": "negative",
        "Alvera Foods will say on Monday whether it will cut 400 jobs": "neutral",
        "Alvera Foods names Anna Berg as chairman": "neutral",
    }
    assert {text: tone(text) for text in gold} == gold
