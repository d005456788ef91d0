"""Scores of answers about laws: citations however they are written, quotes by their words, refusals counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.data.statutes import REFUSAL, questions_of
from smallm.data.statutes_parse import parse_law
from smallm.evaluate.statutes_metrics import (
    parse_citation,
    refusal_figures,
    refuses,
    score_answer,
    split_answer,
    statutes_figures,
)

RECORD = {
    "answerable": True,
    "quote": "Der Antrag ist binnen eines Monats zu stellen.",
    "citation": "§ 5 Abs. 2 BGB",
    "law": "BGB",
}
HIDDEN = {"answerable": False, "quote": "", "citation": "", "law": "BGB"}


def answer(citation: str, quote: str = RECORD["quote"]) -> str:
    return f"„{quote}“ ({citation})"


@pytest.mark.parametrize(
    "citation",
    ["§ 5 Abs. 2 BGB", "§5 Abs.2 BGB", "§ 5 Absatz 2 BGB", "§ 5 Abs. 2", "§ 5 Abs 2 bgb", "§ 5, Abs. 2 BGB."],
)
def test_a_citation_counts_however_it_is_written_and_without_its_law(citation: str):
    assert score_answer(answer(citation), RECORD) == {"citation": 1, "f1": 1.0, "refused": False}


@pytest.mark.parametrize(
    "citation", ["§ 5 BGB", "§ 5 Abs. 3 BGB", "§ 5a Abs. 2 BGB", "§ 5 Abs. 2 Nr. 1 BGB", "§ 5 Abs. 2 ZPO",
                 "Art. 5 Abs. 2 BGB", "BGB"]
)  # fmt: skip
def test_a_citation_in_part_of_more_or_of_another_law_does_not_count(citation: str):
    assert score_answer(answer(citation), RECORD)["citation"] == 0


def test_articles_sections_under_them_and_letters_are_told_apart():
    assert parse_citation("Art. 229 § 5 Abs. 1a Nr. 3 EGBGB") == ("229", "5", "1a", "3", "", "EGBGB")
    assert parse_citation("Artikel 3 Abs. 1 GG") == ("3", "", "1", "", "", "GG")
    assert parse_citation("§ 2 Buchst. b FFG 2017") == ("", "2", "", "", "b", "FFG 2017")
    assert parse_citation("§ 1 und dann § 7 Nummer 2 StPO") == ("", "7", "", "2", "", "StPO")
    assert parse_citation("ohne") is None


def test_the_law_of_a_year_is_not_the_law_of_another():
    record = {**RECORD, "citation": "§ 5 Abs. 2 FFG 2017", "law": "FFG 2017"}
    assert score_answer(answer("§ 5 Abs. 2 FFG 2017"), record)["citation"] == 1
    assert score_answer(answer("§ 5 Abs. 2 FFG 1979"), record)["citation"] == 0


def test_the_quote_is_measured_apart_from_its_citation_and_german_articles_count():
    said = score_answer(answer("§ 9 BGB", "Antrag ist binnen eines Monats zu stellen."), RECORD)
    assert said["citation"] == 0
    assert said["f1"] == pytest.approx(2 * 7 / (7 + 8))
    assert split_answer("„Nach § 3 (Satz 1) gilt es.“ (§ 4 ZPO)") == ("Nach § 3 (Satz 1) gilt es.", "§ 4 ZPO")
    assert split_answer("„Es gilt.“ § 4 ZPO") == ("Es gilt.", "§ 4 ZPO")
    assert split_answer("Es gilt.") == ("Es gilt.", "")


def test_a_refusal_is_told_from_an_answer_and_scores_by_what_was_asked():
    assert refuses(REFUSAL)
    assert refuses("das steht nicht im Text")
    assert refuses(f"{REFUSAL} Es fehlt der Absatz.")
    assert not refuses("Das steht nicht im Texte")
    assert score_answer(REFUSAL, HIDDEN) == {"citation": 1, "f1": 1.0, "refused": True}
    assert score_answer(REFUSAL, RECORD) == {"citation": 0, "f1": 0.0, "refused": True}
    assert score_answer(answer("§ 5 Abs. 2 BGB"), HIDDEN) == {"citation": 0, "f1": 0.0, "refused": False}


def test_figures_of_refusing_are_those_of_the_definition():
    pairs = [(True, False), (True, False), (True, True), (False, False), (False, True)]  # refused, answerable
    rows = [{"refused": refused, "answerable": known, "citation": 1, "f1": 0.5} for refused, known in pairs]
    figures = refusal_figures(rows)
    assert figures == {"precision": 2 / 3, "recall": 2 / 3, "f1": pytest.approx(2 / 3), "n": 5}
    assert refusal_figures([]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0}
    whole = statutes_figures(rows)
    assert (whole["citation_exact"], whole["quote_f1"], whole["answerable"], whole["n"]) == (1.0, 0.5, 2, 5)
    assert whole["refusal_recall"] == 2 / 3


def test_the_right_answer_of_every_record_scores_full_marks():
    markdown = "---\njurabk: FFG 2017\nTitle: Gesetz zum Film\n---\n" + "\n".join(
        f"# § {n}{'a' * (n % 2)} Frist der Stelle {n}\n\n(1) Der Antrag Nr. {n} (Antrag) ist in der Stelle {n} "
        f"binnen {n + 2} Tagen zu stellen.\n\n"
        f"(2) Die Stelle {n} kann den Betrieb (§ {n}) untersagen, wenn er {n} Mängel hat.\n"
        for n in range(1, 12)
    )
    found = questions_of(parse_law(markdown))
    assert len(found) > 20
    for record in found:
        score = score_answer(record["answer"], record)
        assert score == {"citation": 1, "f1": 1.0, "refused": not record["answerable"]}


@given(st.text(max_size=80))
def test_no_answer_breaks_the_scores(prediction: str):
    for record in (RECORD, HIDDEN):
        score = score_answer(prediction, record)
        assert score["citation"] in (0, 1)
        assert 0 <= score["f1"] <= 1
