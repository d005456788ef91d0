"""Laws of the command line: exit codes, messages without tracebacks, JSON for machines, instant help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from smallm import cli, pipeline
from smallm.core.config import Recipe
from smallm.core.errors import TrainingDiverged, UserError
from smallm.core.files import write_json, write_text
from smallm.core.recipe import dump_recipe, packaged_recipes
from smallm.core.run import Run
from smallm.pipeline import Outcome

ROOT = Path(__file__).resolve().parents[1]


def smallm(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), input=stdin)


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "run_pipeline", run)


# ---- exit codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("a.txt: is empty"), 2, "error: a.txt: is empty"),
        (TrainingDiverged("step 5"), 1, "error: step 5"),
        (KeyboardInterrupt(), 130, "the same command goes on from there"),
        (OSError(28, "No space left on device", "runs/x"), 2, "error: runs/x: No space left on device"),
    ],
)
def test_what_goes_wrong_exits_with_its_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    raising(monkeypatch, error)
    result = smallm("run", "quickstart")
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "Input/output error"), AssertionError("no")])
def test_our_own_faults_exit_with_one_and_the_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    raising(monkeypatch, error)
    result = smallm("run", "quickstart")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "this is smallm's fault, not yours" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "quikstart"), "Did you mean `quickstart`?"),
        (("run", "quickstart", "--set", "train.lr=1"), "`lr` (PyTorch) is `train.learning_rate` here"),
        (("run", "quickstart", "--only", "trian"), "Did you mean `train`?"),
        (("run", "shakespeare"), "--set data.sources=[FILE]"),
        (("run", "quickstart", "--bad"), "No such option: --bad"),
        (("run",), "Missing argument"),
        (("plan", "quickstart", "--gpu", "H20"), "not in the table; it has T4"),
        (("new", "nowhere"), "there is no such folder"),
        (("generate", "./nowhere/x", "a"), "does not exist"),
        (("generate", ".", "a", "--temperature", "-1"), "Invalid value"),
        (("chat", "./nowhere"), "there is no such directory"),
        (("recipe", "copy", "quickstrat"), "Did you mean `quickstart`?"),
        (("recipe", "check", "nothing.yaml"), "no such recipe"),
        (("frobnicate",), "No such command"),
    ],
)
def test_a_users_mistake_exits_with_two_and_a_remedy(arguments: tuple[str, ...], said: str) -> None:
    result = smallm(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


# ---- verbs ---------------------------------------------------------------------------------------------------------


def test_version() -> None:
    assert smallm("--version").stdout.startswith("smallm ")


def test_a_run_ends_with_its_report_on_stdout_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Recipe, Run, dict[str, Any]]] = []

    def run(recipe: Recipe, run: Run, **options: Any) -> list[Outcome]:
        seen.append((recipe, run, options))
        write_text(run.path / "report" / "index.html", "<p>")
        return [Outcome("data", run.path / "data", True, 1.5), Outcome("report", run.path / "report", False, 0.5)]

    monkeypatch.setattr(pipeline, "run_pipeline", run)
    assert smallm("run", "quickstart", "--set", "seed=4", "--redo").stdout == "runs/quickstart/report/index.html\n"
    assert seen[0][0].seed == 4
    assert seen[0][2] == {"only": [], "redo": True}
    shown = json.loads(smallm("run", "quickstart", "--run", "other", "--json").stdout)
    assert shown["report"] == "runs/other/report/index.html"
    assert shown["stages"][0] == {"stage": "data", "artefact": "runs/other/data", "made": True, "seconds": 1.5}
    smallm("run", "quickstart", "--run", "a/b", "--verify")
    assert str(seen[-1][1].path) == "a/b"
    assert seen[-1][1].verify
    write_text(Path("elsewhere/recipe.yaml"), dump_recipe(Recipe(name="x")))
    smallm("run", "elsewhere")
    assert str(seen[-1][1].path) == "elsewhere"


def test_recipes_are_listed_with_their_descriptions() -> None:
    names = [row["name"] for row in json.loads(smallm("recipe", "list", "--json").stdout)]
    assert names == sorted(packaged_recipes())
    assert "quickstart " in smallm("recipe", "list").stdout


def test_a_copied_recipe_is_the_packaged_one_and_overwrites_nothing() -> None:
    assert smallm("recipe", "copy", "quickstart").stdout == "quickstart.yaml\n"
    assert Path("quickstart.yaml").read_text() == packaged_recipes()["quickstart"]
    again = smallm("recipe", "copy", "quickstart")
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    Path("folder").mkdir()
    assert smallm("recipe", "copy", "quickstart", "folder").stdout == "folder/quickstart.yaml\n"


def test_checking_a_recipe_finds_what_only_the_model_knows_with_its_line() -> None:
    write_text(Path("a.yaml"), "name: a\nmodel:\n  width: 100\n  heads: 7\n")
    result = smallm("recipe", "check", "a.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: a.yaml:2: model.heads: 7 does not divide model.width: 100")
    assert json.loads(smallm("recipe", "check", "shakespeare", "--json").stdout)["hint"].startswith(
        "data.sources is empty"
    )


def test_the_schema_is_json_schema() -> None:
    schema = json.loads(smallm("recipe", "schema").stdout)
    assert schema["properties"]["train"]
    assert "extends" in schema["properties"]


def test_doctor_says_what_there_is_and_what_will_be_used() -> None:
    facts = json.loads(smallm("doctor", "--json").stdout)
    assert facts["uses"]["device"] in ("cpu", "cuda", "mps")
    assert facts["machine"]["cores"] >= 1
    text = smallm("doctor").stdout
    assert "smallm will use" in text
    assert facts["machine"]["cpu"] in text


def test_a_folder_of_markdown_becomes_a_recipe_that_loads(tmp_path: Path) -> None:
    for i in range(60):
        write_text(tmp_path / "notes" / f"{i}.md", f"# Note {i}\n\n" + f"The {i}th day was long and rainy. " * 40)
    result = smallm("new", "notes")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "notes/notes.yaml\n"
    assert smallm("recipe", "check", "notes/notes.yaml").exit_code == 0
    again = smallm("new", "notes")
    assert again.exit_code == 2
    assert "is not overwritten" in again.stderr
    assert smallm("new", "notes", "--name", "../x").exit_code == 2
    assert smallm("new", "notes", "--name", "second").exit_code == 0
    assert smallm("new", "notes/0.md").exit_code == 2


# ---- help and imports ----------------------------------------------------------------------------------------------


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


VERBS = [[], ["run"], ["plan"], ["new"], ["generate"], ["chat"], ["doctor"], ["recipe"], ["recipe", "check"]]


def test_help_is_answered_in_under_three_tenths_of_a_second() -> None:
    """Processor time, the best of three. On a machine that is slow or busy now the limit grows with the time that
    typer's import takes: 0.11 s on the two idle cores where 0.3 s was set (and help took 0.14 s)."""
    slow = max(1.0, min(_cpu_seconds("-c", "import typer") for _ in range(3)) / 0.11)
    for verb in VERBS:
        best = min(_cpu_seconds("-m", "smallm.cli", *verb, "--help") for _ in range(3))
        assert best < 0.3 * slow, f"smallm {' '.join(verb)} --help: {best:.2f} s"


def _cpu_seconds(*arguments: str) -> float:
    before = os.times()
    assert run_python(*arguments).returncode == 0
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, smallm.cli; print(*sorted(sys.modules))"
    loaded = set(run_python("-c", code).stdout.split())
    heavy = {
        "torch",
        "numpy",
        "pydantic",
        "yaml",
        "pyarrow",
        "transformers",
        "rich",
        "jinja2",
        "matplotlib",
        "datasets",
    }
    assert loaded & heavy == set()


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m smallm.cli recipe schema | head -1"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert result.stdout == "{\n"
    assert result.stderr == ""


def test_a_plan_is_json_for_machines() -> None:
    shown = json.loads(smallm("plan", "quickstart", "--gpu", "t4", "--gpu", "h200", "--json").stdout)
    assert [m["machine"] for m in shown["machines"]] == ["T4", "H200"]
    assert shown["memory"]["total"] > shown["memory"]["weights"] > 4e6


def test_a_finished_run_knows_its_text_exactly(tmp_path: Path) -> None:
    split = {"documents": 1, "tokens": 1000, "bytes": 4000, "shards": []}
    write_json(
        tmp_path / "runs/quickstart/tokens/base/manifest.json",
        {
            "tokenizer_sha256": "0" * 64,
            "dtype": "uint16",
            "vocab_size": 5,
            "splits": {"train": split, "validation": split},
        },
    )
    shown = json.loads(smallm("plan", "quickstart", "--gpu", "t4", "--set", "train.tokens=1.5M", "--json").stdout)
    assert shown["text"]["tokens"] == 1000
    assert shown["epochs"] == 1500
    assert (
        "1500.0 epochs over the text"
        in smallm("plan", "quickstart", "--gpu", "t4", "--set", "train.tokens=1.5M").stdout
    )
