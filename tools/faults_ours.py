"""Our column of docs/faults.md: the same faults through `smallm.finetune`, from rows to the batches trained on."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from faults_peers import (
    IGNORE,
    Rows,
    Seen,
    gradient_of,
    no_trap,
    probe_ids,
    prompt_tokens,
    rendered_texts,
    token,
    trained_ends,
    trap_is_set,
)
from faults_tiny import BOS, END, SEVEN, WRONG_TEMPLATE, make_base, messages_rows, randomise_adapter, shorten

from smallm.core.errors import UserError


def trainer_of(base: Path, rows: list[dict[str, Any]], **options: Any) -> Any:
    """The product's trainer on rows; UserError where it refuses them."""
    from smallm.finetune.api import Sft, sft_trainer

    settings: dict[str, Any] = {"max_length": 64, "batch_rows": 1, "micro_rows": 1, "lora_r": 8, "steps": 1}
    settings |= {"output": str(base / "out")} | options
    return sft_trainer(Sft(model=str(base), rows=rows, **settings))


def refused(error: UserError) -> Seen:
    return Seen(True, f"refused: “{shorten(str(error))}”")


def parts_of(trainer: Any) -> list[Any]:
    """The micro-batches of one epoch."""
    parts: list[Any] = []
    for batch in trainer.job.feed.batches(1000):
        parts += batch.parts
        if batch.cursor.epoch:
            break
    return parts


def rows_of(trainer: Any) -> Rows:
    """(ids, labels) of every document that is trained on; a label stands at its token, as with the peers."""
    found: Rows = []
    for part in parts_of(trainer):
        for ids, targets, segments in zip(part.input_ids_BT, part.targets_BT, part.segments_BT, strict=True):
            for s in segments.unique().tolist():
                own, wanted = ids[segments == s].tolist(), targets[segments == s].tolist()
                if all(t == IGNORE for t in wanted) and not any(own):
                    continue  # the row's tail
                found.append(aligned(own, wanted))
    return found


def aligned(inputs: list[int], targets: list[int]) -> tuple[list[int], list[int]]:
    """Inputs and the targets after them as one row of ids and its labels: the last target may be no input."""
    last = [targets[-1]] if targets[-1] != IGNORE else []
    return [*inputs, *last], [IGNORE, *targets][: len(inputs) + len(last)]


# ---------------------------------------------------------------------------------------------- the faults


def wrong_template(folder: Path) -> Seen:
    base = make_base(folder, template=WRONG_TEMPLATE)
    return trained_or_refused(base, messages_rows())


def trained_or_refused(base: Path, rows: list[dict[str, Any]]) -> Seen:
    try:
        made = rows_of(trainer_of(base, rows))
    except UserError as error:
        return refused(error)
    return Seen(False, f"trains on {len(made)} of {len(rows)} rows; nothing said")


def pad_is_end(folder: Path) -> Seen:
    base = make_base(folder, pad=END)
    ends = trained_ends(rows_of(trainer_of(base, messages_rows())), token(base, END))
    return Seen(ends == 6, f"the end of turn is trained on in {ends} of 6 rows")


def double_bos(folder: Path) -> Seen:
    base = make_base(folder, adds_bos=True)
    bos = token(base, BOS)
    chats = max(ids.count(bos) for ids, _ in rows_of(trainer_of(base, messages_rows())))
    try:
        texts = rows_of(trainer_of(base, rendered_texts(base), output=str(base / "texts")))
        written, right = str(max(ids.count(bos) for ids, _ in texts)), all(ids.count(bos) == 1 for ids, _ in texts)
    except UserError as error:
        written, right = refused(error).what, True
    return Seen(chats == 1 and right, f"`messages`: {chats} BOS in each row; rendered `text`: {written}")


def cut_answers(folder: Path) -> Seen:
    """As it is, and with both of the other choices."""
    base = make_base(folder)
    end, told, held = token(base, END), [], True
    for choice in ("raise", "drop", "truncate"):
        try:
            with redirect_stderr(StringIO()) as heard:
                made = rows_of(trainer_of(base, messages_rows(long=True), too_long=choice, output=str(base / choice)))
        except UserError as error:
            told.append(f"`{choice}`: {refused(error).what}")
            continue
        lost = sum(ids.count(end) != 2 for ids, _ in made)
        warned = next((x for x in heard.getvalue().splitlines() if "max_length" in x), "")
        said = f"warns: “{shorten(warned.removeprefix('warning: '))}”" if warned else "nothing said"
        told.append(f"`{choice}`: {8 - len(made)} dropped, {lost} trained without the end of the answer, {said}")
        held = held and not lost
    return Seen(held, "too_long " + "; ".join(told))


def fused_missed(folder: Path) -> Seen:
    base = make_base(folder, "phi3")
    try:
        model = trainer_of(base, messages_rows(), lora_target_modules=SEVEN).job.model
    except UserError as error:
        return refused(error)
    hit = sorted({n.split(".")[-1] for n, m in model.named_modules() if hasattr(m, "lora_A")})
    return Seen(False, f"adapters on {', '.join(hit)}")


@torch.no_grad()
def leaking_packing(folder: Path) -> Seen:
    base = make_base(folder)
    trainer = trainer_of(base, messages_rows())
    decoder, worst, parts = trainer.job.model.decoder, {}, parts_of(trainer)
    for mode in ("training", "evaluation"):
        trainer.job.model.train(mode == "training")
        worst[mode] = 0.0
        for part in parts:
            part = trainer.job.feed.to_device(part, training=mode == "training")
            logits_TV = decoder(part.input_ids_BT, part.positions_BT, part.borders)[0]
            segments = part.segments_BT[0]
            for s in segments.unique().tolist():
                own = decoder(part.input_ids_BT[:, segments == s])[0]
                worst[mode] = max(worst[mode], float((own - logits_TV[segments == s]).abs().max()))
    text = ", ".join(f"{value:.1g} in {mode}" for mode, value in worst.items())
    return Seen(max(worst.values()) < 1e-4, f"packing: logits differ by {text}")


def requantised_merge(folder: Path) -> Seen:
    """The adapter saved, merged by the product, reloaded, against the model that was trained."""
    from transformers import AutoModelForCausalLM

    from smallm.finetune.merge import merge, plan_merge
    from smallm.finetune.save import save_tuned

    base = make_base(folder)
    trainer = trainer_of(base, messages_rows(), load_in_4bit=True)
    decoder = trainer.job.model.decoder
    randomise_adapter(decoder, 0.1)
    ids = probe_ids()
    decoder.eval()
    with torch.no_grad():
        adapted = decoder(ids).float()
        with decoder.model.disable_adapter():
            without = decoder(ids).float()
        adapter = folder / "adapter"
        adapter.mkdir()
        save_tuned(decoder, adapter, base=base, base_name=str(base), end_ids=[token(base, END)])
        plan = plan_merge(adapter, base)
        merge(plan, folder / "merged")
        merged = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
        after = merged(input_ids=ids).logits.float()
    share = float((after - adapted).norm() / (adapted - without).norm())
    kind = "4-bit" if getattr(merged, "is_quantized", False) else "full-precision"
    text = f"export to merged, on the {plan.stated} base: the output's error is {share:.1g} of the adapter's effect; "
    return Seen(share < 0.05, text + f"{kind} weights")


def evaluation_between(folder: Path) -> Seen:
    base = make_base(folder)
    held_out = [
        {"messages": [*r["messages"][:1], {"role": "assistant", "content": "a big house."}]} for r in messages_rows()
    ]
    trainer = trainer_of(base, messages_rows(), held_out=held_out, load_in_4bit=True)
    decoder = trainer.job.model.decoder
    randomise_adapter(decoder, 0.1)
    before = gradient_of(decoder, decoder)
    assert trainer.validate(), "no held-out rows went through the model"
    cosine = float(torch.nn.functional.cosine_similarity(before, gradient_of(decoder, decoder), dim=0))
    kept = [m for m in decoder.modules() if getattr(m, "support_avx512bf16_for_cpu", False)]
    text = f"cosine of the gradient before and after: {cosine:.3f}; repacking allowed in {len(kept)} layers{no_trap()}"
    return Seen(cosine > 0.999 and not kept if trap_is_set() else None, text)


def prompt_trained(folder: Path) -> Seen:
    base = make_base(folder)
    trained, total = prompt_tokens(base, rows_of(trainer_of(base, messages_rows())))
    return Seen(trained == 0, f"`messages`: trains on {trained} of {total} prompt tokens")
