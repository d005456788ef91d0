"""Adapters through PEFT: LoRA, rsLoRA, DoRA and modules trained whole; on which modules, counted and said.

`all-linear` is every linear layer but the output head, fused ones included. A listed name that matches nothing stops:
Phi-3 has no q_proj, and the usual seven names would train two modules of four there without a word.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from smallm.core.config import FinetuneConfig
from smallm.core.console import count
from smallm.core.errors import UserError
from smallm.finetune.dtypes import unpacked

ALL_LINEAR = "all-linear"
# What stands in the fused modules of some families: a hint for those who list the usual names.
FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "query_key_value": ("q_proj", "k_proj", "v_proj"),
    "Wqkv": ("q_proj", "k_proj", "v_proj"),
    "c_attn": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}


@dataclass(frozen=True)
class Coverage:
    """What is trained. `modules`: kind -> how many; `left_out`: kind -> (how many, why)."""

    modules: dict[str, int]
    saved: dict[str, int]
    left_out: dict[str, tuple[int, str]]
    trained: int
    total: int

    def text(self) -> str:
        """In lines."""
        share = 100 * self.trained / max(1, self.total)
        kinds = ", ".join(f"{name} x {n}" for name, n in self.modules.items()) or "none"
        lines = [
            f"adapters on {kinds}: {count(self.trained)} of {count(self.total)} parameters trained ({share:.2g} %)"
        ]
        if self.saved:
            lines.append("trained whole: " + ", ".join(f"{name} x {n}" for name, n in self.saved.items()))
        lines += [f"left out: {name} x {n} ({why})" for name, (n, why) in self.left_out.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        left = {name: {"count": n, "why": why} for name, (n, why) in self.left_out.items()}
        return {
            "modules": self.modules, "saved": self.saved, "left_out": left, "trained": self.trained, "total": self.total
        }  # fmt: skip


def attach(model: Any, tune: FinetuneConfig) -> tuple[Any, Coverage]:
    """(the model with what the recipe trains, and only that, requiring gradients; its coverage).

    Adapters are float32 whatever the base is. UserError: a name that matches nothing.
    """
    total = sum(unpacked(p) for p in model.parameters())
    if tune.method == "full":
        model.requires_grad_(True)
        return model, Coverage({}, {"every module": 1}, {}, total, total)
    from peft import get_peft_model

    names = target_names(model, tune.lora_target_modules)
    saved = saved_names(model, tune.lora_modules_to_save)
    _refuse_half_of_a_tie(model, names)
    left_out = _left_out(model, names, saved)
    with warnings.catch_warnings():  # a GPT-2 has layers of both orders; PEFT sets each one's right
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        tied = is_tied(model)
        adapted = get_peft_model(model, lora_config(model, tune, names))
    if tied and not is_tied(model):
        raise UserError(
            f"finetune.lora_modules_to_save: PEFT does not keep the embedding of {type(model).__name__} tied to its "
            "output head when it is trained whole. Leave it out, or use finetune.method: full."
        )
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()  # 16-bit steps of 2e-4 are mostly rounded away
        assert not parameter.requires_grad or "lora_" in name or "modules_to_save" in name, name
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    return adapted, Coverage(_kinds(names), _kinds(saved), left_out, trained, total)


def lora_config(model: Any, tune: FinetuneConfig, names: list[str]) -> Any:
    """PEFT's configuration; the short names in it are those that it and vLLM match by their end."""
    from peft import LoraConfig

    saved = _saved_for_peft(model, tune.lora_modules_to_save)
    transposed = any(type(m).__name__ == "Conv1D" for n, m in model.named_modules() if n in set(names))
    return LoraConfig(
        r=tune.lora_r,
        lora_alpha=tune.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=tune.lora_dropout,
        target_modules=_short(model, names),
        modules_to_save=saved or None,
        use_rslora=tune.use_rslora,
        use_dora=tune.use_dora,
        bias="none",
        task_type="CAUSAL_LM",
        # An embedding trained whole stays the head's weight where the base ties them.
        ensure_weight_tying=is_tied(model) and _kind_of_head(model) in saved,
        fan_in_fan_out=transposed,
    )


# ---- names ----------------------------------------------------------------------------------------------------------


def linear_names(model: Any) -> list[str]:
    """Full names of the layers that LoRA can stand on: linear ones, Conv1D, 4- and 8-bit ones."""
    return [name for name, module in model.named_modules() if name and is_linear(module)]


def is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ in ("Conv1D", "Linear4bit", "Linear8bitLt")


def target_names(model: Any, asked: str | list[str]) -> list[str]:
    """Full names of the modules that get adapters. UserError: a name (or pattern) that matches nothing."""
    linear = linear_names(model)
    if asked == ALL_LINEAR:
        head = model.get_output_embeddings()
        found = [name for name in linear if model.get_submodule(name) is not head]
        if not found:
            raise UserError(f"{type(model).__name__}: no linear layer to put adapters on. Use finetune.method: full.")
        return found
    if isinstance(asked, str) and not re.fullmatch(r"[\w.]+", asked):
        found = [name for name in linear if re.fullmatch(asked, name)]
        if not found:
            raise UserError(f"finetune.lora_target_modules: the pattern {asked} matches none of {_listed(linear)}.")
        return found
    wanted = [asked] if isinstance(asked, str) else list(asked)
    others = [n for n, m in model.named_modules() if isinstance(m, nn.Embedding)]
    chosen: list[str] = []
    missing: list[str] = []
    for name in wanted:
        matched = [n for n in (*linear, *others) if n == name or n.endswith("." + name)]
        chosen += matched
        if not matched:
            missing.append(name)
    if missing or not chosen:
        raise UserError(_missing(missing or ["(an empty list)"], linear))
    return sorted(set(chosen), key=chosen.index)


def saved_names(model: Any, asked: list[str]) -> list[str]:
    """Full names of the modules trained whole. UserError: a name that matches nothing."""
    everything = [n for n, _ in model.named_modules() if n]
    found = []
    for name in asked:
        matched = [n for n in everything if n == name or n.endswith("." + name)]
        if not matched:
            near = difflib.get_close_matches(name, sorted({_kind(n) for n in everything}), 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"finetune.lora_modules_to_save: {name} is no module of {type(model).__name__}.{hint}")
        found += matched
    return found


def _saved_for_peft(model: Any, asked: list[str]) -> list[str]:
    """PEFT keeps a tie when the head is asked for by name, and then saves both; by an embedding's name (wte) it does
    not."""
    if not is_tied(model) or not asked:
        return list(asked)
    both = (model.get_output_embeddings(), model.get_input_embeddings())
    one_of_both = [name for name in asked if any(model.get_submodule(n) in both for n in saved_names(model, [name]))]
    return [name for name in asked if name not in one_of_both] + ([_kind_of_head(model)] if one_of_both else [])


def _kind_of_head(model: Any) -> str:
    head = model.get_output_embeddings()
    return next((_kind(n) for n, m in model.named_modules(remove_duplicate=False) if m is head), "")


def is_tied(model: Any) -> bool:
    """Is the output head the embedding?"""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and head.weight is embedding.weight


def _refuse_half_of_a_tie(model: Any, names: list[str]) -> None:
    """An adapter on one side of a tied embedding would make two matrices of one, in training and in every merge."""
    both = (model.get_output_embeddings(), model.get_input_embeddings())
    if is_tied(model) and (found := [n for n in names if model.get_submodule(n) in both]):
        raise UserError(
            f"finetune.lora_target_modules: {found[0]} shares its weights with the "
            f"{'embedding' if model.get_submodule(found[0]) is both[0] else 'output head'} (tied), and an adapter on "
            "one of them would untie them. Train them whole: finetune.lora_modules_to_save, which keeps the tie."
        )


def _missing(missing: list[str], linear: list[str]) -> str:
    kinds = sorted({_kind(n) for n in linear})
    fused = [kind for kind in kinds if set(FUSED.get(kind, ())) & set(missing)]
    hint = f" Here {', '.join(fused)} {'are' if len(fused) > 1 else 'is'} in their place (fused)." if fused else ""
    return (
        f"finetune.lora_target_modules: {', '.join(missing)} matched no module, so nothing of it would be trained. "
        f"This model has {_listed(linear)}.{hint} `all-linear` takes every one of them."
    )


def _listed(linear: list[str]) -> str:
    return ", ".join(f"{name} x {n}" for name, n in _kinds(linear).items())


def _kind(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _kinds(names: list[str]) -> dict[str, int]:
    return dict(Counter(_kind(n) for n in names))


def _short(model: Any, names: list[str]) -> list[str]:
    """Last parts where they mean exactly `names`, else the full names."""
    kinds = sorted({_kind(n) for n in names})
    meant = {n for n, _ in model.named_modules() if _kind(n) in kinds}
    return kinds if meant == set(names) else sorted(names)


def _left_out(model: Any, names: list[str], saved: list[str]) -> dict[str, tuple[int, str]]:
    """Kinds of modules with matrices that are not trained, and why."""
    head, taken = model.get_output_embeddings(), {*names, *saved}
    why: dict[str, Counter[str]] = {}
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.ndim >= 2]
        if not own or name in taken or not name:
            continue
        if module is head:
            reason = "the output head: name it in lora_modules_to_save or lora_target_modules"
        elif isinstance(module, nn.Embedding):
            reason = "an embedding: name it in lora_modules_to_save"
        elif is_linear(module):
            reason = "not in lora_target_modules"
        else:
            reason = (
                "its matrices are no linear layers (experts in one tensor): PEFT's target_parameters would take them"
            )
        why.setdefault(_kind(name), Counter())[reason] += 1
    return {kind: (sum(c.values()), next(iter(c))) for kind, c in why.items()}
