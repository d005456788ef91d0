"""The chat template: Phi-3's form with our specials, opened by BOS."""

from __future__ import annotations

import pytest

from smallm.core.run import Run
from smallm.tokenizer.directory import load_tokenizer
from smallm.tokenizer.specials import ASSISTANT, BOS, END, SYSTEM, USER

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello {{ 1 }}\n"},
    {"role": "assistant", "content": "Hi."},
]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_turns_are_wrapped_in_specials(kind: str, runs: dict[str, Run]):
    tokenizer = load_tokenizer(runs[kind].path / "tokenizer")
    text = tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert text == (f"{BOS}{SYSTEM}\nBe brief.{END}\n{USER}\nHello {{{{ 1 }}}}\n{END}\n{ASSISTANT}\nHi.{END}\n")
    prompt = tokenizer.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert prompt == text[: text.index(ASSISTANT)] + f"{ASSISTANT}\n"


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_specials_of_the_template_become_single_ids(kind: str, runs: dict[str, Run]):
    tokenizer = load_tokenizer(runs[kind].path / "tokenizer")
    ids = tokenizer.apply_chat_template(CHAT, tokenize=True, return_dict=False)
    assert [i for i in ids if i < 32] == [0, 4, 5, 2, 5, 3, 5]


def test_another_role_is_refused(runs: dict[str, Run]):
    tokenizer = load_tokenizer(runs["bpe"].path / "tokenizer")
    with pytest.raises(Exception, match="role must be system, user or assistant, not robot"):
        tokenizer.apply_chat_template([{"role": "robot", "content": "x"}], tokenize=False)


def test_the_character_kind_has_no_template(runs: dict[str, Run]):
    assert load_tokenizer(runs["char"].path / "tokenizer").chat_template is None
