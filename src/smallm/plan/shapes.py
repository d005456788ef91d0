"""The shape of a model before its weights are there: every linear layer, by its configuration alone.

From a configuration of Transformers (a directory's, the Hub's, or that of KNOWN, for plans made without a network) on
the meta device, which holds no numbers; from a recipe's own `model:` by the formulas of model/count.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallm.core.config import ModelConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.model.count import parameters, sizes
from smallm.model.presets import complete, ffn_width

# What plans of the packaged recipes need of models of the Hub, as their config.json has it (revision of 2024-12):
# Phi-3.5-mini-instruct. LongRoPE's factors change no size and are left out.
KNOWN: dict[str, dict[str, Any]] = {
    "microsoft/Phi-3.5-mini-instruct": {
        "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32064, "tie_word_embeddings": False,
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "hidden_act": "silu",
        "pad_token_id": 32000, "bos_token_id": 1, "eos_token_id": 32000,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Linear:
    """Layers of one kind: its name, inputs, outputs, how many."""

    name: str
    inputs: int
    outputs: int
    count: int

    @property
    def parameters(self) -> int:
        """Of all of them, biases left out."""
        return self.inputs * self.outputs * self.count


@dataclass(frozen=True)
class Shape:
    """A causal model's sizes. `linears`: the layers' matrices, the output head apart; `other`: norms, biases."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocab_size: int
    tied: bool
    linears: tuple[Linear, ...]
    other: int

    @property
    def matrices(self) -> int:
        """Parameters of the layers' matrices: what is quantised, and what adapters stand beside."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def tables(self) -> int:
        """Parameters of the embedding and of an output head of its own."""
        return self.vocab_size * self.width * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self.matrices + self.tables + self.other


def shape_of(recipe: Recipe, *, as_packaged: bool = False) -> Shape:
    """The shape of the model that the recipe fine-tunes. UserError: it is nowhere to be had.

    `as_packaged`: of the run of a packaged recipe by that recipe, whatever has been made here.
    """
    name = recipe.finetune.model
    if name is None:
        return shape_of_decoder(recipe.model, recipe.tokenizer.vocab_size)
    path = Path(name).expanduser()
    base = _of_packaged_run(path) if as_packaged or not path.exists() else None
    if base is not None:
        return replace(shape_of_decoder(base.model, base.tokenizer.vocab_size), name=f"the model of {base.name}")
    for directory in (path, path / "base"):
        if (directory / "config.json").is_file():
            return shape_of_config(read_json(directory / "config.json"), name)
    if name in KNOWN:
        return shape_of_config(KNOWN[name], name)
    if path.exists() or name.startswith((".", "/", "~")):
        raise UserError(f"finetune.model: {name} holds no config.json, so its size is not known. Train it first.")
    return shape_of_config(_from_hub(name, recipe.finetune.revision), name)


def shape_of_config(config: dict[str, Any], name: str = "") -> Shape:
    """The shape by a configuration of Transformers. UserError: no causal model that Transformers knows."""
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    try:
        known = AutoConfig.for_model(**config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(known)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{name}: not the configuration of a causal model of Transformers ({error}).") from None
    text, head = known.get_text_config(), model.get_output_embeddings()
    kinds: dict[tuple[str, int, int], int] = {}
    inside = 0
    for path, module in model.named_modules():
        if not isinstance(module, (nn.Linear, Conv1D)) or module is head:
            continue
        shape = module.weight.shape if isinstance(module, nn.Linear) else module.weight.shape[::-1]
        kind = (path.rsplit(".", 1)[-1], int(shape[1]), int(shape[0]))
        kinds[kind] = kinds.get(kind, 0) + 1
        inside += module.weight.numel()
    total = sum(p.numel() for p in model.parameters())
    tied, width, V = bool(text.tie_word_embeddings), int(text.hidden_size), int(text.vocab_size)
    heads = int(text.num_attention_heads)
    return Shape(
        name=name,
        layers=int(text.num_hidden_layers),
        width=width,
        heads=heads,
        kv_heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_width=int(getattr(text, "head_dim", None) or width // heads),
        ffn_width=int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * width),
        vocab_size=V,
        tied=tied,
        linears=tuple(Linear(*kind, count) for kind, count in kinds.items()),
        other=total - inside - V * width * (1 if tied else 2),
    )


def shape_of_decoder(model: ModelConfig, vocab_size: int) -> Shape:
    """The shape of a recipe's own model."""
    # Transformers has a layer of its own for each that shares a block here.
    config = replace(complete(model, vocab_size), shared_layers=1)
    (H, K, C), D, F, L = sizes(config), config.width, ffn_width(config), config.layers
    kinds = [("q_proj", D, H * C), ("k_proj", D, K * C), ("v_proj", D, K * C), ("o_proj", H * C, D)]
    kinds += [("gate_proj", D, F)] if config.mlp == "swiglu" else []
    kinds += [("up_proj", D, F), ("down_proj", F, D)]
    linears = tuple(Linear(*kind, L) for kind in kinds)
    tables = config.vocab_size * D * (1 if config.tied else 2)
    inside = sum(linear.parameters for linear in linears)
    return Shape(
        "the model trained here", L, D, H, K, C, F, config.vocab_size, bool(config.tied), linears,
        other=parameters(config) - inside - tables,
    )  # fmt: skip


def _of_packaged_run(path: Path) -> Recipe | None:
    """The packaged recipe whose run `path` will be (`runs/quickstart/base`), for plans before it is made."""
    from smallm.core.recipe import load_recipe, packaged_recipes

    parts = [part for part in path.parts if part != "base"]
    if len(parts) < 2 or parts[-2] != "runs" or parts[-1] not in packaged_recipes():
        return None
    return load_recipe(parts[-1])


def _from_hub(name: str, revision: str | None) -> dict[str, Any]:
    """config.json of a model of the Hub: this machine's copy, else fetched."""
    from huggingface_hub import hf_hub_download

    try:
        return read_json(Path(hf_hub_download(name, "config.json", revision=revision)))
    except Exception as error:  # the client raises its transport's own errors, of many kinds
        raise UserError(
            f"finetune.model: {name}: no directory here, and its config.json could not be had from the Hub "
            f"({type(error).__name__}). Name a local directory, or plan where there is a connection."
        ) from None
