"""Laws of the causal model as a decoder: packed rows are their documents alone; a model that leaks is found."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from finetune.tiny_bases import documents, make_model, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from smallm.core.config import FinetuneConfig
from smallm.finetune import attention_hf
from smallm.finetune.adapters import attach
from smallm.finetune.causal import CausalDecoder, row_limit
from smallm.model.attention import make_borders, reference_attention
from smallm.train.corpus import IGNORE, Batch
from smallm.train.loss import LossModel

FAMILIES = ("llama", "gpt2", "qwen3", "mistral", "phi3", "gemma2", "gpt_oss")
LENGTHS = ((7, 12, 1, 4), (24,), (10, 14))


@pytest.fixture(scope="module")
def decoders() -> dict[str, CausalDecoder]:
    return {family: CausalDecoder(make_model(family)) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("training", [False, True])
def test_the_logits_of_a_packed_row_are_those_of_its_rows_alone(
    family: str, training: bool, decoders: dict[str, CausalDecoder]
) -> None:
    """Alone: by Transformers' own eager attention, one document at a time."""
    decoder = decoders[family]
    rows = [documents(lengths, seed=i) for i, lengths in enumerate(LENGTHS)]
    reference = make_model(family)
    reference.set_attn_implementation("eager")
    decoder.train(training)
    reference.train(training)
    with torch.no_grad():
        found_BTV = decoder(*packed(rows))
        wanted_BTV = torch.stack(
            [torch.cat([reference(input_ids=d[None], use_cache=False).logits[0] for d in row]) for row in rows]
        )
    assert decoder.isolates
    assert (found_BTV - wanted_BTV).abs().max() < 1e-5 * max(1.0, float(wanted_BTV.abs().max()))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_the_gradient_of_a_packed_row_is_the_sum_of_its_rows(family: str, decoders: dict[str, CausalDecoder]) -> None:
    """Also through activation checkpointing, which recomputes after the forward pass is over."""
    decoder, rows = decoders[family], [documents((7, 12, 5)), documents((20, 4), seed=1)]
    weights = torch.randn(320, generator=torch.Generator().manual_seed(2))

    def gradients(run: Any) -> list[torch.Tensor]:
        decoder.zero_grad()
        run()
        return [p.grad.clone() for p in decoder.parameters() if p.grad is not None]

    def alone() -> None:
        for row in rows:
            for d in row:
                (decoder(d[None]) @ weights).sum().backward()

    def together() -> None:
        (decoder(*packed(rows)) @ weights).sum().backward()

    def recomputed() -> None:
        forwards = [block.forward for block in decoder.blocks]
        LossModel(decoder, activation_checkpointing=True)
        logits = decoder(*packed(rows))
        decoder.eval()(*packed([documents((24,), seed=9)]))  # another batch's borders in between
        decoder.train()
        (logits @ weights).sum().backward()
        for block, forward in zip(decoder.blocks, forwards, strict=True):
            block.forward = forward  # type: ignore[method-assign]

    decoder.train()
    wanted = gradients(alone)
    for run in (together, recomputed):
        for a, b in zip(gradients(run), wanted, strict=True):
            assert (a - b).abs().max() < 1e-4 * max(1.0, float(b.abs().max()))


def test_changing_one_document_leaves_its_neighbours_alone(decoders: dict[str, CausalDecoder]) -> None:
    rows = [documents((9, 8, 7))]
    with torch.no_grad():
        before = decoders["llama"](*packed(rows))
        rows[0][1] = (rows[0][1] + 1) % 320
        after = decoders["llama"](*packed(rows))
    assert torch.equal(before[:, :9], after[:, :9])
    assert torch.equal(before[:, 17:], after[:, 17:])
    assert not torch.allclose(before[:, 9:17], after[:, 9:17])


def _leaking(*args: Any, **options: Any) -> Any:
    """An attention that looks at the whole row, as Transformers' does when it does not find the documents."""
    query, key, value = args[1:4]
    return attention_hf.attention(args[0], query, key, value, None, *args[5:], **options)


def test_an_attention_that_leaks_fails_the_probe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def register() -> None:
        from transformers import AttentionInterface

        AttentionInterface.register(attention_hf.NAME, _leaking)

    monkeypatch.setattr(attention_hf, "register", register)
    decoder = CausalDecoder(make_model("llama"))
    monkeypatch.undo()
    attention_hf.register()
    assert not decoder.isolates
    assert "one document a row" in capsys.readouterr().err
    ids_BT, positions_BT, borders = packed([documents((4, 4))])
    with pytest.raises(ValueError, match="one document a row"):
        decoder.hidden(ids_BT, positions_BT, borders)
    assert decoder(ids_BT).shape == (1, 8, 320)  # by its own attention, one document a row


@pytest.mark.parametrize("family", ["bloom", "mamba"])
def test_models_that_leak_by_their_architecture_get_one_document_a_row(
    family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """ALiBi that ignores the interface, and a state-space model whose state runs through the row."""
    model = make_model(family)
    ids_BT = documents((10,))[0][None]
    with torch.no_grad():
        wanted = model(input_ids=ids_BT).logits
        decoder = CausalDecoder(model)
        assert not decoder.isolates
        assert torch.allclose(decoder(ids_BT), wanted, atol=1e-5)
    assert "does not keep the documents of a packed row apart" in capsys.readouterr().err


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite", "gpt2"])
def test_head_and_hidden_states_give_the_models_own_logits(family: str) -> None:
    """Soft cap and logit scale included, so that the chunked loss is the model's."""
    decoder = CausalDecoder(make_model(family))
    ids_BT = documents((20,))[0][None].repeat(2, 1)
    batch = Batch(ids_BT, ids_BT.roll(-1, 1), torch.zeros_like(ids_BT), torch.zeros_like(ids_BT), 40, [], single=True)
    loss = LossModel(decoder)
    assert loss.verify(batch) < 1e-4
    assert not loss.use_reference
    with torch.no_grad():
        logits = decoder.head(decoder.hidden(ids_BT))
        if cap := decoder.config.soft_cap:
            logits = cap * torch.tanh(logits / cap)
        assert torch.allclose(logits, decoder(ids_BT), atol=1e-5)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_head_trained_whole_takes_the_fast_loss(enabled: bool) -> None:
    """PEFT wraps it; the loss gets the copy in use: the trained one, or the original while adapters are off."""
    tune = FinetuneConfig(lora_r=4, lora_modules_to_save=["embed_tokens", "lm_head"])
    model, _ = attach(make_model("llama"), tune)
    wrapper = model.get_base_model().get_output_embeddings()
    with torch.no_grad():
        for copy in wrapper.modules_to_save.values():
            copy.weight.mul_(1.5)
    decoder = CausalDecoder(model)
    with nullcontext() if enabled else model.disable_adapter():
        assert type(decoder.head).forward is nn.Linear.forward
        assert (decoder.head is wrapper.original_module) is not enabled
        ids_BT = documents((20,))[0][None]
        assert torch.allclose(decoder.head(decoder.hidden(ids_BT)), decoder(ids_BT), atol=1e-5)


def test_the_loss_of_a_packed_batch_is_that_of_its_documents() -> None:
    decoder = CausalDecoder(make_model("llama")).train()
    rows = [documents((9, 8, 7))]
    ids_BT, positions_BT, borders = packed(rows)
    targets_BT = ids_BT.roll(-1, 1)
    targets_BT[0, [8, 16, 23]] = IGNORE
    model = LossModel(decoder)
    batch = Batch(ids_BT, targets_BT, positions_BT, borders.segments_BT, 21, [], borders=borders)
    together, n = model(batch)
    alone = 0.0
    for d in rows[0]:
        logits = decoder(d[None])[0, :-1]
        alone += float(nn.functional.cross_entropy(logits, d[1:], reduction="sum").detach())
    assert n == 21
    assert abs(float(together.detach()) - alone) < 1e-3


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_attention_in_buckets_is_the_slow_twin(data: st.DataObject) -> None:
    """Any lengths, grouped heads, windows: value and gradient."""
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=6), label="lengths")
    window = data.draw(st.sampled_from([None, 1, 3, 7]), label="window")
    groups = data.draw(st.sampled_from([1, 2]), label="groups")
    T, generator = sum(lengths), torch.Generator().manual_seed(len(lengths))
    segments_BT = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None].repeat(2, 1)
    borders = make_borders(segments_BT, "varlen")
    q, k, v = (torch.randn(2, h, T, 8, generator=generator, requires_grad=True) for h in (4, 4 // groups, 4 // groups))
    out_BTHC, _ = attention_hf.attention(
        nn.Module(), q, k, v, attention_hf.packed_mask(borders), scaling=8**-0.5, sliding_window=window
    )
    time = torch.arange(T)
    seen_BTS = (segments_BT[:, :, None] == segments_BT[:, None]) & (time[:, None] >= time)
    if window is not None:
        seen_BTS &= time[:, None] - time < window
    wanted_BTHC = reference_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), seen_BTS)
    assert torch.allclose(out_BTHC, wanted_BTHC, atol=1e-5)
    weights = torch.randn(out_BTHC.shape, generator=generator)
    found = torch.autograd.grad((out_BTHC * weights).sum(), (q, k, v))
    wanted = torch.autograd.grad((wanted_BTHC * weights).sum(), (q, k, v))
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_short_documents_do_not_pay_for_the_row() -> None:
    """Work is the sum of the documents' squares, padding of a bucket included, not the row's square."""
    lengths = [200, 190, 210, 20, 18, 180, 206]
    segments_BT = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None]
    buckets = attention_hf.Packing(make_borders(segments_BT, "varlen")).in_buckets()
    work = sum(s * n * n for s, n in buckets.shapes)
    assert work < 1.4 * sum(n * n for n in lengths)
    assert work < sum(lengths) ** 2 / 4
    assert sum(s for s, _ in buckets.shapes) == len(lengths)


def test_phi_rows_end_below_the_change_of_longrope_factors() -> None:
    """Over original_max_position_embeddings one long row would switch the factors of its whole batch."""
    decoder = CausalDecoder(make_model("phi3"))
    assert decoder.config.context == 32
    assert row_limit(make_model("llama").config) == 64
    at_limit = documents((32,))[0][None]
    with torch.no_grad():
        inside = decoder(at_limit)[:, :8]
        beyond = decoder(torch.cat([at_limit, at_limit], 1))[:, :8]
    assert not torch.allclose(inside, beyond, atol=1e-3)  # why the limit is there


def test_a_served_model_keeps_its_own_attention(decoders: dict[str, CausalDecoder]) -> None:
    decoder = decoders["llama"]
    assert decoder.base.config._attn_implementation == attention_hf.NAME
    with decoder.serving_attention():
        assert decoder.base.config._attn_implementation == "sdpa"
    assert decoder.base.config._attn_implementation == attention_hf.NAME


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_generation_with_left_padding_works_under_the_packed_attention(
    family: str, decoders: dict[str, CausalDecoder]
) -> None:
    """Samples in training need no switch: without borders the attention is the model's own, soft cap included."""
    model, prompt = decoders[family].base.eval(), documents((6,))[0]
    padded = torch.stack([torch.cat([torch.zeros(4, dtype=torch.long), prompt]), documents((10,), seed=3)[0]])
    mask = torch.ones_like(padded)
    mask[0, :4] = 0
    options = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        together = model.generate(input_ids=padded, attention_mask=mask, **options)[0, 10:]
        alone = model.generate(input_ids=prompt[None], attention_mask=torch.ones(1, 6, dtype=torch.long), **options)
    assert together.tolist() == alone[0, 6:].tolist()
