"""Laws of the gate: the same model passes in every format, another one does not, however close it looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import save_base, tuned
from safetensors.torch import load_file, save_file

from smallm.core.files import read_json
from smallm.finetune.equivalence import (
    FIXED,
    LIMITS,
    Seen,
    check_saved,
    compare,
    look,
    look_at,
    prompts_for,
    record,
)
from smallm.finetune.merge import merge, plan_merge
from smallm.finetune.save import save_tuned


@pytest.fixture(scope="module")
def qlora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A QLoRA in memory and on disk, and what it and its base say."""
    from transformers import AutoTokenizer

    root = tmp_path_factory.mktemp("qlora")
    base, adapter = save_base(root / "base", hidden_size=64, intermediate_size=128), root / "tuned"
    adapter.mkdir()
    decoder = tuned(base, load_in_4bit=True, spread=0.03)
    save_tuned(decoder, adapter, base=base, base_name="../base", end_ids=[2])
    tokenizer = AutoTokenizer.from_pretrained(base)
    prompts, _ = prompts_for(adapter, tokenizer)
    seen, bare, _ = look_at(adapter, prompts)
    return {"root": root, "decoder": decoder, "adapter": adapter, "prompts": prompts, "seen": seen, "bare": bare,
            "tokenizer": tokenizer}  # fmt: skip


def test_memory_disk_and_merged_are_one_model(qlora: dict[str, Any]) -> None:
    found = check_saved(qlora["decoder"], qlora["adapter"], qlora["tokenizer"])
    assert found["equal"]
    assert found["max_difference"] < 1e-4
    merge(plan_merge(qlora["adapter"], qlora["root"] / "base"), qlora["root"] / "merged")
    merged, none, _ = look_at(qlora["root"] / "merged", qlora["prompts"])
    assert none is None
    figures = compare(qlora["seen"], merged, qlora["bare"])
    assert figures["equal"], figures["reasons"]
    assert figures["over_effect"] < 1e-3
    assert figures["equal_answers"] == 1.0
    assert figures["prompts"] == len(FIXED)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_merge_in_16_bits_is_the_same_model_within_its_rounding(dtype: str, qlora: dict[str, Any]) -> None:
    out = qlora["root"] / dtype
    merge(plan_merge(qlora["adapter"], qlora["root"] / "base", dtype=dtype), out)
    merged, _, _ = look_at(out, qlora["prompts"], dtype="float32")
    figures = compare(qlora["seen"], merged, qlora["bare"], stored=dtype)
    assert figures["format"] == dtype
    assert figures["equal"], figures["reasons"]
    assert 1e-4 < figures["over_effect"] < 0.15


def test_a_requantised_merge_is_refused(qlora: dict[str, Any]) -> None:
    """PEFT's merge_and_unload on 4-bit weights rounds to NF4 again, and most of the adapter is gone."""
    from peft import PeftModel

    from smallm.core.config import FinetuneConfig
    from smallm.evaluate.transformers_models import NF4, load_transformers

    model, _ = load_transformers(
        qlora["root"] / "base", torch.float32, torch.device("cpu"), quantise=NF4, trust_remote_code=False
    )
    with pytest.warns(UserWarning, match="rounding errors"):
        merged = PeftModel.from_pretrained(model, str(qlora["adapter"])).merge_and_unload()
    figures = compare(qlora["seen"], look(merged, qlora["prompts"], [2]), qlora["bare"])
    assert not figures["equal"]
    assert figures["over_effect"] > 0.2
    # Even with the wide limits of 16-bit weights.
    assert not compare(qlora["seen"], look(merged, qlora["prompts"], [2]), qlora["bare"], stored="bfloat16")["equal"]
    assert FinetuneConfig().load_in_4bit is False


def test_the_base_without_its_adapter_and_the_original_base_are_refused(qlora: dict[str, Any]) -> None:
    bare = replace(qlora["bare"], answers=[[] for _ in qlora["prompts"]])
    figures = compare(qlora["seen"], bare, qlora["bare"], stored="bfloat16")
    assert figures["over_effect"] == pytest.approx(1.0)
    assert not figures["equal"]
    merge(plan_merge(qlora["adapter"], qlora["root"] / "base", "original"), qlora["root"] / "original")
    original, _, _ = look_at(qlora["root"] / "original", qlora["prompts"])
    assert not compare(qlora["seen"], original, qlora["bare"])["equal"]


def test_a_weight_altered_by_a_hundredth_is_refused_in_float32(qlora: dict[str, Any]) -> None:
    out = qlora["root"] / "altered"
    merge(plan_merge(qlora["adapter"], qlora["root"] / "base"), out)
    state = load_file(out / "model.safetensors")
    state["model.layers.1.mlp.down_proj.weight"] *= 1.01
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    (out / "smallm.json").unlink()
    altered, _, _ = look_at(out, qlora["prompts"])
    assert not compare(qlora["seen"], altered, qlora["bare"])["equal"]


def test_logits_that_are_not_numbers_are_never_equal(qlora: dict[str, Any]) -> None:
    broken = Seen([torch.full_like(x, float("nan")) for x in qlora["seen"].logits], qlora["seen"].answers)
    found = compare(qlora["seen"], broken, qlora["bare"])
    assert found["reasons"] == ["the logits are not finite"]


def test_other_answers_are_a_reason(qlora: dict[str, Any]) -> None:
    silent = replace(qlora["seen"], answers=[[1] for _ in qlora["prompts"]])
    found = compare(qlora["seen"], silent, qlora["bare"])
    assert any("greedy answers" in reason for reason in found["reasons"])


def test_every_format_has_limits_with_their_reason() -> None:
    assert set(LIMITS) == {"float32", "float16", "bfloat16"}
    assert all(limit.why for limit in LIMITS.values())
    assert LIMITS["float32"].spread < LIMITS["float16"].spread < LIMITS["bfloat16"].spread


def test_prompts_come_from_the_test_set_where_there_is_one(qlora: dict[str, Any], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens" / "german"
    tokens.mkdir(parents=True)
    (tokens / "test.jsonl").write_text(
        '{"id": "a", "messages": [{"role": "user", "content": "the cat"}], "answer": "x"}\n'
    )
    prompts, source = prompts_for(qlora["adapter"], qlora["tokenizer"], tmp_path, "german")
    assert source == "tokens/german/test.jsonl"
    assert qlora["tokenizer"].decode(prompts[0]).endswith("user: the cat<|turn|>\nassistant:")
    assert prompts_for(qlora["adapter"], qlora["tokenizer"], tmp_path, "other")[1] == "fixed, as chat"


def test_looking_leaves_the_model_as_it_was(qlora: dict[str, Any]) -> None:
    model = qlora["decoder"].model
    model.train()
    before = torch.random.get_rng_state()
    look(model, qlora["prompts"][:1])
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_record_keeps_one_entry_a_pair(tmp_path: Path) -> None:
    record(tmp_path, a="x", b="y", equal=True)
    record(tmp_path, a="x", b="z", equal=True)
    record(tmp_path, a="x", b="y", equal=False)
    kept = read_json(tmp_path / "equivalence.json")["comparisons"]
    assert [(c["a"], c["b"], c["equal"]) for c in kept] == [("x", "z", True), ("x", "y", False)]
