"""`smallm generate` and `smallm chat`: text from a model, streamed to the terminal.

A base model continues text. `chat` therefore is writing together: each line is put to the text so
far and the model goes on from there. A tuned model answers messages (commands/talk_tuned.py).
Reads a terminal or a pipe; text goes to stdout, the rest to stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.console import count, say
from smallm.core.errors import UserError

HELP = """Write a line: it is added to the text, and the model goes on. An empty line lets it write more.
  /reset            start a new text
  /set              show the settings; /set temperature 0.7 changes one
  /text             show the text so far
  /help, /quit"""
SETTINGS = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "greedy")


def generate_command(
    model: str, prompt: str, options: dict[str, Any], *, as_json: bool, load_in_4bit: bool = False
) -> None:
    from smallm.commands.talk_tuned import generate_other, generate_tuned, is_tuned
    from smallm.model.generate import SamplingConfig, generate_text
    from smallm.model.steps import decoding

    text = sys.stdin.read() if prompt == "-" else prompt
    path = _resolve(model)
    sampling = SamplingConfig(**_with_temperature(options, _recipe_beside(path)))
    room, how = "", {}
    if is_tuned(path):
        written, reason = generate_tuned(path, text, sampling, show=not as_json, load_in_4bit=load_in_4bit)
    elif load_in_4bit or not _is_ours(path):
        written, reason = generate_other(path, text, sampling, show=not as_json, load_in_4bit=load_in_4bit)
    else:
        loaded = _load(path)
        if not as_json:
            print(text, end="", flush=True)
        written, reason = stream(generate_text(loaded, text, sampling, fast=True), show=not as_json)
        how = {"decoding": decoding(loaded.model)}
        room = f" of {loaded.config.context} tokens"
    if as_json:
        facts = {"model": str(path), "prompt": text, "text": written, "ended": reason, **how}
        print(json.dumps(facts | {"sampling": dataclasses.asdict(sampling)}))
    else:
        print()
        if reason == CONTEXT:
            say(f"(the model's context{room} is full)")


# Why a generation ended, as model/generate.py calls it: the text came to its end, or no room was left.
TEXT_ENDS, CONTEXT = "stop id", "context full"


def stream(pieces: Iterator[str], *, show: bool = True) -> tuple[str, str | None]:
    """Print pieces as they come; returns the text and the reason that the generator gives at its end.

    Ctrl-C ends the text where it is (reason "interrupted"), unless nothing was written yet.
    """
    written = ""
    while True:
        try:
            piece = next(pieces)
            written += piece
            if show:
                print(piece, end="", flush=True)
        except StopIteration as end:
            return written, end.value
        except KeyboardInterrupt:
            if not written:
                raise
            return written, "interrupted"


def _resolve(model: str) -> Path:
    """The directory that MODEL means, said where it was chosen: a run's newest model."""
    from smallm.model.resolve import resolve_model

    path = resolve_model(model, adapters=True)
    if str(path) != model:
        say(f"model: {path}")
    return path


def _load(path: Path) -> Any:
    """The model, its weights as they are stored where compiled decoding reads them so: bf16 is half the bytes."""
    from smallm.model.fast import dtype_for
    from smallm.model.load import load_model

    return load_model(path, dtype=dtype_for(path) or "auto", device="auto")


def _is_ours(path: Path) -> bool:
    """Does our decoder know its family? Others, and quantised weights, go through Transformers."""
    from smallm.model.resolve import CONFIG

    try:
        kind = json.loads((path / CONFIG).read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return True  # the loader says what is wrong
    if kind is None:
        return True
    from smallm.evaluate.local_models import is_ours

    return is_ours(path)


def chat_command(model: str, options: dict[str, Any]) -> None:
    from smallm.commands.talk_tuned import TunedChat, TunedModel, is_tuned
    from smallm.commands.talk_tuned import introduction as introduce_tuned
    from smallm.model.generate import SamplingConfig

    path = _resolve(model)
    if is_tuned(path):
        tuned = TunedModel(path)
        say(introduce_tuned(tuned))
        TunedChat(tuned, SamplingConfig(**_with_temperature(options, _recipe_beside(path)))).run(_lines())
        return
    loaded = _load(path)
    if loaded.tokenizer is None:
        raise UserError(f"{loaded.path}: has no tokenizer, so it can neither read nor write text.")
    recipe = _recipe_beside(loaded.path)
    say(introduction(loaded.path, recipe))
    Chat(loaded, SamplingConfig(**_with_temperature(options, recipe))).run(_lines())


def _with_temperature(options: dict[str, Any], recipe: Recipe | None) -> dict[str, Any]:
    """The options, with the temperature of the model's recipe where the user named none."""
    if options.get("temperature") is not None:
        return options
    return options | {"temperature": recipe.temperature if recipe else Recipe().temperature}


def _lines() -> Iterable[str]:
    """Lines of the user: edited at a terminal, read from a pipe."""
    if not sys.stdin.isatty():
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with contextlib.suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (input() then has history and editing)
    while True:
        try:
            yield input("> ")
        except EOFError:
            return


def introduction(path: Path, recipe: Recipe | None) -> str:
    """What this model can do, and three prompts that suit it."""
    facts = _facts(path)
    size = f", {count(facts['parameters'])} parameters" if "parameters" in facts else ""
    seen = f", trained on {count(facts['tokens_seen'])} tokens" if "tokens_seen" in facts else ""
    about = f": {recipe.description}" if recipe and recipe.description else ""
    prompts = (list(recipe.prompts) if recipe else []) or _openings(path.parent / "data")
    lines = [
        f"{path}{about}{size}{seen}.",
        "It is a base model: it continues text like the text that it was trained on, and does not follow instructions.",
    ]
    if prompts:
        lines += ["Try one of these:", *(f"  {prompt}" for prompt in prompts[:3])]
    return "\n".join([*lines, "/help says what else there is; /quit ends."])


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads((path / "smallm.json").read_text("utf-8"))
        return facts if isinstance(facts, dict) else {}
    except (OSError, ValueError):
        return {}


def _recipe_beside(path: Path) -> Recipe | None:
    """The recipe of the run that the model directory is part of, when it is part of one."""
    from smallm.core.recipe import load_recipe

    runs = (path.parent, path.parent.parent) if path.parent.name == "tuned" else (path.parent,)
    try:
        return next((load_recipe(run / "recipe.yaml") for run in runs if (run / "recipe.yaml").is_file()), None)
    except UserError:
        return None  # written by another version; the model still talks


def _openings(data: Path, words: int = 6) -> list[str]:
    """How the first three held-out documents begin."""
    shards = sorted(data.glob("validation-*.parquet"))
    if not shards:
        return []
    import pyarrow.parquet as pq

    texts = next(pq.ParquetFile(shards[0]).iter_batches(batch_size=3, columns=["text"])).column(0).to_pylist()
    return [" ".join(text.split()[:words]) for text in texts]


class Chat:
    """A text that the user and the model write in turn."""

    help = HELP

    def __init__(self, loaded: Any, sampling: Any) -> None:
        self.loaded, self.sampling, self.text = loaded, sampling, ""

    def run(self, lines: Iterable[str]) -> None:
        """Until the lines end or one says /quit. Ctrl-C stops one answer, twice in a row the chat."""
        for line in lines:
            if line.startswith("/"):
                if not self.command(line):
                    return
            else:
                self.turn(line)

    def turn(self, line: str) -> None:
        """Add the line, let the model go on, and stream what it writes."""
        from smallm.model.generate import generate_text

        if not line and not self.text:
            say("Write how the text begins; /help lists the commands.")
            return
        join = "\n" if self.text and line and not self.text[-1].isspace() else ""
        self.text += join + line
        if line:
            print(line, end="", flush=True)
        written, reason = stream(generate_text(self.loaded, self._fitting(), self.sampling, fast=True))
        print(flush=True)
        self.text += written
        if reason == TEXT_ENDS:
            say("(the text ends here; the next line begins a new one)")
            self.text = ""
        # The next turn draws other numbers, and the whole chat is the same for the same seed.
        self.sampling = dataclasses.replace(self.sampling, seed=self.sampling.seed + 1)

    def _fitting(self) -> str:
        """The end of the text that leaves room for the answer in the model's context."""
        ids = self.loaded.tokenizer(self.text, add_special_tokens=False)["input_ids"]
        room = self.loaded.config.context - self.sampling.max_new_tokens - 1
        room = max(room, self.loaded.config.context // 2)
        return self.text if len(ids) <= room else self.loaded.tokenizer.decode(ids[-room:])

    def command(self, line: str) -> bool:
        """Obey a line that begins with a slash; False when the chat ends."""
        name, *words = line[1:].split() or ["help"]
        if name in ("quit", "exit", "q"):
            return False
        if name == "reset":
            self.reset()
            say("A new text.")
        elif name == "text":
            say(self.text)
        elif name == "set":
            self._set(words)
        else:
            say(self.help if name == "help" else f"/{name}: no such command.\n{self.help}")
        return True

    def reset(self) -> None:
        """Forget the text so far."""
        self.text = ""

    def _set(self, words: list[str]) -> None:
        if not words:
            say("\n".join(f"  {name} {getattr(self.sampling, name)}" for name in SETTINGS))
            return
        if len(words) != 2 or words[0] not in SETTINGS:
            say(f"/set NAME VALUE, with NAME one of {', '.join(SETTINGS)}.")
            return
        name, text = words
        kind = type(getattr(self.sampling, name))
        try:
            value = text.lower() in ("true", "on", "1", "yes") if kind is bool else kind(text)
            self.sampling = dataclasses.replace(self.sampling, **{name: value})
            say(f"{name} {value}")
        except (ValueError, UserError) as error:
            say(f"/set {name}: {error if isinstance(error, UserError) else f'`{text}` is not a number.'}")
