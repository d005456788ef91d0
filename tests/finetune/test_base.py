"""Laws of the base: which directory a recipe means, its name in an adapter, what is said when it is not there."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finetune.tiny_bases import save_base

from smallm.core.config import FinetuneConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.files import HashCache, write_json
from smallm.core.run import Run
from smallm.finetune.base import base_directory, base_name, base_weights_sha256, fingerprint
from smallm.finetune.causal import load_for_training
from smallm.finetune.dtypes import plan_dtypes


@pytest.fixture
def run(tmp_path: Path) -> Run:
    save_base(tmp_path / "runs" / "x" / "base")
    return Run(tmp_path / "runs" / "x")


def recipe(model: str | None = None, **keys: Any) -> Recipe:
    return Recipe(name="x", finetune=FinetuneConfig(model=model, **keys))


def test_without_a_name_it_is_the_runs_own_base(run: Run) -> None:
    assert base_directory(recipe(), run) == run.path / "base"
    assert base_name(recipe(), run, run.path / "tuned" / "german") == "../../base"
    assert fingerprint(recipe(), HashCache(run.path / ".hashes")) == {}


def test_a_directory_or_a_run_is_named_relative_to_the_adapter(run: Run, tmp_path: Path) -> None:
    other = save_base(tmp_path / "models" / "other", seed=1)
    named = base_name(recipe(str(other)), run, run.path / "tuned" / "german")
    assert not Path(named).is_absolute()
    assert (run.path / "tuned" / "german" / named).resolve() == other.resolve()
    assert base_directory(recipe(str(run.path)), run) == run.path / "base"


def test_the_key_of_the_stage_follows_the_weights_and_the_revision(run: Run, tmp_path: Path) -> None:
    other, hashes = save_base(tmp_path / "other"), HashCache(tmp_path / ".hashes")
    before = fingerprint(recipe(str(other)), hashes)
    assert set(before) >= {"finetune.model/model.safetensors", "finetune.model/config.json"}
    save_base(other, seed=1)
    assert fingerprint(recipe(str(other)), hashes) != before
    hub = recipe("microsoft/Phi-3.5-mini-instruct", revision="abc")
    assert fingerprint(hub, hashes) == {"finetune.model": "microsoft/Phi-3.5-mini-instruct@abc"}
    assert base_name(hub, run, run.path / "tuned" / "x") == "microsoft/Phi-3.5-mini-instruct"


def test_a_base_that_is_not_there_is_said_with_what_is_near(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.path.parent.parent)
    with pytest.raises(UserError, match=r"finetune\.model: runs/x1: there is no such directory. Did you mean runs/x\?"):
        base_directory(recipe("runs/x1"), run)
    with pytest.raises(UserError, match="no model there to tune"):
        base_directory(recipe(), Run(run.path.parent / "empty"))
    write_json(run.path / "adapter" / "adapter_config.json", {})
    with pytest.raises(UserError, match=r"an adapter, not a whole model.*smallm export"):
        base_directory(recipe("runs/x/adapter"), run)


def test_a_base_without_tokenizer_is_said(run: Run) -> None:
    (run.path / "base" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"a base without tokenizer.*Copy the tokenizer files"):
        base_directory(recipe(), run)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("GatedRepoError", r"gated model.*hf auth login.*copy its files"),
        ("RepositoryNotFoundError", r"no model of the Hugging Face Hub.*hf auth login"),
        ("RevisionNotFoundError", r"no revision abc"),
        ("LocalEntryNotFoundError", r"could not be reached.*hf download owner/model.*copy its files"),
    ],
)
def test_a_gated_or_missing_hub_model_says_how_to_log_in_or_where_to_put_the_files(
    error: str, says: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*args: Any, **options: Any) -> None:
        kind = getattr(errors, error)
        answer = httpx.Response(401, request=httpx.Request("GET", "http://hub.invalid"))
        raise kind("no") if error.startswith("Local") else kind("no", response=answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=f"(?is)finetune.model: owner/model: .*{says}"):
        base_directory(recipe("owner/model", revision="abc"), run)


def test_the_embeddings_grow_only_for_tokens_that_the_model_lacks(run: Run) -> None:
    from transformers import AutoTokenizer

    base = run.path / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = FinetuneConfig()
    plan = plan_dtypes("cpu", plain)
    same = load_for_training(base, plain, "cpu", plan, tokenizer)
    assert same.config.vocab_size == 320
    tokenizer.add_tokens(["<|new|>", "<|newer|>"])
    with pytest.raises(UserError, match=r"ids up to 321, the model 320 rows.*lora_modules_to_save"):
        load_for_training(base, plain, "cpu", plan, tokenizer)
    both = replace(plain, lora_modules_to_save=["embed_tokens", "lm_head"])
    grown = load_for_training(base, both, "cpu", plan, tokenizer)
    assert grown.base.get_input_embeddings().weight.shape[0] == 384
    assert grown.config.vocab_size == 384


def test_growing_keeps_a_tie(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    base = save_base(tmp_path / "tied", tie_word_embeddings=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<|new|>"])
    tune = FinetuneConfig(lora_modules_to_save=["embed_tokens"])
    decoder = load_for_training(base, tune, "cpu", plan_dtypes("cpu", tune), tokenizer)
    head: Any = decoder.head
    assert head.weight is decoder.base.get_input_embeddings().weight
    assert head.weight.shape[0] == 384


def test_a_base_that_is_quantised_already_is_refused(run: Run) -> None:
    from smallm.core.files import read_json

    path = run.path / "base" / "config.json"
    write_json(path, read_json(path) | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}})
    tune = FinetuneConfig(load_in_4bit=True)
    with pytest.raises(UserError, match="quantised already"):
        load_for_training(run.path / "base", tune, "cpu", plan_dtypes("cpu", tune))


def test_the_hash_of_a_base_is_the_one_that_evaluations_carry(run: Run) -> None:
    from smallm.evaluate.scorer import load_scorer

    assert base_weights_sha256(run.path / "base") == load_scorer(run.path / "base").weights_sha256


def test_asking_for_the_fingerprint_loads_no_torch(run: Run, tmp_path: Path) -> None:
    other = save_base(tmp_path / "other")
    code = (
        "import sys; from pathlib import Path; from smallm.core.config import *;"
        "from smallm.core.files import HashCache;"
        "from smallm.finetune.base import fingerprint;"
        f"r = Recipe(name='x', finetune=FinetuneConfig(model={str(other)!r}));"
        "assert fingerprint(r, HashCache(Path('h'))); assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_the_run_of_a_packaged_recipe_that_is_not_made_yet_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallm.model.resolve import resolve_model

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no such directory\. `smallm run quickstart` makes it\."):
        resolve_model("runs/quickstart/base")
    with pytest.raises(UserError, match=r"runs/mine does not exist either|runs does not exist"):
        resolve_model("runs/mine/base")
