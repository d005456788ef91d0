"""What a score belongs to: hashes of weights, configuration and tokenizer, read from the disk each time.

A cached score of altered weights would be the worst bug of an evaluation, so no date and no size is trusted here. The
configuration counts as weights do: rotary base, norm epsilon and soft cap change every score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_bytes, sha256_file, sha256_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
CONFIGS = ("config.json", "smallm_model.json", "generation_config.json", ADAPTER_CONFIG)
# Keys that name things but change no score. The dtype is in a scorer's settings as it was chosen.
COSMETIC = frozenset(
    {"_name_or_path", "transformers_version", "_from_model_config", "dtype", "torch_dtype", "use_cache", "refusal"}
    | {"base_model_name_or_path", "inference_mode", "revision", "task_type", "peft_version", "parent_library"}
)
# Files that make a tokenizer where there is no tokenizer.json.
TOKENIZER_FILES = ("tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json")


def is_adapter(directory: Path) -> bool:
    """A PEFT adapter: its configuration is there and no whole model's weights are."""
    return (directory / ADAPTER_CONFIG).is_file() and not any((directory / n).is_file() for n in (WEIGHTS, INDEX))


def holds_tokenizer(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("tokenizer.json", *TOKENIZER_FILES))


def weight_files(directory: Path) -> list[Path]:
    """The safetensors that a loader reads: one file, the shards of the index, or the adapter's. UserError: none."""
    if is_adapter(directory):
        if (directory / ADAPTER_WEIGHTS).is_file():
            return [directory / ADAPTER_WEIGHTS]
        raise UserError(
            f"{directory}: an adapter without {ADAPTER_WEIGHTS}. smallm opens no pickle: save it with safetensors."
        )
    if (directory / WEIGHTS).is_file():
        return [directory / WEIGHTS]
    index = directory / INDEX
    if index.is_file():
        try:
            names = sorted(set(read_json(index)["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{index}: not an index of shards ({error!r}).") from None
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise UserError(f"{directory}: {len(missing)} of {len(names)} shards are missing, the first {missing[0]}.")
        return [directory / name for name in names]
    raise UserError(
        f"{directory}: no {WEIGHTS} and no {INDEX}. smallm opens no pickle (*.bin): convert the weights to safetensors."
    )


def weights_sha256(directory: Path | str, base: Path | str | None = None) -> str:
    """The hash of a model's weights: that of model.safetensors itself (as smallm.json has it), or over all shards.

    `base`: the base model's directory, for an adapter, whose hash is over both. Reads every byte.
    """
    directory = Path(directory)
    files = weight_files(directory)
    if is_adapter(directory):
        own = sha256_file(files[0])
        return own if base is None else adapted_sha256(own, weights_sha256(base))
    if [file.name for file in files] == [WEIGHTS]:
        return sha256_file(files[0])
    return sha256_json([[file.name, sha256_file(file)] for file in files])


def adapted_sha256(adapter: str, base: str) -> str:
    """The hash of an adapter on its base, of theirs."""
    return sha256_json({"adapter": adapter, "base": base})


def stamps(*directories: Path) -> list[tuple[str, int, int, int]]:
    """Name, size, date and inode of what is hashed here: equal before and after a load, nobody wrote in between."""
    files = [file for directory in directories for file in weight_files(directory)]
    files += [d / name for d in directories for name in (*CONFIGS, "tokenizer.json") if (d / name).is_file()]
    return [(str(f), s.st_size, s.st_mtime_ns, s.st_ino) for f in files for s in (f.stat(),)]


def config_sha256(*directories: Path | str, code: bool = False) -> str:
    """The hash of the directories' configurations without cosmetic keys; `code`: and of the Python beside them."""
    found: list[Any] = []
    for directory in map(Path, directories):
        found += [[name, _plain(_json(directory / name))] for name in CONFIGS if (directory / name).is_file()]
        found += [[file.name, sha256_file(file)] for file in sorted(directory.glob("*.py"))] if code else []
    return _sha256(found)


def tokenizer_sha256(tokenizer: Any) -> str:
    """sha256 of tokenizer.json, as token files, models and cards have it; of what else makes the tokenizer without one.

    `tokenizer`: a directory, or a Transformers tokenizer (the one of its directory, where that still exists).
    """
    if not isinstance(tokenizer, str | Path):
        source = Path(str(tokenizer.name_or_path or "/nowhere"))
        return tokenizer_sha256(source) if holds_tokenizer(source) else tokenizer_state_sha256(tokenizer)
    directory = Path(tokenizer)
    if (directory / "tokenizer.json").is_file():
        return sha256_file(directory / "tokenizer.json")
    files = [directory / name for name in TOKENIZER_FILES if (directory / name).is_file()]
    if not files:
        raise UserError(f"{directory}: no tokenizer there (no tokenizer.json, tokenizer.model or vocab.json).")
    return sha256_json([[file.name, sha256_file(file)] for file in files])


def tokenizer_state_sha256(tokenizer: Any) -> str:
    """The hash of a tokenizer as loaded: tokenizer_config.json and the library change what tokenizer.json does."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        inside: Any = sorted(tokenizer.get_vocab().items())
    else:  # padding and truncation are set by each call, not by the tokenizer
        inside = json.loads(backend.to_str()) | {"padding": None, "truncation": None}
    state = {
        "backend": inside,
        "class": type(tokenizer).__name__ if backend is None else None,
        "special": {name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())},
        "added by itself": list(tokenizer.encode("")),
        "clean_up": bool(getattr(tokenizer, "clean_up_tokenization_spaces", False)),
    }
    return _sha256(state)


def _plain(value: Any) -> Any:
    """JSON without its cosmetic keys, at every depth (a composite model's text_config has them too)."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in COSMETIC}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _sha256(value: Any) -> str:
    """`sha256_json` that takes infinities, which configurations hold (Mamba's time_step_limit)."""
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}).") from None
