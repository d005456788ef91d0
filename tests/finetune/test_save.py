"""Laws of a saved model: plain PEFT gives equal logits, it stops where it should, nothing of this machine is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, save_base, save_shared_base, tuned
from finetune.tiny_phi3 import END, ENDOFTEXT, make_phi3
from safetensors.torch import load_file
from torch.nn import functional as F

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_file, write_json
from smallm.evaluate.local_models import Options, load_local
from smallm.finetune.causal import CausalDecoder
from smallm.finetune.equivalence import check_saved
from smallm.finetune.merge import merge, plan_merge
from smallm.finetune.render import Renderer
from smallm.finetune.save import end_ids_of, save_tuned
from smallm.model.families import load_pretrained

ANSWERS = {"Frage: 1?": "Antwort: Haus.", "Frage: 2?": "The cat sat on the mat."}
# In a process of its own, with transformers and peft alone; the answers' ids as JSON.
FRESH = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig
base, adapter, four, *questions = sys.argv[1:]
quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                               bnb_4bit_compute_dtype=torch.float32)
more = {"quantization_config": quantised} if four == "4" else {}
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **more)
if adapter:
    from peft import PeftModel
    model = PeftModel.from_pretrained(model, adapter)
tokenizer = AutoTokenizer.from_pretrained(adapter or base)
config = GenerationConfig.from_pretrained(adapter or base)
config.max_new_tokens, config.do_sample = 30, False
out = []
for question in questions:
    text = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True,
                                         tokenize=False)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    out.append(model.eval().generate(**ids, generation_config=config)[0, ids["input_ids"].shape[1]:].tolist())
assert "smallm" not in sys.modules
print(json.dumps(out))
"""


def learn(decoder: CausalDecoder, renderer: Renderer, steps: int = 120) -> None:
    """Learn the answers by heart: a plain loop, since what is tested here comes after a training."""
    rows = [
        renderer.row([{"role": "user", "content": q}, {"role": "assistant", "content": a}]) for q, a in ANSWERS.items()
    ]
    optimiser = torch.optim.AdamW([p for p in decoder.parameters() if p.requires_grad], lr=2e-3)
    decoder.train()
    for _ in range(steps):
        loss = torch.zeros(())
        for row in rows:
            ids_1T = torch.tensor([row.ids])
            targets = torch.tensor([i if m else -100 for i, m in zip(row.ids, row.mask, strict=True)][1:])
            loss = loss + F.cross_entropy(decoder(ids_1T)[0, :-1], targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.2


@pytest.fixture(scope="module")
def phi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A QLoRA of the shrunken Phi-3 that has learned two answers, saved as the stage does."""
    from transformers import AutoTokenizer

    root = tmp_path_factory.mktemp("phi")
    model = make_phi3(root / "base", spread=0.05)
    with torch.no_grad():  # a frozen head of this scale could not be sure of any token
        model.lm_head.weight.mul_(6)
    model.save_pretrained(root / "base")
    tokenizer = AutoTokenizer.from_pretrained(root / "base")
    renderer = Renderer(tokenizer)
    decoder = tuned(root / "base", load_in_4bit=True, lora_r=8, lora_alpha=16.0, spread=0.0)
    learn(decoder, renderer)
    directory = root / "tuned" / "german"
    directory.mkdir(parents=True)
    facts = save_tuned(
        decoder, directory, base=root / "base", base_name="../../base", end_ids=renderer.end_ids, facts={"steps": 80}
    )
    return {"root": root, "decoder": decoder, "adapter": directory, "facts": facts, "tokenizer": tokenizer}


def fresh(*arguments: Any) -> list[list[int]]:
    command = [sys.executable, "-W", "ignore", "-c", FRESH, *map(str, arguments)]
    alone = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}  # smallm has an entry point there, for lm-eval
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def expected(tokenizer: Any) -> list[list[int]]:
    end = tokenizer.convert_tokens_to_ids(END)
    rows = [Renderer(tokenizer).row([{"role": "user", "content": q}, {"role": "assistant", "content": a}])
            for q, a in ANSWERS.items()]  # fmt: skip
    learned = [[i for i, m in zip(row.ids, row.mask, strict=True) if m] for row in rows]
    return [ids[: ids.index(end) + 1] for ids in learned]


@pytest.mark.slow
def test_a_fresh_process_with_peft_alone_stops_at_the_right_token(phi: dict[str, Any]) -> None:
    """The base's generation_config knew the end token of Phi-3; the adapter's lists all of them, the trained first."""
    root, adapter = phi["root"], phi["adapter"]
    answers = fresh(root / "base", adapter, "4", *ANSWERS)
    assert answers == expected(phi["tokenizer"])
    assert all(row[-1] == phi["tokenizer"].convert_tokens_to_ids(END) for row in answers)


@pytest.mark.slow
def test_merged_and_reloaded_in_a_fresh_process_it_stops_there_too(phi: dict[str, Any]) -> None:
    facts = merge(plan_merge(phi["adapter"], phi["root"] / "base"), phi["root"] / "merged")
    assert facts["base_stated"] == "dequantised"
    assert fresh(phi["root"] / "merged", "", "", *ANSWERS) == expected(phi["tokenizer"])


@pytest.mark.parametrize("keys", [{}, {"use_rslora": True}, {"use_dora": True}, {"load_in_4bit": True}])
def test_the_adapter_loads_in_plain_peft_with_equal_logits(keys: dict[str, Any], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = save_base(tmp_path / "base")
    decoder = tuned(base, **keys)
    directory = tmp_path / "tuned" / "x"
    directory.mkdir(parents=True)
    save_tuned(decoder, directory, base=base, base_name="../../base", end_ids=[2])
    more: dict[str, Any] = {}
    if keys.get("load_in_4bit"):
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )  # fmt: skip
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **more)
    plain = PeftModel.from_pretrained(plain, str(directory)).eval()
    ids = documents((20,))[0][None]
    decoder.eval()
    with torch.no_grad():
        assert (plain(input_ids=ids).logits - decoder(ids)).abs().max() < 1e-5
        with plain.disable_adapter():
            assert (plain(input_ids=ids).logits - decoder(ids)).abs().max() > 0.05  # it does something


def test_the_directory_holds_what_serving_needs_and_nothing_of_this_machine(phi: dict[str, Any]) -> None:
    adapter, root, tokenizer = phi["adapter"], phi["root"], phi["tokenizer"]
    config = read_json(adapter / "adapter_config.json")
    assert config["base_model_name_or_path"] == "../../base"
    assert config["target_modules"] == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    assert config["inference_mode"] is True
    texts = [p.read_text("utf-8") for p in adapter.iterdir() if p.suffix in (".json", ".jinja", ".md")]
    assert not any(str(root) in text for text in texts)
    assert not [p.name for p in adapter.iterdir() if p.suffix in (".bin", ".pt", ".pkl", ".pth")]
    for name in ("tokenizer.json", "chat_template.jinja"):
        if (root / "base" / name).is_file():
            assert (adapter / name).read_bytes() == (root / "base" / name).read_bytes()
    ends = [tokenizer.convert_tokens_to_ids(name) for name in (END, ENDOFTEXT)]
    assert end_ids_of(adapter)[:2] == ends
    assert set(end_ids_of(root / "base")) <= set(end_ids_of(adapter))


def test_the_record_names_base_tokenizer_template_quantisation_and_formats(phi: dict[str, Any]) -> None:
    facts, root = phi["facts"], phi["root"]
    assert facts["base"] == {
        "name": "../../base", "revision": None, "weights_sha256": sha256_file(root / "base" / "model.safetensors")
    }  # fmt: skip
    assert facts["tokenizer_sha256"] == sha256_file(root / "base" / "tokenizer.json")
    assert facts["template_sha256"] == Renderer(phi["tokenizer"]).template.sha256
    assert facts["quantisation"]["type"] == "nf4"
    assert len(facts["quantisation"]["modules"]) == 8
    assert facts["census"]["adapter"] == {"float32": facts["trained_parameters"]}
    assert facts["steps"] == 80
    assert facts == read_json(phi["adapter"] / "smallm.json")
    assert load_local(phi["adapter"], Options()).weights_sha256 == facts["weights_sha256"]


def test_an_adapter_trained_in_4_bits_is_evaluated_in_4_bits(phi: dict[str, Any]) -> None:
    loaded = load_local(phi["adapter"], Options())
    assert loaded.settings["quantisation"] == "nf4, double"
    found = check_saved(phi["decoder"], phi["adapter"], phi["tokenizer"])
    assert found["equal"]
    assert found["max_difference"] < 1e-4
    assert read_json(phi["adapter"] / "equivalence.json")["comparisons"][0]["a"] == "in memory"


def test_an_adapter_on_the_wrong_base_or_altered_is_refused(tmp_path: Path) -> None:
    base, directory = save_base(tmp_path / "base"), tmp_path / "tuned" / "x"
    directory.mkdir(parents=True)
    save_tuned(tuned(base), directory, base=base, base_name="../../base", end_ids=[2])
    load_local(directory, Options())
    data = bytearray((directory / "adapter_model.safetensors").read_bytes())
    data[-1] ^= 1
    (directory / "adapter_model.safetensors").write_bytes(data)
    with pytest.raises(UserError, match="adapter was changed after it was saved"):
        load_local(directory, Options())
    data[-1] ^= 1
    (directory / "adapter_model.safetensors").write_bytes(data)
    save_base(base, seed=1)
    with pytest.raises(UserError, match=r"was trained on the base .*\(\.\./\.\./base\), but .* On other weights"):
        load_local(directory, Options())


def test_a_fully_tuned_model_is_a_whole_model(tmp_path: Path) -> None:
    base, directory = save_base(tmp_path / "base"), tmp_path / "tuned" / "x"
    decoder = tuned(base, method="full")
    directory.mkdir(parents=True)
    facts = save_tuned(decoder, directory, base=base, base_name="../../base", end_ids=[2])
    assert facts["method"] == "full"
    loaded = load_local(directory, Options())
    ids = documents((20,))[0][None]
    with torch.no_grad():
        found = loaded.backend.logits(loaded.backend.hidden(ids, None, None, None))
        assert (found - decoder.eval()(ids)).abs().max() < 1e-4
    assert loaded.weights_sha256 == facts["weights_sha256"]
    assert end_ids_of(directory) == [2, 0]
    assert "_name_or_path" not in read_json(directory / "config.json")
    with pytest.raises(KeyError):
        read_json(directory / "config.json")["_attn_implementation"]


def test_layers_that_shared_a_block_are_tuned_one_by_one_and_open_so(tmp_path: Path) -> None:
    base, directory = save_shared_base(tmp_path / "base"), tmp_path / "tuned"
    assert read_json(base / "config.json")["shared_layers"] == 2
    decoder = tuned(base, method="full")
    directory.mkdir()
    save_tuned(decoder, directory, base=base, base_name="../base", end_ids=[2])
    assert "shared_layers" not in read_json(directory / "config.json")
    ours, ids = load_pretrained(directory), documents((20,))[0][None]
    assert (ours.shared, len(ours.blocks)) == (1, 2)
    with torch.no_grad():
        assert (ours(ids) - decoder.eval()(ids)).abs().max() < 1e-4


def test_a_tie_is_written_once_in_16_bits_too(tmp_path: Path) -> None:
    base, directory = save_base(tmp_path / "base", tie_word_embeddings=True), tmp_path / "tuned"
    values = read_json(base / "config.json")
    write_json(base / "config.json", values | {"dtype": "bfloat16"})
    directory.mkdir()
    save_tuned(tuned(base, method="full"), directory, base=base, base_name="../base", end_ids=[2])
    stored = load_file(directory / "model.safetensors")
    assert "lm_head.weight" not in stored
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
