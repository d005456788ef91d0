"""What is an example: the law of a conversation, its id, what counts as the same, what is taken off an answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from finetune.any_conversation import conversations, words
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.finetune.examples import (
    Message,
    checked,
    content_id,
    convert,
    example,
    normal,
    prompt_text,
    strip_end_token,
)


def turn(role: str, content: Any = "x") -> Message:
    return Message(role=role, content=content)


@settings(deadline=None)
@given(conversations())
def test_every_conversation_in_turns_that_ends_with_an_answer_is_one(messages: list[Message]) -> None:
    assert list(checked(messages, "p")) == messages


@settings(deadline=None)
@given(conversations(), st.randoms())
def test_a_conversation_with_a_turn_left_out_or_two_exchanged_is_none(messages: list[Message], random: Any) -> None:
    first = 1 if messages[0]["role"] == "system" else 0
    at = random.randrange(first, len(messages))
    with pytest.raises(UserError):
        checked(messages[:at] + messages[at + 1 :], "p")
    at = random.randrange(first, len(messages) - 1)
    exchanged = [*messages[:at], messages[at + 1], messages[at], *messages[at + 2 :]]
    with pytest.raises(UserError):
        checked(exchanged, "p")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "no messages"),
        ([turn("user"), turn("tool"), turn("assistant")], "message 2 has the role `tool`"),
        ([turn("developer"), turn("user"), turn("assistant")], "write it as `system`"),
        ([turn("user"), turn("user"), turn("assistant")], "message 2 is the user's where the assistant's"),
        ([turn("assistant")], "message 1 is the assistant's where the user's"),
        ([turn("user"), turn("system"), turn("assistant")], "message 2 is the system's"),
        ([turn("user")], "ends with the user's message"),
        ([turn("system")], "ends with the system's message"),
        ([turn("user"), turn("assistant", " \n")], r"message 2 \(assistant\) is empty"),
        ([turn("user", ""), turn("assistant")], r"message 1 \(user\) is empty"),
        ([turn("user"), turn("assistant", None)], r"the content of message 2 \(assistant\) is null, not text"),
        ([turn("user", 3), turn("assistant")], r"message 1 \(user\) is a int, not text"),
        ([turn("user", "\ud83d"), turn("assistant")], "half of a surrogate pair"),
        ([turn("text"), turn("assistant")], "message 1 has the role `text`"),
    ],
)
def test_a_broken_conversation_is_refused_with_its_place_rule_and_remedy(messages: list[Message], said: str) -> None:
    with pytest.raises(UserError, match=rf"^data/x\.jsonl:12: .*{said}"):
        checked(messages, "data/x.jsonl:12")


def test_a_single_text_is_learned_whole() -> None:
    one = example([turn("text", "Once.")], "s", "p")
    assert one.is_text
    assert (one.before, one.answer, prompt_text(one)) == ((), "Once.", "Once.")


@settings(deadline=None)
@given(conversations(), conversations())
def test_equal_conversations_have_equal_ids_and_others_do_not(a: list[Message], b: list[Message]) -> None:
    assert (content_id(a) == content_id(b)) == (a == b)
    assert content_id(a) == example(a, "one set", "here").id == example(a, "another", "there").id


def test_a_turn_cannot_be_moved_into_its_neighbour_without_another_id() -> None:
    one = [turn("user", "a"), turn("assistant", "b")]
    other = [turn("user", 'a"], ["assistant", "b')]
    assert content_id(one) != content_id(other)


@settings(deadline=None)
@given(words)
def test_case_width_and_blanks_make_no_difference(text: str) -> None:
    assert normal(f"  {text}\n") == normal(text) == normal(normal(text))
    assert normal("Ｈello\t  World") == normal("hello world")
    assert normal("27 + 45 =") != normal("27 - 45 ="), "marks make one"


def test_the_prompt_leaves_the_system_message_out() -> None:
    messages = [turn("system", "Be brief."), turn("user", "Hi"), turn("assistant", "Yo")]
    assert prompt_text(example(messages, "s", "p")) == "Hi"
    longer = [*messages, turn("user", "And?"), turn("assistant", "Bye")]
    assert prompt_text(example(longer, "s", "p")) == "user: Hi\nassistant: Yo\nuser: And?"


@pytest.mark.parametrize(
    ("text", "left", "token"),
    [
        ("atheism<|endoftext|>", "atheism", "<|endoftext|>"),
        ("Yes.<|im_end|>\n", "Yes.", "<|im_end|>"),
        ("Yes.</s>", "Yes.", "</s>"),
        ("<s>old</s>", "<s>old</s>", ""),
        ("<|endoftext|> in the middle", "<|endoftext|> in the middle", ""),
        ("trailing blank \n", "trailing blank \n", ""),
    ],
)
def test_an_end_token_of_another_model_is_taken_off_the_end_alone(text: str, left: str, token: str) -> None:
    assert strip_end_token(text) == (left, token)


def test_one_record_is_converted_by_the_format_that_it_has() -> None:
    made = convert({"prompt": "Q", "completion": "A"}, TuneSource(name="mine"), FinetuneConfig(), "x.jsonl:3")
    assert ([m["content"] for m in made.messages], made.source, made.place) == (["Q", "A"], "mine", "x.jsonl:3")


def test_examples_need_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, smallm.finetune.examples;"
        "print([m for m in ('torch', 'jinja2', 'pyarrow', 'datasets', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
