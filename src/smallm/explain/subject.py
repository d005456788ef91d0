"""A loaded model as the looking needs it: ids in, logits out, its layers known, its tokens readable.

Ours and Transformers' (adapters and quantised weights included) look alike from here on: nothing beyond this file asks
which one it is. Letters: B rows, T time (tokens), V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smallm.core.errors import UserError
from smallm.evaluate.local_models import LocalModel, Options, load_local
from smallm.model.cache import KVCache
from smallm.model.decoder import Decoder
from smallm.model.generate import encode_prompt
from smallm.model.load import text_ends


@dataclass
class Subject:
    """A model that is looked at. `layers`: the transformer's blocks, in order, each once (some models reuse them)."""

    name: str
    loaded: LocalModel
    layers: list[nn.Module] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layers = self.layers or find_layers(self.model, self.name)

    @property
    def model(self) -> Any:
        return self.loaded.model

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer

    @property
    def ours(self) -> bool:
        return isinstance(self.model, Decoder)

    @property
    def config(self) -> Any:
        """The configuration of the text model."""
        config = self.model.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """Tokens that the model was made for."""
        return int(self.loaded.backend.max_length)

    @property
    def usable(self) -> int:
        """Ids below this are drawn: a vocabulary is padded beyond its tokenizer."""
        if self.ours:
            return len(self.tokenizer)
        return min(self.loaded.backend.vocab_size, max(self.tokenizer.get_vocab().values()) + 1)

    def ends(self, *, chat: bool = False) -> set[int]:
        """Ids at which `smallm generate` ends a text of this model, or with `chat` its answer to a message."""
        if chat:
            from smallm.finetune.save import answer_ends

            return answer_ends(self.path, self._renderer)
        found = text_ends(self.tokenizer, self.path)
        if self.loaded.settings.get("adapter"):  # one of others may say nothing: then what its base says
            named = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
            found |= {named} if isinstance(named, int) else set(named or ())
        return found

    @cached_property
    def _renderer(self) -> Any:
        """Messages in its chat template, behind the system message that it was tuned with."""
        from smallm.evaluate.adapters import recorded
        from smallm.finetune.render import Renderer

        return Renderer(self.tokenizer, system=recorded(self.path).get("system"))

    @property
    def heads(self) -> tuple[int, int]:
        """(query heads, key-value heads) that the configuration names; 0 where it names none."""
        query = next((int(n) for k in ("heads", "num_attention_heads", "n_head") if (n := _read(self.config, k))), 0)
        grouped = next((int(n) for k in ("kv_heads", "num_key_value_heads") if (n := _read(self.config, k))), query)
        return query, grouped

    @property
    def width(self) -> int:
        """D, the residual stream."""
        return next((int(n) for k in ("width", "hidden_size", "n_embd", "d_model") if (n := _read(self.config, k))), 0)

    def logits(self, ids_BT: Tensor, *, last: bool = False) -> Tensor:
        """logits_BTV of the model itself, without a cache; `last`: of the last position alone (B, 1, V)."""
        if self.ours:
            hidden_BTD = self.model.hidden(ids_BT)
            return self.model.logits(hidden_BTD[:, -1:] if last else hidden_BTD)
        options = {"logits_to_keep": 1} if last and self._keeps_logits else {}
        logits_BTV = self.model(input_ids=ids_BT, use_cache=False, **options).logits
        return logits_BTV[:, -1:] if last else logits_BTV

    @cached_property
    def _keeps_logits(self) -> bool:
        """Can it be asked for the last position's logits alone?"""
        inner = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return "logits_to_keep" in inspect.signature(inner.forward).parameters

    def stream(self, room: int) -> Stream:
        """A generation that keeps its keys and values; `room`: tokens at most."""
        return Stream(self, room)

    def encode(self, prompt: str, *, chat: bool = False) -> list[int]:
        """Ids of a prompt as `smallm generate` begins it, or as a user's message in its chat template.

        UserError: an empty prompt, one that is no text, one that does not fit the context, no chat template.
        """
        if not prompt.strip():
            raise UserError("the prompt is empty: there is nothing to look at. Write a few words.")
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(f"the prompt is not UTF-8 text at character {error.start}. Write it anew.") from None
        if chat:
            if not self._renderer.template.source:
                raise UserError(f"{self.name}: its tokenizer has no chat template. Leave --chat out.")
            ids = list(self._renderer.prompt([{"role": "user", "content": prompt}]))
        else:
            ids = encode_prompt(self.tokenizer, prompt)
        if not ids:
            raise UserError("the prompt has no tokens in this model's tokenizer. Write a few words.")
        if len(ids) > self.context:
            raise UserError(
                f"the prompt has {len(ids)} tokens; {self.name} was made for {self.context}. Shorten the prompt."
            )
        return ids

    @property
    def path(self) -> Path:
        return Path(self.name)


class Stream:
    """Token by token: ids in, the logits of the next token out; what was seen stays in the cache."""

    def __init__(self, subject: Subject, room: int) -> None:
        self.subject, self.cache = subject, None
        if subject.ours:
            weight = next(subject.model.parameters())
            self.cache = KVCache(subject.model.config, 1, room, device=weight.device, dtype=weight.dtype)

    @torch.inference_mode()
    def next(self, ids: Sequence[int]) -> Tensor:
        """logits_1V after these new ids."""
        model, ids_1T = self.subject.model, torch.tensor([list(ids)], device=self.subject.device)
        if self.subject.ours:
            return model.logits(model.hidden(ids_1T, cache=self.cache)[:, -1:])[:, 0]
        out = model(input_ids=ids_1T, past_key_values=self.cache, use_cache=True)
        self.cache = out.past_key_values
        return out.logits[:, -1]


def open_subject(name: str, options: Options) -> Subject:
    """The model that MODEL means, loaded and checked. UserError: what `load_local` says, or no layers to look at."""
    from smallm.core.console import say
    from smallm.model.resolve import resolve_model

    path = resolve_model(name, adapters=True)
    if str(path) != name:
        say(f"model: {path}")
    return Subject(str(path), load_local(path, options))


def find_layers(model: nn.Module, name: str) -> list[nn.Module]:
    """The transformer's blocks: of the outermost lists of modules the one with the most parameters.

    UserError: the model has no such list.
    """
    lists: list[tuple[str, nn.ModuleList]] = []
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and not any(path.startswith(p + ".") for p, _ in lists):
            lists.append((path, module))
    if not lists:
        raise UserError(f"{name}: {type(model).__name__} has no list of layers, so there is nothing to look into.")
    largest = max(lists, key=lambda found: sum(p.numel() for p in found[1].parameters()))[1]
    return list(dict.fromkeys(largest))


def _read(config: Any, key: str) -> Any:
    """A number of the configuration; None where it is absent or of another kind (per layer, for instance)."""
    value = getattr(config, key, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
