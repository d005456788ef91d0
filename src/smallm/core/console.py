"""What smallm says while it works: plain lines in a pipe, bars on a terminal.

Everything goes to stderr, so that stdout carries results (`--json`, generated text).
Standard library only, since training runs without rich.
"""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str = "") -> None:
    """One line for the user."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Something the user should know that does not stop the run."""
    say(f"warning: {text}")


class Progress:
    """Advances by `update(done)`; prints at most a line every `seconds` in a pipe."""

    def __init__(self, title: str, total: int, unit: str, seconds: float = 10.0) -> None:
        self.title, self.total, self.unit, self.seconds = title, total, unit, seconds
        self.began = self.printed = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def update(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if (not self.total or done < self.total) and now - self.printed < (0.2 if self.terminal else self.seconds):
            return
        self.printed = now
        share = f"{min(100, 100 * done / self.total):3.0f} %" if self.total else f"{done} {self.unit}"
        left = (now - self.began) / done * (self.total - done) if done and self.total else 0.0
        eta = f", {duration(left)} left" if self.total and done < self.total and now - self.began > 2 else ""
        line = f"{self.title}: {share}{eta}{'  ' + note if note else ''}"
        if self.terminal:  # one line: a wrapped one could not be overwritten
            line = "\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1]
        print(line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: int, unit: str = "") -> Iterator[Progress]:
    """A progress bar that leaves no trace on a terminal when it ends."""
    bar = Progress(title, total, unit)
    try:
        yield bar
    finally:
        bar.close()


def duration(seconds: float) -> str:
    """75 -> '1 min 15 s'; the largest two units."""
    if not math.isfinite(seconds):
        return "unknown"
    s = round(seconds)
    if s < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60} s"
    if s < 48 * 3600:
        return f"{s // 3600} h {s % 3600 // 60} min"
    return f"{s // 86400} days {s % 86400 // 3600} h"


def count(n: float, unit: str = "") -> str:
    """4_300_000 -> '4.3M'; bytes and tokens alike, powers of ten."""
    for limit, suffix in ((1e12, "T"), (1e9, "B" if not unit.endswith("B") else "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= 0.9995 * limit:  # 999,950 is 1M, not 1e+03k
            number = f"{n / limit:.0f}" if abs(n) >= 999.5 * limit else f"{n / limit:.3g}"
            return f"{number}{suffix if not unit else ' ' + suffix + unit}"
    return f"{n:.3g}{' ' + unit if unit else ''}" if isinstance(n, float) else f"{n}{' ' + unit if unit else ''}"


def wrapped(text: str, width: int = 100) -> str:
    """A paragraph of at most `width` columns, later lines indented; a path or a command's word is never broken."""
    return textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
