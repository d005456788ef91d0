"""Suites: named lists of tasks, packaged as YAML or a file of one's own.

A suite file has `suite`, `about`, `defaults` (keys that all of its tasks share) and `tasks`; a task is a mapping of
task keys, `SUITE/TASK` of a packaged suite, or the path of a task file. A single task file is a suite of one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from smallm.core import yamltree
from smallm.core.errors import UserError
from smallm.core.yamltree import Tree
from smallm.evaluate.tasks import TaskSpec, parse_task, read_task, read_yaml

KEYS = ("suite", "about", "defaults", "tasks")
PACKAGED = "smallm/evaluate/suites/"  # opens the names of packaged suites in messages


@dataclass(frozen=True)
class Suite:
    """Named tasks, each name once."""

    name: str
    about: str
    tasks: tuple[TaskSpec, ...]


def packaged_suites() -> dict[str, str]:
    """Name -> YAML text of the suites in the package, sorted."""
    folder = resources.files("smallm") / "evaluate" / "suites"
    files = [f for f in folder.iterdir() if f.name.endswith(".yaml")] if folder.is_dir() else []
    return dict(sorted((f.name.removesuffix(".yaml"), f.read_text("utf-8")) for f in files))


def load_suite(name_or_path: str | Path) -> Suite:
    """A packaged suite by name, or a suite or task file. Raises UserError, one line for each mistake."""
    return _load(str(name_or_path), Path.cwd(), ())


def _load(name: str, folder: Path, above: tuple[str, ...]) -> Suite:
    packaged = packaged_suites()
    if name in packaged:
        tree = yamltree.parse(packaged[name], f"{PACKAGED}{name}.yaml")
        return _suite(tree, folder, (*above, name), packaged=True)
    path = folder / Path(name).expanduser()
    if not path.is_file():
        beside = [str(Path(name).parent / f.name) for f in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(name, [*packaged, *beside], 1) or difflib.get_close_matches(
            Path(name).stem, packaged, 1
        )
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UserError(
            f"{name}: no such suite; give a YAML file or one of the packaged ones: {', '.join(packaged)}.{hint}"
        )
    tree = read_yaml(path, name)
    if "tasks" in tree.value or "suite" in tree.value:
        return _suite(tree, path.resolve().parent, (*above, str(path.resolve())), packaged=False)
    spec = parse_task(tree, folder=path.resolve().parent)
    return Suite(spec.name, spec.values["about"], (spec,))


def _suite(tree: Tree, folder: Path, above: tuple[str, ...], *, packaged: bool) -> Suite:
    value = tree.value
    for key in value:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"Its keys: {', '.join(KEYS)}."
            raise UserError(f"{tree.origin((key,))}: {key} is not a key of a suite. {hint}")
    name, tasks, defaults = value.get("suite"), value.get("tasks"), value.get("defaults") or {}
    if not isinstance(name, str) or not name:
        raise UserError(f"{tree.origin(('suite',))}: a suite needs a name: `suite: NAME`.")
    if not isinstance(tasks, list) or not tasks:
        raise UserError(f"{tree.origin(('tasks',))}: a suite needs `tasks`: a list of at least one.")
    if not isinstance(defaults, dict):
        raise UserError(f"{tree.origin(('defaults',))}: defaults must be `key: value` lines of task keys.")
    specs: list[TaskSpec] = []
    mistakes: list[str] = []
    for number, given in enumerate(tasks):
        try:
            specs.append(_task(tree, number, given, defaults, folder, above, packaged))
        except UserError as error:
            mistakes.append(str(error))
    seen: dict[str, TaskSpec] = {}
    for spec in specs:
        if spec.name in seen:
            mistakes.append(f"{spec.where()}: task {spec.name} stands twice (first at {seen[spec.name].where()}).")
        seen[spec.name] = spec
    if mistakes:
        raise UserError("\n".join(mistakes))
    return Suite(name, str(value.get("about") or ""), tuple(specs))


def _task(
    tree: Tree, number: int, given: Any, defaults: dict[str, Any], folder: Path, above: tuple[str, ...], packaged: bool
) -> TaskSpec:
    origin = tree.origin(("tasks", number))
    if isinstance(given, dict):
        return parse_task(tree, ("tasks", number), folder=folder, defaults=defaults, packaged=packaged)
    if not isinstance(given, str):
        raise UserError(f"{origin}: a task is `key: value` lines, SUITE/TASK of a packaged suite, or a file's path.")
    suite, slash, name = given.partition("/")
    if slash and suite in packaged_suites() and not (folder / given).exists():
        if suite in above:
            raise UserError(f"{origin}: {given}: suites name each other in a circle ({' -> '.join((*above, suite))}).")
        return pick(_load(suite, folder, above), [name])[0]
    if (folder / given).is_file():
        return read_task(folder / given)
    raise UserError(f"{origin}: {given}: no such file, and no task of a packaged suite (SUITE/TASK).")


def pick(suite: Suite, names: Sequence[str]) -> list[TaskSpec]:
    """The tasks of these names, in the suite's order. UserError with the nearest name for one that is not there."""
    known = [spec.name for spec in suite.tasks]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise UserError(f"suite {suite.name} has no task {name}; its tasks: {', '.join(known)}.{hint}")
    return [spec for spec in suite.tasks if spec.name in names]


def narrowed(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with these tasks alone."""
    return replace(suite, tasks=tuple(pick(suite, names)))
