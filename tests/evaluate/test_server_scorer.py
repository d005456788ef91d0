"""A server's scores are those of the model behind it; what it cannot do, or does not do yet, is said or waited for."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from completions_server import Answer, FakeServer, fails_at_first
from tiny_hf import REQUESTS, TEMPLATE, WORDS, make_directory

from smallm.core.errors import UserError
from smallm.core.files import write_json
from smallm.evaluate import server as server_module
from smallm.evaluate.requests import TRUNCATED, WINDOWS, Request
from smallm.evaluate.scorer import TextScorer, load_scorer
from smallm.evaluate.server import Server, base_of

WINDOW = 48  # of the model; the scorer's is two tokens shorter


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_directory(path, "gpt_neox", window=WINDOW, template=TEMPLATE)
    return path


@pytest.fixture(scope="module")
def local(directory: Path) -> TextScorer:
    """The same model on this machine, with the window that the server leaves."""
    return load_scorer(directory, max_length=WINDOW - 2)


@pytest.fixture
def served(local: TextScorer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.001)
    fake = FakeServer(local.backend.model, local.tokenizer, WINDOW)
    yield fake
    fake.close()


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/", "/v1/completions"])
def test_a_server_scores_as_the_model_itself(tail: str, served: FakeServer, directory: Path, local: TextScorer):
    scorer = load_scorer(served.base + tail, tokenizer=directory)
    for mine, theirs in zip(local.loglikelihoods(REQUESTS), scorer.loglikelihoods(REQUESTS), strict=True):
        assert theirs.logprob == pytest.approx(mine.logprob, abs=1e-4)
        assert (theirs.greedy, theirs.tokens, theirs.marks) == (mine.greedy, mine.tokens, mine.marks)
    assert scorer.name == served.base + tail
    assert scorer.weights_sha256 is None
    assert scorer.parameters is None
    assert scorer.tokenizer_sha256 == local.tokenizer_sha256
    found = json.loads(json.dumps(scorer.settings))
    assert (found["kind"], found["url"], found["model"]) == ("server", f"{served.base}/v1", "tiny")
    assert (found["max_length"], found["max_length_from"]) == (WINDOW - 2, "server")


def test_greedy_continuations_are_told_as_greedy(served: FakeServer, directory: Path, local: TextScorer):
    scorer, contexts = load_scorer(served.base, tokenizer=directory), [WORDS[:n] for n in range(1, 40)]
    requests = [Request(c, a) for c, a in zip(contexts, local.generate(contexts, max_new_tokens=1), strict=True) if a]
    mine, theirs = local.loglikelihoods(requests), scorer.loglikelihoods(requests)
    assert [score.greedy for score in theirs] == [score.greedy for score in mine]
    assert {score.greedy for score in mine} == {True, False}  # half a character does not come back as it was


def test_what_is_too_long_is_cut_and_windowed_as_on_this_machine(
    served: FakeServer, directory: Path, local: TextScorer
):
    scorer = load_scorer(served.base, tokenizer=directory)
    requests = [Request(WORDS * 3, " the mat"), Request("the cat", " sat" * 120), Request(" the" * 45, " the the")]
    for mine, theirs in zip(local.loglikelihoods(requests), scorer.loglikelihoods(requests), strict=True):
        assert theirs.logprob == pytest.approx(mine.logprob, abs=1e-3)
        assert theirs.marks == mine.marks
    assert [s.marks for s in scorer.loglikelihoods(requests)] == [(TRUNCATED,), (WINDOWS,), ()]
    texts = ["a", WORDS * 3]
    for mine, theirs in zip(local.rolling(texts), scorer.rolling(texts), strict=True):
        assert (theirs.logprob, theirs.tokens) == (pytest.approx(mine.logprob, abs=1e-3), mine.tokens)
    assert max(len(p) for _, body, _ in served.seen for p in body.get("prompt", [])) == WINDOW - 1


def test_answers_and_chats_are_those_of_the_model(served: FakeServer, directory: Path):
    scorer, mine = load_scorer(served.base, tokenizer=directory), load_scorer(directory)
    prompts = ["the cat", WORDS * 2, "a", "", "the cat"]
    assert scorer.generate(prompts, max_new_tokens=20) == mine.generate(prompts, max_new_tokens=20)
    until = ["\x00", "\x01", "\x02", "\x03", "t"]  # more than OpenAI takes: the fifth is cut here
    assert scorer.generate(prompts, until=until, max_new_tokens=20) == mine.generate(
        prompts, until=until, max_new_tokens=20
    )
    assert all(len(body.get("stop", [])) <= 4 for _, body, _ in served.seen)
    messages = [{"role": "user", "content": "What is it?"}]
    assert scorer.chat(messages) == mine.chat(messages)


def test_many_requests_are_batched_some_at_a_time_and_come_back_in_order(
    served: FakeServer, directory: Path, local: TextScorer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server_module, "BATCH_PROMPTS", 4)
    monkeypatch.setattr(server_module, "BATCH_TOKENS", 60)
    served.fault = lambda path, body: time.sleep(0.005)
    scorer = load_scorer(served.base, tokenizer=directory)
    requests = [Request(WORDS[: 3 + i % 20], WORDS[20 : 21 + i % 7]) for i in range(60)]
    for mine, theirs in zip(local.loglikelihoods(requests), scorer.loglikelihoods(requests), strict=True):
        assert theirs.logprob == pytest.approx(mine.logprob, abs=1e-4)
    bodies = [body for path, body, _ in served.seen if path == "/v1/completions"]
    assert max(len(body["prompt"]) for body in bodies) <= 4
    assert all(sum(map(len, b["prompt"])) <= 60 or len(b["prompt"]) == 1 for b in bodies)
    assert 1 < served.most_busy <= server_module.CONCURRENT
    expected = {"model": "tiny", "temperature": 0, "seed": 1234, "max_tokens": 1, "logprobs": 1, "echo": True}
    assert all({k: v for k, v in body.items() if k != "prompt"} == expected for body in bodies)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, served: FakeServer, directory: Path, local: TextScorer):
    served.fault = fails_at_first(3, (status, {}, {"error": {"message": "busy"}}))
    scorer = load_scorer(served.base, tokenizer=directory)
    [theirs], [mine] = scorer.loglikelihoods(REQUESTS[:1]), local.loglikelihoods(REQUESTS[:1])
    assert theirs.logprob == pytest.approx(mine.logprob, abs=1e-4)
    served.fault = fails_at_first(99, (status, {}, {"error": {"message": "still busy."}}))
    with pytest.raises(UserError, match=rf"/v1/completions: {status} 6 times \(still busy\)"):
        scorer.loglikelihoods(REQUESTS[:1])


def test_a_server_that_says_when_to_come_back_is_believed_within_reason(served: FakeServer):
    waits: list[float] = []
    server = Server(served.base + "/v1", sleep=waits.append)
    in_a_minute = formatdate(time.time() + 30, usegmt=True)
    for value in ("7", "100000", in_a_minute, "soon", "-3"):
        served.fault = fails_at_first(1, (429, {"Retry-After": value}, {}))
        server._complete({"prompt": [[5, 6]], "max_tokens": 1}, 1)
    assert waits[0] == 7
    assert waits[1] == server_module.LONGEST_WAIT
    assert 20 < waits[2] <= 30
    assert max(waits[3:]) < 1  # nonsense: the usual wait


def test_waits_grow_and_end(served: FakeServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.5)
    waits: list[float] = []
    served.fault = lambda path, body: (502, {}, b"<html>Bad Gateway</html>")
    with pytest.raises(UserError, match="502 6 times"):
        Server(served.base + "/v1", sleep=waits.append)._complete({}, 1)
    assert len(waits) == 5
    assert all(a < b for a, b in itertools.pairwise(waits))
    assert all(0.5 * 2**k <= wait <= 0.75 * 2**k for k, wait in enumerate(waits))


def test_a_server_that_does_not_answer_in_time_is_named(served: FakeServer, monkeypatch: pytest.MonkeyPatch):
    import httpx

    monkeypatch.setattr(server_module, "TIMEOUT", httpx.Timeout(0.05))
    served.fault = lambda path, body: time.sleep(0.3)
    with pytest.raises(UserError, match="did not answer in time"):
        Server(served.base + "/v1", sleep=lambda _: None).choose(None)


def test_a_server_that_is_not_there_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.001)
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        free = f"http://127.0.0.1:{s.getsockname()[1]}"
    with pytest.raises(UserError, match=rf"{free}/v1: the server is not reachable"):
        load_scorer(free, tokenizer=directory)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, {"error": {"message": "Invalid key."}}), r"401: Invalid key\. Put its key into .*OPENAI_API_KEY"),
        ((404, {}, {"detail": "Not Found"}), r"404: Not Found\. Is this an OpenAI-compatible server"),
        ((400, {}, {"error": {"message": "maximum context length is 5"}}), r"length is 5\. .*pass max_len"),
        ((400, {}, {"error": "echo is not supported"}), r"400: echo is not supported\. Scoring needs"),
        ((400, {}, b"bad <b>request</b>"), "400: bad <b>request</b>"),
        ((308, {"Location": "http://elsewhere/"}, b""), "308: Permanent Redirect"),
        ((200, {}, b"<html>"), "the answer is not JSON"),
        ((200, {}, {"error": "odd"}), r"no field `choices` in the answer \(\{'error': 'odd'\}\)"),
        ((200, {}, {"choices": []}), "0 choices for 1 prompts"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_said_in_its_own_words(
    answer: Answer, message: str, served: FakeServer, directory: Path
):
    scorer = load_scorer(served.base, tokenizer=directory)
    served.fault = lambda path, body: answer
    before = len(served.seen)
    with pytest.raises(UserError, match=message):
        scorer.loglikelihoods(REQUESTS[:1])
    assert len(served.seen) == before + 1  # none of these gets better by asking again


def drop(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(choice: dict[str, Any]) -> None:
        inner = choice
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = None

    return change


def without_echo(choice: dict[str, Any]) -> None:
    for values in choice["logprobs"].values():
        del values[:-1]


def with_a_null(choice: dict[str, Any]) -> None:
    choice["logprobs"]["token_logprobs"][-2] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("logprobs"), "no field `logprobs`: this server gives no log-likelihoods"),
        (drop("logprobs", "token_logprobs"), "no field `logprobs.token_logprobs`"),
        (drop("logprobs", "top_logprobs"), "no field `logprobs.top_logprobs`"),
        (without_echo, r"`logprobs.token_logprobs` has 1 entries for a prompt of \d+ tokens.*ignores `echo`"),
        (with_a_null, r"no log-likelihood \(null in `logprobs`\)"),
    ],
)
def test_a_server_that_cannot_score_says_which_field_is_missing(
    change: Any, message: str, served: FakeServer, directory: Path
):
    scorer = load_scorer(served.base, tokenizer=directory)
    served.change = change
    with pytest.raises(UserError, match=message):
        scorer.loglikelihoods(REQUESTS[:1])


def test_minus_infinity_in_the_dialect_of_vllm_is_no_score(served: FakeServer, directory: Path):
    scorer = load_scorer(served.base, tokenizer=directory)

    def change(choice: dict[str, Any]) -> None:
        choice["logprobs"]["token_logprobs"][-2] = -9999.0

    served.change = change
    with pytest.raises(UserError, match=r"is -inf, which is no score"):
        scorer.loglikelihoods(REQUESTS[:1])


def test_the_model_of_a_server_is_told_or_asked_for(served: FakeServer, directory: Path):
    served.models = [{"id": "base", "max_model_len": 30}, {"id": "org/tuned", "max_model_len": 40}]
    with pytest.raises(UserError, match=r"offers 2 models \(base, org/tuned\).*#NAME"):
        load_scorer(served.base, tokenizer=directory)
    with pytest.raises(UserError, match=r"has no model other\. It has base, org/tuned"):
        load_scorer(f"{served.base}#other", tokenizer=directory)
    scorer = load_scorer(f"{served.base}/v1#org/tuned", tokenizer=directory)
    assert (scorer.settings["model"], scorer.max_length) == ("org/tuned", 38)
    scorer.loglikelihoods(REQUESTS[:1])
    assert served.seen[-1][1]["model"] == "org/tuned"
    served.models = []
    with pytest.raises(UserError, match="offers 0 models"):
        load_scorer(served.base, tokenizer=directory)
    served.fault = lambda path, body: (200, {}, {"models": []})
    with pytest.raises(UserError, match="no field `data`"):
        load_scorer(served.base, tokenizer=directory)


@pytest.mark.parametrize(
    ("said", "tokenizers", "asked", "window", "by"),
    [
        (30, 20, None, 28, "server"),
        (None, 20, None, 18, "tokenizer"),
        (None, int(1e30), None, 2046, "default"),
        (30, 20, 10, 10, "max_length"),
        (None, 20, 100, 100, "max_length"),
    ],
)
def test_the_window_is_the_servers_else_the_tokenizers_else_2048(
    said: int | None, tokenizers: int, asked: int | None, window: int, by: str, served: FakeServer, local: TextScorer,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    served.models = [{"id": "tiny"} if said is None else {"id": "tiny", "max_model_len": said}]
    monkeypatch.setattr(local.tokenizer, "model_max_length", tokenizers)
    scorer = load_scorer(served.base, tokenizer=local.tokenizer, max_length=asked)
    assert (scorer.max_length, scorer.settings["max_length_from"]) == (window, by)


def test_a_server_needs_a_tokenizer_and_takes_no_option_of_loading(served: FakeServer, directory: Path):
    with pytest.raises(UserError, match="a server needs tokenizer="):
        load_scorer(served.base)
    options: list[dict[str, Any]] = [{"dtype": "float32"}, {"load_in_4bit": True}, {"load_in_8bit": True}]
    for option in options:
        with pytest.raises(UserError, match=f"{next(iter(option))} is for models that smallm loads"):
            load_scorer(served.base, tokenizer=directory, **option)
    with pytest.raises(UserError, match="takes 2 to 46"):
        load_scorer(served.base, tokenizer=directory, max_length=47)


def test_the_key_goes_into_the_header_and_nowhere_else(
    served: FakeServer, directory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: Any
):
    import logging

    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret\n")
    with caplog.at_level(logging.DEBUG):
        scorer = load_scorer(served.base, tokenizer=directory)
        scorer.loglikelihoods(REQUESTS[:1])
        served.fault = lambda path, body: (403, {}, {"error": {"message": "no"}})
        with pytest.raises(UserError) as error:
            scorer.loglikelihoods(REQUESTS[:1])
    assert served.seen[0][2]["Authorization"] == "Bearer sk-very-secret"
    shown = [str(error.value), repr(scorer), json.dumps(scorer.settings), caplog.text, *capfd.readouterr()]
    assert not any("secret" in text for text in shown)


def test_a_server_of_a_model_that_smallm_trained_gets_its_bos(served: FakeServer, directory: Path, tmp_path: Path):
    import shutil

    ours = shutil.copytree(directory, tmp_path / "base")
    write_json(ours / "smallm.json", {})
    scorer = load_scorer(served.base, tokenizer=ours)
    assert scorer.settings["add_bos"] is True
    scorer.loglikelihoods([Request("the", " cat")])
    assert served.seen[-1][1]["prompt"][0][0] == 0
    assert load_scorer(served.base, tokenizer=ours, add_bos=False).settings["add_bos"] is False


def test_an_address_says_where_and_which_and_no_password():
    assert base_of("http://host:8000") == ("http://host:8000/v1", None)
    assert base_of("https://host/proxy/v1/completions/") == ("https://host/proxy/v1", None)
    assert base_of("https://host/v1#org/name") == ("https://host/v1", "org/name")
    for wrong in ("http://", "http://host:port/v1", "http://[::1"):
        with pytest.raises(UserError, match="without a host"):
            base_of(wrong)
    with pytest.raises(UserError, match="holds a name or password") as error:
        base_of("https://me:secret@host/v1")
    assert "secret" not in str(error.value)


def test_scores_of_a_server_are_numbers(served: FakeServer, directory: Path):
    scorer = load_scorer(served.base, tokenizer=directory)
    assert all(math.isfinite(score.logprob) for score in scorer.loglikelihoods(REQUESTS))
