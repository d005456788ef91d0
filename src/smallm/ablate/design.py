"""An ablation as it is written: a base recipe, seeds, and groups of arms that each change a few of its keys.

YAML in, an `Ablation` of complete recipes out. Every arm spends the FLOPs of the base recipe: `train.tokens` is set
so, in whole steps, unless the arm states it. An arm differs from the base in its own keys and in that one alone.
Errors say file and line. Runs nothing; needs no torch.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from smallm.core import yamltree
from smallm.core.config import ModelConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.recipe import recipe_tree, validate
from smallm.core.yamltree import Tree
from smallm.model import count
from smallm.model.presets import complete

NAME = re.compile(r"[A-Za-z][\w-]{0,39}")
KEY = re.compile(r"(?:model|train)\.[a-z]\w*")
KEYS = ("name", "about", "seeds", "recipe", "groups", "elsewhere")
GROUP_KEYS = ("title", "baseline", "arms")


@dataclass(frozen=True)
class Arm:
    """One arm: `keys` (dotted) are what it changes of the base, `recipe` is complete, its tokens set."""

    group: str
    name: str
    keys: dict[str, Any]
    recipe: Recipe

    @property
    def full_name(self) -> str:
        return f"{self.group}.{self.name}"


@dataclass(frozen=True)
class Group:
    """One switch: its arms in their order, of which `baseline` is what the others are compared with."""

    name: str
    title: str
    baseline: str
    arms: tuple[Arm, ...]

    @property
    def base(self) -> Arm:
        return next(arm for arm in self.arms if arm.name == self.baseline)

    @property
    def others(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.name != self.baseline)


@dataclass(frozen=True)
class Ablation:
    """`elsewhere`: rows that a page shows and no arm measures, with the words that stand there instead."""

    name: str
    about: str
    seeds: tuple[int, ...]
    base: Recipe
    groups: tuple[Group, ...]
    elsewhere: dict[str, str]

    @property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(arm for group in self.groups for arm in group.arms)


def load_ablation(name_or_path: str | Path) -> Ablation:
    """A packaged ablation's, or a YAML file's. Raises UserError, with file and line."""
    name, packaged = str(name_or_path), packaged_ablations()
    if name in packaged:
        return read_ablation(packaged[name], f"smallm/recipes/ablations/{name}.yaml", Path.cwd())
    path = Path(name).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(path.stem, packaged, 1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UserError(
            f"{name}: no such ablation; give a YAML file or one of the packaged ones: {', '.join(packaged)}.{hint}"
        )
    try:
        return read_ablation(path.read_text("utf-8-sig"), name, path.resolve().parent)
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not UTF-8 (byte {error.start}); an ablation is a UTF-8 text file.") from None


def packaged_ablations() -> dict[str, str]:
    """Name -> YAML text of the ablations in the package, sorted."""
    folder = resources.files("smallm") / "recipes" / "ablations"
    return dict(
        sorted((f.name.removesuffix(".yaml"), f.read_text("utf-8")) for f in folder.iterdir() if f.name[-5:] == ".yaml")
    )


def read_ablation(text: str, file: str, folder: Path) -> Ablation:
    """The ablation in `text`; `file` is its name in messages, `folder` what its paths are relative to."""
    tree = yamltree.parse(text, file)
    _only_keys(tree, (), KEYS, needed=("recipe", "groups"))
    name = tree.value.get("name", Path(file).stem)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{tree.origin(('name',))}: name is `{name}`; letters, digits, `_`, `-`, a letter first.")
    plain = _measured_alone(recipe_tree(tree.below(("recipe",)), folder), name)
    base = _with_vocabulary(validate(plain), str(tree.origin(("recipe",))))
    budget = training_flops(base)
    groups = tuple(_group(tree, group, plain, base, budget) for group in tree.value["groups"])
    return Ablation(name, _words(tree, ("about",)), _seeds(tree), whole_steps(base), groups, _elsewhere(tree, groups))


def _measured_alone(recipe: Tree, name: str) -> Tree:
    """The recipe named, without what an extended one would do beside training and held-out bits per byte."""
    recipe.value["name"] = name
    recipe.value.pop("finetune", None)
    evaluation = recipe.value.get("eval")
    if isinstance(evaluation, dict):
        for key in ("suites", "stories", "every"):
            evaluation.pop(key, None)
    return recipe


def _only_keys(tree: Tree, path: yamltree.Path, allowed: Sequence[str], needed: Sequence[str] = ()) -> None:
    """Raises UserError unless `path` is a mapping of `allowed` keys with all that are `needed` (these mappings)."""
    value: Any = tree.value
    for part in path:
        value = value[part]
    where = ".".join(map(str, path)) or "an ablation"
    if not isinstance(value, dict):
        raise UserError(f"{tree.origin(path)}: {where} must be a section (`key: value` lines).")
    for key in value:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"Its keys: {', '.join(allowed)}."
            raise UserError(f"{tree.origin((*path, key))}: `{key}` is not a key of {where}. {hint}")
    for key in needed:
        if not isinstance(value.get(key), dict) or not value[key]:
            raise UserError(f"{tree.origin((*path, key))}: {where} needs the section `{key}`.")


def _words(tree: Tree, path: yamltree.Path) -> str:
    value: Any = tree.value
    for part in path:
        value = value.get(part, "")
    if not isinstance(value, str):
        raise UserError(f"{tree.origin(path)}: {path[-1]} must be text.")
    return " ".join(value.split())


def _seeds(tree: Tree) -> tuple[int, ...]:
    seeds = tree.value.get("seeds", [0, 1, 2])
    wrong = not isinstance(seeds, list) or not seeds or any(type(s) is not int or s < 0 for s in seeds)
    if wrong or len(set(seeds)) < len(seeds):
        raise UserError(f"{tree.origin(('seeds',))}: seeds must be a list of different whole numbers, as [0, 1, 2].")
    return tuple(seeds)


def _elsewhere(tree: Tree, groups: Sequence[Group]) -> dict[str, str]:
    if "elsewhere" not in tree.value:
        return {}
    _only_keys(tree, (), KEYS, needed=("elsewhere",))
    for name in tree.value["elsewhere"]:
        if any(group.name == name for group in groups):
            raise UserError(f"{tree.origin(('elsewhere', name))}: `{name}` is a group as well; one of them is the row.")
    return {name: _words(tree, ("elsewhere", name)) for name in tree.value["elsewhere"]}


def _group(tree: Tree, name: str, plain: Tree, base: Recipe, budget: float) -> Group:
    path = ("groups", name)
    _only_keys(tree, path, GROUP_KEYS, needed=("arms",))
    section = tree.value["groups"][name]
    for word, where in ((name, path), *((arm, (*path, "arms", arm)) for arm in section["arms"])):
        if not NAME.fullmatch(word):
            raise UserError(f"{tree.origin(where)}: `{word}` names a directory: letters, digits, `_`, `-` only.")
    arms = tuple(_arm(tree, (*path, "arms", arm), plain, base, budget) for arm in section["arms"])
    baseline = section.get("baseline", arms[0].name)
    if not isinstance(baseline, str) or baseline not in section["arms"]:
        raise UserError(
            f"{tree.origin((*path, 'baseline'))}: baseline is `{baseline}`, which is no arm of `{name}`: "
            f"{', '.join(section['arms'])}."
        )
    return Group(name, _words(tree, (*path, "title")) or name, baseline, arms)


def _arm(tree: Tree, path: yamltree.Path, plain: Tree, base: Recipe, budget: float) -> Arm:
    """The arm at `path`: the base's tree with the arm's keys put in, validated, spending `budget`."""
    origin, keys = tree.origin(path), tree.value["groups"][path[1]]["arms"][path[3]]
    if keys is not None and not isinstance(keys, dict):
        raise UserError(f"{origin}: an arm is a section of keys, as {{model.position: none}}; {{}} is the base itself.")
    own = yamltree.merge(Tree(plain.root), plain)
    for key, value in (keys or {}).items():
        where = tree.origin((*path, key))
        if not KEY.fullmatch(key):
            raise UserError(
                f"{where}: `{key}`: an arm changes keys of `model` and `train`, written as model.position; text, "
                "tokenizer and evaluation are everybody's."
            )
        own.put(parts := tuple(key.split(".")), value, {parts: where})
    recipe = validate(own)
    shape = replace(recipe, model=replace(recipe.model, vocab_size=recipe.model.vocab_size or base.model.vocab_size))
    try:
        recipe = whole_steps(shape) if "train.tokens" in (keys or {}) else equal_flops(shape, budget)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None
    return Arm(str(path[1]), str(path[3]), dict(keys or {}), recipe)


# ---- equal FLOPs ---------------------------------------------------------------------------------------------------


def _with_vocabulary(recipe: Recipe, where: str) -> Recipe:
    """The recipe with its vocabulary said: FLOPs are counted before there is a tokenizer."""
    if recipe.model.vocab_size:
        return recipe
    if recipe.tokenizer.kind == "char" or recipe.tokenizer.path:
        raise UserError(f"{where}: set model.vocab_size; FLOPs are counted before the tokenizer is made.")
    vocabulary = complete(recipe.model, recipe.tokenizer.vocab_size).vocab_size
    return replace(recipe, model=replace(recipe.model, vocab_size=vocabulary))


def step_tokens(recipe: Recipe) -> int:
    """Tokens of one optimiser step: whole rows."""
    return max(1, recipe.train.batch_tokens // recipe.model.context) * recipe.model.context


def shape_of(recipe: Recipe) -> ModelConfig:
    return complete(recipe.model, recipe.model.vocab_size)


def training_flops(recipe: Recipe) -> float:
    """FLOPs of the whole training, forward and backward, attention counted (model/count.py)."""
    steps = recipe.train.tokens // step_tokens(recipe)
    return steps * step_tokens(recipe) * count.flops_per_token(shape_of(recipe))["with_attention"]


def whole_steps(recipe: Recipe) -> Recipe:
    """`train.tokens` without the part of a step that is never trained."""
    step = step_tokens(recipe)
    return replace(recipe, train=replace(recipe.train, tokens=max(1, recipe.train.tokens // step) * step))


def equal_flops(recipe: Recipe, budget: float) -> Recipe:
    """`train.tokens` so that the training spends `budget`, in whole steps (at least one)."""
    a_step = step_tokens(recipe) * count.flops_per_token(shape_of(recipe))["with_attention"]
    return replace(recipe, train=replace(recipe.train, tokens=max(1, round(budget / a_step)) * step_tokens(recipe)))


# ---- choosing ------------------------------------------------------------------------------------------------------


def chosen(ablation: Ablation, only: Sequence[str]) -> tuple[Arm, ...]:
    """The arms that `only` names (GROUP or GROUP.ARM, with the group's baseline); all when it is empty."""
    names = {group.name: group for group in ablation.groups}
    wanted: set[str] = set()
    for text in only:
        name, dot, arm = text.partition(".")
        known = list(names) if name not in names else [a.name for a in names[name].arms]
        missing, kind = (name, "group") if name not in names else (arm, "arm")
        if name not in names or (dot and arm not in known):
            near = difflib.get_close_matches(missing, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            inside = f" in `{name}`" if kind == "arm" else ""
            raise UserError(f"--only {text}: no such {kind}{inside}; there are {', '.join(known)}.{hint}")
        group = names[name]
        wanted |= {a.full_name for a in group.arms if not dot or a.name in (arm, group.baseline)}
    return tuple(arm for arm in ablation.arms if not only or arm.full_name in wanted)
