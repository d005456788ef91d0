"""Metrics of generated text: exact match and F1 of words, labels found in answers, BLEU, chrF and macro-F1.

Exact match and F1 are SQuAD's (v1.1 evaluation script, Rajpurkar et al. 2016): lower case, ASCII punctuation removed,
blanks made single, the best of the accepted answers; the articles a, an, the are removed for English answers only.
BLEU and chrF are sacrebleu's, summed over the corpus; of single items they are its sentence scores.
Letters: N items, S sufficient statistics, R resamples.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(text: str, language: str = "en") -> str:
    """SQuAD's normalisation; articles are removed when `language` is English."""
    text = text.lower().translate(_PUNCTUATION)
    if language == "en":
        text = _ARTICLES.sub(" ", text)
    return " ".join(text.split())


def exact_match(prediction: str, accepted: Sequence[str], language: str = "en") -> float:
    """1.0 when the prediction equals an accepted answer after normalising both."""
    said = normalise(prediction, language)
    return float(any(said == normalise(answer, language) for answer in accepted))


def word_f1(prediction: str, accepted: Sequence[str], language: str = "en") -> float:
    """The largest F1 of the bags of words over the accepted answers; of two empty bags 1 (SQuAD 2.0's rule)."""
    said = normalise(prediction, language).split()
    return max(_f1(said, normalise(answer, language).split()) for answer in accepted)


def _f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def found_label(prediction: str, labels: Sequence[str]) -> int | None:
    """The index of the label that stands first in the text (whole words, any case); the longer of two at one place."""
    best: tuple[int, int, int] | None = None
    for index, label in enumerate(labels):
        match = re.search(rf"(?<!\w){re.escape(label.strip())}(?!\w)", prediction, re.IGNORECASE)
        if match and (best is None or (match.start(), -len(label)) < best[:2]):
            best = (match.start(), -len(label), index)
    return None if best is None else best[2]


def class_of(answer: str, labels: Sequence[str]) -> int | None:
    """The index of the label that an answer is, or (one that gives reasons too) that stands in it first."""
    answer = answer.strip()
    return labels.index(answer) if answer in labels else found_label(answer, labels)


# ---- corpus metrics: statistics of each item, and the score of their sums ------------------------------------------

ScoreOfSums = Callable[[np.ndarray], np.ndarray]


class TextScore:
    """BLEU or chrF by sacrebleu: each item's sufficient statistics, its own score, the score of sums, the signature.

    `statistics` may be called once or in parts; all answers have the same number of references per call (missing ones
    repeat the first, which changes neither metric's matches).
    """

    def __init__(self, name: str) -> None:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF

        self.name = name
        self.metric: Any = BLEU() if name == "bleu" else CHRF()
        self.sentence: Any = BLEU(effective_order=True) if name == "bleu" else self.metric

    def statistics(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """statistics_NS of the answers; sums over items give the corpus score."""
        most = max(len(accepted) for accepted in references)
        streams = [[a[i] if i < len(a) else a[0] for a in references] for i in range(most)]
        # sacrebleu's own paired tests resample these (sacrebleu/significance.py); its public calls only sum them.
        return np.array(self.metric._extract_corpus_statistics(list(answers), streams), np.float64)

    def score(self, sums_RS: np.ndarray) -> np.ndarray:
        """The corpus score of each row of sums."""
        return np.array(
            [self.metric._compute_score_from_stats(row).score for row in sums_RS.round().astype(int).tolist()]
        )

    def of_item(self, answer: str, accepted: Sequence[str]) -> float:
        """The sentence's score, 0 to 100: what items are sorted and compared by."""
        return float(self.sentence.sentence_score(answer, list(accepted)).score)

    @property
    def signature(self) -> str:
        """sacrebleu's, after `statistics` was called (it holds the number of references)."""
        return str(self.metric.get_signature())


def macro_f1_statistics(gold_N: Sequence[int], predicted_N: Sequence[int | None], labels: int) -> np.ndarray:
    """statistics_NS for `macro_f1`: right, predicted and gold, one column a label each (S = 3 labels)."""
    rows_NS = np.zeros((len(gold_N), 3 * labels))
    for row, gold, said in zip(rows_NS, gold_N, predicted_N, strict=True):
        row[2 * labels + gold] = 1
        if said is not None:
            row[labels + said] = 1
            row[said] = float(said == gold)
    return rows_NS


def macro_f1(sums_RS: np.ndarray) -> np.ndarray:
    """The mean over labels of 2 TP / (predicted + gold): scikit-learn's f1_score(average="macro", labels=all).

    A label that is neither predicted nor right counts 0 (scikit-learn's zero_division=0).
    """
    right, predicted, gold = np.split(sums_RS, 3, axis=1)
    below = predicted + gold
    return np.divide(2 * right, below, out=np.zeros_like(right), where=below > 0).mean(1)


def library_metric(name: str, predictions: Sequence[Any], references: Sequence[Any]) -> float:
    """The figure of a metric of the `evaluate` library (`evaluate:NAME`). UserError: not to be had, not one number."""
    from smallm.core.errors import UserError

    try:
        import evaluate

        result = evaluate.load(name).compute(predictions=list(predictions), references=list(references))
    except Exception as error:  # the library, the Hub and the metric's own code raise what they like
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"evaluate:{name}: cannot be had ({line}). The metric's code comes from the Hub; without it, use "
            "exact_match, f1, bleu, chrf, acc or macro_f1."
        ) from None
    value = (result or {}).get(name, next(iter((result or {}).values()), None))
    if isinstance(value, (list, tuple)) and value:
        value = float(np.mean(value))
    if not isinstance(value, (int, float)):
        raise UserError(f"evaluate:{name}: gives {str(result)[:80]}, no single number.")
    return float(value)
