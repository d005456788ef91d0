"""Entities and clauses as fine-tuning records: what is written is read back, what is left out is counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.data.finetune_readers import (
    LABELS_DE,
    NO_ENTITY,
    cuad_clause_records,
    format_tags,
    ner_tagging,
    parse_tags,
    tag_scores,
)

CONLL = "Der O\nBGH B-GRT\nin O\nKöln B-ST\n\nEs O\nregnet O\n\nHans B-PER\nMaier I-PER\n: B-XY\n"


def write_table(path: Path, rows: list[dict[str, list[str]]]) -> Path:
    """A table like CUAD's, a contract a row."""
    columns = sorted({column for row in rows for column in row})
    lines = ["Filename," + ",".join(f"{c},{c}-Answer" for c in columns)]
    for number, row in enumerate(rows):
        cells = [json.dumps(repr(row.get(c, []))).replace("\\\\", "\\") + ",x" for c in columns]
        lines.append(f"C{number}.pdf," + ",".join(cells))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_sentence_is_tagged_by_lines_in_order_and_keine_stands_for_none(tmp_path: Path):
    (tmp_path / "a.conll").write_text(CONLL, "utf-8")
    records = list(ner_tagging(tmp_path / "a.conll"))
    assert records[0] == {
        "sentence": "Der BGH in Köln", "answer": "Gericht: BGH\nStadt: Köln", "entities": 2, "id": "a.conll:1",
    }  # fmt: skip
    assert (records[1]["answer"], records[1]["entities"]) == (NO_ENTITY, 0)
    assert records[2]["answer"] == "Person: Hans Maier\nXY: :"
    assert parse_tags(records[2]["answer"]) == [("Person", "Hans Maier"), ("XY", ":")]
    assert len(list(ner_tagging(tmp_path / "a.conll", max_characters=9))) == 1


def test_a_line_that_is_no_token_and_tag_is_an_error_with_its_line(tmp_path: Path):
    (tmp_path / "a.conll").write_text("Der O\nBGH\n")
    with pytest.raises(UserError, match=r"a\.conll:2: `BGH` is not `token tag`"):
        list(ner_tagging(tmp_path / "a.conll"))


WORDS = st.lists(st.text(alphabet="aBü:;.-§1", min_size=1, max_size=5), min_size=1, max_size=4).map(" ".join)
TAGS = st.lists(st.tuples(st.sampled_from(sorted(LABELS_DE.values())), WORDS), max_size=5)


@given(TAGS)
def test_what_is_written_is_read_back(tags: list[tuple[str, str]]):
    assert parse_tags(format_tags(tags)) == tags


@given(TAGS, TAGS)
def test_scores_are_symmetric_and_whole_for_the_same_answer(one: list[tuple[str, str]], other: list[tuple[str, str]]):
    a, b = format_tags(one), format_tags(other)
    there, back = tag_scores([a], [b]), tag_scores([b], [a])
    assert (there["precision"], there["f1"]) == (back["recall"], back["f1"])
    assert tag_scores([a], [a])["f1"] == (1.0 if one else 0.0)


def test_a_repeated_line_costs_precision_and_a_wrong_label_both():
    gold = ["Gericht: BGH\nStadt: Köln", NO_ENTITY]
    scores = tag_scores(["Gericht: BGH\nGericht: BGH\nLand: Köln", "Stadt: Bonn"], gold)
    assert (scores["precision"], scores["recall"], scores["n"]) == (1 / 4, 1 / 2, 2)
    assert scores["f1"] == pytest.approx(2 / 6)
    assert scores["labels"]["Gericht"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "entities": 1}
    assert tag_scores(["Unsinn ohne Zeilen"], gold[:1])["f1"] == 0.0
    with pytest.raises(ValueError, match="zip"):
        tag_scores([], gold)


def test_clauses_are_records_with_their_type_and_contract_and_the_rest_is_counted(tmp_path: Path):
    rows = [
        {"Parties": [f"A{i}"], "Audit Rights": [f"may audit  {i}", "x" * 50],
         "Insurance": [f"insures {i}", f"both {i}"], "Exclusivity": [f"both {i}"],
         "Rare": [f"rare {i}"] if i < 2 else []}
        for i in range(5)
    ]  # fmt: skip
    table = write_table(tmp_path / "c.csv", rows)
    records, left_out = cuad_clause_records(table, max_characters=40, min_examples=3)
    assert Counter(r["label"] for r in records) == {"Audit Rights": 5, "Insurance": 5}
    assert {"clause": "may audit 3", "label": "Audit Rights", "file_name": "C3"} in records
    assert left_out == {"not a clause": 5, "too long": 5, "two types": 10, "repeated": 0, "rare type": 2}
    both, left_out = cuad_clause_records(table, max_characters=40, min_examples=3, two_types=True)
    assert len(both) == 20
    assert left_out["two types"] == 0


def test_a_table_of_something_else_is_refused(tmp_path: Path):
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column `Filename`"):
        cuad_clause_records(tmp_path / "c.csv")


def test_the_real_sets_are_read_and_their_own_answers_score_full_marks(shared_data):
    path = shared_data("legal-ner-de/ler_dev.conll.gz")
    records = list(ner_tagging(path))
    assert len(records) == 6666
    answers = [record["answer"] for record in records]
    assert sum(len(parse_tags(answer)) for answer in answers) == sum(r["entities"] for r in records) == 5044
    assert tag_scores(answers, answers)["f1"] == 1.0
    clauses, left_out = cuad_clause_records(shared_data("cuad/master_clauses.csv.gz"))
    assert len(clauses) + sum(left_out.values()) == 13_092
    assert min(Counter(r["label"] for r in clauses).values()) >= 30
