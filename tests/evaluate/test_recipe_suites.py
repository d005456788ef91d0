"""The suites of a recipe: found before anything runs, told apart by what they hold, cheap where one look is enough."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from smallm.commands.recipes import check_command
from smallm.core.config import EvalConfig, Recipe
from smallm.core.errors import UserError
from smallm.core.files import HashCache, write_text
from smallm.evaluate.recipe_suites import check, fingerprint, is_cheap, suites_of

TASK = 'task: t\ndata: t.jsonl\nprompt: "{{q}}"\nchoices: c\nanswer: 0\n'


@pytest.fixture
def task(tmp_path: Path) -> Path:
    write_text(tmp_path / "t.yaml", TASK)
    write_text(tmp_path / "t.jsonl", '{"q": "Q", "c": ["a", "b"]}\n')
    return tmp_path / "t.yaml"


def prints(tmp_path: Path, *suites: Path | str, data: tuple[Path, ...] = ()) -> dict[str, str]:
    evaluation = EvalConfig(suites=[str(s) for s in suites], data=[str(d) for d in data])
    return fingerprint(Recipe(eval=evaluation), HashCache(tmp_path / "hashes.json"))


def test_a_task_file_is_a_suite_of_one(task: Path) -> None:
    (suite,) = suites_of(EvalConfig(suites=[str(task)]))
    assert (suite.name, [spec.name for spec in suite.tasks]) == ("t", ["t"])


def test_words_for_people_and_the_place_of_a_task_change_nothing_that_counts(task: Path, tmp_path: Path) -> None:
    before = prints(tmp_path, task)
    assert set(before) == {"eval.suites/t/t"}
    write_text(task, "# a comment\n" + TASK)
    assert prints(tmp_path, task) == before
    (tmp_path / "there").mkdir()
    for name in ("t.yaml", "t.jsonl"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    assert prints(tmp_path, tmp_path / "there" / "t.yaml") == before
    write_text(tmp_path / "there" / "t.yaml", TASK.replace("answer: 0", "answer: 1"))
    assert prints(tmp_path, tmp_path / "there" / "t.yaml") != before


def test_a_packaged_suite_counts_by_its_tasks_and_by_the_files_that_are_here(tmp_path: Path) -> None:
    (tmp_path / "eval").mkdir()
    before = prints(tmp_path, "core", data=(tmp_path,))
    assert before == prints(tmp_path, "core")
    write_text(tmp_path / "eval" / "piqa.jsonl.gz", "x")
    after = prints(tmp_path, "core", data=(tmp_path,))
    assert {name for name in before if before[name] != after[name]} == {"eval.suites/core/piqa"}


def test_a_built_in_suite_counts_with_the_code_of_its_generators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prints(tmp_path, "smallm")
    assert before == prints(tmp_path, "smallm")
    monkeypatch.setattr("smallm.evaluate.recipe_suites._generators", lambda: "other word lists")
    after = prints(tmp_path, "smallm")
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    ("more", "cheap"),
    [
        ("choices: c\nanswer: 0", True),
        ('continuation: "{{c[0]}}"', True),
        ("answer: 0", False),
        ("choices: c\nanswer: 0\ncheap: false", False),
        ("answer: 0\ncheap: true", True),
    ],
)
def test_cheap_is_what_takes_one_look_unless_the_task_says_otherwise(task: Path, more: str, cheap: bool) -> None:
    write_text(task, f'task: t\ndata: t.jsonl\nprompt: "{{{{q}}}}"\n{more}\n')
    (suite,) = suites_of(EvalConfig(suites=[str(task)]))
    assert is_cheap(suite.tasks[0]) == cheap


def test_a_file_of_ones_own_task_that_is_not_there_is_told_with_its_line_and_a_packaged_one_is_not(
    task: Path, tmp_path: Path
) -> None:
    check(EvalConfig(suites=["core", "smallm", str(task)]))
    (tmp_path / "t.jsonl").rename(tmp_path / "u.jsonl")
    with pytest.raises(UserError, match=r"eval.suites: .*t.yaml:2: task t: no such file \(looked in "):
        check(EvalConfig(suites=[str(task)]))
    (tmp_path / "data").mkdir()
    (tmp_path / "u.jsonl").rename(tmp_path / "data" / "t.jsonl")
    check(EvalConfig(suites=[str(task)], data=[str(tmp_path / "data")]))


def test_recipe_check_names_the_file_the_key_and_the_nearest_suite(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_command("quickstart", ["eval.suites=[smalm]"], as_json=False)
    said = str(caught.value)
    assert said.startswith("smallm/recipes/quickstart.yaml: eval.suites: smalm: no such suite")
    assert said.endswith("Did you mean `smallm`?")
    check_command("quickstart", ["eval.suites=[core]"], as_json=False)
    assert "valid" in capsys.readouterr().out


def test_two_mistakes_are_two_lines_that_both_say_the_key(task: Path) -> None:
    write_text(task, TASK.replace("prompt", "promt").replace("answer", "anser"))
    with pytest.raises(UserError) as caught:
        suites_of(dataclasses.replace(EvalConfig(), suites=[str(task)]))
    lines = str(caught.value).split("\n")
    assert len(lines) == 2
    assert all(line.startswith("eval.suites: ") for line in lines)


def test_asking_whether_a_suite_changed_loads_no_torch() -> None:
    script = (
        "import sys, smallm.evaluate.recipe_suites; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
