"""Laws of tokens/<name>/: what is written was rendered; equal inputs, equal bytes; every input is in the key."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from finetune.chat_tokenizers import make_ours
from finetune.tiny_phi3 import WINDOW, make_phi3

from smallm.core.config import FinetuneConfig, ModelConfig, Recipe, TuneSource
from smallm.core.errors import UserError
from smallm.core.files import HashCache, read_json, sha256_file, write_json
from smallm.core.formats import validate
from smallm.core.run import Run, stage_key
from smallm.core.tokenfile import open_shard, open_split
from smallm.finetune import tokens
from smallm.finetune.render import Renderer
from smallm.finetune.tokens import CODE, fingerprint, make_tokens
from smallm.stages import OF_EXAMPLES, tuning_stages
from smallm.tokenizer.directory import load_tokenizer
from smallm.train.corpus import Corpus

SRC = Path(tokens.__file__).parents[1]


def write_rows(path: Path, count: int, first: int = 0, **extra: Any) -> Path:
    rows = [{"messages": [{"role": "user", "content": f"Question {i}"},
                          {"role": "assistant", "content": f"Antwort {i}, Köln."}], **extra}
            for i in range(first, first + count)]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("ours")
    make_ours(directory)
    return directory


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phi3")
    make_phi3(directory)
    return directory


MakeRun = Callable[..., tuple[Recipe, Run]]


@pytest.fixture
def make(tmp_path: Path, tokenizer_directory: Path) -> MakeRun:
    """A run with a tokenizer, two sets of rows, and their recipe."""

    def made(where: str = "run", **options: Any) -> tuple[Recipe, Run]:
        root = tmp_path / where
        shutil.copytree(tokenizer_directory, root / "tokenizer")
        data = [
            TuneSource(path=str(write_rows(root / "a.jsonl", 40)), name="a", license="mit"),
            TuneSource(path=str(write_rows(root / "b.jsonl", 20, first=100)), name="b", weight=2.5),
        ]
        tune = FinetuneConfig(
            **({"name": "t", "data": data, "max_length": 64, "test": 0.1, "validation": 0.1} | options)
        )
        return Recipe(name="r", model=ModelConfig(context=128), finetune=tune), Run(root)

    return made


def hashes(directory: Path) -> dict[str, str]:
    return {p.name: sha256_file(p) for p in sorted(directory.iterdir())}


# ---- the artefact ----------------------------------------------------------------------------------------------------


def test_shards_and_masks_hold_the_rows_of_each_set_and_every_file_has_its_format(make: MakeRun):
    recipe, run = make()
    directory = make_tokens(recipe, run)
    assert directory == run.path / "tokens" / "t"
    for path in directory.iterdir():
        validate(path, run.path)
    manifest, audit = read_json(directory / "manifest.json"), read_json(directory / "audit.json")
    renderer = Renderer(load_tokenizer(run.path / "tokenizer"))
    table = pq.read_table(directory / "examples.parquet").to_pylist()
    for split in ("train", "validation"):
        entry = manifest["splits"][split]
        found: dict[str, tuple[list[int], list[int]]] = {}
        for shard in entry["shards"]:
            opened = open_shard(directory / shard["path"], masked=True)
            assert opened.mask is not None
            assert opened.tokenizer_sha256 == manifest["tokenizer_sha256"]
            assert sha256_file(directory / shard["path"]) == shard["sha256"]
            assert sha256_file((directory / shard["path"]).with_suffix(".mask")) == shard["mask_sha256"]
            assert (len(opened.index), len(opened.ids)) == (shard["examples"], shard["tokens"])
            assert int(opened.mask.sum()) == shard["trained_tokens"]
            for record in opened.index:
                part = slice(int(record["start"]), int(record["start"] + record["length"]))
                found[record["id"].tobytes()[:8].hex()] = opened.ids[part].tolist(), opened.mask[part].tolist()
        mine = [row for row in table if row["split"] == split]
        assert entry["examples"] == len(found) == len(mine) == audit["splits"][split]["examples"]
        for row in mine:
            rendered = renderer.row(json.loads(row["messages"]))
            assert found[row["id"]] == (rendered.ids, [int(m) for m in rendered.mask])
            assert (row["tokens"], row["trained"]) == (len(rendered.ids), rendered.trained)
    assert [(s["path"], s["source"], s["weight"]) for s in manifest["splits"]["train"]["shards"]] == [
        ("train-0-00000.bin", "a", 1.0),
        ("train-1-00000.bin", "b", 2.5),
    ]
    assert manifest["weights"] == {"a": 1.0, "b": 2.5}
    assert (manifest["bos_id"], manifest["end_ids"], manifest["max_length"]) == (0, [5, 0], 64)
    assert manifest["template_sha256"] == renderer.template.sha256


def test_the_training_s_corpus_sees_as_many_labels_as_the_manifest_counts(make: MakeRun):
    recipe, run = make()
    directory = make_tokens(recipe, run)
    entry = read_json(directory / "manifest.json")["splits"]["train"]
    shards = open_split(directory, "train", masked=True)
    corpus = Corpus(shards, masks=[shard.mask for shard in shards if shard.mask is not None])
    assert int(corpus.trained().sum()) == entry["trained_tokens"]
    assert int(corpus.bytes.sum()) == entry["bytes"]
    assert len(set(corpus.ids.tolist())) == corpus.documents


def test_a_test_example_s_prompt_is_the_beginning_of_its_row(make: MakeRun):
    recipe, run = make(system="Be brief.")
    directory = make_tokens(recipe, run)
    plain = Renderer(load_tokenizer(run.path / "tokenizer"))  # the system message stands in the line already
    lines = [json.loads(line) for line in (directory / "test.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == read_json(directory / "manifest.json")["splits"]["test"]["examples"] > 0
    for line in lines:
        assert line["messages"][0] == {"role": "system", "content": "Be brief."}
        prompt = plain.prompt(line["messages"])
        whole = plain.row([*line["messages"], {"role": "assistant", "content": line["answer"]}])
        assert whole.ids[: line["prompt_ids_length"]] == prompt


def test_equal_inputs_give_equal_bytes_wherever_they_lie_and_no_path_of_this_machine(make: MakeRun, tmp_path: Path):
    first, second = (make_tokens(*make(where)) for where in ("one", "two/deep"))
    assert hashes(first) == hashes(second)
    for path in first.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_a_broken_row_writes_nothing_and_an_old_artefact_stays(make: MakeRun):
    recipe, run = make()
    before = hashes(make_tokens(recipe, run))
    path = Path(recipe.finetune.data[0].path or "")
    path.write_text(path.read_text("utf-8").replace("Antwort 7,", "\\n\\n\\nAntwort 7,"), "utf-8")
    with pytest.raises(UserError, match=r"a\.jsonl:8: .*not the beginning of the row's"):
        make_tokens(replace(recipe, finetune=replace(recipe.finetune, test=0.0, validation=0.0)), run)
    assert hashes(run.path / "tokens" / "t") == before


def test_a_model_of_others_gives_its_template_its_ends_and_its_limit(make: MakeRun, phi3: Path):
    recipe, run = make(model=str(phi3))
    directory = make_tokens(recipe, run)
    manifest = read_json(directory / "manifest.json")
    tokenizer = load_tokenizer(phi3)
    ends = tokenizer.convert_tokens_to_ids(["<|end|>", "<|endoftext|>", "<|assistant|>"])
    assert manifest["end_ids"] == ends
    assert manifest["base"] == phi3.name
    shard = open_split(directory, "train", masked=True)[0]
    assert shard.mask is not None
    last = int(shard.index["length"][0]) - 1
    assert [int(i) for i in shard.ids[last - 1 : last + 1]] == ends[:2]
    assert shard.mask[last - 1 : last + 1].tolist() == [1, 1]
    assert tokenizer.pad_token_id == ends[1]
    with pytest.raises(UserError, match=rf"finetune.max_length: {WINDOW + 1}, .* at most {WINDOW} tokens"):
        make_tokens(replace(recipe, finetune=replace(recipe.finetune, max_length=WINDOW + 1)), run)


def test_a_base_without_tokenizer_or_not_made_yet_is_told_what_to_do(make: MakeRun, phi3: Path, tmp_path: Path):
    recipe, run = make()
    shutil.rmtree(run.path / "tokenizer")
    with pytest.raises(
        UserError, match=r"tokenizer: not there yet.*smallm run RECIPE --run .* --only data --only tokenizer"
    ):
        make_tokens(recipe, run)
    bare = tmp_path / "bare"
    shutil.copytree(phi3, bare, ignore=shutil.ignore_patterns("tokenizer*", "chat_template*"))
    with pytest.raises(UserError, match=r"bare: a base without tokenizer"):
        make_tokens(replace(recipe, finetune=replace(recipe.finetune, model=str(bare))), run)


# ---- the key ---------------------------------------------------------------------------------------------------------


def key(recipe: Recipe, run: Run) -> str:
    """The stage's key; the own tokenizer's hash comes from its stage record, as in a run."""
    if recipe.finetune.model is None:
        outputs = {p.name: {"sha256": sha256_file(p)} for p in sorted((run.path / "tokenizer").glob("*"))}
        inputs: dict[str, Any] = {"tokenizer": outputs}
    else:
        inputs = {}
    stage = tuning_stages(recipe)[0]
    assert stage.inputs == (("tokenizer",) if recipe.finetune.model is None else ())
    return stage_key(stage, recipe, inputs | stage.fingerprint(recipe, HashCache(run.path / ".hashes.json")))


OPTIONS: dict[str, Any] = {
    "name": "other", "revision": "abc", "task": "qa", "prompt": "{{x}}", "system": "Be brief.", "labels": ["x"],
    "language": "de", "validation": 0.2, "test": 0.2, "max_length": 63, "too_long": "drop", "train_on": "all",
}  # fmt: skip


def test_every_option_of_the_examples_is_tried():
    assert set(OPTIONS) | {"data"} == set(OF_EXAMPLES)
    assert set(SOURCE) | {"path", "hub", "synth"} == {f.name for f in fields(TuneSource)}


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_of_the_examples_is_in_the_key(make: MakeRun, option: str):
    recipe, run = make()
    changed = replace(recipe, finetune=replace(recipe.finetune, **{option: OPTIONS[option]}))
    assert key(changed, run) != key(recipe, run)


SOURCE: dict[str, Any] = {
    "name": "c", "format": "messages", "reader": "statutes", "prompt": "x", "answer": "y", "input": "i", "output": "o",
    "context": "c", "label_names": ["x"], "cluster": "k", "use": "train", "weight": 3.0, "items": 5, "subset": "s",
    "split": "dev", "revision": "abc", "license": "cc0-1.0",
}  # fmt: skip


@pytest.mark.parametrize("option", sorted(SOURCE))
def test_every_option_of_a_set_is_in_the_key(make: MakeRun, option: str):
    recipe, run = make()
    first, *rest = recipe.finetune.data
    changed = replace(recipe.finetune, data=[replace(first, **{option: SOURCE[option]}), *rest])
    assert key(replace(recipe, finetune=changed), run) != key(recipe, run)


def test_the_seed_the_rows_and_their_order_are_in_the_key_but_not_where_they_lie(make: MakeRun, tmp_path: Path):
    recipe, run = make()
    before = key(recipe, run)
    assert key(replace(recipe, seed=1), run) != before
    moved = tmp_path / "elsewhere" / "a.jsonl"
    moved.parent.mkdir()
    shutil.copyfile(run.path / "a.jsonl", moved)
    data = [replace(recipe.finetune.data[0], path=str(moved)), recipe.finetune.data[1]]
    assert key(replace(recipe, finetune=replace(recipe.finetune, data=data)), run) == before
    assert key(replace(recipe, finetune=replace(recipe.finetune, data=data[::-1])), run) != before
    write_rows(run.path / "a.jsonl", 41)  # a resume with other data is another artefact
    assert key(recipe, run) != before


def test_the_template_and_the_tokenizer_are_in_the_key(make: MakeRun, phi3: Path, tmp_path: Path):
    recipe, run = make()
    before = key(recipe, run)
    template = run.path / "tokenizer" / "chat_template.jinja"
    template.write_text(template.read_text("utf-8").replace("<|end|>", "<|end|> "), "utf-8")
    assert key(recipe, run) != before
    base = tmp_path / "base"
    shutil.copytree(phi3, base)
    recipe = replace(recipe, finetune=replace(recipe.finetune, model=str(base)))
    seen = {key(recipe, run)}
    for name in (
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "config.json",
    ):
        with open(base / name, "a", encoding="utf-8") as f:
            f.write(" ")
        seen.add(key(recipe, run))
    assert len(seen) == 6
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")  # the training's input, not the tokens'
    assert key(recipe, run) in seen


def test_a_model_of_the_hub_counts_by_name_and_revision(make: MakeRun):
    recipe, run = make(model="owner/model")
    other = replace(recipe, finetune=replace(recipe.finetune, revision="abc"))
    found = [fingerprint(r, HashCache(run.path / ".h"))["finetune.model"] for r in (recipe, other)]
    assert found == ["owner/model@main", "owner/model@abc"]


def test_the_code_is_in_the_key_and_of_generators_only_where_they_are_used(
    make: MakeRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    recipe, run = make()
    synth = replace(recipe, finetune=replace(recipe.finetune, data=[TuneSource(synth="translation")]))
    copy = tmp_path / "smallm"
    for folder in ("finetune", "core", "data", "evaluate"):
        shutil.copytree(SRC / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(tokens.resources, "files", lambda name: copy)
    before = key(recipe, run), key(synth, run)
    (copy / "data" / "synth" / "translation.py").write_text("# other words", "utf-8")
    assert (key(recipe, run), key(synth, run) != before[1]) == (before[0], True)
    (copy / "finetune" / "render.py").write_text("# another mask", "utf-8")
    assert key(recipe, run) != before[0]


def test_the_list_of_the_code_that_shapes_tokens_is_what_the_stage_imports():
    """Every module of finetune/ that tokens.py reaches, but those that only find the base."""
    reached, open_ = set(), ["tokens"]
    while open_:
        name = open_.pop()
        if name in reached:
            continue
        reached.add(name)
        for node in ast.walk(ast.parse((SRC / "finetune" / f"{name}.py").read_text("utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if isinstance(node, ast.ImportFrom) and node.module == "smallm.finetune":
                modules = [f"smallm.finetune.{alias.name}" for alias in node.names]
            if isinstance(node, ast.Constant) and str(node.value).startswith("smallm.finetune."):
                modules = [str(node.value)]
            open_ += [m.split(".")[2] for m in modules if m.startswith("smallm.finetune.")]
    assert set(CODE["finetune"]) == reached - {"base"}


def test_the_manifest_of_pretraining_is_another_format(make: MakeRun):
    recipe, run = make()
    manifest = make_tokens(recipe, run) / "manifest.json"
    write_json(run.path / "tokens" / "base" / "manifest.json", read_json(manifest))
    with pytest.raises(UserError, match="unknown key"):
        validate(run.path / "tokens" / "base" / "manifest.json", run.path)
