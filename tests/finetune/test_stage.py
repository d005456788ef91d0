"""Laws of finetune/stage.py and training.py: a tuning end to end, what it decides, what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune.tunes import KINDS, base_at, recipe_of, run_at, tune_at, with_keys
from finetune.tunes import outcome as outcome_of

from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.core.files import read_json, write_json, write_text
from smallm.core.run import Run
from smallm.finetune.dtypes import DtypePlan
from smallm.finetune.stage import prepared, training_key
from smallm.finetune.training import fit_of
from smallm.plan.shapes import Shape, shape_of_config
from smallm.train import journal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_at(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A QLoRA of 40 steps."""
    path = tmp_path_factory.mktemp("run")
    recipe = recipe_of(base, **KINDS["qlora"], steps=40, validate_every=20, checkpoint_every=20, learning_rate=1e-2)
    return tune_at(path, recipe)


@pytest.mark.slow
def test_it_learns_and_leaves_what_everyone_needs(tuned: Path) -> None:
    rows = journal.read(tuned / "metrics.jsonl")
    assert rows[0]["step"] == 0
    assert rows[-1]["step"] == 40
    assert rows[-1]["validation_loss"] < 0.7 * rows[0]["validation_loss"]
    assert rows[-1]["tokens"] > rows[-1]["trained_tokens"] > 0
    facts = read_json(tuned / "smallm.json")
    assert (facts["steps"], facts["total_steps"], facts["engine"], facts["world_size"]) == (40, 40, "one process", 1)
    assert facts["best_loss"] == min(row["validation_loss"] for row in rows if "validation_loss" in row)
    names = {p.name for p in tuned.iterdir()}
    assert names >= {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "generation_config.json"}
    assert names >= set(journal.FILES)
    samples = journal.read(tuned / "samples.jsonl")
    assert {row["step"] for row in samples} == {0, 20, 40}
    assert all(row.keys() == {"step", "prompt", "text", "seed"} for row in samples)
    assert any(row["text"].startswith("It is") for row in samples if row["step"] == 40)


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_the_gradient_after_an_evaluation_equals_the_one_before(base: Path, tmp_path: Path, kind: str) -> None:
    recipe = recipe_of(base, **KINDS[kind])
    trainer, _ = prepared(recipe, run_at(tmp_path, recipe))
    model = trainer.job.model.train()
    batch = next(iter(trainer.job.feed.batches(1)))

    def gradients() -> list[torch.Tensor]:
        trainer.optimizers.zero_grad()
        torch.manual_seed(3)
        trainer.backward(batch)
        return [p.grad.clone() for p in trainer.optimizers.parameters if p.grad is not None]

    before, random = gradients(), torch.get_rng_state()
    modes = [m.training for m in model.modules()]
    trainer.validate()
    trainer.write_samples()
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes
    after = gradients()
    assert len(after) == len(before) > 0
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b)
    # The fault: an evaluation that leaves the frozen weights otherwise than it found them.
    frozen = next(m for n, m in model.named_modules() if n.endswith("o_proj.base_layer"))
    frozen.weight.data = frozen.weight.data.flip(0)
    assert any(not torch.equal(a, b) for a, b in zip(before, gradients(), strict=True))


@pytest.mark.slow
def test_every_file_that_it_leaves_has_its_format(tuned: Path) -> None:
    from smallm.core.formats import validate

    for path in sorted(tuned.iterdir()):
        validate(path, tuned.parents[1])


@pytest.mark.slow
def test_a_shrunken_phi3_goes_through_the_pipeline_resumes_reloads_elsewhere_and_stops(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallm.pipeline import run_pipeline, stages_of
    from smallm.train.loop import Trainer

    settings = {**KINDS["qlora"], "steps": 40, "learning_rate": 1e-2, "validate_every": 20}
    rows = [{"prompt": f"What is {a} plus {b}?", "completion": "It is a sum."} for a in range(12) for b in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "phi3").symlink_to(base / "phi3")
    recipe = recipe_of(tmp_path, **settings)
    stages = tuple(stage for stage in stages_of(recipe) if stage.name in ("examples", "tune"))
    write_json(tmp_path / "a" / "resolved.json", {"threads": 1, "device": "cpu"})
    write_text(tmp_path / "a" / "recipe.yaml", "name: sums\n")
    step = Trainer.step

    def dying(self: Trainer, batch: Any) -> None:
        if self.state.step == 21:
            raise RuntimeError("the power is gone")
        step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        with pytest.raises(RuntimeError, match="the power"):
            run_pipeline(recipe, Run(tmp_path / "a"), stages=stages)
    made = [outcome.made for outcome in run_pipeline(recipe, Run(tmp_path / "a"), stages=stages)]
    assert made == [False, True]
    assert not any(outcome.made for outcome in run_pipeline(recipe, Run(tmp_path / "a"), stages=stages))
    tuned = tmp_path / "a" / "tuned" / "tuned"
    assert outcome_of(tuned) == outcome_of(tune_at(tmp_path / "b", recipe))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(base / "phi3"), str(tuned)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer, last = done.stdout.strip().split("|")
    assert answer == "It is a sum."
    assert int(last) in read_json(tuned / "smallm.json")["end_ids"]


FRESH = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
base, tuned = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(tuned)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tuned).eval()
turns = [{"role": "user", "content": "What is 5 plus 6?"}]
ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
config = GenerationConfig.from_pretrained(tuned, max_new_tokens=40, do_sample=False)
out = model.generate(**ids, generation_config=config)[0, ids["input_ids"].shape[1]:].tolist()
print(tokenizer.decode(out, skip_special_tokens=True), out[-1], sep="|")
"""


def test_the_loss_of_packed_rows_is_that_of_their_examples_alone(base: Path, tmp_path: Path) -> None:
    recipe = recipe_of(base, **KINDS["qlora"])
    trainer, _ = prepared(recipe, run_at(tmp_path, recipe))
    corpus, feed = trainer.job.feed.rows.corpus, trainer.job.feed
    rows = feed.rows.take(4)
    for model in (trainer.job.model.eval(), trainer.job.model.train()):
        packed, n = model(feed.to_device(feed.ready(corpus.batch(rows, 128))))
        alone = [model(feed.to_device(feed.ready(corpus.batch([[piece]], 128)))) for row in rows for piece in row]
        assert n == sum(count for _, count in alone)
        total = sum(float(loss.detach()) for loss, _ in alone)
        assert float(packed.detach()) == pytest.approx(total, rel=1e-5)


def test_a_model_that_leaks_gets_one_document_a_row_and_trains(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallm.finetune.causal import CausalDecoder

    monkeypatch.setattr(CausalDecoder, "probe", lambda self: False)
    recipe = recipe_of(base, steps=2)
    trainer, _ = prepared(recipe, run_at(tmp_path, recipe))
    assert trainer.job.feed.rows.alone
    batch = next(iter(trainer.job.feed.batches(1)))
    assert all(part.single for part in batch.parts)
    assert max(part.input_ids_BT.shape[1] for part in batch.parts) < 128  # trimmed, not padded to the row
    trainer.run()


@pytest.mark.slow
def test_epochs_become_steps_by_the_rows_of_an_epoch(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_at(tmp_path, recipe_of(base))
    for epochs in (1.0, 2.0, 0.5):
        trainer, _ = prepared(recipe_of(base, steps=0, epochs=epochs), run)
        rows = trainer.job.feed.rows.rows_of_epoch(0)
        assert trainer.job.total == -(-int(epochs * rows * 2) // 8)
    said = capsys.readouterr().err
    assert "120 examples an epoch in" in said
    trainer, _ = prepared(recipe_of(base, steps=3, batch_rows=500), run)
    assert trainer.job.total == 3
    assert "fewer than a batch of 500" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- decisions

PHI = {
    "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32064, "pad_token_id": 32000,
}  # fmt: skip


@pytest.fixture(scope="module")
def phi() -> Shape:
    return shape_of_config(PHI)


def fit(phi: Shape, free: float | None, ranks: int = 1, **settings: Any):
    tune = FinetuneConfig(**({"max_length": 2048, "load_in_4bit": True, "batch_rows": 8} | settings))
    plan = DtypePlan(torch.float16, autocast=torch.float16, four_bit=True)
    return fit_of(phi, tune, plan, "cuda", None if free is None else int(free), ranks)


def test_layers_are_recomputed_only_where_it_would_not_fit_otherwise(phi: Shape) -> None:
    assert not fit(phi, None).checkpointing
    assert fit(phi, None).micro == 8
    large, small = fit(phi, 150e9), fit(phi, 15e9)
    assert (large.checkpointing, large.micro) == (False, 8)
    assert small.micro >= 1
    assert fit(phi, 12e9).checkpointing
    assert fit(phi, 150e9, activation_checkpointing="on").checkpointing
    assert fit(phi, 150e9, ranks=4).micro == 2


def test_what_cannot_fit_is_said_with_what_to_lower(phi: Shape) -> None:
    with pytest.raises(UserError, match=r"needs about .* and 3 GB of memory are free. Lower finetune.max_length"):
        fit(phi, 3e9)
    with pytest.raises(UserError, match="activation_checkpointing: auto"):
        fit(phi, 9e9, activation_checkpointing="off")
    with pytest.raises(UserError, match=r"for 8 row\(s\)"):
        fit(phi, 9e9, micro_rows=8)


def test_rows_are_decided_once_for_a_training(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(base, micro_rows=0)
    run = run_at(tmp_path, recipe)
    trainer, _ = prepared(recipe, run)
    first = trainer.job.feed.micro
    monkeypatch.setattr("smallm.finetune.stage.fit_of", lambda *args: pytest.fail("decided anew"))
    assert prepared(recipe, Run(tmp_path))[0].job.feed.micro == first


def test_the_key_holds_what_shapes_the_training_and_nothing_else(base: Path, tmp_path: Path) -> None:
    recipe = recipe_of(base)
    manifest, phi3 = {"tokens": 1}, base / "phi3"
    key = training_key(recipe, manifest, phi3)
    same = [{"name": "x"}, {"micro_rows": 7}, {"log_every": 99}, {"test_items": 5}, {"notice": "none"}]
    other = [{"lora_r": 8}, {"steps": 9}, {"epochs": 2.0}, {"load_in_4bit": True}, {"dtype": "bfloat16"}]
    assert all(training_key(with_keys(recipe, **change), manifest, phi3) == key for change in same)
    keys = {training_key(with_keys(recipe, **change), manifest, phi3) for change in other}
    assert len(keys | {key}) == len(other) + 1
    assert training_key(recipe, {"tokens": 2}, phi3) != key


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("ids", "changed since it was written"),
        ("mask", "changed since it was written"),
        ("no mask", "not one byte for each"),
        ("no manifest", "not there or not JSON"),
        ("tokenizer", "They come from different models"),
    ],
)
def test_tokens_that_are_not_what_the_manifest_says_are_refused(
    base: Path, tmp_path: Path, damage: str, message: str
) -> None:
    recipe = recipe_of(base)
    run = run_at(tmp_path, recipe)
    tokens = tmp_path / "tokens" / "tuned"
    if damage in ("ids", "mask"):
        path = tokens / ("train-0-00000.bin" if damage == "ids" else "train-0-00000.mask")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "no mask":
        (tokens / "train-0-00000.mask").unlink()
    elif damage == "no manifest":
        (tokens / "manifest.json").unlink()
    else:
        write_json(tokens / "manifest.json", read_json(tokens / "manifest.json") | {"tokenizer_sha256": "cd" * 32})
    with pytest.raises(UserError, match=message):
        prepared(recipe, run)


LIGHT = """
import sys
class Without:
    # As if they were not installed: torch and transformers ask for some of them, and do without.
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import torch
torch.set_num_threads(1)
from pathlib import Path
from finetune.tunes import recipe_of
from smallm.core.run import Run
from smallm.finetune.stage import tune
tuned = tune(recipe_of(Path(sys.argv[1]), steps=2, lora_dropout=0.0), Run(Path(sys.argv[2])))
assert (tuned / "adapter_model.safetensors").is_file()
"""
HEAVY = {"pydantic", "numba", "daft", "datasets", "pyarrow", "pandas", "fastapi", "gradio"}


@pytest.mark.slow
def test_two_steps_of_lora_need_torch_transformers_peft_safetensors_and_numpy_alone(base: Path, tmp_path: Path) -> None:
    run_at(tmp_path, recipe_of(base))
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(blocked=HEAVY), str(base), str(tmp_path)],
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
