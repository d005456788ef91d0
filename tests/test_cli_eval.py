"""Laws of `smallm eval`: a table that says what is at chance, results beside the model, a cache that never lies."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_hf import make_directory

from smallm.commands.evaluate import choose, eval_command, suite_name, table
from smallm.core.errors import UserError
from smallm.evaluate.lazy_scorer import LazyScorer
from smallm.evaluate.results import read_items, read_result

TASK = "task: mine\ndata: d.jsonl\nprompt: '{{q}}'\nchoices: c\nanswer: a\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "base"
    make_directory(directory)
    return directory


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a tiny model, a task beside it, a cache of its own; the working directory is the task's."""
    monkeypatch.setenv("SMALLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SMALLM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "recipe.yaml").write_text("name: x\n")
    shutil.copytree(made, tmp_path / "runs" / "x" / "base")
    rows = [{"q": f"What is it {i}?", "c": [" a dog", " the river"], "a": i % 2} for i in range(10)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(TASK)
    return Path("runs") / "x"


def evaluate(model: Any, capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[Path, str]:
    """The result's path, and what was said beside it."""
    eval_command(str(model), suites=options.pop("suites", ["mine.yaml"]), **options)
    out, err = capsys.readouterr()
    paths = [Path(line) for line in out.strip().splitlines()]
    (page,) = (path for path in paths if path.name.endswith(".items.html"))
    assert page.is_file()
    (result,) = (path for path in paths if path.suffix == ".json")
    return result, err


def test_results_stand_in_the_run_and_the_table_on_the_terminal(run: Path, capsys: pytest.CaptureFixture[str]):
    path, said = evaluate(run, capsys)
    assert path.parent == run / "eval"
    assert path.name.startswith("base-")
    assert path.name.endswith("-mine.json")
    assert "model: " in said
    assert "mine  acc " in said
    assert "Contamination: the training data was not checked" in said
    assert len(read_items(path)) == 10
    result = read_result(path)
    assert result["tasks"]["mine"]["items"] == 10
    assert max(map(len, said.splitlines())) <= 100


def test_a_model_outside_a_run_writes_to_eval_here_or_where_it_is_told(
    run: Path, made: Path, capsys: pytest.CaptureFixture[str]
):
    assert evaluate(made, capsys)[0].parent == Path("eval")
    assert evaluate(made, capsys, out=Path("there"))[0].parent == Path("there")


def test_a_second_run_loads_no_weights(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any):
    first, _ = evaluate(run, capsys)
    before = read_result(first)

    def load_scorer(*args: Any, **options: Any) -> Any:
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr("smallm.evaluate.scorer.load_scorer", load_scorer)
    second, said = evaluate(run, capsys)
    assert "10 of 10 known" in said
    after = read_result(second)
    assert after["tasks"]["mine"]["metrics"] == before["tasks"]["mine"]["metrics"]
    assert after["model"] == before["model"]


def test_one_value_changed_in_place_is_another_model(run: Path, capsys: pytest.CaptureFixture[str]):
    first, _ = evaluate(run, capsys)
    weights = run / "base" / "model.safetensors"
    stat = weights.stat()
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 0x01  # one bit of the last value, in place
    weights.write_bytes(raw)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert weights.stat().st_size == stat.st_size
    assert weights.stat().st_mtime_ns == stat.st_mtime_ns
    second, said = evaluate(run, capsys)
    assert second != first
    assert "known" not in said


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_an_altered_tokenizer_or_configuration_never_hits(run: Path, name: str, capsys: pytest.CaptureFixture[str]):
    evaluate(run, capsys)
    path = run / "base" / name
    content = json.loads(path.read_text())
    if name == "tokenizer.json":
        content["added_tokens"] = content["added_tokens"][:-1]
    elif name == "config.json":
        content["rms_norm_eps"] = 1e-3
    else:
        content["add_prefix_space"] = True
        content["eos_token"] = "<|turn|>"
    path.write_text(json.dumps(content))
    assert "known" not in evaluate(run, capsys)[1]


def test_another_dtype_never_hits(run: Path, capsys: pytest.CaptureFixture[str]):
    evaluate(run, capsys)
    assert "known" not in evaluate(run, capsys, dtype="bfloat16")[1]
    assert "10 of 10 known" in evaluate(run, capsys)[1]


def test_no_cache_scores_again(run: Path, capsys: pytest.CaptureFixture[str]):
    evaluate(run, capsys)
    assert "known" not in evaluate(run, capsys, no_cache=True)[1]


def test_weights_that_change_while_they_are_evaluated_are_refused(run: Path):
    options: dict[str, Any] = {}
    notes = run / "notes"
    LazyScorer(str(run / "base"), options, notes)
    scorer = LazyScorer(str(run / "base"), options, notes)
    assert scorer.loads == 0
    tensors = load_file(run / "base" / "model.safetensors")
    save_file({k: v * 2 for k, v in tensors.items()}, run / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="it changed while it was evaluated"):
        scorer.rolling(["the cat"])


def test_a_lazy_scorer_is_the_scorer(run: Path):
    from smallm.evaluate.requests import Request
    from smallm.evaluate.scorer import load_scorer

    LazyScorer(str(run / "base"), {}, run / "notes")
    lazy, real = LazyScorer(str(run / "base"), {}, run / "notes"), load_scorer(run / "base")
    for name in ("weights_sha256", "tokenizer_sha256", "settings", "parameters", "max_length"):
        assert getattr(lazy, name) == getattr(real, name)
    assert lazy.tokenizer.encode("the cat") == real.tokenizer.encode("the cat")
    assert lazy.loads == 0
    requests = [Request("the cat sat", " on the mat")]
    assert lazy.loglikelihoods(requests) == real.loglikelihoods(requests)
    assert lazy.rolling(["the cat"]) == real.rolling(["the cat"])
    assert lazy.generate(["the cat"], max_new_tokens=3) == real.generate(["the cat"], max_new_tokens=3)
    assert lazy.loads == 1


def test_machines_get_json(run: Path, capsys: pytest.CaptureFixture[str]):
    eval_command(str(run), suites=["mine.yaml"], as_json=True)
    value = json.loads(capsys.readouterr().out)
    assert value["results"][0] == read_result(value["files"][0])


def test_contaminated_items_are_marked_and_their_score_stands_beside_the_clean_one(
    run: Path, capsys: pytest.CaptureFixture[str]
):
    path, _ = evaluate(run, capsys)
    item = read_items(path)["item"][0].as_py()
    (run / "data").mkdir()
    hits = [{"task": "mine", "item_id": item, "doc_id": "d", "ngram": "n"}]
    (run / "data" / "contamination.json").write_text(json.dumps(hits))
    path, said = evaluate(run, capsys)
    assert "CONTAMINATED: 1 items" in said
    assert "1 of 10 items of mine; without them acc" in " ".join(said.split())
    assert read_items(path)["contaminated"].to_pylist() == [True] + [False] * 9
    (run / "data" / "contamination.json").write_text("[]")
    assert "none of these items is in it" in evaluate(run, capsys)[1]


def test_a_part_of_a_suite_does_not_overwrite_the_whole(run: Path, capsys: pytest.CaptureFixture[str]):
    whole, _ = evaluate(run, capsys)
    part, said = evaluate(run, capsys, limit=4)
    assert part.name == whole.name.replace(".json", "-limit4.json")
    assert "Limited to 4 items a task" in said
    assert read_result(part)["tasks"]["mine"]["items"] == 4
    assert suite_name("s", ["b", "a"], limit=None, shots=5, chat=True) == "s-a+b-5shot-chat"
    assert len(suite_name("s", ["a" * 30, "b" * 30], limit=None, shots=None, chat=False)) == 10


def test_tasks_are_chosen_by_name_with_the_nearest_one_named():
    assert [s.name for s in choose([], [], [])] == ["smallm"]
    assert [[t.name for t in s.tasks] for s in choose(["core", "german"], ["piqa"], [])] == [["piqa"]]
    assert choose([], [], ["arc_easy"]) == []
    with pytest.raises(UserError, match="Did you mean `piqa`"):
        choose(["core"], ["pika"], [])
    with pytest.raises(UserError, match="none of the suites core, german has it"):
        choose(["core", "german"], ["pika"], [])


def test_a_suite_without_any_of_its_data_is_refused_with_what_is_missing(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
):
    monkeypatch.setattr("smallm.evaluate.task_data._unreachable", ["x"])
    with pytest.raises(UserError, match="the data of none of its 2 tasks is on this machine"):
        evaluate(run, capsys, suites=["finance"])
    assert "tatqa/tatqa_dataset_dev.json.gz is not on this machine" in capsys.readouterr().err


def test_the_table_is_readable_at_a_hundred_columns_and_says_what_is_at_chance():
    figure: dict[str, Any] = {
        "value": 0.2512, "standard_error": 0.0089, "low": 0.2341, "high": 0.269, "items": 2376, "clusters": 2376,
        "higher_is_better": True, "chance": 0.25, "chance_low": 0.23, "chance_high": 0.27, "at_chance": True,
    }  # fmt: skip
    good = {**figure, "value": 0.9, "at_chance": False}
    clean = {"checked": True, "items": 0, "clean": None}
    tasks = {
        name: {"metrics": {"acc": f, "a_longer_metric_name": good}, "primary": "acc", "items": 2376, "kind": "choice",
               "marks": {"truncated": 12, "spans": 3}, "contamination": clean, "majority": 0.31}
        for name, f in (("short", figure), ("cuad_competitive_restriction_exception", good))
    }  # fmt: skip
    model = {"name": "runs/x/base", "parameters": 2_950_000}
    said = table({"model": model, "suite": "s", "tasks": tasks, "seconds": 75.0, "limit": None, "skipped": []})
    lines = said.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "s on runs/x/base, 2.95M parameters (1 min 15 s)"
    assert "at chance (0.25)" in said
    assert "12 truncated, 3 spans" in said
    assert "At chance: short. Guessing" in said
    assert "none of these items is in it" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tasks_of_lm_eval_run_by_name_and_write_the_same_files(run: Path, capsys: pytest.CaptureFixture[str]):
    text = (
        "task: theirs\ndataset_path: json\ndataset_kwargs: {data_files: {test: DATA}}\ntest_split: test\n"
        'output_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{c}}"\ndoc_to_target: "{{a}}"\n'
        "target_delimiter: ' '\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n"
    )
    Path("lm").mkdir()
    (Path("lm") / "theirs.yaml").write_text(text.replace("DATA", str(Path("d.jsonl").resolve())))
    mine, _ = evaluate(run, capsys)
    path, said = evaluate(run, capsys, suites=[], tasks=["lm-eval:theirs"], include_path=["lm"])
    assert path.name == mine.name.replace("mine", "lm-eval-theirs")
    ours, theirs = read_result(mine)["tasks"]["mine"], read_result(path)
    assert theirs["results"]["theirs"]["acc,none"] == ours["metrics"]["acc"]["value"]
    assert theirs["tasks"]["theirs"]["metrics"]["acc"] == ours["metrics"]["acc"]
    assert theirs["lm_eval_version"]
    scores = [read_items(file)["logprobs"].to_pylist() for file in (mine, path)]
    assert scores[0] == [pytest.approx(row, abs=1e-4) for row in scores[1]]
    assert "theirs  acc " in said


def test_a_run_without_a_model_is_the_users_mistake(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no such directory"):
        eval_command("runs/none")
