"""Laws of `smallm export`: what stands there is the evaluated model or nothing; tuned models talk in their template."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from finetune.tiny_bases import save_base, tuned
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from smallm import cli
from smallm.core.files import read_json, write_json
from smallm.finetune import merge
from smallm.finetune.save import save_tuned
from smallm.model.resolve import resolve_model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a base and an adapter on it."""
    run = tmp_path_factory.mktemp("made") / "runs" / "x"
    base, adapter = save_base(run / "base"), run / "tuned" / "german"
    adapter.mkdir(parents=True)
    save_tuned(tuned(base, spread=0.03), adapter, base=base, base_name="../../base", end_ids=[2])
    os.utime(run / "base", (1, 1))
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "runs" / "x")
    os.utime(tmp_path / "runs" / "x" / "base", (1, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "x"


def smallm(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin)


def test_an_export_is_written_compared_and_recorded(run: Path) -> None:
    result = smallm("export", "runs/x/tuned/german", "--to", "merged", "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    out = run / "export" / "merged"
    assert facts["equivalence"]["equal"]
    assert facts["forced"] is None
    assert read_json(out / "smallm.json")["weights_sha256"] == facts["weights_sha256"]
    beside = read_json(run / "tuned" / "german" / "equivalence.json")["comparisons"]
    assert beside[-1]["b"] == f"merged {facts['weights_sha256'][:8]}"
    assert read_json(out / "equivalence.json")["comparisons"][0]["equal"] is True
    again = smallm("export", "runs/x", "--to", "merged")  # the run's newest model is the adapter
    assert again.exit_code == 0
    assert "model: runs/x/tuned/german" in again.stderr
    assert "replaces the export" in again.stderr


def test_an_export_whose_weights_were_altered_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that does not do what it says: exit 2, nothing written; --force writes it and keeps the reasons."""
    honest = merge.merge_into

    def altering(plan: Any, directory: Path, **options: Any) -> dict[str, Any]:
        facts = honest(plan, directory, **options)
        state = load_file(directory / "model.safetensors")
        state["model.layers.0.self_attn.v_proj.weight"] *= 1.02
        save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
        return facts

    monkeypatch.setattr(merge, "merge_into", altering)
    refused = smallm("export", "runs/x/tuned/german", "--to", "merged")
    assert refused.exit_code == 2
    assert "not written: it is not the evaluated model" in refused.stderr
    assert "not those that were merged" in refused.stderr
    assert not (run / "export" / "merged").exists()
    assert not (run / "export" / "merged.partial").exists()
    forced = smallm("export", "runs/x/tuned/german", "--to", "merged", "--force")
    assert forced.exit_code == 0
    assert read_json(run / "export" / "merged" / "smallm.json")["forced"]


def test_an_adapter_that_is_not_the_evaluated_one_is_refused(run: Path) -> None:
    write_json(run / "eval" / "german" / "german-0123abcd-german.json", {})
    refused = smallm("export", "runs/x/tuned/german", "--to", "merged")
    assert refused.exit_code == 2
    assert "are of 0123abcd, this adapter is" in refused.stderr
    own = read_json(run / "tuned" / "german" / "smallm.json")["weights_sha256"][:8]
    write_json(run / "eval" / "german" / f"german-{own}-german.json", {})
    assert smallm("export", "runs/x/tuned/german", "--to", "merged").exit_code == 0


def test_an_altered_adapter_or_another_base_is_refused(run: Path) -> None:
    path = run / "tuned" / "german" / "adapter_model.safetensors"
    state = load_file(path)
    save_file({n: t * 1.01 for n, t in state.items()}, path, metadata={"format": "pt"})
    refused = smallm("export", "runs/x/tuned/german", "--to", "merged")
    assert refused.exit_code == 2
    assert "changed after it was saved" in refused.stderr
    save_file(state, path, metadata={"format": "pt"})
    save_base(run / "base", seed=1)
    refused = smallm("export", "runs/x/tuned/german", "--to", "merged")
    assert refused.exit_code == 2
    assert "was trained on the base" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("runs/x/tuned/german", "--to", "gguf"), "gguf: not built yet; here: merged"),
        (("runs/x/base", "--to", "merged"), "a whole model already"),
        (("runs/x/tuned/german", "--to", "merged", "--base", "dequantised"), "trained on the original base"),
        (("runs/x/tuned/german", "--to", "merged", "--dtype", "int4"), "--dtype int4"),
        (("runs/x/tuned/german", "--to", "merged", "--out", "runs/x/base"), "is no export"),
        (("runs/x/tuned/germn", "--to", "merged"), "Did you mean"),
    ],
)
def test_mistakes_are_said_and_write_nothing(arguments: tuple[str, ...], says: str, run: Path) -> None:
    before = sorted(p for p in run.rglob("*"))
    result = smallm("export", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert sorted(p for p in run.rglob("*")) == before


def test_a_run_means_its_newest_model_and_adapters_count_where_they_can_be_used(run: Path) -> None:
    assert resolve_model("runs/x", adapters=True) == Path("runs/x/tuned/german")
    assert resolve_model("runs/x") == Path("runs/x/base")  # where a whole model is wanted
    assert resolve_model("runs/x/base", adapters=True) == Path("runs/x/base")


def test_a_tuned_model_answers_in_its_chat_template(run: Path) -> None:
    result = smallm("generate", "runs/x", "the cat", "--greedy", "--max-new-tokens", "5", "--json")
    assert result.exit_code == 0, result.stderr
    assert "model: runs/x/tuned/german" in result.stderr
    assert "as the user's message" in result.stderr
    facts = json.loads(result.stdout)
    assert facts["prompt"] == "the cat"
    assert facts["model"] == "runs/x/tuned/german"
    base = smallm("generate", "runs/x/base", "the cat", "--greedy", "--max-new-tokens", "5", "--json")
    assert json.loads(base.stdout)["text"] != facts["text"]
    assert "user's message" not in base.stderr


def test_adapter_and_merged_model_give_the_same_answers(run: Path) -> None:
    """One through Transformers with the adapter beside it, one by our decoder from merged weights."""
    assert smallm("export", "runs/x/tuned/german", "--to", "merged").exit_code == 0
    texts = [
        smallm("generate", model, "What is it?", "--greedy", "--max-new-tokens", "12").stdout
        for model in ("runs/x/tuned/german", "runs/x/export/merged")
    ]
    assert texts[0] == texts[1]
    assert len(texts[0].strip()) > 3


def test_chat_with_a_tuned_model_keeps_the_conversation(run: Path) -> None:
    result = smallm(
        "chat",
        "runs/x/tuned/german",
        "--max-new-tokens",
        "4",
        stdin="the cat\nthe dog\n/text\n/reset\n/text\n/help\n/quit\n",
    )
    assert result.exit_code == 0, result.stderr
    assert "tuned from ../../base" in result.stderr
    assert "user: the cat\nassistant: " in result.stderr
    assert "user: the dog\nassistant: " in result.stderr
    assert "Write a message" in result.stderr
