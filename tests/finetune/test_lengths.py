"""Laws of long rows: raised, dropped or cut as chosen; no answer and no end is cut; the base takes every row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finetune.chat_tokenizers import MAKERS
from finetune.tiny_phi3 import WINDOW, make_config, make_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.core.errors import UserError
from smallm.finetune.lengths import check_length, fit, longest_row
from smallm.finetune.render import Renderer
from smallm.tokenizer.directory import load_tokenizer

KINDS = ("ours", "phi3", "llama2")
WORDS = st.text("abcKö 12,.\n", min_size=1, max_size=60).map(str.strip).filter(bool)


@pytest.fixture(scope="module")
def renderers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Renderer]:
    found = {}
    for kind in KINDS:
        directory = tmp_path_factory.mktemp(kind)
        MAKERS[kind](directory)
        found[kind] = Renderer(load_tokenizer(directory))
    return found


def chat(*contents: str, system: str = "") -> list[dict[str, str]]:
    turns = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    return [{"role": "system", "content": system}, *turns] if system else turns


def test_a_row_that_fits_is_left_alone_and_the_limit_counts_every_token(renderers: dict[str, Renderer]):
    row = renderers["ours"].row(chat("Hi", "Ho"))
    for how in ("raise", "drop", "truncate"):
        fitted = fit(renderers["ours"], chat("Hi", "Ho"), "x:1", max_length=len(row.ids), too_long=how)
        assert fitted is not None
        assert (fitted.row, fitted.cut) == (row, False)


def test_a_long_row_raises_with_place_length_and_remedy_or_is_dropped(renderers: dict[str, Renderer]):
    tokens = len(renderers["ours"].row(chat("Hi", "Ho")).ids)
    options: dict[str, Any] = {"max_length": tokens - 1}
    with pytest.raises(UserError, match=rf"x:1: {tokens} tokens, and finetune.max_length is {tokens - 1}. Raise it"):
        fit(renderers["ours"], chat("Hi", "Ho"), "x:1", too_long="raise", **options)
    assert fit(renderers["ours"], chat("Hi", "Ho"), "x:1", too_long="drop", **options) is None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(exchanges=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3), limit=st.integers(20, 150), data=st.data())
def test_a_cut_row_fits_keeps_its_answers_whole_and_is_what_the_template_writes(
    renderers: dict[str, Renderer], kind: str, exchanges: list[tuple[str, str]], limit: int, data: st.DataObject
):
    renderer = renderers[kind]
    system = data.draw(st.sampled_from(["", "Be."]))
    given_ = chat(*[content for exchange in exchanges for content in exchange], system=system)
    try:
        fitted = fit(renderer, given_, "x:1", max_length=limit, too_long="truncate")
    except UserError as error:
        assert "An answer is never cut" in str(error)  # noqa: PT017  either a row or this
        shortest = chat(exchanges[-1][0].split()[-1], exchanges[-1][1], system=system)
        assert len(renderer.row(shortest).ids) > limit
        return
    assert fitted is not None
    assert len(fitted.row.ids) <= limit
    assert fitted.row == renderer.row(fitted.messages)  # the rendering of inference, turn structure and all
    kept = [m for m in fitted.messages if m["role"] != "system"]
    turns = [m for m in given_ if m["role"] != "system"]
    assert len(kept) == len(turns) - 2 * fitted.answers_gone
    assert kept[1:] == turns[len(turns) - len(kept) + 1 :]  # all but the first question, word for word
    assert turns[-len(kept)]["content"].endswith(kept[0]["content"])
    assert [m for m in fitted.messages if m["role"] == "system"] == [m for m in given_ if m["role"] == "system"]
    assert fitted.cut == (len(renderer.row(given_).ids) > limit)
    if fitted.characters_gone:
        assert len(kept) == 2  # a question is cut only when no exchange is left to go


def test_cutting_the_ids_instead_would_lose_the_end(renderers: dict[str, Renderer]):
    """The fault that the law is about: ids[:max_length] has no end of turn any more."""
    renderer = renderers["phi3"]
    row = renderer.row(chat("a b c d e f", "Ho ho ho"))
    limit = len(row.ids) - 3
    assert not set(renderer.end_ids) & set(row.ids[row.spans[0][0] : limit])
    fitted = fit(renderer, chat("a b c d e f", "Ho ho ho"), "x:1", max_length=limit, too_long="truncate")
    assert fitted is not None
    assert fitted.row.ids[-2:] == row.ids[-2:]
    assert fitted.row.mask[-2:] == [True, True]


def test_the_beginning_is_cut_at_a_word_and_no_more_of_it_than_needed(renderers: dict[str, Renderer]):
    renderer, text = renderers["ours"], "one two three four five six"
    limit = len(renderer.row(chat("four five six", "Ho")).ids)
    fitted = fit(renderer, chat(text, "Ho"), "x:1", max_length=limit, too_long="truncate")
    assert fitted is not None
    assert fitted.messages[0]["content"] == "four five six"
    assert fitted.characters_gone == len("one two three ")


def test_a_text_is_never_cut(renderers: dict[str, Renderer]):
    messages = [{"role": "text", "content": "word " * 30}]
    with pytest.raises(UserError, match=r"x:1: a text of \d+ tokens .* is learned whole"):
        fit(renderers["ours"], messages, "x:1", max_length=20, too_long="truncate")
    assert fit(renderers["ours"], messages, "x:1", max_length=20, too_long="drop") is None


def test_rows_of_a_longrope_model_stay_at_or_under_its_original_window(tmp_path: Path):
    """4,096 at Phi-3.5: one token more and every row of the batch gets the long factors."""
    config = make_config(make_tokenizer(tmp_path)).to_dict()
    assert config["max_position_embeddings"] > WINDOW
    check_length(WINDOW, config, "phi")
    with pytest.raises(UserError, match=rf"finetune.max_length: {WINDOW + 1}, but phi takes rows of at most {WINDOW}"):
        check_length(WINDOW + 1, config, "phi")
    # As the Hub's config.json has it, written for transformers 4.
    hub = {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 4096,
           "max_position_embeddings": 131072}  # fmt: skip
    assert longest_row(hub) == (4096, "longer rows switch its whole batch to the long RoPE factors")


def test_other_models_take_their_context_and_one_that_does_not_say_takes_anything():
    assert longest_row({"max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default"}}) == (
        2048,
        "that is its context",
    )
    with pytest.raises(UserError, match="rows of at most 256 tokens"):
        check_length(257, {"context": 256}, "ours")
    check_length(10**6, {}, "unknown")
