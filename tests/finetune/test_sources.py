"""Sets are opened where they are; their records come with place and side; what pins them is in the stage's key."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.core.files import HashCache
from smallm.data.synth import arithmetic, clauses, questions, sentiment, translation
from smallm.finetune.formats import Converter
from smallm.finetune.sources import SYNTH, fingerprint, generated, language_note, open_sets, rows_of


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    return str(path)


def tune(*sources: TuneSource, **options: Any) -> FinetuneConfig:
    return FinetuneConfig(data=list(sources), **options)


PAIR = {"prompt": "a", "completion": "b"}


def test_a_folder_is_its_files_of_records_and_the_others_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [PAIR])
    write(tmp_path / "sub" / "b.jsonl", [PAIR, PAIR])
    (tmp_path / "README.md").write_text("about")
    (one,) = open_sets(tune(TuneSource(path=str(tmp_path))))
    rows = list(rows_of(one, FinetuneConfig(), 0))
    assert [row.place for row in rows] == [
        f"{tmp_path}/a.jsonl:1",
        f"{tmp_path}/sub/b.jsonl:1",
        f"{tmp_path}/sub/b.jsonl:2",
    ]
    assert one.skipped == Counter({".md": 1})


def test_names_are_the_recipes_or_the_files_and_never_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "news.jsonl", [PAIR])
    sources = [
        TuneSource(path=path),
        TuneSource(path=path),
        TuneSource(path=path, name="mine"),
        TuneSource(synth="clauses"),
    ]
    sources += [TuneSource(path=str(tmp_path / "*.jsonl"))]
    names = [one.name for one in open_sets(tune(*sources))]
    assert names == ["news", "news-2", "mine", "synth-clauses", tmp_path.name]


def test_the_file_is_read_where_it_is_there_else_the_hub_and_that_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [PAIR])
    (local,) = open_sets(tune(TuneSource(path=path, hub="owner/name")))
    assert (local.kind, local.notes) == ("path", ["read from a.jsonl, not from the Hub (owner/name)"])
    (remote,) = open_sets(tune(TuneSource(path=str(tmp_path / "b.jsonl"), hub="owner/name", reader="cuad-clauses")))
    assert (remote.kind, remote.name, remote.source.reader) == ("hub", "owner/name", None)
    assert remote.notes == ["b.jsonl is not there: read from the Hub (owner/name)"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (TuneSource(), "sets none of them"),
        (TuneSource(path="a", synth="clauses"), "sets path and synth"),
        (TuneSource(hub="a", reader="statutes"), "reader: statutes reads files"),
        (TuneSource(synth="clauses", format="messages"), "these records are columns"),
        (TuneSource(synth="translation", input="german"), "both `input` and `output`, or neither"),
    ],
)
def test_a_set_that_says_where_it_is_twice_or_never_is_refused(source: TuneSource, said: str) -> None:
    with pytest.raises(UserError, match=rf"^finetune\.data\[0\].*{said}"):
        open_sets(tune(source))


def test_no_set_at_all_is_refused() -> None:
    with pytest.raises(UserError, match=r"finetune\.data is empty"):
        open_sets(FinetuneConfig())


@pytest.mark.parametrize(
    ("content", "said"), [(b"not json\n", "not JSON"), (b"[1]\n", "not an object"), (b"\xe4\n", "UTF-8")]
)
def test_a_record_that_cannot_be_read_stops_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(PAIR).encode() + b"\n" + content)
    (one,) = open_sets(tune(TuneSource(path=str(path))))
    with pytest.raises(UserError, match=rf"a\.jsonl:2: .*{said}.*stops here"):
        list(rows_of(one, FinetuneConfig(), 0))


def test_a_set_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    (tmp_path / "b.txt").write_text("text")
    for name, said in (("a.jsonl", "holds no record"), ("b.txt", "holds no records"), ("c.jsonl", "no such file")):
        (one,) = open_sets(tune(TuneSource(path=str(tmp_path / name))))
        with pytest.raises(UserError, match=said):
            list(rows_of(one, FinetuneConfig(), 0))


@pytest.mark.filterwarnings("ignore")  # of datasets and fsspec, not ours
def test_a_set_of_the_hub_is_its_rows_with_their_numbers(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.jsonl", [PAIR, PAIR])
    (one,) = open_sets(tune(TuneSource(hub=str(tmp_path / "d"), use="train")))
    assert [(row.record, row.place, row.side) for row in rows_of(one, FinetuneConfig(), 0)] == [
        (PAIR, "d train: row 1", "train"),
        (PAIR, "d train: row 2", "train"),
    ]


# ---- generators ----------------------------------------------------------------------------------------------------

MODULES = {m.__name__.rsplit(".", 1)[1]: m for m in (arithmetic, clauses, questions, sentiment, translation)}


@pytest.mark.parametrize("name", sorted(SYNTH))
def test_every_generator_becomes_conversations_with_its_tasks_template(name: str) -> None:
    options = FinetuneConfig(test=0.5, language="de" if name == "translation" else "en")
    (one,) = open_sets(tune(TuneSource(synth=name, items=12), test=0.5, language=options.language))  # type: ignore[arg-type]
    labels = getattr(MODULES[name], "LABELS", ())
    converter = Converter(one.source, options, one.name, where=one.where, task=one.task, labels=labels)
    rows = list(rows_of(one, options, 0))
    assert Counter(row.side for row in rows) == {"learned": 12, "test": 6}
    shape = SYNTH[name]
    for row in rows:
        (made,) = converter(row.record, row.place)
        asked, answer = made.messages[0]["content"], made.answer
        assert answer == row.record[shape.output]
        assert row.record[shape.input] in asked
        assert shape.context is None or row.record[shape.context] in asked
        assert made.fields.get("input", asked) == row.record[shape.input]
    if name == "translation":
        assert {row.record["held_out"] != "" for row in rows if row.side == "test"} == {True}
        assert {row.record["held_out"] for row in rows if row.side == "learned"} == {""}
        assert made.fields["construction"] == rows[-1].record["construction"]


def test_a_generator_learns_from_its_train_half_and_asks_its_test_half() -> None:
    def counts(**options: Any) -> dict[str, int]:
        (one,) = open_sets(tune(TuneSource(synth="clauses", **options)))
        return generated(one, FinetuneConfig(test=0.05), ["validation", "test"])

    assert counts() == {"train": 20_000, "test": 1000}
    assert counts(items=200) == {"train": 200, "test": 10}
    assert counts(use="train") == {"train": 20_000, "test": 0}
    assert counts(use="test") == {"train": 0, "test": 1000}
    assert counts(use="test", items=7) == {"train": 0, "test": 7}
    (one,) = open_sets(tune(TuneSource(synth="clauses")))
    assert generated(one, FinetuneConfig(test=0.05), ["validation"])["test"] == 0, "a set is named for the test"


def test_templates_may_turn_a_generators_direction() -> None:
    source = TuneSource(synth="translation", items=3, prompt="Auf Englisch: {{german}}", answer="{{english}}")
    options = FinetuneConfig(task="translation", test=0.0)
    (one,) = open_sets(tune(source, task="translation"))
    (row, *_) = rows_of(one, options, 0)
    (made,) = Converter(one.source, options, one.name, task=one.task)(row.record, row.place)
    assert (made.answer, made.fields["input"]) == (row.record["english"], row.record["german"])
    named = TuneSource(synth="translation", items=3, input="german", output="english")
    (other,) = open_sets(tune(named, task="translation"))
    (made,) = Converter(other.source, options, other.name, task=other.task)(row.record, row.place)
    assert made.messages[0]["content"] == f"Translate into English.\n\n{row.record['german']}"


def test_answers_in_another_language_than_the_recipes_are_told() -> None:
    (one,) = open_sets(tune(TuneSource(synth="translation")))
    assert "set it to de" in language_note(one, FinetuneConfig(language="en"))
    assert language_note(one, FinetuneConfig(language="de")) == ""


# ---- readers -------------------------------------------------------------------------------------------------------


def test_entities_are_tagged_by_generation(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Der O\nBGH B-GRT\nentschied O\n\nJa O\n", "utf-8")
    (one,) = open_sets(tune(TuneSource(path=str(path), reader="ner-tagging", use="test"), language="de"))
    rows = list(rows_of(one, FinetuneConfig(), 0))
    assert [(row.place, row.side) for row in rows] == [(f"{path}:1", "test"), (f"{path}:5", "test")]
    converter = Converter(one.source, FinetuneConfig(language="de"), one.name, task=one.task)
    (made,) = converter(rows[0].record, rows[0].place)
    assert made.messages[0]["content"].endswith("\n\nDer BGH entschied")
    assert (made.answer, made.fields["input"]) == ("Gericht: BGH", "Der BGH entschied")


def test_clauses_stay_with_their_contract_and_what_the_reader_leaves_out_is_counted(shared_data: Any) -> None:
    path = shared_data("cuad/master_clauses.csv.gz")
    source = TuneSource(path=str(path), reader="cuad-clauses")
    (one,) = open_sets(tune(source, task="classification"))
    rows = list(rows_of(one, FinetuneConfig(), 0))
    assert len(rows) > 5000
    assert one.left_out["not a clause"] > 1000
    assert one.source.cluster == "file_name"
    assert {row.side for row in rows} == {"auto"}


LAW = """---
Title: Gesetz über Probe
jurabk: {name}
---

# Gesetz

### § 1 Begriffe

(1) Verbraucher im Sinne dieses Gesetzes ist jede natürliche Person, die Nummer {number} trägt.

### § 2 Frist

(1) Der Antrag Nummer {number} ist innerhalb von {number} Wochen zu stellen.
"""


def test_laws_are_questions_of_the_splits_that_their_reader_draws(tmp_path: Path) -> None:
    write(
        tmp_path / "laws.jsonl",
        [
            {"id": f"l{i}", "text": LAW.format(name=f"PrG{chr(65 + i % 26)}{chr(97 + i // 26)}", number=i + 2)}
            for i in range(150)
        ],
    )
    source = TuneSource(path=str(tmp_path / "law*"), reader="statutes", items=40)
    options = FinetuneConfig(task="qa", language="de", test=0.1, validation=0.1)
    (one,) = open_sets(FinetuneConfig(data=[source], task="qa", language="de"))
    rows = list(rows_of(one, options, 0))
    assert Counter(row.side for row in rows) == {"train": 40, "validation": 4, "test": 4}
    laws = {side: {row.record["law"] for row in rows if row.side == side} for side in ("train", "validation", "test")}
    assert not laws["train"] & laws["test"]
    assert not laws["validation"] & laws["test"]
    (made,) = Converter(one.source, options, one.name, task=one.task)(rows[0].record, rows[0].place)
    assert made.messages[0]["content"].startswith("Beantworte die Frage aus diesem Text.\n\n§ ")
    assert made.cluster == rows[0].record["law"]
    assert {"citation", "quote", "answerable", "law", "kind"} <= set(made.fields)


def test_a_folder_of_laws_is_read_and_is_in_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "gesetze" / "p"
    folder.mkdir(parents=True)
    (folder / "index.md").write_text(LAW.format(name="PrG", number=3), "utf-8")
    source = TuneSource(path=str(tmp_path / "gesetze*"), reader="statutes")

    def key() -> dict[str, str]:
        return fingerprint(tune(source), 0, HashCache(tmp_path / "hashes.json", verify=True))

    before = key()
    (folder / "index.md").write_text(LAW.format(name="PrG", number=4), "utf-8")
    assert key() != before
    (folder / "index.md").write_bytes("Geb\u00fchr".encode("cp1252"))
    (one,) = open_sets(FinetuneConfig(data=[source], task="qa", language="de"))
    with pytest.raises(UserError, match=r"index\.md: .*UTF-8"):
        list(rows_of(one, FinetuneConfig(task="qa"), 0))


# ---- the key -------------------------------------------------------------------------------------------------------


def test_the_key_changes_with_a_files_bytes_and_a_generators_seed_and_not_with_the_folder(tmp_path: Path) -> None:
    def key(folder: str, completion: str, seed: int = 0) -> dict[str, str]:
        path = write(tmp_path / folder / "a.jsonl", [{"prompt": "a", "completion": completion}])
        sources = [TuneSource(path=path), TuneSource(synth="arithmetic")]
        return fingerprint(tune(*sources), seed, HashCache(tmp_path / "hashes.json"))

    before = key("x", "b")
    assert key("y", "b") == before
    changed = key("x", "c")
    assert {name for name in before if before[name] != changed[name]} == {"finetune.data[0] a"}
    other = key("x", "b", seed=1)
    assert {name for name in before if before[name] != other[name]} == {"finetune.data[1] synth-arithmetic"}


def test_the_key_changes_with_a_generators_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tune(TuneSource(synth="arithmetic"))
    before = fingerprint(recipe, 0, HashCache(tmp_path / "h.json"))
    monkeypatch.setattr(arithmetic, "VERSION", "999")
    assert fingerprint(recipe, 0, HashCache(tmp_path / "h.json")) != before
