"""Every usual format gives the same conversations; what cannot be read stops with its place and a remedy."""

from __future__ import annotations

from typing import Any

import pytest
from finetune.any_conversation import conversations, words
from hypothesis import assume, given, settings

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.finetune.examples import END_TOKENS, Example, Message
from smallm.finetune.formats import BAKED, NO_SYSTEM, STRIPPED, Converter, detect_format

CLASSES = FinetuneConfig(task="classification")


def converter(record: Any, source: TuneSource | None = None, tune: FinetuneConfig | None = None) -> Converter:
    records = record if isinstance(record, list) else [record]
    return Converter(source or TuneSource(), tune or FinetuneConfig(), "set", first=records)


def converted(record: Any, source: TuneSource | None = None, tune: FinetuneConfig | None = None) -> Example:
    (one,) = converter(record, source, tune)(record, "f:1")
    return one


def texts(one: Example) -> list[str]:
    return [m["content"] for m in one.messages]


def unmarked(messages: list[Message]) -> bool:
    return not any(m["content"].rstrip().endswith(END_TOKENS) for m in messages)


# ---- there and back ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(conversations())
def test_any_conversation_survives_messages_and_sharegpt(messages: list[Message]) -> None:
    assume(unmarked(messages))
    assert list(converted({"messages": messages}).messages) == messages
    parts = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    assert list(converted({"messages": parts}).messages) == messages
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = [{"from": names[m["role"]], "value": m["content"]} for m in messages]
    assert list(converted({"conversations": turns}).messages) == messages


@settings(deadline=None)
@given(conversations())
def test_any_conversation_survives_trls_two_lists(messages: list[Message]) -> None:
    assume(unmarked(messages))
    record = {"prompt": messages[:-1], "completion": messages[-1:]}
    assert list(converted(record).messages) == messages


@settings(deadline=None)
@given(words, words)
def test_any_pair_survives_every_format_of_pairs(asked: str, answer: str) -> None:
    assume(unmarked([Message(role="assistant", content=answer)]))
    for names in (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("instruction", "output")):
        assert texts(converted(dict(zip(names, (asked, answer), strict=True)))) == [asked, answer], names
    named = TuneSource(input="a", output="b")
    assert texts(converted({"a": asked, "b": answer}, named)) == [asked, answer]
    templated = TuneSource(prompt="{{a}}", answer="{{b}}")
    assert texts(converted({"a": asked, "b": answer}, templated)) == [asked, answer]


@settings(deadline=None)
@given(words)
def test_any_text_is_one_message_of_role_text(text: str) -> None:
    assume(unmarked([Message(role="text", content=text)]))
    assert list(converted({"text": text}).messages) == [{"role": "text", "content": text}]


# ---- the rule of each format ---------------------------------------------------------------------------------------


def test_alpaca_joins_instruction_and_input_by_a_blank_line() -> None:
    assert texts(converted({"instruction": "Add.", "input": "1, 2", "output": "3"})) == ["Add.\n\n1, 2", "3"]
    assert texts(converted({"instruction": "Add.", "input": "", "output": "3"})) == ["Add.", "3"]
    assert texts(converted({"instruction": "Add.", "input": None, "output": "3"})) == ["Add.", "3"]
    dolly = {"instruction": "Who?", "context": "Ann came.", "response": "Ann", "category": "qa"}
    made = converted(dolly)
    assert texts(made) == ["Who?\n\nAnn came.", "Ann"]
    assert made.fields == {"category": "qa", "input": "Ann came."}


def test_nested_instances_are_an_example_each() -> None:
    record = {"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}, {"input": "", "output": "0"}]}
    made = converter(record)(record, "f:7")
    assert [texts(one) for one in made] == [["Add.\n\n1, 2", "3"], ["Add.", "0"]]
    assert [one.place for one in made] == ["f:7, instance 1", "f:7, instance 2"]


def test_a_passage_stands_before_its_question_and_is_the_cluster() -> None:
    tune = FinetuneConfig(task="qa")
    first = converted({"question": "Who?", "answer": "Ann", "context": "Ann came."}, tune=tune)
    other = converted({"question": "What?", "answer": "came", "context": "Ann  CAME."}, tune=tune)
    assert texts(first)[0] == "Answer the question from this text.\n\nAnn came.\n\nQuestion: Who?"
    assert first.cluster == other.cluster != ""
    assert texts(converted({"question": "Who?", "answer": "Ann"}, tune=tune))[0] == "Who?"
    german = FinetuneConfig(task="qa", language="de")
    assert texts(converted({"question": "Wer?", "answer": "A", "context": "B"}, tune=german))[0].startswith("Beantwort")


def test_the_language_of_a_translation_is_that_of_the_answers_column() -> None:
    record = {"english": "a house", "german": "ein Haus"}
    tune = FinetuneConfig(task="translation", language="en")
    there = converted(record, TuneSource(input="english", output="german"), tune)
    back = converted(record, TuneSource(input="german", output="english"), tune)
    assert texts(there) == ["Translate into German.\n\na house", "ein Haus"]
    assert texts(back) == ["Translate into English.\n\nein Haus", "a house"]
    assert there.fields["input"] == "a house"


def test_fields_below_fields_are_named_with_dots_and_templates() -> None:
    record = {"translation": {"en": "a house", "de": "ein Haus"}}
    tune = FinetuneConfig(task="translation", language="de")
    source = TuneSource(prompt="Translate into German: {{translation.en}}", answer="{{translation.de}}")
    made = converted(record, source, tune)
    assert texts(made) == ["Translate into German: a house", "ein Haus"]
    assert made.fields == {"input": "a house"}, "what is asked about, without the template's words"
    dotted = TuneSource(input="translation.en", output="translation.de")
    assert texts(converted(record, dotted, tune)) == ["Translate into German.\n\na house", "ein Haus"]


def test_labels_that_are_numbers_get_their_names() -> None:
    source = TuneSource(input="text", output="label", label_names=["bad", "good"])
    for value in (1, "1", 1.0, True, "good"):
        made = converted({"text": "fine", "label": value}, source, CLASSES)
        assert (made.answer, made.fields["label"]) == ("good", "good"), value
    for value in (2, -1, "2", None, "", "fair", 0.5):
        with pytest.raises(UserError, match=r"^f:1: label .*label_names"):
            converted({"text": "fine", "label": value}, source, CLASSES)


def test_the_recipes_template_comes_before_the_tasks_and_the_sets_before_both() -> None:
    record = {"text": "fine", "label": "good"}
    tune = FinetuneConfig(task="classification", labels=["good", "bad"])
    own = FinetuneConfig(task="classification", labels=["good", "bad"], prompt="R {{input}}")
    assert texts(converted(record, tune=tune))[0] == "Classify this text as one of: good, bad.\n\nfine"
    assert texts(converted(record, tune=own))[0] == "R fine"
    source = TuneSource(prompt="S {{text}} of {{labels|join('/')}}", output="label")
    assert texts(converted(record, source, own))[0] == "S fine of good/bad"


def test_a_system_field_is_the_system_message_and_an_empty_one_is_left_out_and_counted() -> None:
    made = converted(
        {"system": "Be kind.", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    )
    assert [m["role"] for m in made.messages] == ["system", "user", "assistant"]
    record = {"messages": [Message(role=r, content=c) for r, c in (("system", ""), ("user", "a"), ("assistant", "b"))]}
    reader = converter(record)
    (one,) = reader(record, "f:1")
    assert [m["role"] for m in one.messages] == ["user", "assistant"]
    assert reader.changed == {NO_SYSTEM: 1}


def test_end_tokens_of_other_models_are_taken_off_every_answer_and_counted() -> None:
    record = {"messages": [
        Message(role="user", content="a<|im_end|>"), Message(role="assistant", content="b<|im_end|>"),
        Message(role="user", content="c"), Message(role="assistant", content="d<|im_end|>"),
    ]}  # fmt: skip
    reader = converter(record)
    assert texts(reader(record, "f:1")[0]) == ["a<|im_end|>", "b", "c", "d"]
    assert reader.changed == {f"{STRIPPED}: <|im_end|>": 2}
    with pytest.raises(UserError, match="empty"):
        converted({"prompt": "a", "completion": "<|endoftext|>"})


def test_a_baked_alpaca_template_is_taken_as_it_is_and_counted() -> None:
    record = {"prompt": "Below is …\n\n### Instruction:\nHi\n\n### Response:\n", "response": "Yo"}
    reader = converter(record)
    assert texts(reader(record, "f:1")[0]) == [record["prompt"], "Yo"]
    assert reader.changed == {BAKED: 1}


def test_other_short_fields_stay_for_evaluation() -> None:
    record = {"prompt": "a", "completion": "b", "topic": "t", "n": 3, "ok": True, "long": "x" * 501, "none": None}
    odd = {"nan": float("nan"), "half": "\ud83d", "list": ["u", "v"], "deep": {"a": 1}, "many": list(range(21))}
    assert converted(record | odd).fields == {"topic": "t", "n": 3, "ok": True, "list": ["u", "v"]}


# ---- finding the format --------------------------------------------------------------------------------------------

TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SHARED = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"messages": TURNS, "text": "a b"}, "messages"),
        ({"conversations": TURNS}, "messages"),
        ({"conversations": SHARED}, "sharegpt"),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca"),
        ({"instruction": "a", "output": "b"}, "alpaca"),
        ({"prompt": "a", "completion": "b", "template": "t"}, "prompt-completion"),
        ({"input": "a", "output": "b"}, "prompt-completion"),
        ({"text": "a", "url": "b"}, "text"),
    ],
)
def test_the_format_is_found_in_the_fields(record: dict[str, Any], expected: str) -> None:
    assert detect_format([record] * 3) == (expected, 3)


def test_the_majority_of_the_first_hundred_decides_and_a_record_of_another_shape_then_stops() -> None:
    records = [{"prompt": "a", "completion": "b"}] * 60 + [{"messages": TURNS}] * 40
    assert detect_format(records) == ("prompt-completion", 60)
    reader = converter(records)
    assert (reader.format, reader.found_in) == ("prompt-completion", 60)
    with pytest.raises(UserError, match=r"^f:61: no field `prompt`, which .* \(fields: messages\)"):
        reader(records[60], "f:61")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"messages": TURNS, "prompt": "a", "completion": "b"}, "fit messages and prompt-completion"),
        ({"text": "a", "label": "b"}, r"texts with a label .*format: text"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preferred answers"),
        ({"table": [1], "questions": [2]}, r"no format fits .*fields: table, questions"),
        ({}, "no format fits"),
    ],
)
def test_what_may_be_two_formats_or_is_none_is_an_error_that_names_them(record: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        detect_format([record] * 3)


def test_two_pairs_of_fields_are_ambiguous_until_the_recipe_names_one() -> None:
    record = {"question": "a", "answer": "b", "response": "c"}
    with pytest.raises(UserError, match=r"question \+ answer, question \+ response.*`input:` and `output:`"):
        converter(record)
    assert texts(converted(record, TuneSource(input="question", output="response"))) == ["a", "c"]


def test_the_recipe_overrides_what_would_be_found() -> None:
    record = {"messages": TURNS, "prompt": "p", "completion": "c"}
    assert texts(converted(record, TuneSource(format="messages"))) == ["a", "b"]
    assert texts(converted(record, TuneSource(format="prompt-completion"))) == ["p", "c"]
    with pytest.raises(UserError, match=r"^f:1: not a record of format sharegpt .*conversations"):
        converted(record, TuneSource(format="sharegpt"))
    with pytest.raises(UserError, match="format alpaca, but no record has its fields"):
        converted(record, TuneSource(format="alpaca"))


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "source", "said"),
    [
        ({"text": "a"}, TuneSource(prompt="{{txet}}", answer="x"), r"no field `txet`.*fields: text.*mean `text`"),
        ({"text": "a", "x": None}, TuneSource(prompt="{{x}}", answer="y"), "a field in it is null"),
        ({"text": "a", "x": ["b"]}, TuneSource(prompt="{{x}}", answer="y"), "a list in it is no text"),
        ({"text": "a", "o": " "}, TuneSource(input="text", output="o"), "field `o` is empty"),
        ({"text": "a", "o": None}, TuneSource(input="text", output="o"), "field `o` is null, not text"),
        ({"text": "a", "o": ["b"]}, TuneSource(input="text", output="o"), "field `o` is a list, not text"),
        ({"text": "a"}, TuneSource(input="text", output="o"), r"no field `o`, which `finetune.data\[0\].output` names"),
        ({"text": "a", "o": "b"}, TuneSource(input="text", output="o", cluster="c"), r"no field `c`.*cluster"),
        ({"text": "a", "o": "b"}, TuneSource(input="text", output="o", context="c"), r"no field `c`.*context"),
        ({"text": "a", "o": "b"}, TuneSource(input="text", output="o", answer="{{o[5:]}}"), "the answer is empty"),
    ],
)
def test_a_field_that_is_missing_or_no_text_stops_with_place_and_key(
    record: dict[str, Any], source: TuneSource, said: str
) -> None:
    with pytest.raises(UserError, match=rf"^f:1: .*{said}"):
        converted(record, source)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"messages": [*TURNS[:1], {**TURNS[1], "tool_calls": [{"id": 1}]}]}, r"`tool_calls`: a call of tools"),
        ({"messages": [*TURNS[:1], {**TURNS[1], "weight": 0}]}, "weight 0"),
        ({"messages": [{"role": "user"}, TURNS[1]]}, "message 1 has no `content`"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, TURNS[1]]}, "part of type `image_url`"),
        ({"messages": [TURNS[0], {"role": "assistant", "content": [{"type": "thinking", "text": "x"}]}]}, "`thinking`"),
        ({"messages": TURNS, "tools": [{"name": "f"}]}, "`tools` is not read"),
        ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, "`history` is not read"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "observation", "value": "b"}]}, "`observation`"),
    ],
)
def test_what_would_be_lost_silently_is_refused(record: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=rf"^f:1: .*{said}"):
        converted(record)


def test_a_passage_that_the_first_records_lack_is_found_or_asked_for() -> None:
    records = [{"question": "A?", "answer": "B", "context": None}, {"question": "C?", "answer": "D", "context": "E F."}]
    qa = FinetuneConfig(task="qa")
    both = converter(records, tune=qa)
    assert "E F." in texts(both(records[1], "f:2")[0])[0]
    first_alone = converter(records[:1], tune=qa)
    with pytest.raises(UserError, match=r"^f:2: the field `context` holds text, .*\[0\]\.context: context"):
        first_alone(records[1], "f:2")
    with pytest.raises(UserError, match="the field `context` holds text"):
        converted({"prompt": "a", "completion": "b", "context": "c"})


def test_a_number_that_is_none_is_no_answer() -> None:
    with pytest.raises(UserError, match=r"^f:1: field `label` is nan: an empty cell\?"):
        converted({"text": "a", "label": float("nan")}, TuneSource(input="text", output="label"), CLASSES)


def test_blanks_around_a_label_make_no_class_and_an_answer_that_cannot_be_scored_stops() -> None:
    tune = FinetuneConfig(task="classification", labels=["positive", "negative"])
    assert texts(converted({"text": "a", "label": "positive "}, tune=tune))[1] == "positive"
    source = TuneSource(input="text", output="label", answer="not negative but {{label}}")
    with pytest.raises(UserError, match=r"names the class 'negative' first, and its label is 'positive'"):
        converted({"text": "a", "label": "positive"}, source, tune)
    with pytest.raises(UserError, match="names no class"):
        converted({"text": "a", "label": "positive"}, TuneSource(input="text", output="label", answer="yes"), tune)


def test_a_label_outside_the_classes_is_refused_with_the_nearest() -> None:
    tune = FinetuneConfig(task="classification", labels=["positive", "negative"])
    with pytest.raises(UserError, match=r"^f:1: label `negativ` is none of the 2 classes .*mean `negative`"):
        converted({"text": "a", "label": "negativ"}, tune=tune)
    with pytest.raises(UserError, match="label `fair` is none of"):
        converted({"messages": [TURNS[0], {"role": "assistant", "content": "fair"}]}, tune=tune)


def test_a_template_that_is_none_is_told_by_its_key() -> None:
    with pytest.raises(UserError, match=r"finetune\.data\[0\]\.prompt: `\{\{text` is not a template"):
        converter({"text": "a"}, TuneSource(prompt="{{text", output="text"))
    with pytest.raises(UserError, match=r"which field is learned\?"):
        converter({"text": "a"}, TuneSource(prompt="{{text}}"))
    with pytest.raises(UserError, match=r"which field is asked about\?"):
        converter({"text": "a"}, TuneSource(output="text"))
    with pytest.raises(UserError, match=r"\.input has no use for records of format messages"):
        converter({"messages": TURNS}, TuneSource(format="messages", input="text"))
