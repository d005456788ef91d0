"""The one reader of records: every format gives the same fields, each record with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.data.rows import Row, read_rows

RECORDS = [{"a": "one", "b": "x"}, {"a": "two\nlines, and a comma", "b": 'a "quote"'}, {"a": "drei ä 😀", "b": ""}]


def csv_text(records: list[dict[str, Any]], delimiter: str = ",") -> str:
    def cell(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [delimiter.join(records[0])] + [delimiter.join(map(cell, r.values())) for r in records]
    return "\n".join(lines) + "\n"


def write_all(folder: Path, records: list[dict[str, Any]]) -> list[Path]:
    """The records in every format that is read."""
    lines = "".join(json.dumps(r) + "\n" for r in records).encode()
    (folder / "r.jsonl").write_bytes(lines)
    (folder / "z.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "y.jsonl.zst").write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
    (folder / "lines.json").write_bytes(lines)
    (folder / "array.json").write_text(json.dumps(records, indent=1))
    (folder / "r.csv").write_text(csv_text(records), "utf-8")
    (folder / "r.tsv").write_text(csv_text(records, "\t"), "utf-8")
    pq.write_table(pa.Table.from_pylist(records), folder / "r.parquet")
    return sorted(folder.iterdir())


def test_every_format_and_compression_gives_the_same_records(tmp_path: Path) -> None:
    paths = write_all(tmp_path, RECORDS)
    assert len(paths) == 8
    for path in paths:
        assert [row.fields for row in read_rows(path)] == RECORDS, path.name


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.text()}), min_size=1, max_size=5))
def test_any_text_survives_json_lines(records: list[dict[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
        assert [row.fields for row in read_rows(path)] == records


def test_a_row_says_where_it_stands(tmp_path: Path) -> None:
    write_all(tmp_path, RECORDS)
    places = {p.name: [row.place("f") for row in read_rows(p)] for p in tmp_path.iterdir()}
    assert places["r.jsonl"] == ["f:1", "f:2", "f:3"]
    assert places["r.csv"] == ["f:2", "f:3", "f:5"], "the second record stands on two lines"
    assert places["array.json"] == ["f: record 1", "f: record 2", "f: record 3"]
    assert places["r.parquet"] == ["f: row 1", "f: row 2", "f: row 3"]


def test_what_is_no_record_is_a_row_with_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"a": 1}\n[1]\nnot json\n{"a": "\xe4"}\n\n{"a": 2}\n')
    rows = list(read_rows(path))
    assert [row.fields for row in rows] == [{"a": 1}, None, None, None, {"a": 2}]
    assert [row.number for row in rows] == [1, 2, 3, 4, 6], "an empty line is no record, and counts as a line"
    assert [row.problem.split(" (")[0] for row in rows] == [
        "", "a JSON list, not an object", "not JSON", "byte 29", "",
    ]  # fmt: skip
    short = tmp_path / "r.csv"
    short.write_text("a,b\n1,2\n3\n")
    assert list(read_rows(short))[1] == Row(None, 3, "line", "1 fields where the header has 2")


def test_one_bad_text_in_a_parquet_batch_leaves_its_neighbours_readable(tmp_path: Path) -> None:
    column = pa.array([b"ok", b"sch\xf6n", b"good"]).view(pa.binary())
    bad = pa.StringArray.from_buffers(3, column.buffers()[1], column.buffers()[2])
    pq.write_table(pa.table({"a": bad}), tmp_path / "r.parquet")
    rows = list(read_rows(tmp_path / "r.parquet"))
    assert [row.fields for row in rows] == [{"a": "ok"}, None, {"a": "good"}]
    assert rows[1].problem == "a text in it is not UTF-8"


def test_the_names_of_the_fields_come_before_the_first_row(tmp_path: Path) -> None:
    write_all(tmp_path, [{"a": "x", "n": 1}])
    seen: list[dict[str, bool]] = []
    next(read_rows(tmp_path / "r.parquet", on_fields=lambda fields: seen.append(dict(fields))))
    assert seen == [{"a": True, "n": False}]
    (tmp_path / "empty.csv").write_text("a,b\n")
    assert list(read_rows(tmp_path / "empty.csv", on_fields=lambda fields: seen.append(dict(fields)))) == []
    assert seen[1] == {"a": True, "b": True}


def test_an_open_quote_or_a_name_twice_stops_a_csv(tmp_path: Path) -> None:
    (tmp_path / "open.csv").write_text('label,text\nneg,"Oh no he said\npos,fine\nneg,bad\n')
    with pytest.raises(UserError, match=r"open\.csv: not CSV: .* Is a quote left open\?"):
        list(read_rows(tmp_path / "open.csv"))
    (tmp_path / "twice.csv").write_text("text,label,text\na,b,c\n")
    with pytest.raises(UserError, match=r"twice\.csv:1: the header names 'text' twice"):
        list(read_rows(tmp_path / "twice.csv"))


def test_a_file_that_holds_no_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UserError, match=r"a\.txt: not a file of records"):
        list(read_rows(tmp_path / "a.txt"))
