"""Scores from an OpenAI-compatible server (vLLM and the like): ids over HTTP, log-likelihoods of the echoed prompt.

Posts what lm-eval's `local-completions` posts (`echo`, `logprobs: 1`, `max_tokens: 1`), some prompts a request and some
requests at a time; what the server cannot do is an error that names the missing field. The key in OPENAI_API_KEY goes
into a header and nowhere else. The weights behind an address cannot be known: nothing of it is cached.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from smallm.core.errors import UserError
from smallm.evaluate.scorer import Pair, TextScorer, make_scorer

# Prompts and prompt tokens of one request, requests under way: enough for a server that batches by itself.
BATCH_PROMPTS, BATCH_TOKENS, CONCURRENT = 32, 16_384, 4
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = (
    6,
    0.5,
    60.0,
)  # seconds: 0.5, 1, 2, 4, 8 (half as much again, drawn), or Retry-After
TIMEOUT = httpx.Timeout(300.0, connect=10.0)  # a slow server may score a batch for minutes
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
DEFAULT_LENGTH = 2048  # lm-eval's, where nobody says
STOPS = 4  # OpenAI takes no more; the others are cut here
MINUS_INFINITY = -9999.0  # what vLLM writes for it, JSON having none
SEED = 1234  # lm-eval's


def load_server(url: str, *, tokenizer: Any, add_bos: bool | None, max_length: int | None) -> TextScorer:
    """The scorer of the model that a server offers; `URL#NAME` chooses among several.

    Its window is two tokens shorter than the model's: the server wants to generate one more than the prompt's.
    UserError: no tokenizer named, no such server, a model that cannot be told.
    """
    from smallm.evaluate.model_tokenizer import open_tokenizer

    base, wanted = base_of(url)
    if tokenizer is None:
        raise UserError(
            f"{base}: a server needs tokenizer= (--tokenizer): the directory or Hub name of its model's tokenizer, "
            "because contexts and continuations are told apart by tokens."
        )
    tokenizer_ = open_tokenizer(tokenizer)
    server = Server(base)
    model, known = server.choose(wanted)
    window, said_by = _window(known, tokenizer_, max_length, base)
    server.model = model
    if add_bos is None and _smallm_trained(tokenizer):
        add_bos = True
    settings = {"kind": "server", "url": base, "model": model, "max_length": window - 2, "max_length_from": said_by}
    return make_scorer(
        url, tokenizer_, server.score,
        lambda prompts, until, limit: server.write(prompts, until, limit),
        max_length=window - 2, weights_sha256=None, parameters=None, settings=settings, add_bos=add_bos, room=window,
    )  # fmt: skip


def base_of(url: str) -> tuple[str, str | None]:
    """(address up to /v1, the model after `#`), from an address with or without /v1 or /v1/completions.

    UserError: no host, or a password in the address (which would stand in results).
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise UserError(f"{url}: an address without a host, or with a port that is none. Write http://HOST:PORT/v1.")
    if parts.username or parts.password:
        raise UserError(
            f"{parts.hostname}: the address holds a name or password, which results would show. "
            "Put the key into the environment variable OPENAI_API_KEY."
        )
    path = parts.path.rstrip("/").removesuffix("/completions").rstrip("/")
    path = path if path.endswith("/v1") else path + "/v1"
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), parts.fragment or None


class Server:
    """One model of an OpenAI-compatible server. Requests are retried while the server is busy or away."""

    def __init__(self, base: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        local = urlsplit(base).hostname in ("localhost", "127.0.0.1", "::1")
        self.base, self.model, self.sleep = base, "", sleep
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=CONCURRENT, max_keepalive_connections=CONCURRENT),
            trust_env=not local,  # no proxy between a machine and itself
        )

    def choose(self, wanted: str | None) -> tuple[str, int | None]:
        """(the model's name, its window in tokens where the server says). UserError: none, several, another."""
        answer = self._send("GET", "/models", None, attempts=2)
        models = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(models, list) or not all(isinstance(m, dict) and "id" in m for m in models):
            raise UserError(f"{self.base}/models: no field `data` with models. Is this an OpenAI-compatible server?")
        names = [str(m["id"]) for m in models]
        if wanted is None and len(names) != 1:
            raise UserError(
                f"{self.base}: offers {len(names)} models ({', '.join(names[:8]) or 'none'}). "
                f"Say which after a #: {self.base}#NAME"
            )
        if wanted is not None and wanted not in names:
            raise UserError(f"{self.base}: has no model {wanted}. It has {', '.join(names[:8]) or 'none'}.")
        chosen = models[names.index(wanted)] if wanted is not None else models[0]
        length = chosen.get("max_model_len")
        return str(chosen["id"]), int(length) if isinstance(length, int) and length > 0 else None

    def score(self, pairs: list[Pair], done: Callable[[int], None]) -> list[tuple[float, bool]]:
        """(log p, greedy) of each pair, in order. Neighbours in order share beginnings, for the server's own cache."""
        order = sorted(range(len(pairs)), key=lambda i: (*pairs[i][0], *pairs[i][1]))
        scores: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)

        def ask(rows: list[int]) -> list[tuple[float, bool]]:
            prompts = [[*pairs[i][0], *pairs[i][1]] for i in rows]
            body = {"prompt": prompts, "max_tokens": 1, "logprobs": 1, "echo": True}
            choices = self._complete(body, len(rows))
            return [
                self._read(choice, len(prompt), len(pairs[i][0]))
                for choice, prompt, i in zip(choices, prompts, rows, strict=True)
            ]

        lengths = [len(context) + len(continuation) for context, continuation in pairs]
        finished = 0
        for rows, found in self._each(_batches(order, lengths), ask):
            for i, score in zip(rows, found, strict=True):
                scores[i] = score
            finished += len(rows)
            done(finished)
        return scores

    def write(self, prompts: list[list[int]], until: Sequence[str], limit: int) -> list[str]:
        """Greedy answers, in order, cut before the first stop string."""
        texts = [stop for stop in until if stop]
        answers = [""] * len(prompts)

        def ask(rows: list[int]) -> list[str]:
            body: dict[str, Any] = {"prompt": [prompts[i] for i in rows], "max_tokens": limit}
            choices = self._complete(body | ({"stop": texts[:STOPS]} if texts else {}), len(rows))
            for choice in choices:
                if not isinstance(choice.get("text"), str):
                    raise UserError(f"{self.base}/completions: a choice without the field `text`.")
            return [choice["text"] for choice in choices]

        lengths = [len(prompt) + limit for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        for rows, found in self._each(_batches(order, lengths), ask):
            for i, text in zip(rows, found, strict=True):
                for stop in texts:
                    text = text.split(stop)[0]
                answers[i] = text
        return answers

    def _each(self, batches: Iterator[list[int]], ask: Callable[[list[int]], Any]) -> Iterator[tuple[list[int], Any]]:
        """(batch, answer) in order, a few requests under way; the first error ends them all."""
        with ThreadPoolExecutor(CONCURRENT) as pool:
            running = [(rows, pool.submit(ask, rows)) for rows in batches]
            try:
                for rows, answer in running:
                    yield rows, answer.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _complete(self, body: dict[str, Any], count: int) -> list[dict[str, Any]]:
        """The choices of a completion, by their index. UserError: not as many as prompts."""
        answer = self._send("POST", "/completions", {"model": self.model, "temperature": 0, "seed": SEED, **body})
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise UserError(f"{self.base}/completions: no field `choices` in the answer ({str(answer)[:200]}).")
        choices = sorted(choices, key=lambda choice: choice.get("index", 0))
        if [choice.get("index", 0) for choice in choices] != list(range(count)):
            raise UserError(f"{self.base}/completions: {len(choices)} choices for {count} prompts.")
        return choices

    def _read(self, choice: dict[str, Any], tokens: int, context: int) -> tuple[float, bool]:
        """(log p, greedy) of the prompt's tokens after the context; the token that the server added is left out."""
        where = f"{self.base}/completions"
        fields = choice.get("logprobs")
        if not isinstance(fields, dict):
            raise UserError(f"{where}: no field `logprobs`: this server gives no log-likelihoods (vLLM does).")
        token_logprobs, top_logprobs = (fields.get(name) for name in ("token_logprobs", "top_logprobs"))
        for name, values in (("token_logprobs", token_logprobs), ("top_logprobs", top_logprobs)):
            if not isinstance(values, list):
                raise UserError(f"{where}: no field `logprobs.{name}` in the answer, which scoring needs.")
            if len(values) < tokens:
                raise UserError(
                    f"{where}: `logprobs.{name}` has {len(values)} entries for a prompt of {tokens} tokens. Either the "
                    "server ignores `echo`, or tokenizer= is not its model's."
                )
        assert isinstance(token_logprobs, list)
        assert isinstance(top_logprobs, list)
        chosen, top = token_logprobs[context:tokens], top_logprobs[context:tokens]
        if any(not isinstance(p, int | float) for p in chosen) or any(not isinstance(t, dict) or not t for t in top):
            raise UserError(f"{where}: a scored token has no log-likelihood (null in `logprobs`).")
        if any(p <= MINUS_INFINITY for p in chosen):
            return float("-inf"), False
        return float(sum(chosen)), all(p >= max(t.values()) for p, t in zip(chosen, top, strict=True))

    def _send(self, method: str, path: str, body: Any, attempts: int = ATTEMPTS) -> Any:
        """The JSON of an answer. UserError: not reachable, busy for too long, refused (with the server's reason)."""
        for attempt in range(attempts):
            wait = FIRST_WAIT * 2**attempt * random.uniform(1, 1.5)
            try:
                response = self.client.request(method, self.base + path, json=body)
            except httpx.RequestError as error:
                what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "is not reachable"
                failure = f"{self.base}: the server {what} ({type(error).__name__}), tried {attempts} times."
            else:
                if response.status_code not in RETRIED:
                    return self._json(response)
                failure = f"{self.base}{path}: {response.status_code} {attempts} times ({reason(response)})."
                wait = max(wait, _retry_after(response.headers.get("Retry-After")))
            if attempt + 1 < attempts:
                self.sleep(min(wait, LONGEST_WAIT))
        raise UserError(failure)

    def _json(self, response: httpx.Response) -> Any:
        if response.is_success:
            try:
                return response.json()
            except ValueError:
                raise UserError(
                    f"{response.url}: the answer is not JSON. Is this an OpenAI-compatible server?"
                ) from None
        why, status = reason(response), response.status_code
        hint = ""
        if status in (401, 403):
            hint = " Put its key into the environment variable OPENAI_API_KEY."
        elif status == 404:
            hint = " Is this an OpenAI-compatible server, and the address right?"
        elif any(words in why.lower() for words in ("context length", "maximum context", "max_model_len", "too long")):
            hint = " Its context is shorter than assumed: pass max_length."
        elif any(words in why.lower() for words in ("echo", "logprobs")):
            hint = " Scoring needs `echo` with `logprobs` (vLLM has both)."
        raise UserError(f"{response.url}: {status}: {why}.{hint}")


def reason(response: httpx.Response) -> str:
    """The server's own words, at most 300 characters: `error.message`, `message`, `detail`, or the text."""
    try:
        found = response.json()
    except ValueError:
        found = response.text
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return " ".join(str(found).split())[:300].rstrip(".") or response.reason_phrase


def _retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for (a number or a date); 0 without one."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Neighbours of `order`, at most BATCH_PROMPTS and BATCH_TOKENS together (at least one)."""
    batch: list[int] = []
    tokens = 0
    for i in order:
        if batch and (len(batch) == BATCH_PROMPTS or tokens + lengths[i] > BATCH_TOKENS):
            yield batch
            batch, tokens = [], 0
        batch.append(i)
        tokens += lengths[i]
    if batch:
        yield batch


def _window(known: int | None, tokenizer: Any, asked: int | None, base: str) -> tuple[int, str]:
    """(tokens of a prompt and its answer, who says so)."""
    own = tokenizer.model_max_length
    window, said_by = known or DEFAULT_LENGTH, "server" if known else "default"
    if known is None and own < 1e9:  # Transformers writes 1e30 for "not known"
        window, said_by = int(own), "tokenizer"
    if asked is not None:
        if asked < 2 or (known is not None and asked + 2 > known):
            raise UserError(f"max_length: {asked} tokens asked; {base} takes 2 to {(known or asked) - 2} and two more.")
        window, said_by = asked + 2, "max_length"
    if window < 4:
        raise UserError(f"{base}: a context of {window} tokens is too short to score anything.")
    return window, said_by


def _smallm_trained(tokenizer: Any) -> bool:
    """Is the tokenizer named by the directory of a model that smallm trained?"""
    from pathlib import Path

    return isinstance(tokenizer, str | Path) and (Path(tokenizer).expanduser() / "smallm.json").is_file()
