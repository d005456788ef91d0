"""Finance headlines for pretraining: the wordings that the sentiment task trains on, never their labels.

A document is 10 headlines, one a line, in an order that does not tell their tone. What the task holds out for its tests
is in none. All text is written for smallm (licence: that of this package).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from . import sentiment
from .draw import Draw

VERSION = f"1.{sentiment.VERSION}"  # raise the first number with every change of drawing

HEADLINES = 10  # of a document


def generate(seed: int, size_bytes: int | None = None) -> Iterator[str]:
    """Documents until at least `size_bytes` bytes of UTF-8 are out (without end when None).

    The same seed and VERSION give the same documents on every machine and Python.
    """
    written = 0
    for number in count():
        if size_bytes is not None and written >= size_bytes:
            return
        own = (seed << 32) + number
        drawn = sentiment.records(own, HEADLINES, split="train")  # labels take turns in it
        document = "".join(f"{record['text']}\n" for record in Draw("headlines", own).order(drawn))
        written += len(document.encode("utf-8"))
        yield document
