"""The data stage: every document is counted, the split is sound, the same recipe gives the same bytes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smallm.core import formats
from smallm.core.config import DataConfig, Recipe, SourceConfig
from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.data.build import build_data


def build(out: Path, *sources: SourceConfig | Path, **data: Any) -> dict[str, Any]:
    listed = [s if isinstance(s, SourceConfig) else SourceConfig(path=str(s)) for s in sources]
    recipe = Recipe(name=out.name, data=DataConfig(sources=listed, **data))
    assert build_data(recipe, Run(out)) == out / "data"
    return json.loads((out / "data" / "manifest.json").read_text())


def rows(out: Path, split: str) -> list[dict[str, str]]:
    return [r for p in sorted((out / "data").glob(f"{split}-*.parquet")) for r in pq.read_table(p).to_pylist()]


def check(out: Path, manifest: dict[str, Any]) -> None:
    """The laws of every build."""
    for path in (out / "data").rglob("*"):
        if path.is_file():
            formats.validate(path, out)
    for source in manifest["sources"]:
        assert source["read"]["documents"] == source["kept"]["documents"] + sum(source["dropped"].values())
    assert sum(sum(s["dropped"].values()) for s in manifest["sources"]) == sum(manifest["dropped"].values())
    ids = {}
    for split, entry in manifest["splits"].items():
        found = rows(out, split)
        ids[split] = {r["id"] for r in found}
        assert all(hashlib.sha256(r["text"].encode()).hexdigest()[:32] == r["id"] for r in found)
        assert entry["documents"] == len(found)
        assert entry["bytes"] == sum(len(r["text"].encode()) for r in found)
        assert entry["characters"] == sum(len(r["text"]) for r in found)
        for i, shard in enumerate(entry["shards"]):
            path = out / "data" / shard["path"]
            assert path.name == f"{split}-{i:05d}-of-{len(entry['shards']):05d}.parquet"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
    assert not ids["train"] & ids["validation"]
    assert sum(e["bytes"] for e in manifest["splits"].values()) == sum(s["kept"]["bytes"] for s in manifest["sources"])


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return path


def stories(n: int, words: int = 60) -> list[str]:
    return [f"Story number {i}. " + f"the {i % 7} fox ran home " * (words // 5) for i in range(n)]


def test_count_in_is_count_kept_plus_dropped_and_duplicates_go_once(tmp_path: Path) -> None:
    texts = stories(3000)
    path = write_jsonl(tmp_path / "a.jsonl", [*texts, *texts[:500], "", "  \n", "short"])
    manifest = build(tmp_path / "run", path, min_characters=10)
    check(tmp_path / "run", manifest)
    assert manifest["dropped"] == {"duplicate": 500, "too_short": 3}
    assert sorted(r["text"] for s in ("train", "validation") for r in rows(tmp_path / "run", s)) == sorted(texts)
    dropped = pq.read_table(tmp_path / "run" / "data" / "dropped" / "duplicate.parquet").to_pylist()
    assert len(dropped) == 500
    assert [d["text"] is not None for d in dropped] == [True] * 100 + [False] * 400


def test_duplicates_that_are_kept_stay_on_one_side(tmp_path: Path) -> None:
    texts = stories(600)
    a, b = write_jsonl(tmp_path / "a.jsonl", texts * 2), write_jsonl(tmp_path / "b.jsonl", stories(3000))
    manifest = build(tmp_path / "run", a, b, deduplicate=False)
    check(tmp_path / "run", manifest)
    assert manifest["dropped"] == {}
    assert sum(e["documents"] for e in manifest["splits"].values()) == 4200


def test_the_same_recipe_gives_the_same_bytes_and_no_path_of_this_machine(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    files = []
    for name in ("one", "two"):
        build(tmp_path / name, path, shard_bytes=100_000)
        data = tmp_path / name / "data"
        files.append({p.relative_to(data).as_posix(): p.read_bytes() for p in data.rglob("*") if p.is_file()})
    assert files[0] == files[1]
    assert len(files[0]) > 4
    assert str(tmp_path) not in files[0]["manifest.json"].decode()


def test_shards_hold_about_shard_bytes(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    manifest = build(tmp_path / "run", path, shard_bytes=100_000)
    check(tmp_path / "run", manifest)
    shards = manifest["splits"]["train"]["shards"]
    assert len(shards) > 5
    assert all(90_000 < s["bytes"] <= 100_000 for s in shards[:-1])


def test_one_book_and_many_stories_both_get_validation_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\n\n".join(f"Paragraph {i}. " + "and so on " * 20 for i in range(500)))
    path = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    manifest = build(tmp_path / "run", tmp_path / "book.txt", path)
    check(tmp_path / "run", manifest)
    assert [s["kept"]["validation_documents"] > 0 for s in manifest["sources"]] == [True, True]
    assert {r["source"] for r in rows(tmp_path / "run", "validation")} == {"book", "a"}


def test_the_manifest_pins_each_source(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for i in range(3):
        (tmp_path / "t" / f"{i}.md").write_text("---\na: b\n---\n" + f"chapter {i} " * 8000)
    source = SourceConfig(path=str(tmp_path / "t"), license="CC-BY-4.0", name="chapters")
    (entry,) = build(tmp_path / "run", source)["sources"]
    assert (entry["name"], entry["kind"], entry["spec"], entry["license"]) == ("chapters", "path", "t", "CC-BY-4.0")
    assert entry["documents_mode"] == "file"
    assert entry["read"]["front_matter"] == 3
    assert [f["path"] for f in entry["files"]] == ["0.md", "1.md", "2.md"]
    assert entry["files"][0]["sha256"] == hashlib.sha256((tmp_path / "t" / "0.md").read_bytes()).hexdigest()


def test_too_little_validation_text_says_what_to_do_and_doing_it_works(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", stories(600))
    with pytest.raises(UserError, match=r"under 20,000 .*Set data\.validation: 0\.\d+ \(now 0\.05\)") as error:
        build(tmp_path / "run", path)
    share = float(str(error.value).split("data.validation: ")[1].split(" ")[0])
    check(tmp_path / "run", build(tmp_path / "run", path, validation=share))
    (tmp_path / "b.txt").write_text("a line of a small book\n" * 5000)
    with pytest.raises(UserError, match=r"Set data\.validation_split: tail and data\.validation: (0\.\d+)") as error:
        build(tmp_path / "run", tmp_path / "b.txt")
    share = float(str(error.value).split("data.validation: ")[1].split(",")[0])
    check(tmp_path / "run", build(tmp_path / "run", tmp_path / "b.txt", validation=share, validation_split="tail"))


def test_a_corpus_that_is_too_small_for_any_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("tiny\n" * 100)
    with pytest.raises(UserError, match=r"There are only 500 bytes of text"):
        build(tmp_path / "run", tmp_path / "a.txt")
    path = write_jsonl(tmp_path / "a.jsonl", ["x"] * 5)
    with pytest.raises(UserError, match=r"no document is left.*too_short.*data\.min_characters"):
        build(tmp_path / "run", path, min_characters=5)


def test_a_failed_build_leaves_the_finished_one_alone(tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    before = build(tmp_path / "run", good)
    bad = write_jsonl(tmp_path / "b.jsonl", stories(2000))
    bad.write_text(bad.read_text() + "junk\n" * 200)
    with pytest.raises(UserError, match="unreadable"):
        build(tmp_path / "run", bad)
    assert json.loads((tmp_path / "run" / "data" / "manifest.json").read_text()) == before


def test_a_full_disk_is_told_and_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    before = build(tmp_path / "run", path)
    monkeypatch.setattr("smallm.data.shards.ParquetRows.add", full)
    with pytest.raises(UserError, match=r"the disk is full.*`size`"):
        build(tmp_path / "run", path)
    assert json.loads((tmp_path / "run" / "data" / "manifest.json").read_text()) == before


def test_the_sources_that_need_no_download_build_and_carry_their_licences(tmp_path: Path) -> None:
    source = SourceConfig(synth="stories", size=600_000)
    manifest = build(tmp_path / "run", source)
    check(tmp_path / "run", manifest)
    (entry,) = manifest["sources"]
    assert (entry["name"], entry["license"], entry["seed"]) == ("synth-stories", "Apache-2.0", 0)
    assert 590_000 < entry["read"]["bytes"] <= 600_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own peak (text, rows, sides) stays near one row group for 1.6 and 6.4 MB of text."""
    import tracemalloc

    monkeypatch.setattr("smallm.data.shards.GROUP_BYTES", 200_000)
    peaks = []
    for n in (4_000, 16_000):
        path = write_jsonl(tmp_path / "a.jsonl", stories(n, words=100))
        tracemalloc.start()
        build(tmp_path / "run", path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 12,000 more ids at about 150 bytes each, where 5 MB more of text would show
    assert peaks[1] - peaks[0] < 12_000 * 150 + 500_000


# ---- real corpora --------------------------------------------------------------------------------------------


def test_shakespeare_splits_90_to_10_exactly(tmp_path: Path, shared_data: Any) -> None:
    path = shared_data("tinyshakespeare/input.txt")
    text = path.read_text()
    out = tmp_path / "run"
    manifest = build(out, path, validation=0.1, validation_split="tail")
    check(out, manifest)
    assert rows(out, "train")[0]["text"] == text[: int(len(text) * 0.9)]
    assert rows(out, "validation")[0]["text"] == text[int(len(text) * 0.9) :]


@pytest.mark.slow
def test_ninety_nine_novels_give_whole_novels_of_validation(tmp_path: Path, shared_data: Any) -> None:
    manifest = build(tmp_path / "run", shared_data("eltec-eng.jsonl.gz"))
    check(tmp_path / "run", manifest)
    splits = manifest["splits"]
    assert splits["train"]["documents"] + splits["validation"]["documents"] == 99
    total = splits["train"]["bytes"] + splits["validation"]["bytes"]
    assert 0.05 <= splits["validation"]["bytes"] / total <= 0.075


def test_raw_web_text_loses_only_its_duplicates_and_empty_pages(tmp_path: Path, shared_data: Any) -> None:
    manifest = build(tmp_path / "run", SourceConfig(path=str(shared_data("webtext") / "*.jsonl.gz")))
    check(tmp_path / "run", manifest)
    assert set(manifest["dropped"]) <= {"duplicate", "too_short"}


def test_a_seed_does_not_move_documents_between_the_splits(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", stories(3000))
    recipe = Recipe(data=DataConfig(sources=[SourceConfig(path=str(path))]))
    for seed in (0, 7):
        build_data(dataclasses.replace(recipe, seed=seed), Run(tmp_path / str(seed)))
    assert rows(tmp_path / "0", "validation") == rows(tmp_path / "7", "validation")
