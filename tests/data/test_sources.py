"""Every kind of source gives its documents; every kind of bad source says what is wrong, and where."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from smallm.core.config import DataConfig, Recipe, SourceConfig
from smallm.core.errors import UserError
from smallm.core.files import HashCache
from smallm.data import documents
from smallm.data.sources import ReadStats, fingerprint, named_sources, read

STORIES = ["Lily found a needle.\nShe sewed.", "Ben saw a vase — schön.", "Ärger im Büro."]


def texts(path: Path | str, stats: ReadStats | None = None, size: int | None = None, **data: object) -> list[str]:
    keys = {k: data.pop(k) for k in ("text", "separator") if k in data}
    source = SourceConfig(path=str(path), size=size, **keys)  # type: ignore[arg-type]
    config = DataConfig(sources=[source], **data)  # type: ignore[arg-type]
    return [d.text for d in read(source, config, 0, stats=stats)]


def jsonl(values: list[object]) -> bytes:
    return "".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values).encode()


def records() -> list[object]:
    return [{"id": i, "text": t} for i, t in enumerate(STORIES)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.ndjson", "a.json", "a.json.gz"])
def test_json_lines_give_one_document_a_record_whatever_the_compression(tmp_path: Path, name: str) -> None:
    data = jsonl(records())
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(Path(name).suffix, bytes)
    (tmp_path / name).write_bytes(pack(data))
    assert texts(tmp_path / name) == STORIES


def test_a_json_array_is_its_records(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(records(), indent=2))
    assert texts(tmp_path / "a.json") == STORIES


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_quotes_and_line_breaks_inside_a_field_survive(tmp_path: Path, delimiter: str) -> None:
    rows = ["id" + delimiter + "text"] + [f'{i}{delimiter}"{t}"' for i, t in enumerate(STORIES)]
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(rows) + "\r\n", "utf-8", newline="")
    assert texts(tmp_path / "a.csv") == STORIES


def test_parquet_is_read_with_strings_of_every_arrow_kind(tmp_path: Path) -> None:
    for i, kind in enumerate([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]):
        pq.write_table(pa.table({"text": pa.array(STORIES).cast(kind)}), tmp_path / f"{i}.parquet")
    assert texts(tmp_path) == STORIES * 3


def test_a_folder_is_read_in_sorted_order_without_hidden_files_runs_and_recipes(tmp_path: Path) -> None:
    for name in ["b.txt", "a/c.md", ".hidden/x.txt", ".x.txt", "runs/r/report.md", "smallm.yaml", "a/runs/kept.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "d.jsonl").write_bytes(jsonl(records()))
    (tmp_path / "e.png").write_bytes(b"\x89PNG\0\0")
    stats = ReadStats()
    assert texts(tmp_path, stats) == ["a/c.md", "a/runs/kept.txt", "b.txt", *STORIES]
    assert stats.skipped == {".png": 1}
    assert stats.mode == "file+record"


def test_a_glob_names_files(tmp_path: Path) -> None:
    for name in ["x/a.txt", "x/y/b.txt", "x/c.md", "runs/r/base/README.txt", ".h/h.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path / "**/*.txt") == ["x/a.txt", "x/y/b.txt"]
    assert texts(tmp_path / "x/*.md") == ["x/c.md"]
    assert texts(tmp_path / "runs/r/**/*.txt") == ["runs/r/base/README.txt"], "named, so read"


def test_front_matter_is_taken_off_markdown_only_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\ntitle: x\n---\n\n# Head\n\n---\nrule\n")
    (tmp_path / "b.md").write_text("--- no front matter\ntext\n")
    (tmp_path / "c.txt").write_text("---\nkept\n---\n")
    stats = ReadStats()
    assert texts(tmp_path, stats) == ["# Head\n\n---\nrule\n", "--- no front matter\ntext\n", "---\nkept\n---\n"]
    assert stats.front_matter == 1


def test_text_is_nfc_with_plain_line_ends_and_no_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(("\ufeff" + unicodedata.normalize("NFD", "Büro\r\nÄrger\r\n")).encode())
    assert texts(tmp_path / "a.txt") == ["Büro\nÄrger\n"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("file", ["a\nb\n\n\nc\n<|endoftext|>\n d\n"]),
        ("line", ["a", "b", "c", "<|endoftext|>", " d"]),
        ("blank-lines", ["a\nb", "c\n<|endoftext|>\n d"]),
        ("separator", ["a\nb\n\n\nc", " d"]),
        ("auto", ["a\nb\n\n\nc", " d"]),
    ],
)
def test_what_a_document_is_follows_the_mode(tmp_path: Path, mode: str, expected: list[str]) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n\n\nc\n<|endoftext|>\n d\n")
    assert texts(tmp_path / "a.txt", documents=mode) == expected


@pytest.mark.parametrize("separator", ["<|endoftext|>", "===", "\n%%\n"])
def test_a_separator_across_the_border_of_two_chunks_is_found(separator: str) -> None:
    text = separator.join(["one", "two" * 5, "", "three"])
    for size in range(1, 12):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(documents._between(chunks, separator, None)) == text.split(separator)


def test_auto_splits_one_file_of_long_groups_and_keeps_a_book_whole(tmp_path: Path) -> None:
    (tmp_path / "stories.txt").write_text("\n\n".join(f"Story {i}. " + "word " * 120 for i in range(80)))
    (tmp_path / "book.txt").write_text("\n\n".join(f"Paragraph {i}. " + "word " * 40 for i in range(80)))
    assert len(texts(tmp_path / "stories.txt")) == 80
    assert len(texts(tmp_path / "book.txt")) == 1
    assert len(texts(tmp_path)) == 2, "in a folder a file is a document"


def test_auto_never_makes_one_document_of_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_DOCUMENT", 1000)
    (tmp_path / "paragraphs.txt").write_text("\n\n".join("word " * 20 for _ in range(80)))
    (tmp_path / "lines.txt").write_text("\n".join("word " * 20 for _ in range(70)))
    assert len(texts(tmp_path / "paragraphs.txt")) == 80
    assert len(texts(tmp_path / "lines.txt")) == 70


def test_a_document_that_does_not_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENT", 100)
    (tmp_path / "a.txt").write_text("word " * 100)
    with pytest.raises(UserError, match=r"a\.txt: a document of over.*documents: blank-lines"):
        texts(tmp_path / "a.txt", documents="file")


def test_size_bounds_the_bytes_taken_and_cuts_only_a_first_document(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"text": "é" * 10}] * 5))
    stats = ReadStats()
    assert texts(tmp_path / "a.jsonl", stats, size=50) == ["é" * 10] * 2
    assert (stats.documents, stats.bytes, stats.cut) == (2, 40, True)
    (tmp_path / "b.txt").write_text("word " * 1000)
    (only,) = texts(tmp_path / "b.txt", size=2003)
    assert only == "word " * 400


# ---- bad input -----------------------------------------------------------------------------------------------


def test_a_path_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "novels.txt").write_text("x")
    with pytest.raises(UserError, match=r"novel\.txt: no such file.*Did you mean `.*novels\.txt`"):
        texts(tmp_path / "novel.txt")
    with pytest.raises(UserError, match=r"matches no file"):
        texts(tmp_path / "*.jsonl")


def test_a_folder_without_a_readable_file_lists_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is empty"):
        texts(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"no readable file.*1 \.png.*\.jsonl"):
        texts(tmp_path)


@pytest.mark.parametrize("folder", [False, True])
def test_a_binary_file_is_named(tmp_path: Path, folder: bool) -> None:
    (tmp_path / "model.weights").write_bytes(b"\1\0\2\0" * 100)
    with pytest.raises(UserError, match=r"model\.weights: a binary file"):
        texts(tmp_path if folder else tmp_path / "model.weights")


def test_a_nul_byte_in_a_text_file_is_found_with_its_offset(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc" * 700_000 + b"\0")
    with pytest.raises(UserError, match=r"a\.txt: byte 2100000 is NUL"):
        texts(tmp_path / "a.txt")


@pytest.mark.parametrize("before", [0, 5, (1 << 20) - 1, 3 << 20])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_encoding_error_is_reported_at_its_byte(tmp_path: Path, before: int, mark: bytes) -> None:
    offset = len(mark) + before
    (tmp_path / "a.txt").write_bytes(mark + b"x" * before + "schön".encode("latin-1"))
    with pytest.raises(UserError, match=rf"a\.txt: byte {offset + 3} \(0xf6\) is not UTF-8.*iconv"):
        texts(tmp_path / "a.txt", documents="file")


def test_a_text_that_ends_inside_a_character_is_an_encoding_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ab€".encode()[:-1])
    with pytest.raises(UserError, match=r"byte 2 \(0xe2\)"):
        texts(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json"])
def test_utf16_is_recognised(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("text".encode("utf-16"))
    with pytest.raises(UserError, match="UTF-16"):
        texts(tmp_path / name)


def test_an_encoding_error_in_csv_is_reported_at_its_byte(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,ok\n2,sch\xf6n\n")
    with pytest.raises(UserError, match=r"a\.csv: byte 18 \(0xf6\)"):
        texts(tmp_path / "a.csv")


BAD_LINES = [b'{"text": "cut', b"\xff\xfe not utf-8", b'["list"]', b'{"text": 3}', b'{"text": "\\ud83d"}', b'{"id": 1}']


def test_unreadable_records_are_counted_with_file_and_line(tmp_path: Path) -> None:
    good = [jsonl([{"text": "good"}]).strip()] * 994
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good, *BAD_LINES]))
    stats = ReadStats()
    assert texts(tmp_path / "a.jsonl", stats) == ["good"] * 994
    assert stats.bad is not None
    assert stats.bad.count == 6
    assert [re.search(r":(\d+): (\w+)", e).groups() for e in stats.bad.examples[:2]] == [  # type: ignore[union-attr]
        ("995", "not"),
        ("996", "byte"),
    ]


@pytest.mark.parametrize("bad", BAD_LINES)
def test_too_many_unreadable_records_stop_the_run(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([jsonl([{"text": "good"}]).strip()] * 98 + [bad, bad]))
    with pytest.raises(UserError, match=r"2 of 100 records are unreadable \(2\.0%; data\.max_bad_share allows 1\.0%"):
        texts(tmp_path / "a.jsonl")
    assert len(texts(tmp_path / "a.jsonl", max_bad_share=0.02)) == 98


def test_a_stream_of_junk_stops_before_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n' + b"junk\n" * 30_000)
    with pytest.raises(UserError, match="9999 of 10000 records"):
        texts(tmp_path / "a.jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_field_that_is_not_there_names_those_that_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"news.{kind}"
    if kind == "jsonl":
        path.write_bytes(jsonl([{"title": "a", "body": "b"}]))
    elif kind == "csv":
        path.write_text("title,body\na,b\n")
    else:
        pq.write_table(pa.table({"title": ["a"], "body": ["b"]}), path)
    with pytest.raises(
        UserError, match=r"no field `text` \(fields: title, body\)\. Name it with `data\.sources\[0\]\.text: body`"
    ):
        texts(path)
    assert texts(path, text="body") == ["b"]
    with pytest.raises(UserError, match=r"sources\[0\]\.text: title`"):
        texts(path, text="titel")


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2], "story": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"not text.*text: story"):
        texts(tmp_path / "a.parquet")


def test_nulls_in_parquet_and_short_rows_in_csv_are_bad_records(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("id,text\n1,a\n2\n")
    for name in ["a.parquet", "b.csv"]:
        with pytest.raises(UserError, match="1 of 2 records"):
            texts(tmp_path / name)
        assert texts(tmp_path / name, max_bad_share=0.5) == ["a"]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt.zst", "a.parquet", "a.csv.gz"])
def test_a_cut_file_is_damaged_not_short(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    body = b"id,text\n" + b"1,hello\n" * 5000 if "csv" in name else jsonl([{"text": "hello"}] * 5000)
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": STORIES}), path)
    else:
        path.write_bytes(gzip.compress(body) if name.endswith("gz") else zstandard.compress(body))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{re.escape(name)}: (cannot be read|not a readable parquet)"):
        texts(path, max_bad_share=1.0)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_a_source_without_a_record_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"no document|not JSON"):
        texts(tmp_path / name)


def test_an_open_quote_in_csv_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallm.data.rows.MAX_FIELD", 100)
    (tmp_path / "a.csv").write_text('id,text\n1,"' + "never closed\n" * 50)
    with pytest.raises(UserError, match=r"a\.csv: not CSV.*quote"):
        texts(tmp_path / "a.csv")


def test_a_source_sets_exactly_one_of_its_kinds() -> None:
    for source in [SourceConfig(), SourceConfig(path="a", synth="stories")]:
        with pytest.raises(UserError, match=r"data\.sources\[0\]: set exactly one of"):
            named_sources(DataConfig(sources=[source]))
    with pytest.raises(UserError, match=r"data\.sources is empty"):
        named_sources(DataConfig())


def test_stories_without_a_size_never_end_and_are_refused() -> None:
    source = SourceConfig(synth="stories")
    with pytest.raises(UserError, match="size: 20MB"):
        next(read(source, DataConfig(sources=[source]), 0))


# ---- names and fingerprints ----------------------------------------------------------------------------------


def test_names_are_unique_and_short(tmp_path: Path) -> None:
    (tmp_path / "news").mkdir()
    paths = [tmp_path / "news.jsonl.gz", tmp_path / "news", tmp_path / "news" / "*.txt", tmp_path / "x.y.txt"]
    names = [n for n, _, _ in named_sources(DataConfig(sources=[SourceConfig(path=str(p)) for p in paths]))]
    assert names == ["news", "news-2", "news-3", "x"]


def test_the_fingerprint_changes_with_a_byte_of_any_file_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for name in "ab":
        (tmp_path / "t" / f"{name}.txt").write_text(name)
    recipe = Recipe(
        data=DataConfig(sources=[SourceConfig(path=str(tmp_path / "t")), SourceConfig(builtin="python-docs")])
    )

    def now() -> dict[str, str]:
        return fingerprint(recipe, HashCache(tmp_path / "hashes.json"))

    first = now()
    assert len(first) == 2
    assert now() == first
    (tmp_path / "t" / "b.txt").write_text("c")
    changed = now()
    assert [changed[k] == first[k] for k in first] == [False, True]


def test_a_fingerprint_of_a_missing_path_is_the_users_error(tmp_path: Path) -> None:
    recipe = Recipe(data=DataConfig(sources=[SourceConfig(path=str(tmp_path / "none"))]))
    with pytest.raises(UserError, match="no such file"):
        fingerprint(recipe, HashCache(tmp_path / "hashes.json"))
