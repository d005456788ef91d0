"""Causal models through Transformers for scoring: any family, 4- and 8-bit weights, code of its own only with leave.

What loads is checked: no pickle, no weights left random, no model that reads ahead.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.evaluate.backends import TransformersBackend

CONFIG = "config.json"
# What Transformers and the code of others raise at a directory that they do not understand.
LOADING_ERRORS = (OSError, ValueError, ImportError, RuntimeError, KeyError, AttributeError, TypeError)
NF4, INT8 = "nf4, double", "int8"


def load_transformers(
    directory: Path, dtype: torch.dtype, device: torch.device, *, quantise: str | None, trust_remote_code: bool
) -> tuple[Any, dict[str, Any]]:
    """(model in evaluation mode, what was chosen: attention, quantisation). `quantise`: NF4, INT8 or None.

    UserError: code without leave, pickles, another kind of model, torn or missing weights.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    raw = _config(directory)
    # A family that Transformers knows runs by its code, whatever the directory brings (Phi-3.5 names its own, too).
    if "auto_map" in raw and not trust_remote_code and raw.get("model_type") not in KNOWN:
        raise UserError(
            f"{directory}: this model needs Python code of its own (auto_map in {CONFIG}). Read that code, and pass "
            "trust_remote_code=True (--allow-remote-code) if it may run on this machine."
        )
    if raw.get("quantization_config") and quantise:
        raise UserError(f"{directory}: its weights are quantised already. Leave load_in_4bit and load_in_8bit out.")
    common = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        with quietly():
            config = AutoConfig.from_pretrained(directory, **common)
            model, report = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
                directory, config=config, dtype=dtype, device_map={"": str(device)}, use_safetensors=True,
                quantization_config=_quantisation(quantise, dtype), output_loading_info=True,
                attn_implementation="eager" if caps_attention(config) else None, **common,
            )  # fmt: skip
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise UserError(f"{directory}: Transformers does not load it as a causal model ({brief(error)}).") from None
    if report["missing_keys"]:
        first = sorted(report["missing_keys"])[0]
        raise UserError(
            f"{directory}: the weights lack {len(report['missing_keys'])} tensors of {type(model).__name__} (the first "
            f"is {first}), which would be random. They belong to another kind of model, or are not all there."
        )
    keep_quantised_weights(model)
    facts = {"attention": str(getattr(model.config, "_attn_implementation", None) or "own"), "quantisation": quantise}
    if raw.get("quantization_config"):
        facts["quantisation"] = str(raw["quantization_config"].get("quant_method", "stored"))
    return model.eval().requires_grad_(False), facts


def caps_attention(config: Any) -> bool:
    """Does the model cap its attention's scores (Gemma 2)? Transformers' sdpa leaves that out without a word."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return getattr(text, "attn_logit_softcapping", None) is not None


def keep_quantised_weights(model: torch.nn.Module) -> None:
    """Scoring must not change the model: on AVX512-BF16 processors bitsandbytes repacks 4-bit weights in evaluation,
    and a training that follows gets wrong gradients without a word."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


@torch.inference_mode()
def check_causal(backend: TransformersBackend, directory: Path) -> None:
    """UserError for a model that sees the tokens that it predicts (an encoder that loads as a causal model)."""
    last = min(backend.vocab_size, 16) - 1
    ids_2N = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0], [1, 2, 3, 4, 5, 6, 7, last]], device=backend.device) % (last + 1)
    logits_2NV = torch.stack([backend.logits(backend.hidden(row[None], None, None, None)[0]).float() for row in ids_2N])
    change_N = (logits_2NV[0] - logits_2NV[1]).abs().amax(-1)
    # int8 activations share a scale: a later token may move earlier predictions a little. Seeing it moves them much.
    if change_N[:-1].max() > 0.05 * change_N[-1] + 1e-3 * logits_2NV.std():
        raise UserError(
            f"{directory}: not a causal model: a later token changes what it predicts before it. "
            "Log-likelihoods of a text need a model that reads from left to right."
        )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without Transformers' progress bars and its tables of what was loaded (what matters there is an error here)."""
    from transformers.utils import logging as transformers_logging

    shown, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # "inputs will be cast from float32 to float16", once a layer and pass: that is what 8-bit weights are.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()


def brief(error: Exception) -> str:
    """An exception of a library in at most 300 characters of one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _config(directory: Path) -> dict[str, Any]:
    try:
        return read_json(directory / CONFIG)
    except (OSError, ValueError) as error:
        raise UserError(f"{directory / CONFIG}: missing or not JSON ({brief(error)}).") from None


def _quantisation(quantise: str | None, dtype: torch.dtype) -> Any:
    """bitsandbytes' configuration; None for plain weights."""
    if quantise is None:
        return None
    try:
        import bitsandbytes  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise UserError(f"4- and 8-bit weights need bitsandbytes, which does not load here ({error}).") from None
    from transformers import BitsAndBytesConfig

    if quantise == INT8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
