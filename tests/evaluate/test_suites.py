"""Laws of suites: packaged ones are whole and say licence and origin, mistakes are told, prompts are lm-eval's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smallm.core.errors import UserError
from smallm.evaluate.suites import load_suite, narrowed, packaged_suites, pick
from smallm.evaluate.task_files import Record
from smallm.evaluate.task_items import load_task
from smallm.evaluate.templates import getter

TASK = "  - task: a\n    data: a.jsonl\n    prompt: p\n    answer: a\n"


def write(folder: Path, text: str, name: str = "s.yaml") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


@pytest.mark.parametrize("name", ["core", "finance", "generation", "german", "legal", "smallm"])
def test_every_task_of_a_packaged_suite_says_its_licence_and_origin(name: str):
    suite = load_suite(name)
    assert suite.name == name
    assert suite.about
    assert suite.tasks
    for spec in suite.tasks:
        assert spec.packaged
        assert spec.values["licence"], spec.name
        assert spec.values["origin"], spec.name


def test_the_built_in_suite_needs_no_data():
    assert all(spec.values["synth"] for spec in load_suite("smallm").tasks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: s\ntask: x\n", r"s\.yaml:2: task is not a key of a suite. Did you mean `tasks`\?"),
        ("suite: s\ntasks: []\n", "a suite needs `tasks`"),
        ("tasks: [x]\n", "a suite needs a name"),
        ("suite: s\ntasks:\n" + TASK + TASK, r"s\.yaml:7: task a stands twice \(first at .*s\.yaml:3\)"),
        ("suite: s\ntasks:\n" + TASK + "    promt: x\n", r"s\.yaml:7: promt is not a key"),
        ("suite: s\ndefaults: 3\ntasks:\n" + TASK, "defaults must be"),
        ("suite: s\ntasks: [none.yaml]\n", r"s\.yaml:2: none\.yaml: no such file"),
        ("suite: s\ntasks: [core/arc_eazy]\n", "suite core has no task arc_eazy.* Did you mean arc_easy"),
        ("suite: s\ntasks: [3]\n", "a task is `key: value` lines"),
    ],
)
def test_a_mistake_in_a_suite_is_told_with_its_line(tmp_path: Path, text: str, message: str):
    message = message.replace("Did you mean arc_easy", "Did you mean `arc_easy`")
    with pytest.raises(UserError, match=message):
        load_suite(write(tmp_path, text))


def test_an_unknown_suite_is_answered_with_the_nearest_name():
    with pytest.raises(UserError, match=r"germann: no such suite; .* core, finance, .* Did you mean `german`\?"):
        load_suite("germann")


def test_a_file_that_is_not_there_is_answered_with_the_nearest_one(tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(UserError, match=r"mine\.yml: no such suite; .* Did you mean `mine\.yaml`\?"):
        load_suite("mine.yml")


def test_a_suite_takes_tasks_of_its_own_of_files_and_of_packaged_suites(tmp_path: Path):
    write(tmp_path, "task: mine\ndata: m.jsonl\nprompt: p\nanswer: a\n", "mine.yaml")
    head = "suite: s\nabout: mixed\ndefaults: {licence: MIT, shots: 2}\ntasks:\n"
    suite = load_suite(write(tmp_path, head + TASK + "  - mine.yaml\n  - core/piqa\n"))
    assert [spec.name for spec in suite.tasks] == ["a", "mine", "piqa"]
    assert [spec.values["shots"] for spec in suite.tasks] == [2, 0, 0]
    assert [spec.packaged for spec in suite.tasks] == [False, False, True]
    assert [spec.name for spec in narrowed(suite, ["piqa", "a"]).tasks] == ["a", "piqa"]
    with pytest.raises(UserError, match=r"has no task pica; .* Did you mean `piqa`\?"):
        pick(suite, ["pica"])


def test_a_task_file_is_a_suite_of_one(tmp_path: Path):
    suite = load_suite(write(tmp_path, "task: mine\ndata: m.jsonl\nprompt: p\nanswer: a\n", "mine.yaml"))
    assert (suite.name, len(suite.tasks)) == ("mine", 1)


def test_suites_that_name_each_other_are_refused(monkeypatch: Any):
    texts = {"x": "suite: x\ntasks: [y/b]\n", "y": "suite: y\ntasks: [x/a]\n"}
    monkeypatch.setattr("smallm.evaluate.suites.packaged_suites", lambda: texts)
    with pytest.raises(UserError, match=r"in a circle \(x -> y -> x\)"):
        load_suite("x")


def test_packaged_suites_are_found_as_package_data():
    assert {"core", "finance", "generation", "german", "legal", "smallm"} <= set(packaged_suites())


# ---- lm-eval's prompts ---------------------------------------------------------------------------------------------

HUB_ROWS: dict[str, dict[str, Any]] = {
    "arc_easy": {
        "question": "Which is a gas?",
        "choices": {"text": ["ice", "steam", "rock", "wood"], "label": ["A", "B", "C", "D"]},
        "answerKey": "B",
    },
    "piqa": {"goal": "Open a jar.", "sol1": "twist the lid", "sol2": "eat the lid", "label": 0},
    "winogrande": {"sentence": "Ann called Bo because _ was ill.", "option1": "Ann", "option2": "Bo", "answer": "2"},
    "lambada_openai": {"text": "They went to the river and swam in the river"},
    "hellaswag": {
        "activity_label": "Baking",
        "ctx_a": "A man [title] mixes  flour.",
        "ctx_b": "he then",
        "endings": [" adds [substeps] milk. ", "runs [title] off.", "sleeps", "x  y"],
        "label": "1",
    },
}


def mapped(name: str) -> tuple[Any, dict[str, Any]]:
    """The packaged task and its Hub row under the names of its templates."""
    spec = pick(load_suite("core"), [name])[0]
    row = HUB_ROWS[name]
    fields = spec.hub["fields"]
    record = Record(row, "row 1")
    found = {k: getter(spec, "hub", t if "{" in t else f"{{{{{t}}}}}")(record) for k, t in fields.items()}
    return spec, row | found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(HUB_ROWS))
def test_the_prompts_of_core_are_those_of_lm_eval(name: str):
    """Against the YAML and the functions of the installed lm-eval, on a row as the Hub has it."""
    import lm_eval
    import yaml
    from lm_eval.utils import apply_template

    spec, fields = mapped(name)
    record = Record(fields, "row 1")
    folder = Path(lm_eval.__file__).parent / "tasks"
    row = HUB_ROWS[name]
    if name == "winogrande":
        from lm_eval.tasks.winogrande.preprocess_winogrande import doc_to_choice, doc_to_target, doc_to_text

        assert getter(spec, "contexts")(record) == doc_to_choice(row)
        assert getter(spec, "continuation")(record) == doc_to_target(row)
        assert getter(spec, "answer")(record) == doc_to_text(row)
        return
    if name == "hellaswag":
        from lm_eval.tasks.hellaswag.utils import preprocess

        context = row["ctx_a"] + " " + row["ctx_b"].capitalize()
        assert getter(spec, "prompt")(record) == preprocess(row["activity_label"] + ": " + context)
        assert getter(spec, "choices")(record) == [preprocess(ending) for ending in row["endings"]]
        assert getter(spec, "answer")(record) == int(row["label"])
        return
    files = {"arc_easy": "arc/arc_easy.yaml", "piqa": "piqa/piqa.yaml", "lambada_openai": "lambada/lambada_openai.yaml"}
    theirs = yaml.safe_load((folder / files[name]).read_text("utf-8"))
    assert getter(spec, "prompt")(record) == apply_template(theirs["doc_to_text"], row)
    if name == "lambada_openai":
        delimiter = spec.values["target_delimiter"]
        assert delimiter + getter(spec, "continuation")(record) == apply_template(theirs["doc_to_target"], row)
    else:
        assert str(getter(spec, "choices")(record)) == apply_template(theirs["doc_to_choice"], row)
        answer = theirs["doc_to_target"]
        wanted = apply_template(answer, row) if "{" in answer else row[answer]
        assert getter(spec, "answer")(record) == int(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arc_easy", "piqa", "winogrande", "lambada_openai", "blimp"])
def test_the_files_of_core_give_all_their_items(shared_data: Callable[[str], Path], name: str):
    wanted = {"arc_easy": 2376, "piqa": 1838, "winogrande": 1267, "lambada_openai": 5153, "blimp": 67_000}
    place = shared_data("blimp" if name == "blimp" else f"eval/{name}.jsonl.gz")
    spec = pick(load_suite("core"), [name])[0]
    task = load_task(spec, [place.parent if name == "blimp" else place.parent.parent])
    assert len(task.items) == wanted[name]
    assert len({item.id for item in task.items}) == wanted[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["german", "finance", "legal", "generation"])
def test_the_other_suites_read_their_files(shared_data: Callable[[str], Path], name: str):
    root = shared_data("INDEX.md").parent
    for spec in load_suite(name).tasks:
        task = load_task(spec, [root])
        assert len(task.items) >= 80, spec.name
        assert len({item.cluster for item in task.items}) >= 50, spec.name
