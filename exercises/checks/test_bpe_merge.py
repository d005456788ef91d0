"""Your merges against those that the tokenizers library learns, through smallm.tokenizer.bpe.train_bpe."""

from __future__ import annotations

import json
from collections import Counter
from types import ModuleType

from tokenizers import Tokenizer

from smallm.tokenizer.bpe import train_bpe

TEXT = (
    "The brave girl and the brave boy went to the river. The river was deep, and the boat was old. "
    "They rowed the old boat over the deep river, and the girl was brave. Then they went to the old house."
)


def words_of(tokenizer: Tokenizer, ids: dict[str, int]) -> dict[tuple[int, ...], int]:
    """The text's distinct words as ids of single characters, and their numbers."""
    assert tokenizer.pre_tokenizer is not None
    found = Counter(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(TEXT))
    return {tuple(ids[character] for character in word): n for word, n in found.items()}


def trained() -> tuple[Tokenizer, dict[str, int], list[tuple[int, int]]]:
    tokenizer = train_bpe(iter([TEXT]), 1000)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    return tokenizer, model["vocab"], [(model["vocab"][a], model["vocab"][b]) for a, b in merges]


def test_the_learned_merges_are_those_of_tokenizers_in_their_order(exercise: ModuleType) -> None:
    tokenizer, ids, expected = trained()
    words, found = words_of(tokenizer, ids), []
    new = max(ids.values()) - len(expected) + 1
    while (pair := exercise.best_pair(words)) is not None:
        found.append(pair)
        words = {exercise.merge(word, pair, new): n for word, n in words.items()}
        new += 1
    assert found == expected


def test_merge_after_merge_is_the_encoding(exercise: ModuleType) -> None:
    tokenizer, ids, merges = trained()
    first_new = max(ids.values()) - len(merges) + 1
    word = tuple(ids[character] for character in "brave")
    for i, pair in enumerate(merges):
        word = exercise.merge(word, pair, first_new + i)
    assert list(word) == tokenizer.encode("brave", add_special_tokens=False).ids


def test_what_was_replaced_is_not_looked_at_again(exercise: ModuleType) -> None:
    assert exercise.merge((1, 1, 1), (1, 1), 9) == (9, 1)
    assert exercise.merge((1, 2, 1, 2, 3), (1, 2), 9) == (9, 9, 3)
    assert exercise.merge((), (1, 2), 9) == ()


def test_frequent_words_count_more_and_a_pair_that_stands_once_teaches_nothing(exercise: ModuleType) -> None:
    assert exercise.best_pair({(5, 6): 3, (1, 2): 2, (0, 1, 2): 1}) == (1, 2)
    assert exercise.best_pair({(5, 6): 1, (1, 2): 1}) is None
    assert exercise.best_pair({(5,): 10}) is None
