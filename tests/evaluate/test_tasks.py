"""Laws of task files: five lines are enough, every mistake is told with its place, an item is known by its content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.evaluate.task_items import count_words, load_task, windows
from smallm.evaluate.task_keys import KEYS
from smallm.evaluate.tasks import Task, item_id, read_task

FIVE_LINES = """\
task: capitals
data: capitals.jsonl
prompt: "Question: {{question}}\\nAnswer:"
choices: choices
answer: answer
"""
ROWS = [
    {"question": "The capital of France?", "choices": ["Paris", "Rome"], "answer": 0},
    {"question": "The capital of Italy?", "choices": ["Paris", "Rome"], "answer": "B"},
    {"question": "The capital of Spain?", "choices": ["Paris", "Madrid", "Rome"], "answer": "Madrid"},
]


def write(folder: Path, rows: list[dict[str, Any]] | str, text: str = FIVE_LINES) -> Path:
    lines = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "capitals.jsonl").write_text(lines, "utf-8")
    (folder / "task.yaml").write_text(text, "utf-8")
    return folder / "task.yaml"


def load(folder: Path, rows: Any = ROWS, text: str = FIVE_LINES) -> Task:
    return load_task(read_task(write(folder, rows, text)), [])


def refusal(folder: Path, rows: Any = ROWS, text: str = FIVE_LINES) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, rows, text)
    return str(caught.value)


def test_a_task_of_ones_own_is_a_jsonl_and_five_lines_of_yaml(tmp_path: Path):
    task = load(tmp_path)
    assert (task.name, task.kind, task.metrics, task.primary) == ("capitals", "choice", ("acc", "acc_norm"), "acc")
    assert [item.prompt for item in task.items] == [f"Question: {row['question']}\nAnswer:" for row in ROWS]
    assert [item.gold for item in task.items] == [0, 1, 1]
    assert [item.answer for item in task.items] == [("Paris",), ("Rome",), ("Madrid",)]
    assert all(item.cluster == item.id for item in task.items)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROWS[0], {"question": "x", "answer": 0}], "capitals.jsonl:2: task capitals: no field `choices`"),
        ([{**ROWS[0], "answer": 2}], "the answer is 2, outside the choices (0 to 1)"),
        ([{**ROWS[0], "answer": "Berlin"}], "the answer is 'Berlin', outside the choices ('Paris', 'Rome')"),
        ([{**ROWS[0], "answer": "C"}], "the answer is 'C', outside the choices"),
        ([{**ROWS[0], "answer": True}], "the answer is 'True', outside the choices"),
        ([{**ROWS[0], "choices": ["Paris", " "]}], "capitals.jsonl:1: task capitals (", ),
        ([{**ROWS[0], "choices": ["Paris", " "]}], "choice 2 is empty"),
        ([{**ROWS[0], "choices": ["Paris", "Paris"]}], "two of `choices` are equal ('Paris')"),
        ([{**ROWS[0], "choices": ["Paris"]}], "a choice needs at least two"),
        ([{**ROWS[0], "choices": "Paris"}], "`choices` is 'Paris', not a list"),
        ([{**ROWS[0], "choices": ["Paris", None]}], "`choices` (", ),
        ([{**ROWS[0], "question": None}], "cannot be filled in: ValueError: a field in it is null"),
        ([{**ROWS[0], "question": "\ud83d"}], "half of a surrogate pair"),
        ([], "no items in its data"),
        ('{"question": 1}\nnot json\n', "capitals.jsonl:1: task capitals: no field `choices`"),
        ("not json\n", "capitals.jsonl:1: not JSON"),
        ("[1]\n", "capitals.jsonl:1: a JSON list, not an object"),
    ],
)  # fmt: skip
def test_a_bad_record_is_refused_with_its_file_and_line(tmp_path: Path, rows: Any, message: str):
    assert message in refusal(tmp_path, rows)


def test_bytes_that_are_no_utf8_are_refused_with_their_line(tmp_path: Path):
    path = write(tmp_path, ROWS)
    good = (tmp_path / "capitals.jsonl").read_bytes()
    (tmp_path / "capitals.jsonl").write_bytes(good + b'{"question": "\xe4"}\n')
    with pytest.raises(UserError, match=rf"capitals\.jsonl:4: byte {len(good) + 14} \(0xe4\) is not UTF-8"):
        load_task(read_task(path), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FIVE_LINES + "promt: x\n", "task.yaml:6: promt is not a key of a task. Did you mean `prompt`?"),
        (FIVE_LINES.replace("task: capitals\n", ""), "no `task`: a task needs a name"),
        (FIVE_LINES.replace("task: capitals", "task: a/b"), "task.yaml:1: task is `a/b`; it must be letters"),
        (FIVE_LINES.replace("data: capitals.jsonl\n", ""), "say where the items come from"),
        (FIVE_LINES.replace("answer: answer\n", ""), "no `answer`, which a choice task needs"),
        ("task: x\ndata: y\n", "task.yaml:1: task x: nothing to score"),
        (FIVE_LINES + "metrics: [acc, bluu]\n", "task.yaml:6: metrics: bluu is not known"),
        (FIVE_LINES + "metrics: [acc, bluu]\n", "Did you mean `bleu`?"),
        (FIVE_LINES + "metrics: bleu\n", "bleu is no metric of a choice task"),
        (FIVE_LINES + "metrics: ['evaluate:rouge', acc]\n", "the primary metric (the first) must be one of ours"),
        (FIVE_LINES + "metrics: macro_f1\n", "macro_f1 needs the same labels for all items"),
        (FIVE_LINES + "shots: -1\n", "shots is `-1`; it must be a whole number"),
        (FIVE_LINES + "shots: true\n", "shots is `True`; it must be a whole number"),
        (FIVE_LINES + "chat: 1\n", "chat is `1`; it must be true or false"),
        (FIVE_LINES + "until: x\n", "`until` has no effect in a choice task"),
        (FIVE_LINES + "hub: {nme: x}\n", "hub is"),
        (FIVE_LINES + "hub: {name: x, splt: y}\n", "hub.splt is not a key of `hub`. Did you mean `split`?"),
        (FIVE_LINES + "contexts: [a, b]\n", "either `choices` or `contexts`"),
        (FIVE_LINES + "items_per_source: 3\n", "items_per_source needs `source`"),
        (FIVE_LINES + "reader: conl\n", "task.yaml:6: task capitals: reader is `conl`; it must be one of"),
        (FIVE_LINES.replace("{{question}}", "{{question"), "task.yaml:3: task capitals: `prompt` is not a template"),
        (FIVE_LINES.replace("{{question}}", "{{qestion}}"), "no field `qestion`, which `prompt` ("),
        (FIVE_LINES.replace("{{question}}", "{{qestion}}"), "Did you mean `question`?"),
        (FIVE_LINES.replace("{{question}}", "{{question + 1}}"), "cannot be filled in: TypeError"),
        (FIVE_LINES.replace("{{question}}", "{{question.__class__.mro()}}"), "`prompt` ("),
        (FIVE_LINES + "where: answer ==\n", "`where` is not a template"),
        (FIVE_LINES + "where: answer == 'none'\n", "no items in its data. Is `where` ever true?"),
        (FIVE_LINES + "shots: 3\n", "there are only 3 examples that are not asked"),
        ("", "is empty; a task needs"),
        ("task: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_task_file_is_told_with_line_and_remedy(tmp_path: Path, text: str, message: str):
    assert message in refusal(tmp_path, text=text)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path):
    said = refusal(tmp_path, text=FIVE_LINES + "promt: x\nshots: no number\n")
    assert "promt" in said
    assert "shots" in said


def test_an_answer_of_text_wins_over_the_letter_and_the_number(tmp_path: Path):
    rows = [
        {"question": "?", "choices": ["B", "A"], "answer": "A"},
        {"question": "?", "choices": ["1", "0"], "answer": "0"},
        {"question": "?", "choices": ["1", "0"], "answer": 0},
        {"question": "?", "choices": ["yes", "no"], "answer": "b"},
        {"question": "?", "choices": ["yes", "no"], "answer": "1"},
    ]
    assert [item.gold for item in load(tmp_path, rows).items] == [1, 1, 0, 1, 1]


def test_equal_choices_are_kept_where_the_task_says_so(tmp_path: Path):
    rows = [{**ROWS[0], "choices": ["Paris", "Paris"]}]
    assert load(tmp_path, rows, FIVE_LINES + "duplicates: keep\n").items[0].gold == 0


def test_contexts_are_choices_that_the_continuation_follows(tmp_path: Path):
    text = "task: w\ndata: capitals.jsonl\ncontexts: options\ncontinuation: '{{rest}}'\nanswer: gold\n"
    rows = [{"options": ["Ann gave it to Bo since Ann", "Ann gave it to Bo since Bo"], "rest": "liked it.", "gold": 0}]
    item = load(tmp_path, rows, text).items[0]
    assert (item.prompt, item.continuation, item.gold) == ("", "liked it.", 0)
    assert "the continuation is empty" in refusal(tmp_path, [{**rows[0], "rest": " "}], text)


def test_the_kind_follows_from_the_keys(tmp_path: Path):
    rows = [{"context": "a b", "target": "c", "text": "some words here"}]
    head = "task: x\ndata: capitals.jsonl\n"
    likely = load(tmp_path, rows, head + "prompt: context\ncontinuation: target\n")
    assert (likely.kind, likely.items[0].choices, likely.primary) == ("continuation", ("c",), "acc")
    written = load(tmp_path, rows, head + "prompt: context\nanswer: target\n")
    assert (written.kind, written.items[0].answer, written.items[0].choices) == ("generate", ("c",), ())
    whole = load(tmp_path, rows, head + "text: text\n")
    assert (whole.kind, whole.items[0].bytes, whole.items[0].words) == ("perplexity", 15, 3)


def test_items_are_known_by_their_content_and_not_by_their_place(tmp_path: Path):
    there = load(tmp_path).items
    back = load(tmp_path, ROWS[::-1]).items
    assert {item.id for item in there} == {item.id for item in back}
    assert len(there[0].id) == 16
    assert int(there[0].id, 16)


def test_exact_repeats_get_numbers(tmp_path: Path):
    ids = [item.id for item in load(tmp_path, [ROWS[0], ROWS[1], ROWS[0], ROWS[0]]).items]
    assert ids[2:] == [ids[0] + "-2", ids[0] + "-3"]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda rows, text: ([*rows[:2], {**rows[2], "question": "Spain's capital?"}], text),
        lambda rows, text: ([*rows[:2], {**rows[2], "choices": ["Paris", "Madrid", "Oslo"]}], text),
        lambda rows, text: ([*rows[:2], {**rows[2], "answer": "Rome"}], text),
        lambda rows, text: (rows[:2], text),
        lambda rows, text: (rows[::-1], text),
        lambda rows, text: (rows, text.replace("Question:", "Q:")),
        lambda rows, text: (rows, text + "target_delimiter: ''\n"),
        lambda rows, text: (rows, text + "description: 'Geography. '\n"),
        lambda rows, text: (rows, text + "shots: 1\n"),
        lambda rows, text: (rows, text + "chat: true\n"),
        lambda rows, text: (rows, text + "source: question\n"),
    ],
)
def test_the_version_changes_with_items_templates_and_settings(tmp_path: Path, change: Any):
    assert load(tmp_path).version != load(tmp_path, *change(ROWS, FIVE_LINES)).version


def test_the_version_is_the_same_for_the_same_task_and_for_part_of_it(tmp_path: Path):
    task = load(tmp_path)
    again = load(tmp_path, text=FIVE_LINES + "about: other words\nmetrics: [acc_norm]\n")
    assert task.version == again.version == task.limited(1).version


def test_a_limit_draws_by_content_so_that_small_samples_are_part_of_large_ones(tmp_path: Path):
    rows = [{**ROWS[0], "question": f"Number {i}?"} for i in range(50)]
    task, back = load(tmp_path, rows), load(tmp_path, rows[::-1])
    ten, twenty = ({item.id for item in task.limited(n).items} for n in (10, 20))
    assert len(ten) == 10
    assert ten < twenty
    assert ten == {item.id for item in back.limited(10).items}
    assert {item.id for item in load(tmp_path, rows, FIVE_LINES + "items: 10\n").items} == ten
    order = [item.id for item in task.items]
    assert [i for i in order if i in ten] == [item.id for item in task.limited(10).items]


def test_a_split_by_hash_keeps_every_item_on_its_side(tmp_path: Path):
    rows = [{**ROWS[0], "question": f"Number {i}?"} for i in range(400)]
    text = FIVE_LINES + "test_share: 0.2\n"
    all_ids = {item.id for item in load(tmp_path, rows).items}
    test = {item.id for item in load(tmp_path, rows, text).items}
    few = {item.id for item in load(tmp_path, rows[:100], text).items}
    assert test < all_ids
    assert few < test
    # 80 expected, standard deviation 8: outside 40 to 120 with probability below 1e-6.
    assert 40 < len(test) < 120


def test_examples_are_the_same_for_all_items_and_never_an_item_itself(tmp_path: Path):
    rows = [{**ROWS[0], "question": f"Number {i}?"} for i in range(30)]
    task = load(tmp_path, rows, FIVE_LINES + "shots: 3\n")
    assert len(task.shots) == 3
    assert len(task.items) == 27
    asked = {item.prompt for item in task.items}
    assert not asked & {prompt for prompt, _ in task.shots}
    assert all(answer == "Paris" for _, answer in task.shots)


def test_examples_come_from_the_top_of_the_training_file_without_those_that_are_asked(tmp_path: Path):
    train = [ROWS[1], *({**ROWS[0], "question": f"Number {i}?"} for i in range(5))]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in train))
    task = load(tmp_path, text=FIVE_LINES + "train: train.jsonl\nshots: 2\n")
    assert [prompt for prompt, _ in task.shots] == [f"Question: Number {i}?\nAnswer:" for i in range(2)]
    assert len(task.items) == 3


def test_items_that_share_a_passage_share_a_cluster(tmp_path: Path):
    rows = [{**row, "book": {"id": name}} for row, name in zip(ROWS, ("a", "a", ""), strict=True)]
    items = load(tmp_path, rows, FIVE_LINES + "cluster: book.id\nsource: '{{choices|length}} choices'\n").items
    assert [item.cluster for item in items] == ["a", "a", items[2].id]  # nothing there: it stands alone
    assert [item.source for item in items] == ["2 choices", "2 choices", "3 choices"]


def test_so_many_items_of_each_source(tmp_path: Path):
    rows = [{**ROWS[0], "question": f"{s} {i}?", "s": s} for s in "ab" for i in range(10)]
    items = load(tmp_path, rows, FIVE_LINES + "source: s\nitems_per_source: 4\n").items
    assert [item.source for item in items] == ["a"] * 4 + ["b"] * 4


def test_a_prompt_that_ends_in_a_space_before_the_delimiter_is_warned_of(tmp_path: Path, capsys: Any):
    load(tmp_path, text=FIVE_LINES.replace("Answer:", "Answer: "))
    assert "ends in a space" in capsys.readouterr().err


@given(st.text(min_size=1))
def test_words_are_counted_as_lm_eval_counts_them(text: str):
    import re

    assert count_words(text) == len(re.split(r"\s+", text))


@given(st.text(alphabet="ab \n", max_size=200), st.integers(3, 20))
def test_windows_hold_all_words_of_a_text_in_order_and_none_is_too_long(text: str, size: int):
    pieces = list(windows(text, size))
    assert "".join("".join(piece.split()) for piece in pieces) == "".join(text.split())
    assert all(0 < len(piece) <= size and piece.strip() == piece for piece in pieces)


@given(st.lists(st.text(max_size=5), min_size=2, max_size=4), st.lists(st.text(max_size=5), min_size=2, max_size=4))
def test_different_contents_have_different_ids(a: list[str], b: list[str]):
    same = a == b
    assert (item_id(a[0], a[1:], ()) == item_id(b[0], b[1:], ())) == same
    assert (item_id("", a, ()) == item_id("", b, ())) == same
    assert item_id("", a, ()) != item_id("", (), a)


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text("utf-8")


def block(language: str) -> str:
    """The first code block of this language on the page."""
    return PAGE.split(f"```{language}\n")[1].split("```")[0]


def test_the_page_of_evaluation_lists_every_key_as_it_is():
    for name, key in KEYS.items():
        assert f"| `{name}` | {key.about.replace('|', '/')} |" in PAGE


def test_the_task_on_the_page_is_five_lines_and_runs(tmp_path: Path):
    assert block("yaml") == FIVE_LINES
    task = load(tmp_path, block("json"), block("yaml"))
    assert task.items[0].answer == ("Paris",)


def test_the_lines_of_pandas_on_the_page_read_the_items(tmp_path: Path, capsys: Any):
    from fake_scorer import FakeScorer

    from smallm.evaluate.results import ModelFacts, write_result
    from smallm.evaluate.run_tasks import run_task

    result = run_task(load(tmp_path), FakeScorer())
    facts = ModelFacts("m", None, "a" * 64, "b" * 64, None, {})
    path = write_result(tmp_path, "m", "s", facts, [result]).with_suffix(".items.parquet")
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) == 4
    exec(code, {"path": path})
    printed = capsys.readouterr().out
    assert f"capitals    {result.summary.metrics['acc']['value']:.6f}" in printed
