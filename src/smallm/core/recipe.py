"""Recipes: YAML in, one complete `Recipe` out, and errors that say file, line, key and remedy.

`load_recipe` takes a file, a run directory or the name of a packaged recipe, follows `extends`,
applies `--set` overrides, resolves relative paths (against the file that wrote them; overrides
against the working directory) and validates against `core/schema.py`. `dump_recipe` writes all of
it out again, so that it loads back equal. What a value means is left to the stages.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smallm.core import yamltree
from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.peers import peer_message
from smallm.core.rules import rules
from smallm.core.schema import keys_of, model_of, to_dataclass
from smallm.core.yamltree import Origin, Tree

# They go with the text: a recipe that extends another with other sources does not inherit them.
ABOUT_THE_TEXT = (("prompts",), ("train", "prompts"), ("eval", "stories"), ("eval", "suites"), ("finetune",))
# Keys that hold one path; the third says whether it may be a name of the Hub instead.
ONE_PATH = (
    ("tokenizer", "path", False),
    ("train", "init_from", True),
    ("finetune", "model", True),
    ("finetune", "general", False),
)
OF_ONE_FILE = (("name",), ("description",))


@dataclass(frozen=True)
class Loaded:
    """A recipe, where it came from, and where each of its keys was written."""

    recipe: Recipe
    file: str
    tree: Tree

    def origin(self, key: str) -> str:
        """`recipes/mine.yaml:14` of a dotted key, for messages about its value."""
        return str(self.tree.origin(yamltree.parse_key(key)))


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), *, cwd: Path | None = None) -> Recipe:
    """The complete recipe. Raises UserError, one line for each mistake."""
    return load(name_or_path, overrides, cwd=cwd).recipe


def load(name_or_path: str | Path, overrides: Sequence[str] = (), *, cwd: Path | None = None) -> Loaded:
    """As `load_recipe`, with the origin of each key."""
    base = (cwd or Path.cwd()).resolve()
    text, file, folder = _read(str(name_or_path), base)
    tree = _extended(text, file, folder, ())
    if not tree.value.get("name"):
        tree.value["name"] = _slug(Path(file).stem)
    for assignment in overrides:
        path = yamltree.override(tree, assignment)
        _resolve_paths(tree, base, only=path)
    return Loaded(validate(tree), file, tree)


def recipe_from_text(text: str, file: str, folder: Path) -> Recipe:
    """The recipe in `text`; `file` is its name in messages, `folder` what its paths are relative to."""
    tree = _extended(text, file, folder, ())
    if not tree.value.get("name"):
        tree.value["name"] = _slug(Path(file).stem)
    return validate(tree)


def packaged_recipes() -> dict[str, str]:
    """Name -> YAML text of the recipes in the package, sorted."""
    folder = resources.files("smallm") / "recipes"
    files = [f for f in folder.iterdir() if f.name.endswith(".yaml")] if folder.is_dir() else []
    return dict(sorted((f.name.removesuffix(".yaml"), f.read_text("utf-8")) for f in files))


def dump_recipe(recipe: Recipe) -> str:
    """Complete YAML, every default written out; `load_recipe` of it is equal to `recipe`."""
    head = "# The recipe, complete: every default is written out. `smallm recipe schema` explains the keys.\n"
    return head + yamltree.dump(dataclasses.asdict(recipe))


# ---- finding and merging -------------------------------------------------------------------------------------------


PACKAGED = "smallm/recipes/"  # opens the names of packaged recipes in messages


def _read(name: str, folder: Path, said_in: str = "") -> tuple[str, str, Path]:
    """Text, name for messages, and folder for relative paths, of a file or a packaged recipe."""
    packaged = packaged_recipes()
    if name in packaged and not _looks_like_a_path(name):
        return packaged[name], f"{PACKAGED}{name}.yaml", folder
    path = folder / os.path.expanduser(name)
    if (path / "recipe.yaml").is_file():
        path, name = path / "recipe.yaml", str(Path(name) / "recipe.yaml")
    if path.is_file():
        try:
            return path.read_text("utf-8-sig"), name, path.resolve().parent
        except UnicodeDecodeError as error:
            raise UserError(f"{name}: is not UTF-8 (byte {error.start}); a recipe is a UTF-8 text file.") from None
        except OSError as error:
            raise UserError(f"{name}: cannot be read ({error.strerror}).") from None
    near = difflib.get_close_matches(Path(name).stem, packaged, 1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    raise UserError(
        f"{said_in}{name}: no such recipe; give a YAML file or one of the packaged ones: {', '.join(packaged)}.{hint}"
    )


def _extended(text: str, file: str, folder: Path, above: tuple[str, ...]) -> Tree:
    """The tree of `text` on top of what it extends, paths resolved."""
    identity = file if file.startswith(PACKAGED) else str((folder / Path(file).name).resolve())
    if identity in above:
        chain = " -> ".join(Path(f).name for f in (*above, identity))
        raise UserError(f"{file}: `extends` goes in a circle ({chain}). One of them must not extend.")
    return _on_its_parent(yamltree.parse(text, file), file, folder, (*above, identity))


def recipe_tree(tree: Tree, folder: Path) -> Tree:
    """The tree of a recipe that stands inside another file, on top of what it extends, paths resolved."""
    return _on_its_parent(tree, tree.root.file, folder, ())


def _on_its_parent(tree: Tree, file: str, folder: Path, above: tuple[str, ...]) -> Tree:
    """`tree`, written in `file`, on top of what it extends. `above`: the files being read, this one included."""
    parent = tree.value.pop("extends", None)
    _resolve_paths(tree, folder)
    if parent is None:
        return tree
    origin = tree.origin(("extends",))
    if not isinstance(parent, str):
        raise UserError(f"{origin}: extends is {_shown(parent)}; it must be the name or the path of one recipe.")
    base = _extended(*_read(parent, folder, said_in=f"{origin}: extends: "), above)
    dropped = OF_ONE_FILE + (ABOUT_THE_TEXT if isinstance(_get(tree.value, ("data", "sources")), list) else ())
    for path in dropped:
        section = _get(base.value, path[:-1])
        if isinstance(section, dict):
            section.pop(path[-1], None)
    return yamltree.merge(base, tree)


def _get(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _slug(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "run"


# ---- sources and paths ---------------------------------------------------------------------------------------------


def read_source(text: str) -> dict[str, str]:
    """A source as one string: `python-docs`, `synth:stories`, `hub:NAME`, else a path."""
    kind, colon, rest = text.partition(":")
    if text == "python-docs":
        return {"builtin": text}
    return {kind: rest} if colon and kind in ("synth", "hub", "builtin") else {"path": text}


def _resolve_paths(tree: Tree, folder: Path, only: yamltree.Path = ()) -> None:
    """Strings of `data.sources` to mappings, relative paths to absolute ones, in place.

    `only` is the path that an override has just set; what others wrote is resolved already.
    """

    def touched(*path: str | int) -> bool:
        return path[: len(only)] == only[: len(path)]

    for section, key in (("data", "sources"), ("finetune", "data")):
        values = tree.value.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), (str, dict)):
            values[key] = [values[key]]  # one source needs no list
        for i, source in enumerate(
            values[key] if isinstance(values, dict) and isinstance(values.get(key), list) else ()
        ):
            if not touched(section, key, i):
                continue
            if isinstance(source, str):
                source = values[key][i] = read_source(source)  # type: ignore[index]
            if isinstance(source, dict) and isinstance(source.get("path"), str):
                source["path"] = _absolute(source["path"], folder)
    for section, key, hub in ONE_PATH:
        values = tree.value.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str) and touched(section, key):
            here = _absolute(values[key], folder)
            if not hub or Path(here).exists():  # otherwise it is a name of the Hub
                values[key] = here
    evaluation = tree.value.get("eval")
    if not isinstance(evaluation, dict):
        return
    for name in ("suites", "data"):
        texts = evaluation.get(name)
        if isinstance(texts, str):
            texts = [texts]  # one needs no list
        if not isinstance(texts, list):
            continue
        for i, text in enumerate(texts):
            if isinstance(text, str) and touched("eval", name, i) and (name == "data" or _looks_like_a_path(text)):
                texts[i] = _absolute(text, folder)
        evaluation[name] = texts


def _looks_like_a_path(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text


def _absolute(path: str, folder: Path) -> str:
    # Not resolve(): links and globs stay as the user wrote them.
    path = os.path.expanduser(path)
    return str(folder / path) if path and not os.path.isabs(path) else path


# ---- validation ----------------------------------------------------------------------------------------------------


def validate(tree: Tree) -> Recipe:
    """The recipe in a merged tree. Raises UserError, one line for each mistake."""
    try:
        recipe = to_dataclass(Recipe, model_of(Recipe).model_validate(tree.value))
    except ValidationError as error:
        wrong = sorted(error.errors(), key=lambda e: tree.origin(e["loc"]).line or 0)
        lines = [_explain(tree, e["loc"], e["type"], e["input"], e.get("ctx", {}), e["msg"]) for e in wrong]
        raise UserError("\n".join(dict.fromkeys(lines))) from None
    broken = [f"{tree.origin(yamltree.parse_key(key))}: {message}" for key, message in rules(recipe)]
    if broken:
        raise UserError("\n".join(broken))
    return recipe


_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a section (`key: value` lines)",
    "model_attributes_type": "a section (`key: value` lines)",
    "dict_type": "a section (`key: value` lines)",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _explain(tree: Tree, loc: tuple[str | int, ...], kind: str, value: Any, context: dict[str, Any], text: str) -> str:
    """One mistake as one line: where, key, value, rule, remedy."""
    where, name = tree.origin(loc), _dotted(loc)
    if kind == "extra_forbidden":
        return f"{where}: {_unknown_key(loc)}"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context.get("expected", ""))
        near = difflib.get_close_matches(str(value), allowed, 1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"{where}: {name} is {_shown(value)}; it must be one of {', '.join(allowed)}.{hint}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{where}: {name} is {_shown(value)}; it must be {words} {context[key]:g}."
    if kind in _TYPES:
        return f"{where}: {name} is {_shown(value)}; it must be {_TYPES[kind]}."
    if kind == "value_error" and isinstance(value, dict):
        return f"{where}: {name} {context.get('error', text)}."
    return f"{where}: {name} is {_shown(value)}; it {context.get('error', text)}."


def _unknown_key(loc: tuple[str | int, ...]) -> str:
    """Why this key is refused: another section's, another tool's, or a slip of the pen."""
    keys = keys_of()
    name, key = _dotted(loc), str(loc[-1])
    section = re.sub(r"\[\d+\]", "[]", _dotted(loc[:-1]))
    prefix = section + "." if section else ""
    siblings = [k[len(prefix) :] for k in keys if k.startswith(prefix) and "." not in k[len(prefix) :]]
    inside = f"`{section}`" if section else "a recipe"
    elsewhere = [k for k in keys if k.rsplit(".", 1)[-1] == key and "[]" not in k]
    peer = peer_message(key, section)
    if peer and not (elsewhere and "has no key" in peer):
        return f"{name} is not a key of {inside}. {peer}"
    if elsewhere:
        return f"{name} is not a key of {inside}. Did you mean `{elsewhere[0]}`?"
    near = difflib.get_close_matches(key, siblings, 1)
    if near:
        return f"{name} is not a key of {inside}. Did you mean `{near[0]}`?"
    return f"{name} is not a key of {inside}. Its keys: {', '.join(siblings)}."


def _dotted(loc: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = "a list" if isinstance(value, list) else "a section" if isinstance(value, dict) else f"`{str(value)[:60]}`"
    return {"`True`": "`true`", "`False`": "`false`"}.get(text, text)


__all__ = ["Loaded", "Origin", "dump_recipe", "load", "load_recipe", "packaged_recipes", "recipe_from_text"]
