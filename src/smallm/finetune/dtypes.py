"""Which number formats a fine-tuning runs in: the plan by the card, and the census that shows that it was kept to.

Turing and older cards multiply no bfloat16: frozen weights and arithmetic in float16 there, with a loss scaler. Later
cards and processors with bfloat16 in hardware take that; other processors float32. Trained parameters are float32
everywhere. With a 4-bit base the norms alone stand in float32, on purpose: what upcasts embeddings as well (PEFT's
prepare_model_for_kbit_training) took more memory than 16-bit LoRA (bitsandbytes #1569). Asserted, not hoped for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from smallm.core.config import FinetuneConfig
from smallm.core.console import count, warn
from smallm.core.errors import UserError
from smallm.core.hardware import cpu_bf16
from smallm.evaluate.transformers_models import keep_quantised_weights
from smallm.plan.tune import recommends_16_bits

NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Compute capability from which a card multiplies bfloat16 (Ampere).
BF16_FROM = (8, 0)


@dataclass(frozen=True)
class DtypePlan:
    """Formats of one fine-tuning. `autocast` None: the arithmetic is in the weights' float32.

    `scaler`: the loss is scaled (float16's gradients would vanish). `four_bit`: the frozen matrices are NF4 and
    `compute` is what they are multiplied in. `norms`: of the frozen norms.
    """

    weights: torch.dtype
    adapters: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    scaler: bool = False
    norms: torch.dtype = torch.float32
    four_bit: bool = False
    full: bool = False
    reason: str = ""

    @property
    def compute(self) -> torch.dtype:
        """bnb_4bit_compute_dtype: always said, since its default is float32 on every card."""
        return self.autocast or torch.float32

    def to_json(self) -> dict[str, Any]:
        return {k: str(v).removeprefix("torch.") if isinstance(v, torch.dtype) else v for k, v in asdict(self).items()}


def plan_dtypes(device: torch.device | str, tune: FinetuneConfig) -> DtypePlan:
    """The formats on `device` for this recipe. UserError: a format that the device does not multiply."""
    device = torch.device(device)
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    low, reason = _arithmetic(device, capability, tune.dtype)
    if tune.method == "full":
        if low == torch.float16:
            reason += "; trained weights are float32"
        return DtypePlan(
            torch.float32,
            autocast=None if low == torch.float32 else low,
            scaler=low == torch.float16,
            full=True,
            reason=reason,
        )
    return DtypePlan(
        low,
        autocast=None if low == torch.float32 else low,
        scaler=low == torch.float16,
        norms=torch.float32 if tune.load_in_4bit else low,
        four_bit=tune.load_in_4bit,
        reason=reason,
    )


def _arithmetic(device: torch.device, capability: tuple[int, int] | None, asked: str) -> tuple[torch.dtype, str]:
    """(format of the arithmetic, why)."""
    if asked != "auto":
        _check_asked(device, capability, asked)
        return NAMES[asked], "finetune.dtype"
    if capability is not None:
        if torch.version.hip is not None or capability >= BF16_FROM:
            return torch.bfloat16, f"the card (compute capability {_dotted(capability)}) multiplies bfloat16"
        return torch.float16, f"the card (compute capability {_dotted(capability)}) has no bfloat16"
    if device.type == "cpu" and cpu_bf16():
        return torch.bfloat16, "the processor multiplies bfloat16"
    return torch.float32, f"no 16-bit arithmetic in hardware ({device.type})"


def _check_asked(device: torch.device, capability: tuple[int, int] | None, asked: str) -> None:
    if asked == "bfloat16" and capability is not None and torch.version.hip is None and capability < BF16_FROM:
        raise UserError(
            f"finetune.dtype: bfloat16, but this card (compute capability {_dotted(capability)}) has none in hardware "
            "(from 8.0 on); emulated it is slower than float32. Leave it on auto: float16 with a loss scaler."
        )
    if asked == "float16" and capability is None:
        raise UserError(
            f"finetune.dtype: float16 trains on CUDA cards alone (this is {device.type}): its gradients need a scaler "
            "and its products hardware. Leave it on auto."
        )
    if asked == "bfloat16" and device.type == "cpu" and not cpu_bf16():
        warn("finetune.dtype: bfloat16 is emulated on this processor, hundreds of times slower than float32")


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


# ---- the census -----------------------------------------------------------------------------------------------------

Table = dict[str, dict[str, int]]  # kind -> format -> parameters


def census(model: nn.Module) -> Table:
    """Parameters by kind of module and format; those of NF4 counted unpacked."""
    table: dict[str, Counter[str]] = {}
    seen: set[int] = set()
    owners = {id(p): (name, module) for name, module in model.named_modules() for p in module.parameters(recurse=False)}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        module_name, module = owners[id(parameter)]
        kind = kind_of(name, module_name, module, parameter)
        table.setdefault(kind, Counter())[_format(parameter)] += unpacked(parameter)
    return {kind: dict(found) for kind, found in sorted(table.items())}


def kind_of(name: str, module_name: str, module: nn.Module, parameter: torch.Tensor) -> str:
    """trained | adapter | 4-bit matrix | embedding | head | norm | matrix | other."""
    if "lora_" in name or "original_module" in name:
        return "adapter" if "lora_" in name else "kept original"
    if parameter.requires_grad:
        return "trained"
    if _is_4bit(parameter):
        return "4-bit matrix"
    if isinstance(module, nn.Embedding):
        return "embedding"
    if is_norm(module):
        return "norm"
    if module_name.rsplit(".", 1)[-1] in ("lm_head", "embed_out", "output"):
        return "head"
    return "matrix" if parameter.ndim >= 2 else "other"


def is_norm(module: nn.Module) -> bool:
    """LayerNorm, RMSNorm and the families' own, which are all called so."""
    return isinstance(module, (nn.LayerNorm, nn.GroupNorm)) or "norm" in type(module).__name__.lower()


def _is_4bit(parameter: torch.Tensor) -> bool:
    return type(parameter).__name__ == "Params4bit"


def unpacked(parameter: torch.Tensor) -> int:
    """Numbers that a parameter stands for: NF4 packs two a byte."""
    state = getattr(parameter, "quant_state", None)
    if state is not None:
        return int(torch.Size(state.shape).numel())
    return parameter.numel() * (2 if _is_4bit(parameter) else 1)


def _format(parameter: torch.Tensor) -> str:
    return "nf4" if _is_4bit(parameter) else str(parameter.dtype).removeprefix("torch.")


def check_census(table: Table, plan: DtypePlan) -> None:
    """AssertionError, with the table, when a kind of module is in another format than planned."""
    low, norms = (str(d).removeprefix("torch.") for d in (plan.weights, plan.norms))
    expected = {
        "adapter": {"float32"},
        "trained": {"float32"},
        "4-bit matrix": {"nf4"},
        "norm": {norms},
        **{kind: {low} for kind in ("embedding", "head", "matrix", "other", "kept original")},
    }
    wrong = [
        f"{kind} in {name} ({count(n)} parameters), planned {' or '.join(sorted(expected[kind]))}"
        for kind, found in table.items()
        for name, n in found.items()
        if name not in expected[kind]
    ]
    if plan.four_bit and "4-bit matrix" not in table:
        wrong.append("no matrix in 4 bits, though load_in_4bit is set")
    if wrong:
        raise AssertionError(f"the dtypes are not the planned ones: {'; '.join(wrong)}\n{census_text(table)}")


def census_text(table: Table) -> str:
    """The table in lines, largest first."""
    rows = [(n, kind, name) for kind, found in table.items() for name, n in found.items()]
    return "\n".join(f"  {count(n):>7} {name:<8} {kind}" for n, kind, name in sorted(rows, reverse=True))


# ---- putting the plan into a model ----------------------------------------------------------------------------------


def prepare(model: nn.Module, plan: DtypePlan) -> None:
    """Norms into their format, each still giving out what it was given; 4-bit products that training survives."""
    keep_quantised_weights(model)
    if plan.norms == plan.weights:
        return
    for module in model.modules():
        if is_norm(module) and any(True for _ in module.parameters(recurse=False)):
            module.to(plan.norms)
            # Float32 weights would make float32 of everything after them, and the residual stream twice as large.
            module.register_forward_hook(_as_given)


def _as_given(module: nn.Module, given: tuple[Any, ...], out: Any) -> Any:
    return out.to(given[0].dtype) if isinstance(out, torch.Tensor) and given else out


def advise(parameters: int, tune: FinetuneConfig) -> str:
    """What to say before a QLoRA of a small model; '' when there is nothing."""
    return recommends_16_bits(parameters) if tune.load_in_4bit and tune.method == "lora" else ""
