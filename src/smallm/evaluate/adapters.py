"""PEFT adapters for scoring: which base they belong to, and both together, unmerged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.evaluate.identity import ADAPTER_CONFIG, weight_files, weights_sha256
from smallm.evaluate.transformers_models import LOADING_ERRORS, brief, keep_quantised_weights, quietly

# Learned vectors before the text, not a change of the weights.
PROMPT_LEARNING = ("PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT")


def base_name(adapter: Path) -> str:
    """The base model that an adapter names: a directory (beside the adapter, or from here on) or a Hub name.

    UserError: it names none, or it is of a kind that cannot be scored.
    """
    try:
        config = read_json(adapter / ADAPTER_CONFIG)
    except ValueError as error:
        raise UserError(f"{adapter / ADAPTER_CONFIG}: not JSON ({error}).") from None
    kind = str(config.get("peft_type", "")).upper()
    if kind in PROMPT_LEARNING:
        raise UserError(
            f"{adapter}: a {kind} adapter puts learned vectors before the text, which shift its positions and take "
            "room that lm-eval's windows do not leave. It cannot be scored here; LoRA and its kin can."
        )
    if config.get("alora_invocation_tokens"):
        raise UserError(
            f"{adapter}: an activated LoRA changes the model from a certain token on, which the texts of a task do not "
            "hold. It cannot be scored here; plain LoRA can."
        )
    named = str(config.get("base_model_name_or_path") or "")
    if not named:
        raise UserError(f"{adapter / ADAPTER_CONFIG}: no base_model_name_or_path. Write the base model's name there.")
    beside = adapter / named
    return str(beside) if beside.is_dir() else named


def recorded(adapter: Path) -> dict[str, Any]:
    """What smallm wrote beside an adapter that it trained; {} for others'."""
    path = adapter / "smallm.json"
    try:
        found = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}).") from None
    return found if isinstance(found, dict) else {}


def check_base(adapter: Path, base: Path) -> str:
    """The hash of the base's weights. UserError: smallm trained this adapter on other weights, or it was changed."""
    facts, found = recorded(adapter), weights_sha256(base)
    said = facts.get("base") if isinstance(facts.get("base"), dict) else {}
    trained_on = said.get("weights_sha256")  # type: ignore[union-attr]
    if trained_on and trained_on != found:
        raise UserError(
            f"{adapter}: the adapter was trained on the base {str(trained_on)[:8]}… ({said.get('name')}), "  # type: ignore[union-attr]
            f"but {base} is {found[:8]}…. On other weights it is another model. Name the base that it was trained on "
            f"in {ADAPTER_CONFIG} (base_model_name_or_path), or tune this one."
        )
    written = facts.get("adapter_sha256")
    if written and (own := weights_sha256(adapter)) != written:
        raise UserError(
            f"{weight_files(adapter)[0]}: hash {own[:8]}… but smallm.json says {str(written)[:8]}…. The adapter was "
            "changed after it was saved. Tune again, or delete smallm.json if the change was meant."
        )
    return found


def trained_in_4bit(adapter: Path) -> bool:
    """Was the adapter trained on a base in NF4? Then it is loaded on one: on 16-bit weights it is another function."""
    return bool(recorded(adapter).get("quantisation"))


def with_adapter(model: Any, adapter: Path, device: torch.device) -> Any:
    """The model with the adapter's matrices beside its weights (never merged: that rounds).

    Where the adapter brings an embedding or head of its own with another number of tokens, the model is resized to it.
    """
    from peft import PeftModel
    from safetensors import SafetensorError, safe_open

    path = weight_files(adapter)[0]
    try:
        with safe_open(path, framework="pt") as f:
            names = [n for n in f.keys() if n.endswith(("embed_tokens.weight", "lm_head.weight"))]  # noqa: SIM118
            rows = [f.get_slice(n).get_shape()[0] for n in names]
    except SafetensorError as error:
        raise UserError(f"{path}: torn or not safetensors ({error}).") from None
    if rows and max(rows) != model.config.get_text_config().vocab_size:
        model.resize_token_embeddings(max(rows))
    try:
        with quietly():
            adapted = PeftModel.from_pretrained(model, str(adapter), is_trainable=False)
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise UserError(f"{adapter}: the adapter does not fit its base model ({brief(error)}).") from None
    if not getattr(model, "is_quantized", False):  # those refuse to move, and are where they should be
        adapted = adapted.to(device)
    keep_quantised_weights(adapted)
    return adapted.eval().requires_grad_(False)
