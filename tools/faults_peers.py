"""TRL's and plain PEFT's columns of docs/faults.md: each fault injected, what was seen put into words.

TRL is used as its documentation does (SFTTrainer, defaults but for what the fault is about); "plain PEFT" is the loop
of PEFT's own examples: the template's text, the tokenizer, Transformers' DataCollatorForLanguageModeling and a model
from get_peft_model. Each function returns a Seen made of counts and differences it has just measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from faults_tiny import (
    BOS,
    END,
    SEVEN,
    WRONG_TEMPLATE,
    Said,
    listening,
    make_base,
    messages_rows,
    randomise_adapter,
    shorten,
    split_rows,
)

IGNORE = -100


@dataclass(frozen=True)
class Seen:
    """What happened. `held`: the fault did no harm, or was refused; None: it could not be made on this machine."""

    held: bool | None
    what: str


Rows = list[tuple[list[int], list[int]]]  # (ids, labels of the same length) of each row


# ---------------------------------------------------------------------------------------------- what each one makes


def trl_trainer(
    base: Path, rows: list[dict[str, Any]], targets: Any = "all-linear", model: Any = None, **options: Any
) -> Any:
    """SFTTrainer on rows, LoRA, on the CPU in float32."""
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    disable_progress_bars()
    settings = {"output_dir": str(base / "out"), "use_cpu": True, "bf16": False, "report_to": "none", "max_steps": 1}
    settings |= {"disable_tqdm": True, "save_strategy": "no", "dataloader_pin_memory": False, "max_length": 64}
    return SFTTrainer(
        model=model or AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=SFTConfig(**(settings | options)),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM"),
    )


def trl_rows(trainer: Any) -> Rows:
    """What its collator gives the model, row by row, padding taken off."""
    batch = [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    made = trainer.data_collator(batch)
    lengths = made["attention_mask"].sum(1).tolist()
    both = zip(made["input_ids"].tolist(), made["labels"].tolist(), lengths, strict=True)
    return [(ids[:n], labels[:n]) for ids, labels, n in both]


def plain_rows(base: Path, rows: list[dict[str, Any]], max_length: int = 64) -> Rows:
    """The template's text, the tokenizer as it is, Transformers' collator for causal language models."""
    from transformers import AutoTokenizer, DataCollatorForLanguageModeling

    tokenizer = AutoTokenizer.from_pretrained(base)
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows]
    encoded = [tokenizer(text, truncation=True, max_length=max_length) for text in texts]
    made = DataCollatorForLanguageModeling(tokenizer, mlm=False)([dict(e) for e in encoded])
    lengths = [len(e["input_ids"]) for e in encoded]
    both = zip(made["input_ids"].tolist(), made["labels"].tolist(), lengths, strict=True)
    return [(ids[:n], labels[:n]) for ids, labels, n in both]


def plain_model(base: Path, targets: Any = "all-linear", **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **options)
    return get_peft_model(model, LoraConfig(r=8, target_modules=targets, task_type="CAUSAL_LM"))


def nf4() -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )


# ---------------------------------------------------------------------------------------------- counting


def token(base: Path, text: str) -> int:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base).convert_tokens_to_ids(text)


def trained_ends(rows: Rows, end: int) -> int:
    """Rows in which an end of turn after the last trained token's place is itself trained on."""
    return sum(any(i == end and target == end for i, target in zip(*row, strict=True)) for row in rows)


def prompt_tokens(base: Path, rows: Rows) -> tuple[int, int]:
    """(trained, all) tokens before the answer begins: up to the newline after <|assistant|>."""
    opening = token(base, "<|assistant|>")
    trained = total = 0
    for ids, labels in rows:
        first = ids.index(opening) + 2
        trained += sum(x != IGNORE for x in labels[1:first])
        total += first - 1
    return trained, total


def openings(base: Path, ids: list[int]) -> str:
    """What stands between <|assistant|> and the answer in a training row, as text."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    at = ids.index(token(base, "<|assistant|>"))
    return tokenizer.decode(ids[at : at + 2])


def said(heard: Said, *words: str) -> str:
    text = heard.about(*words).removeprefix("[RANK 0] ")
    return f"warns: “{text}”" if text else "nothing said"


# ---------------------------------------------------------------------------------------------- the faults


def wrong_template(folder: Path, who: str) -> Seen:
    base = make_base(folder, template=WRONG_TEMPLATE)
    if who == "PEFT":
        with listening() as heard:
            rows = plain_rows(base, messages_rows())
        return Seen(False, f"trains on {len(rows)} of 6 rows; {said(heard, 'template')}")
    with listening() as heard:
        trainer = trl_trainer(base, split_rows(messages_rows()))
        rows = trl_rows(trainer)
        trainer.train()
    text = said(heard, "not a prefix")
    with listening() as also:
        trl_trainer(base, messages_rows()).train()
    return Seen(False, f"trains on {len(rows)} of 6 rows; prompt and completion: {text}; `messages`: "
                f"{said(also, 'not a prefix')}")  # fmt: skip


def pad_is_end(folder: Path, who: str) -> Seen:
    base = make_base(folder, pad=END)
    rows = plain_rows(base, messages_rows()) if who == "PEFT" else trl_rows(trl_trainer(base, messages_rows()))
    ends = trained_ends(rows, token(base, END))
    return Seen(ends == 6, f"the end of turn is trained on in {ends} of 6 rows")


def double_bos(folder: Path, who: str) -> Seen:
    base = make_base(folder, adds_bos=True)
    bos = token(base, BOS)
    if who == "PEFT":
        counts = [ids.count(bos) for ids, _ in plain_rows(base, messages_rows())]
        return Seen(max(counts) == 1, f"{max(counts)} BOS in each row; nothing said")
    chats = [ids.count(bos) for ids, _ in trl_rows(trl_trainer(base, messages_rows()))]
    with listening() as heard:
        written = [ids.count(bos) for ids, _ in trl_rows(trl_trainer(base, rendered_texts(base)))]
    return Seen(
        max(chats + written) == 1,
        f"`messages`: {max(chats)} BOS in each row; rendered `text`: {max(written)}; {said(heard, 'bos')}",
    )


def rendered_texts(base: Path) -> list[dict[str, str]]:
    """The chats as one writes them who applies the template himself."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    return [{"text": tokenizer.apply_chat_template(r["messages"], tokenize=False)} for r in messages_rows()]


def cut_answers(folder: Path, who: str) -> Seen:
    base = make_base(folder)
    with listening() as heard:
        if who == "PEFT":
            rows = plain_rows(base, messages_rows(long=True))
        else:
            rows = trl_rows(trl_trainer(base, split_rows(messages_rows(long=True))))
    end = token(base, END)
    lost = len(rows) - sum(ids.count(end) == 2 for ids, _ in rows)
    text = f"of 8 rows {8 - len(rows)} dropped, {lost} trained without the end of the answer; "
    return Seen(len(rows) == 8 and not lost, text + said(heard, "long", "length"))


def fused_missed(folder: Path, who: str) -> Seen:
    base = make_base(folder, "phi3")
    with listening() as heard:
        model = plain_model(base, SEVEN) if who == "PEFT" else trl_trainer(base, messages_rows(), SEVEN).model
    hit = sorted({n.split(".")[-1] for n, m in model.named_modules() if hasattr(m, "lora_A")})
    missed = sorted({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"} - set(hit))
    return Seen(not missed, f"adapters on {', '.join(hit)}; none on {', '.join(missed)}; {said(heard, 'target')}")


def leaking_packing(folder: Path, who: str) -> Seen:
    base = make_base(folder)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if who == "PEFT":
        rows = [ids for ids, _ in plain_rows(base, messages_rows())][:3]
        flat = torch.tensor([[i for ids in rows for i in ids]])
        positions = torch.cat([torch.arange(len(r)) for r in rows])[None]
        plain = difference(model, rows, model(input_ids=flat).logits[0])
        cached = difference(model, rows, model(input_ids=flat, position_ids=positions).logits[0])
        exact = difference(model, rows, model(input_ids=flat, position_ids=positions, use_cache=False).logits[0])
        return Seen(
            max(plain, cached, exact) < 1e-4,
            f"rows joined: logits differ by {plain:.1g}; with position_ids and the default cache {cached:.1g}; with "
            f"position_ids and use_cache=False {exact:.1g}",
        )
    found = {}
    for strategy in ("bfd", "wrapped"):
        trainer = trl_trainer(base, messages_rows(), packing=True, packing_strategy=strategy)
        alone = [ids for ids, _ in plain_rows(base, messages_rows())]
        batch = trainer.data_collator([trainer.train_dataset[0]])
        found[strategy] = packed_difference(trainer.model.get_base_model().eval(), batch, alone)
    return Seen(
        max(found.values()) < 1e-4,
        f'packing: logits differ by {found["bfd"]:.1g}; packing_strategy="wrapped": {found["wrapped"]:.1g}',
    )


@torch.no_grad()
def difference(model: Any, rows: list[list[int]], packed_TV: torch.Tensor) -> float:
    alone = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in rows])
    return float((alone - packed_TV[: len(alone)]).abs().max())


@torch.no_grad()
def packed_difference(model: Any, batch: dict[str, Any], alone: list[list[int]]) -> float:
    """Logits of a collated packed row against those of the rows that it holds, each found by its ids."""
    inputs = {k: v for k, v in batch.items() if k in ("input_ids", "position_ids", "attention_mask")}
    logits_TV = model(**inputs, use_cache=False).logits[0]
    flat = batch["input_ids"][0].tolist()
    worst = 0.0
    for ids in alone:
        at = next((i for i in range(len(flat) - len(ids) + 1) if flat[i : i + len(ids)] == ids), None)
        if at is not None:
            own = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            worst = max(worst, float((own - logits_TV[at : at + len(ids)]).abs().max()))
    return worst


def requantised_merge(folder: Path, who: str) -> Seen:
    base = make_base(folder)
    from transformers import AutoModelForCausalLM

    if who == "PEFT":
        model = plain_model(base, quantization_config=nf4(), device_map={"": "cpu"})
    else:
        four = AutoModelForCausalLM.from_pretrained(base, quantization_config=nf4(), device_map={"": "cpu"})
        model = trl_trainer(base, messages_rows(), model=four).model
        for p in model.parameters():  # the adapter's own bf16 is not what is measured here
            p.data = p.data.float() if p.requires_grad else p.data
    randomise_adapter(model, 0.1)
    share, heard = merge_error(model, probe_ids())
    return Seen(share < 0.05, f"merge_and_unload on the 4-bit base: the output's error is {share:.1g} of the "
                f"adapter's effect; {heard}")  # fmt: skip


def probe_ids() -> torch.Tensor:
    return torch.randint(8, 320, (4, 24), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def merge_error(model: Any, ids: torch.Tensor) -> tuple[float, str]:
    """|merged - adapter| over |adapter - base|, of logits; and what was said."""
    model.eval()
    adapted = model(input_ids=ids).logits.float()
    with model.disable_adapter():
        without = model(input_ids=ids).logits.float()
    with listening() as heard:
        merged = model.merge_and_unload()
    after = merged(input_ids=ids).logits.float()
    return float((after - adapted).norm() / (adapted - without).norm()), said(heard, "merge")


def evaluation_between(folder: Path, who: str) -> Seen:
    """The gradient before and after an evaluation pass, on NF4."""
    base = make_base(folder)
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM

    four = AutoModelForCausalLM.from_pretrained(base, quantization_config=nf4(), device_map={"": "cpu"})
    if who == "PEFT":
        from peft import LoraConfig, get_peft_model

        model: Any = prepare_model_for_kbit_training(four, use_gradient_checkpointing=False)
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
        evaluate = lambda: model.eval()(input_ids=probe_ids())  # noqa: E731
    else:
        from datasets import Dataset

        trainer = trl_trainer(base, messages_rows(), model=four, gradient_checkpointing=False)
        model = trainer.model
        evaluate = lambda: trainer.evaluate(Dataset.from_list(messages_rows()))  # noqa: E731
    randomise_adapter(model, 0.1)
    before = gradient(model)
    with torch.no_grad():
        evaluate()
    cosine = float(torch.nn.functional.cosine_similarity(before, gradient(model), dim=0))
    text = f"cosine of the gradient before and after: {cosine:.3f}"
    return Seen(cosine > 0.999 if trap_is_set() else None, text + no_trap())


def gradient(model: Any) -> torch.Tensor:
    return gradient_of(model, lambda ids: model(input_ids=ids, use_cache=False).logits)


def gradient_of(model: torch.nn.Module, logits_of: Any) -> torch.Tensor:
    """The adapter's gradient on fixed ids, flat."""
    model.train()
    model.zero_grad(set_to_none=True)
    logits = logits_of(probe_ids()).float()
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), probe_ids()[:, 1:].flatten()).backward()
    return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])


def trap_is_set() -> bool:
    """Whether bitsandbytes repacks 4-bit weights in an evaluation on this processor."""
    from bitsandbytes.functional import has_avx512bf16

    return bool(has_avx512bf16())


def no_trap() -> str:
    return "" if trap_is_set() else " (no AVX512-BF16 here, so nothing is repacked: the trap was not sprung)"


def prompt_trained(folder: Path, who: str) -> Seen:
    base = make_base(folder)
    with listening() as heard:
        if who == "PEFT":
            rows = plain_rows(base, messages_rows())
        else:
            trainer = trl_trainer(base, messages_rows())
            rows = trl_rows(trainer)
            trainer.train()
    trained, total = prompt_tokens(base, rows)
    text = f"`messages`: trains on {trained} of {total} prompt tokens; {said(heard, 'prompt')}"
    if who == "TRL":
        pairs = prompt_tokens(base, trl_rows(trl_trainer(base, split_rows(messages_rows()))))[0]
        text += f"; prompt and completion: on {pairs}; assistant_only_loss: {assistant_only(base)}"
    return Seen(trained == 0, text)


def assistant_only(base: Path) -> str:
    """What TRL's remedy for `messages` does with a template that has no generation markers."""
    try:
        rows = trl_rows(trl_trainer(base, messages_rows(), assistant_only_loss=True))
    except Exception as error:  # whatever it raises is what is reported
        return f"refused (“{shorten(str(error), 90)}”)"
    return f"on {prompt_tokens(base, rows)[0]}"
