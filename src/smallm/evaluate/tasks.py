"""Tasks of an evaluation: what one is, and its YAML read strictly, every mistake with file, line, key and remedy.

A task file is a mapping of KEYS. Four kinds of task: `choice` (which continuation, or which context, is the likeliest),
`continuation` (how likely is the one that came), `generate` (text against references), `perplexity` (of whole texts).
Records are task_data.py's, items task_items.py's; scores come from run_tasks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from smallm.core import yamltree
from smallm.core.errors import UserError
from smallm.core.files import sha256_bytes
from smallm.core.yamltree import Tree
from smallm.evaluate.metrics import METRICS
from smallm.evaluate.task_keys import KEYS, Kind, listed, wrong

DEFAULT_METRICS: dict[str, tuple[str, ...]] = {
    "choice": ("acc", "acc_norm"),
    "continuation": ("acc", "perplexity"),
    "generate": ("exact_match", "f1"),
    "perplexity": ("bits_per_byte", "word_perplexity"),
}
# What each kind must say, and what would have no effect.
NEEDED: dict[str, tuple[str, ...]] = {
    "choice": ("answer",), "continuation": ("continuation",), "generate": ("prompt", "answer"), "perplexity": ("text",),
}  # fmt: skip
IDLE: dict[str, tuple[str, ...]] = {
    "choice": ("text", "until", "max_new_tokens", "chunk"),
    "continuation": ("choices", "contexts", "answer", "text", "until", "max_new_tokens", "chunk", "duplicates"),
    "generate": ("contexts", "continuation", "text", "chunk"),
    "perplexity": ("prompt", "choices", "contexts", "continuation", "answer", "target_delimiter", "duplicates", "shots",
                   "train", "description", "shot_delimiter", "chat", "until", "max_new_tokens"),
}  # fmt: skip


@dataclass(frozen=True)
class TaskSpec:
    """A task as its file says it: `values` of every key, defaults filled in; where each key was written."""

    name: str
    kind: Kind
    values: Mapping[str, Any]
    tree: Tree = field(repr=False, compare=False)
    path: yamltree.Path = ()
    folder: Path = Path()
    packaged: bool = False

    def __getattr__(self, key: str) -> Any:
        try:
            return self.__dict__["values"][key]
        except KeyError:
            raise AttributeError(key) from None

    def where(self, key: str = "task") -> str:
        """`tasks/mine.yaml:3` of a key, for messages about its value."""
        return str(self.tree.origin((*self.path, key)))

    def error(self, key: str, text: str) -> UserError:
        return UserError(f"{self.where(key)}: task {self.name}: {text}")

    def changed(self, **values: Any) -> TaskSpec:
        """The same task with other values (`--shots`, `--chat`); those that its kind has no use for are left out."""
        useful = {k: v for k, v in values.items() if k not in IDLE[self.kind]}
        return replace(self, values={**self.values, **useful})


@dataclass(frozen=True)
class Item:
    """One question. `id` is a hash of the content, so that it is the same whatever the file's order.

    choice: `choices` follow `prompt`, or (contexts) come before `continuation`, `prompt` being empty; continuation:
    the target is the one choice; generate: no choices unless labels are given; perplexity: the text is `prompt`.
    """

    id: str
    prompt: str
    choices: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    gold: int | None = None
    cluster: str = ""
    source: str = ""
    bytes: int = 0
    words: int = 0
    continuation: str = ""


@dataclass(frozen=True)
class Task:
    """A task ready to be run: its items, and the examples that stand before each prompt."""

    name: str
    version: str
    kind: Kind
    items: tuple[Item, ...]
    metrics: tuple[str, ...]
    primary: str
    spec: TaskSpec
    shots: tuple[tuple[str, str], ...] = ()

    def limited(self, count: int | None) -> Task:
        """At most `count` items, drawn by the hash of their content: the first 100 are among the first 200.

        The version stays: it is the whole task's, so that scores of a limited run serve the whole one.
        """
        if count is None or count >= len(self.items):
            return self
        return replace(self, items=tuple(drawn(self.items, count)))


def drawn(items: Sequence[Item], count: int) -> list[Item]:
    """The `count` items of the smallest ids (hashes: a fixed pseudo-random sample), in the order given."""
    chosen = {item.id for item in sorted(items, key=lambda item: item.id)[:count]}
    return [item for item in items if item.id in chosen]


def item_id(prompt: str, choices: Sequence[str], answer: Sequence[str], continuation: str = "") -> str:
    """16 hexadecimal digits of the content's sha256."""
    parts = [prompt, *choices, f"answer {len(answer)}", *answer, continuation]
    return sha256_bytes("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass"))[:16]


# ---- reading -------------------------------------------------------------------------------------------------------


def read_task(path: Path) -> TaskSpec:
    """The task in a YAML file of one's own; its paths are relative to that file."""
    return parse_task(read_yaml(path), folder=path.resolve().parent)


def read_yaml(path: Path, name: str = "") -> Tree:
    """The mapping in a YAML file. UserError as `yamltree.parse` has it, and where there is nothing to read."""
    name = name or str(path)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not UTF-8 (byte {error.start}); a task is a UTF-8 text file.") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}).") from None
    if not text.strip():
        raise UserError(f"{name}: is empty; a task needs at least `task`, `data`, `prompt`, `choices` and `answer`.")
    return yamltree.parse(text, name)


def parse_task(
    tree: Tree, path: yamltree.Path = (), *, folder: Path = Path(), defaults: Mapping[str, Any] | None = None,
    packaged: bool = False,
) -> TaskSpec:  # fmt: skip
    """The task at `path` of a tree. Raises UserError, one line for each mistake."""
    given: Any = tree.value
    for part in path:
        given = given[part]
    if not isinstance(given, dict):
        raise UserError(f"{tree.origin(path)}: a task must be `key: value` lines.")
    said = {**(defaults or {}), **given}
    found = ((key, wrong(key, value)) for key, value in said.items())
    mistakes = [f"{tree.origin((*path, key))}: {problem}" for key, problem in found if problem]
    if "task" not in said:
        mistakes.append(f"{tree.origin(path)}: no `task`: a task needs a name.")
    if mistakes:
        raise UserError("\n".join(mistakes))
    kind = said.get("kind") or _kind(said)
    values = {key: said.get(key, row.default) for key, row in KEYS.items()}
    values["metrics"] = tuple(listed(said.get("metrics")) or DEFAULT_METRICS[kind or "choice"])
    values["until"] = tuple(listed(values["until"]))
    values["hub"] = _hub(values["hub"])
    spec = TaskSpec(said["task"], kind or "choice", values, tree, path, folder, packaged)
    broken = [f"{spec.where(key)}: task {spec.name}: {text}" for key, text in _rules(spec, said, given, kind)]
    if broken:
        raise UserError("\n".join(broken))
    return spec


def _kind(said: Mapping[str, Any]) -> Kind | None:
    """What the keys that are there make of the task."""
    if "text" in said:
        return "perplexity"
    if "choices" in said or "contexts" in said:
        return "choice"
    if "continuation" in said:
        return "continuation"
    return "generate" if "answer" in said else None


def _rules(
    spec: TaskSpec, said: Mapping[str, Any], given: Mapping[str, Any], kind: Kind | None
) -> list[tuple[str, str]]:
    """Rules between keys that are broken: (the key, the message). `given`: what the task says itself, no defaults."""
    if kind is None:
        return [("task", "nothing to score: give `choices` and `answer`, `continuation`, `answer` alone, or `text`.")]
    broken = []
    places = [key for key in ("data", "hub", "synth") if said.get(key) is not None]
    if not places or ("synth" in places and len(places) > 1):
        broken.append(
            ("task", "say where the items come from: `data` (with `hub` for where it is not found) or `synth`.")
        )
    for key in NEEDED[kind]:
        if said.get(key) is None:
            broken.append(("task", f"no `{key}`, which a {kind} task needs."))
    if kind == "choice" and (said.get("choices") is None) == (said.get("contexts") is None):
        broken.append(("task", "a choice task has either `choices` or `contexts`."))
    if kind == "choice" and (said.get("contexts") is None) != (said.get("continuation") is None):
        broken.append(("task", "`contexts` and `continuation` go together: each context is followed by it."))
    if kind == "choice" and said.get("contexts") is not None and said.get("prompt"):
        broken.append(("prompt", "`prompt` has no place beside `contexts`: write it into them."))
    for key in IDLE[kind]:
        if key in given:
            broken.append((key, f"`{key}` has no effect in a {kind} task. Remove it, or change `kind`."))
    for name in spec.values["metrics"]:
        if not name.startswith("evaluate:") and kind not in METRICS[name].kinds:
            fitting = ", ".join(m for m, info in METRICS.items() if kind in info.kinds and not info.own)
            broken.append(("metrics", f"{name} is no metric of a {kind} task. Its metrics: {fitting}."))
    if said.get("items_per_source") is not None and said.get("source") is None:
        broken.append(("items_per_source", "items_per_source needs `source`: the field that says of which."))
    if spec.values["metrics"][0].startswith("evaluate:"):
        broken.append(("metrics", "the primary metric (the first) must be one of ours: items are compared by it."))
    labels = isinstance(said.get("choices"), list) and not any("{" in str(text) for text in said["choices"])
    if "macro_f1" in spec.values["metrics"] and not labels:
        broken.append(("metrics", "macro_f1 needs the same labels for all items: give `choices` as a list of texts."))
    if kind == "generate" and not labels and {"acc", "macro_f1"} & set(spec.values["metrics"]):
        broken.append(("metrics", "acc of generated text needs labels to look for: give `choices` as a list."))
    return broken


def _hub(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    given = {"name": value} if isinstance(value, str) else dict(value)
    return {"subset": None, "split": "test", "train_split": "train", "revision": None, "fields": {}} | given
