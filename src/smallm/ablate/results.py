"""The results of an ablation: one JSON line a finished run, and which lines belong to the ablation as it stands.

A line is found by its key, the hash of everything that affects the run: a changed arm leaves its old lines behind and
nobody else's. Runs are compared with each other only on one text and in one type of arithmetic. Needs no torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallm.ablate.design import Ablation, Arm
from smallm.core.config import Recipe
from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.core.files import sha256_json, write_text
from smallm.core.formats_eval import HEX64
from smallm.core.schemas import anything, integer, mapping, maybe, number, problems, record, text
from smallm.stages import STAGES, data_config, tokenizer_config, train_config

Line = dict[str, Any]
DTYPES = ("float32", "bfloat16")
MADE = ("data", "tokenizer", "tokens", "train", "eval")  # the stages of a run of an ablation

LINE = record(
    {
        "ablation": text(),
        "run": text("the arm's GROUP.ARM, or base"),
        "set": mapping(anything(), "what it changes of the base recipe"),
        "seed": integer(),
        "key": text("hash of all that affects the run", pattern="[0-9a-f]{64}"),
        "data": HEX64,
        "dtype": text("of the arithmetic"),
        "tokens": integer(),
        "flops": number("of the training, attention counted"),
        "parameters": integer(),
        "bits_per_byte": maybe(number("held out; null: the training diverged")),
        "standard_error": maybe(number("over the held-out documents")),
        "seconds": number("of the training"),
        "machine": mapping(anything()),
        "version": text(),
        "commit": maybe(text("of a checkout")),
    }
)


@dataclass(frozen=True)
class Planned:
    """One run: an arm at a seed in a type of arithmetic, both written into its recipe."""

    arm: Arm
    seed: int
    dtype: str
    recipe: Recipe
    key: str

    @property
    def name(self) -> str:
        """Of the arm, whichever groups it serves: `base` where it changes nothing."""
        return self.arm.full_name if self.arm.keys else "base"


def planned(ablation: Ablation, arm: Arm, seed: int, dtype: str) -> Planned:
    """The run of `arm` at `seed`; `dtype` where the arm leaves it to the machine."""
    own = arm.recipe.train.dtype
    train = replace(arm.recipe.train, seed=seed, dtype=dtype if own == "auto" else own)
    name = arm.full_name if arm.keys else "base"
    recipe = replace(arm.recipe, name=f"{ablation.name}-{name}", train=train)
    return Planned(arm, seed, train.dtype, recipe, key_of(recipe))


def plan_of(ablation: Ablation, arms: Iterable[Arm], seeds: Sequence[int], dtype: str) -> list[Planned]:
    """The runs that are needed, each once whatever groups share it: all arms at the first seed, then the next."""
    runs: dict[str, Planned] = {}
    for seed in seeds:
        for arm in arms:
            one = planned(ablation, arm, seed, dtype)
            runs.setdefault(one.key, one)
    return list(runs.values())


def key_of(recipe: Recipe) -> str:
    """Hash of what affects a run's figure, its text included as far as the recipe says it."""
    versions = {stage.name: stage.version for stage in STAGES if stage.name in MADE}
    parts = {"data": data_config(recipe), "tokenizer": tokenizer_config(recipe), "train": train_config(recipe)}
    return sha256_json({"stages": versions, **parts, "max_tokens": recipe.eval.max_tokens})


# ---- the file ------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[Line]:
    """Every line; none where there is no file. A last line torn by a kill is left out, said.

    Raises UserError for a line that is no result, with its number.
    """
    if not path.is_file():
        return []
    rows = path.read_text("utf-8").split("\n")
    lines: list[Line] = []
    for at, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            line = json.loads(row)
        except ValueError:
            if at == len(rows):
                warn(f"{path}:{at}: cut off in writing; that run's result is written again when it is asked for.")
                continue
            raise UserError(f"{path}:{at}: not JSON. Delete this line; its run is then made again.") from None
        if wrong := problems(line, LINE):
            raise UserError(f"{path}:{at}: {wrong[0]}. Delete this line; its run is then made again.")
        lines.append(line)
    return lines


def append_line(path: Path, line: Line) -> None:
    """The file with one line more, whole at any moment."""
    if wrong := problems(line, LINE):
        raise AssertionError(wrong)
    rows = [*read_lines(path), line]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


# ---- which lines belong together -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The lines by key, of one text (`data`) and one `dtype`; how many others there are.

    `outdated`: of arms as they no longer stand. `apart`: of another text or type of arithmetic.
    """

    dtype: str
    data: str
    lines: dict[str, Line]
    outdated: int
    apart: int

    def of(self, ablation: Ablation, arm: Arm, seed: int) -> Line | None:
        return self.lines.get(planned(ablation, arm, seed, self.dtype).key)


def find(ablation: Ablation, lines: Sequence[Line], *, dtype: str | None = None, data: str | None = None) -> Found:
    """The lines of the ablation as it stands, on the text and in the type of most of them, or on those given."""
    keys = {t: {p.key for p in plan_of(ablation, ablation.arms, ablation.seeds, t)} for t in DTYPES}
    texts = Counter(line["data"] for line in lines).most_common()
    best: tuple[int, str, str, dict[str, Line]] = (-1, dtype or DTYPES[0], data or "", {})
    for t in DTYPES if dtype is None else (dtype,):
        for d in [name for name, _ in texts] if data is None else [data]:
            fitting = {line["key"]: line for line in lines if line["key"] in keys[t] and line["data"] == d}
            if len(fitting) > best[0]:
                best = (len(fitting), t, d, fitting)
    known = set().union(*keys.values())
    outdated = sum(line["key"] not in known for line in lines)
    current = {(line["key"], line["data"]) for line in lines if line["key"] in known}
    return Found(best[1], best[2], best[3], outdated, len(current) - len(best[3]))


def minutes(runs: Iterable[Planned], lines: Collection[Line], flops: dict[str, float]) -> float | None:
    """Minutes that `runs` will take, from FLOPs a second of `lines` (their median); None without any.

    `flops`: those of each run by its key.
    """
    rates = sorted(line["flops"] / line["seconds"] for line in lines if line["seconds"] > 0)
    return sum(flops[run.key] for run in runs) / rates[len(rates) // 2] / 60 if rates else None
