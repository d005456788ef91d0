"""Laws of generate and chat: text to stdout, everything else to stderr, commands that say what they did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from smallm import cli
from smallm.commands import talk
from smallm.core.config import Recipe
from smallm.core.files import write_json, write_text
from smallm.core.recipe import dump_recipe
from smallm.model import generate, load

PROMPTS: list[tuple[str, Any]] = []


class Letters:
    """A tokenizer of one id a character."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def fake_text(loaded: Any, prompt: str, sampling: Any, *, fast: bool) -> Iterator[str]:
    PROMPTS.append((prompt, sampling))
    yield " and"
    yield " so on."
    return "stop id" if "END" in prompt else "context full" if "LONG" in prompt else "max_new_tokens"


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run whose model is a parrot."""
    base = tmp_path / "runs" / "x" / "base"
    write_json(base / "config.json", {})
    write_json(base / "smallm.json", {"parameters": 4_300_000, "tokens_seen": 1_500_000})
    recipe = Recipe(name="x", description="tells stories", prompts=["Once", "One morning", "There was", "never shown"])
    write_text(tmp_path / "runs" / "x" / "recipe.yaml", dump_recipe(recipe))
    loaded = SimpleNamespace(path=base, model=None, tokenizer=Letters(), config=SimpleNamespace(context=64))
    monkeypatch.setattr(load, "load_model", lambda path, **_: loaded)
    monkeypatch.setattr(generate, "generate_text", fake_text)
    monkeypatch.chdir(tmp_path)
    PROMPTS.clear()
    return base


def smallm(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin)


def test_generate_prints_the_prompt_and_its_continuation() -> None:
    result = smallm(
        "generate", "runs/x", "Once", "--temperature", "0.5", "--stop", "a", "--stop", "b", "--seed", "3", "--greedy"
    )
    assert result.stdout == "Once and so on.\n"
    assert result.stderr == "model: runs/x/base\n"
    prompt, sampling = PROMPTS[0]
    assert prompt == "Once"
    assert (sampling.temperature, sampling.stop, sampling.seed, sampling.greedy) == (0.5, ("a", "b"), 3, True)


def test_generate_reads_a_pipe_and_writes_json(model: Path) -> None:
    result = smallm("generate", str(model), "-", "--json", stdin="From a pipe")
    shown = json.loads(result.stdout)
    assert (shown["prompt"], shown["text"], shown["ended"]) == ("From a pipe", " and so on.", "max_new_tokens")
    assert shown["sampling"]["max_new_tokens"] == 200
    assert result.stderr == ""


def test_generate_says_when_the_context_is_full() -> None:
    assert "(the model's context of 64 tokens is full)" in smallm("generate", "runs/x", "LONG").stderr


def test_chat_opens_with_what_the_model_can_do_and_three_prompts() -> None:
    result = smallm("chat", "runs/x", stdin="")
    assert "tells stories, 4.3M parameters, trained on 1.5M tokens." in result.stderr
    assert "does not follow instructions" in result.stderr
    assert "Try one of these:\n  Once\n  One morning\n  There was\n/help" in result.stderr
    assert result.stdout == ""
    assert result.exit_code == 0


def test_without_prompts_the_held_out_documents_give_them(model: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_text(model.parent / "recipe.yaml", dump_recipe(Recipe(name="x")))
    (model.parent / "data").mkdir()
    texts = [f"Text {i} begins with these words and goes on." for i in range(5)]
    pq.write_table(pa.table({"text": texts}), model.parent / "data" / "validation-00000-of-00001.parquet")
    shown = talk.introduction(model, Recipe(name="x"))
    assert "\n  Text 0 begins with these words\n  Text 1 begins with these words\n  Text 2" in shown
    assert "Try one" not in talk.introduction(model.parent.parent, None)


def test_chat_writes_on_where_the_text_stopped() -> None:
    result = smallm("chat", "runs/x", stdin="Once\nThen\n\n/quit\nnot read\n")
    assert result.stdout == "Once and so on.\nThen and so on.\n and so on.\n"
    asked = [prompt for prompt, _ in PROMPTS]
    assert asked == [
        "Once",
        "Once and so on.\nThen",
        "Once and so on.\nThen and so on.",
    ]
    assert [sampling.seed for _, sampling in PROMPTS] == [0, 1, 2]


def test_a_text_that_ends_begins_anew_and_reset_does_too() -> None:
    result = smallm("chat", "runs/x", stdin="The END\nNew\n/reset\nThird\n/text\n")
    assert [prompt for prompt, _ in PROMPTS] == ["The END", "New", "Third"]
    assert "the text ends here" in result.stderr
    assert result.stderr.rstrip().endswith("Third and so on.")


def test_a_long_chat_keeps_the_end_that_fits_the_context() -> None:
    smallm("chat", "runs/x", "--max-new-tokens", "10", stdin="x" * 100 + "y\n")
    assert PROMPTS[0][0] == "x" * 52 + "y"  # 64 of context, 10 for the answer, 1 for BOS


def test_settings_are_shown_changed_and_refused() -> None:
    settings = ["", "temperature 0.3", "temperature hot", "temperature -1", "colour red", "top_k 2.5", "greedy on"]
    result = smallm("chat", "runs/x", stdin="".join(f"/set {s}\n" for s in settings) + "Hi\n")
    assert "  max_new_tokens 200" in result.stderr
    assert "/set temperature: `hot` is not a number." in result.stderr
    assert "/set temperature: temperature: -1.0" in result.stderr
    assert "/set NAME VALUE, with NAME one of" in result.stderr
    assert "/set top_k: `2.5` is not a number." in result.stderr
    sampling = PROMPTS[0][1]
    assert (sampling.temperature, sampling.top_k, sampling.greedy) == (0.3, 0, True)


def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    result = smallm("chat", "runs/x", stdin="/halp\n/\n\n")
    assert "/halp: no such command." in result.stderr
    assert result.stderr.count("/reset ") == 2
    assert "Write how the text begins" in result.stderr


def test_control_c_ends_one_answer_and_before_any_text_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(loaded: Any, prompt: str, sampling: Any, *, fast: bool) -> Iterator[str]:
        if prompt != "First":
            yield " some"
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "generate_text", interrupted)
    result = smallm("chat", "runs/x", stdin="Second\n")
    assert (result.exit_code, result.stdout) == (0, "Second some\n")
    assert smallm("chat", "runs/x", stdin="First\n").exit_code == 130
