"""Talking to a tuned model: adapter and base, or merged; messages in its own chat template, as in its training.

Ids are drawn as for our decoder (model/sampling.py), one at a time and with the cache, so that text can be shown while
it is written. An adapter trained on a 4-bit base talks from one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from smallm.commands.talk import TEXT_ENDS, Chat, stream
from smallm.core.console import say
from smallm.core.errors import UserError
from smallm.core.files import read_json

HELP = """Write a message: the model answers it. The conversation so far goes with it.
  /reset            start a new conversation
  /set              show the settings; /set temperature 0.7 changes one
  /text             show the conversation so far
  /help, /quit"""
TUNED_FORMATS = ("smallm-tuned", "smallm-merged")


def is_tuned(path: Path) -> bool:
    """An adapter, or a whole model that smallm tuned or merged."""
    from smallm.model.resolve import is_adapter_directory

    if is_adapter_directory(path):
        return True
    try:
        return str(read_json(path / "smallm.json").get("format", "")).startswith(TUNED_FORMATS)
    except (OSError, ValueError, AttributeError):
        return False


class TunedModel:
    """A loaded tuned model that answers messages. UserError: no chat template, or whatever does not load."""

    def __init__(self, path: Path, *, load_in_4bit: bool = False) -> None:
        from smallm.evaluate.local_models import Options, load_local, quantisation
        from smallm.finetune.render import Renderer
        from smallm.finetune.save import answer_ends

        loaded = load_local(path, Options(quantise=quantisation(load_in_4bit, False)))
        self.path, self.model, self.tokenizer = path, loaded.model, loaded.tokenizer
        try:
            facts = read_json(path / "smallm.json")
        except (OSError, ValueError):
            facts = {}  # an adapter of others
        self.facts = facts if isinstance(facts, dict) else {}
        self.renderer = Renderer(self.tokenizer, system=self.facts.get("system"))
        if not self.renderer.template.source:
            raise UserError(
                f"{path}: its tokenizer has no chat template, so it is not known how messages are written for it. "
                "Put the template into chat_template.jinja there."
            )
        self.end_ids = answer_ends(path, self.renderer)
        self.context, self.switch = _reach(self.model.config)

    def answer(self, messages: Sequence[dict[str, str]], sampling: Any) -> Generator[str, None, str]:
        """Pieces of the answer; returns why it ended. UserError: a conversation that fills the context."""
        from smallm.model.generate import decode_stream, decoder_of, until_stop

        ids = self.renderer.prompt(messages)
        if len(ids) >= self.context:
            raise UserError(
                f"the conversation has {len(ids)} tokens, the model's context is {self.context}. /reset it."
            )
        reason = yield from until_stop(
            decode_stream(self._ids(ids, sampling), decoder_of(self.tokenizer)), sampling.stop
        )
        return reason

    def _ids(self, prompt: list[int], sampling: Any) -> Generator[int, None, str]:
        from smallm.model.decoder import Decoder
        from smallm.model.generate import generate_ids

        usable = max(self.tokenizer.get_vocab().values()) + 1
        if isinstance(self.model, Decoder):
            return generate_ids(self.model, prompt, sampling, self.end_ids, usable=usable, fast=True)
        return _generate(self.model, prompt, sampling, self.end_ids, usable, self.context, self.switch)


def _reach(config: Any) -> tuple[int, int | None]:
    """(the context, the length beyond which LongRoPE rotates by other factors) of a loaded model's configuration."""
    from smallm.finetune.lengths import longest_text

    if hasattr(config, "get_text_config"):
        return longest_text(config.get_text_config().to_dict()) or (1 << 30, None)
    return int(config.context), None  # our decoder's, whose cache sees to it


def _generate(
    model: Any, prompt: list[int], sampling: Any, ends: set[int], usable: int, context: int, switch: int | None = None
) -> Generator[int, None, str]:
    """`generate_ids` for a model of Transformers. A text that outgrows `switch` tokens is computed anew, once."""
    import torch

    from smallm.model.generate import CONTEXT, LENGTH, STOP_ID
    from smallm.model.sampling import draw, streams

    device = next(model.parameters()).device
    random, cache, ids = streams(sampling, 1), None, list(prompt)
    new = torch.tensor([prompt], device=device)
    seen_1V = torch.zeros(1, usable, dtype=torch.bool, device=device)
    for _ in range(sampling.max_new_tokens):
        seen_1V[0, new[0][new[0] < usable]] = True
        with torch.inference_mode():
            out = model(input_ids=new, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits_1V = out.logits[:, -1, :usable].float()
        token = draw(logits_1V, sampling, random, seen_1V[:, : logits_1V.shape[1]])[0]
        if token in ends:
            return STOP_ID
        yield token
        ids.append(token)
        if len(ids) >= context:
            return CONTEXT
        if switch is not None and len(ids) == switch + 1:
            cache = None  # its keys were rotated by the factors of short texts
        new = torch.tensor([[token] if cache is not None else ids], device=device)
    return LENGTH


def generate_other(path: Path, text: str, sampling: Any, *, show: bool, load_in_4bit: bool) -> tuple[str, str | None]:
    """Continue `text` with a model through Transformers: 4-bit weights, families that our decoder does not know."""
    from smallm.evaluate.local_models import Options, load_local, quantisation
    from smallm.model.generate import decode_stream, decoder_of, encode_prompt, until_stop
    from smallm.model.load import text_ends

    loaded = load_local(path, Options(quantise=quantisation(load_in_4bit, False)))
    say(f"(through Transformers{', its weights in NF4' if load_in_4bit else ''})")
    tokenizer, (context, switch) = loaded.tokenizer, _reach(loaded.model.config)
    prompt = encode_prompt(tokenizer, text)
    if len(prompt) >= context:
        raise UserError(f"the prompt has {len(prompt)} tokens; the model's context is {context}. Shorten the prompt.")
    ends = text_ends(tokenizer, path)
    if show:
        print(text, end="", flush=True)
    ids = _generate(loaded.model, prompt, sampling, ends, max(tokenizer.get_vocab().values()) + 1, context, switch)
    return stream(until_stop(decode_stream(ids, decoder_of(tokenizer)), sampling.stop), show=show)


def generate_tuned(
    path: Path, text: str, sampling: Any, *, show: bool, load_in_4bit: bool = False
) -> tuple[str, str | None]:
    """Answer `text` as the user's message; (answer, why it ended)."""
    model = TunedModel(path, load_in_4bit=load_in_4bit)
    say("(a tuned model: the prompt goes in as the user's message, in its chat template)")
    return stream(model.answer([{"role": "user", "content": text}], sampling), show=show)


def introduction(model: TunedModel) -> str:
    """What it was tuned from, and how to talk to it."""
    base = model.facts.get("base") or {}
    named = f", tuned from {base['name']}" if base.get("name") else ""
    notice = f"\n{model.facts['notice']}" if model.facts.get("notice") else ""
    return (
        f"{model.path}{named}.{notice}\nIt answers messages like those that it was tuned on, in its chat template.\n"
        "/help says what else there is; /quit ends."
    )


class TunedChat(Chat):
    """A conversation of messages."""

    help = HELP

    def __init__(self, model: TunedModel, sampling: Any) -> None:
        super().__init__(model, sampling)
        self.messages: list[dict[str, str]] = []

    def turn(self, line: str) -> None:
        """Put the message, stream the answer, keep both. What no longer fits is left out from the beginning, said."""
        if not line:
            say("Write a message; /help lists the commands.")
            return
        self.messages.append({"role": "user", "content": line})
        self._make_room()
        try:
            written, reason = stream(self.loaded.answer(self.messages, self.sampling))
        except UserError as error:
            self.messages.pop()
            say(str(error))
            return
        print(flush=True)
        self.messages.append({"role": "assistant", "content": written})
        if reason != TEXT_ENDS:
            say(f"(the answer was cut: {reason})")
        self.text = "\n".join(f"{m['role']}: {m['content']}" for m in self.messages)
        self.sampling = dataclasses.replace(self.sampling, seed=self.sampling.seed + 1)

    def reset(self) -> None:
        super().reset()
        self.messages = []

    def _make_room(self) -> None:
        """Drop the oldest exchanges until the answer has room."""
        dropped = 0
        room = max(self.loaded.context - self.sampling.max_new_tokens, self.loaded.context // 2)
        while len(self.messages) > 2 and len(self.loaded.renderer.prompt(self.messages)) > room:
            del self.messages[:2]
            dropped += 1
        if dropped:
            say(f"(the {dropped} oldest exchanges no longer fit the context and are left out)")
