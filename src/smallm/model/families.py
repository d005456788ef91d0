"""Model directories: Transformers' layouts both ways, by the tables of model/layouts.py.

Saving picks the first family that expresses the configuration, the preset's own first; what none
expresses is saved for smallm alone (`smallm_model.json`), and `refusal` names the switch. Layers that share a block
are written out, one after the other: others open them, and we read them back as one. Reading is memory-mapped, one
tensor at a time (model/stored.py). No pickle: safetensors only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from smallm.core.config import ModelConfig
from smallm.core.errors import UserError
from smallm.core.files import read_json, write_json
from smallm.model.decoder import Decoder
from smallm.model.hf_config import NotExpressed, read_values, refused_by, write_values
from smallm.model.layouts import FAMILIES, OF_PRESET, Family, Row
from smallm.model.presets import complete, from_dict
from smallm.model.resolve import CONFIG, OWN_CONFIG, WEIGHTS
from smallm.model.stored import copy_out, stored_tensors

# Ids of <|endoftext|> and <|pad|> in every tokenizer that smallm trains.
SPECIAL_IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
OWN_FORMAT = "smallm-decoder-1"


def family_of(config: ModelConfig) -> Family | None:
    """The first family that expresses `config`, the preset's own first; None when no one does."""
    first = OF_PRESET[config.preset]
    for family in (first, *(f for f in FAMILIES.values() if f is not first)):
        if refused_by(family, config) is None:
            return family
    return None


def refusal(config: ModelConfig) -> str | None:
    """The switch that no family's layout expresses, in words (those of the preset's family); None when one does."""
    config = complete(config, config.vocab_size)
    return None if family_of(config) else refused_by(OF_PRESET[config.preset], config)


def to_hf_config(config: ModelConfig, special_ids: dict[str, int] | None = None) -> dict[str, Any]:
    """config.json of the family that expresses `config`. UserError, naming the switch, when none does."""
    family = family_of(config)
    if family is None:
        raise UserError(f"{refusal(config)}: such a model opens in smallm alone. Train it with the family's switches.")
    shared = {"vocab_size": config.vocab_size, "dtype": "float32"}
    return {**write_values(family, config), **shared, **(SPECIAL_IDS if special_ids is None else special_ids)}


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Our complete configuration of a config.json. UserError for an unknown family, a missing or foreign key."""
    kind = values.get("model_type")
    if kind not in FAMILIES:
        raise UserError(
            f"config.json: model_type {kind} is not a family that our decoder knows ({', '.join(sorted(FAMILIES))})."
        )
    if values.get("quantization_config"):
        raise UserError("config.json: the weights are stored quantised; such a model opens through Transformers alone.")
    family = FAMILIES[kind]
    try:
        mine = read_values(family, values)
        vocab_size = int(values["vocab_size"])
    except KeyError as error:
        raise UserError(f"config.json: no key {error.args[0]}, which a {family.layout} model needs.") from None
    except NotExpressed as error:
        raise UserError(f"config.json: {error}") from None
    fixed = {name: value for name, value in family.fixed.items() if name not in mine}
    config = ModelConfig(preset=family.preset, vocab_size=vocab_size, **{**fixed, **mine})  # type: ignore[arg-type]
    return complete(config, vocab_size)


def expanded(config: ModelConfig, family: Family) -> list[Row]:
    """The family's rows with the layers filled in; theirs are all layers, ours the blocks that serve them."""
    rows: list[Row] = []
    shared = config.shared_layers or 1
    for row in family.tensors(config):
        for i in range(config.layers) if "{i}" in row.theirs else (0,):
            ours = tuple(name.replace("{i}", str(i // shared)) for name in row.ours)
            rows.append(Row(row.theirs.replace("{i}", str(i)), ours, row.transposed))
    return rows


def export_tensor(row: Row, ours: dict[str, Tensor]) -> Tensor:
    """Their tensor of our state, contiguous."""
    parts = [ours[name] for name in row.ours]
    tensor = parts[0] if len(parts) == 1 else torch.cat(parts, dim=0)
    return (tensor.T if row.transposed else tensor).contiguous()


def import_tensor(row: Row, theirs: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Our tensors of theirs; ValueError when the shape is not the configuration's."""
    tensor = theirs.T if row.transposed else theirs
    outputs = [shapes[name][0] for name in row.ours]
    expected = (sum(outputs), *shapes[row.ours[0]][1:])
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{row.theirs} has shape {tuple(tensor.shape)} where config.json says {expected}")
    return dict(zip(row.ours, tensor.split(outputs, dim=0), strict=True))


def save_pretrained(
    decoder: Decoder,
    directory: Path | str,
    dtype: torch.dtype = torch.float32,
    special_ids: dict[str, int] | None = None,
) -> str | None:
    """Write the model; gives None, or the refusal that made it a directory which only smallm opens.

    `special_ids`: bos_token_id, eos_token_id, pad_token_id; by default those of smallm's tokenizers.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config, state = decoder.config, parameters_by_name(decoder)
    special_ids = SPECIAL_IDS if special_ids is None else special_ids
    family = family_of(config)
    if family is None:
        why = refusal(config)
        tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
        write_json(
            directory / OWN_CONFIG,
            {"format": OWN_FORMAT, "model": asdict(config), "refusal": why, **special_ids},
        )
        (directory / CONFIG).unlink(missing_ok=True)
    else:
        why = None
        ours = {name: tensor.detach().to("cpu", dtype) for name, tensor in state.items()}
        tensors = {row.theirs: export_tensor(row, ours) for row in expanded(config, family)}
        if (config.shared_layers or 1) > 1:  # a block that serves two layers is written twice
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        values = {**to_hf_config(config, special_ids), "dtype": str(dtype).removeprefix("torch.")}
        write_json(directory / CONFIG, values)
        write_json(directory / "generation_config.json", special_ids)
        (directory / OWN_CONFIG).unlink(missing_ok=True)
    _save_weights(tensors, directory / WEIGHTS)
    return why


def _save_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """model.safetensors, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, temporary, metadata={"format": "pt"})
        with open(temporary, "rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def parameters_by_name(decoder: Decoder) -> dict[str, Tensor]:
    """Every parameter once (a tied head is not there)."""
    return dict(decoder.named_parameters())


def load_pretrained(
    directory: Path | str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Decoder:
    """The model of a directory, in evaluation mode, its weights cast to `dtype` one tensor at a time.

    Memory: the weights once (the files are mapped, not read). UserError: no model there, unknown family, a missing
    shard, a missing, surplus or misshapen tensor.
    """
    directory = Path(directory)
    config = read_config(directory)
    with torch.device("meta"):
        decoder = Decoder(config)
    state: dict[str, Tensor] = {}
    for row, parts, forget in _mapped(directory, decoder):
        for name, part in parts.items():
            if name not in state:
                state[name] = torch.empty(part.shape, dtype=dtype, device=device)
                copy_out(state[name], part, forget)
            elif not torch.equal(state[name], part.to(device=device, dtype=dtype)):
                raise UserError(
                    f"{directory}: {row.theirs} is not equal to the layer before it, but shared_layers in config.json "
                    "says that they share their weights. Set it to 1 there to load each layer by itself."
                )
    decoder.load_state_dict(state, strict=False, assign=True)
    for parameter in decoder.parameters():
        parameter.requires_grad_(True)
    decoder.tie()
    decoder.make_buffers()
    return decoder.to(device).eval()


def check_stored(directory: Path | str) -> ModelConfig:
    """The configuration of a directory whose tensors are all there, in their shapes. Reads no weights.

    UserError: as `load_pretrained`.
    """
    directory = Path(directory)
    config = read_config(directory)
    with torch.device("meta"):
        decoder = Decoder(config)
    for _ in _mapped(directory, decoder):
        pass
    return config


def _mapped(directory: Path, decoder: Decoder) -> Iterator[tuple[Row, dict[str, Tensor], Callable[[], None]]]:
    """Each tensor of the directory as views that are ours, and what gives back its pages. UserError: as above."""
    shapes = {name: p.shape for name, p in decoder.named_parameters()}
    rows, ignored = _layout(directory, decoder.config, shapes)
    expected, surplus = {row.theirs: row for row in rows}, []
    for name, tensor, forget in stored_tensors(directory):
        row = expected.pop(_canonical(name, expected), None)
        if row is None:
            if not name.endswith(ignored):
                surplus.append(name)
            continue
        try:
            parts = import_tensor(row, tensor, shapes)
        except ValueError as error:
            raise UserError(f"{directory}: {error}. Weights and configuration come from different models.") from None
        yield row, parts, forget
    _check_complete(directory, expected, surplus)


def _check_complete(directory: Path, expected: dict[str, Row], surplus: list[str]) -> None:
    if expected or surplus:
        what = (
            f"no tensor {next(iter(expected))}"
            if expected
            else f"a tensor {surplus[0]}, which its family does not have"
        )
        raise UserError(f"{directory}: the weights have {what} ({len(expected)} missing, {len(surplus)} too many).")


def read_config(directory: Path) -> ModelConfig:
    """The complete configuration of a model directory."""
    own, theirs = directory / OWN_CONFIG, directory / CONFIG
    path = own if own.exists() else theirs
    if not path.exists():
        raise UserError(f"{directory}: no model there ({CONFIG} and {OWN_CONFIG} are both missing).")
    try:
        values = read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}).") from None
    try:
        if path == theirs:
            return from_hf_config(values)
        if values.get("format") != OWN_FORMAT:
            raise UserError(
                f"{OWN_CONFIG}: format {values.get('format')} is not {OWN_FORMAT}, which this smallm reads."
            )
        return complete(from_dict(values["model"]), 0)
    except UserError as error:
        raise UserError(f"{directory}: {error}") from None


def _layout(directory: Path, config: ModelConfig, shapes: dict[str, torch.Size]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows to read, and endings of names that may stand there for nothing."""
    if (directory / OWN_CONFIG).exists():
        return [Row(name, (name,)) for name in shapes], ()
    family = FAMILIES[read_json(directory / CONFIG)["model_type"]]
    # A tied head is sometimes written all the same.
    return expanded(config, family), (*family.ignored, *(("lm_head.weight",) if config.tied else ()))


def _canonical(name: str, expected: dict[str, Row]) -> str:
    """The name as the table has it: checkpoints of the bare body lack the prefix (openai-community/gpt2)."""
    if name in expected:
        return name
    return next((p + name for p in ("transformer.", "model.") if p + name in expected), name)
