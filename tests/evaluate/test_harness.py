"""Our scorer as a model of lm-eval, held against lm-eval's own `hf` model: every item, and a fuzz of texts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_models import asked, hf_model, our_model, save_tiny
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.evaluate.requests import SPANS, TRUNCATED, WINDOWS

CONTEXT = 128
TOLERANCE = 1e-4  # nats in float32; the issue asks for 1e-3
COUNT = 40


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]) -> Path:
    return save_tiny(tmp_path_factory.mktemp("gpt2"), shared_data("tokenizers"), context=CONTEXT)


@pytest.fixture(scope="module")
def hf(directory: Path) -> Any:
    return hf_model(directory)


@pytest.fixture(scope="module")
def uncached(directory: Path) -> Any:
    """`hf` without its logits cache, which errs where one text is split at two places (a test below shows it)."""
    return hf_model(directory, logits_cache=False)


@pytest.fixture(scope="module")
def ours(directory: Path) -> Any:
    return our_model(directory)


def rows(path: Path, count: int = COUNT) -> list[dict[str, Any]]:
    """Evenly spaced records: the long ones are everywhere in a file."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines[:: max(1, len(lines) // count)]][:count]


def requests_of(name: str, find: Callable[[str], Path]) -> list[tuple[str, str]]:
    """The (context, continuation) pairs that lm-eval's task of that name makes."""
    if name == "blimp":
        records = [r for file in ("passive_1", "wh_island") for r in rows(find(f"blimp/{file}.jsonl.gz"))]
        return [("", " " + r[key]) for r in records for key in ("sentence_good", "sentence_bad")]
    records = rows(find(f"eval/{name}.jsonl.gz"))
    if name == "lambada_openai":
        return [(r["context"], " " + r["continuation"]) for r in records]
    if name == "winogrande":
        return [(context, " " + r["continuation"]) for r in records for context in r["context_options"]]
    return [(f"{r['query']}\nAnswer:", f" {choice}") for r in records for choice in r["choices"]]


def check_equal(theirs: list[tuple[float, bool]], found: list[tuple[float, bool]], shown: list[Any]) -> None:
    for their, our, request in zip(theirs, found, shown, strict=True):
        assert abs(their[0] - our[0]) <= TOLERANCE * max(1, abs(their[0]) / 100), (request, their, our)
        assert their[1] == our[1], (request, their, our)


@pytest.mark.parametrize("name", ["arc_easy", "piqa", "lambada_openai", "winogrande", "blimp"])
def test_every_real_item_has_the_log_likelihood_and_the_greedy_flag_of_hf(
    name: str, hf: Any, ours: Any, shared_data: Callable[[str], Path]
) -> None:
    pairs = requests_of(name, shared_data)
    asked_for = asked("loglikelihood", pairs)
    found = ours.loglikelihood(asked_for)
    check_equal(hf.loglikelihood(asked_for, disable_tqdm=True), found, pairs)


@pytest.mark.parametrize(("name", "window"), [("lambada_openai", 48), ("arc_easy", 40)])
def test_contexts_longer_than_the_window_lose_their_beginning_as_with_hf(
    name: str, window: int, directory: Path, shared_data: Callable[[str], Path]
) -> None:
    pairs = requests_of(name, shared_data)
    asked_for = asked("loglikelihood", pairs)
    hf, ours = hf_model(directory, max_length=window), our_model(directory, max_length=window)
    found = ours.loglikelihood(asked_for)
    check_equal(hf.loglikelihood(asked_for, disable_tqdm=True), found, pairs)
    assert sum(TRUNCATED in ours.scores[pair].marks for pair in pairs) > len(pairs) // 10


def test_few_shot_prompts_that_all_items_share_score_as_with_hf(
    hf: Any, ours: Any, shared_data: Callable[[str], Path]
) -> None:
    records = rows(shared_data("eval/arc_easy.jsonl.gz"), 20)
    shots = "".join(f"{r['query']}\nAnswer: {r['choices'][r['gold']]}\n\n" for r in records[:3])
    pairs = [(f"{shots}{r['query']}\nAnswer:", f" {c}") for r in records[3:] for c in r["choices"]]
    asked_for = asked("loglikelihood", pairs)
    check_equal(hf.loglikelihood(asked_for, disable_tqdm=True), ours.loglikelihood(asked_for), pairs)


def test_what_the_model_would_write_is_greedy_in_both(hf: Any, ours: Any, shared_data: Callable[[str], Path]) -> None:
    prompts = [r["query"] for r in rows(shared_data("eval/arc_easy.jsonl.gz"), 12)]
    texts = ours.scorer.generate(prompts, max_new_tokens=6)
    pairs = [(prompt, text) for prompt, text in zip(prompts, texts, strict=True) if text]
    asked_for = asked("loglikelihood", pairs)
    found = ours.loglikelihood(asked_for)
    check_equal(hf.loglikelihood(asked_for, disable_tqdm=True), found, pairs)
    assert sum(greedy for _, greedy in found) >= 3, "greedy True must occur, or its equality says nothing"


def test_whole_documents_longer_than_the_window_roll_as_with_hf(
    hf: Any, ours: Any, shared_data: Callable[[str], Path]
) -> None:
    records = rows(shared_data("eval/lambada_openai.jsonl.gz"), 12)
    words = " ".join(r["context"] for r in records).split()
    # One token, one window less one, exactly one, one more, and several windows, among others.
    texts = ["", "A", *(r["context"] for r in records[:3]), *(" ".join(words[:n]) for n in (90, 100, 110, 700))]
    ids = ours.tok_encode(" ".join(words))
    texts += [ours.tok_decode(ids[:n]) for n in (CONTEXT - 1, CONTEXT, CONTEXT + 1, 2 * CONTEXT, 2 * CONTEXT + 1)]
    asked_for = asked("loglikelihood_rolling", [(text,) for text in texts])
    theirs = hf.loglikelihood_rolling(asked_for, disable_tqdm=True)
    found = ours.loglikelihood_rolling(asked_for)
    assert found == pytest.approx(theirs, rel=1e-6, abs=TOLERANCE)
    assert sum(WINDOWS in ours.scores[(text,)].marks for text in texts if text) >= 4


@pytest.mark.parametrize("until", [[], ["\n"], [" the", "."], ["a"]])
def test_generated_text_is_the_text_of_hf(
    until: list[str], hf: Any, ours: Any, shared_data: Callable[[str], Path]
) -> None:
    records = rows(shared_data("eval/lambada_openai.jsonl.gz"), 8)
    prompts = [r["context"] for r in records] + [r["continuation"] for r in records]  # some over-long, some one word
    asked_for = asked("generate_until", [(p, {"until": until, "max_gen_toks": 24}) for p in prompts])
    theirs = hf.generate_until(asked_for, disable_tqdm=True)
    assert ours.generate_until(asked_for) == theirs
    assert any(theirs)


# ---- the fuzz ------------------------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    ["the", " the", " ", "  ", "\n", "\n\n", "\t", "\r\n", "e\u0301", "é", "\u0301", "\u093c", "\u200d", "\u00a0",
     "\ufeff", "\U0001f469\u200d\U0001f467", "\U0001f642", "你好", "、", "שלום", "مرحبا", "ab", "abc", " a", "un",
     "believ", "able", "123", "45", "0", "'s", "...", "_", "<|endoftext|>", "Ω", "antidisestablishmentarianism"]
)  # fmt: skip
SHORT = st.lists(PARTS | st.text(max_size=3).filter(lambda t: t.isprintable() or not t), max_size=8).map("".join)
LONG = st.tuples(SHORT, st.integers(0, 90)).map(lambda pair: (pair[0] + " word") * pair[1] if pair[1] > 60 else pair[0])
FUZZ = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@FUZZ
@given(st.lists(st.tuples(LONG, SHORT.filter(bool)), min_size=1, max_size=6))
@example([("", " a"), ("a", "b"), ("a ", "b"), ("a\n", "\nb"), ("e", "\u0301"), (" ", "x"), ("👩", "\u200d👩")])
def test_fuzzed_pairs_score_as_with_hf_or_are_among_the_documented_differences(
    hf: Any, ours: Any, pairs: list[tuple[str, str]]
) -> None:
    found = ours.loglikelihood(asked("loglikelihood", pairs))
    agreed = 0
    for pair, our in zip(pairs, found, strict=True):
        score = ours.scores[pair]
        assert our == (score.logprob, score.greedy)
        assert our[0] <= 0
        try:
            their = hf.loglikelihood(asked("loglikelihood", [pair]), disable_tqdm=True)[0]
        except AssertionError:  # hf has no answer: nothing is left after the join, or it is longer than the window
            context, continuation = ours.scorer.encoder.pair(ours_request(pair))[:2]
            assert SPANS in score.marks or WINDOWS in score.marks or not hf.tok_encode(pair[0].rstrip()), pair
            assert context
            assert continuation
            continue
        agreed += 1
        check_equal([their], [our], [pair])
    assume(agreed)


def ours_request(pair: tuple[str, str]) -> Any:
    from smallm.evaluate.requests import Request

    return Request(*pair)


@pytest.mark.slow
@FUZZ
@given(st.lists(LONG, min_size=1, max_size=2))
def test_fuzzed_documents_roll_as_with_hf(uncached: Any, ours: Any, texts: list[str]) -> None:
    asked_for = asked("loglikelihood_rolling", [(text,) for text in texts])
    theirs = uncached.loglikelihood_rolling(asked_for, disable_tqdm=True)
    assert ours.loglikelihood_rolling(asked_for) == pytest.approx(theirs, rel=1e-6, abs=TOLERANCE)


# ---- where hf stops ------------------------------------------------------------------------------------------------


def test_a_token_that_spans_the_join_stops_hf_and_is_scored_here(hf: Any, ours: Any) -> None:
    pair = ("a b", "le")  # " b" + "le" -> " ble": as many tokens as the context alone
    asked_for = asked("loglikelihood", [pair])
    with pytest.raises(AssertionError):
        hf.loglikelihood(asked_for, disable_tqdm=True)
    ((logprob, _),) = ours.loglikelihood(asked_for)
    # The tokens that both encodings share are the context; what differs is scored whole.
    whole = ours.tok_encode("a ble")
    ((their, _),) = hf._loglikelihood_tokens([(pair, whole[:-1], whole[-1:])], disable_tqdm=True)
    assert logprob == pytest.approx(their, abs=TOLERANCE)
    assert ours.scores[pair].marks == (SPANS,)


def test_a_continuation_longer_than_the_window_stops_hf_and_is_rolled_here(hf: Any, uncached: Any, ours: Any) -> None:
    text = " one two three four" * 60
    asked_for = asked("loglikelihood", [("Count:", text), ("", text)])
    with pytest.raises(AssertionError):
        hf.loglikelihood(asked_for, disable_tqdm=True)
    (after, _), (alone, _) = ours.loglikelihood(asked_for)
    (rolled,) = uncached.loglikelihood_rolling(asked("loglikelihood_rolling", [(text,)]), disable_tqdm=True)
    assert alone == pytest.approx(rolled, rel=1e-6)  # after nothing: exactly the rolling log-likelihood of the text
    assert after != pytest.approx(alone, abs=1e-3)
    assert ours.scores[("Count:", text)].marks == (WINDOWS,)


@pytest.mark.parametrize("context", ["", "Some context"])
def test_an_empty_continuation_stops_hf_and_is_refused_here_with_words(context: str, hf: Any, ours: Any) -> None:
    asked_for = asked("loglikelihood", [(context, "")])
    with pytest.raises((AssertionError, IndexError)):
        hf.loglikelihood(asked_for, disable_tqdm=True)
    with pytest.raises(UserError, match="is empty"):
        ours.loglikelihood(asked_for)


def test_more_new_tokens_than_the_window_holds_stop_hf_and_are_halved_aloud_here(
    hf: Any, ours: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked_for = asked("generate_until", [("Once", {"until": [], "max_gen_toks": CONTEXT})])
    with pytest.raises(AssertionError):
        hf.generate_until(asked_for, disable_tqdm=True)
    found = ours.generate_until(asked_for)
    half = asked("generate_until", [("Once", {"until": [], "max_gen_toks": CONTEXT // 2})])
    assert found == hf.generate_until(half, disable_tqdm=True)
    assert f"{CONTEXT} new tokens are asked for" in capsys.readouterr().err


def test_one_text_split_at_two_places_is_scored_wrongly_by_the_cache_of_hf_and_rightly_here(
    hf: Any, uncached: Any, ours: Any
) -> None:
    # lm-eval 0.4.13 takes the longer continuation's logits for both and reads the shorter one's at their beginning.
    pairs = [("One two", " three four five"), ("One two three", " four five")]
    asked_for = asked("loglikelihood", pairs)
    right = uncached.loglikelihood(asked_for, disable_tqdm=True)
    check_equal(right, ours.loglikelihood(asked_for), pairs)
    wrong = hf.loglikelihood(asked_for, disable_tqdm=True)
    assert wrong[0] == pytest.approx(right[0])
    assert wrong[1][0] != pytest.approx(right[1][0], abs=0.1), "lm-eval is mended: let docs/lm-eval.md say so"
