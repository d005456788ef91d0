"""A server in a thread that speaks OpenAI's completions as vLLM does, over a tiny model, with faults to order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

Answer = tuple[int, dict[str, str], Any]  # status, headers, body


class FakeServer:
    """Speaks the completions protocol as vLLM does, over a tiny model. `fault` may answer in its place."""

    def __init__(self, model: Any, tokenizer: Any, window: int) -> None:
        self.model, self.tokenizer, self.window = model, tokenizer, window
        self.models: list[dict[str, Any]] = [{"id": "tiny", "object": "model", "max_model_len": window}]
        self.fault: Callable[[str, dict[str, Any]], Answer | None] = lambda path, body: None
        self.change: Callable[[dict[str, Any]], None] = lambda choice: None
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def answer(self, body: dict[str, Any]) -> None:
                status, headers, found = outer.respond(self.path, body, dict(self.headers))
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def respond(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self.lock:
            self.seen.append((path, body, headers))
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            if (fault := self.fault(path, body)) is not None:
                return fault
            if path == "/v1/models":
                return 200, {}, {"object": "list", "data": self.models}
            if path != "/v1/completions":
                return 404, {}, {"detail": "Not Found"}
            return self.complete(body)
        finally:
            with self.lock:
                self.busy -= 1

    def complete(self, body: dict[str, Any]) -> Answer:
        for prompt in body["prompt"]:
            if len(prompt) + body["max_tokens"] > self.window:
                why = f"This model's maximum context length is {self.window} tokens. You requested {len(prompt)}."
                return 400, {}, {"error": {"message": why, "type": "BadRequestError", "code": 400}}
        with self.lock:
            choices = [self.choice(index, prompt, body) for index, prompt in enumerate(body["prompt"])]
        for choice in choices:
            self.change(choice)
        return 200, {}, {"id": "x", "object": "text_completion", "choices": choices[::-1]}  # in any order

    @torch.inference_mode()
    def choice(self, index: int, prompt: list[int], body: dict[str, Any]) -> dict[str, Any]:
        ids, stops = list(prompt), body.get("stop") or []
        for _ in range(body["max_tokens"]):
            logp_TV = self.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            best = int(logp_TV[-1, : len(self.tokenizer)].argmax())
            if best == 0 and not body.get("echo"):
                break
            ids.append(best)
            if any(s in self.tokenizer.decode(ids[len(prompt) :]) for s in stops):
                break
        text = self.tokenizer.decode(ids if body.get("echo") else ids[len(prompt) :])
        for stop in stops:
            text = text.split(stop)[0]
        if not body.get("logprobs"):
            return {"index": index, "text": text, "finish_reason": "length"}
        token_logprobs: list[float | None] = [None]
        top: list[dict[str, float] | None] = [None]
        for at, token in enumerate(ids[1:]):
            best = int(logp_TV[at].argmax())
            token_logprobs.append(max(-9999.0, logp_TV[at, token].item()))
            top.append({f"token_id:{i}": logp_TV[at, i].item() for i in {best, token}})
        fields = {"token_logprobs": token_logprobs, "top_logprobs": top, "tokens": [str(i) for i in ids]}
        return {"index": index, "text": text, "logprobs": fields, "finish_reason": "length"}


def fails_at_first(times: int, answer: Answer) -> Callable[[str, dict[str, Any]], Answer | None]:
    """A fault that goes away after `times` completions."""
    left = [times]
    lock = threading.Lock()

    def fault(path: str, body: dict[str, Any]) -> Answer | None:
        with lock:
            if not path.endswith("completions") or left[0] == 0:
                return None
            left[0] -= 1
        return answer

    return fault
