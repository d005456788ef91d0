"""A causal model of Transformers in the shape of our decoder: what train/loss.LossModel trains.

Adapters and 4-bit weights are inside it and change nothing here. Packed rows run through finetune/attention_hf.py,
which knows the documents' borders; whether this model keeps to them is tried on the model itself (`probe`): some leak
by their architecture (state-space models, recurrences over the row, code of their own), and those get one document a
row, said aloud. Never depends on what Transformers finds in position_ids.
Letters: B rows, T time, N = B * T, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smallm.core.config import FinetuneConfig
from smallm.core.console import say, warn
from smallm.core.errors import UserError
from smallm.evaluate.transformers_models import CONFIG, NF4, caps_attention, load_transformers
from smallm.finetune import attention_hf
from smallm.finetune.adapters import Coverage, attach
from smallm.finetune.dtypes import DtypePlan, Table, advise, census, census_text, check_census, prepare, unpacked
from smallm.finetune.lengths import longest_row
from smallm.model.attention import Borders, make_borders

# Logits that differ by no more than this share of their spread are the same (DESIGN: the isolation probe).
PROBE_TOLERANCE = 1e-3
# Low precision: another batch shape rounds otherwise. A leak or a shifted position moves the mean far more than this.
ROUNDING_SHARE = 0.05
PROBE_DOCUMENTS = ((5, 9, 3, 7), (11, 13))


@dataclass(frozen=True)
class CausalConfig:
    """What the loop asks of a model's configuration. `context`: the longest row whose positions it knows."""

    vocab_size: int
    context: int
    soft_cap: float | None = None


class CausalDecoder(nn.Module):
    """`model` (AutoModelForCausalLM, with PEFT or not) as a decoder; `isolates`: it may be given packed rows.

    `attention`: its own implementation, which it keeps where it does not isolate. `autocast`: the format of its
    products, in training and when it is looked at: what is trained whole is float32 beside 16-bit weights, and
    Transformers casts neither.
    """

    def __init__(self, model: Any, *, probe: bool = True, autocast: torch.dtype | None = None) -> None:
        super().__init__()
        self.model, self.autocast = model, autocast
        self.inner = _Hidden(model.get_base_model() if hasattr(model, "get_base_model") else model)
        text = self.base.config.get_text_config() if hasattr(self.base.config, "get_text_config") else self.base.config
        self.config = CausalConfig(
            int(text.vocab_size), row_limit(text), getattr(text, "final_logit_softcapping", None) or None
        )
        self.scale = _logit_scale(text)
        self.attention = getattr(self.base.config, "_attn_implementation", None)
        if self.attention == "sdpa" and caps_attention(text):
            self.attention = "eager"  # Transformers' sdpa leaves the cap out, without a word
        self.coverage: Coverage | None = None
        self.census: Table | None = None
        self.plan: DtypePlan | None = None
        self.isolates = False
        if probe:
            self.isolates = self.probe()

    # ------------------------------------------------------------------ parts

    @property
    def base(self) -> Any:
        """The Transformers model itself, adapters inside."""
        return self.inner.value

    @property
    def body(self) -> Any:
        """The module that gives hidden states."""
        prefix = getattr(self.base, "base_model_prefix", "") or "model"
        found = getattr(self.base, prefix, None)
        if found is None or found is self.base:
            found = next((m for n, m in self.base.named_children() if n in ("model", "transformer", "backbone")), None)
        if found is None:
            raise ValueError(f"{type(self.base).__name__}: no module of it gives hidden states")
        return found

    @property
    def head(self) -> nn.Module:
        """The output head that is in use: a LoRA on it counts, and of a head trained whole it is the trained copy."""
        head = self.base.get_output_embeddings()
        copies = getattr(head, "modules_to_save", None)
        if copies is None:
            return head
        # PEFT's wrapper hides a plain linear layer, which is what the chunked loss is fast for.
        name = next(iter(head.active_adapters), None)
        return head.original_module if head.disable_adapters or name not in copies else copies[name]

    @property
    def blocks(self) -> list[nn.Module]:
        """Its layers: the longest list of modules of the body."""
        lists = [m for m in self.body.modules() if isinstance(m, nn.ModuleList)]
        return list(max(lists, key=len)) if lists else []

    # ------------------------------------------------------------------ forward

    def hidden(self, ids_BT: Tensor, positions_BT: Tensor | None = None, borders: Borders | None = None) -> Tensor:
        """Hidden states as the head takes them, (B, T, D); `borders` None: one document a row.

        ValueError: borders for a model that does not isolate.
        """
        options = self._options(positions_BT, borders)
        with self.arithmetic():
            hidden_BTD = self.body(input_ids=ids_BT, **options).last_hidden_state
        return hidden_BTD if self.scale is None else hidden_BTD * self.scale

    def forward(self, ids_BT: Tensor, positions_BT: Tensor | None = None, borders: Borders | None = None) -> Tensor:
        """logits_BTV, the model's own."""
        with self.arithmetic():
            return self.model(input_ids=ids_BT, **self._options(positions_BT, borders)).logits

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Autocast to the training's format; within the loop's own it changes nothing."""
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, dtype=self.autocast)

    def _options(self, positions_BT: Tensor | None, borders: Borders | None) -> dict[str, Any]:
        options: dict[str, Any] = {"use_cache": False}
        if positions_BT is not None:
            options["position_ids"] = positions_BT
        if borders is not None:
            if not self.isolates:
                raise ValueError(f"{type(self.base).__name__} does not keep documents apart: one document a row")
            options["attention_mask"] = attention_hf.packed_mask(borders)
        return options

    # ------------------------------------------------------------------ probe

    @torch.no_grad()
    def probe(self) -> bool:
        """Whether packed rows give the logits of their documents alone; switches the attention on if so.

        Tried in evaluation and, where nothing is random there, in training: (1) the packed logits are those of each
        document alone under the model's own attention; (2) other tokens in one document leave its neighbours' logits
        where they were. A model that fails keeps its own attention.
        """
        was_training = self.training
        why = ""
        try:
            with _attention(self, self.attention):
                alone = {}
                for mode in self._modes():
                    self.train(mode)
                    alone[mode] = [self._alone(row, mode) for row in self._probe_rows()]
            attention_hf.register()
            self._set_attention(attention_hf.NAME)
            self.isolates = True
            for mode, expected in alone.items():
                self.train(mode)
                why = why or self._differs(expected)
        except Exception as error:  # models of others raise what they like at a mask that they do not know
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        finally:
            self.train(was_training)
        if why:
            self.isolates = False
            self._set_attention(self.attention)
            warn(
                f"{type(self.base).__name__} does not keep the documents of a packed row apart ({why}). "
                "It gets one document a row: slower, and just as right."
            )
        return not why

    def _modes(self) -> list[bool]:
        random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.modules())
        random = random or any(getattr(m, "attention_dropout", 0) for m in self.modules())
        return [False] if random else [False, True]

    def _probe_rows(self) -> list[list[Tensor]]:
        generator = torch.Generator().manual_seed(0)
        return [
            [torch.randint(self.config.vocab_size, (n,), generator=generator) for n in row] for row in PROBE_DOCUMENTS
        ]

    @property
    def device(self) -> torch.device:
        return self.base.get_input_embeddings().weight.device

    def _alone(self, row: list[Tensor], mode: bool) -> Tensor:
        """Logits of each document by itself, one after another."""
        return torch.cat([self(ids[None].to(self.device))[0].float() for ids in row])

    def _packed(self, rows: list[list[Tensor]]) -> Tensor:
        segments = [torch.cat([torch.full((len(d),), i) for i, d in enumerate(row)]) for row in rows]
        positions = [torch.cat([torch.arange(len(d)) for d in row]) for row in rows]
        ids_BT, segments_BT, positions_BT = (
            torch.stack(x).to(self.device) for x in ([torch.cat(row) for row in rows], segments, positions)
        )
        return self(ids_BT, positions_BT, make_borders(segments_BT, "varlen")).float()

    def _differs(self, expected: list[Tensor]) -> str:
        """What is wrong with the packed logits, in words; empty when nothing is."""
        rows = self._probe_rows()
        packed_BTV = self._packed(rows)
        wanted_BTV = torch.stack(expected)
        spread = float(wanted_BTV.std().clamp(min=1e-6))
        formats = {p.dtype for p in self.base.parameters()}
        exact = self.autocast is None and formats == {torch.float32}
        difference = (packed_BTV - wanted_BTV).abs() / spread
        off = float(difference.max() if exact else difference.mean())
        if not off <= (PROBE_TOLERANCE if exact else ROUNDING_SHARE):
            return f"packed logits are off by {off:.2g} of their spread"
        other = [[(d + 1) % self.config.vocab_size if i == 0 else d for i, d in enumerate(row)] for row in rows]
        moved = (self._packed(other) - packed_BTV).abs() / spread
        for row, lengths in zip(moved, PROBE_DOCUMENTS, strict=True):
            if not float(row[lengths[0] :].max()) <= PROBE_TOLERANCE:
                return "a document changes the logits of its neighbours"
        return ""

    def _set_attention(self, name: str | None) -> None:
        if name is not None and getattr(self.base.config, "_attn_implementation", None) != name:
            self.base.set_attn_implementation(name)

    @contextmanager
    def serving_attention(self) -> Iterator[None]:
        """The model with its own attention, as it is served: for evaluations during the training."""
        with _attention(self, self.attention), self.arithmetic():
            yield


@contextmanager
def _attention(decoder: CausalDecoder, name: str | None) -> Iterator[None]:
    before = getattr(decoder.base.config, "_attn_implementation", None)
    decoder._set_attention(name)
    try:
        yield
    finally:
        decoder._set_attention(before)


class _Hidden:
    """Holds a module that must not be registered twice (its parameters have one name)."""

    def __init__(self, value: Any) -> None:
        self.value = value


def load_for_training(
    directory: Path, tune: FinetuneConfig, device: torch.device | str, plan: DtypePlan, tokenizer: Any = None
) -> CausalDecoder:
    """The base in the planned formats, adapters attached, in training mode; what was done is said.

    `tokenizer`: the one of the rows; where it has more tokens than the base, the embeddings grow. UserError: a base
    that Transformers does not open, is quantised already, or whose tokenizer outgrew embeddings that are not trained.
    """
    if not (directory / CONFIG).is_file():
        raise UserError(
            f"{directory}: this model opens in smallm alone (its switches fit no family of Transformers), and "
            "fine-tuning runs through Transformers. Train a base with the family's switches (model.preset alone)."
        )
    model, facts = load_transformers(
        directory, plan.weights, torch.device(device), quantise=NF4 if plan.four_bit else None, trust_remote_code=False
    )
    if facts["quantisation"] not in (None, NF4):
        raise UserError(
            f"{directory}: its weights are stored quantised ({facts['quantisation']}); adapters trained on them belong "
            "to no other copy of the model. Name the original, and set finetune.load_in_4bit."
        )
    _grow(model, tokenizer, tune, directory)
    prepare(model, plan)
    if advice := advise(sum(unpacked(p) for p in model.parameters()), tune):
        warn(advice)
    adapted, coverage = attach(model, tune)
    found = census(adapted)
    check_census(found, plan)
    say(coverage.text())
    say(f"formats ({plan.reason}), trained in float32:\n{census_text(found)}")
    decoder = CausalDecoder(adapted, autocast=plan.autocast)
    decoder.coverage, decoder.census, decoder.plan = coverage, found, plan
    return decoder.train()


def _grow(model: Any, tokenizer: Any, tune: FinetuneConfig, directory: Path) -> None:
    """More rows for a tokenizer with more tokens than the model; else nothing (many models have spare rows)."""
    rows = model.get_input_embeddings().weight.shape[0]
    needed = 0 if tokenizer is None else max(tokenizer.get_vocab().values(), default=-1) + 1
    if needed <= rows:
        return
    wanted = {"embed_tokens", "wte", "embed_in", "word_embeddings"} & set(tune.lora_modules_to_save)
    if tune.method != "full" and not wanted:
        raise UserError(
            f"{directory}: its tokenizer has ids up to {needed - 1}, the model {rows} rows. New rows are random until "
            "they are trained: add the embeddings (and an untied head) to finetune.lora_modules_to_save, or use the "
            "model's own tokenizer and template."
        )
    model.resize_token_embeddings(needed, pad_to_multiple_of=64)
    now = model.get_input_embeddings().num_embeddings
    say(f"embeddings: {now - rows} rows added for new tokens, {now} now (a multiple of 64)")


def row_limit(config: Any) -> int:
    """The longest row that a model of this Transformers configuration takes."""
    found = longest_row(config.to_dict())
    return found[0] if found else 1 << 30


def _logit_scale(config: Any) -> float | None:
    """A factor between head and logits (Cohere multiplies, Granite divides); on the hidden states it does the same."""
    if getattr(config, "logits_scaling", None):
        return 1.0 / float(config.logits_scaling)
    found = getattr(config, "logit_scale", None)
    return float(found) if found is not None and getattr(config, "model_type", "").startswith("cohere") else None
