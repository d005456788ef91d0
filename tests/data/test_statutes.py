"""Questions about laws: verbatim quotes, citations that hold, splits without leaks, and good German by shape."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.data import statutes
from smallm.data.law_text import read_laws
from smallm.data.statutes import MAX_CONTEXT, REFUSAL, questions_of, records, records_of_splits, split_of
from smallm.data.statutes_german import inverted, lowered, named, polished, resolved
from smallm.data.statutes_parse import Law, parse_law, sentences

LAW = """---
Title: Gesetz über den Verleih von Leitern und
  Gerüsten
jurabk: LeitG 2020
slug: leitg_2020
---

# Gesetz über den Verleih von Leitern und Gerüsten (LeitG 2020)

Ausfertigungsdatum
:   2020-01-01

## Abschnitt 1 - Allgemeines

### § 1 Begriffsbestimmungen

(1) Leiter im Sinne dieses Gesetzes ist jedes Gerät mit Sprossen,
das dem Auf- und Absteigen dient.[^F1]

(2) Im Sinne dieses Gesetzes sind

1.  Gerüste: Bauwerke auf Zeit, die von Personen
    betreten werden;


2.  Verleiher: jede Person, die Leitern oder Gerüste gewerblich
    überlässt.

(3) Der Verleiher teilt die Nummer des Gerätes mit, die darauf angebracht ist (Gerätenummer).

[^F1]: Fußnote über zwei
    Zeilen.

### § 2 (weggefallen)

### § 3 Anzeige des Verleihs

(1) Der Beginn des Verleihs ist der zuständigen Behörde innerhalb von zwei Wochen nach Eröffnung des
Betriebs anzuzeigen. Die Behörde kann die Frist verlängern.

(2) Der Verleih ist zu untersagen, wenn Tatsachen die Annahme rechtfertigen, dass Geräte nicht geprüft werden.

(3) Die Gebühr nach Absatz 1 beträgt für jede Anzeige 25 Euro.

(4) Es gelten:

*    *   Leiter

    *   5 Euro

### § 4 Aufbewahrung der Unterlagen

Die Unterlagen der Prüfung sind zehn Jahre aufzubewahren.

### § 5 Rücknahme beschädigter Geräte

Ist ein Gerät ohne Verschulden beschädigt worden, so kann der Verleiher keinen Ersatz des Schadens verlangen.

### § 6 Bußgeldvorschriften

(1) Ordnungswidrig handelt, wer vorsätzlich oder fahrlässig

1.  entgegen § 3 Absatz 1 eine Anzeige nicht erstattet oder

2.  entgegen § 4 Unterlagen nicht aufbewahrt.

(2) Die Ordnungswidrigkeit kann mit einer Geldbuße bis zu fünftausend Euro geahndet werden.

### § 7 Strafvorschriften

Wer eine Leiter ansägt, wird mit Freiheitsstrafe bis zu zwei Jahren oder mit Geldstrafe bestraft.

## Anlage (zu § 1)

### § 8 Das ist kein Abschnitt des Gesetzes
"""


def many_laws(number: int) -> list[tuple[str, str]]:
    """Laws that differ in name, matter and figures; every third repeats the sentence of another."""
    things = ["Leiter", "Brücken", "Kutschen", "Mühlen", "Glocken", "Kähne", "Zelte", "Öfen", "Brunnen", "Uhren"]
    laws = []
    for i in range(number):
        thing = f"{things[i % 10]}{'abcdefghijklmnopqrstuvwxyz'[i // 10 % 26]}"
        parts = [f"---\njurabk: {thing}G{i}\nTitle: Gesetz über {thing}\n---\n"]
        for n in range(1, 13):
            subject = f"{thing}{'abcdefghijkl'[n - 1]}schein"
            parts.append(
                f"\n## § {n} Erteilung von {subject}\n\n(1) Der {subject} ist binnen {n + 1} Wochen zu erteilen."
            )
            parts.append(f"\n(2) Der {subject} ist zu versagen, wenn die Prüfung von {thing} {n} Mängel ergeben hat.\n")
        if i % 3 == 0:
            parts.append(
                "\n## § 50 Gleiche Formel\n\nDer Antrag ist innerhalb eines Monats bei der Stelle zu stellen.\n"
            )
        laws.append((f"law{i}", "\n".join(parts)))
    return laws


@pytest.fixture(scope="module")
def law() -> Law:
    return parse_law(LAW)


@pytest.fixture(scope="module")
def found(law: Law) -> list[dict]:
    return [r for seed in range(12) for r in questions_of(law, seed=seed)]


def asking(found: list[dict], words: str) -> dict:
    return next(r for r in found if words in r["question"] and r["answerable"])


# ---- reading -------------------------------------------------------------------------------------------------------


def test_sections_paragraphs_and_items_are_read_and_what_is_no_prose_is_left_out(law: Law):
    assert (law.abbreviation, law.slug) == ("LeitG 2020", "leitg_2020")
    assert law.title == "Gesetz über den Verleih von Leitern und Gerüsten"
    assert [s.number for s in law.sections] == ["§ 1", "§ 3", "§ 4", "§ 5", "§ 6", "§ 7"]
    first = law.sections[0]
    assert first.title == "Begriffsbestimmungen"
    assert first.paragraphs[0].text.endswith("das dem Auf- und Absteigen dient.")
    assert [mark for mark, _ in first.paragraphs[1].items] == ["1.", "2."]
    assert first.paragraphs[1].text.startswith("Im Sinne dieses Gesetzes sind 1. Gerüste: Bauwerke auf Zeit, die von")
    assert [p.number for p in law.sections[1].paragraphs] == ["1", "2", "3"]  # (4) is a table
    assert "Fußnote" not in " ".join(p.text for s in law.sections for p in s.paragraphs)


def test_a_section_under_an_article_is_named_with_it():
    law = parse_law("# Art 1\n\nErster Satz hier.\n\n## § 2 Titel\n\nText.\n\n# Art 2 Name\n\nMehr.", "EG")
    assert [(s.number, s.title) for s in law.sections] == [("Art 1", ""), ("Art 1 § 2", "Titel"), ("Art 2", "Name")]


def test_a_law_without_a_name_is_an_error_that_says_what_to_do():
    with pytest.raises(UserError, match="jurabk"):
        parse_law("# § 1\n\nText.")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Nach Abs. 2 Nr. 3 gilt das. Die Behörde prüft es.", 2),
        ("Er endet am 31. Dezember 2020. Das Nähere regelt § 5.", 2),
        ("Es gilt § 3 Absatz 2. Die Frist läuft.", 2),
        ("Mit dem 18. Lebensjahr endet es.", 1),
        ("Nach dem Gesetz vom 1. Mai 1999 (BGBl. I S. 5. Teil) gilt es.", 1),
        ("Das gilt, z. B. Für Öfen; die Behörde prüft.", 1),
    ],
)
def test_sentences_end_where_german_law_ends_them(text: str, parts: int):
    said = sentences(text)
    assert len(said) == parts
    assert " ".join(said) == text


@given(st.text(alphabet="aB. ;§1(Ü\n", max_size=60))
def test_sentences_lose_no_character_but_blanks(text: str):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_in_words(text: str):
    law = parse_law(text, "X")
    for record in questions_of(law):
        assert record["question"].endswith("?")


# ---- German --------------------------------------------------------------------------------------------------------


def test_a_main_clause_is_inverted_and_anything_else_is_left():
    assert inverted("Der Antrag ist binnen eines Monats zu stellen") == (
        "der Antrag",
        "ist",
        "binnen eines Monats zu stellen",
    )
    assert inverted("Er ist binnen eines Monats zu stellen") is None
    assert inverted("Ist er krank, so gilt das") is None
    parts = inverted("Geräte, die undicht sind, müssen geleert werden")
    assert parts == ("Geräte, die undicht sind,", "müssen", "geleert werden")
    assert lowered("Zuständige Behörde") != "Zuständige Behörde"
    assert lowered("Anträge Minderjähriger") is None


def test_references_get_their_section_and_open_ones_are_refused():
    assert resolved("in den Fällen des Absatzes 1", "§ 26") == "in den Fällen des § 26 Absatz 1"
    assert resolved("nach den Absätzen 1 und 2", "Art 3") == "nach Art. 3 Absatz 1 und 2"
    assert resolved("nach § 5 Absatz 2 Satz 1", "§ 26") == "nach § 5 Absatz 2 Satz 1"
    assert resolved("in den Fällen des Satzes 2", "§ 26") is None
    named_before = "entgegen § 19 Absatz 1, auch in Verbindung mit Absatz 3, wirbt"
    assert resolved(named_before, "§ 35") == named_before
    assert resolved("nach § 19 in den Fällen des Absatzes 2", "§ 35") is None
    assert polished("Wer handelt 1. schnell") is None


def test_a_law_is_named_by_its_abbreviation_where_its_gender_is_sure():
    assert named(parse_law("x", "BGB")).dative == "diesem Regelwerk"
    assert named(parse_law("---\njurabk: KmV\nTitle: Verordnung über Kontaminanten\n---\n")).genitive == "der KmV"
    assert named(parse_law("---\njurabk: FFG\nTitle: Gesetz zum Film\n---\n")).nominative == "das FFG"
    assert named(parse_law("---\njurabk: Abc\nTitle: Verordnung zum Film\n---\n")).dative == "dieser Verordnung"


# ---- questions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "citation", "quote"),
    [
        ("„Leiter“", "§ 1 Abs. 1 LeitG 2020", "Leiter im Sinne dieses Gesetzes ist jedes Gerät"),
        ("„Gerüste“", "§ 1 Abs. 2 Nr. 1 LeitG 2020", "Gerüste: Bauwerke auf Zeit, die von Personen betreten werden"),
        ("„Gerätenummer“", "§ 1 Abs. 3 LeitG 2020", "Der Verleiher teilt die Nummer"),
        (
            "Innerhalb welcher Frist ist der Beginn des Verleihs der zuständigen Behörde nach Eröffnung des Betriebs "
            "anzuzeigen?",
            "§ 3 Abs. 1 LeitG 2020",
            "Der Beginn des Verleihs",
        ),
        ("Wer kann die Frist verlängern", "", ""),
        ("Wann ist der Verleih zu untersagen?", "§ 3 Abs. 2 LeitG 2020", "Der Verleih ist zu untersagen, wenn"),
        ("Wie hoch ist die Gebühr nach § 3 Absatz 1 für jede Anzeige?", "§ 3 Abs. 3 LeitG 2020", "Die Gebühr"),
        ("Wie lange sind die Unterlagen der Prüfung aufzubewahren?", "§ 4 LeitG 2020", "Die Unterlagen"),
        (
            "Unter welcher Voraussetzung kann der Verleiher keinen Ersatz des Schadens verlangen?",
            "§ 5 LeitG 2020",
            "Ist ein Gerät",
        ),
        ("entgegen § 4 Unterlagen nicht aufbewahrt?", "§ 6 Abs. 1 Nr. 2 LeitG 2020", "entgegen § 4 Unterlagen"),
        ("Geldbuße kann eine Ordnungswidrigkeit nach § 6", "§ 6 Abs. 2 LeitG 2020", "Die Ordnungswidrigkeit kann"),
        ("Wie wird bestraft, wer eine Leiter ansägt?", "§ 7 LeitG 2020", "Wer eine Leiter ansägt, wird mit"),
    ],
)
def test_each_rule_asks_quotes_and_cites(found: list[dict], words: str, citation: str, quote: str):
    if not citation:  # too short to be asked: five words would fit half of the law
        assert not any(words in r["question"] for r in found)
        return
    record = asking(found, words)
    assert record["citation"] == citation
    assert record["quote"].startswith(quote)
    assert record["answer"] == f"„{record['quote']}“ ({citation})"


def test_titles_are_asked_one_way_or_the_other_and_cited_by_their_section(found: list[dict]):
    titles = [r for r in found if r["kind"] == "title"]
    assert {r["quote"] for r in titles} >= {"Anzeige des Verleihs", "Aufbewahrung der Unterlagen"}
    for record in titles:
        assert re.fullmatch(r"§ \d LeitG 2020", record["citation"])


def holds(record: dict, room: int = MAX_CONTEXT) -> None:
    """What is true of every record."""
    assert 1 <= len(record["passages"]) <= 3
    assert len(record["context"]) <= room
    assert all(len(p["text"]) <= 900 for p in record["passages"])
    if not record["answerable"]:
        assert (record["answer"], record["quote"], record["citation"]) == (REFUSAL, "", "")
        assert record["kind"].startswith("unanswerable-")
        return
    assert record["context"].count(record["quote"]) >= 1
    section = re.sub(r"^Art\. ", "Art ", re.split(r" (?:Abs|Nr|Buchst)\. ", record["citation"])[0])
    section = section.removesuffix(" " + record["law"])
    number = re.search(r" Abs\. (\w+)", record["citation"])
    mark = f"({number[1]}) " if number else ""
    where = [
        p
        for p in record["passages"]
        if p["section"] == section and p["text"].startswith(mark) and record["quote"] in f"{p['title']}\n{p['text']}"
    ]
    assert len(where) == 1, record
    assert sum(record["quote"] in p["text"] for p in record["passages"]) <= 1


def test_every_record_quotes_one_given_passage_that_its_citation_names(found: list[dict]):
    for record in found:
        holds(record)


def test_what_is_withheld_is_in_no_passage_of_an_unanswerable_record(found: list[dict]):
    known = {r["question"]: r["quote"] for r in found if r["answerable"]}
    hidden = [r for r in found if not r["answerable"] and r["question"] in known]
    assert len(hidden) > 10
    for record in hidden:
        assert known[record["question"]] not in record["context"]


def test_two_definitions_of_one_word_are_not_asked_about():
    two = "\n".join(f"# § {n}\n\nOfen im Sinne dieses Abschnitts ist jedes Gerät, das {n} Türen hat.\n" for n in (1, 2))
    one = "# § 1\n\nOfen im Sinne dieses Abschnitts ist jedes Gerät, das 1 Tür hat.\n"
    assert questions_of(parse_law(one, "OfenG"))
    assert not questions_of(parse_law(two, "OfenG"))


def test_a_list_too_long_to_be_given_is_shown_around_the_item_that_is_asked_for():
    items = "\n\n".join(
        f"{n}.  „Gerät {'ABCDEFGHIJKLMNOPQRST'[n - 1]}“ ein Gerät, das {'sehr ' * 12}nützlich ist;"
        for n in range(1, 20)
    )
    law = parse_law(f"# § 1 Begriffsbestimmungen\n\nIm Sinne dieses Gesetzes ist\n\n{items}\n", "GerG")
    for record in questions_of(law):
        if record["kind"] == "definition":
            assert record["quote"] in record["context"]
            assert "…" in record["context"]
            assert len(record["context"]) < 1200


def test_a_smaller_context_gives_shorter_records_and_none_is_refused(law: Law):
    for room in (300, 600):
        made = questions_of(law, max_context_characters=room)
        assert made
        for record in made:
            holds(record, room)
    with pytest.raises(UserError, match="200 at least"):
        questions_of(law, max_context_characters=50)


def test_the_same_seed_gives_the_same_records_and_another_gives_others(law: Law):
    assert questions_of(law, seed=3) == questions_of(law, seed=3)
    assert questions_of(law, seed=3) != questions_of(law, seed=4)


# ---- records of many laws ------------------------------------------------------------------------------------------


def test_a_law_is_in_one_split_with_its_other_years():
    assert {split_of(f"X{i}G") for i in range(200)} == {"train", "validation", "test"}
    for i in range(50):
        assert split_of(f"X{i}G") == split_of(f"X{i}G 1979") == split_of(f"X{i}G 2017")
    assert split_of("2017") in ("train", "validation", "test")


def test_splits_share_no_law_and_no_quote_and_a_fifth_is_unanswerable():
    made = records_of_splits(many_laws(90), 0, {"train": 1000, "validation": 100, "test": 100})
    laws = [{r["law"] for r in rows} for rows in made.values()]
    assert not (laws[0] & laws[1] | laws[0] & laws[2] | laws[1] & laws[2])
    for split, rows in made.items():
        assert {split_of(r["law"]) for r in rows} == {split}
        assert len({r["id"] for r in rows}) == len(rows)
        for start in range(0, len(rows), 5):
            assert sum(not r["answerable"] for r in rows[start : start + 5]) == 1
    quotes = [{r["quote"].lower() for r in rows if r["answerable"] and r["kind"] != "title"} for rows in made.values()]
    assert not (quotes[0] & quotes[1] | quotes[0] & quotes[2] | quotes[1] & quotes[2])
    assert len({r["kind"] for r in made["train"]}) >= 6


def test_a_formula_of_many_laws_is_asked_about_once_and_in_the_first_split_that_has_it():
    pools = statutes._pools(many_laws(90), 0, MAX_CONTEXT)
    holding = [
        split
        for split, rows in pools.items()
        for r in rows
        if r["question"].startswith("Innerhalb welcher Frist ist der Antrag")
    ]
    splits = {split_of(parse_law(text, name).abbreviation) for name, text in many_laws(90)[::3]}
    assert splits >= {"validation", "train"}
    assert holding == [next(split for split in statutes.SPLITS if split in splits)]


def test_a_longer_draw_begins_with_a_shorter_one():
    assert records(many_laws(30), 5, 60)[:25] == records(many_laws(30), 5, 25)


def test_more_records_than_exist_and_unknown_splits_are_errors():
    with pytest.raises(UserError, match=r"statutes: these laws give [\d,]+ distinct train items"):
        records(many_laws(3), 0, 5000)
    with pytest.raises(UserError, match="splits are test, validation, train"):
        records(many_laws(3), 0, 5, split="dev")


def test_laws_are_read_from_records_and_from_a_folder(tmp_path: Path):
    (tmp_path / "laws.jsonl").write_text('{"id": "a", "text": "# § 1"}\n{"id": "b"}\n', "utf-8")
    laws = read_laws(tmp_path / "laws.jsonl")
    assert next(laws) == ("a", "# § 1")
    with pytest.raises(UserError, match=r"laws\.jsonl:2: no law"):
        next(laws)
    folder = tmp_path / "gesetze" / "b" / "bgb"
    folder.mkdir(parents=True)
    (folder / "index.md").write_text("# § 1 Titel", "utf-8")
    (tmp_path / "gesetze" / "README.md").write_text("Lies mich", "utf-8")
    assert list(read_laws(tmp_path / "gesetze")) == [("bgb", "# § 1 Titel")]
    (tmp_path / "gesetze" / "a").mkdir()
    with pytest.raises(UserError, match=r"no \*\.md file"):
        list(read_laws(tmp_path / "gesetze" / "a"))


@pytest.mark.slow
def test_german_federal_law_gives_twenty_thousand_records_to_train_and_two_thousand_to_test(shared_data):
    laws = read_laws(shared_data("gesetze-de.jsonl.gz"))
    made = records_of_splits(laws, 0, {"train": 20_000, "validation": 2_000, "test": 2_000})
    quotes: dict[str, set[str]] = {}
    for split, rows in made.items():
        assert {split_of(r["law"]) for r in rows} == {split}
        assert len({r["id"] for r in rows}) == len({(r["question"], r["context"]) for r in rows}) == len(rows)
        assert sum(not r["answerable"] for r in rows) == len(rows) // 5
        quotes[split] = {r["quote"].lower() for r in rows if r["answerable"] and r["kind"] != "title"}
        for record in rows:
            holds(record)
        for kind in ("definition", "deadline", "condition", "fine", "who", "title"):
            assert Counter(r["kind"] for r in rows)[kind] >= 50
    assert not quotes["train"] & (quotes["test"] | quotes["validation"])
