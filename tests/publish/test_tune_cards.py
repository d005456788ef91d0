"""Cards of a fine-tuning: the Hub's classes read them, figures are those of the weights that are there, or none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from publish.fake_run import fake_run
from publish.fake_tuned import NOTICE, fake_tuned

from smallm.core.files import read_json, write_bytes, write_json
from smallm.core.formats import validate
from smallm.publish.cards import write_cards

HOSTILE = " ---\nlicense: mit\n# | `x` <script>alert(1)</script> {{ 7*7 }} [a](b) \"q': \\ ``` \n---\n"


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "phi35-german"
    recipe, run = fake_tuned(path, notice=NOTICE)
    write_cards(recipe, run)
    return path


def test_the_model_card_parses_with_the_hubs_classes_and_says_its_lineage(cards: Path):
    data = ModelCard.load(cards / "tuned" / "german" / "README.md").data
    assert (data.library_name, data.base_model) == ("peft", "microsoft/Phi-3.5-mini-instruct")
    assert data.to_dict()["base_model_relation"] == "adapter"
    assert data.license == "other"  # the base has a licence of its own
    verdict = read_json(cards / "eval" / "german" / "verdict.json")
    found = {r.metric_type: r.metric_value for r in data.eval_results or []}
    assert found == {
        "bleu": pytest.approx(verdict["row"]["b"]["value"], abs=1e-6),
        "chrf": pytest.approx(verdict["others"]["chrf"]["b"]["value"], abs=1e-6),
        "exact_match": pytest.approx(verdict["others"]["exact_match"]["b"]["value"], abs=1e-6),
        "bits_per_byte": pytest.approx(verdict["answers"]["b"]["value"], abs=1e-6),
    }


def test_the_evaluation_entries_parse_and_carry_base_interval_baselines_and_quantisation(cards: Path):
    rows = yaml.safe_load((cards / "tuned" / "german" / ".eval_results" / "smallm.yaml").read_text("utf-8"))
    entries = {e.task_id: e for e in parse_eval_result_entries(rows)}
    note = entries["bleu"].notes or ""
    assert all(part in note for part in ("base 26", "95 %", "baseline nearest", "in nf4", "version:", "60 of 300"))
    assert "baseline" not in (entries["bits_per_byte"].notes or "")


def test_the_data_card_parses_and_holds_sources_splits_labels_lengths_duplicates_and_audit(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", kind="classification", name="finance")
    audit = tmp_path / "run" / "tokens" / "finance" / "audit.json"
    content = read_json(audit)
    counts = {"rising": 9001, "falling": 8, "unchanged": 7, "unclear": 6}
    content["data"]["labels"] = {"classes": list(counts), "train": counts, "validation": {}, "test": {}}
    write_json(audit, content)
    write_cards(recipe, run)
    card = DatasetCard.load(tmp_path / "run" / "tokens" / "finance" / "README.md")
    assert card.data.task_categories == ["text-classification"]
    assert card.data.size_categories == ["10K<n<100K"]
    for text in ("apache-2.0", "18,000", "133", "9,001", "the same prompt stands in test", "opens with one", "**"):
        assert text in card.text


@pytest.mark.parametrize("what", ["weights", "base"])
def test_figures_of_other_weights_are_not_published(tmp_path: Path, what: str):
    recipe, run = fake_tuned(tmp_path / "run")
    tuned = tmp_path / "run" / "tuned" / "german"
    write_cards(recipe, run)
    assert (tuned / ".eval_results" / "smallm.yaml").is_file()
    if what == "weights":  # whatever smallm.json says of them
        write_bytes(tuned / "adapter_model.safetensors", b"trained again")
    else:
        smallm = read_json(tuned / "smallm.json")
        write_json(tuned / "smallm.json", smallm | {"base": smallm["base"] | {"weights_sha256": "0" * 64}})
    write_cards(recipe, run)
    card = ModelCard.load(tuned / "README.md")
    assert card.data.eval_results is None
    assert "is of other weights" in card.text
    assert "81.7" not in card.text
    assert not (tuned / ".eval_results" / "smallm.yaml").exists()


def test_before_tuning_there_is_the_data_card_alone_and_before_comparing_no_result(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run")
    (tmp_path / "run" / "eval" / "german" / "verdict.json").unlink()
    write_cards(recipe, run)
    card = ModelCard.load(tmp_path / "run" / "tuned" / "german" / "README.md")
    assert card.data.eval_results is None
    assert "not measured" in card.text
    (tmp_path / "run" / "tuned" / "german" / "smallm.json").unlink()
    assert [p.parent.parent.name for p in write_cards(recipe, run)] == ["tokens"]


def test_the_notice_stands_on_both_cards_and_first(cards: Path):
    for folder in ("tokens", "tuned"):
        body = (cards / folder / "german" / "README.md").read_text("utf-8").split("---\n", 2)[2]
        assert body.index(NOTICE.split(":")[0]) < body.index("##")


def test_a_model_of_the_runs_own_base_names_no_stranger_on_the_hub(tmp_path: Path):
    recipe, _ = fake_run(tmp_path / "quickstart")
    recipe, run = fake_tuned(tmp_path / "quickstart", recipe=recipe)
    write_cards(recipe, run)
    card = ModelCard.load(tmp_path / "quickstart" / "tuned" / "german" / "README.md")
    assert card.data.base_model is None
    assert "base_model_relation" not in card.data.to_dict()
    assert "'../../base'" in card.text
    assert "BitsAndBytes" not in card.text
    assert (tmp_path / "quickstart" / "base" / "README.md").is_file()


def test_snippets_are_python_that_compiles(cards: Path, tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", hostile=HOSTILE, items=9)
    write_cards(recipe, run)
    for root in (cards, tmp_path / "run"):
        for folder in ("tokens", "tuned"):
            text = (root / folder / "german" / "README.md").read_text("utf-8")
            blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
            assert blocks
            for block in blocks:
                compile(block, "card", "exec")


def test_hostile_texts_break_neither_metadata_nor_tables(tmp_path: Path):
    recipe, run = fake_tuned(tmp_path / "run", hostile=HOSTILE, items=9)
    write_cards(recipe, run)
    for folder in ("tokens", "tuned"):
        text = (tmp_path / "run" / folder / "german" / "README.md").read_text("utf-8")
        metadata, body = re.match(r"---\n(.*?\n)---\n(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        assert yaml.safe_load(metadata)["license"] == {"tokens": "apache-2.0", "tuned": "other"}[folder]
        assert "<script>" not in re.sub(r"```.*?```", "", body, flags=re.DOTALL)
        assert not re.search(r"^---$", body, re.MULTILINE)
        assert body.count("```") % 2 == 0
        for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}
            assert len(columns) == 1, table


def test_what_the_cards_write_follows_the_formats(cards: Path):
    for path in (cards / "eval" / "german").iterdir():
        if path.name != "stage.json":
            validate(path, cards)
    assert {p.name for p in (cards / "eval" / "german").glob("*.html")} >= {"compare-base-german.html"}
