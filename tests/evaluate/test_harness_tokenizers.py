"""Tokenizers that add BOS, or EOS, or nothing, under each add_bos_token: as lm-eval's `hf` with the same flag."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_models import asked, hf_model, our_model, save_tiny

from smallm.core.errors import UserError

TEXTS = [
    "Once upon a time",
    " a",
    "a\n",
    "Trailing  ",
    "你好 🙂",
    "e\u0301tude",
    "\n\n",
    "x" * 30,
    "<s> begun",
    "1 2  3",
]
PAIRS = [(context, text) for context in ("", "Question: why?\nAnswer:", "The ", "<s>A") for text in TEXTS]
FLAGS = [None, True, False]


@pytest.fixture(scope="module")
def find_directory(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]
) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def find(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_tiny(tmp_path_factory.mktemp(kind), shared_data("tokenizers"), kind, context=40)
        return made[kind]

    return find


def answered(model: Any, pairs: list[tuple[str, str]]) -> list[tuple[float, bool] | None]:
    """Each pair's answer; None where the model has none."""
    found: list[tuple[float, bool] | None] = []
    for pair in pairs:
        try:
            found.append(model.loglikelihood(asked("loglikelihood", [pair]), disable_tqdm=True)[0])
        except (AssertionError, IndexError, UserError):  # no token is left to score
            found.append(None)
    return found


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("kind", ["gpt2", "mistral", "t5"])
def test_pairs_score_as_with_hf_under_the_same_flag(
    kind: str, flag: bool | None, find_directory: Callable[[str], Path]
) -> None:
    hf = hf_model(find_directory(kind), add_bos_token=flag)
    ours = our_model(find_directory(kind), add_bos_token=flag)
    theirs = answered(hf, PAIRS)
    found = answered(ours, PAIRS)
    for pair, their, our in zip(PAIRS, theirs, found, strict=True):
        if their is not None:
            assert our == (pytest.approx(their[0], abs=1e-4), their[1]), pair
    assert sum(their is not None for their in theirs) > 0.7 * len(PAIRS)


def test_where_the_tokenizer_has_no_bos_none_is_added_and_that_is_said(
    find_directory: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = our_model(find_directory("t5"), add_bos_token=True)
    assert "its tokenizer has no BOS" in capsys.readouterr().err
    assert ours.tok_encode("Once") == ours.tokenizer.encode("Once", add_special_tokens=False)
    assert ours.scorer.settings["add_bos"] is False


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_whole_texts_and_greedy_text_are_those_of_hf_under_the_same_flag(
    kind: str, flag: bool | None, find_directory: Callable[[str], Path]
) -> None:
    hf = hf_model(find_directory(kind), add_bos_token=flag)
    ours = our_model(find_directory(kind), add_bos_token=flag)
    whole = asked("loglikelihood_rolling", [(text,) for text in [*TEXTS, " and on".join(TEXTS)]])
    theirs = hf.loglikelihood_rolling(whole, disable_tqdm=True)
    assert ours.loglikelihood_rolling(whole) == pytest.approx(theirs, rel=1e-6, abs=1e-4)
    prompts = asked("generate_until", [(text, {"until": ["\n"], "max_gen_toks": 8}) for text in TEXTS])
    # One at a time: in a batch, `hf` takes the first prompt's beginning for that of all.
    one_by_one = [hf.generate_until([prompt], disable_tqdm=True)[0] for prompt in prompts]
    assert ours.generate_until(prompts) == one_by_one


def test_a_tokenizer_that_adds_bos_and_one_that_does_not_give_different_scores(
    find_directory: Callable[[str], Path],
) -> None:
    """Else the flags of this file would prove nothing."""
    for kind in ("gpt2", "mistral"):
        with_bos, without = (our_model(find_directory(kind), add_bos_token=flag) for flag in (True, False))
        pair = asked("loglikelihood", [("Once upon", " a time")])
        assert with_bos.loglikelihood(pair)[0][0] != pytest.approx(without.loglikelihood(pair)[0][0], abs=1e-3)


def test_a_model_that_smallm_trained_gets_its_bos_by_itself_and_hf_with_the_flag_agrees(
    find_directory: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(find_directory("gpt2"), tmp_path / "trained"))
    (directory / "smallm.json").write_text("{}")
    ours = our_model(directory)
    theirs = answered(hf_model(directory, add_bos_token=True), PAIRS)
    assert ours.scorer.settings["add_bos"] is True
    for pair, their, our in zip(PAIRS, theirs, answered(ours, PAIRS), strict=True):
        if their is not None:
            assert our == (pytest.approx(their[0], abs=1e-4), their[1]), pair
    # Of a whole text BOS is given here, and scored by `hf` with the flag; without the flag it is given there too.
    text = asked("loglikelihood_rolling", [("Once upon a time",)])
    assert ours.loglikelihood_rolling(text) == pytest.approx(
        hf_model(directory).loglikelihood_rolling(text, disable_tqdm=True), abs=1e-4
    )
