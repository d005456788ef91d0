"""`compare` and its verb on result files: planted differences, refusals that say which, the sentence, the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from smallm.commands import compare as verb
from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_bytes, sha256_file, write_json
from smallm.core.formats import validate
from smallm.evaluate.compare import compare, verdict
from smallm.evaluate.compare_words import amount, sentence
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.paired import PairedScores, compare_many
from smallm.evaluate.statistics import (
    chance_interval,
    estimate_corpus,
    estimate_mean,
    estimate_ratio,
    figure,
)
from smallm.evaluate.text_metrics import TextScore, macro_f1, macro_f1_statistics

Rows = list[dict[str, Any]]
LABELS = ["positive", "neutral", "negative"]


def rows_of(
    task: str, scores: Any, metric: str = "acc", *, weights: Any = None, clusters: Any = None, **more: Any
) -> Rows:
    """Items of a task: `scores` one an item; right where 1."""
    n, binary = len(scores), metric_info(metric).binary
    found = []
    for i in range(n):
        right = bool(scores[i]) if binary else None
        found.append(
            {
                "task": task, "metric": metric, "item": sha256_bytes(f"{task} {i}".encode())[:16],
                "cluster": str(clusters[i]) if clusters is not None else f"{i}", "source": "",
                "prompt": f"Question {i}?",
                "choices": ["yes", "never, ever"], "logprobs": [-1.0, -2.0], "tokens": [1, 1], "answer": ["yes"],
                "prediction": "yes" if right else "never, ever", "score": float(scores[i]),
                "weight": 1.0 if weights is None else float(weights[i]), "correct": right, "probability": 0.7,
                "marks": [], "contaminated": None, **{key: value[i] for key, value in more.items()},
            }
        )  # fmt: skip
    return found


def estimated(metric: str, rows: Rows) -> Any:
    """The figure that evaluation would write of these rows."""
    info, scores = metric_info(metric), [r["score"] for r in rows]
    clusters = [r["cluster"] for r in rows]
    if info.kind == "mean":
        estimate = estimate_mean(scores, clusters, binary=info.binary)
    elif info.kind == "ratio":
        estimate = estimate_ratio(scores, [r["weight"] for r in rows], clusters, transform=info.transform)
    elif metric == "macro_f1":
        gold = [LABELS.index(r["answer"][0]) for r in rows]
        said = [LABELS.index(r["prediction"]) for r in rows]
        estimate = estimate_corpus(macro_f1_statistics(gold, said, 3), macro_f1)
    else:
        scorer = TextScore(metric)
        statistics = scorer.statistics([r["prediction"] for r in rows], [r["answer"] for r in rows])
        estimate = estimate_corpus(statistics, scorer.score)
    return figure(estimate, info, chance_interval([2] * len(rows)) if metric == "acc" else None)


def write(
    directory: Path, tag: str, tasks: dict[str, Rows], *, suite: str = "core", weights: str = "", **changes: Any
) -> Path:
    """A result file and its items, as `smallm eval` writes them."""
    digest = sha256_bytes((weights or tag).encode())
    name = f"{tag}-{digest[:8]}-{suite}"
    directory.mkdir(parents=True, exist_ok=True)
    items = directory / f"{name}.items.parquet"
    pq.write_table(pa.Table.from_pylist([row for rows in tasks.values() for row in rows]), items)
    found = {}
    for task, rows in tasks.items():
        metric = rows[0]["metric"]
        found[task] = {
            "version": "0a1b2c3d", "kind": "choice", "items": len(rows), "clusters": len(rows), "primary": metric,
            "metrics": {metric: estimated(metric, rows)}, "marks": {},
            "contamination": {"checked": False, "items": None, "clean": None},
        }  # fmt: skip
    value = {
        "format": "smallm-eval-1",
        "model": {
            "name": f"runs/x/{tag}", "path": None, "weights_sha256": digest, "tokenizer_sha256": "a" * 64,
            "parameters": 3_000_000, "settings": {"dtype": "float32", "kind": "decoder"},
        },
        "suite": suite, "tasks": found, "results": {}, "items_file": items.name, "items_sha256": sha256_file(items),
        "limit": None,
    }  # fmt: skip
    for key, change in changes.items():
        value[key] = change(value[key]) if callable(change) else change
    write_json(directory / f"{name}.json", value)
    return directory / f"{name}.json"


def planted(seed: int, share: float, n: int = 300, difficulty: int = 0) -> list[float]:
    """0/1 scores of a model of this strength; the same `difficulty` makes the same items hard."""
    hard = np.random.default_rng(difficulty).random(n)
    return (hard + 0.15 * np.random.default_rng(seed).normal(0, 1, n) < share).astype(float).tolist()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Four tasks: better, worse, nothing to see, both guess."""
    size = np.random.default_rng(1).lognormal(6, 0.5, 60).round()
    bits = size * np.random.default_rng(2).normal(2, 0.2, 60)
    a = {
        "questions": rows_of("questions", planted(3, 0.6)),
        "sentiment": rows_of("sentiment", planted(11, 0.8)),
        "domains": rows_of("domains", bits, "bits_per_byte", weights=size),
        "agreement": rows_of("agreement", planted(5, 0.51, difficulty=9)),
    }
    b = {
        "questions": rows_of("questions", planted(6, 0.78)),
        "sentiment": rows_of("sentiment", planted(12, 0.8)),
        "domains": rows_of("domains", bits + 0.05 * size, "bits_per_byte", weights=size),
        "agreement": rows_of("agreement", planted(8, 0.5, difficulty=10)),
    }
    return write(tmp_path, "base", a), write(tmp_path, "tuned", b)


def by_task(comparison: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in comparison["tasks"]}


def test_planted_differences_get_their_verdicts(pair: tuple[Path, Path]):
    found = compare(*pair)
    assert {task: row["verdict"] for task, row in by_task(found).items()} == {
        "questions": "better",
        "sentiment": "no difference seen",
        "domains": "worse",
        "agreement": "both at chance",
    }
    overall = found["overall"]
    assert (overall["better"], overall["worse"], overall["unclear"], overall["at_chance"]) == (1, 1, 2, 1)
    assert overall["sentence"].startswith(
        "tuned is better than base on 1 of 4 tasks (questions), worse on 1 (domains); 1 shows no difference that "
        "300 items could tell apart (at least "
    )
    assert overall["sentence"].endswith(
        "points would be needed). On 1 task (agreement) both are at chance: guessing scores the same, so differences "
        "there mean nothing."
    )
    assert found["correction"] == "Holm over 4 tasks"


def test_a_comparison_holds_what_the_tests_say_of_the_items(pair: tuple[Path, Path]):
    row = by_task(compare(*pair))["questions"]
    (paired,) = compare_many([PairedScores(planted(3, 0.6), planted(6, 0.78), binary=True)])
    assert (row["difference"], row["low"], row["high"]) == (paired.difference, paired.low, paired.high)
    assert (row["a_only"], row["b_only"], row["test"]) == (paired.a_only, paired.b_only, "exact McNemar test")
    assert row["difference"] == pytest.approx(row["b"]["value"] - row["a"]["value"])
    assert row["p_value"] <= row["p_adjusted"] <= 4 * row["p_value"]


def test_exchanging_the_models_turns_every_sign(pair: tuple[Path, Path]):
    one, other = by_task(compare(*pair)), by_task(compare(*reversed(pair)))
    turned = {"better": "worse", "worse": "better"}
    for task, row in one.items():
        back = other[task]
        assert back["difference"] == pytest.approx(-row["difference"])
        assert back["p_adjusted"] == pytest.approx(row["p_adjusted"])
        assert back["verdict"] == turned.get(row["verdict"], row["verdict"])
        assert (back["a_only"], back["b_only"]) == (row["b_only"], row["a_only"])


def test_items_are_paired_by_what_they_are_and_not_by_where_they_stand(pair: tuple[Path, Path]):
    before = compare(*pair)
    path = pair[1].with_suffix(".items.parquet")
    table = pq.read_table(path)
    order = np.random.default_rng(0).permutation(table.num_rows)
    pq.write_table(table.take(pa.array(order)), path)
    value = read_json(pair[1])
    write_json(pair[1], value | {"items_sha256": sha256_file(path)})
    assert compare(*pair)["tasks"] == before["tasks"]


def test_flips_are_the_items_that_changed_sides(pair: tuple[Path, Path]):
    found = compare(*pair)
    a, b = planted(3, 0.6), planted(6, 0.78)
    wanted = [
        {
            "task": "questions", "item": sha256_bytes(f"questions {i}".encode())[:16],
            "from": "right" if x else "wrong", "to": "right" if y else "wrong",
        }
        for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y
    ]  # fmt: skip
    assert [flip for flip in found["flips"] if flip["task"] == "questions"] == wanted
    assert not [flip for flip in found["flips"] if flip["task"] == "domains"]
    for row in found["tasks"]:
        flips = [flip for flip in found["flips"] if flip["task"] == row["task"]]
        assert len(flips) == (row["a_only"] or 0) + (row["b_only"] or 0)


def test_a_model_against_itself_says_that_the_weights_are_the_same(pair: tuple[Path, Path]):
    found = compare(pair[0], pair[0])
    assert found["same_weights"]
    assert all(row["difference"] == 0 and row["p_adjusted"] == 1 for row in found["tasks"])
    assert found["overall"]["better"] == found["overall"]["worse"] == 0
    assert found["flips"] == []
    assert "are the same weights." in found["overall"]["sentence"]
    assert any("same weights" in note for note in found["notes"])


def test_settings_that_differ_are_said_aloud(pair: tuple[Path, Path]):
    value = read_json(pair[1])
    value["model"]["settings"] |= {"dtype": "bfloat16", "quantisation": "nf4", "device": "cuda"}
    value["model"]["tokenizer_sha256"] = "b" * 64
    write_json(pair[1], value)
    notes = compare(*pair)["notes"]
    assert "number format: float32 in base, bfloat16 in tuned" in notes
    assert "quantisation: none in base, nf4 in tuned" in notes
    assert any("different tokenizers" in note for note in notes)
    assert not any("cuda" in note for note in notes)


def test_a_task_of_one_side_is_listed_and_not_dropped(pair: tuple[Path, Path], tmp_path: Path):
    more = {"extra": rows_of("extra", planted(1, 0.5)), "questions": rows_of("questions", planted(6, 0.78))}
    other = write(tmp_path / "other", "tuned", more)
    found = compare(pair[0], other)
    assert [row["task"] for row in found["tasks"]] == ["questions"]
    assert [row["task"] for row in found["not_compared"]] == ["agreement", "domains", "extra", "sentiment"]
    assert found["not_compared"][2]["why"] == "only tuned has it (core); base was not evaluated on it"


def test_clusters_are_the_unit_where_items_share_a_passage(tmp_path: Path):
    a, b = np.zeros(60), np.r_[np.ones(12), np.zeros(48)]
    clusters = np.arange(60) // 6
    files = [
        write(tmp_path / name, name, {"stories": rows_of("stories", s, clusters=clusters)})
        for name, s in (("a", a), ("b", b))
    ]
    row = compare(*files)["tasks"][0]
    assert (row["clusters"], row["test"], row["p_value"]) == (10, "sign flips over 10 clusters, exact", 0.5)
    assert row["verdict"] == "no difference seen"


def test_macro_f1_and_bleu_are_compared_as_corpus_figures(tmp_path: Path):
    rng = np.random.default_rng(3)
    gold = rng.choice(3, 120, p=[0.5, 0.3, 0.2])
    said = [np.where(rng.random(120) < right, gold, rng.integers(0, 3, 120)) for right in (0.5, 0.9)]
    texts = [[" ".join(rng.choice(["a", "b", "c", "d"], 8)) for _ in range(50)]]
    texts += [[t if rng.random() < keep else "a b" for t in texts[0]] for keep in (0.4, 0.8)]
    files = []
    for side, name in enumerate(("a", "b")):
        labels = rows_of(
            "tone", (said[side] == gold).astype(float), "macro_f1", choices=[LABELS] * 120,
            answer=[[LABELS[g]] for g in gold], prediction=[LABELS[s] for s in said[side]],
            correct=(said[side] == gold).tolist(),
        )  # fmt: skip
        written = rows_of(
            "translate", [0.0] * 50, "bleu", choices=[[]] * 50, logprobs=[[]] * 50,
            answer=[[t] for t in texts[0]], prediction=texts[1 + side],
        )  # fmt: skip
        files.append(write(tmp_path / name, name, {"tone": labels, "translate": written}))
    found = by_task(compare(*files))
    f1 = [f1_score(gold, s, average="macro") for s in said]
    assert found["tone"]["difference"] == pytest.approx(f1[1] - f1[0])
    assert found["tone"]["b_only"] == int(((said[1] == gold) & (said[0] != gold)).sum())
    for row in found.values():
        assert row["difference"] == pytest.approx(row["b"]["value"] - row["a"]["value"])
        assert row["verdict"] == "better"
        assert row["test"].startswith("sign flips over")
    assert found["translate"]["a_only"] is None
    assert found["translate"]["length"]["a"] < found["translate"]["length"]["b"]


def test_answers_that_became_longer_are_noted(pair: tuple[Path, Path]):
    found = compare(*pair)
    row = by_task(found)["questions"]
    assert row["length"]["a"] > row["length"]["b"]  # "never, ever" where wrong, "yes" where right
    assert any(
        note.startswith(
            "questions: the answers have 6.5 characters on average in base, 5.5 in tuned, the right ones 3.0"
        )
        for note in found["notes"]
    )


# ---- refusals ------------------------------------------------------------------------------------------------------


def change_items(path: Path, change: Callable[[Rows], Rows]) -> None:
    """Rewrite the items of a result, whose JSON then belongs to them."""
    items = path.with_suffix(".items.parquet")
    table = pq.read_table(items)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), items)
    write_json(path, read_json(path) | {"items_sha256": sha256_file(items)})


def change_task(path: Path, task: str, **values: Any) -> None:
    value = read_json(path)
    value["tasks"][task] |= values
    write_json(path, value)


def test_another_version_of_a_task_is_refused_with_the_reason(pair: tuple[Path, Path]):
    change_task(pair[1], "questions", version="ffffffff")
    change_task(pair[1], "sentiment", version="eeeeeeee")
    value = read_json(pair[1])
    write_json(pair[1], value | {"n-shot": {"questions": 5}, "configs": {"sentiment": {"chat": True}}})
    write_json(pair[0], read_json(pair[0]) | {"n-shot": {"questions": 0}, "configs": {}})
    with pytest.raises(UserError) as error:
        compare(*pair)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["questions", "sentiment"]
    assert "version 0a1b2c3d" in lines[0]
    assert "version ffffffff" in lines[0]
    assert "0 examples before each question here, 5 there" in lines[0]
    assert "one through the chat template, one not" in lines[1]


def test_other_items_are_refused_and_the_first_three_named(pair: tuple[Path, Path]):
    change_items(pair[1], lambda rows: [r for r in rows if r["task"] != "questions" or int(r["cluster"]) >= 5])
    write_json(pair[1], read_json(pair[1]) | {"limit": 295})
    lost = sorted(sha256_bytes(f"questions {i}".encode())[:16] for i in range(5))
    with pytest.raises(UserError) as error:
        compare(*pair)
    text = str(error.value)
    assert text.startswith(f"questions: 5 items are in {pair[0]} alone ({', '.join(lost[:3])}, …).")
    assert "--limit was None and 295" in text


def test_another_metric_is_refused(pair: tuple[Path, Path]):
    change_task(pair[1], "questions", primary="acc_norm", metrics={"acc_norm": {}})
    with pytest.raises(UserError, match=r"questions: its figure is acc in .* and acc_norm in"):
        compare(*pair)


@pytest.mark.parametrize(("column", "value"), [("score", float("nan")), ("score", None), ("weight", float("inf"))])
def test_a_score_that_is_no_number_is_refused_and_its_item_named(
    pair: tuple[Path, Path], column: str, value: float | None
):
    change_items(pair[1], lambda rows: [{**r, column: value} if i == 7 else r for i, r in enumerate(rows)])
    item = sha256_bytes(b"questions 7")[:16]
    with pytest.raises(UserError, match=rf"questions, item {item}: its {column} is"):
        compare(*pair)


def test_an_item_that_is_there_twice_is_refused(pair: tuple[Path, Path]):
    change_items(pair[1], lambda rows: [*rows, rows[4]])
    with pytest.raises(UserError, match=r"questions, item [0-9a-f]{16} is there twice"):
        compare(*pair)


def test_items_of_another_run_are_refused(pair: tuple[Path, Path]):
    items = pair[1].with_suffix(".items.parquet")
    pq.write_table(pq.read_table(items).slice(1), items)
    with pytest.raises(UserError, match="belongs to another run"):
        compare(*pair)


def test_a_damaged_result_is_refused(pair: tuple[Path, Path]):
    change_task(pair[1], "questions", metrics={})
    with pytest.raises(UserError, match="questions has no figure of its primary metric"):
        compare(*pair)


def test_a_metric_without_item_scores_is_listed_and_refused_alone(pair: tuple[Path, Path], tmp_path: Path):
    for path in pair:
        change_task(path, "domains", primary="evaluate:rouge", metrics={"evaluate:rouge": {"value": 0.5}})
    found = compare(*pair)
    assert [row["task"] for row in found["tasks"]] == ["agreement", "questions", "sentiment"]
    why = "evaluate:rouge has no item scores that could be paired"
    assert found["not_compared"] == [{"task": "domains", "why": why}]
    for path in pair:
        value = read_json(path)
        write_json(path, value | {"tasks": {"domains": value["tasks"]["domains"]}})
    with pytest.raises(UserError, match=f"domains: {why}"):
        compare(*pair)


def test_files_of_two_models_are_no_side(pair: tuple[Path, Path]):
    with pytest.raises(UserError, match="different weights on one side"):
        compare(list(pair), pair[1])


def test_no_common_task_is_refused_with_what_there_is(pair: tuple[Path, Path], tmp_path: Path):
    other = write(tmp_path / "x", "tuned", {"extra": rows_of("extra", [1.0, 0.0])}, suite="german")
    with pytest.raises(UserError, match=r"base has core; tuned has german"):
        compare(pair[0], other)


def test_held_out_documents_that_differ_are_listed_where_there_is_more_to_compare(tmp_path: Path):
    files = []
    for name, n in (("a", 30), ("b", 40)):
        documents = rows_of("held-out", [900.0 + i for i in range(n)], "bits_per_byte", weights=[500.0] * n)
        files.append(
            [
                write(tmp_path / name, "base", {"held-out": documents}, suite="held-out", weights=name),
                write(tmp_path / name, "base", {"q": rows_of("q", planted(1, 0.6))}, weights=name),
            ]
        )
    found = compare(*files)
    assert [row["task"] for row in found["tasks"]] == ["q"]
    assert found["not_compared"][0]["task"] == "held-out"
    assert "10 items are in" in found["not_compared"][0]["why"]
    with pytest.raises(UserError, match="held-out: 10 items are in"):
        compare(files[0][0], files[1][0])


# ---- verdicts and words --------------------------------------------------------------------------------------------


def test_two_guessers_are_never_called_better_or_worse():
    info, guess, knows = metric_info("acc"), {"at_chance": True}, {"at_chance": False}
    assert verdict(0.1, 0.001, [guess, guess], info) == "both at chance"
    assert verdict(0.1, 0.001, [guess, knows], info) == "better"
    assert verdict(0.1, 0.2, [guess, knows], info) == "no difference seen"
    assert verdict(0.1, 0.001, [knows, knows], metric_info("bits_per_byte")) == "worse"


def row(task: str, verdict: str, metric: str = "acc", difference: float = 0.1, mde: float | None = 0.051) -> Any:
    return {
        "task": task, "metric": metric, "verdict": verdict, "difference": difference, "standard_error": 0.02,
        "low": difference - 0.04, "high": difference + 0.04, "minimum_detectable": mde, "items": 200,
    }  # fmt: skip


SAME, BETTER, WORSE, CHANCE = "no difference seen", "better", "worse", "both at chance"
SENTENCES = [
    (
        [row("w", BETTER), row("x", BETTER), row("y", SAME), row("z", SAME, mde=0.083)],
        "b is better than a on 2 of 4 tasks (w and x), worse on none; 2 show no difference that 200 items could tell "
        "apart (at least 5.1 to 8.3 points would be needed).",
    ),
    (
        [row("w", WORSE, difference=-0.1), row("x", SAME, "bits_per_byte", mde=0.0123)],
        "b is worse than a on 1 of 2 tasks (w); 1 shows no difference that 200 items could tell apart (at least 0.0123 "
        "bits per byte would be needed).",
    ),
    (
        [row("w", SAME), row("x", SAME)],
        "No difference between a and b was seen on any of the 2 tasks with 200 items (at least 5.1 points would be "
        "needed).",
    ),
    (
        [row("w", CHANCE), row("x", CHANCE)],
        "On 2 tasks (w and x) both are at chance: guessing scores the same, so differences there mean nothing.",
    ),
    ([row("w", BETTER)], "b is better than a on w by 10.0 points (95 % interval 6.0 to 14.0 points)."),
    ([row("w", SAME, mde=None)], "No difference between a and b was seen on w with 200 items."),
]


@pytest.mark.parametrize(("rows", "said"), SENTENCES, ids=range(len(SENTENCES)))
def test_the_sentence_says_it_in_plain_words(rows: list[Any], said: str):
    assert sentence("a", "b", rows, same_weights=False) == said


def test_amounts_are_said_in_the_metrics_units():
    assert amount("acc", 0.051) == "5.1 points"
    assert amount("bleu", 1.25) == "1.2 points"
    assert amount("acc", 0.0002) == "0.02 points"
    assert amount("bits_per_byte", 0.01234) == "0.0123 bits per byte"


# ---- the verb ------------------------------------------------------------------------------------------------------


def make_run(directory: Path, name: str, scores: list[float], *, suite: str = "smallm") -> Path:
    """A run with a model of four bytes and a result of it."""
    base = directory / name / "base"
    base.mkdir(parents=True)
    (directory / name / "recipe.yaml").write_text(f"name: {name}\n")
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(name.encode())
    write(directory / name / "eval", "base", {"q": rows_of("q", scores)}, suite=suite, weights=name)
    return directory / name


def test_two_runs_are_compared_under_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    make_run(tmp_path, "half", planted(3, 0.6))
    run = make_run(tmp_path, "full", planted(6, 0.78))
    monkeypatch.chdir(tmp_path)
    verb.compare_command("half", "full/base")
    out, said = capsys.readouterr()
    file = run / "eval" / "compare-half-full.json"
    assert out.split() == ["full/eval/compare-half-full.json", "full/eval/compare-half-full.html"]
    validate(file, run)
    assert "full is better than half on q by" in said
    assert "▲ better" in said
    assert max(map(len, said.splitlines())) <= 100
    page = file.with_suffix(".html").read_text("utf-8")
    assert read_json(file)["overall"]["sentence"][:30] in page
    assert read_json(file)["flips"]


def test_json_goes_to_stdout_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [make_run(tmp_path, name, planted(i, 0.6)) for i, name in enumerate(("x", "y"))]
    verb.compare_command(*map(str, runs), as_json=True, out=tmp_path / "out")
    value = json.loads(capsys.readouterr().out)
    assert value["file"] == str(tmp_path / "out" / "compare-x-y.json")
    assert value["tasks"] == read_json(Path(value["file"]))["tasks"]


def test_missing_results_name_the_command_that_makes_them(tmp_path: Path):
    have = make_run(tmp_path, "have", planted(1, 0.6), suite="core-blimp+piqa-limit100-5shot")
    lack = make_run(tmp_path, "lack", planted(1, 0.6))
    shutil.rmtree(lack / "eval")
    with pytest.raises(UserError) as error:
        verb.compare_command(str(have), str(lack))
    wanted = f"smallm eval {lack} --suite core --task blimp --task piqa --limit 100 --shots 5"
    assert str(error.value).splitlines()[:2] == ["nothing to compare yet. Run:", f"  {wanted}"]
    with pytest.raises(UserError, match=rf"smallm eval {have} --suite german\n  smallm eval {lack} --suite german\n"):
        verb.compare_command(str(have), str(lack), suite="german")


def test_results_of_weights_that_are_no_more_do_not_count(tmp_path: Path):
    runs = [make_run(tmp_path, name, planted(1, 0.6)) for name in ("x", "y")]
    (runs[1] / "base" / "model.safetensors").write_bytes(b"trained further")
    with pytest.raises(UserError, match=r"other results there: base-[0-9a-f]{8}-smallm\.json"):
        verb.compare_command(*map(str, runs))


def test_a_quantised_result_is_compared_by_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path, "x", planted(3, 0.6))
    file = write(run / "eval", "base-4bit", {"q": rows_of("q", planted(4, 0.6))}, suite="smallm", weights="x")
    verb.compare_command(str(run), str(file))
    assert (run / "eval" / "compare-base-base-4bit.json").is_file()
    assert "base and base-4bit are the same weights." in " ".join(capsys.readouterr().err.split())


def test_a_suite_that_only_one_was_evaluated_on_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [make_run(tmp_path, name, planted(1, 0.6)) for name in ("x", "y")]
    write(runs[0] / "eval", "base", {"z": rows_of("z", [1.0, 0.0])}, suite="german", weights="x")
    verb.compare_command(*map(str, runs))
    assert f"{runs[1]} has no result on suite german: `smallm eval {runs[1]} --suite german`" in " ".join(
        capsys.readouterr().err.split()
    )


def test_missing_results_are_made_when_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    have = make_run(tmp_path, "have", planted(1, 0.6), suite="smallm-limit300")
    lack = make_run(tmp_path, "lack", planted(1, 0.6))
    shutil.rmtree(lack / "eval")
    asked = []

    def evaluate(model: str, **options: Any) -> None:
        asked.append((model, options))
        write(lack / "eval", "base", {"q": rows_of("q", planted(2, 0.6))}, suite="smallm-limit300", weights="lack")

    monkeypatch.setattr("smallm.commands.evaluate.eval_command", evaluate)
    verb.compare_command(str(have), str(lack), run_missing=True, data=["here"])
    (model, options), = asked  # fmt: skip
    assert model == str(lack)
    assert (options["suites"], options["limit"], options["shots"], options["data"]) == (["smallm"], 300, None, ["here"])
    assert (lack / "eval" / "compare-have-lack.json").is_file()


def test_what_is_no_result_is_refused(tmp_path: Path):
    path = tmp_path / "x.json"
    with pytest.raises(UserError, match="cannot be read"):
        compare(path, path)
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        compare(path, path)
    path.write_text("{}")
    with pytest.raises(UserError, match="not a result of smallm"):
        compare(path, path)
