"""The evaluation stage on a real, tiny run: files by the formats, figures that add up, the same each time."""

from __future__ import annotations

import dataclasses
import math

import pyarrow.parquet as pq
import pytest

from smallm.core.config import DataConfig, EvalConfig, ModelConfig, Recipe, SourceConfig, TokenizerConfig
from smallm.core.errors import UserError
from smallm.core.files import files_below, read_json, sha256_file, write_json
from smallm.core.formats import validate
from smallm.core.run import Run
from smallm.data.build import build_data
from smallm.evaluate.stage import evaluate_base
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained
from smallm.model.presets import complete
from smallm.tokenizer.encode import encode_data
from smallm.tokenizer.train import make_tokenizer

RECIPE = Recipe(
    name="tiny",
    seed=5,
    prompts=["One day"],
    data=DataConfig(sources=[SourceConfig(synth="stories", size=200_000)], validation=0.15),
    tokenizer=TokenizerConfig(vocab_size=512),
    model=ModelConfig(layers=1, width=32, heads=2, context=64),
    eval=EvalConfig(max_tokens=3000, stories=3),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("tiny"))
    build_data(RECIPE, run)
    make_tokenizer(RECIPE, run)
    encode_data(RECIPE, run)
    base = run.path / "base"
    config = complete(RECIPE.model, 512)
    save_pretrained(Decoder(config, seed=1), base)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (base / file).write_bytes((run.path / "tokenizer" / file).read_bytes())
    facts = {
        "weights_sha256": sha256_file(base / "model.safetensors"),
        "tokenizer_sha256": sha256_file(base / "tokenizer.json"),
    }
    write_json(base / "smallm.json", {**facts, "model": dataclasses.asdict(config)})
    evaluate_base(RECIPE, run)
    return run


def test_files_are_named_by_the_weights_and_follow_their_formats(run: Run):
    digest = read_json(run.path / "base" / "smallm.json")["weights_sha256"][:8]
    names = [p.name for p in files_below(run.path / "eval")]
    assert names == [f"base-{digest}.items.parquet", f"base-{digest}.json"]
    for name in names:
        validate(run.path / "eval" / name, run.path)


def test_items_add_up_to_the_figures(run: Run):
    (file,) = (run.path / "eval").glob("*.json")
    result = read_json(file)
    items = pq.read_table(next((run.path / "eval").glob("*.parquet"))).to_pydict()
    figures = result["bits_per_byte"]
    assert figures["value"] == pytest.approx(sum(items["nats"]) / math.log(2) / sum(items["bytes"]))
    assert (figures["documents"], figures["tokens"]) == (len(items["id"]), sum(items["tokens"]))
    assert figures["tokens"] <= 3000
    texts = {}
    for shard in (run.path / "data").glob("validation-*.parquet"):
        texts |= {row["id"]: row["text"] for row in pq.read_table(shard).to_pylist()}
    assert items["bytes"] == [len(texts[i].encode()) for i in items["id"]]
    # An untrained model is close to uniform over its vocabulary.
    assert result["perplexity"]["value"] == pytest.approx(512, rel=0.2)
    assert 0 < result["gzip_bits_per_byte"]["value"] < 8


def test_samples_follow_the_prompts_and_their_seeds(run: Run):
    result = read_json(next((run.path / "eval").glob("*.json")))
    assert [s["prompt"] for s in result["samples"]] == ["One day"] * RECIPE.report.samples
    assert [s["seed"] for s in result["samples"]] == list(range(5, 5 + RECIPE.report.samples))
    assert len({s["text"] for s in result["samples"]}) > 1
    assert result["stories"]["sampled"] == 3


def test_the_same_run_gives_the_same_bytes(run: Run):
    before = {p: p.read_bytes() for p in files_below(run.path / "eval")}
    evaluate_base(RECIPE, run)
    assert {p: p.read_bytes() for p in before} == before


def test_tokens_of_another_run_are_refused(run: Run):
    facts = read_json(run.path / "base" / "smallm.json")
    write_json(run.path / "base" / "smallm.json", facts | {"tokenizer_sha256": "0" * 64})
    try:
        with pytest.raises(UserError, match="different runs"):
            evaluate_base(RECIPE, run)
    finally:
        write_json(run.path / "base" / "smallm.json", facts)
