"""Tasks of lm-eval from local YAML through our scorer: the figures of `hf`, our items and statistics, clean JSON."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_models import hf_model, our_model, save_tiny

from smallm.core.errors import UserError
from smallm.core.formats import validate
from smallm.evaluate.cache import ScoreCache
from smallm.evaluate.harness_json import _clean
from smallm.evaluate.harness_run import HarnessResult, run_harness
from smallm.evaluate.results import ModelFacts, read_items, read_result, write_result
from smallm.evaluate.run_tasks import TaskResult

PASSAGE = "A long passage about a river and a town by the river, which two questions share between them."
CAPITALS = [
    {"q": "Capital of France?", "options": ["Paris", "Rome", "Bern"], "gold": 0, "passage": PASSAGE},
    {"q": "Capital of Italy?", "options": ["Paris", "Rome", "Bern"], "gold": 1, "passage": PASSAGE},
    {"q": "Capital of Spain?", "options": ["Oslo", "Madrid"], "gold": 1, "passage": "Short."},
    {"q": "Capital of Norway?", "options": ["Oslo", "Madrid"], "gold": 0, "passage": "Short."},
    {"q": "Capital of Norway?", "options": ["Oslo", "Madrid"], "gold": 0, "passage": "Short."},
]
TWINS = [
    {"which": i % 2, "options": [f"The {a} beat the {b} so the {c}" for c in (a, b)], "end": "was glad."}
    for i, (a, b) in enumerate([("cat", "dog"), ("red team", "blue team"), ("sun", "moon")])
]
TEXTS = [{"text": "One short text."}, {"text": "Another, with é and 你好.\n\n" * 40}, {"text": "and a third"}]
WORDS = [{"context": "The sky is", "word": "blue"}, {"context": "Two and two is", "word": "four"}]
MEANS = "aggregation: mean, higher_is_better: true"
YAMLS = {
    "capitals": f"""
output_type: multiple_choice
test_split: test
fewshot_split: test
doc_to_text: "Question: {{{{q}}}}\\nAnswer:"
doc_to_choice: options
doc_to_target: gold
metric_list: [{{metric: acc, {MEANS}}}, {{metric: acc_norm, {MEANS}}}]
""",
    "twins": f"""
output_type: multiple_choice
test_split: test
doc_to_text: which
doc_to_choice: options
doc_to_target: end
metric_list: [{{metric: acc, {MEANS}}}]
""",
    "mutual": f"""
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_choice: options
doc_to_target: gold
metric_list: [{{metric: acc, {MEANS}}}, {{metric: acc_mutual_info, {MEANS}}}]
""",
    "words": f"""
output_type: loglikelihood
test_split: test
doc_to_text: context
doc_to_target: " {{{{word}}}}"
metric_list: [{{metric: perplexity, aggregation: perplexity, higher_is_better: false}}, {{metric: acc, {MEANS}}}]
""",
    "texts": """
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: text
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "answers": f"""
output_type: generate_until
test_split: test
doc_to_text: context
doc_to_target: word
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match, {MEANS}}}, {{metric: bleu, aggregation: bleu, higher_is_better: true}}]
filter_list:
  - {{name: first-word, filter: [{{function: regex, regex_pattern: "(\\\\S+)"}}, {{function: take_first}}]}}
  - {{name: whole, filter: [{{function: take_first}}]}}
""",
}
DATA = {"capitals": CAPITALS, "mutual": CAPITALS, "twins": TWINS, "texts": TEXTS, "words": WORDS, "answers": WORDS}
NAMES = list(YAMLS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, text in YAMLS.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in DATA[name]))
        where = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        (folder / f"{name}.yaml").write_text(where + text)
    group = "group: both\ntask: [capitals, twins]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    (folder / "both.yaml").write_text(group)
    return folder


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]) -> Path:
    return save_tiny(tmp_path_factory.mktemp("gpt2"), shared_data("tokenizers"), context=64)


@pytest.fixture(scope="module")
def scorer(directory: Path) -> Any:
    return our_model(directory).scorer


@pytest.fixture(scope="module")
def found(scorer: Any, folder: Path) -> HarnessResult:
    return run_harness(scorer, NAMES, include_path=folder)


@pytest.fixture(scope="module")
def theirs(directory: Path, folder: Path) -> Any:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(
        model=hf_model(directory, logits_cache=False), tasks=NAMES, task_manager=manager, bootstrap_iters=0
    )


def by_name(result: HarnessResult) -> dict[str, TaskResult]:
    return {part.task.name: part for part in result.results}


# ---- equality ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_that_of_hf_in_lm_evals_own_run(name: str, found: HarnessResult, theirs: Any) -> None:
    ours = found.json["results"][name]
    for key, value in theirs["results"][name].items():
        if isinstance(value, float) and "_stderr" not in key:
            assert ours[key] == pytest.approx(value, rel=1e-5), key
        elif "_stderr" not in key:
            assert ours[key] == value, key
    for part in ("versions", "n-shot", "higher_is_better", "n-samples"):
        assert found.json[part][name] == theirs[part][name]
    hashes = [row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in theirs["samples"][name]]
    from lm_eval.utils import hash_string

    assert found.json["task_hashes"][name] == hash_string("".join(hashes))


@pytest.mark.parametrize("name", ["capitals", "twins", "words"])
def test_every_item_has_the_log_likelihoods_of_hf(name: str, found: HarnessResult, theirs: Any) -> None:
    records = by_name(found)[name].records
    rows = sorted(theirs["samples"][name], key=lambda row: row["doc_id"])
    for record, row in zip(records, rows, strict=True):
        assert record.logprobs == pytest.approx([answers[0][0] for answers in row["resps"]], abs=1e-4)
        assert record.values["acc"] == row["acc"]
        assert record.correct == bool(row["acc"])


def test_standard_errors_of_means_are_lm_evals(directory: Path, folder: Path, found: HarnessResult) -> None:
    from lm_eval.api.metrics import mean_stderr

    accuracies = [record.values["acc"] for record in by_name(found)["capitals"].records]
    assert found.json["results"]["capitals"]["acc_stderr,none"] == pytest.approx(mean_stderr(accuracies))


def test_few_shot_examples_are_the_ones_that_lm_eval_draws(scorer: Any, directory: Path, folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    result = run_harness(scorer, ["capitals"], include_path=folder, num_fewshot=2, limit=3)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    their = simple_evaluate(
        model=hf_model(directory), tasks=["capitals"], task_manager=manager, num_fewshot=2, limit=3, bootstrap_iters=0
    )
    assert their is not None
    prompts = [row["arguments"][0][0] for row in their["samples"]["capitals"]]
    assert [record.item.prompt for record in by_name(result)["capitals"].records] == prompts
    assert prompts[0].count("Answer:") == 3
    assert result.json["n-shot"] == {"capitals": 2}


# ---- items ---------------------------------------------------------------------------------------------------------


def test_a_choice_keeps_its_words_its_answer_and_its_passage(found: HarnessResult) -> None:
    result = by_name(found)["capitals"]
    first, second, third, *_ = (record.item for record in result.records)
    assert (first.prompt, first.choices, first.answer) == (
        "Question: Capital of France?\nAnswer:",
        ("Paris", "Rome", "Bern"),
        ("Paris",),
    )
    assert first.cluster == second.cluster != third.cluster  # a shared passage; a short field is none
    assert result.summary.clusters == 4
    repeat = result.records[4].item
    assert repeat.id == result.records[3].item.id + "-2"
    assert result.summary.metrics["acc"]["chance"] == pytest.approx((1 / 3 * 2 + 1 / 2 * 3) / 5)


def test_contexts_that_one_continuation_follows_are_the_choices(found: HarnessResult) -> None:
    record = by_name(found)["twins"].records[1]
    assert record.item.choices == tuple(TWINS[1]["options"])
    assert record.item.continuation == " was glad."
    assert record.item.gold == 1


def test_the_unconditional_requests_of_mutual_information_are_no_choices(found: HarnessResult) -> None:
    record = by_name(found)["mutual"].records[0]
    assert len(record.logprobs) == len(record.item.choices) == 3
    assert record.values["acc_mutual_info"] in (0.0, 1.0)


def test_a_generation_is_judged_by_its_first_filter_and_keeps_the_others_in_columns(
    found: HarnessResult,
) -> None:
    result = by_name(found)["answers"]
    for record in result.records:
        assert " " not in record.prediction
        assert record.item.answer in (("blue",), ("four",))
        assert record.values["exact_match,whole"] in (0.0, 1.0)
        assert record.correct == bool(record.values["exact_match"])
    assert result.task.primary == "exact_match"


def test_text_that_is_rolled_counts_its_bytes(found: HarnessResult) -> None:
    result = by_name(found)["texts"]
    assert [record.item.bytes for record in result.records] == [len(row["text"].encode()) for row in TEXTS]
    figure = result.summary.metrics["bits_per_byte"]["value"]
    assert figure == pytest.approx(found.json["results"]["texts"]["bits_per_byte,none"], rel=1e-9)
    assert result.records[1].marks == ("windows",)


def test_results_and_items_are_files_in_our_formats(found: HarnessResult, scorer: Any, tmp_path: Path) -> None:
    facts = ModelFacts("tiny", None, scorer.weights_sha256, scorer.tokenizer_sha256, scorer.parameters, scorer.settings)
    path = write_result(tmp_path / "eval", "tiny", "lm-eval", facts, found.results)
    for file in (tmp_path / "eval").iterdir():
        validate(file, tmp_path)
    table = read_items(path).to_pylist()
    assert len(table) == sum(len(part.records) for part in found.results)
    assert set(read_result(path)["tasks"]) == set(NAMES)


def test_the_same_items_have_the_same_version_and_other_shots_another(scorer: Any, folder: Path) -> None:
    versions = [
        run_harness(scorer, ["capitals"], include_path=folder, num_fewshot=shots).results[0].task.version
        for shots in (None, None, 1)
    ]
    assert versions[0] == versions[1] != versions[2]


# ---- the JSON ------------------------------------------------------------------------------------------------------


def test_no_path_of_this_machine_gets_into_the_json(found: HarnessResult, folder: Path, directory: Path) -> None:
    text = json.dumps(found.json, allow_nan=False)
    assert str(folder) not in text
    assert str(directory) not in text
    assert str(Path.home()) + "/" not in text
    configs = found.json["configs"]["capitals"]
    assert configs["dataset_kwargs"] == {"data_files": {"test": "capitals.jsonl"}}
    assert configs["metadata"]["config_source"] == "capitals.yaml"
    assert found.json["config"]["model_sha"]


def test_secrets_are_removed_and_templates_are_left_alone() -> None:
    given = {
        "dataset_kwargs": {"token": "hf_abc", "data_files": ["s3://u:p@host/x.json", "C:\\data\\x.json"]},
        "use_auth_token": "x", "doc_to_text": "/{{a}}/b", "tokenizer_sha": "ab12", "trust": True,
        "config_source": "/usr/lib/python3/site-packages/lm_eval/tasks/arc/arc_easy.yaml",
    }  # fmt: skip
    assert _clean(given) == {
        "dataset_kwargs": {"token": "(removed)", "data_files": ["s3://host/x.json", "x.json"]},
        "use_auth_token": "(removed)", "doc_to_text": "/{{a}}/b", "tokenizer_sha": "ab12", "trust": True,
        "config_source": "lm_eval/tasks/arc/arc_easy.yaml",
    }  # fmt: skip


def test_groups_keep_lm_evals_aggregate(scorer: Any, folder: Path) -> None:
    result = run_harness(scorer, ["both"], include_path=folder)
    records = [record for part in result.results for record in part.records]
    whole = sum(record.values["acc"] for record in records) / len(records)
    assert result.json["groups"]["both"]["acc,none"] == pytest.approx(whole)
    assert result.json["group_subtasks"]["both"] == ["capitals", "twins"]


# ---- manners -------------------------------------------------------------------------------------------------------


def test_nothing_is_printed_and_seeds_loggers_and_bars_are_as_before(
    scorer: Any, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import datasets
    import lm_eval.api.task as task

    def states() -> Any:
        return random.getstate(), torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()

    before = states()
    level, bar = logging.getLogger("lm_eval").level, task.tqdm
    run_harness(scorer, ["capitals", "answers"], include_path=folder)
    assert states() == before
    assert (logging.getLogger("lm_eval").level, task.tqdm) == (level, bar)
    assert not datasets.are_progress_bars_disabled()
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""


def test_a_cache_answers_the_second_run_and_not_another_model(
    scorer: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ScoreCache(tmp_path)
    first = run_harness(scorer, NAMES, include_path=folder, cache=cache)
    with monkeypatch.context() as patched:
        for method in ("loglikelihoods", "rolling", "generate"):
            patched.setattr(scorer, method, lambda *_, **__: pytest.fail("asked again"))
        again = run_harness(scorer, NAMES, include_path=folder, cache=cache)
        assert [part.records for part in again.results] == [part.records for part in first.results]
        patched.setattr(scorer, "weights_sha256", "f" * 64)
        with pytest.raises(BaseException, match="asked again"):
            run_harness(scorer, ["words"], include_path=folder, cache=cache)


def test_without_samples_the_json_is_whole(scorer: Any, folder: Path, found: HarnessResult) -> None:
    bare = run_harness(scorer, ["words"], include_path=folder, log_samples=False)
    assert bare.results == ()
    assert bare.json["results"]["words"] == found.json["results"]["words"]


# ---- bad input -----------------------------------------------------------------------------------------------------


def test_a_data_set_that_cannot_be_had_is_named_with_the_way_round(
    scorer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "far.yaml").write_text("task: far\ndataset_path: someone/far_away\noutput_type: multiple_choice\n"
                                       "test_split: test\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: 0\n"
                                       f"metric_list: [{{metric: acc, {MEANS}}}]\n")  # fmt: skip
    with pytest.raises(UserError, match=r"(?s)far: its data set someone/far_away cannot be had.*include_path"):
        run_harness(scorer, ["far"], include_path=tmp_path)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("capitals.jsonl", "missing.jsonl"), "its local data cannot be read"),
        (("{{q}}", "{{question}}"), "'question' is undefined"),
        (("doc_to_choice: options", "doc_to_choice: q"), "not a list of choices"),
        (("doc_to_target: gold", "doc_to_target: '{{gold'"), "definition and its data disagree"),
        (("output_type: multiple_choice", "output_type: multiple_choice\nunsafe_code: true"), "runs none"),
    ],
)
def test_a_broken_task_file_is_told_as_such(
    edit: tuple[str, str], words: str, scorer: Any, folder: Path, tmp_path: Path
) -> None:
    text = (folder / "capitals.yaml").read_text()
    assert edit[0] in text
    (tmp_path / "broken.yaml").write_text(text.replace(*edit).replace("task: capitals", "task: broken"))
    with pytest.raises(UserError, match=words):
        run_harness(scorer, ["broken"], include_path=tmp_path)


@pytest.mark.slow  # lm-eval reads its thousands of task files
def test_an_unknown_name_is_refused_with_the_nearest(scorer: Any, folder: Path) -> None:
    with pytest.raises(UserError, match=r"capitls: lm-eval has no task.*capitals"):
        run_harness(scorer, ["capitls"], include_path=folder)


@pytest.mark.parametrize(("options", "words"), [({"limit": 0}, "above 0"), ({"include_path": "nowhere"}, "directory")])
def test_senseless_options_are_refused(options: dict[str, Any], words: str, scorer: Any, folder: Path) -> None:
    with pytest.raises(UserError, match=words):
        run_harness(scorer, ["capitals"], **{"include_path": folder, **options})
    with pytest.raises(UserError, match="No task"):
        run_harness(scorer, [])
