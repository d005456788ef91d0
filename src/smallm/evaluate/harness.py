"""smallm's scorer as a model of lm-eval (`lm_eval --model smallm`), so that every task of the harness runs unchanged.

Text in, scores and text out, through evaluate/scorer.py; equal to lm-eval's own `hf` model (in float32 every item's
log-likelihood to 1e-3, the same greedy text). Where `hf` stops with an assertion there is an answer here: a token that
spans the join (evaluate/requests.py), a continuation longer than the window (rolling windows), more new tokens than
the window holds (half of it, said aloud). What would come out wrong is refused: sampling, a cache of another model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from lm_eval.api.model import CacheHook, TemplateLM
from lm_eval.api.registry import register_model

from smallm import __version__
from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.evaluate.requests import WINDOWS, Encoder, Request, Score

if TYPE_CHECKING:
    from smallm.evaluate.scorer import Scorer

Answer = TypeVar("Answer")
MAX_NEW_TOKENS = 256  # lm-eval's default
WINDOW = 1_024  # tokens that one of `batch_size` stands for
# Requests between two writes to lm-eval's cache, where it is on: what an interrupted run keeps.
CACHED_SLICE = 2_048
OWNER_KEY = "smallm: the model that these answers are of"
# Of a generation's settings: what greedy decoding does not look at. Everything else that we do not know is refused.
WITHOUT_EFFECT = {"do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "use_cache"}
NEW_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # lm-eval's order


@register_model("smallm")
class SmallmLM(TemplateLM):
    """A run, a model or adapter directory, a Hub name or the URL of an OpenAI-compatible server, as lm-eval's model."""

    def __init__(
        self,
        pretrained: str | None = None,
        tokenizer: str | None = None,
        dtype: str = "auto",
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        add_bos_token: bool | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        *,
        scorer: Scorer | None = None,
        **unknown: Any,
    ) -> None:
        """Keywords as `hf` has them; `pretrained` also takes an adapter's directory (`hf` says `peft=`).

        `add_bos_token` None: BOS is put in front for models that smallm trained (each of their documents began with
        it), for others the tokenizer decides, as with `hf`. True and False are `hf`'s (True scores the BOS of a
        rolling text too). `batch_size`: work is packed to a budget of tokens (`batch_tokens`); a number above 1 makes
        that so many windows of WINDOW tokens, 1 (lm-eval's default) and "auto" leave it to us. `max_batch_size` is
        accepted and has no effect. Raises UserError: whatever does not load.
        """
        super().__init__()
        if unknown:
            raise UserError(
                f"--model_args: smallm has no {', '.join(sorted(unknown))}. It takes pretrained, tokenizer, dtype, "
                "load_in_4bit, load_in_8bit, add_bos_token, batch_tokens, max_length, device, trust_remote_code."
            )
        if scorer is None:
            if not pretrained:
                raise UserError("--model_args: name the model, for example pretrained=runs/quickstart.")
            from smallm.evaluate.scorer import load_scorer

            scorer = load_scorer(
                pretrained,
                dtype=dtype,
                load_in_4bit=load_in_4bit,
                load_in_8bit=load_in_8bit,
                tokenizer=tokenizer,
                add_bos=add_bos_token,
                batch_tokens=batch_tokens or _budget(batch_size),
                device=_device(device),
                trust_remote_code=trust_remote_code,
                max_length=max_length,
            )
        if add_bos_token and scorer.tokenizer.bos_token_id is None:
            warn(f"{scorer.name}: its tokenizer has no BOS, so add_bos_token=True adds none (as with `hf`)")
            add_bos_token = False
            scorer = _without_bos(scorer)
        self.scorer: Scorer = scorer
        self.tokenizer = scorer.tokenizer
        self.add_bos_token = add_bos_token
        # (context, continuation) -> its Score: lm-eval's samples have no room for marks and token counts.
        self.scores: dict[tuple[str, ...], Score] = {}

    @classmethod
    def of(cls, scorer: Scorer) -> SmallmLM:
        """The model of a scorer that is there already."""
        return cls(scorer=scorer)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log p in nats, is greedy) of each Instance's (context, continuation). UserError: an empty continuation."""
        return self._answers("loglikelihood", [(r.args[0], r.args[1]) for r in requests], self._score)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log p in nats of each Instance's text, in lm-eval's rolling windows; the empty text has 0."""
        return self._answers("loglikelihood_rolling", [(r.args[0],) for r in requests], self._roll)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy text after each Instance's prompt, up to the first stop string. UserError: settings that sample."""
        return self._answers("generate_until", [(r.args[0], r.args[1]) for r in requests], self._generate)

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = False, **_: Any) -> list[tuple[float, bool]]:
        """As `loglikelihood`, of (anything, context ids, continuation ids)."""
        score = getattr(self.scorer, "score", None)
        if score is None:
            raise UserError(f"{self.scorer.name}: takes text, not token ids.")
        return score([(context, continuation) for _, context, continuation in requests], lambda done: None)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The chat as the tokenizer's template writes it; a last assistant message is left open to go on from."""
        if not getattr(self.tokenizer, "chat_template", None):
            raise UserError(
                f"{self.scorer.name}: its tokenizer has no chat template. Leave --apply_chat_template out, or name a "
                "tokenizer that has one (tokenizer=…)."
            )
        how = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        import jinja2

        try:
            return self.tokenizer.apply_chat_template(chat_history, tokenize=False, **how)
        except jinja2.TemplateError:  # a template that refuses system messages; `hf` leaves them out too
            rest = [message for message in chat_history if message["role"] != "system"]
            if len(rest) == len(chat_history):
                raise
            warn(f"{self.scorer.name}: its chat template takes no system message; it is left out, as lm-eval does")
            return self.tokenizer.apply_chat_template(rest, tokenize=False, **how)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        return self.encoder.encode(string, special=add_special_tokens is not False)

    def tok_decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)

    @cached_property
    def encoder(self) -> Encoder:
        """The scorer's; made from its settings where its weights are not loaded yet."""
        known = self.scorer.settings
        made = getattr(self.scorer, "encoder", None)
        return made or Encoder(self.tokenizer, add_bos=known["add_bos"], prefix_id=known["prefix_id"])

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        return self.encoder.prefix_id

    @property
    def max_length(self) -> int:
        return self.scorer.max_length

    @property
    def max_gen_toks(self) -> int:
        return MAX_NEW_TOKENS

    @property
    def tokenizer_name(self) -> str:
        """Keys lm-eval's cache of built requests: the tokenizer's content, not where it lies."""
        return f"smallm-{self.scorer.tokenizer_sha256[:16]}"

    def get_model_info(self) -> dict[str, Any]:
        """What stands in the `config` of lm-eval's results."""
        return {
            "model_num_parameters": self.scorer.parameters if self.scorer.parameters is not None else -1,
            "model_dtype": str(self.scorer.settings.get("dtype", "")),
            "model_revision": "",
            "model_sha": self.scorer.weights_sha256 or "",
            "tokenizer_sha": self.scorer.tokenizer_sha256,
            "smallm_version": __version__,
            "smallm_settings": self.scorer.settings,
        }

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """lm-eval's --use_cache FILE: taken only when every answer in FILE is of this very model.

        Its keys hold the request alone (its issue 4063), so that a file begun with one model answers for the next.
        We put the hash of weights, tokenizer and settings beside the answers, and refuse a file with another or none.
        """
        if cache_hook.dbdict is not None:
            self._claim(cache_hook.dbdict)
        super().set_cache_hook(cache_hook)

    @cached_property
    def fingerprint(self) -> str | None:
        """Hash of all that an answer depends on; None where the weights cannot be known (a server)."""
        scorer = self.scorer
        if scorer.weights_sha256 is None:
            return None
        parts = [scorer.weights_sha256, scorer.tokenizer_sha256, scorer.settings, scorer.max_length, __version__]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _claim(self, answers: Any) -> None:
        rule = "lm-eval's cache does not know which model an answer is of"
        if self.fingerprint is None:
            raise UserError(
                f"--use_cache: {rule}, and the weights behind {self.scorer.name} cannot be known. Leave it out."
            )
        owner = answers.get(OWNER_KEY)
        if owner is None and len(answers):
            raise UserError(f"--use_cache: the file holds answers of an unknown model; {rule}. Name a new file.")
        if owner not in (None, self.fingerprint):
            raise UserError(
                f"--use_cache: the file holds answers of another model or of other settings ({owner[:8]}…, this is "
                f"{self.fingerprint[:8]}…); {rule}. Name a file for each model."
            )
        answers[OWNER_KEY] = self.fingerprint

    def _answers(self, kind: str, keys: list[Any], answer: Callable[[list[Any]], list[Answer]]) -> list[Answer]:
        """`answer(keys)`, in order; with lm-eval's cache on, a slice at a time, each kept before the next begins."""
        step = CACHED_SLICE if self.cache_hook.dbdict is not None else max(1, len(keys))
        answers: list[Answer] = []
        for begin in range(0, len(keys), step):
            some = keys[begin : begin + step]
            for key, found in zip(some, answer(some), strict=True):
                self.cache_hook.add_partial(kind, key, found)
                answers.append(found)
        return answers

    def _score(self, pairs: list[tuple[str, str]]) -> list[tuple[float, bool]]:
        scores = self.scorer.loglikelihoods([Request(*pair) for pair in pairs])
        self.scores.update(zip(pairs, scores, strict=True))
        return [(score.logprob, score.greedy) for score in scores]

    def _roll(self, texts: list[tuple[str]]) -> list[float]:
        full = [key for key in texts if key[0]]
        if self.add_bos_token:  # as `hf` has it: BOS after BOS is scored too
            scores = [self._roll_with_bos(text) for (text,) in full]
        else:
            scores = self.scorer.rolling([text for (text,) in full])
        self.scores.update(zip(full, scores, strict=True))
        return [self.scores[key].logprob if key[0] else 0.0 for key in texts]

    def _roll_with_bos(self, text: str) -> Score:
        from smallm.evaluate.score import rolling_windows

        windows = rolling_windows(self.tok_encode(text), self.prefix_token_id, self.max_length)
        found = self._loglikelihood_tokens([(None, *window) for window in windows])
        tokens = sum(len(continuation) for _, continuation in windows)
        return Score(sum(logprob for logprob, _ in found), False, tokens, (WINDOWS,) if len(windows) > 1 else ())

    def _generate(self, asked: list[tuple[str, dict[str, Any]]]) -> list[str]:
        """Prompts of equal settings go together; the answers come back in the order asked."""
        groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
        for at, (_, settings) in enumerate(asked):
            groups.setdefault(self._settings(settings), []).append(at)
        texts = [""] * len(asked)
        for (until, new), places in groups.items():
            prompts = [asked[at][0] for at in places]
            found = self.scorer.generate(prompts, until=until, max_new_tokens=new)
            for at, text in zip(places, found, strict=True):
                texts[at] = text
        return texts

    def _settings(self, settings: dict[str, Any]) -> tuple[tuple[str, ...], int]:
        """(stop strings, new tokens) of a task's generation_kwargs. UserError: what greedy decoding cannot do."""
        if settings.get("do_sample") or (
            settings.get("do_sample") is None and float(settings.get("temperature") or 0) > 0
        ):
            raise UserError(
                f"generation_kwargs {settings} asks for sampling; smallm scores greedy text only. Add "
                "--gen_kwargs do_sample=False,temperature=0 (greedy figures are not comparable with sampled ones)."
            )
        odd = {key: value for key, value in settings.items() if key not in {*WITHOUT_EFFECT, *NEW_TOKENS, "until"}}
        neutral = {"num_beams": 1, "repetition_penalty": 1, "num_return_sequences": 1, "no_repeat_ngram_size": 0}
        odd = {key: value for key, value in odd.items() if key not in neutral or value != neutral[key]}
        if odd:
            raise UserError(
                f"generation_kwargs: smallm does not know {', '.join(f'{k}={v!r}' for k, v in sorted(odd.items()))}. "
                f"It takes until, {NEW_TOKENS[0]} and do_sample=False."
            )
        until = settings.get("until") or []
        until = [until] if isinstance(until, str) else list(until)
        end = self.tokenizer.decode([self.eot_token_id]) if self.eot_token_id is not None else ""
        new = next((int(settings[key]) for key in NEW_TOKENS if settings.get(key) is not None), MAX_NEW_TOKENS)
        if new >= self.max_length:
            warn(
                f"{new} new tokens are asked for, but the model's window holds {self.max_length}: "
                f"{self.max_length // 2} are generated, after the last {self.max_length - self.max_length // 2} tokens "
                "of the prompt (lm-eval's `hf` stops here)"
            )
            new = self.max_length // 2
        return tuple(dict.fromkeys(stop for stop in [*until, end] if stop)), max(1, new)


def _budget(batch_size: int | str | None) -> int | None:
    """Tokens of one pass: lm-eval's batch sizes ("8", "auto", "auto:4") as a budget; None is ours to choose."""
    text = str(batch_size if batch_size is not None else "auto")
    if text == "1" or text.partition(":")[0] == "auto":
        return None
    if not text.isdigit() or int(text) == 0:
        raise UserError(f'batch_size={text}: it must be a whole number or "auto".')
    return int(text) * WINDOW


def _without_bos(scorer: Any) -> Scorer:
    encoder = Encoder(scorer.tokenizer, add_bos=False, prefix_id=scorer.encoder.prefix_id)
    return dataclasses.replace(scorer, encoder=encoder, settings=scorer.settings | {"add_bos": False})


def _device(device: str | None) -> str | None:
    """lm-eval's command line asks for cuda:0 where nothing was asked; without a card that means: choose."""
    import torch

    return None if device and device.startswith("cuda") and not torch.cuda.is_available() else device
