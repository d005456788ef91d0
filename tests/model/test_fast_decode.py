"""Laws of fast decoding: the compiled pass gives what the decoder gives, whatever the switches, batch and threads.

Both compute in float32, in another order: what is left is rounding. With bf16 weights the twin is the decoder with the
same weights cast to float32, which is exact, so that the same tolerance holds (1e-4; 1e-5 is seen).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.tiny import SWITCHES_AND_SHARED, decoder, ids

from smallm.core.files import write_json
from smallm.model import fast, steps
from smallm.model.decoder import Decoder
from smallm.model.families import save_pretrained
from smallm.model.fast import FastDecoder, dtype_for, why_not
from smallm.model.generate import SamplingConfig, generate_batch, generate_ids
from smallm.model.steps import FastSteps, PlainSteps, decoding, open_steps

pytest.importorskip("numba", reason="needs numba, which is not installed")

SLOW = {name: switches for name, switches in SWITCHES_AND_SHARED.items() if name.startswith("long rope")}
KNOWN = {name: switches for name, switches in SWITCHES_AND_SHARED.items() if name not in SLOW}
every_known_switch = pytest.mark.parametrize("switches", KNOWN.values(), ids=KNOWN)
SRC = Path(__file__).resolve().parents[2] / "src"
HERE = {**os.environ, "PYTHONPATH": os.pathsep.join((str(SRC), str(SRC.parent / "tests")))}
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def all_logits(model: Decoder, tokens_BT: torch.Tensor, chunk: int) -> torch.Tensor:
    """logits_BTV by the compiled pass, `chunk` positions of every row at a time."""
    B, T = tokens_BT.shape
    engine, out = FastDecoder(model, B, T), []
    for begin in range(0, T, chunk):
        places = [(b, t) for t in range(begin, min(T, begin + chunk)) for b in range(B)]
        new = engine.run(
            [int(tokens_BT[b, t]) for b, t in places], [b for b, _ in places], [t for _, t in places],
            range(len(places)),
        )  # fmt: skip
        out.append(new.clone().view(-1, B, new.shape[1]).transpose(0, 1))
    return torch.cat(out, dim=1)


@every_known_switch
@torch.no_grad()
def test_the_logits_are_those_of_the_decoder(switches: dict) -> None:
    model, tokens = decoder(**switches), ids(2, 24)
    assert why_not(model) is None
    for chunk in (1, 5, 16):
        torch.testing.assert_close(all_logits(model, tokens, chunk), model(tokens), **TOLERANCE)


@every_known_switch
@torch.no_grad()
def test_bfloat16_weights_give_the_logits_of_the_same_weights_in_float32(switches: dict) -> None:
    model, tokens = decoder(**switches).to(torch.bfloat16), ids(2, 24)
    got = all_logits(model, tokens, 1)
    torch.testing.assert_close(got, model.float()(tokens), **TOLERANCE)


@given(
    layers=st.integers(1, 3),
    groups=st.integers(1, 3),
    kv_heads=st.integers(1, 3),
    head_width=st.sampled_from([2, 6, 8, 12, 16, 20]),
    width=st.integers(8, 70),
    ffn_width=st.integers(8, 130),
    vocab_size=st.integers(3, 120),
    window=st.sampled_from([0, 1, 3, 8]),
    block=st.sampled_from(["pre", "post", "parallel"]),
    norm=st.sampled_from(["rms", "layer"]),
    mlp=st.sampled_from(["swiglu", "gelu", "relu2", "relu"]),
    bias=st.booleans(),
    qk_norm=st.booleans(),
    tied=st.booleans(),
    position=st.sampled_from(["rope", "learned", "none"]),
    bf16=st.booleans(),
    chunk=st.sampled_from([1, 2, 7, 15]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
@torch.no_grad()
def test_any_small_model_gives_the_decoders_logits(
    groups: int, kv_heads: int, bf16: bool, chunk: int, seed: int, vocab_size: int, **switches: Any
) -> None:
    heads = {"heads": groups * kv_heads, "kv_heads": kv_heads}
    model, tokens = decoder(seed, vocab_size=vocab_size, **heads, **switches), ids(2, 15, seed, vocab_size)
    model = model.to(torch.bfloat16) if bf16 else model
    got, expected = all_logits(model, tokens, chunk), model.float()(tokens)
    # Norms after and squared ReLU grow large numbers: what counts is the error against the largest logit.
    torch.testing.assert_close(got, expected, atol=1e-4 * max(1.0, float(expected.abs().max())), rtol=1e-4)


@every_known_switch
def test_greedy_ids_are_those_of_the_decoder(switches: dict) -> None:
    model, greedy = decoder(**switches), SamplingConfig(greedy=True, max_new_tokens=40)
    for prompt in ([3], ids(1, 20)[0].tolist()):
        assert list(generate_ids(model, prompt, greedy, fast=True)) == list(generate_ids(model, prompt, greedy))


def test_drawn_ids_are_those_of_the_decoder() -> None:
    model = decoder()
    for sampling in (
        SamplingConfig(max_new_tokens=40, seed=7),
        SamplingConfig(max_new_tokens=40, temperature=1.5, top_k=20, top_p=0.9, min_p=0.01, repetition_penalty=1.2),
    ):
        plain = list(generate_ids(model, [3, 1, 4], sampling, usable=90))
        assert list(generate_ids(model, [3, 1, 4], sampling, usable=90, fast=True)) == plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [2, 3, 4, 5, 8, 13, 32])
def test_a_row_of_a_batch_has_the_bits_that_it_has_alone(rows: int, dtype: torch.dtype) -> None:
    model = decoder(layers=2, width=72, heads=6, kv_heads=2, head_width=20, context=64).to(dtype)
    prompts = [ids(1, 3 + 5 * i % 23, seed=i)[0].tolist() for i in range(rows)]
    together = FastSteps(model, prompts, 6)
    first, seconds = together.prompt().clone(), [together.step([i + t for i in range(rows)]).clone() for t in range(4)]
    for i, prompt in enumerate(prompts):
        alone = FastSteps(model, [prompt], 6)
        assert torch.equal(alone.prompt()[0], first[i])
        for t, second in enumerate(seconds):
            assert torch.equal(alone.step([i + t])[0], second[i])


def test_a_row_of_a_batch_is_what_it_is_alone_with_seed_plus_its_number() -> None:
    model, sampling = decoder(), SamplingConfig(max_new_tokens=20, seed=7)
    prompts = [ids(1, n, seed=n)[0].tolist() for n in (5, 2, 9, 2, 40)] * 9
    alone = [
        list(generate_ids(model, p, replace(sampling, seed=sampling.seed + i), stop_ids=(0, 1, 2), fast=True))
        for i, p in enumerate(prompts)
    ]
    for batch in (3, 45):
        assert generate_batch(model, prompts, sampling, stop_ids=(0, 1, 2), batch=batch, fast=True) == alone


@torch.no_grad()
def test_steps_far_beyond_the_window_see_the_window_alone() -> None:
    model, tokens = decoder(window=5, kv_heads=2), ids(1, 40)
    torch.testing.assert_close(all_logits(model, tokens, 1), model(tokens), **TOLERANCE)


def test_one_thread_and_two_give_the_same_bits() -> None:
    # Long and wide enough that attention, too, is shared out.
    model = decoder(layers=2, width=256, heads=16, context=1024).to(torch.bfloat16)
    prompt, found = ids(1, 700)[0].tolist(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            runs = FastSteps(model, [prompt], 4)
            found.append([runs.prompt().clone(), *(runs.step([t]).clone() for t in range(3))])
        finally:
            torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("switches", SLOW.values(), ids=SLOW)
def test_a_switch_that_the_kernels_do_not_know_takes_the_decoder_and_gives_its_text(switches: dict) -> None:
    model, greedy = decoder(**switches), SamplingConfig(greedy=True, max_new_tokens=30)
    assert isinstance(open_steps(model, [[1]], 5, fast=True), PlainSteps)
    assert decoding(model) == "plain: with LongRoPE a text that grows long is computed anew"
    assert list(generate_ids(model, [3, 1], greedy, fast=True)) == list(generate_ids(model, [3, 1], greedy))
    with pytest.raises(ValueError, match="LongRoPE"):
        FastDecoder(model, 1, 8)


def _hooked(model: Decoder) -> Decoder:
    model.blocks[0].register_forward_hook(lambda *_: None)
    return model


def _adapted(model: Decoder) -> Decoder:
    model.head = torch.nn.Sequential(model.head)  # type: ignore[assignment]
    return model


def _mixed(model: Decoder) -> Decoder:
    model.blocks[0].to(torch.bfloat16)
    return model


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_hooked, "hooks"),
        (_adapted, "Sequential"),
        (_mixed, "weights are bfloat16, float32"),
        (lambda m: m.half(), "weights are float16"),
        (lambda m: m.to("meta"), "weights are on meta"),
        (lambda _: torch.nn.Linear(2, 2), "Linear is not our decoder"),
    ],
)
def test_what_the_kernels_would_pass_over_is_named_and_left_to_the_decoder(change: Any, reason: str) -> None:
    model = change(decoder())
    assert reason in (why_not(model) or "")
    assert decoding(model).startswith("plain: ")


def test_without_numba_the_decoder_writes_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    model, greedy = decoder(), SamplingConfig(greedy=True, max_new_tokens=5)
    expected = list(generate_ids(model, [3], greedy))
    monkeypatch.setattr(fast, "compiled", lambda: "numba cannot be loaded (no such module)")
    assert decoding(model) == "plain: numba cannot be loaded (no such module)"
    assert list(generate_ids(model, [3], greedy, fast=True)) == expected


def test_torch_keeps_its_number_of_threads() -> None:
    script = """
import torch
from model.tiny import decoder
from smallm.model.steps import FastSteps
torch.set_num_threads(1)
FastSteps(decoder(), [[1]], 2).prompt()
print(torch.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SRC, env=HERE)
    assert done.stdout == "1\n"


def test_what_runs_is_said() -> None:
    assert decoding(decoder().to(torch.bfloat16)) == "fast: compiled, bfloat16 weights, 1 threads"
    assert isinstance(open_steps(decoder(), [[1]], 5, fast=True), FastSteps)
    assert isinstance(open_steps(decoder(), [[1]], 5, fast=False), steps.PlainSteps)


def test_weights_that_were_trained_on_are_read_anew() -> None:
    model = decoder()
    runs = FastSteps(model, [[1, 2]], 2)
    before = runs.prompt().clone()
    with torch.no_grad():
        model.blocks[0].attention.q.weight.mul_(2.0)
    assert not torch.equal(runs.prompt(), before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([96], [0], [0], [0]), "ids must be below 96"),
        (([1], [2], [0], [0]), "slots must be below 2"),
        (([1], [0], [8], [0]), "positions must be below 8"),
        (([], [], [], []), "1 to 32 rows"),
        (([1] * 33, [0] * 33, [0] * 33, []), "1 to 32 rows"),
    ],
)
def test_what_lies_outside_is_refused_before_memory_is_touched(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FastDecoder(decoder(), 2, 8).run(*arguments)


def test_weights_are_loaded_in_the_type_they_are_stored_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pretrained(decoder(), tmp_path / "half", dtype=torch.bfloat16)
    save_pretrained(decoder(**SLOW["long rope"]), tmp_path / "long", dtype=torch.bfloat16)
    monkeypatch.setattr(fast, "pick_device", lambda: "cpu")
    assert dtype_for(tmp_path / "half") == torch.bfloat16
    assert dtype_for(tmp_path / "long") is None
    write_json(tmp_path / "none" / "config.json", {})
    assert dtype_for(tmp_path / "none") is None
    monkeypatch.setattr(fast, "pick_device", lambda: "cuda")
    assert dtype_for(tmp_path / "half") is None


WARM = """
import sys, time
from smallm.model.decoder import Decoder
from smallm.core.config import ModelConfig
from smallm.model.steps import FastSteps
assert "numba" not in sys.modules, "asking for the decoder alone must not load numba"
FastSteps(Decoder(ModelConfig(layers=1, width=16, heads=2, context=8, vocab_size=8)), [[1]], 2).prompt()
from smallm.model.compiled.forward import run_rows
print(sum(run_rows.stats.cache_hits.values()), sum(run_rows.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_the_second_process_compiles_nothing(tmp_path: Path) -> None:
    cold = HERE | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", WARM], capture_output=True, text=True, check=True, env=cold
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["0", "1"], ["1", "0"]]


@pytest.mark.parametrize("known", [True, False])
def test_who_waits_for_the_compiler_is_told_so_once(
    known: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pass:
        signatures = ["one"] if known else []
        stats = SimpleNamespace(cache_misses=1)

    monkeypatch.setattr(fast, "SAID_AFTER", 0.01)
    with fast._compiling_is_said(Pass):
        time.sleep(0.3)
    assert ("compiling the decoder" in capsys.readouterr().err) is not known
