"""Laws of the table of other tools' keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallm.core.peers import PEER_KEYS, coming_from_page
from smallm.core.schema import keys_of

ROOT = Path(__file__).resolve().parents[2]


def test_a_key_is_sent_only_to_a_key_that_exists() -> None:
    keys = keys_of()
    assert [row for row in PEER_KEYS if row.ours is not None and row.ours not in keys] == []


def test_a_key_without_one_here_says_why() -> None:
    assert [row for row in PEER_KEYS if row.ours is None and not row.note] == []


def test_no_row_stands_twice() -> None:
    assert len({(row.peer, row.key) for row in PEER_KEYS}) == len(PEER_KEYS)


def test_the_page_is_fresh() -> None:
    page = ROOT / "docs" / "coming-from.md"
    if not page.parent.is_dir():
        pytest.skip("not a checkout: there is no docs folder")
    assert page.read_text("utf-8") == coming_from_page(), "run `python -m smallm.core.peers > docs/coming-from.md`"
