"""Scores of text: those of a plain forward pass, by lm-eval's rules, whatever kind of model it is; never a NaN."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_hf import (
    REQUESTS,
    TEMPLATE,
    WORDS,
    expected,
    make_directory,
    plain,
    plain_score,
    poison,
)

from smallm.core.errors import UserError
from smallm.core.files import sha256_file, write_json
from smallm.evaluate.requests import SPANS, TRUNCATED, WINDOWS, Request
from smallm.evaluate.scorer import TextScorer, count_marks, load_scorer

OURS, OTHERS = ("llama", "gpt2"), ("gpt_neox", "gemma2")
WINDOW = 48


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One directory a family; weights differ."""
    root = tmp_path_factory.mktemp("models")
    for seed, family in enumerate((*OURS, *OTHERS)):
        make_directory(root / family, family, seed=seed, template=TEMPLATE if family == "llama" else None)
    return {family: root / family for family in (*OURS, *OTHERS)}


@pytest.fixture(scope="module")
def scorers(models: dict[str, Path]) -> dict[str, TextScorer]:
    return {family: load_scorer(path) for family, path in models.items()}


@pytest.mark.parametrize("family", [*OURS, *OTHERS])
def test_scores_are_those_of_a_plain_forward_pass(family: str, models: dict[str, Path], scorers: dict[str, TextScorer]):
    scorer, model = scorers[family], plain(models[family])
    assert scorer.settings["kind"] == ("decoder" if family in OURS else "transformers")
    for request, score in zip(REQUESTS, scorer.loglikelihoods(REQUESTS), strict=True):
        logprob, greedy = expected(model, scorer, request)
        assert score.logprob == pytest.approx(logprob, abs=1e-4)
        assert score.greedy == greedy
        assert score.tokens == len(scorer.encoder.pair(request)[1])


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(st.text(max_size=12), st.text(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_any_text_gets_the_score_of_its_tokens(
    pairs: list[tuple[str, str]], models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, model = scorers["gpt2"], scorers["gpt2"].backend.decoder
    requests = [Request(*pair) for pair in pairs]
    for request, score in zip(requests, scorer.loglikelihoods(requests), strict=True):
        context, continuation, marks = scorer.encoder.pair(request)
        if len(context) + len(continuation) > WINDOW + 1 or len(continuation) > WINDOW:
            continue  # the rule of what is too long has a test of its own
        with torch.inference_mode():
            logp_TV = model(torch.tensor([[*context, *continuation]]))[0].double().log_softmax(-1)
        wanted = sum(logp_TV[len(context) - 1 + at, i].item() for at, i in enumerate(continuation))
        assert score.logprob == pytest.approx(wanted, abs=1e-4)
        assert set(score.marks) == set(marks) <= {SPANS}


def test_equal_requests_are_scored_once_and_answered_each(scorers: dict[str, TextScorer], monkeypatch: Any):
    scorer = scorers["llama"]
    asked: list[Any] = []
    original = scorer.score

    def spy(pairs: list[Any], done: Any) -> list[tuple[float, bool]]:
        asked.extend(pairs)
        return original(pairs, done)

    monkeypatch.setattr(scorer, "score", spy)
    first, other, again = scorer.loglikelihoods([REQUESTS[0], REQUESTS[1], REQUESTS[0]])
    assert first == again != other
    assert len(asked) == 2
    scorer.rolling(["the cat", "the cat"])
    assert len(asked) == 3


def test_no_requests_are_no_scores(scorers: dict[str, TextScorer]):
    scorer = scorers["llama"]
    assert scorer.loglikelihoods([]) == scorer.rolling([]) == scorer.generate([], max_new_tokens=9) == []
    assert count_marks([]) == {}


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_a_context_that_is_too_long_loses_its_beginning_and_the_score_says_so(
    family: str, models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, model = scorers[family], plain(models[family])
    request = Request(WORDS * 3, " the mat")
    context, continuation, _ = scorer.encoder.pair(request)
    assert len(context) > WINDOW
    kept = (context + continuation)[-(WINDOW + 1) :]
    [score] = scorer.loglikelihoods([request])
    assert score.logprob == pytest.approx(plain_score(model, kept[: -len(continuation)], continuation)[0], abs=1e-4)
    assert score.marks == (TRUNCATED,)


def test_the_longest_request_that_fits_is_not_cut(scorers: dict[str, TextScorer]):
    """max_length + 1 tokens: the last one is predicted, never an input."""
    scorer = scorers["llama"]
    word = scorer.tokenizer.encode(" the")
    assert len(word) == 1
    fits, over = Request(" the" * (WINDOW - 1), " the the"), Request(" the" * WINDOW, " the the")
    a, b = scorer.loglikelihoods([fits, over])
    assert (a.marks, b.marks) == ((), (TRUNCATED,))
    assert b.logprob == pytest.approx(a.logprob, abs=1e-5)  # the cut leaves the same tokens


def test_a_continuation_longer_than_the_window_is_scored_in_windows_from_where_its_context_ends(
    models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, model = scorers["gpt_neox"], plain(models["gpt_neox"])
    request = Request("the cat;", " sat" * 110)
    context, continuation, _ = scorer.encoder.pair(request)
    assert len(continuation) > 2 * WINDOW
    windows = lm_eval_windows(continuation, context[-1], WINDOW)
    [score] = scorer.loglikelihoods([request])
    assert score.logprob == pytest.approx(sum(plain_score(model, *w)[0] for w in windows), abs=1e-3)
    assert score.marks == (WINDOWS,)
    assert score.tokens == len(continuation)
    assert count_marks([score, score]) == {WINDOWS: 2}


def lm_eval_windows(ids: list[int], prefix: int, length: int) -> list[tuple[list[int], list[int]]]:
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    return [make_disjoint_window(w) for w in get_rolling_token_windows(ids, prefix, length, 1)]


@pytest.mark.filterwarnings("ignore")  # lm-eval's imports
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_whole_texts_are_scored_in_the_rolling_windows_of_lm_eval(
    family: str, models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, model = scorers[family], plain(models[family])
    texts = ["a", WORDS, WORDS * 4, "the " * WINDOW]
    for text, score in zip(texts, scorer.rolling(texts), strict=True):
        ids = scorer.tokenizer.encode(text)
        windows = lm_eval_windows(ids, 0, WINDOW)
        assert score.logprob == pytest.approx(sum(plain_score(model, *w)[0] for w in windows), abs=1e-3)
        assert score.tokens == len(ids)
        assert not score.greedy
        assert score.marks == ((WINDOWS,) if len(windows) > 1 else ())


def test_what_cannot_be_scored_is_refused(scorers: dict[str, TextScorer]):
    scorer = scorers["llama"]
    with pytest.raises(UserError, match="nothing to score"):
        scorer.loglikelihoods([Request("the cat", "")])
    with pytest.raises(UserError, match="text to score is empty"):
        scorer.rolling(["the cat", ""])


def test_nan_weights_never_become_a_score(models: dict[str, Path], tmp_path: Path):
    for family in ("llama", "gpt_neox"):
        broken = shutil.copytree(models[family], tmp_path / family)
        poison(broken)
        scorer = load_scorer(broken)
        with pytest.raises(UserError, match=r"the score of 'the cat sat on the mat' is nan.*float32 overflows"):
            scorer.loglikelihoods([REQUESTS[0]])
        with pytest.raises(UserError, match="is nan"):
            scorer.rolling(["the cat"])


def test_a_model_that_smallm_trained_gets_the_bos_that_its_tokenizer_leaves_out(
    models: dict[str, Path], tmp_path: Path
):
    ours = shutil.copytree(models["llama"], tmp_path / "base")
    facts = {"tokenizer_sha256": sha256_file(ours / "tokenizer.json")}
    write_json(ours / "smallm.json", facts)
    with_bos, without, model = load_scorer(ours), load_scorer(ours, add_bos=False), plain(ours)
    assert (with_bos.settings["add_bos"], without.settings["add_bos"]) == (True, False)
    assert load_scorer(models["llama"]).settings["add_bos"] is None
    ids, more = with_bos.tokenizer.encode("the cat"), with_bos.tokenizer.encode(" sat")
    [a], [b] = (s.loglikelihoods([Request("the cat", " sat")]) for s in (with_bos, without))
    assert a.logprob == pytest.approx(plain_score(model, [0, *ids], more)[0], abs=1e-4)
    assert b.logprob == pytest.approx(plain_score(model, ids, more)[0], abs=1e-4)
    # A document begins with BOS either way, and BOS itself is no prediction.
    for scorer in (with_bos, without):
        [whole] = scorer.rolling(["the cat"])
        assert whole.logprob == pytest.approx(plain_score(model, [0], ids)[0], abs=1e-4)


def test_a_tokenizer_that_adds_bos_by_itself_is_left_to_its_habit(tmp_path: Path):
    model = make_directory(tmp_path, adds_bos=True)
    scorer = load_scorer(tmp_path)
    context, continuation, _ = scorer.encoder.pair(Request("the cat", " sat"))
    assert context[0] == 0
    assert 0 not in continuation
    [score] = scorer.loglikelihoods([Request("the cat", " sat")])
    assert score.logprob == pytest.approx(plain_score(model, context, continuation)[0], abs=1e-4)


def test_chat_is_the_tokenizers_template(scorers: dict[str, TextScorer]):
    messages = [{"role": "user", "content": "What is it?"}]
    assert scorers["llama"].chat(messages) == "<|turn|>user: What is it?\n<|turn|>assistant:"
    with pytest.raises(UserError, match="no system messages"):
        scorers["llama"].chat([{"role": "system", "content": "x"}])
    with pytest.raises(UserError, match="no chat template"):
        scorers["gpt2"].chat(messages)


def test_a_shorter_window_cuts_where_it_says(models: dict[str, Path]):
    short, model = load_scorer(models["llama"], max_length=8), plain(models["llama"])
    context, continuation, _ = short.encoder.pair(Request(WORDS, " the"))
    [score] = short.loglikelihoods([Request(WORDS, " the")])
    assert score.marks == (TRUNCATED,)
    kept = context[len(continuation) - 9 :]
    assert score.logprob == pytest.approx(plain_score(model, kept, continuation)[0], abs=1e-4)
