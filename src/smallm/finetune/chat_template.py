"""A chat template as token ids: what a model's own template writes, tokenised so that no habit of a tokenizer gets in.

Laws of every rendering: the text is tokenised without added specials; exactly one BOS opens it, where the template
writes one or the tokenizer would add one (never both); the special tokens are the template's, as many as it wrote: a
`<|end|>` that somebody typed into a message is plain text, in training and at inference alike; no message is lost.
A template that fails, or is not there, is a UserError with the row's place and what to do. Light: no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import sha256_bytes

Messages = Sequence[Mapping[str, Any]]
# Characters of which one marks a special's name while a text is on its way: private use, never in a text of anybody's.
MARKERS = range(0xF0000, 0xFFFFE)


class ChatTemplate:
    """The chat template of a Transformers tokenizer. `specials`: names of its special tokens -> ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.name = str(getattr(tokenizer, "name_or_path", "") or "the tokenizer")
        decoder = getattr(tokenizer, "added_tokens_decoder", {})
        self.specials = {str(token.content): int(i) for i, token in decoder.items() if token.special}
        self.special_ids = frozenset(self.specials.values())
        longest_first = sorted(self.specials, key=len, reverse=True)
        self.names = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self.bos, self.eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.adds_bos = self.bos is not None and list(tokenizer.encode("x"))[:1] == [self.bos]
        self._fast = _plain_backend(tokenizer)
        self._clone: tuple[str, Any] = ("", None)  # (marker, tokenizer whose specials have other names)

    @cached_property
    def source(self) -> str:
        """The template's text; "" where the tokenizer has none."""
        return str(self.tokenizer.get_chat_template()) if getattr(self.tokenizer, "chat_template", None) else ""

    @property
    def sha256(self) -> str:
        """Of the template's text."""
        return sha256_bytes(self.source.encode("utf-8"))

    @property
    def has_clock(self) -> bool:
        """Whether the template may write today's date: its renderings then differ from day to day."""
        return "strftime_now" in self.source

    def typed(self, messages: Messages) -> int:
        """How often the contents hold the name of a special token, which stays plain text."""
        return sum(len(self.names.findall(message["content"])) for message in messages)

    def text(self, messages: Messages, *, prompt: bool, place: str = "") -> str:
        """What the template writes; with `prompt` up to where an answer begins. For showing: ids come from `ids`."""
        written, marker = self._render(messages, prompt, place)
        return self._reveal(written, marker) if marker else written

    def ids(self, messages: Messages, *, prompt: bool, place: str = "") -> list[int]:
        """Token ids of the rendering; UserError as `write`."""
        return self.write(messages, prompt=prompt, place=place)[1]

    def write(self, messages: Messages, *, prompt: bool, place: str = "") -> tuple[str, list[int]]:
        """(text, ids) of the rendering. UserError: the template fails, loses a message, or breaks a law above."""
        written, marker = self._render(messages, prompt, place)
        expected = len(self.names.findall(written))
        if marker:
            clone = self._renamed(marker, place)
            tokens = list(clone.encode(self._disguise(written, marker), add_special_tokens=False).ids)
            written = self._reveal(written, marker)
        else:
            tokens = self._encode(written)
        found = sum(map(self.special_ids.__contains__, tokens))
        if found != expected:
            raise UserError(
                f"{at(place)}the template writes {expected} special tokens, but {found} came out of the tokenizer "
                f"({self.name}). Take the names of special tokens out of the text."
            )
        return written, self._opened(tokens, place)

    def plain(self, text: str, place: str = "") -> list[int]:
        """Ids of a text without a template: no special token is added, names of specials in it are plain text."""
        marker = _marker([text]) if self.names.search(text) else ""
        if not marker:
            return self._encode(text)
        return list(self._renamed(marker, place).encode(text, add_special_tokens=False).ids)

    # ---- text -----------------------------------------------------------------------------------------------------

    def _render(self, messages: Messages, prompt: bool, place: str) -> tuple[str, str]:
        """(rendering in which typed names of specials are escaped, the marker that escapes them or "")."""
        contents = [message["content"] for message in messages]
        marker = _marker(contents) if any(map(self.names.search, contents)) else ""
        if marker:
            codes = {name: f"{marker}e{k};" for k, name in enumerate(self.specials)}
            contents = [self.names.sub(lambda m: codes[m[0]], content) for content in contents]
        hidden = [{"role": m["role"], "content": c} for m, c in zip(messages, contents, strict=True)]
        written = self._apply(hidden, prompt, place)
        self._check_contents(hidden, written, place)
        return written, marker

    def _apply(self, messages: list[dict[str, str]], prompt: bool, place: str) -> str:
        if not self.source:
            raise UserError(
                f"{at(place)}{self.name} has no chat template, so it cannot be told how turns are written. Tune a base "
                "that has one (models trained by smallm have one, but the character-level kind), or give the examples "
                "as `text`."
            )
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
        except Exception as error:  # a template is a program: it raises what it likes
            raise UserError(f"{at(place)}{self._why(messages, error)}") from None

    def _why(self, messages: list[dict[str, str]], error: Exception) -> str:
        """What a failing template says, and what helps."""
        said = f"the chat template of {self.name} fails ({' '.join(str(error).split())[:200]})."
        rest = [m for m in messages if m["role"] != "system"]
        if len(rest) < len(messages) and self._accepts(rest):
            return f"{said} It takes no system message: leave finetune.system empty and put its words into the user's."
        if len(rest) == len(messages) and self._accepts([{"role": "system", "content": "Be brief."}, *messages]):
            return f"{said} It needs a system message: set finetune.system."
        roles = ", ".join(m["role"] for m in messages)
        return f"{said} The roles of this row are {roles}: change the row, or choose a base whose template takes them."

    def _accepts(self, messages: list[dict[str, str]]) -> bool:
        try:
            return bool(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception:
            return False

    def _check_contents(self, messages: list[dict[str, str]], written: str, place: str) -> None:
        """Every content stands in the rendering, in its order (blanks at its ends may go)."""
        here = 0
        for number, message in enumerate(messages, 1):
            content = message["content"].strip()
            found = written.find(content, here)
            if found < 0:
                remedy = (
                    "leave finetune.system empty and put its words into the user's message"
                    if message["role"] == "system"
                    else "choose a base whose template keeps it, or change the row"
                )
                raise UserError(
                    f"{at(place)}the chat template of {self.name} leaves out or changes message {number} "
                    f"({message['role']}: {content[:60]!r}): {remedy}."
                )
            here = found + len(content)

    # ---- ids ------------------------------------------------------------------------------------------------------

    def _opened(self, tokens: list[int], place: str) -> list[int]:
        """The ids with exactly one BOS in front, where the template writes one or the tokenizer adds one."""
        if self.bos is None:
            return tokens
        # A BOS later on is a template's that opens every exchange with one (Llama 2), or the end where both are one.
        if self.adds_bos and tokens[:1] != [self.bos] and (self.bos == self.eos or self.bos not in tokens):
            tokens = [self.bos, *tokens]
        if tokens[:2] == [self.bos, self.bos]:
            raise UserError(
                f"{at(place)}the chat template of {self.name} writes its BOS twice; exactly one opens a row. "
                "Remove one `bos_token` from the template."
            )
        return tokens

    def _encode(self, text: str) -> list[int]:
        if self._fast is not None:
            return list(self._fast.encode(text, add_special_tokens=False).ids)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _disguise(self, written: str, marker: str) -> str:
        """The rendering for the clone: the template's specials by their other names, typed ones as they were typed."""
        codes = {name: f"{marker}s{k};" for k, name in enumerate(self.specials)}
        return self._reveal(self.names.sub(lambda m: codes[m[0]], written), marker)

    def _reveal(self, written: str, marker: str) -> str:
        for k, name in enumerate(self.specials):
            written = written.replace(f"{marker}e{k};", name)
        return written

    def _renamed(self, marker: str, place: str) -> Any:
        """The tokenizer with every special token under another name, so that a typed name is text to it."""
        if self._clone[0] != marker:
            self._clone = (marker, self._build_clone(marker))
        if self._clone[1] is None:
            raise UserError(
                f"{at(place)}the text holds the name of a special token ({', '.join(list(self.specials)[:4])}, …), "
                f"which {self.name} cannot read as plain text. Take it out of the text."
            )
        return self._clone[1]

    def _build_clone(self, marker: str) -> Any:
        if self._fast is None:
            return None
        from tokenizers import Tokenizer

        data = json.loads(self._fast.to_str())
        other = {name: f"{marker}s{k};" for k, name in enumerate(self.specials)}
        data["post_processor"] = None
        for token in data["added_tokens"]:
            token["content"] = other.get(token["content"], token["content"])
        model = data["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {other.get(piece, piece): i for piece, i in model["vocab"].items()}
        else:  # Unigram: (piece, score) in the order of the ids
            model["vocab"] = [[other.get(piece, piece), score] for piece, score in model["vocab"]]
        if isinstance(model.get("unk_token"), str):
            model["unk_token"] = other.get(model["unk_token"], model["unk_token"])
        clone = Tokenizer.from_str(json.dumps(data))
        same = all(clone.token_to_id(other[name]) == i for name, i in self.specials.items())
        return clone if same else None


def at(place: str) -> str:
    """`data/x.jsonl:12: `, as a message begins; "" without a place."""
    return f"{place}: " if place else ""


def _marker(contents: Sequence[str]) -> str:
    """A character that no content holds."""
    return next(c for c in map(chr, MARKERS) if not any(c in content for content in contents))


def _plain_backend(tokenizer: Any) -> Any:
    """A copy of the tokenizer's engine that neither cuts nor pads; None where its own `encode` does something else."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    copy = type(backend).from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    probe = " Two  words,\n\na lineé 東京.\n"
    same = list(copy.encode(probe, add_special_tokens=False).ids) == list(
        tokenizer.encode(probe, add_special_tokens=False)
    )
    return copy if same else None
