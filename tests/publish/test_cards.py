"""Cards: metadata that the Hub's own classes read, text that no name can break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from publish.fake_run import WEIGHTS, fake_run
from publish.fake_tasks import fake_results

from smallm.core.files import read_json, write_json
from smallm.publish import words
from smallm.publish.cards import python_string, shell_string, write_cards
from smallm.publish.report import markdown_block, markdown_text

HOSTILE = "---\nlicense: mit\n# | `x` <script>alert(1)</script> {{ 7*7 }} [a](b) \"quoted': \\ ``` \n---\n"


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cards")
    recipe, run = fake_run(path)
    write_cards(recipe, run)
    return path


def test_the_model_card_parses_with_the_hubs_classes(cards: Path):
    data = ModelCard.load(cards / "base" / "README.md").data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-generation"
    assert data.license == "other"
    assert data.language == ["en"]
    results = {r.metric_type: r for r in data.eval_results or []}
    assert results["bits_per_byte"].metric_value == pytest.approx(0.612)
    assert results["bits_per_byte"].dataset_split == "validation"
    assert set(results) == {"bits_per_byte", "perplexity"}


def test_the_evaluation_entries_parse_with_the_hubs_class(cards: Path):
    rows = yaml.safe_load((cards / "base" / ".eval_results" / "smallm.yaml").read_text("utf-8"))
    (entry,) = parse_eval_result_entries(rows)
    assert (entry.dataset_id, entry.task_id, entry.value) == ("quickstart", "bits_per_byte", pytest.approx(0.612))


def test_task_figures_reach_both_forms_of_metadata_with_their_errors_and_chance(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path)
    write_cards(recipe, run)
    tasks = read_json(paths["base"])["tasks"]
    card = ModelCard.load(tmp_path / "base" / "README.md")
    results = {r.dataset_type: r for r in card.data.eval_results or []}
    rows = yaml.safe_load((tmp_path / "base" / ".eval_results" / "smallm.yaml").read_text("utf-8"))
    entries = {e.dataset_id: e for e in parse_eval_result_entries(rows)}
    for name, task in tasks.items():
        figure = task["metrics"][task["primary"]]
        assert results[f"core-{name}"].metric_value == pytest.approx(figure["value"], abs=1e-6)
        assert entries[f"core-{name}"].task_id == task["primary"]
        assert f"standard error {figure['standard_error']:.4f}" in (entries[f"core-{name}"].notes or "")
        assert name.replace("_", "\\_") in card.text
    assert "chance 0.2500: at chance" in (entries["core-arc_easy"].notes or "")
    assert "64.8 ± 2.4 %" in card.text
    assert card.text.count("**at chance**") == 1
    assert "**contaminated:** 12 of 300" in card.text
    assert "arc\\_easy): the score there cannot be told from guessing" in card.text


def test_the_same_task_of_two_results_is_published_once(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path)
    write_json(paths["base"].with_name(f"base-{WEIGHTS[:8]}-core-limit9.json"), read_json(paths["base"]) | {"limit": 9})
    write_cards(recipe, run)
    rows = yaml.safe_load((tmp_path / "base" / ".eval_results" / "smallm.yaml").read_text("utf-8"))
    assert len({(r["dataset"]["id"], r["dataset"]["task_id"]) for r in rows}) == len(rows) == 8
    assert not any("at most 9 items" in r["notes"] for r in rows)


def test_scores_of_quantised_weights_are_not_published_as_the_models(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    paths = fake_results(tmp_path)
    result = read_json(paths["base"])
    result["model"]["settings"]["quantisation"] = "nf4"
    write_json(paths["base"], result)
    write_cards(recipe, run)
    card = ModelCard.load(tmp_path / "base" / "README.md")
    assert not any("core" in r.dataset_type for r in card.data.eval_results or [])
    assert "Suite core (float32, nf4)" in card.text


def test_the_data_card_parses_with_the_hubs_classes_and_opens_as_a_dataset(cards: Path):
    card = DatasetCard.load(cards / "data" / "README.md")
    assert card.data.size_categories == ["1K<n<10K"]
    assert card.data.license == "other"
    assert {f["split"] for f in card.data.to_dict()["configs"][0]["data_files"]} == {"train", "validation"}
    for text in ("apache-2.0", "PSF-2.0", "1,140", "duplicate", "3.70"):
        assert text in card.text


def test_before_training_the_card_says_not_measured(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    for name in ("tokenizer/report.json", "base/smallm.json", "tokens/base/manifest.json"):
        (tmp_path / name).unlink()
    assert write_cards(recipe, run) == [tmp_path / "data" / "README.md"]
    assert "Bytes per token: not measured" in (tmp_path / "data" / "README.md").read_text("utf-8")


def test_a_model_that_was_not_evaluated_says_so_and_claims_no_result(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    write_cards(recipe, run)
    (tmp_path / "eval" / f"base-{WEIGHTS[:8]}.json").unlink()
    write_cards(recipe, run)
    card = ModelCard.load(tmp_path / "base" / "README.md")
    assert card.data.eval_results is None
    assert "not measured" in card.text
    assert not (tmp_path / "base" / ".eval_results" / "smallm.yaml").exists()


def test_a_users_files_without_a_licence_are_of_unknown_licence_and_language(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    manifest = read_json(tmp_path / "data" / "manifest.json")
    manifest["sources"][0] |= {"kind": "path", "spec": "letters.txt"}
    write_json(tmp_path / "data" / "manifest.json", manifest)
    write_cards(recipe, run)
    card = DatasetCard.load(tmp_path / "data" / "README.md")
    assert (card.data.license, card.data.language) == ("unknown", ["und"])
    assert "not stated" in card.text


def test_a_model_of_no_family_is_said_to_open_with_smallm_alone(tmp_path: Path):
    recipe, run = fake_run(tmp_path)
    (tmp_path / "base" / "config.json").unlink()
    write_cards(recipe, run)
    card = ModelCard.load(tmp_path / "base" / "README.md")
    assert card.data.library_name == "smallm"
    assert "Only smallm opens this model" in card.text
    assert "AutoModelForCausalLM" not in card.text


def test_hostile_names_and_texts_break_neither_metadata_nor_tables(tmp_path: Path):
    recipe, run = fake_run(tmp_path, stories=f"s | {HOSTILE}", python_docs="p\n---\nlicense: mit", hostile=HOSTILE)
    write_cards(recipe, run)
    for name in ("data/README.md", "base/README.md"):
        text = (tmp_path / name).read_text("utf-8")
        metadata, body = re.match(r"---\n(.*?\n)---\n(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        assert yaml.safe_load(metadata)["license"] == "other"
        assert "<script>" not in body
        assert "{{" not in body
        assert "49" not in re.findall(r"\d+", body.split("## Samples")[-1])
        assert not re.search(r"^---$", body, re.MULTILINE)
        assert body.count("```") % 2 == 0
        for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}
            assert len(columns) == 1, table


@given(st.text())
def test_escaped_text_stays_on_its_line_and_opens_no_markup(text: str):
    escaped = markdown_text(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|<>#]", escaped)
    assert all(line.startswith(">") for line in markdown_block(text).split("\n"))


@given(st.text(min_size=1))
def test_prompts_in_code_are_whole_literals_and_cannot_close_the_fence(text: str):
    assert eval(python_string(text)) == text
    assert "`" not in python_string(text)
    assert "`" not in shell_string(text)
    assert len(shell_string(text).split("\n")) == 1


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["MIT", "apache-2.0", "CC0-1.0", "my own", None]), min_size=1, max_size=3))
def test_the_licence_of_a_mixture_is_never_better_than_its_parts(licenses: list[str | None]):
    from smallm.publish.facts import Source

    sources = [Source("n", "path", "s", license, 1, 1, 0, []) for license in licenses]
    found = words.license_of(sources)
    if None in licenses:
        assert found == "unknown"
    elif len(set(licenses)) > 1 or "my own" in licenses:
        assert found == "other"
    else:
        assert found == (licenses[0] or "").lower()
