"""Greedy answers: those of one full forward pass a token, however many run together, and cut where they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import TURN, WORDS, make_directory, plain, plain_greedy

from smallm.core.errors import UserError
from smallm.evaluate import greedy
from smallm.evaluate.scorer import TextScorer, load_scorer

FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2")
WINDOW = 64
PROMPTS = ["the cat", "What is it? Yes! No. the König heard", "a", "", "the cat", "東京 songs, and the river"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One directory a family, of random weights whose answers are long and differ."""
    root = tmp_path_factory.mktemp("models")
    for seed, family in enumerate(FAMILIES):
        make_directory(root / family, family, seed=seed, window=WINDOW)
    return {family: root / family for family in FAMILIES}


@pytest.fixture(scope="module")
def scorers(models: dict[str, Path]) -> dict[str, TextScorer]:
    return {family: load_scorer(path) for family, path in models.items()}


def answer_of(scorer: TextScorer, model: Any, prompt: str, new: int) -> str:
    """What the slow way says: the prompt's last tokens that leave room, then one forward pass a token."""
    ids = (scorer.tokenizer.encode(prompt) or [0])[-(WINDOW - new) :]
    found = plain_greedy(model, ids, new, usable=len(scorer.tokenizer), ends=[0])
    return scorer.tokenizer.decode(found, skip_special_tokens=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("new", [1, 40])
def test_answers_together_are_those_of_full_forward_passes_one_by_one(
    family: str, new: int, models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, model = scorers[family], plain(models[family])
    answers = scorer.generate(PROMPTS, max_new_tokens=new)
    assert answers == [answer_of(scorer, model, prompt, new) for prompt in PROMPTS]
    assert len(set(answers)) > 2 or new == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_leaves_too_little_room_loses_its_beginning(
    family: str, models: dict[str, Path], scorers: dict[str, TextScorer]
):
    scorer, prompt = scorers[family], WORDS * 4
    assert len(scorer.tokenizer.encode(prompt)) > WINDOW
    assert scorer.generate([prompt], max_new_tokens=30) == [answer_of(scorer, plain(models[family]), prompt, 30)]


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_answers_end_before_the_first_stop_string(family: str, scorers: dict[str, TextScorer]):
    scorer = scorers[family]
    for prompt, whole in zip(PROMPTS, scorer.generate(PROMPTS, max_new_tokens=40), strict=True):
        stop = whole[len(whole) // 2 :][:3]
        [cut] = scorer.generate([prompt], until=["", stop, "never said"], max_new_tokens=40)
        assert cut == whole.split(stop)[0]
        assert stop not in cut
    until = ["e", "t"]
    both = scorer.generate(PROMPTS, until=until, max_new_tokens=40)
    assert both == [scorer.generate([p], until=until, max_new_tokens=40)[0] for p in PROMPTS]
    assert not any(set(answer) & set(until) for answer in both)


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_a_stop_string_ends_the_work_and_not_only_the_text(
    family: str, scorers: dict[str, TextScorer], monkeypatch: Any
):
    scorer = scorers[family]
    [whole] = scorer.generate(["the cat"], max_new_tokens=60)
    passes = count_passes(scorer, monkeypatch)
    scorer.generate(["the cat"], until=[whole[:2]], max_new_tokens=60)
    assert 0 < len(passes) <= greedy.FIRST_ROUND + 1


def count_passes(scorer: TextScorer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each forward pass of the model."""
    model = getattr(scorer.backend, "decoder", None) or scorer.backend.model
    layer = model.embed if hasattr(model, "embed") else model.get_input_embeddings()
    passes: list[int] = []
    original = layer.forward
    monkeypatch.setattr(layer, "forward", lambda ids: (passes.append(1), original(ids))[1])
    return passes


@pytest.mark.parametrize(("token", "until"), [(0, []), (2, [TURN])])
@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_an_answer_ends_at_the_end_token_and_at_a_stop_string_that_is_a_token(
    family: str, token: int, until: list[str], tmp_path: Path
):
    """Decoded text shows neither, so that a search in the text would go on."""
    model = make_directory(tmp_path, family, window=WINDOW)
    tokenizer = load_scorer(tmp_path).tokenizer
    prompt, usable = tokenizer.encode("the cat"), len(tokenizer)
    with torch.no_grad():  # the token is made the likeliest after two others
        begun = [*prompt, *plain_greedy(model, prompt, 2, usable=usable, ends=[])]
        hidden = model(input_ids=torch.tensor([begun]), output_hidden_states=True).hidden_states[-1][0, -1]
        logits = model.get_output_embeddings()(hidden)
        model.get_output_embeddings().weight[token] = hidden * (1.2 * logits.max() / hidden.square().sum())
    model.save_pretrained(tmp_path)
    drawn = plain_greedy(model, prompt, 12, usable=usable, ends=[])
    end = drawn.index(token)
    assert tokenizer.decode(drawn[end:], skip_special_tokens=True)  # something would follow
    scorer = load_scorer(tmp_path)
    assert scorer.generate(["the cat"], until=until, max_new_tokens=12) == [tokenizer.decode(drawn[:end])]


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_ids_beyond_the_tokenizer_are_never_drawn(family: str, tmp_path: Path):
    model = make_directory(tmp_path, family, window=WINDOW)
    head = model.get_output_embeddings()
    with torch.no_grad():
        # Rows of the padding: large, in both directions, so that one of them is always the likeliest.
        noise = torch.randn(head.weight.shape[1])
        head.weight[340:360] = noise * 100
        head.weight[360:] = -noise * 100
    model.save_pretrained(tmp_path)
    scorer = load_scorer(tmp_path)
    ids = scorer.tokenizer.encode("the cat")
    assert int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) >= len(scorer.tokenizer)
    assert scorer.generate(["the cat"], max_new_tokens=20) == [answer_of(scorer, model, "the cat", 20)]


def test_habits_of_a_checkpoint_do_not_bend_greedy_text(models: dict[str, Path], tmp_path: Path):
    """generation_config.json may ask for sampling or a repetition penalty: neither is greedy."""
    import shutil

    from smallm.core.files import write_json

    mine = shutil.copytree(models["gpt_neox"], tmp_path / "mine")
    habits = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "eos_token_id": 0, "max_length": 12}
    write_json(mine / "generation_config.json", habits)
    expected = load_scorer(models["gpt_neox"]).generate(PROMPTS, max_new_tokens=30)
    assert load_scorer(mine).generate(PROMPTS, max_new_tokens=30) == expected


def test_a_model_whose_logits_notice_padding_runs_in_batches_of_one_length(
    scorers: dict[str, TextScorer], models: dict[str, Path]
):
    model, tokenizer = plain(models["gpt_neox"]), scorers["gpt_neox"].tokenizer
    writer = greedy.TransformersWriter(model, tokenizer)
    prompts = [tokenizer.encode(p) for p in PROMPTS if p]
    assert writer.pads()
    assert len(list(writer._batches(prompts, 10))) == 1
    original = model.forward
    # What ALiBi and some state-space models do: a row's answer depends on how far it was pushed to the right.
    model.forward = lambda input_ids, attention_mask=None, position_ids=None, **kw: original(input_ids, **kw)
    writer = greedy.TransformersWriter(model, tokenizer)
    assert not writer.pads()
    batches = list(writer._batches(prompts, 10))
    assert [len({len(prompts[i]) for i in rows}) for rows in batches] == [1] * len(batches)
    assert sorted(i for rows in batches for i in rows) == list(range(len(prompts)))


def test_batches_hold_to_their_budget_and_lose_no_prompt(scorers: dict[str, TextScorer], monkeypatch: Any):
    writer = greedy.TransformersWriter(scorers["gpt_neox"].backend.model, scorers["gpt_neox"].tokenizer)
    monkeypatch.setattr(greedy, "BATCH_TOKENS", 60)
    monkeypatch.setattr(greedy, "BATCH_ROWS", 3)
    prompts = [[1] * n for n in (40, 3, 3, 3, 3, 7, 70)]
    batches = list(writer._batches(prompts, 10))
    assert sorted(i for rows in batches for i in rows) == list(range(7))
    for rows in batches:
        assert len(rows) <= 3
        assert len(rows) == 1 or len(rows) * (max(len(prompts[i]) for i in rows) + 10) <= 60


@pytest.mark.parametrize("limit", [0, WINDOW, 500])
def test_more_new_tokens_than_the_context_has_room_for_are_refused(limit: int, scorers: dict[str, TextScorer]):
    with pytest.raises(UserError, match=f"max_new_tokens is {limit}.*Ask for 1 to {WINDOW - 1}"):
        scorers["llama"].generate(["the cat"], max_new_tokens=limit)
