"""The suites that a recipe names: found before anything runs, and what they hold as part of a stage's key.

Light on purpose (no torch): `smallm run` of a finished run asks this module whether a suite has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from smallm.core.config import EvalConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.files import HashCache, sha256_bytes, sha256_json
from smallm.evaluate.suites import Suite, load_suite
from smallm.evaluate.task_data import data_dirs, find
from smallm.evaluate.tasks import TaskSpec


def suites_of(evaluation: EvalConfig) -> list[Suite]:
    """The suites of `eval.suites`, in order. UserError: one that is not there or is broken, two of one name."""
    suites = []
    for name in evaluation.suites:
        try:
            suites.append(load_suite(name))
        except UserError as error:
            raise UserError("\n".join(f"eval.suites: {line}" for line in str(error).split("\n"))) from None
    names = [suite.name for suite in suites]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"eval.suites: two suites are called `{name}`, and a result is named by its suite.")
    return suites


def folders_of(evaluation: EvalConfig) -> tuple[Path, ...]:
    """Where the suites' files are looked for. UserError: a folder of `eval.data` that is not there."""
    for folder in evaluation.data:
        if not Path(folder).is_dir():
            raise UserError(f"eval.data: {folder}: no such directory.")
    return data_dirs(evaluation.data)


def check(evaluation: EvalConfig) -> None:
    """UserError: a suite or a folder that is not there or is broken, a file that a task of one's own names."""
    folders = folders_of(evaluation)
    for spec in (spec for suite in suites_of(evaluation) for spec in suite.tasks):
        value = spec.values["data"]
        if not spec.packaged and value is not None and spec.hub is None and find(spec, value, folders) is None:
            looked = ", ".join(map(str, (spec.folder, *folders)))
            raise UserError(f"eval.suites: {spec.where('data')}: task {spec.name}: no such file (looked in {looked}).")


def fingerprint(recipe: Recipe, hashes: HashCache) -> dict[str, str]:
    """What the suites are, by content: their tasks as written, their files by hash, our generators.

    Where the files lie does not matter; a file that is missing counts as that, so that it is noticed when it comes.
    """
    found: dict[str, str] = {}
    for suite in suites_of(recipe.eval):
        for spec in suite.tasks:
            found[f"eval.suites/{suite.name}/{spec.name}"] = sha256_json(
                [spec.kind, spec.values, dict(_files(spec, folders_of(recipe.eval), hashes))]
            )
    return found


def is_cheap(spec: TaskSpec) -> bool:
    """Whether the task is scored during training: as it says, else where one look at the text is enough."""
    said = spec.values.get("cheap")
    return spec.kind in ("choice", "continuation") if said is None else bool(said)


def _files(spec: TaskSpec, folders: tuple[Path, ...], hashes: HashCache) -> Iterator[tuple[str, list[str]]]:
    """(what, hashes) of everything that a task reads on this machine."""
    if spec.synth is not None:
        yield "generators", [_generators()]
    for part in ("data", "train"):
        value = spec.values[part]
        for field, paths in ((find(spec, value, folders) if value is not None else None) or {}).items():
            yield f"{part} {field}", [hashes(path) for path in paths]


def _generators() -> str:
    """The hash of our generators' code: another word list, another task."""
    folder = resources.files("smallm") / "data" / "synth"
    files = sorted((f.name, sha256_bytes(f.read_bytes())) for f in folder.iterdir() if f.name.endswith(".py"))
    return sha256_json([list(file) for file in files])
