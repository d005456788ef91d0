"""Base against tuned: the same ids for both sides, answers as plain PyTorch gives them, nothing stale or silent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from finetune.fake_tuning import fake_tuning, row, translations
from tiny_hf import plain, plain_greedy, plain_score

from smallm.core.errors import UserError
from smallm.core.files import read_json, write_json, write_text
from smallm.core.formats import validate
from smallm.evaluate.compare import compare
from smallm.evaluate.lazy_scorer import LazyScorer
from smallm.evaluate.results import read_items, read_result
from smallm.finetune.compare import compare_with_base
from smallm.finetune.render import Renderer
from smallm.finetune.sides import questions_of


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of scores of the test's own."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMALLM_CACHE", str(path))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[list[int]]]]:
    """What was asked of which model, as (name, prompts of ids)."""
    seen: list[tuple[str, list[list[int]]]] = []
    write = LazyScorer.write

    def spy(self: Any, prompts: list[list[int]], until: Sequence[str], limit: int) -> list[str]:
        seen.append((Path(self.name).name, prompts))
        return write(self, prompts, until, limit)

    monkeypatch.setattr(LazyScorer, "write", spy)
    return seen


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, run = fake_tuning(tmp_path_factory.mktemp("runs") / "run")
    return compare_with_base(recipe, run)


def answers_of(file: Path, task: str) -> dict[str, dict[str, Any]]:
    return {r["item"]: r for r in read_items(file).to_pylist() if r["task"] == task}


def test_both_sides_are_asked_the_renderers_prompt_ids_which_begin_with_one_bos(
    tmp_path: Path, cache: Path, asked: list[tuple[str, list[list[int]]]]
):
    turns = [("What is it?", "a cat"), ("Yes?", "the dog")]
    test = [*translations(5, first=50), row("and the river?", "Der river.", before=turns)]
    recipe, run = fake_tuning(tmp_path / "run", test=test, system="Answer in German.")
    compare_with_base(recipe, run)
    from transformers import AutoTokenizer

    renderer = Renderer(AutoTokenizer.from_pretrained(run.path / "base"), system="Answer in German.")
    wanted = sorted(renderer.prompt(record["messages"][:-1]) for record in test)
    sides: dict[str, list[list[int]]] = {}
    for name, prompts in asked:
        sides.setdefault(name, []).extend(prompts)
    assert set(sides) == {"base", "german"}
    for prompts in sides.values():
        assert sorted(prompts) == wanted
        assert all(ids[0] == 0 and ids.count(0) == 1 for ids in prompts)


@pytest.mark.parametrize("full", [False, True])
def test_answers_are_those_of_plain_greedy_decoding_one_by_one(tmp_path: Path, cache: Path, full: bool):
    recipe, run = fake_tuning(tmp_path / "run", full=full)
    out = compare_with_base(recipe, run)
    tuned = plain(run.path / "tuned" / "german") if full else adapted(run.path)
    questions = questions_of(recipe, run, run.path / "tuned" / "german")
    for tag, model in (("base", plain(run.path / "base")), ("german", tuned)):
        (file,) = out.glob(f"{tag}-????????-german.json")
        said = answers_of(file, "translation")
        for one in questions.asked:
            ids = plain_greedy(model, one.prompt_ids, 8, usable=320, ends=(0, 5))
            text = tokenizer_of(run.path).decode(ids, skip_special_tokens=True).strip()
            assert said[one.item.id]["prediction"] == text


def adapted(run: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(plain(run / "base"), str(run / "tuned" / "german")).eval()


def tokenizer_of(run: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(run / "base")


def test_bits_are_those_of_the_answers_words_given_their_prompts_without_the_end_of_turn(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run")
    out = compare_with_base(recipe, run)
    (file,) = out.glob("german-????????-german.json")
    rows, model = answers_of(file, "answers"), adapted(run.path)
    for one in questions_of(recipe, run, run.path / "tuned" / "german").asked:
        logprob, _ = plain_score(model, one.prompt_ids, one.answer_ids)
        assert rows[one.item.id]["nats"] == pytest.approx(-logprob, abs=1e-3)
        assert rows[one.item.id]["bytes"] == len(one.item.answer.encode())
        assert 5 not in one.answer_ids
        assert tokenizer_of(run.path).decode(one.answer_ids) == one.item.answer


def test_an_answer_never_costs_its_prompt_a_token_where_the_window_is_small(
    tmp_path: Path, cache: Path, asked: list[tuple[str, list[list[int]]]]
):
    test = [row("the cat sat on the mat " * n, "Der cat.") for n in (1, 2, 3)]
    recipe, run = fake_tuning(tmp_path / "run", test=test, window=40, max_new_tokens=30)
    compare_with_base(recipe, run)
    assert {len(ids) for _, prompts in asked for ids in prompts} == {
        len(one.prompt_ids) for one in questions_of(recipe, run, run.path / "tuned" / "german").asked
    }


def test_a_prompt_that_fills_the_window_is_refused(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run", test=[row("the cat sat on the mat " * 20, "Der cat.")], window=40)
    with pytest.raises(UserError, match=r"a test prompt has \d+ tokens, the model's window 40"):
        compare_with_base(recipe, run)


def test_what_is_written_follows_the_formats_and_evaluations_compare_reads_it(compared: Path):
    root = compared.parent.parent
    for path in compared.iterdir():
        validate(path, root)
    (base,), (tuned,) = (list(compared.glob(f"{tag}-????????-german.json")) for tag in ("base", "german"))
    again, kept = compare(base, tuned), read_json(compared / "compare-base-german.json")
    assert json.loads(json.dumps(again)) == kept
    assert [row["task"] for row in kept["tasks"]] == ["answers", "general", "translation"]
    verdict = read_json(compared / "verdict.json")
    assert verdict["row"] == next(row for row in kept["tasks"] if row["task"] == "translation")
    assert set(verdict["others"]) == {"chrf", "exact_match"}
    assert "BLEU" in verdict["sentence"]
    assert "version" in verdict["signature"]


def test_the_items_are_the_same_whatever_else_was_asked_and_at_most_so_many(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run", test=translations(20), test_items=7)
    few = questions_of(recipe, run, run.path / "tuned" / "german")
    assert (len(few.asked), few.all_items) == (7, 20)
    lines = (run.path / "tokens" / "german" / "test.jsonl").read_text("utf-8").splitlines()
    every = sorted(json.loads(line)["id"] for line in lines)
    assert sorted(one.item.id for one in few.asked) == every[:7]


@pytest.mark.slow
def test_a_second_comparison_reads_no_weights_and_an_altered_adapter_is_scored_anew(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    from smallm.evaluate import scorer

    recipe, run = fake_tuning(tmp_path / "run")
    loaded: list[str] = []
    load = scorer.load_scorer
    monkeypatch.setattr(scorer, "load_scorer", lambda name, **kw: loaded.append(Path(name).name) or load(name, **kw))
    first = read_json(compare_with_base(recipe, run) / "verdict.json")
    assert sorted(loaded) == ["base", "german"]
    assert read_json(compare_with_base(recipe, run) / "verdict.json") == first
    assert len(loaded) == 2
    move(run.path / "tuned" / "german" / "adapter_model.safetensors")
    second = read_json(compare_with_base(recipe, run) / "verdict.json")
    assert loaded[2:] == ["german"]
    assert second["tuned"]["weights_sha256"] != first["tuned"]["weights_sha256"]
    assert second["answers"]["b"]["value"] != first["answers"]["b"]["value"]
    assert second["answers"]["a"] == first["answers"]["a"]


def move(file: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({k: v * 1.5 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})


def test_a_template_that_asks_otherwise_than_the_tokens_were_made_is_refused(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run")
    template = run.path / "tuned" / "german" / "chat_template.jinja"
    template.write_text(template.read_text().replace("|>\\n", "|>\\n\\n"))
    with pytest.raises(UserError, match=r"tokens of prompt, .* when the examples were made"):
        compare_with_base(recipe, run)


def test_scores_belong_to_the_template_and_the_end_of_turn_they_were_made_with(compared: Path):
    (file,) = compared.glob("german-????????-german.json")
    settings = read_result(file)["model"]["settings"]
    manifest = read_json(compared.parent.parent / "tokens" / "german" / "manifest.json")
    assert settings["template_sha256"] == manifest["template_sha256"]
    assert settings["end_ids"] == manifest["end_ids"]


def test_labels_are_found_in_answers_and_what_is_none_of_them_has_a_column_of_its_own(tmp_path: Path, cache: Path):
    test = [row(f"the cat {i}?", ("good", "bad")[i % 2], label=("good", "bad")[i % 2]) for i in range(12)]
    recipe, run = fake_tuning(tmp_path / "run", test=test, task="classification", labels=["good", "bad"], language="en")
    verdict = read_json(compare_with_base(recipe, run) / "verdict.json")
    table = verdict["confusion"]
    assert table["labels"] == ["good", "bad"]
    for side in ("a", "b"):
        assert [sum(r) for r in table[side]] == [6, 6]
        assert all(len(r) == 3 for r in table[side])
    assert verdict["metric"] == "acc"
    assert "macro_f1" in verdict["others"]
    assert verdict["majority"] == 0.5
    assert {r["value"] for r in verdict["slices"]["label"]} == {"good", "bad"}


def test_an_answer_that_is_no_class_is_refused(tmp_path: Path, cache: Path):
    test = [row("the cat?", "good"), row("the dog?", "perhaps")]
    recipe, run = fake_tuning(tmp_path / "run", test=test, task="classification", labels=["good", "bad"])
    with pytest.raises(UserError, match="'perhaps' is none of the classes"):
        compare_with_base(recipe, run)


def test_slices_say_what_each_part_of_the_items_scored(compared: Path):
    verdict = read_json(compared / "verdict.json")
    parts = verdict["slices"]
    assert {r["value"]: r["items"] for r in parts["held_out"]} == {"no": 8, "yes": 4}
    assert {r["value"]: r["items"] for r in parts["construction"]} == {"perfect": 6, "modal": 6}
    for rows in parts.values():
        for part in rows:
            change = part["b"]["value"] - part["a"]["value"]
            assert part["difference"]["difference"] == pytest.approx(change)


def test_examples_are_the_largest_gains_the_largest_losses_and_others_each_once(compared: Path):
    verdict = read_json(compared / "verdict.json")
    shown = verdict["examples"]
    names = [e["id"] for kind in shown for e in shown[kind]]
    assert len(names) == len(set(names)) == 12
    gain = {kind: [e["b"]["value"] - e["a"]["value"] for e in shown[kind]] for kind in shown}
    assert min(gain["best"]) >= max(gain["random"])
    assert max(gain["worst"]) <= min(gain["random"])


def test_tokens_of_another_tokenizer_or_template_are_refused(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run")
    manifest = run.path / "tokens" / "german" / "manifest.json"
    write_json(manifest, read_json(manifest) | {"tokenizer_sha256": "0" * 64})
    with pytest.raises(UserError, match="its tokenizer is not the one"):
        compare_with_base(recipe, run)


@pytest.mark.parametrize(
    ("line", "message"),
    [("", "no test examples"), ("{", r"test\.jsonl:1: no test example"), ('{"id": 1}', r"test\.jsonl:1: no test exam")],
)
def test_a_test_file_without_examples_is_told_with_its_line(tmp_path: Path, cache: Path, line: str, message: str):
    recipe, run = fake_tuning(tmp_path / "run")
    write_text(run.path / "tokens" / "german" / "test.jsonl", line + "\n")
    with pytest.raises(UserError, match=message):
        compare_with_base(recipe, run)


def test_plain_texts_are_compared_by_their_bits_alone(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run")
    lines = [
        {"id": f"{i:016x}", "messages": [], "answer": f"the cat sat on the mat {i}", "source": "t", "fields": {}}
        for i in range(9)
    ]
    write_text(run.path / "tokens/german/test.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    verdict = read_json(compare_with_base(recipe, run) / "verdict.json")
    assert verdict["metric"] == "bits_per_byte"
    assert any("plain texts" in line for line in verdict["not_measured"])


def test_a_stopped_comparison_leaves_nothing_half_done(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    recipe, run = fake_tuning(tmp_path / "run")

    def stop(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("smallm.finetune.compare.conclusion", stop)
    with pytest.raises(KeyboardInterrupt):
        compare_with_base(recipe, run)
    assert not (run.path / "eval" / "german").exists()


def test_the_result_says_how_many_items_of_all_there_were(tmp_path: Path, cache: Path):
    recipe, run = fake_tuning(tmp_path / "run", test_items=5)
    out = compare_with_base(recipe, run)
    (file,) = out.glob("german-????????-german.json")
    assert read_result(file)["limit"] == 5
