"""What a PEFT adapter adds to each weight, read from its file: LoRA, rsLoRA, DoRA, embeddings, modules saved whole.

Scales as PEFT computes them (its patterns of ranks and alphas too). A tensor that is not understood is an error: half
an adapter merged would be another model without a word.
Letters: O outputs, I inputs, R rank, V vocabulary, D width.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.evaluate.identity import ADAPTER_CONFIG
from smallm.finetune.skeleton import Skeleton
from smallm.finetune.tensors import Tensors

PREFIX = "base_model.model."
# Starts that subtract their matrices from the base, or quantise it: the adapter fits that base alone.
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
PARTS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "embedding_a",
    ".lora_embedding_B": "embedding_b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
}


@dataclass(frozen=True)
class Delta:
    """What happens to one weight. Names of tensors in `source`; `whole`: it is replaced."""

    source: Tensors
    scale: float = 1.0
    a: str | None = None
    b: str | None = None
    embedding_a: str | None = None
    embedding_b: str | None = None
    magnitude: str | None = None
    whole: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(O, I) of the sum; of an embedding (V, D)."""
        entries = self.source.entries
        if self.whole is not None:
            return entries[self.whole].shape
        if self.embedding_a is not None and self.embedding_b is not None:
            return entries[self.embedding_a].shape[1], entries[self.embedding_b].shape[0]
        a, b = self._pair()
        return entries[b].shape[0], entries[a].shape[1]

    def _pair(self) -> tuple[str, str]:
        assert self.a is not None
        assert self.b is not None
        return self.a, self.b

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Is this for a weight of that shape, or of its transpose (Conv1D)?"""
        return self.shape in (shape, shape[::-1])

    def applied(self, rows: Tensor, first: int, transposed: bool) -> Tensor:
        """float32 rows first… of the weight as stored, with what was learned; `transposed`: they are inputs."""
        if self.embedding_a is not None and self.embedding_b is not None:
            a_RV, b_DR = (self.source.read(n).float() for n in (self.embedding_a, self.embedding_b))
            return rows.addmm_(a_RV[:, first : first + len(rows)].T, b_DR.T, alpha=self.scale)
        a_RI, b_OR = (self.source.read(n).float() for n in self._pair())
        if transposed:
            found = rows.addmm_(a_RI[:, first : first + len(rows)].T, b_OR.T, alpha=self.scale)
            if self.magnitude is not None:  # norms run over the inputs, which are the rows here: they must all be there
                assert len(rows) == a_RI.shape[1], "DoRA on a Conv1D wants the whole matrix"
                found *= (self.source.read(self.magnitude).float() / found.norm(dim=0))[None]
            return found
        found = rows.addmm_(b_OR[first : first + len(rows)], a_RI, alpha=self.scale)
        if self.magnitude is not None:
            magnitude_O = self.source.read(self.magnitude).float()[first : first + len(rows)]
            found *= (magnitude_O / found.norm(dim=1))[:, None]
        return found

    def same_as(self, other: Delta) -> bool:
        """Do both put the same matrix there (a tied embedding saved under both names)?"""
        return (
            self.whole is not None
            and other.whole is not None
            and self.shape == other.shape
            and all(
                torch.equal(x, y)
                for (_, x), (_, y) in zip(self.source.rows(self.whole), other.source.rows(other.whole), strict=True)
            )
        )


def read_deltas(adapter: Tensors, directory: Path, skeleton: Skeleton) -> dict[str, Delta]:
    """Parameter of the base -> what happens to it. UserError: tensors or settings that are not understood."""
    config = _config(directory)
    parts: dict[str, dict[str, str]] = {}
    for name in adapter.entries:
        if not name.startswith(PREFIX):
            raise UserError(f"{directory}: a tensor {name}, which is none of an adapter of a causal model.")
        inner = name[len(PREFIX) :]
        ending = next((e for e in sorted(PARTS, key=len, reverse=True) if inner.endswith(e)), None)
        if ending is not None:
            parts.setdefault(inner.removesuffix(ending) + ".weight", {})[PARTS[ending]] = name
        elif ".lora_" in inner or inner not in {*skeleton.shapes, skeleton.head}:
            raise UserError(f"{directory}: a tensor {name}, which merging does not understand. Serve it with PEFT.")
        else:
            parts.setdefault(inner, {})["whole"] = name
    deltas = {}
    for parameter, found in parts.items():
        module = parameter.removesuffix(".weight")
        if "whole" not in found and not ({"a", "b"} <= found.keys() or {"embedding_a", "embedding_b"} <= found.keys()):
            raise UserError(f"{directory}: the adapter of {module} lacks one of its two matrices.")
        if "embedding_a" in found and "magnitude" in found:
            raise UserError(f"{directory}: DoRA on an embedding ({module}) is not merged. Serve the adapter with PEFT.")
        deltas[parameter] = Delta(adapter, _scale(config, module), **found)
    return deltas


def _config(directory: Path) -> dict[str, Any]:
    """adapter_config.json of a LoRA that adds to weights and nothing else."""
    config = read_json(directory / ADAPTER_CONFIG)
    if str(config.get("peft_type", "")).upper() != "LORA":
        raise UserError(f"{directory}: a {config.get('peft_type')} adapter; LoRA, rsLoRA and DoRA are merged here.")
    for key in (
        "layer_replication",
        "alora_invocation_tokens",
        "use_bdlora",
        "arrow_config",
        "lora_bias",
        "use_qalora",
    ):
        if config.get(key):
            raise UserError(f"{directory}: the adapter sets {key}, which merging does not know. Serve it with PEFT.")
    start = str(config.get("init_lora_weights", True)).lower()
    if start.startswith(CHANGES_BASE):
        raise UserError(
            f"{directory}: init_lora_weights is {config['init_lora_weights']}, which trains on a changed base: added "
            "to the original it is another model. Convert it with PEFT (save_pretrained with "
            "path_initial_model_for_weight_conversion), or serve it with PEFT."
        )
    return config


def _scale(config: dict[str, Any], module: str) -> float:
    """alpha / r, or alpha / sqrt(r); a pattern's own rank and alpha where one matches the module (PEFT's rule)."""
    rank = _by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
