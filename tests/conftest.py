"""Fixtures that every test may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Scores that tests keep are nobody's: never the user's cache.
os.environ["SMALLM_CACHE"] = tempfile.mkdtemp(prefix="smallm-test-cache-")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a real corpus beside the checkout; the test skips, by name, where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs the corpus {name}, which is not on this machine")
        return path

    return find
