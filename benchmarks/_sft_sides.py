"""The sides of the fine-tuning benchmarks, each a function from a `Work` to a `Result`, run in a process of its own.

    ours     smallm: packed rows, isolated documents, the loss of trained tokens only
    packed   TRL's SFTTrainer, packing=True (best-fit decreasing, padding-free), completions only
    padded   the same with packing=False
    plain    a loop over padded rows with Transformers' own loss, the adapter by PEFT, as its examples write it

The optimiser is torch's fused AdamW everywhere (betas .9 .999, no weight decay, clipped at 1), at a constant rate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from _sft import LORA_ALPHA, LORA_R, Clock, Meter, Result, Work, as_messages, load_rows

BETAS = (0.9, 0.999)
CLIP = 1.0
IGNORE = -100


def run(work: Work) -> Result:
    """The side that `work` names."""
    torch.manual_seed(work.seed)
    return {"ours": ours, "packed": trl, "padded": trl, "plain": plain}[work.side](work)


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


# ---------------------------------------------------------------------------------------------- ours


def ours(work: Work) -> Result:
    """The product's own trainer, step by step."""
    from smallm.finetune.api import Sft, sft_trainer

    trainer = sft_trainer(
        Sft(
            model=work.base,
            rows=[{"messages": as_messages(row)} for row in load_rows(work.rows)],
            max_length=work.max_length,
            batch_rows=1 if work.check else work.micro * work.accumulate,
            micro_rows=1 if work.check else work.micro,
            lora_r=LORA_R,
            lora_alpha=LORA_ALPHA,
            learning_rate=work.learning_rate,
            steps=work.steps + work.warm_up,
            seed=work.seed,
            load_in_4bit=work.load_in_4bit,
            output=f"{work.output}/ours-{os.getpid()}",  # never a checkpoint of another run to resume from
            schedule="constant",
            warmup_steps=0,
            optimizer=work.optimizer,
            activation_checkpointing="on" if work.checkpointing else "off",
        )
    )
    job = trainer.job
    result = Result(lora_parameters=trainable(job.model))
    if work.check:
        return check_ours(job, result)
    if work.held_out:
        result.held_out_before = held_out_loss(hub_model(job), work)
    job.model.train()
    clock, meter = Clock(work.warm_up), Meter(job.model)
    trained = 0
    for batch in job.feed.batches(work.steps + work.warm_up):
        trainer.step(batch)
        trainer.collect()
        trained += batch.n_trained
        clock.mark(job.feed.rows.tally.tokens, trained)
    result.peak_mb, result.tokens_per_second, result.notes = meter.above_mb(), clock.rate(), meter.notes()
    _, result.tokens, result.trained = clock.marks[-1]
    result.loss = trainer.state.loss_sum / max(1, trainer.state.loss_tokens)
    if work.held_out:
        result.held_out_after = held_out_loss(hub_model(job), work)
    return result


def check_ours(job: Any, result: Result) -> Result:
    """One epoch, row by row, without an update."""
    job.model.eval()
    total = 0.0
    with torch.no_grad():
        for batch in job.feed.batches(1 << 30):
            for part in batch.parts:
                loss, n = job.model(job.feed.to_device(part))
                total, result.trained = total + float(loss), result.trained + n
            if batch.cursor.epoch:
                break
    result.tokens, result.loss = job.feed.rows.tally.tokens, total / max(1, result.trained)
    return result


def hub_model(job: Any) -> Any:
    """The Transformers model (with its adapter) inside ours."""
    return next(m for m in job.model.modules() if hasattr(m, "generate"))


# ---------------------------------------------------------------------------------------------- TRL


def load(work: Work) -> tuple[Any, Any]:
    """(model, tokenizer) as Transformers loads them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"dtype": getattr(torch, work.dtype), "attn_implementation": "sdpa"}
    if work.load_in_4bit:
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, work.dtype),
        )
        options["device_map"] = {"": 0 if device() == "cuda" else "cpu"}
    model = AutoModelForCausalLM.from_pretrained(work.base, **options)
    return model, AutoTokenizer.from_pretrained(work.base)


def lora_config(work: Work) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=LORA_R,
        lora_alpha=LORA_ALPHA,
        lora_dropout=0.0,
        target_modules=work.target_modules,
        task_type="CAUSAL_LM",
    )


def trl_trainer(work: Work, **changes: Any) -> Any:
    """An SFTTrainer that counts what goes through its model."""
    from datasets import Dataset, disable_progress_bars
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    disable_progress_bars()
    clock = Clock(work.warm_up)

    class Counting(SFTTrainer):  # type: ignore[misc]
        tokens = trained = 0
        clock: Clock

        def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            mask = inputs.get("attention_mask")
            self.tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
            self.trained += int((inputs["labels"][:, 1:] != IGNORE).sum())
            return super().compute_loss(model, inputs, *args, **kwargs)

    class Mark(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            clock.mark(trainer.tokens, trainer.trained)

    names = {"adamw": "adamw_torch_fused", "adamw8bit": "adamw_bnb_8bit", "paged_adamw8bit": "paged_adamw_8bit"}
    settings: dict[str, Any] = {
        "output_dir": work.output,
        "max_length": work.max_length,
        "packing": work.side == "packed",
        "completion_only_loss": True,
        "per_device_train_batch_size": work.micro,
        "gradient_accumulation_steps": work.accumulate,
        "gradient_checkpointing": work.checkpointing,
        "max_steps": work.steps + work.warm_up,
        "learning_rate": work.learning_rate,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "optim": names[work.optimizer],
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "max_grad_norm": CLIP,
        "weight_decay": 0.0,
        "bf16": work.dtype == "bfloat16",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": work.seed,
        "use_cpu": device() == "cpu",
        "dataloader_pin_memory": device() != "cpu",
    } | changes
    model, tokenizer = load(work)
    turns = [as_messages(row) for row in load_rows(work.rows)]
    trainer = Counting(
        model=model,
        args=SFTConfig(**settings),
        train_dataset=Dataset.from_list([{"prompt": t[:1], "completion": t[1:]} for t in turns]),
        processing_class=tokenizer,
        peft_config=lora_config(work),
        callbacks=[Mark()],
    )
    trainer.clock = clock
    if work.load_in_4bit and work.dtype == "float32":
        # TRL puts a quantised model's adapters in bf16 whatever the processor; without bf16 in hardware that is a
        # four-hundredth of the speed, so its best setting here is to take it back.
        for p in trainer.model.parameters():
            if p.requires_grad:
                p.data = p.data.float()
    return trainer


def trl(work: Work) -> Result:
    """SFTTrainer over the same rows."""
    trainer = trl_trainer(work)
    result = Result(lora_parameters=trainable(trainer.model))
    if work.check:
        total = 0.0
        trainer.model.eval()
        with torch.no_grad():
            for batch in trainer.get_train_dataloader():
                before = trainer.trained
                loss = trainer.compute_loss(trainer.model, {k: to_device(v) for k, v in batch.items()})
                total += float(loss) * (trainer.trained - before)
        result.tokens, result.trained, result.loss = trainer.tokens, trainer.trained, total / max(1, trainer.trained)
        return result
    if work.held_out:
        result.held_out_before = held_out_loss(trainer.model, work)
    trainer.model.train()
    meter = Meter(trainer.model)
    done = trainer.train()
    result.peak_mb, result.tokens_per_second, result.notes = meter.above_mb(), trainer.clock.rate(), meter.notes()
    _, result.tokens, result.trained = trainer.clock.marks[-1]
    result.loss = done.training_loss
    if work.held_out:
        result.held_out_after = held_out_loss(trainer.model, work)
    return result


def to_device(value: Any) -> Any:
    return value.to(device()) if isinstance(value, torch.Tensor) else value


# ---------------------------------------------------------------------------------------------- plain PEFT


def plain_model(work: Work) -> tuple[Any, Any]:
    """(model with its adapter, tokenizer), as PEFT's and bitsandbytes' examples put them together."""
    from peft import get_peft_model, prepare_model_for_kbit_training

    model, tokenizer = load(work)
    if work.load_in_4bit:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=work.checkpointing)
    return get_peft_model(model, lora_config(work)), tokenizer


def encode(tokenizer: Any, row: dict[str, str]) -> tuple[list[int], list[int]]:
    """(ids, labels): the prompt masked, the end's token after the answer and trained on."""
    prompt = tokenizer(row["prompt"] + "\n").input_ids
    ids = tokenizer(f"{row['prompt']}\n{row['completion']}{tokenizer.eos_token}").input_ids
    return ids, [IGNORE] * len(prompt) + ids[len(prompt) :]


def padded_batches(work: Work, tokenizer: Any, epochs: int = 1 << 20) -> Iterator[dict[str, torch.Tensor]]:
    """Rows in a seeded order, `micro` a batch, padded to the longest of it."""
    encoded = [encode(tokenizer, row) for row in load_rows(work.rows)]
    generator = torch.Generator().manual_seed(work.seed)
    for _ in range(epochs):
        order = torch.randperm(len(encoded), generator=generator).tolist()
        for a in range(0, len(order), work.micro):
            some = [encoded[i] for i in order[a : a + work.micro]]
            longest = max(len(ids) for ids, _ in some)
            pad = tokenizer.pad_token_id
            yield {
                "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in some]),
                "labels": torch.tensor([labels + [IGNORE] * (longest - len(labels)) for _, labels in some]),
                "attention_mask": torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i, _ in some]),
            }


def plain(work: Work) -> Result:
    """Padded rows through Transformers' loss; each micro-batch weighted by its trained tokens, as Trainer does."""
    model, tokenizer = plain_model(work)
    result = Result(lora_parameters=trainable(model))
    if work.check:
        total = 0.0
        model.eval()
        with torch.no_grad():
            for batch in padded_batches(work, tokenizer, epochs=1):
                n = int((batch["labels"][:, 1:] != IGNORE).sum())
                total += float(model(**{k: to_device(v) for k, v in batch.items()}).loss) * n
                result.trained, result.tokens = result.trained + n, result.tokens + int(batch["attention_mask"].sum())
        result.loss = total / max(1, result.trained)
        return result
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = plain_optimizer(parameters, work)
    model.train()
    clock, meter = Clock(work.warm_up), Meter(model)
    batches = padded_batches(work, tokenizer)
    for _ in range(work.steps + work.warm_up):
        group = [next(batches) for _ in range(work.accumulate)]
        counts = [int((b["labels"][:, 1:] != IGNORE).sum()) for b in group]
        total = 0.0
        for batch in group:
            with torch.autocast(device(), torch.bfloat16, enabled=work.dtype == "bfloat16"):
                inputs = {k: to_device(v) for k, v in batch.items()}
                loss = model(**inputs, use_cache=False, num_items_in_batch=sum(counts)).loss
            loss.backward()
            total += float(loss)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        result.trained += sum(counts)
        result.tokens += sum(int(b["attention_mask"].sum()) for b in group)
        result.loss = total
        clock.mark(result.tokens, result.trained)
    result.peak_mb, result.tokens_per_second, result.notes = meter.above_mb(), clock.rate(), meter.notes()
    return result


def plain_optimizer(parameters: list[torch.nn.Parameter], work: Work) -> torch.optim.Optimizer:
    if work.optimizer == "adamw":
        return torch.optim.AdamW(parameters, work.learning_rate, betas=BETAS, weight_decay=0.0, fused=True)
    from bitsandbytes.optim import adamw

    kind: Any = adamw.PagedAdamW8bit if work.optimizer.startswith("paged") else adamw.AdamW8bit
    return kind(parameters, work.learning_rate, betas=BETAS, weight_decay=0.0)


# ---------------------------------------------------------------------------------------------- both


def trainable(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def held_out_loss(model: Any, work: Work) -> float:
    """Mean nats a trained token over the held-out rows, one row at a time; the same code for every side."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work.base)
    was_training = model.training
    model.eval()
    total, n = 0.0, 0
    for row in load_rows(work.held_out):
        ids, labels = encode(tokenizer, row)
        targets = torch.tensor(labels[1:], device=device())
        logits = model(input_ids=torch.tensor([ids], device=device()), use_cache=False).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum"))
        n += int((targets != IGNORE).sum())
    model.train(was_training)
    return total / n
