"""A Hub dataset: streamed through `datasets` (from a local directory here), pinned by its commit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smallm.core.config import DataConfig, Recipe, SourceConfig
from smallm.core.errors import UserError
from smallm.core.files import HashCache
from smallm.data import hub
from smallm.data.sources import fingerprint, read


def dataset(folder: Path, records: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def texts(source: SourceConfig) -> list[str]:
    return [d.text for d in read(source, DataConfig(sources=[source]), 0)]


@pytest.fixture(autouse=True)
def _fresh_commits() -> None:
    hub.commit.cache_clear()


@pytest.mark.filterwarnings("ignore")  # of datasets and fsspec, not ours
def test_a_dataset_directory_streams_in_its_order(tmp_path: Path) -> None:
    path = dataset(tmp_path / "d", [{"text": f"story {i}", "n": i} for i in range(50)])
    assert texts(SourceConfig(hub=str(path))) == [f"story {i}" for i in range(50)]
    with pytest.raises(UserError, match=r"no field `body` \(fields: text, n\).*data\.sources\[0\]\.text: text"):
        texts(SourceConfig(hub=str(path), text="body"))


@pytest.mark.filterwarnings("ignore")
def test_a_split_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    path = dataset(tmp_path / "d", [{"text": "a"}])
    with pytest.raises(UserError, match="cannot be streamed"):
        texts(SourceConfig(hub=str(path), split="tset"))


def test_the_fingerprint_of_a_local_dataset_is_its_files(tmp_path: Path) -> None:
    path = dataset(tmp_path / "d", [{"text": "a"}])
    recipe = Recipe(data=DataConfig(sources=[SourceConfig(hub=str(path))]))
    before = fingerprint(recipe, HashCache(tmp_path / "h.json"))
    (path / "train.jsonl").write_text('{"text": "bb"}\n')
    assert fingerprint(recipe, HashCache(tmp_path / "h.json")) != before


def test_a_revision_is_resolved_to_a_commit_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Api:
        def dataset_info(self, name: str, revision: str | None) -> SimpleNamespace:
            asked.append((name, revision))
            return SimpleNamespace(sha="ab" * 20)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert hub.commit("owner/name", "main") == hub.commit("owner/name", "main") == "ab" * 20
    assert asked == [("owner/name", "main")]
    assert hub.commit("owner/name", "cd" * 20) == "cd" * 20
    assert len(asked) == 1, "a commit needs no Hub"


def test_without_a_hub_the_message_says_to_pin_or_to_use_local_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api:
        def dataset_info(self, name: str, revision: str | None) -> SimpleNamespace:
            raise ConnectionError("offline")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    recipe = Recipe(data=DataConfig(sources=[SourceConfig(hub="owner/name")]))
    with pytest.raises(UserError, match=r"owner/name: the Hub cannot be asked.*Set `revision` to a commit"):
        fingerprint(recipe, HashCache(Path("unused")))
