"""The schema of what a fine-tuning leaves in tuned/<name>/: its facts and the files of PEFT and Transformers."""

from __future__ import annotations

from smallm.core.format_checks import Format
from smallm.core.formats_eval import HEX64
from smallm.core.schemas import anything, array, boolean, integer, mapping, maybe, number, one_of, record, text

TUNED_FORMATS: tuple[Format, ...] = (
    Format(
        "tuned model",
        ("tuned/*/smallm.json",),
        "json",
        "A fine-tuning: the base by hash, how it was rounded, what was trained, and how the training went.",
        record(
            {
                "format": one_of("smallm-tuned-1"),
                "method": one_of("lora", "full"),
                "base": record({"name": text(), "revision": maybe(text()), "weights_sha256": HEX64}),
                "weights_sha256": text("of base and adapter together, or of the whole model"),
                "end_ids": array(integer(), "the tokens that end an answer"),
                "trained_parameters": integer(),
            },
            optional={
                "name": text(),
                "system": maybe(text("the message before every conversation")),
                "notice": text("what card, chat and report say of its use"),
                "quantisation": maybe(mapping(anything(), "of the frozen base: type, blocks, modules")),
                "seed": integer(),
                "steps": integer(),
                "total_steps": integer("that were planned"),
                "best_step": integer("the result's"),
                "best_loss": maybe(number("the lowest held-out loss, nats a trained token")),
                "stopped_early": boolean("by finetune.patience"),
                "skipped_steps": integer("left out, since a gradient overflowed in float16"),
                "tokens_seen": integer(),
                "trained_tokens": integer("of them those with a loss"),
                "epochs": number(),
                "train_seconds": number(),
                "optimizer": text(),
                "batch_rows": integer(),
                "micro_rows": integer("in one forward pass"),
                "max_length": integer(),
                "examples_sha256": HEX64,
                "engine": one_of("one process", "DistributedDataParallel"),
                "world_size": integer(),
                "backend": maybe(text("of several processes: gloo, nccl")),
            },
            extra=True,
        ),
    ),
)
# After the rows of the journals, whose names are more exact.
TUNED_FILES: tuple[Format, ...] = (
    Format(
        "tuned directory",
        ("tuned/*/*",),
        "other",
        "adapter_model.safetensors and adapter_config.json as PEFT and vLLM read them, or a whole model; tokenizer, "
        "chat template, generation_config.json with every end token.",
    ),
)
