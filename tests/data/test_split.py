"""Train and validation never share a text, whatever the documents; the split is sound from 1 document on."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.data.split import RANKED, Splitter, document_id, last_tenth, lowest_hashes, tail_split

Rows = dict[str, list[str]]


def split(texts: list[str], share: float = 0.1, rule: str = "hash", sides: dict[bytes, int] | None = None) -> Rows:
    out: Rows = defaultdict(list)

    def write(name: str, identity: bytes, text: str) -> None:
        assert identity == document_id(text)
        out[name].append(text)

    folder = Path(tempfile.gettempdir())
    with Splitter(share, rule, {} if sides is None else sides, write, folder) as splitter:  # type: ignore[arg-type]
        for text in texts:
            splitter.add(document_id(text), text)
        splitter.finish()
    return out


few_words = st.lists(st.sampled_from(["a", "b", "a b", "x y z " * 4, "\n", "a\n\nb", "b " * 30]), max_size=12)


@given(st.lists(few_words.map(" ".join), max_size=70), st.sampled_from(["hash", "tail"]), st.floats(0.01, 0.45))
def test_no_text_stands_in_both_splits_even_with_duplicates_and_pieces(
    texts: list[str], rule: str, share: float
) -> None:
    sides: dict[bytes, int] = {}
    first, second = split(texts, share, rule, sides), split(texts[::-1], share, rule, sides)  # two sources
    train, validation = ({*first[k], *second[k]} for k in ("train", "validation"))
    assert not train & validation


@given(st.lists(st.text(min_size=1), max_size=60), st.sampled_from(["hash", "tail"]))
def test_not_a_character_is_lost(texts: list[str], rule: str) -> None:
    out = split(texts, rule=rule)
    assert sum(map(len, out["train"] + out["validation"])) == sum(map(len, texts))


def test_one_book_gives_its_last_tenth() -> None:
    book = "\n\n".join(f"Paragraph {i}. " + "word " * 50 for i in range(200))
    out = split([book])
    assert out["train"][0] + out["validation"][0] == book
    assert len(out["validation"][0]) / len(book) == pytest.approx(0.1, abs=0.01)
    assert out["validation"][0].startswith("Paragraph")


@given(st.text(alphabet="ab \n", max_size=300))
def test_the_last_tenth_is_cut_at_a_border_and_loses_nothing(text: str) -> None:
    head, tail = last_tenth(text)
    assert head + tail == text
    assert 0.09 * len(text) - 1 <= len(tail) <= 0.16 * len(text) + 1


@given(st.text(max_size=300), st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.45]))
def test_the_tail_split_is_exact_by_characters(text: str, share: float) -> None:
    head, tail = tail_split(text, share)
    assert head + tail == text
    assert len(head) == len(text) * round(100 - 100 * share) // 100


def test_fifty_to_a_thousand_documents_give_the_share_of_bytes_in_whole_documents() -> None:
    texts = [f"book {i} " + "word " * (50 + 37 * i % 400) for i in range(99)]
    out = split(texts, 0.05)
    assert sorted(out["train"] + out["validation"]) == sorted(texts)
    held = sum(map(len, out["validation"])) / sum(map(len, texts))
    assert 0.05 <= held <= 0.075


def test_one_huge_document_among_small_ones_is_not_the_validation_set() -> None:
    sizes = {document_id(str(i)): 1000 for i in range(99)} | {bytes(16): 10_000_000}
    assert bytes(16) not in lowest_hashes(sizes, 0.05)
    assert len(lowest_hashes({bytes(16): 5, b"\1" * 16: 5}, 0.001)) == 1, "never empty"


def test_with_many_documents_the_side_depends_on_the_document_alone() -> None:
    texts = [f"document {i}" for i in range(RANKED + 2000)]
    out, more = split(texts, 0.1), split([*texts[: RANKED + 500], "new"], 0.1)
    assert set(more["validation"]) - {"new"} <= set(out["validation"])
    assert set(more["train"]) - {"new"} <= set(out["train"])
    # binomial: 3000 draws at 0.1, sd 16.4; six of them, false alarm 2e-9 (and the ids are fixed anyway)
    assert abs(len(out["validation"]) - 300) < 100


@pytest.mark.parametrize("n", [30, 400, RANKED + 10])
def test_order_is_kept(n: int) -> None:
    texts = [f"document {i} with some words in it" for i in range(n)]
    order = {text: i for i, text in enumerate(texts)}
    out = split(texts)
    if n >= 50:
        for rows in out.values():
            assert [order[t] for t in rows] == sorted(order[t] for t in rows)
    else:
        assert [h + t for h, t in zip(out["train"], out["validation"], strict=True)] == texts
