"""The evaluation stage on a real, tiny run: files by the formats, figures that add up, the same each time."""

from __future__ import annotations

import dataclasses
import gzip
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from smallm.core.config import DataConfig, EvalConfig, ModelConfig, Recipe, SourceConfig, TokenizerConfig
from smallm.core.errors import UserError
from smallm.core.files import files_below, read_json, sha256_file, write_json, write_text
from smallm.core.formats import validate
from smallm.core.run import Run, run_stage
from smallm.data.build import build_data
from smallm.evaluate.results import read_items
from smallm.evaluate.stage import evaluate_base, own_files
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained
from smallm.model.presets import complete
from smallm.pipeline import run_pipeline
from smallm.stages import STAGES
from smallm.tokenizer.encode import encode_data
from smallm.tokenizer.train import make_tokenizer

CAPITALS = """
task: capitals
data: capitals.jsonl
prompt: "Question: {{question}}\\nAnswer:"
choices: choices
answer: answer
"""
SUITE = """
suite: mine
tasks:
  - capitals.yaml
  - core/arc_easy
  - {task: endings, data: endings.jsonl, prompt: "{{begin}}", continuation: "{{end}}"}
"""
QUESTIONS = [
    '{"question": "Capital of France?", "choices": ["Paris", "Rome", "Oslo"], "answer": 0}',
    '{"question": "Capital of Italy?", "choices": ["Paris", "Rome", "Oslo"], "answer": 1}',
    '{"question": "Capital of Norway?", "choices": ["Paris", "Rome", "Oslo"], "answer": 2}',
]
ENDINGS = ['{"begin": "Once upon a", "end": "time"}', '{"begin": "One", "end": "day"}']
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


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A suite of one's own: two tasks, and a packaged one whose data is not there."""
    write_text(tmp_path / "tasks" / "capitals.yaml", CAPITALS)
    write_text(tmp_path / "tasks" / "capitals.jsonl", "\n".join(QUESTIONS))
    write_text(tmp_path / "tasks" / "mine.yaml", SUITE)
    write_text(tmp_path / "data" / "endings.jsonl", "\n".join(ENDINGS))
    return tmp_path / "tasks" / "mine.yaml"


def with_suite(mine: Path, **more: object) -> Recipe:
    data = [str(mine.parent.parent / "data")]
    return dataclasses.replace(RECIPE, eval=dataclasses.replace(RECIPE.eval, suites=[str(mine)], data=data, **more))


def name_of(run: Run) -> str:
    return f"base-{read_json(run.path / 'base' / 'smallm.json')['weights_sha256'][:8]}"


def evaluate_stage(recipe: Recipe, run: Run) -> bool:
    """Through the pipeline's own row, its inputs left out (here nothing else of a run is recorded)."""
    (stage,) = (dataclasses.replace(stage, inputs=()) for stage in STAGES if stage.name == "eval")
    return run_stage(stage, recipe, run)[1]


def test_files_are_named_by_the_weights_and_follow_their_formats(run: Run):
    names = [p.name for p in files_below(run.path / "eval")]
    assert names == [f"{name_of(run)}.items.parquet", f"{name_of(run)}.json"]
    for name in names:
        validate(run.path / "eval" / name, run.path)


def test_items_add_up_to_the_figures(run: Run):
    (file,) = (run.path / "eval").glob("*.json")
    result = read_json(file)
    items = read_items(file).to_pydict()
    figures = result["bits_per_byte"]
    assert figures["value"] == pytest.approx(sum(items["score"]) / sum(items["weight"]))
    assert figures["value"] == pytest.approx(sum(items["nats"]) / math.log(2) / sum(items["bytes"]))
    assert (figures["documents"], figures["tokens"]) == (len(items["item"]), sum(n for (n,) in items["tokens"]))
    assert figures["tokens"] == sum(items["scored"]) <= 3000
    assert [-x for (x,) in items["logprobs"]] == items["nats"]
    assert items["cluster"] == items["item"]
    texts = {}
    for shard in (run.path / "data").glob("validation-*.parquet"):
        texts |= {row["id"]: row["text"] for row in pq.read_table(shard).to_pylist()}
    assert items["bytes"] == [len(texts[i].encode()) for i in items["item"]]
    assert all(
        texts[i].startswith(shown.removesuffix("…")) for i, shown in zip(items["item"], items["prompt"], strict=True)
    )
    # An untrained model is close to uniform over its vocabulary.
    assert result["perplexity"]["value"] == pytest.approx(512, rel=0.2)
    assert 0 < result["gzip_bits_per_byte"]["value"] < 8


def test_the_held_out_documents_are_a_task_with_the_figures_of_the_summary(run: Run):
    result = read_json(next((run.path / "eval").glob("*.json")))
    task = result["tasks"]["held-out"]
    figure, summary = task["metrics"]["bits_per_byte"], result["bits_per_byte"]
    assert figure["value"] == pytest.approx(summary["value"])
    assert figure["standard_error"] == pytest.approx(summary["standard_error"])
    assert (figure["items"], figure["higher_is_better"]) == (summary["documents"], False)
    perplexity = task["metrics"]["token_perplexity"]
    assert {k: perplexity[k] for k in ("value", "low", "high")} == pytest.approx(result["perplexity"])
    assert result["suites"] == {}


def test_a_suite_has_a_result_file_of_its_own_and_what_is_missing_is_named(
    run: Run, mine: Path, capsys: pytest.CaptureFixture[str]
):
    evaluate_base(with_suite(mine), run)
    said = capsys.readouterr().err
    assert "skipped: " in said
    assert "arc_easy" in said
    assert "mine/capitals: accuracy" in said
    name = name_of(run)
    for file in files_below(run.path / "eval"):
        validate(file, run.path)
    result = read_json(run.path / "eval" / f"{name}-mine.json")
    assert result["tasks"].keys() == {"capitals", "endings"}
    assert [row["task"] for row in result["skipped"]] == ["arc_easy"]
    assert read_items(run.path / "eval" / f"{name}-mine.json").num_rows == 5
    brief = read_json(run.path / "eval" / f"{name}.json")["suites"]["mine"]
    assert brief["file"] == f"{name}-mine.json"
    assert brief["tasks"]["capitals"]["value"] == result["tasks"]["capitals"]["metrics"]["acc"]["value"]
    assert own_files(run.path / "eval") == {p.name for p in files_below(run.path / "eval")}


def test_a_task_that_the_model_cannot_do_is_skipped_and_the_others_are_not(
    run: Run, mine: Path, capsys: pytest.CaptureFixture[str]
):
    told = '{task: told, data: capitals.jsonl, prompt: "{{question}}", answer: "{{choices[0]}}", max_new_tokens: 64}'
    write_text(mine, SUITE.replace("core/arc_easy", told))
    evaluate_base(with_suite(mine), run)
    result = read_json(run.path / "eval" / f"{name_of(run)}-mine.json")
    assert result["tasks"].keys() == {"capitals", "endings"}
    assert "context 64 tokens" in result["skipped"][0]["why"]
    assert "task told is skipped. " in capsys.readouterr().err


def test_a_suite_of_which_nothing_can_be_run_has_no_file_and_stops_nothing(run: Run, mine: Path):
    write_text(mine, "suite: mine\ntasks: [core/arc_easy]")
    evaluate_base(with_suite(mine), run)
    assert own_files(run.path / "eval") == {f"{name_of(run)}.json", f"{name_of(run)}.items.parquet"}
    said = read_json(run.path / "eval" / f"{name_of(run)}.json")["suites"]["mine"]
    assert (said["file"], said["tasks"]) == (None, {})
    assert [row["task"] for row in said["skipped"]] == ["arc_easy"]


def test_a_limit_takes_so_many_items_of_each_task(run: Run, mine: Path):
    evaluate_base(with_suite(mine, items=2), run)
    assert f"{name_of(run)}-mine-limit2.json" in own_files(run.path / "eval")
    result = read_json(run.path / "eval" / f"{name_of(run)}-mine-limit2.json")
    assert {name: task["items"] for name, task in result["tasks"].items()} == {"capitals": 2, "endings": 2}
    assert result["limit"] == 2


def test_what_other_commands_wrote_survives_and_does_not_count_as_a_change(run: Run, mine: Path):
    assert evaluate_stage(RECIPE, run)
    theirs = {"base-0123abcd-core.json": "{}", "compare-a-b.json": "[]", "pages/index.html": "page"}
    for name, text in theirs.items():
        write_text(run.path / "eval" / name, text)
    assert not evaluate_stage(RECIPE, run)
    assert evaluate_stage(with_suite(mine), run)
    assert {name: (run.path / "eval" / name).read_text() for name in theirs} == theirs
    record = run.stage_record("eval")
    assert record is not None
    assert record["outputs"].keys() == own_files(run.path / "eval")
    assert len(record["outputs"]) == 4
    # `smallm eval` evaluates the same suite again: another clock, another size.
    shared = run.path / "eval" / f"{name_of(run)}-mine.json"
    write_json(shared, read_json(shared) | {"seconds": 12345.678})
    assert not evaluate_stage(with_suite(mine), run)
    # Its own files go when the recipe no longer asks for them; what another command wrote anew stays.
    assert evaluate_stage(RECIPE, run)
    assert shared.is_file()
    assert not shared.with_name(f"{name_of(run)}-mine.items.parquet").exists()
    shared.unlink()
    for name in theirs:
        (run.path / "eval" / name).unlink()


@pytest.mark.parametrize("part", ["task", "its data", "data that was missing", "the suite's list"])
def test_a_changed_suite_is_evaluated_again_and_a_moved_one_is_not(run: Run, mine: Path, tmp_path: Path, part: str):
    evaluate_stage(with_suite(mine), run)
    assert not evaluate_stage(with_suite(mine), run)
    for folder in ("tasks", "data"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        (tmp_path / folder).rename(tmp_path / "elsewhere" / folder)
    moved = tmp_path / "elsewhere" / "tasks" / "mine.yaml"
    assert not evaluate_stage(with_suite(moved), run)
    if part == "task":
        write_text(moved.with_name("capitals.yaml"), CAPITALS.replace("Question", "Q"))
    elif part == "its data":
        write_text(moved.with_name("capitals.jsonl"), "\n".join(QUESTIONS[:2]))
    elif part == "data that was missing":
        arc = moved.parent.parent / "data" / "eval" / "arc_easy.jsonl.gz"
        arc.parent.mkdir()
        arc.write_bytes(gzip.compress(b'{"query": "What is wet?", "choices": ["Water", "Sand"], "gold": 0}'))
    else:
        write_text(moved, SUITE.replace("  - capitals.yaml\n", ""))
    assert evaluate_stage(with_suite(moved), run)


def test_suites_and_folders_that_are_not_there_are_told_before_anything_runs(tmp_path: Path, mine: Path):
    def refused(recipe: Recipe) -> str:
        with pytest.raises(UserError) as caught:
            run_pipeline(recipe, Run(tmp_path / "run"))
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    def with_eval(**values: object) -> Recipe:
        return dataclasses.replace(RECIPE, eval=dataclasses.replace(RECIPE.eval, **values))

    said = refused(with_eval(suites=["smalm"]))
    assert said.startswith("eval.suites: smalm: no such suite")
    assert "Did you mean `smallm`?" in said
    assert "no such directory" in refused(with_eval(suites=[str(mine)], data=[str(tmp_path / "nowhere")]))
    assert "two suites are called `mine`" in refused(with_eval(suites=[str(mine), str(mine)]))
    assert "mine.yaml:6: task endings: no such file (looked in " in refused(with_eval(suites=[str(mine)]))
    write_text(mine, SUITE.replace("prompt", "promt"))
    assert "mine.yaml:6: " in refused(with_eval(suites=[str(mine)]))


def test_samples_follow_the_prompts_and_their_seeds(run: Run):
    result = read_json(run.path / "eval" / f"{name_of(run)}.json")
    assert [s["prompt"] for s in result["samples"]] == ["One day"] * RECIPE.report.samples
    assert [s["seed"] for s in result["samples"]] == list(range(5, 5 + RECIPE.report.samples))
    assert len({s["text"] for s in result["samples"]}) > 1
    assert result["stories"]["sampled"] == 3


def test_the_same_run_gives_the_same_bytes(run: Run):
    evaluate_base(RECIPE, run)
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


def test_folders_of_other_stages_stay_done_when_the_stage_is_redone(tmp_path: Path):
    from smallm.core.files import write_json, write_text
    from smallm.evaluate.stage import _carry_over

    old, new = tmp_path / "eval", tmp_path / "eval.partial"
    for name in ("german/verdict.json", "german/stage.json", "german.partial/stage.json", "stage.json"):
        write_json(old / name, {})
    write_text(old / "german" / "base-1.items.parquet", "x")
    new.mkdir()
    _carry_over(Run(tmp_path), old, new)
    kept = sorted(p.relative_to(new).as_posix() for p in new.rglob("*") if p.is_file())
    assert kept == ["german/base-1.items.parquet", "german/stage.json", "german/verdict.json"]
