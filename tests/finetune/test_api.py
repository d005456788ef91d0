"""Laws of finetune/api.py: rows in memory, the trainer of the benchmarks and the notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tunes import base_at, rows_of

from smallm.core.config import affecting
from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.finetune.api import Sft, corpus_of, sft_trainer
from smallm.finetune.render import Renderer
from smallm.train.corpus import IGNORE


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_at(tmp_path_factory.mktemp("base")) / "phi3"


def sft_of(base: Path, output: Path, **settings: Any) -> Sft:
    usual: dict[str, Any] = {
        "rows": rows_of(30), "max_length": 128, "batch_rows": 4, "micro_rows": 2, "steps": 3, "learning_rate": 5e-3
    }  # fmt: skip
    return Sft(model=base, output=output, **(usual | settings))


def test_rows_of_every_format_are_the_same_tokens(base: Path) -> None:
    from smallm.evaluate.model_tokenizer import open_tokenizer

    renderer = Renderer(open_tokenizer(None, base))
    pairs = [("What is 1 plus 2?", "3"), ("And 4?", "7")]
    shapes = [
        [{"messages": [{"role": "user", "content": p}, {"role": "assistant", "content": a}]} for p, a in pairs],
        [{"prompt": p, "completion": a} for p, a in pairs],
        [{"instruction": p, "output": a} for p, a in pairs],
        [{"conversations": [{"from": "human", "value": p}, {"from": "gpt", "value": a}]} for p, a in pairs],
    ]
    found = []
    for rows in shapes:
        corpus = corpus_of(rows, sft_of(base, Path("out")).config(), renderer, "rows")
        assert corpus.masks is not None
        found.append((corpus.shards[0].ids.tolist(), corpus.masks[0].tolist(), corpus.length.tolist()))
    assert all(one == found[0] for one in found)
    _, targets = corpus.read((0, 0, int(corpus.length[0])))
    ends = [renderer.closing.turn, *renderer.closing.after]
    assert targets[targets != IGNORE].tolist() == [*renderer.tokenizer("3", add_special_tokens=False).input_ids, *ends]
    assert targets[-1] == IGNORE


def test_it_trains_saves_an_adapter_and_resumes(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = sft_trainer(sft_of(base, tmp_path, held_out=rows_of(40)[30:]))
    before = {n: p.detach().clone() for n, p in trainer.trained().items()}
    trainer.run()
    assert any(not torch.equal(before[n], p) for n, p in trainer.trained().items())
    saved = trainer.save()
    assert saved == tmp_path / "adapter"
    assert (saved / "adapter_model.safetensors").is_file()
    capsys.readouterr()
    again = sft_trainer(sft_of(base, tmp_path, held_out=rows_of(40)[30:]))
    again.run()
    assert "resuming from step 3 of 3" in capsys.readouterr().err
    first = (saved / "adapter_model.safetensors").read_bytes()
    assert (again.save(tmp_path / "b") / "adapter_model.safetensors").read_bytes() == first


def test_a_saved_adapter_opens_in_plain_peft_with_equal_logits(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    trainer = sft_trainer(sft_of(base, tmp_path))
    trainer.run()
    saved = trainer.save()
    decoder = trainer.job.model.decoder.eval()
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), saved).eval()
    ids = torch.randint(3, 400, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(decoder(ids), plain(input_ids=ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [{"messages": [{"role": "tool", "content": "x"}, {"role": "assistant", "content": "y"}]}]}, "role"),
        ({"rows": [{"messages": [{"role": "user", "content": "x"}]}]}, "must be the assistant's"),
        ({"rows": [{"prompt": "word " * 300, "completion": "y"}]}, "max_length is 128"),
        ({"rows": []}, "no training examples"),
        ({"learning_rate": 0.0}, "learning_rate: 0.0 must be over 0"),
        ({"lora_target_modules": ["q_proj"]}, "q_proj matched no module"),
        ({"max_length": 4096}, "hold at most"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is(
    base: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sft_trainer(sft_of(base, tmp_path, **changes))


def test_long_rows_that_are_dropped_or_shortened_are_counted(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        *rows_of(5),
        {"messages": [{"role": "user", "content": "so " * 300}, {"role": "assistant", "content": "y"}]},
    ]
    sft_trainer(sft_of(base, tmp_path, rows=rows, too_long="drop"))
    assert "of 6 over max_length 128, 1 left out, 0 prompts shortened" in capsys.readouterr().err
    sft_trainer(sft_of(base, tmp_path, rows=rows, too_long="truncate"))
    assert "of 6 over max_length 128, 0 left out, 1 prompts shortened" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*bfloat16")
@pytest.mark.parametrize("saved_too", [["lm_head"], ["embed_tokens", "lm_head"]])
def test_modules_trained_whole_stand_beside_16_bit_weights(base: Path, tmp_path: Path, saved_too: list[str]) -> None:
    """They are float32 and the frozen weights are not: probe, first look, steps, saving and opening again all run."""
    settings: dict[str, Any] = {"dtype": "bfloat16", "lora_modules_to_save": saved_too, "steps": 2}
    trainer = sft_trainer(sft_of(base, tmp_path, held_out=rows_of(40)[30:], **settings))
    decoder = trainer.job.model.decoder
    assert decoder.isolates
    assert {p.dtype for p in decoder.parameters()} == {torch.bfloat16, torch.float32}
    trainer.run()
    assert not trainer.job.model.use_reference
    assert (trainer.save() / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "qlora"}, "method: 'qlora' is none of"),
        ({"too_long": "skip"}, "too_long: 'skip' is none of"),
        ({"optimizer": "adamw_8bit"}, "optimizer: 'adamw_8bit' is none of"),
        ({"dtype": "bf16"}, "dtype: 'bf16' is none of"),
        ({"schedule": "cosin"}, "schedule: 'cosin' is none of"),
        ({"method": "full", "load_in_4bit": True}, "4-bit weights cannot be trained"),
    ],
)
def test_words_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sft_of(Path("nowhere"), Path("out"), **changes).config()


def test_bits_per_byte_count_the_text_that_is_learned(base: Path) -> None:
    """Of two turns the last alone, or all of it; what truncation took off is not counted."""
    from smallm.evaluate.model_tokenizer import open_tokenizer

    rows = [{"messages": [
        {"role": "user", "content": "ab"}, {"role": "assistant", "content": "cde"},
        {"role": "user", "content": "f"}, {"role": "assistant", "content": "ghij"},
    ]}]  # fmt: skip
    found = {}
    for train_on in ("answers", "last-answer", "all"):
        settings = sft_of(base, Path("out"), train_on=train_on).config()
        renderer = Renderer(open_tokenizer(None, base), train_on=train_on)
        found[train_on] = int(corpus_of(rows, settings, renderer, "rows").bytes.sum())
    assert found == {"answers": 7, "last-answer": 4, "all": 10}


def test_a_saved_adapter_names_its_base_from_where_it_lies(base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(sft_of(base, tmp_path, steps=1))
    trainer.run()
    saved = trainer.save()
    name = read_json(saved / "adapter_config.json")["base_model_name_or_path"]
    assert not Path(name).is_absolute()
    assert (saved / name).resolve() == base.resolve()


def test_which_steps_are_looked_at_belongs_to_the_key_where_the_best_is_kept(base: Path) -> None:
    keys = [affecting(sft_of(base, Path("out"), **s).config()) for s in (
        {"validate_every": 5}, {"validate_every": 7},
        {"validate_every": 5, "keep_best": False}, {"validate_every": 7, "keep_best": False},
    )]  # fmt: skip
    assert keys[0] != keys[1]
    assert keys[2] == keys[3]
