"""Laws of merging: in float32 it is the adapter on its stated base, and it takes the memory of a matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, save_base, save_shared_base, tuned
from finetune.tiny_phi3 import make_phi3
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from smallm.core.errors import UserError
from smallm.core.files import read_json, write_json
from smallm.evaluate.identity import weights_sha256
from smallm.finetune.merge import merge, plan_merge
from smallm.finetune.nf4 import dequantised
from smallm.finetune.save import save_tuned
from smallm.finetune.tensors import Output, Tensors, write_shards
from smallm.model.families import load_pretrained


def saved(base: Path, **keys: Any) -> tuple[Any, Path]:
    """(the model in memory, its adapter directory) of a base, with adapters that do something."""
    decoder, directory = tuned(base, **keys), base.parent / "tuned"
    directory.mkdir(exist_ok=True)
    save_tuned(decoder, directory, base=base, base_name="../base", end_ids=[2])
    return decoder.eval(), directory


def logits(directory: Path) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(input_ids=documents((20,))[0][None]).logits


def difference(decoder: Any, merged: Path) -> float:
    with torch.no_grad():
        return float((decoder(documents((20,))[0][None]) - logits(merged)).abs().max())


@pytest.mark.parametrize(
    ("family", "switches", "keys"),
    [
        ("llama", {}, {}),
        ("llama", {}, {"use_rslora": True, "lora_r": 4}),
        ("llama", {}, {"use_dora": True}),
        ("llama", {}, {"lora_modules_to_save": ["embed_tokens", "lm_head"]}),
        ("llama", {}, {"lora_target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
        ("llama", {"tie_word_embeddings": True}, {"lora_modules_to_save": ["embed_tokens"]}),
        ("llama", {}, {"load_in_4bit": True}),
        ("llama", {}, {"load_in_4bit": True, "use_dora": True}),
        ("gpt2", {}, {}),
        ("gpt2", {}, {"use_dora": True}),
        ("gpt2", {}, {"load_in_4bit": True}),
        ("gpt2", {}, {"lora_modules_to_save": ["wte"]}),
        ("phi3", {}, {}),
        ("phi3", {}, {"load_in_4bit": True}),
    ],
)
def test_the_merged_model_is_the_adapter_on_its_base(
    family: str, switches: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    decoder, adapter = saved(save_base(tmp_path / "base", family, **switches), **keys)
    facts = merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    assert difference(decoder, tmp_path / "merged") < 5e-5
    assert difference(decoder, tmp_path / "base") > 1e-2  # the adapter does something
    assert facts["base_stated"] == ("dequantised" if keys.get("load_in_4bit") else "original")
    assert facts["weights_sha256"] == weights_sha256(tmp_path / "merged")
    tied = read_json(tmp_path / "base" / "config.json").get("tie_word_embeddings", family == "gpt2")
    assert (facts["embeddings"] == "tied") == bool(tied)  # a tie stays where both sides are the same


def test_the_fused_modules_of_phi3_are_merged(tmp_path: Path) -> None:
    make_phi3(tmp_path / "base")
    decoder, adapter = saved(tmp_path / "base", load_in_4bit=True)
    merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    assert difference(decoder, tmp_path / "merged") < 5e-5
    before, after = (load_file(tmp_path / d / "model.safetensors") for d in ("base", "merged"))
    assert before.keys() == after.keys()
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    kinds = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}
    assert moved == {n for n in before if n.split(".")[-2] in kinds}


@pytest.mark.parametrize("keys", [{}, {"load_in_4bit": True}])
def test_a_merged_model_whose_base_shares_layers_has_them_each_for_itself(keys: dict[str, Any], tmp_path: Path) -> None:
    base = save_shared_base(tmp_path / "base")
    decoder, adapter = saved(base, **keys)
    merge(plan_merge(adapter, base), tmp_path / "merged")
    assert difference(decoder, tmp_path / "merged") < 5e-5
    ours, ids = load_pretrained(tmp_path / "merged"), documents((20,))[0][None]
    assert (ours.shared, len(ours.blocks)) == (1, 2)
    with torch.no_grad():
        assert (ours(ids) - decoder(ids)).abs().max() < 1e-4
    loaded = {name: p.detach() for name, p in ours.blocks.named_parameters()}
    assert not torch.equal(loaded["0.attention.q.weight"], loaded["1.attention.q.weight"])


def test_the_original_base_of_a_qlora_is_another_function(tmp_path: Path) -> None:
    decoder, adapter = saved(save_base(tmp_path / "base"), load_in_4bit=True)
    facts = merge(plan_merge(adapter, tmp_path / "base", "original"), tmp_path / "original")
    assert facts["base_stated"] == "original"
    assert facts["quantisation"] is None
    assert difference(decoder, tmp_path / "original") > 0.05


def test_a_tie_that_an_adapter_of_others_took_apart_is_written_as_two_matrices(tmp_path: Path) -> None:
    """PEFT puts a LoRA on a tied embedding without one on the head (ours refuses to train that)."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = save_base(tmp_path / "base", tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with pytest.warns(UserWarning, match="tied"):
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["embed_tokens"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_" in name:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    adapted.save_pretrained(str(tmp_path / "lora"), save_embedding_layers=False)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with pytest.warns(UserWarning, match="tied"):
        again = PeftModel.from_pretrained(plain, str(tmp_path / "lora")).eval()
    facts = merge(plan_merge(tmp_path / "lora", base), tmp_path / "merged")
    assert facts["embeddings"] == "untied"
    assert read_json(tmp_path / "merged" / "config.json")["tie_word_embeddings"] is False
    with torch.no_grad():
        wanted = again(input_ids=documents((20,))[0][None]).logits
    assert (wanted - logits(tmp_path / "merged")).abs().max() < 5e-5


def test_shards_index_and_formats_are_those_that_transformers_opens(tmp_path: Path) -> None:
    decoder, adapter = saved(save_base(tmp_path / "base"))
    facts = merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged", shard_bytes=40_000)
    shards = sorted((tmp_path / "merged").glob("model-*.safetensors"))
    assert len(shards) > 2
    index = read_json(tmp_path / "merged" / "model.safetensors.index.json")
    assert set(index["weight_map"].values()) == {p.name for p in shards}
    assert index["metadata"]["total_size"] == sum(t.nbytes for p in shards for t in load_file(p).values())
    assert facts["weights_sha256"] == weights_sha256(tmp_path / "merged")
    assert difference(decoder, tmp_path / "merged") < 5e-5
    half = merge(plan_merge(adapter, tmp_path / "base", dtype="bfloat16"), tmp_path / "half")
    assert half["dtype"] == read_json(tmp_path / "half" / "config.json")["dtype"] == "bfloat16"
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}


def test_tokenizer_template_and_every_end_token_go_along(tmp_path: Path) -> None:
    _, adapter = saved(save_base(tmp_path / "base"))
    merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "base" / name).read_bytes()
    assert read_json(tmp_path / "merged" / "generation_config.json")["eos_token_id"] == [2, 0]
    config = read_json(tmp_path / "merged" / "config.json")
    assert not {"_name_or_path", "auto_map", "quantization_config"} & config.keys()
    assert not any(str(tmp_path) in p.read_text("utf-8") for p in (tmp_path / "merged").glob("*.json"))


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path) -> None:
    _, adapter = saved(save_base(tmp_path / "base"))
    state = load_file(adapter / "adapter_model.safetensors")
    write_json(adapter / "smallm.json", {})  # an adapter of others: no hash to know it by
    save_file(state | {"base_model.model.model.layers.0.mlp.up_proj.lora_C.weight": torch.zeros(2)},
              adapter / "adapter_model.safetensors")  # fmt: skip
    with pytest.raises(UserError, match="which merging does not understand"):
        merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    missing = dict(list(state.items())[1:])
    save_file(missing, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="lacks one of its two matrices"):
        merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    save_file(state, adapter / "adapter_model.safetensors")
    save_base(tmp_path / "base", hidden_size=64)
    with pytest.raises(UserError, match="another base"):
        merge(plan_merge(adapter, tmp_path / "base"), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_words_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    _, adapter = saved(save_base(tmp_path / "base"))
    for stated, dtype, says in (("half", "auto", "--base half"), ("auto", "int4", "--dtype int4"),
                                ("dequantised", "auto", "was trained on the original base")):  # fmt: skip
        with pytest.raises(UserError, match=says):
            plan_merge(adapter, tmp_path / "base", stated, dtype)


def test_a_base_that_is_stored_quantised_or_was_changed_by_the_adapters_start_is_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    _, adapter = saved(base)
    config = read_json(adapter / "adapter_config.json")
    write_json(adapter / "adapter_config.json", config | {"init_lora_weights": "pissa_niter_4"})
    with pytest.raises(UserError, match="init_lora_weights is pissa_niter_4"):
        merge(plan_merge(adapter, base), tmp_path / "merged")
    write_json(adapter / "adapter_config.json", config)
    write_json(base / "config.json", read_json(base / "config.json") | {"quantization_config": {"quant_method": "fp8"}})
    with pytest.raises(UserError, match=r"stored quantised \(fp8\)"):
        plan_merge(adapter, base)
    assert not (tmp_path / "merged").exists()


def test_pieces_are_rounded_as_bitsandbytes_rounds_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsandbytes.nn.modules import Linear4bit

    from smallm.finetune import nf4

    monkeypatch.setattr(nf4, "PIECE", 4096)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        layer = Linear4bit(200, 130, bias=False, quant_type="nf4", compress_statistics=True, compute_dtype=dtype)
        weight = torch.randn(130, 200, generator=torch.Generator().manual_seed(0)).to(dtype)
        layer.weight.data = weight.clone()
        layer = layer.to("cpu")
        layer.support_avx512bf16_for_cpu = False
        eye = torch.eye(200, dtype=dtype)
        with torch.no_grad():
            wanted = layer(eye).T.float()
        assert torch.equal(dequantised(weight, dtype, dtype), wanted)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_files_written_in_pieces_are_safetensors(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any shapes and formats: the library reads what is written, ours reads what the library wrote."""
    directory = tmp_path_factory.mktemp("st")
    dtypes = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
    shapes = st.lists(st.integers(0, 5), max_size=3)
    made = {}
    for i in range(data.draw(st.integers(1, 4))):
        shape = data.draw(shapes)
        made[f"t{i}"] = torch.randint(0, 2, shape).to(data.draw(dtypes))
    outputs = [Output(n, t.dtype, tuple(t.shape), lambda t=t: iter([t])) for n, t in made.items()]
    write_shards(directory, outputs)
    back = load_file(directory / "model.safetensors")
    assert back.keys() == made.keys()
    assert all(torch.equal(back[n], made[n]) and back[n].dtype == made[n].dtype for n in made)
    save_file(made, directory / "theirs.safetensors")
    ours = Tensors([directory / "theirs.safetensors"])
    assert all(torch.equal(ours.read(n), t) for n, t in made.items())


def test_a_torn_file_is_said(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(100)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for cut in (whole[:-1], whole[:4], b""):
        (tmp_path / "a.safetensors").write_bytes(cut)
        with pytest.raises(UserError, match="torn or not safetensors"):
            Tensors([tmp_path / "a.safetensors"])


# One process a way of merging, so that its peak is its own. A model of 3.8B in 16 bits is 7.6 GB, and 3 GB are allowed.
ALLOWED = 3.0 / 7.6
MEASURE = """
import json, os, sys
from pathlib import Path
import torch, transformers, peft, bitsandbytes
torch.set_num_threads(1)
def status(key):
    return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(key))
way, adapter, base, out = sys.argv[1:]
from smallm.finetune.merge import merge, plan_merge
from smallm.finetune.skeleton import skeleton_of
skeleton_of(Path(base))
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is that of the imports
if way == "ours":
    merge(plan_merge(Path(adapter), Path(base)), Path(out))
else:
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    model.save_pretrained(out)
print(json.dumps(status("VmHWM") - before))
"""


def _large(root: Path) -> tuple[Path, Path, int]:
    """A base of 150M parameters in bfloat16 (Phi-3's shape, fewer layers) and an adapter of its fused modules."""
    from transformers import Phi3Config

    D, ffn, layers, V = 1024, 2730, 12, 4096
    (root / "base").mkdir(parents=True)
    Phi3Config(
        vocab_size=V, hidden_size=D, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=16,
        num_key_value_heads=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ).save_pretrained(root / "base")  # fmt: skip
    matrices = {"self_attn.qkv_proj": (3 * D, D), "self_attn.o_proj": (D, D), "mlp.gate_up_proj": (2 * ffn, D),
                "mlp.down_proj": (D, ffn)}  # fmt: skip
    shapes = {"model.embed_tokens.weight": (V, D), "lm_head.weight": (V, D), "model.norm.weight": (D,)}
    adapter: dict[str, torch.Tensor] = {}
    for i in range(layers):
        for name, (out, inside) in matrices.items():
            shapes[f"model.layers.{i}.{name}.weight"] = (out, inside)
            prefix = f"base_model.model.model.layers.{i}.{name}"
            adapter[f"{prefix}.lora_A.weight"] = torch.randn(16, inside) * 0.01
            adapter[f"{prefix}.lora_B.weight"] = torch.randn(out, 16) * 0.01
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{i}.{norm}.weight"] = (D,)

    def random(shape: tuple[int, ...]) -> Any:
        yield torch.randn(shape, dtype=torch.bfloat16) * 0.02

    write_shards(
        root / "base",
        [Output(n, torch.bfloat16, s, lambda s=s: random(s)) for n, s in shapes.items()],
        shard_bytes=1 << 28,
    )
    (root / "adapter").mkdir()
    save_file(adapter, root / "adapter" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 16,
              "base_model_name_or_path": "../base",
              "target_modules": [n.split(".")[-1] for n in matrices]}  # fmt: skip
    write_json(root / "adapter" / "adapter_config.json", config)
    modules = [n.removesuffix(".weight") for n in shapes if n.split(".")[-2] in {m.split(".")[-1] for m in matrices}]
    rounded = {
        "type": "nf4",
        "double": True,
        "block": 64,
        "from": "bfloat16",
        "compute": "bfloat16",
        "modules": modules,
    }
    write_json(root / "adapter" / "smallm.json", {"quantisation": rounded})
    return root / "adapter", root / "base", sum(2 * torch.Size(s).numel() for s in shapes.values())


@pytest.mark.slow
def test_a_merge_takes_the_memory_of_a_matrix_not_of_the_model(tmp_path: Path) -> None:
    """At 3.8B at most 3 GB above the interpreter; here the same share of a smaller model, its 4-bit base included."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's /proc to measure a peak")
    adapter, base, size = _large(tmp_path)

    def peak(way: str) -> int:
        code = [sys.executable, "-W", "ignore", "-c", MEASURE, way, str(adapter), str(base), str(tmp_path / way)]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return int(json.loads(done.stdout.splitlines()[-1]))

    allowed = int(ALLOWED * size)
    assert peak("ours") < allowed
    assert peak("whole") > 2 * allowed  # what the limit keeps out
