"""Laws of a task's records: every format gives the same ones, what is missing is named, what is torn is refused."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smallm.core.errors import UserError
from smallm.evaluate import task_data
from smallm.evaluate.task_data import MissingData, data_dirs, read_records
from smallm.evaluate.task_files import read_file
from smallm.evaluate.tasks import TaskSpec, read_task

ROWS = [{"q": 'eins, "zwei"', "a": "drei"}, {"q": "größer\nals", "a": "vier\tfünf"}, {"q": "x", "a": "y"}]


def spec(folder: Path, text: str) -> TaskSpec:
    (folder / "t.yaml").write_text("task: t\nprompt: '{{q}}'\nanswer: a\n" + text, "utf-8")
    return read_task(folder / "t.yaml")


def fields(folder: Path, text: str, dirs: Any = ()) -> list[dict[str, Any]]:
    records = list(read_records(spec(folder, text), "data", dirs))
    return [{k: v for k, v in record.fields.items() if k != "_file"} for record in records]


def jsonl(rows: Any = ROWS) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def separated(delimiter: str) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [delimiter.join(ROWS[0]), *(delimiter.join(map(cell, row.values())) for row in ROWS)]
    return ("\n".join(lines) + "\n").encode()


CONTENTS = {
    "r.jsonl": jsonl(),
    "r.jsonl.gz": gzip.compress(jsonl()),
    "r.jsonl.zst": pa.compress(jsonl(), "zstd", asbytes=True),
    "r.json": json.dumps(ROWS).encode(),
    "lines.json": jsonl(),
    "r.csv": separated(","),
    "semicolon.csv": separated(";"),
    "r.tsv": separated("\t"),
    "r.tsv.gz": gzip.compress(separated("\t")),
    "bom.csv": b"\xef\xbb\xbf" + separated(","),
}


@pytest.mark.parametrize("name", [*CONTENTS, "r.parquet"])
def test_every_format_gives_the_same_records(tmp_path: Path, name: str):
    if name == "r.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(CONTENTS[name])
    assert fields(tmp_path, f"data: {name}\n") == ROWS


def test_parallel_texts_give_a_field_a_file_named_by_its_ending(tmp_path: Path):
    (tmp_path / "t.en.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    (tmp_path / "t.de.gz").write_bytes(gzip.compress(b"eins\nzwei"))
    wanted = [{"en": "one", "de": "eins"}, {"en": "two", "de": "zwei"}]
    assert fields(tmp_path, "data: [t.en.gz, t.de.gz]\n") == wanted
    named = [{"x": row["en"], "y": row["de"]} for row in wanted]
    assert fields(tmp_path, "data: {x: t.en.gz, y: t.de.gz}\n") == named


def test_parallel_texts_of_different_lengths_are_refused(tmp_path: Path):
    (tmp_path / "t.en").write_text("one\ntwo\n")
    (tmp_path / "t.de").write_text("eins\n")
    with pytest.raises(UserError, match=r"t\.de: ends after 1 lines, but .*t\.en goes on"):
        fields(tmp_path, "data: [t.en, t.de]\n")


def test_a_glob_reads_all_its_files_and_says_which_a_record_is_of(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("b", "a"):
        (tmp_path / "sub" / f"{name}.jsonl").write_text(json.dumps({"q": name, "a": "x"}) + "\n")
    records = list(read_records(spec(tmp_path, "data: sub/*.jsonl\n"), "data", ()))
    assert [(r.fields["q"], r.fields["_file"]) for r in records] == [("a", "a"), ("b", "b")]
    assert records[0].where.endswith("a.jsonl:1")


def test_a_list_in_a_field_becomes_a_record_each_with_what_stands_around_it(tmp_path: Path):
    nested = {"passage": "p", "questions": [{"q": "1", "a": "x"}, {"q": "2", "a": "y"}]}
    (tmp_path / "n.json").write_text(json.dumps([nested]))
    records = list(read_records(spec(tmp_path, "data: n.json\neach: questions\n"), "data", ()))
    assert [(r.fields["passage"], r.fields["q"]) for r in records] == [("p", "1"), ("p", "2")]
    assert records[1].where.endswith("n.json: record 1, questions 2")
    with pytest.raises(UserError, match=r"`each: qs` .* needs a list in the field `qs` \(fields: passage, questions"):
        fields(tmp_path, "data: n.json\neach: qs\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.jsonl", b'{"q": 1}\n{"q": ', r"r\.jsonl:2: not JSON"),
        ("r.jsonl", b"\xff\xfe{\x00", r"UTF-16"),
        ("r.jsonl.gz", gzip.compress(jsonl())[:-12], r"r\.jsonl\.gz: cannot be read"),
        ("r.jsonl.gz", b"no archive", r"r\.jsonl\.gz: cannot be read"),
        ("r.json", b'[{"q": 1}, 2]', r"r\.json: record 2: a JSON int, not an object"),
        ("r.csv", b"q,a\n1,2\n3\n", r"r\.csv:3: 1 fields where the header has 2"),
        ("r.csv", b'q,a\n"1\n2",3\n4\n', r"r\.csv:4: 1 fields"),
        ("r.csv", b"q,a\n\xe4,2\n", r"r\.csv: byte 4 \(0xe4\) is not UTF-8"),
        ("r.parquet", b"PAR1 no", r"r\.parquet: not a readable parquet file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_file(tmp_path / name))


def test_data_is_looked_for_beside_the_task_then_in_each_folder_in_order(tmp_path: Path, monkeypatch: Any):
    for name in ("own", "one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.jsonl").write_text(json.dumps({"q": name, "a": "x"}) + "\n")
    dirs = [tmp_path / "one", tmp_path / "two"]
    assert fields(tmp_path / "own", "data: r.jsonl\n", dirs)[0]["q"] == "own"
    (tmp_path / "own" / "r.jsonl").unlink()
    assert fields(tmp_path / "own", "data: r.jsonl\n", dirs)[0]["q"] == "one"
    monkeypatch.setenv("SMALLM_DATA", f"{tmp_path / 'two'}{os.pathsep}{tmp_path / 'one'}")
    assert data_dirs([tmp_path / "own"]) == (tmp_path / "own", tmp_path / "two", tmp_path / "one", Path("data"))
    with pytest.raises(UserError, match=r"--data .*none: there is no such directory"):
        data_dirs([tmp_path / "none"])


def test_data_that_is_not_here_is_named_with_where_to_get_it(tmp_path: Path):
    with pytest.raises(MissingData) as caught:
        fields(tmp_path, "data: eval/none.jsonl.gz\norigin: nobody/none (Hub)\n", [tmp_path / "folder"])
    said = str(caught.value)
    assert "t.yaml:4: task t: eval/none.jsonl.gz is not on this machine" in said
    assert "It is from nobody/none (Hub)." in said
    assert "--data DIR or SMALLM_DATA" in said


def test_the_hub_is_read_at_one_commit_where_no_file_is_found(tmp_path: Path, monkeypatch: Any):
    import datasets

    from smallm.data import hub

    asked: list[Any] = []

    def load_dataset(name: str, subset: str | None, *, split: str, revision: str) -> list[dict[str, Any]]:
        asked.append((name, subset, split, revision))
        return [{"question": "why", "label": 1}]

    monkeypatch.setattr(hub, "commit", lambda name, revision: "c" * 40)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(task_data, "_unreachable", [])
    text = "data: none.jsonl\nhub: {name: a/b, subset: s, fields: {q: question, a: '{{label + 1}}'}}\n"
    found = list(read_records(spec(tmp_path, text), "data", ()))
    assert asked == [("a/b", "s", "test", "c" * 40)]
    assert found[0].fields["question"] == "why"
    from smallm.evaluate.task_items import load_task

    item = load_task(spec(tmp_path, text), ()).items[0]
    assert (item.prompt, item.answer) == ("why", ("2",))


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: Any):
    from smallm.data import hub

    asked: list[str] = []

    def commit(name: str, revision: str | None) -> str:
        asked.append(name)
        raise UserError(f"{name}: the Hub cannot be asked for its commit (offline).")

    monkeypatch.setattr(hub, "commit", commit)
    monkeypatch.setattr(task_data, "_unreachable", [])
    for name in ("a/b", "c/d"):
        with pytest.raises(MissingData, match=name):
            fields(tmp_path, f"hub: {name}\n")
    assert asked == ["a/b"]


def test_a_generator_of_ours_makes_the_same_records_for_a_seed(tmp_path: Path):
    from smallm.data.synth import arithmetic

    task = spec(tmp_path, "synth: arithmetic\nseed: 3\nitems: 7\n")
    records = [record.fields for record in read_records(task, "data", ())]
    assert records == [dict(record) for record in arithmetic.records(3, 7)]
    assert len(records) == 7
    for name in ("arithmetik", "stories"):
        with pytest.raises(UserError, match=f"synth: {name} is no generator of tasks"):
            fields(tmp_path, f"synth: {name}\n")


def test_entities_of_conll_columns_with_what_stands_around_them(tmp_path: Path):
    lines = "Der O\nRichter O\nHans B-PER\nMaier I-PER\nin O\nKöln B-ST\n\nBonn B-ST\nBerlin I-ST\nX I-PER\n"
    (tmp_path / "e.conll").write_text(lines, "utf-8")
    found = fields(tmp_path, "data: e.conll\nreader: conll-entities\n")
    assert [(f["entity"], f["label"]) for f in found] == [
        ("Hans Maier", "PER"), ("Köln", "ST"), ("Bonn Berlin", "ST"), ("X", "PER"),
    ]  # fmt: skip
    first = found[0]
    assert (first["before"], first["after"], first["sentence_id"]) == ("Der Richter", "in Köln", "e.conll:1")
    assert found[2]["sentence_id"] == "e.conll:8"
    (tmp_path / "e.conll").write_text("Der O\nRichter\n")
    with pytest.raises(UserError, match=r"e\.conll:2: `Richter` is not `token tag`"):
        fields(tmp_path, "data: e.conll\nreader: conll-entities\n")


def test_clauses_of_contracts_with_the_passage_around_them(tmp_path: Path):
    (tmp_path / "c.csv").write_text(
        "Filename,Parties,Parties-Answer,Audit Rights\nX.pdf,\"['A  and B', 'none']\",A,[]\nY.pdf,[],,\"['...']\"\n"
    )
    (tmp_path / "k.jsonl").write_text(json.dumps({"id": "X", "text": "w " * 900 + "A  and B agree " + "v " * 900}))
    plain = fields(tmp_path, "data: {clauses: c.csv}\nreader: cuad-clauses\n")
    assert [(f["contract"], f["type"], f["clause"]) for f in plain] == [
        ("X", "Parties", "A and B"), ("X", "Parties", "none"),
    ]  # fmt: skip
    found = fields(tmp_path, "data: {clauses: c.csv, contracts: k.jsonl}\nreader: cuad-clauses\n")
    assert len(found) == 1  # `none` does not stand in the contract
    assert found[0]["clause"] in found[0]["passage"]
    assert 500 < len(found[0]["passage"]) < 900
    assert found[0]["passage"].startswith("w w")
