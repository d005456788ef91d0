"""A tokenizer as a directory that `AutoTokenizer` opens, with the same ids.

tokenizer.json is the truth; tokenizer_config.json names the class that takes it as it is
(`PreTrainedTokenizerFast`, known to transformers 4 and 5: a family's own class would rebuild
the pre-tokenizer by its own rules); chat_template.jinja holds the template.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, write_bytes, write_json, write_text
from smallm.tokenizer.chat import CHAT_TEMPLATE
from smallm.tokenizer.specials import BOS, PAD, UNKNOWN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# What a tokenizer directory may hold; weights or code beside it are never copied.
COPIED = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "chat_template.jinja",
)  # fmt: skip


def write_directory(directory: Path, tokenizer: Tokenizer, *, kind: str, model_proto: bytes | None = None) -> None:
    """Write tokenizer.json, tokenizer_config.json, chat_template.jinja (and tokenizer.model) into `directory`."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": BOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000_000,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if kind == "char":
        config["unk_token"] = UNKNOWN
    else:  # the character kind has no chat turns in its vocabulary
        write_text(directory / "chat_template.jinja", CHAT_TEMPLATE)
    write_text(directory / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    write_json(directory / "tokenizer_config.json", config)
    if model_proto is not None:
        write_bytes(directory / "tokenizer.model", model_proto)


def load_tokenizer(directory: Path | str) -> PreTrainedTokenizerFast:
    """The directory's tokenizer by `AutoTokenizer`, offline. Raises UserError when there is none."""
    from transformers import AutoTokenizer

    path = Path(directory)
    if not (path / "tokenizer.json").is_file():
        raise UserError(f"{path}: no tokenizer.json there. Name a tokenizer or model directory that has one.")
    return AutoTokenizer.from_pretrained(str(path), local_files_only=True)  # type: ignore[return-value]


def tokenizer_sha256(directory: Path | str) -> str:
    """The hash that token files, models and cards carry: sha256 of tokenizer.json."""
    return sha256_file(Path(directory) / "tokenizer.json")


def bos_id(tokenizer: Any) -> int:
    """The id that opens every document: BOS, or EOS where a tokenizer has no BOS (Qwen, GPT-2)."""
    found = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise UserError(
            f"{tokenizer.name_or_path}: this tokenizer names neither bos_token nor eos_token, so documents cannot be "
            "told apart. Name one in its tokenizer_config.json."
        )
    return int(found)


def copy_directory(source: Path, target: Path) -> str:
    """Copy the tokenizer in `source` and check that it opens. Returns which token opens a document."""
    if not source.is_dir():
        raise UserError(f"tokenizer.path: {source} is not a directory. Name one that holds a tokenizer.json.")
    if not (source / "tokenizer.json").is_file():
        held = ", ".join(sorted(p.name for p in source.iterdir())[:8]) or "nothing"
        raise UserError(
            f"tokenizer.path: {source} has no tokenizer.json (it holds {held}). Save it with transformers' "
            "`AutoTokenizer.from_pretrained(...).save_pretrained(DIR)` and name DIR."
        )
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    config_path = target / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    if "auto_map" in config:
        raise UserError(f"tokenizer.path: {source} needs code of its own (auto_map), which smallm does not run.")
    tokenizer = load_tokenizer(target)
    bos_id(tokenizer)
    return str(tokenizer.bos_token or tokenizer.eos_token)
