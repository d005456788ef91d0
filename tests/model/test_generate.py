"""Laws of generation: the cache changes nothing, rows are islands, text is never cut inside a character."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.tiny import SWITCHES, SWITCHES_AND_SHARED, decoder, ids

from smallm.core.errors import UserError
from smallm.model.cache import KVCache
from smallm.model.decoder import Decoder
from smallm.model.generate import (
    SamplingConfig,
    decode_stream,
    encode_prompt,
    generate_batch,
    generate_ids,
    generate_text,
    until_stop,
)

every_switch = pytest.mark.parametrize("switches", SWITCHES_AND_SHARED.values(), ids=SWITCHES_AND_SHARED)
GREEDY = SamplingConfig(greedy=True, max_new_tokens=12)


@every_switch
@torch.no_grad()
def test_cached_logits_are_those_of_the_full_forward_pass(switches: dict) -> None:
    model, tokens = decoder(**switches), ids(2, 24)
    cache = KVCache(model.config, 2, 24)
    # A prompt, one token at a time, and several at once; LongRoPE takes its factors by what there is so far.
    for a, b in ((0, 9), (9, 10), (10, 11), (11, 19), (19, 20), (20, 24)):
        new = model(tokens[:, a:b], cache=cache)
        torch.testing.assert_close(new, model(tokens[:, :b])[:, a:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_padded_rows_that_come_to_be_long_texts_at_different_times_are_each_as_alone() -> None:
    model, lengths = decoder(**SWITCHES["long rope"]), [14, 10, 16, 3]
    rows = [ids(1, n + 6, seed=n)[0] for n in lengths]
    padded = torch.stack(
        [torch.cat([torch.zeros(16 - n, dtype=torch.long), r[:n]]) for r, n in zip(rows, lengths, strict=True)]
    )
    cache = KVCache(model.config, 4, 22, starts_B=torch.tensor([16 - n for n in lengths]))
    model(padded, cache=cache)
    for step in range(6):
        new = model(torch.stack([r[n + step : n + step + 1] for r, n in zip(rows, lengths, strict=True)]), cache=cache)
        for i, (row, n) in enumerate(zip(rows, lengths, strict=True)):
            alone = model(row[None, : n + step + 1])[0, -1]
            torch.testing.assert_close(new[i, 0], alone, atol=1e-5, rtol=1e-5)


@every_switch
@torch.no_grad()
def test_padding_on_the_left_changes_no_row(switches: dict) -> None:
    model, lengths = decoder(**switches), [3, 10, 7]
    rows = [ids(1, n, seed=n)[0] for n in lengths]
    padded = torch.stack([torch.cat([torch.zeros(10 - len(r), dtype=torch.long), r]) for r in rows])
    cache = KVCache(model.config, 3, 12, starts_B=torch.tensor([7, 0, 3]))
    first = model(padded, cache=cache)
    second = model(torch.tensor([[5], [6], [7]]), cache=cache)
    for i, row in enumerate(rows):
        alone = model(torch.cat([row, torch.tensor([5 + i])])[None])[0]
        torch.testing.assert_close(first[i, 10 - len(row) :], alone[:-1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(second[i, 0], alone[-1], atol=1e-5, rtol=1e-5)


def test_a_full_cache_says_so() -> None:
    model = decoder()
    cache = KVCache(model.config, 1, 4)
    model(ids(1, 3), cache=cache)
    with pytest.raises(ValueError, match="holds 4 tokens; 3 are in it and 2 come"):
        model(ids(1, 2), cache=cache)


@torch.no_grad()
def test_greedy_ids_are_those_of_the_full_forward_pass() -> None:
    model, tokens = decoder(), [3, 1, 4]
    expected: list[int] = []
    for _ in range(12):
        expected.append(int(model(torch.tensor([tokens + expected]))[0, -1].argmax()))
    assert list(generate_ids(model, tokens, GREEDY)) == expected


@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        SamplingConfig(max_new_tokens=20, seed=7),
        SamplingConfig(max_new_tokens=20, temperature=1.5, top_k=20, top_p=0.9, min_p=0.01, repetition_penalty=1.2),
    ],
)
def test_a_row_of_a_batch_is_what_it_is_alone_with_seed_plus_its_number(sampling: SamplingConfig) -> None:
    from dataclasses import replace

    model = decoder()
    prompts = [ids(1, n, seed=n)[0].tolist() for n in (5, 2, 9, 2, 40)]
    alone = [
        list(generate_ids(model, p, replace(sampling, seed=sampling.seed + i), stop_ids=(0, 1, 2)))
        for i, p in enumerate(prompts)
    ]
    assert generate_batch(model, prompts, sampling, stop_ids=(0, 1, 2), batch=3) == alone
    assert generate_batch(model, prompts, sampling, stop_ids=(0, 1, 2)) == alone


def test_the_seed_decides_the_text() -> None:
    model = decoder()
    one, same, other = (list(generate_ids(model, [1], SamplingConfig(seed=s, max_new_tokens=30))) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_no_prompts_give_no_texts() -> None:
    assert generate_batch(decoder(), [], GREEDY) == []


def _end(stream: Generator[Any, None, str]) -> tuple[list[Any], str]:
    got = []
    while True:
        try:
            got.append(next(stream))
        except StopIteration as end:
            return got, end.value


def test_a_generation_says_why_it_ended() -> None:
    model = decoder()
    first = next(generate_ids(model, [3], GREEDY))
    assert _end(generate_ids(model, [3], GREEDY, stop_ids=(first,))) == ([], "stop id")
    assert _end(generate_ids(model, [3], GREEDY))[1] == "max_new_tokens"
    long = SamplingConfig(greedy=True, max_new_tokens=500)
    got, why = _end(generate_ids(model, [3], long))
    assert (len(got), why) == (model.config.context - 1, "context full")
    assert [len(r) for r in generate_batch(model, [[3], [3] * 10], long)] == [47, 38]


def test_only_usable_ids_are_drawn() -> None:
    """The vocabulary is padded to 64 beyond the tokenizer's."""
    model = decoder()
    sampling = SamplingConfig(temperature=50.0, max_new_tokens=40, repetition_penalty=1.5)
    assert max(generate_ids(model, [1], sampling, usable=8)) < 8
    assert max(max(r) for r in generate_batch(model, [[1], [2]], sampling, usable=8)) < 8


def test_a_penalty_against_repetition_reduces_it() -> None:
    model = decoder()
    plain, penalised = (
        list(generate_ids(model, [1, 2], SamplingConfig(greedy=True, max_new_tokens=40, repetition_penalty=p)))
        for p in (1.0, 50.0)
    )
    assert len(set(penalised)) > len(set(plain))


@pytest.mark.parametrize(
    ("prompt", "says"),
    [([], "no tokens"), ([1] * 48, "48 tokens; the model's context is 48"), ([96], "id 96.*0 to 95"), ([-1], "id -1")],
)
def test_a_prompt_that_cannot_be_continued_is_refused(prompt: list[int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        next(generate_ids(decoder(), prompt, GREEDY))
    with pytest.raises(UserError, match=says):
        generate_batch(decoder(), [[1], prompt], GREEDY)


def test_generating_leaves_a_training_model_in_training() -> None:
    model = decoder(dropout=0.5).train()
    assert list(generate_ids(model, [1], GREEDY)) == list(generate_ids(model, [1], GREEDY))
    assert model.training


def _ids_of(data: list[int]) -> Generator[int, None, str]:
    yield from data
    return "max_new_tokens"


def _bytes_to_text(data: list[int]) -> str:
    return bytes(data).decode("utf-8", errors="replace")


@given(st.text(max_size=30))
@settings(deadline=None)
def test_streamed_text_is_the_text_and_no_piece_ends_inside_a_character(text: str) -> None:
    """One byte an id: the hardest case."""
    pieces, why = _end(decode_stream(_ids_of(list(text.encode())), _bytes_to_text))
    assert "".join(pieces) == text
    assert why == "max_new_tokens"
    if "\ufffd" not in text:
        assert all("\ufffd" not in piece for piece in pieces)


def test_bytes_that_are_no_character_come_out_as_replacement() -> None:
    pieces, _ = _end(decode_stream(_ids_of([65, 0xE2, 66, 0xE2, 0x82]), _bytes_to_text))
    assert "".join(pieces) == "A\ufffdB\ufffd"


def _pieces(parts: list[str]) -> Generator[str, None, str]:
    yield from parts
    return "max_new_tokens"


@given(st.lists(st.text("ab#", max_size=4), max_size=10), st.lists(st.text("ab#", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_string_and_shows_no_part_of_it(parts: list[str], stop: list[str]) -> None:
    whole = "".join(parts)
    shown, why = _end(until_stop(_pieces([p for p in parts if p]), stop))
    text = "".join(shown)
    assert all(piece != "" for piece in shown)
    assert all(s not in text for s in stop)
    if why == "stop string":
        assert any(whole.startswith(text + s) for s in stop)
    else:
        assert text == whole


@given(st.lists(st.text("ab#", min_size=1, max_size=3), max_size=8))
def test_what_was_shown_is_never_the_beginning_of_a_stop_string_that_follows(parts: list[str]) -> None:
    shown = ""
    for piece in until_stop(_pieces(parts), ["ab#ab"]):
        shown += piece
        # If the stop string had begun in what is shown, it would be held back.
        held = "".join(parts)[len(shown) :]
        at = "".join(parts).find("ab#ab")
        assert at < 0 or len(shown) <= at, (shown, held)


@dataclass
class Loaded:
    model: Decoder
    tokenizer: Any


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from smallm.tokenizer.bpe import train_bpe
    from smallm.tokenizer.directory import load_tokenizer, write_directory

    directory: Path = tmp_path_factory.mktemp("tokenizer")
    texts = ["the cat sat on the mat and the hat; größer 😀 naïve café"] * 50
    write_directory(directory, train_bpe(iter(texts), 320), kind="bpe")
    return load_tokenizer(directory)


def test_text_streams_from_a_prompt_and_is_the_decoded_ids(tokenizer: Any) -> None:
    model = decoder(vocab_size=384)
    sampling = SamplingConfig(max_new_tokens=30, seed=3, temperature=2.0)
    prompt = encode_prompt(tokenizer, "the cat")
    assert prompt[0] == tokenizer.bos_token_id
    assert prompt.count(prompt[0]) == 1
    expected = list(generate_ids(model, prompt, sampling, {0, 5}, usable=len(tokenizer)))
    pieces = list(generate_text(Loaded(model, tokenizer), "the cat", sampling))
    assert len(pieces) > 3
    assert "".join(pieces) == tokenizer.decode(expected, skip_special_tokens=True)


def test_an_empty_prompt_begins_a_new_document(tokenizer: Any) -> None:
    assert encode_prompt(tokenizer, "") == [tokenizer.bos_token_id]
    assert "".join(generate_text(Loaded(decoder(vocab_size=384), tokenizer), "", GREEDY)) != ""


def test_a_model_without_a_tokenizer_cannot_write_text() -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        next(generate_text(Loaded(decoder(), None), "x", GREEDY))


def test_a_text_that_fills_the_context_is_said_to_end_there(tokenizer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = decoder(vocab_size=384)
    list(generate_text(Loaded(model, tokenizer), "the", SamplingConfig(max_new_tokens=500, temperature=30.0)))
    assert "context of 48 tokens is full" in capsys.readouterr().err
