"""Laws of files that are whole or absent, and of their remembered hashes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smallm.core.files import (
    HashCache,
    files_below,
    new_directory,
    read_json,
    sha256_bytes,
    sha256_file,
    sha256_json,
    swap_in,
    write_bytes,
    write_json,
    write_text,
)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_the_same_bytes_whatever_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    write_json(tmp_path / "b.json", {"a": "ü", "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": 1}
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "data"
    with new_directory(final) as partial:
        write_text(partial / "a", "1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    with pytest.raises(KeyboardInterrupt), new_directory(final) as partial:  # noqa: PT012
        write_text(partial / "a", "2")
        raise KeyboardInterrupt
    assert (final / "a").read_text() == "1"
    with new_directory(final) as partial:
        assert list(partial.iterdir()) == []
    assert list(final.iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_swapping_in_clears_what_a_kill_left_behind(tmp_path: Path) -> None:
    for name in ("data", "data.old", "data.partial"):
        write_text(tmp_path / name / "a", name)
    swap_in(tmp_path / "data.partial", tmp_path / "data")
    assert (tmp_path / "data" / "a").read_text() == "data.partial"
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path, cache_file = tmp_path / "a", tmp_path / "cache.json"
    write_bytes(path, b"one")
    cache = HashCache(cache_file)
    assert cache(path) == sha256_bytes(b"one") == sha256_file(path)
    cache.save()
    stat = path.stat()
    path.write_bytes(b"two")  # the same inode, size and, after utime, date: only --verify sees it
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert HashCache(cache_file)(path) == sha256_bytes(b"one")
    assert HashCache(cache_file, verify=True)(path) == sha256_bytes(b"two")
    path.write_bytes(b"three")
    assert HashCache(cache_file)(path) == sha256_bytes(b"three")


@pytest.mark.parametrize("rubbish", ["", "[]", "{", '{"x": 5}', '{"x": [1, 2]}'])
def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path: Path, rubbish: str) -> None:
    write_text(tmp_path / "cache.json", rubbish)
    write_bytes(tmp_path / "a", b"one")
    cache = HashCache(tmp_path / "cache.json")
    assert cache(tmp_path / "a") == sha256_bytes(b"one")
    cache.save()
    assert len(read_json(tmp_path / "cache.json")) == 1


def test_files_below_are_sorted_without_records_and_hidden_files(tmp_path: Path) -> None:
    for name in ("b", "a/c", "stage.json", ".hidden", "a/.x", "a/stage.json"):
        write_text(tmp_path / name, "x")
    assert [p.relative_to(tmp_path).as_posix() for p in files_below(tmp_path)] == ["a/c", "b"]
