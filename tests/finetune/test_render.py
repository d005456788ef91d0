"""Laws of rendering: what is learned is the answer and its end, on ids, as at inference; or the row is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from finetune.chat_tokenizers import CHATML, LLAMA2, MAKERS, twin
from finetune.tiny_phi3 import TEMPLATE
from finetune.tiny_phi3 import make_tokenizer as make_phi3_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.finetune.render import Renderer, end_ids_of
from smallm.tokenizer.directory import load_tokenizer

KINDS = tuple(MAKERS)
ALPHABET = "abe nothKöß 12.,:;!?'\"()[]{}<>|/\\-_\n\t東🙂\u0301"
CONTENT = st.text(ALPHABET, min_size=1, max_size=25).map(str.strip).filter(bool)
EXCHANGES = st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One tokenizer of each kind, opened as a run opens it."""
    found = {}
    for kind, make in MAKERS.items():
        directory = tmp_path_factory.mktemp(kind)
        make(directory)
        found[kind] = load_tokenizer(directory)
    return found


def chat(*contents: str, system: str = "") -> list[dict[str, str]]:
    """User and assistant in turn."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def with_template(tokenizer: Any, template: str, tmp_path: Path) -> Any:
    """The tokenizer under another template."""
    tokenizer.save_pretrained(tmp_path)
    other = load_tokenizer(tmp_path)
    other.chat_template = template
    return other


# ---- the twin ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("train_on", ["answers", "last-answer", "all"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(exchanges=EXCHANGES, system=st.sampled_from(["", "Be brief.", "x"]))
def test_ids_and_masks_are_those_of_the_slow_twin(
    tokenizers: dict[str, Any], kind: str, train_on: str, exchanges: list[tuple[str, str]], system: str
):
    messages = chat(*[content for exchange in exchanges for content in exchange], system=system)
    renderer = Renderer(tokenizers[kind], train_on=train_on)
    row = renderer.row(messages)
    assert (row.ids, row.mask) == twin(tokenizers[kind], messages, train_on)
    assert row.typed == 0


@settings(max_examples=60, deadline=None)
@given(exchanges=EXCHANGES)
def test_mistral_s_rows_are_the_twin_s_or_their_prompt_is_no_prefix(
    shared_data: Callable[[str], Path], exchanges: list[tuple[str, str]]
):
    """Its template writes the answer right after `[/INST]`, so that `]` may join what follows: then it is refused."""
    renderer = _mistral(shared_data("tokenizers/mistral"))
    tokenizer = renderer.tokenizer
    messages = chat(*[content for exchange in exchanges for content in exchange], system="Be brief.")
    whole, mask = twin(tokenizer, messages)
    prefixes = [
        tokenizer.apply_chat_template(messages[:i], tokenize=True, add_generation_prompt=True, return_dict=False)
        for i in range(2, len(messages), 2)
    ]
    if all(whole[: len(prefix)] == prefix for prefix in prefixes):
        row = renderer.row(messages)
        assert (row.ids, row.mask) == (whole, mask)
    else:
        with pytest.raises(UserError, match="not the beginning of the row's"):
            renderer.row(messages, "x.jsonl:1")


@cache
def _mistral(path: Path) -> Renderer:
    return Renderer(load_tokenizer(path))


# ---- prefix by prefix ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(exchanges=EXCHANGES)
def test_the_prompt_of_inference_is_the_beginning_of_the_row_and_the_answer_is_what_follows(
    tokenizers: dict[str, Any], kind: str, exchanges: list[tuple[str, str]]
):
    renderer = Renderer(tokenizers[kind])
    messages = chat(*[content for exchange in exchanges for content in exchange])
    row, prompt = renderer.row(messages), renderer.prompt(messages[:-1])
    assert row.ids[: len(prompt)] == prompt
    first, end = row.spans[-1]
    assert first == len(prompt)
    assert all(row.mask[first:end])
    answer = tokenizers[kind].decode(row.ids[first : end - 1])
    assert squeezed(answer) == squeezed(messages[-1]["content"])


def squeezed(text: str) -> str:
    """Without blanks, and composed as our tokenizer composes."""
    return "".join(unicodedata.normalize("NFC", text).split())


def test_an_answer_that_joins_the_template_s_newline_is_refused_not_learned_whole(tokenizers: dict[str, Any]):
    with pytest.raises(UserError) as caught:
        Renderer(tokenizers["ours"]).row(chat("Hi", "\n\n\nHo"), "data/x.jsonl:7")
    assert str(caught.value).startswith("data/x.jsonl:7: the prompt's tokens are not the beginning of the row's")
    assert "message 2" in str(caught.value)


def test_a_generation_prompt_that_is_not_what_stands_before_answers_is_refused(
    tokenizers: dict[str, Any], tmp_path: Path
):
    wrong = TEMPLATE.replace("{{ '<|assistant|>\n' }}", "{{ '<|assistant|>\nSure: ' }}")
    renderer = Renderer(with_template(tokenizers["phi3"], wrong, tmp_path))
    with pytest.raises(UserError, match=r"not the beginning of the row's|does not write message 2 as prompt, answer"):
        renderer.row(chat("Hi", "Ho"), "x:1")


def test_an_earlier_answer_that_the_template_writes_otherwise_is_refused_but_the_last_can_be_learned(
    tokenizers: dict[str, Any], tmp_path: Path
):
    """As templates do that take the thoughts out of all answers but the last."""
    thinking = CHATML.replace(
        "message['content'] + '<|im_end|>'",
        "('think ' if loop.last and message['role'] == 'assistant' else '') + message['content'] + '<|im_end|>'",
    )
    tokenizer = with_template(tokenizers["chatml"], thinking, tmp_path)
    messages = chat("a", "b", "c", "d")
    with pytest.raises(UserError, match=r"x:1: .*message 2, an answer, otherwise.*last-answer"):
        Renderer(tokenizer).row(messages, "x:1")
    row = Renderer(tokenizer, train_on="last-answer").row(messages)
    assert tokenizer.decode([i for i, m in zip(row.ids, row.mask, strict=True) if m]) == "think d<|im_end|>"


def test_words_that_the_template_puts_after_some_answers_are_refused(tokenizers: dict[str, Any], tmp_path: Path):
    bye = "message['content'] + (' Bye' if message['content']|length > 9 else '') +"
    adding = CHATML.replace("message['content'] +", bye)
    renderer = Renderer(with_template(tokenizers["chatml"], adding, tmp_path))
    assert renderer.row(chat("Hi", "Ho")).turns == 1
    with pytest.raises(UserError, match=r"x:1: .* does not write message 2 as prompt, answer and end"):
        renderer.row(chat("Hi", "A long answer"), "x:1")


# ---- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_s_end_is_a_label_and_the_template_s_last_end_token_too(tokenizers: dict[str, Any], kind: str):
    tokenizer = tokenizers[kind]
    row = Renderer(tokenizer).row(chat("Hi", "Ho", "Hu", "Ha"))
    learned = tokenizer.convert_ids_to_tokens([i for i, m in zip(row.ids, row.mask, strict=True) if m])
    end = {"ours": "<|end|>", "chatml": "<|im_end|>", "llama2": "<|endoftext|>"}.get(kind, "<|end|>")
    assert learned.count(end) == 2
    assert learned[-1] == ("<|endoftext|>" if kind.startswith(("phi3", "llama2")) else end)
    if kind in ("ours", "chatml", "phi3-newline"):  # the newline after a turn is nobody's answer
        assert not row.mask[row.spans[0][1]]


def test_nothing_is_masked_for_being_the_pad_id(tokenizers: dict[str, Any]):
    """Phi's pad is the end that its template writes last: masking by pad would take it from the labels."""
    tokenizer = tokenizers["phi3"]
    row = Renderer(tokenizer).row(chat("Hi", "Ho"))
    labels = [i if m else -100 for i, m in zip(row.ids, row.mask, strict=True)]
    fault = [-100 if i == tokenizer.pad_token_id else i for i in labels]
    assert labels[-1] == tokenizer.pad_token_id
    assert fault != labels


def test_a_template_that_ends_no_answer_is_refused(tokenizers: dict[str, Any], tmp_path: Path):
    endless = CHATML.replace("'<|im_end|>' + ", "")
    with pytest.raises(UserError, match="writes no special token after an answer, so the model would never learn"):
        Renderer(with_template(tokenizers["chatml"], endless, tmp_path)).row(chat("Hi", "Ho"))


def test_an_earlier_answer_without_end_does_not_learn_up_to_the_user_s_end(tokenizers: dict[str, Any], tmp_path: Path):
    only_last = CHATML.replace("+ '<|im_end|>'", "+ ('<|im_end|>' if loop.last or message['role'] == 'user' else '')")
    renderer = Renderer(with_template(tokenizers["chatml"], only_last, tmp_path))
    assert renderer.row(chat("Hi", "Ho")).trained == 2 + len(tokenizers["chatml"].encode("Ho")) - 1
    with pytest.raises(UserError, match="message 2, an answer, otherwise"):
        renderer.row(chat("Hi", "Ho", "Hu", "Ha"), "x:1")


def test_generation_stops_at_the_template_s_ends_and_at_the_base_s(tokenizers: dict[str, Any]):
    names = tokenizers["phi3"].convert_tokens_to_ids
    renderer = Renderer(tokenizers["phi3"])
    assert renderer.end_ids == tuple(names(["<|end|>", "<|endoftext|>"]))
    base = {"eos_token_id": names(["<|end|>", "<|assistant|>", "<|endoftext|>"])}
    assert end_ids_of(renderer, base, 600) == names(["<|end|>", "<|endoftext|>", "<|assistant|>"])
    assert end_ids_of(Renderer(tokenizers["ours"]), {"eos_token_id": 0}, 400) == [5, 0]
    assert end_ids_of(Renderer(tokenizers["ours"]), {}, 400) == [5, 0]


# ---- BOS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "count"), [("ours", 1), ("phi3", 0), ("llama2", 2), ("chatml", 0)])
def test_exactly_one_bos_opens_a_row(tokenizers: dict[str, Any], kind: str, count: int):
    """Llama 2 opens every exchange with one; Phi-3.5 and ChatML have none, and none is added."""
    tokenizer = tokenizers[kind]
    row = Renderer(tokenizer).row(chat("Hi", "Ho", "Hu", "Ha"))
    assert row.ids.count(tokenizer.bos_token_id) == count
    assert row.ids[:1].count(tokenizer.bos_token_id) == min(count, 1)
    assert not row.mask[0]


def test_a_template_that_writes_bos_and_a_tokenizer_that_adds_it_give_one(tokenizers: dict[str, Any]):
    tokenizer = tokenizers["llama2"]
    messages = chat("Hi", "Ho")
    fault = tokenizer.encode(tokenizer.apply_chat_template(messages, tokenize=False))
    assert fault[:2] == [1, 1]
    assert Renderer(tokenizer).row(messages).ids == fault[1:]
    assert Renderer(tokenizer).prompt(messages[:1]) == fault[1:][: len(Renderer(tokenizer).prompt(messages[:1]))]


def test_a_template_without_bos_gets_the_one_that_the_tokenizer_adds(tokenizers: dict[str, Any], tmp_path: Path):
    tokenizer = with_template(tokenizers["llama2"], LLAMA2.replace("bos_token + ", ""), tmp_path)
    row = Renderer(tokenizer).row(chat("Hi", "Ho", "Hu", "Ha"))
    assert row.ids[0] == 1
    assert row.ids.count(1) == 1
    assert Renderer(tokenizer).prompt(chat("Hi"))[0] == 1


def test_a_template_that_writes_bos_twice_is_refused(tokenizers: dict[str, Any], tmp_path: Path):
    tokenizer = with_template(tokenizers["phi3"], "{{ bos_token + bos_token }}" + TEMPLATE, tmp_path)
    with pytest.raises(UserError, match=r"x:1: .* writes its BOS twice"):
        Renderer(tokenizer).row(chat("Hi", "Ho"), "x:1")


# ---- special tokens in the text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_special_token_s_name_in_a_message_is_text(tokenizers: dict[str, Any], kind: str, data: st.DataObject):
    tokenizer = tokenizers[kind]
    renderer = Renderer(tokenizer)
    names = st.sampled_from(sorted(renderer.template.specials))
    question = data.draw(st.tuples(CONTENT, names, CONTENT).map(" ".join))
    answer = data.draw(st.tuples(CONTENT, names, CONTENT).map("".join))
    typed, harmless = renderer.row(chat(question, answer)), renderer.row(chat("Hi", "Ho"))
    specials = renderer.template.special_ids
    assert [i for i in typed.ids if i in specials] == [i for i in harmless.ids if i in specials]
    assert typed.typed == 2
    first, end = typed.spans[0]
    assert squeezed(answer) == squeezed(tokenizer.decode(typed.ids[first : end - 1]))
    assert renderer.prompt(chat(question)) == typed.ids[:first]
    naive = tokenizer.apply_chat_template(chat(question, answer), tokenize=True, return_dict=False)
    assert sum(i in specials for i in naive) == sum(i in specials for i in typed.ids) + 2  # the fault


@pytest.mark.parametrize("kind", KINDS)
def test_typed_and_untyped_texts_are_encoded_alike(tokenizers: dict[str, Any], kind: str):
    """The engine for typed names differs from the tokenizer in nothing else."""
    template = Renderer(tokenizers[kind]).template
    clone = template._renamed(chr(0xF0000), "")
    for text in ("Hello  world,\n\nder König 東京🙂\t1 2 500", " x", "é é"):
        assert clone.encode(text, add_special_tokens=False).ids == tokenizers[kind].encode(
            text, add_special_tokens=False
        )


# ---- templates that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "messages", "said"),
    [
        ("{{ messages[0].nothing.more }}", chat("Hi", "Ho"), "The roles of this row are user: change"),
        ("{% if %}", chat("Hi", "Ho"), "the chat template of"),
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
            + CHATML,
            chat("Hi", "Ho", system="Be"),
            "System role not supported). It takes no system message: leave finetune.system empty",
        ),
        ("{{ bos + messages[0].content }}" + CHATML, chat("Hi", "Ho"), "'bos' is undefined"),
        (
            "{% if messages[0].role == 'system' %}{% set s = 'x' %}{% endif %}{{ s + '' }}" + CHATML,
            chat("Hi", "Ho"),
            "needs a system message: set finetune.system",
        ),
        (
            CHATML.replace("{{'<|im_start|>'", "{% if message['role'] != 'system' %}{{'<|im_start|>'").replace(
                "'\n'}}", "'\n'}}{% endif %}"
            ),
            chat("Hi", "Ho", system="Be brief"),
            "leaves out or changes message 1 (system: 'Be brief'): leave finetune.system empty",
        ),
        (CHATML.replace("message['content']", "message['content'].upper()"), chat("Hi", "Ho"), "leaves out or changes"),
    ],
)  # fmt: skip
def test_a_template_that_fails_or_loses_a_message_is_an_error_with_place_and_remedy(
    tokenizers: dict[str, Any], tmp_path: Path, template: str, messages: list[dict[str, str]], said: str
):
    renderer = Renderer(with_template(tokenizers["chatml"], template, tmp_path))
    with pytest.raises(UserError) as caught:
        renderer.prompt(messages[:-1], "data/x.jsonl:3")
    assert said in str(caught.value)
    assert str(caught.value).startswith("data/x.jsonl:3: ")
    with pytest.raises(UserError):
        renderer.row(messages, "data/x.jsonl:3")


def test_a_base_without_template_is_told_what_to_do_and_still_learns_texts(tokenizers: dict[str, Any], tmp_path: Path):
    tokenizer = with_template(tokenizers["chatml"], "", tmp_path)
    tokenizer.chat_template = None
    renderer = Renderer(tokenizer)
    with pytest.raises(UserError, match=r"x:1: .*has no chat template.*`text`"):
        renderer.row(chat("Hi", "Ho"), "x:1")
    row = renderer.row([{"role": "text", "content": "Hello"}])
    assert row.ids[-1] == tokenizer.eos_token_id
    assert renderer.end_ids == (tokenizer.eos_token_id,)


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_opened_and_ended_and_learned_whole(tokenizers: dict[str, Any], kind: str):
    tokenizer = tokenizers[kind]
    content = "The cat <|end|> sat.\n" + tokenizer.eos_token
    row = Renderer(tokenizer).row([{"role": "text", "content": content}])
    opening = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    assert (row.ids[0], row.ids[-1]) == (opening, tokenizer.eos_token_id)
    assert row.mask == [False] + [True] * (len(row.ids) - 1)
    assert tokenizer.decode(row.ids[1:-1]).strip() == content.strip()
    assert Renderer(tokenizer).prompt([]) == [opening]


def test_a_row_in_which_nothing_is_left_to_learn_is_an_error(tokenizers: dict[str, Any]):
    """Phi's `<|assistant|>` takes all blanks after it: an answer of blanks has no token."""
    renderer = Renderer(tokenizers["phi3"])
    with pytest.raises(UserError, match=r"x:1: no token is left of the answer in message 2"):
        renderer.row(chat("Hi", " \n "), "x:1")
    with pytest.raises(UserError, match="x:1: no token of this row would be learned"):
        renderer._checked(type(renderer.row(chat("Hi", "Ho")))([1, 2], [False, False], 1), "x:1")
    with pytest.raises(UserError, match="last message must be the assistant's"):
        renderer.row(chat("Hi", "Ho", "Hu"), "x:1")


def test_the_recipe_s_system_message_stands_before_conversations_that_have_none(tokenizers: dict[str, Any]):
    plain, given = Renderer(tokenizers["ours"]), Renderer(tokenizers["ours"], system="Be brief.")
    assert given.row(chat("Hi", "Ho")).ids == plain.row(chat("Hi", "Ho", system="Be brief.")).ids
    assert given.prompt(chat("Hi")) == plain.prompt(chat("Hi", system="Be brief."))
    assert given.row(chat("Hi", "Ho", system="Talk.")).ids == plain.row(chat("Hi", "Ho", system="Talk.")).ids


def test_an_unknown_choice_of_what_is_learned_is_refused(tokenizers: dict[str, Any], tmp_path: Path):
    make_phi3_tokenizer(tmp_path)
    with pytest.raises(UserError, match="train_on: `prompts` is none of answers, last-answer, all"):
        Renderer(load_tokenizer(tmp_path), train_on="prompts")
