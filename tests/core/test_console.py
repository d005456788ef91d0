"""Laws of what is said: counts and durations as people write them, plain lines in a pipe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.console import count, duration, progress, warn


@pytest.mark.parametrize(
    ("n", "unit", "text"),
    [(0, "", "0"), (999, "", "999"), (4_300_000, "", "4.3M"), (999_999, "", "1M"),
     (999_400, "", "999k"), (1_000, "", "1k"),
     (1_700_000_000, "", "1.7B"), (1_700_000_000, "B", "1.7 GB"), (12, "B", "12 B"), (2e12, "B", "2 TB"),
     (0.5, "", "0.5"),
     (-5_000, "", "-5k"), (999_999_999_999, "", "1T"), (8192, "", "8.19k")],
)  # fmt: skip
def test_counts_read_as_people_write_them(n: float, unit: str, text: str) -> None:
    assert count(n, unit) == text


@given(st.integers(-(10**14), 10**14))
def test_a_count_never_falls_back_to_exponents(n: int) -> None:
    assert "e" not in count(n)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"),
     (3599.7, "1 h 0 min"), (7260, "2 h 1 min"), (180_000, "2 days 2 h"), (float("inf"), "unknown"),
     (float("nan"), "unknown")],
)  # fmt: skip
def test_durations_name_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_in_a_pipe_is_a_line_at_the_end_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("tokens", 100) as bar:
        for i in range(101):
            bar.update(i)
    warn("careful")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "tokens: 100 %\nwarning: careful\n"


def test_progress_never_says_more_than_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("bytes", 10) as bar:
        bar.update(15, "late")
    assert capsys.readouterr().err == "bytes: 100 %  late\n"
