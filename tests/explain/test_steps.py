"""Laws of the steps: they are smallm's own generation, seen while it happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from explain.conftest import PROMPT, make_adapter, make_kind
from tiny_hf import TEMPLATE
from typer.testing import CliRunner

from smallm import cli
from smallm.commands.talk_tuned import _generate
from smallm.core.files import write_json
from smallm.evaluate.local_models import Options
from smallm.explain.steps import filters, follow
from smallm.explain.subject import Subject, open_subject
from smallm.model.generate import STOP_ID, decoder_of, generate_ids
from smallm.model.sampling import SamplingConfig

SAMPLINGS = {
    "plain": SamplingConfig(max_new_tokens=15, temperature=1.0, seed=1),
    "cold": SamplingConfig(max_new_tokens=15, temperature=0.3, seed=2),
    "top-k": SamplingConfig(max_new_tokens=15, top_k=5, seed=3),
    "top-p": SamplingConfig(max_new_tokens=15, top_p=0.5, seed=4),
    "all": SamplingConfig(max_new_tokens=15, temperature=1.3, top_k=50, top_p=0.9, min_p=0.02, seed=5),
    "greedy": SamplingConfig(max_new_tokens=15, greedy=True),
}


def own(subject: Subject, ids: list[int], sampling: SamplingConfig) -> tuple[list[int], str]:
    """What `smallm generate` writes, and why it ended."""
    if subject.ours:
        stream = generate_ids(subject.model, ids, sampling, subject.ends(), usable=subject.usable)
    else:
        stream = _generate(subject.model, ids, sampling, subject.ends(), subject.usable, subject.context)
    found = []
    while True:
        try:
            found.append(next(stream))
        except StopIteration as end:
            return found, end.value


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize(
    "kind",
    [
        "ours",
        "ours with learned positions",
        "ours with a window",
        "ours with shared layers",
        "gpt_neox",
        "phi3",
        "adapter",
    ],
)
def test_the_steps_are_smallms_own_sampler(kind: str, name: str, subject_of: Callable[[str], Subject]):
    subject, sampling = subject_of(kind), SAMPLINGS[name]
    ids = subject.encode(PROMPT)
    seen = follow(subject, ids, sampling)
    assert (seen.ids, seen.reason) == own(subject, ids, sampling)


def verb(*arguments: str) -> dict[str, Any]:
    """What a verb prints as JSON."""
    done = CliRunner().invoke(cli.app, [*arguments, "--seed", "3"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["ours", "gpt_neox", "phi3", "adapter"])
def test_the_steps_are_what_the_verb_generate_prints_to_its_end(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The third greedy token is made an end in generation_config.json, as instruct models name theirs."""
    monkeypatch.chdir(tmp_path)
    chat = kind == "adapter"  # a tuned model: `generate` asks it in its chat template
    path = make_adapter(tmp_path / "m", template=TEMPLATE) if chat else make_kind(tmp_path / "m", kind)
    subject = open_subject(str(path), Options())
    ids = subject.encode(PROMPT, chat=chat)
    for _ in range(3):
        with torch.inference_mode():
            ids.append(int(subject.logits(torch.tensor([ids]))[0, -1, : subject.usable].argmax()))
    write_json(path / "generation_config.json", {"eos_token_id": [0, ids[-1]]})
    for sampling in (("--greedy",), ("--temperature", "0.9", "--top-k", "30")):
        written = verb("generate", str(path), PROMPT, "--max-new-tokens", "9", "--json", *sampling)
        more = ("--chat",) if chat else ()
        seen = verb("explain", str(path), PROMPT, "--steps", "9", "--json", "-", *sampling, *more)["model"][
            "generation"
        ]
        drawn = [step["drawn"] for step in seen["steps"] if not step["ends"]]
        assert decoder_of(subject.tokenizer)(drawn) == written["text"]
        assert seen["reason"] == written["ended"]
        if sampling == ("--greedy",):
            assert seen["reason"] == STOP_ID
            assert len(drawn) < 3


def test_a_generation_that_fills_the_context_ends_as_the_sampler_says(subject_of: Callable[[str], Subject]):
    subject = subject_of("ours")
    ids = [5 + i % 50 for i in range(subject.context - 4)]
    sampling = SamplingConfig(max_new_tokens=20, temperature=0.1)
    seen = follow(subject, ids, sampling)
    assert (seen.ids, seen.reason) == own(subject, ids, sampling)


@pytest.mark.parametrize("name", [n for n in SAMPLINGS if n != "greedy"])
def test_the_number_falls_into_the_drawn_ids_interval_as_wide_as_its_probability(
    name: str, subject_of: Callable[[str], Subject]
):
    subject = subject_of("ours")
    for step in follow(subject, subject.encode(PROMPT), SAMPLINGS[name]).steps:
        assert step.number is not None
        assert step.interval is not None
        low, high = step.interval
        assert low - 1e-9 <= step.number <= high + 1e-9
        last = list(step.stages)[-1]
        assert high - low == pytest.approx(step.stages[last][step.shown.index(step.drawn)], abs=1e-6)


def test_each_filter_keeps_fewer_ids_and_never_the_likeliest_out(subject_of: Callable[[str], Subject]):
    subject = subject_of("ours")
    for step in follow(subject, subject.encode(PROMPT), SAMPLINGS["all"]).steps:
        kept = list(step.remaining.values())
        assert kept == sorted(kept, reverse=True)
        assert kept[0] == kept[1] == subject.usable
        assert list(step.stages) == ["model", "temperature", "top-k", "top-p", "min-p"]
        assert all(p[0] == max(p) > 0 for p in step.stages.values())


def test_the_first_distribution_is_the_models_and_the_second_its_logits_over_the_temperature(
    subject_of: Callable[[str], Subject],
):
    subject = subject_of("gpt_neox")
    ids = subject.encode(PROMPT)
    step = follow(subject, ids, SAMPLINGS["cold"]).steps[0]
    with torch.inference_mode():
        logits_V = subject.logits(torch.tensor([ids]))[0, -1, : subject.usable].float()
    assert step.stages["model"] == pytest.approx(logits_V.softmax(-1)[step.shown].tolist(), abs=1e-5)
    assert step.stages["temperature"] == pytest.approx((logits_V / 0.3).softmax(-1)[step.shown].tolist(), abs=1e-5)


def test_filters_that_are_off_are_not_shown():
    assert list(filters(SAMPLINGS["plain"])) == ["temperature"]
    assert list(filters(SAMPLINGS["top-p"])) == ["temperature", "top-p"]
    assert filters(SAMPLINGS["greedy"]) == {}
    with pytest.raises(ValueError, match="no repetition penalty"):
        follow(None, [1], SamplingConfig(repetition_penalty=1.2))  # type: ignore[arg-type]
