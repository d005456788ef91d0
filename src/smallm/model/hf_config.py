"""config.json of a family, written and read by the family's table: keys, constants, rotary positions.

Knows no family by name; what a table does not express is named, with the switch or the key and its value.
"""

from __future__ import annotations

from typing import Any

from smallm.core.config import ModelConfig
from smallm.model.layouts import REQUIRED, Family, Key

# Our key beside theirs: so many layers in a row were written from one block.
SHARED = "shared_layers"

# What a value is called in a refusal.
_VALUE_NAMES = {
    ("position", "learned"): "learned positions",
    ("position", "sinusoidal"): "sinusoidal positions",
    ("position", "rope"): "rotary positions",
    ("position", "none"): "way to leave positions out",
    ("block", "pre"): "norms before the sublayers",
    ("block", "post"): "norms after the sublayers",
    ("block", "parallel"): "attention and MLP side by side",
    ("norm", "layer"): "LayerNorm",
    ("norm", "rms"): "RMSNorm",
    ("qk_norm", True): "norms on queries and keys",
    ("qk_norm", False): "way to leave out norms on queries and keys",
    ("mlp", "relu"): "ReLU",
    ("mlp", "relu2"): "squared ReLU",
    ("mlp", "gelu"): "plain GELU MLP",
    ("mlp", "swiglu"): "gated SiLU MLP",
    ("bias", True): "biases on every linear layer",
    ("bias", False): "way to leave biases out",
    ("head_bias", True): "bias on the output head",
    ("head_bias", False): "way to leave out the bias on the output head",
}
_SWITCH_NAMES = {
    "rope_fraction": "partial rotation",
    "soft_cap": "logit soft cap",
    "window": "window of attention",
}


class NotExpressed(ValueError):  # noqa: N818 (what it is, not whose error)
    """A value of config.json that is no switch of our decoder."""


def refused_by(family: Family, config: ModelConfig) -> str | None:
    """Why this family's layout cannot hold `config`, naming the switch; None when it can."""
    no = f"transformers' {family.layout} layout has no"
    for switch, value in family.fixed.items():
        mine = getattr(config, switch)
        if mine != value and not (switch == "rope_fraction" and config.position != "rope"):
            return f"{no} {_named(switch, mine)}"
    for key in family.keys:
        if key.names is not None and getattr(config, key.ours) not in key.names:
            return f"{no} {_named(key.ours, getattr(config, key.ours))}"
    for holds, what in family.requires:
        if not holds(config):
            return f"{no} {what}"
    scaling = config.rope_scaling
    if scaling is not None and scaling["rope_type"] not in family.scalings.values():
        return f"{no} {scaling['rope_type']} scaling of rotary positions (model.rope_scaling)"
    return None


def _named(switch: str, value: Any) -> str:
    what = _VALUE_NAMES.get((switch, value)) or _SWITCH_NAMES[switch]
    return f"{what} (model.{switch}: {str(value).lower() if isinstance(value, bool) else value})"


def write_values(family: Family, config: ModelConfig) -> dict[str, Any]:
    """config.json of a configuration that the family expresses, without vocabulary, special ids and dtype."""
    values: dict[str, Any] = {"architectures": [family.architecture], "model_type": family.name}
    for key in family.keys:
        mine = getattr(config, key.ours)
        if key.names is not None:
            mine = key.names[mine][0]
        values[key.theirs] = None if key.null and not mine else mine
    values |= {theirs: getattr(config, ours) for theirs, ours in family.written.items()}
    values |= family.says
    if config.position == "rope":
        values |= _write_rope(family, config)
    if (config.shared_layers or 1) > 1:
        values[SHARED] = config.shared_layers
    return values


def _write_rope(family: Family, config: ModelConfig) -> dict[str, Any]:
    """Both spellings: rope_parameters since Transformers 5; rope_theta and rope_scaling before and beside it."""
    values: dict[str, Any] = {"rope_theta": config.rope_theta}
    if "rope_fraction" not in family.fixed:
        values["partial_rotary_factor"] = config.rope_fraction
    if config.rope_scaling is None:
        return values | {"rope_parameters": {"rope_type": "default", **values}}
    scaling = dict(config.rope_scaling)
    kind = scaling.pop("rope_type")
    word = next(theirs for theirs, ours in family.scalings.items() if ours == kind)
    if kind != "longrope":
        return values | {"rope_scaling": {"rope_type": word, **scaling}}
    # As Phi-3 is published, which old readers insist on: three keys, the original length beside them.
    values["original_max_position_embeddings"] = original = scaling.pop("original_max_position_embeddings")
    if scaling["factor"] == config.context / original:
        del scaling["factor"]
    return values | {"rope_scaling": {"type": word, **scaling}}


def read_values(family: Family, values: dict[str, Any]) -> dict[str, Any]:
    """Our switches of a config.json. KeyError: a key that must be there; NotExpressed: a value that we do not have."""
    for theirs, said in family.says.items():
        if values.get(theirs, said) != said:
            raise NotExpressed(
                f"{theirs} {values[theirs]} is not a switch of our decoder (its {family.layout} layout has {said})."
            )
    mine: dict[str, Any] = {}
    for key in family.keys:
        value = _read(key, values)
        if mine.setdefault(key.ours, value) != value:
            raise NotExpressed(
                f"{key.theirs} is {value}, but what model.{key.ours} also stands for is {mine[key.ours]}: our decoder "
                "has one switch for both."
            )
    if values.get(SHARED):
        mine["shared_layers"] = values[SHARED]
    return mine | (_read_rope(family, values) if family.fixed.get("position") == "rope" else {})


def _read(key: Key, values: dict[str, Any]) -> Any:
    value = values.get(key.theirs)
    if value is None:
        if key.null and key.theirs in values:
            return 0
        if key.default is REQUIRED:
            raise KeyError(key.theirs)
        value = key.default(values) if callable(key.default) else key.default
    if key.names is not None:
        for mine, theirs in key.names.items():
            if value in theirs:
                return mine
        raise NotExpressed(f"{key.theirs} {value} is not a switch of our decoder.")
    return (value or 0) if key.null else value


def _read_rope(family: Family, values: dict[str, Any]) -> dict[str, Any]:
    """Base, share and scaling of the rotation, from whichever spelling is there."""
    rope = {**(values.get("rope_parameters") or {}), **(values.get("rope_scaling") or {})}
    kinds = [rope.pop(name, None) for name in ("rope_type", "type")]
    kind = next((kind for kind in kinds if kind), "default")
    mine: dict[str, Any] = {"rope_theta": float(rope.pop("rope_theta", None) or values.get("rope_theta") or 10_000.0)}
    said = rope.pop("partial_rotary_factor", None) or values.get("partial_rotary_factor") or family.rope_fraction
    mine["rope_fraction"] = float(said)
    if family.fixed.get("rope_fraction", mine["rope_fraction"]) != mine["rope_fraction"]:
        raise NotExpressed(f"partial_rotary_factor is not a switch of our {family.layout} layout.")
    if kind == "default":
        return mine
    if kind not in family.scalings:
        raise NotExpressed(f"rope_scaling of type {kind} is not a switch of our {family.layout} layout yet.")
    scaling = {name: value for name, value in rope.items() if value is not None}
    scaling["rope_type"] = family.scalings[kind]
    context = values.get("max_position_embeddings") or 0
    if scaling["rope_type"] != "linear":
        original = values.get("original_max_position_embeddings") or rope.get("original_max_position_embeddings")
        scaling["original_max_position_embeddings"] = original or context
        if scaling["rope_type"] == "longrope":
            scaling.setdefault("factor", max(1.0, context / scaling["original_max_position_embeddings"]))
    return mine | {"rope_scaling": scaling}
