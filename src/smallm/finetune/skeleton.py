"""The shape of a Transformers model without its weights: what a merge must know of the modules behind the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from smallm.core.errors import UserError
from smallm.evaluate.transformers_models import LOADING_ERRORS, brief, quietly


@dataclass(frozen=True)
class Skeleton:
    """`shapes`: parameter -> shape. `embedding`, `head`: their weights' names. `transposed`: weights stored (in, out),
    as GPT-2's Conv1D does. `prefix`: of the body."""

    shapes: dict[str, tuple[int, ...]]
    embedding: str
    head: str
    tied: bool
    transposed: frozenset[str]
    prefix: str


def skeleton_of(directory: Path) -> Skeleton:
    """The skeleton of a model directory, on the meta device. UserError: Transformers does not know the family."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with quietly(), torch.device("meta"):
            config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise UserError(f"{directory}: Transformers does not know this model ({brief(error)}).") from None
    modules = {id(m): n for n, m in model.named_modules(remove_duplicate=False)}
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None:
        raise UserError(f"{directory}: {type(model).__name__} has no output head to merge beside.")
    return Skeleton(
        shapes={name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)},
        embedding=modules[id(embedding)] + ".weight",
        head=modules[id(head)] + ".weight",
        tied=bool(config.get_text_config().tie_word_embeddings),
        transposed=frozenset(n + ".weight" for n, m in model.named_modules() if type(m).__name__ == "Conv1D"),
        prefix=model.base_model_prefix,
    )
