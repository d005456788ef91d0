"""Laws of text metrics: SQuAD's exact match and F1, sacrebleu's corpus scores, scikit-learn's macro F1, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.evaluate.metrics import METRICS
from smallm.evaluate.task_keys import Kind
from smallm.evaluate.text_metrics import (
    TextScore,
    exact_match,
    found_label,
    library_metric,
    macro_f1,
    macro_f1_statistics,
    normalise,
    word_f1,
)

WORDS = st.lists(st.sampled_from(["the", "a", "cat", "dog", "sat", ".", "big", "Katze"]), max_size=8).map(" ".join)


def test_squad_normalisation_drops_articles_of_english_only():
    assert normalise("The  Cat, an animal!") == "cat animal"
    assert normalise("Die Katze, an  der Wand!", "de") == "die katze an der wand"
    assert normalise("$1,496.5") == "14965"


@pytest.mark.parametrize(
    ("said", "accepted", "match", "f1"),
    [
        ("the cat", ["cat"], 1.0, 1.0),
        ("a black cat", ["cat"], 0.0, 2 / 3),
        ("dog", ["cat", "dog"], 1.0, 1.0),
        ("", ["cat"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),  # nothing is left of either
        ("cat cat", ["cat"], 0.0, 2 / 3),
    ],
)
def test_exact_match_and_f1_by_hand(said: str, accepted: list[str], match: float, f1: float):
    assert exact_match(said, accepted) == match
    assert word_f1(said, accepted) == pytest.approx(f1)


@given(WORDS, WORDS)
def test_f1_is_symmetric_and_one_where_exact_match_is(a: str, b: str):
    assert word_f1(a, [b]) == pytest.approx(word_f1(b, [a]))
    if exact_match(a, [b]):
        assert word_f1(a, [b]) == 1


def test_the_label_that_stands_first_is_found_as_a_whole_word():
    labels = ["No", "Yes", "Not sure"]
    assert found_label("Yes, no doubt", labels) == 1
    assert found_label("Nothing says yes", labels) == 1
    assert found_label("not SURE at all", labels) == 2
    assert found_label("maybe", labels) is None
    assert found_label("no. yes.", labels) == 0


@pytest.mark.parametrize("name", ["bleu", "chrf"])
@given(st.lists(st.tuples(WORDS, st.lists(WORDS.filter(str.strip), min_size=1, max_size=2)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_summed_statistics_give_sacrebleus_corpus_score(name: str, rows: list[tuple[str, list[str]]]):
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    said = [row[0] for row in rows]
    references = [row[1] for row in rows]
    scorer = TextScore(name)
    statistics_NS = scorer.statistics(said, references)
    most = max(map(len, references))
    streams = [[r[i] if i < len(r) else r[0] for r in references] for i in range(most)]
    theirs = (BLEU() if name == "bleu" else CHRF()).corpus_score(said, streams)
    assert scorer.score(statistics_NS.sum(0, keepdims=True))[0] == pytest.approx(theirs.score)
    # Two halves summed are the whole, as the bootstrap takes it.
    assert scorer.score(np.stack([statistics_NS.sum(0)] * 2)).tolist() == pytest.approx([theirs.score] * 2)


def test_the_signature_is_sacrebleus():
    scorer = TextScore("bleu")
    scorer.statistics(["a b"], [["a b"]])
    assert scorer.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3) | st.none()), min_size=1, max_size=30))
@settings(deadline=None)  # the first call imports scikit-learn
def test_macro_f1_is_scikit_learns(rows: list[tuple[int, int | None]]):
    from sklearn.metrics import f1_score

    gold, said = [row[0] for row in rows], [row[1] for row in rows]
    ours = macro_f1(macro_f1_statistics(gold, said, 4).sum(0, keepdims=True))[0]
    theirs = f1_score(gold, [9 if s is None else s for s in said], labels=range(4), average="macro", zero_division=0)
    assert ours == pytest.approx(theirs)


def test_every_metric_is_for_some_kind_and_says_which_way_is_better():
    kinds = set(Kind.__args__)
    for name, info in METRICS.items():
        assert info.name == name
        assert info.title
        assert info.kinds
        assert set(info.kinds) <= kinds
        assert info.better in ("higher", "lower")


def test_a_metric_of_the_evaluate_library_gives_one_number(monkeypatch: Any):
    import evaluate

    class Loaded:
        def compute(self, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
            return {"other": 1, "mine": sum(p == r for p, r in zip(predictions, references, strict=True))}

    monkeypatch.setattr(evaluate, "load", lambda name: Loaded())
    assert library_metric("mine", [1, 2], [1, 3]) == 1


def test_a_metric_of_the_evaluate_library_that_cannot_be_had_is_the_users_matter(monkeypatch: Any):
    import evaluate

    def load(name: str) -> Any:
        raise FileNotFoundError("no module")

    monkeypatch.setattr(evaluate, "load", load)
    with pytest.raises(UserError, match=r"evaluate:rouge: cannot be had \(no module\)"):
        library_metric("rouge", ["a"], ["b"])
