"""Keys that users bring from other tools, and what they are here: one table.

`core/recipe.py` refuses such a key with ours; `coming_from_page` makes docs/coming-from.md of it.
A row whose `ours` is None names something that has no key here, and says why. Where pretraining and fine-tuning both
have a key, `ours` is that of fine-tuning when it is what the other tool does, and the note names the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PeerKey:
    """One key of another tool: `ours` is a dotted recipe key, `note` what else the user must know."""

    peer: str
    key: str
    ours: str | None
    note: str = ""


_TOKENS = "tokens = {steps} x batch_size x gradient_accumulation_steps x block_size"
_EPOCHS = "`train.tokens` = epochs x training tokens (`smallm plan` prints the epochs)"
_ROWS_OF_BATCH = (
    "batch_rows = per_device_train_batch_size x gradient_accumulation_steps x devices; a row is packed to max_length, "
    "so it holds several examples"
)

# (peer, key, ours, note)
_ROWS: tuple[tuple[Any, ...], ...] = (
    ("nanoGPT", "n_layer", "model.layers"),
    ("nanoGPT", "n_head", "model.heads"),
    ("nanoGPT", "n_embd", "model.width"),
    ("nanoGPT", "block_size", "model.context"),
    ("nanoGPT", "max_iters", "train.tokens", _TOKENS.format(steps="max_iters")),
    ("nanoGPT", "batch_size", "train.batch_tokens",
     "batch_tokens = batch_size x gradient_accumulation_steps x block_size"),
    ("nanoGPT", "gradient_accumulation_steps", "train.batch_tokens",
     "batch_tokens = batch_size x gradient_accumulation_steps x block_size; how it is split is decided here"),
    ("nanoGPT", "warmup_iters", "train.warmup_steps"),
    ("nanoGPT", "lr_decay_iters", "train.schedule", "the schedule always ends with the budget of tokens"),
    ("nanoGPT", "decay_lr", "train.schedule", "`constant` never decays"),
    ("nanoGPT", "min_lr", "train.final_learning_rate", "as a share: min_lr / learning_rate"),
    ("nanoGPT", "eval_interval", "train.validate_every"),
    ("nanoGPT", "eval_iters", "train.validation_tokens", "tokens, not batches"),
    ("nanoGPT", "log_interval", "train.log_every"),
    ("nanoGPT", "always_save_checkpoint", "train.checkpoint_every"),
    ("nanoGPT", "out_dir", "name", "the run's directory is runs/<name>"),
    ("nanoGPT", "dataset", "data.sources"),
    ("nanoGPT", "device", None, "the device is taken by itself: CUDA, then MPS, then the CPU"),
    ("nanoGPT", "compile_model", "train.compile"),
    ("nanoGPT", "seed_offset", "seed"),
    ("nanoGPT", "wandb_log", None, "metrics are in base/metrics.jsonl; mirrors to trackers come later"),
    ("nanoGPT", "wandb_project", None, "metrics are in base/metrics.jsonl; mirrors to trackers come later"),
    ("Transformers", "num_hidden_layers", "model.layers"),
    ("Transformers", "hidden_size", "model.width"),
    ("Transformers", "intermediate_size", "model.ffn_width"),
    ("Transformers", "num_attention_heads", "model.heads"),
    ("Transformers", "num_key_value_heads", "model.kv_heads"),
    ("Transformers", "head_dim", "model.head_width"),
    ("Transformers", "max_position_embeddings", "model.context"),
    ("Transformers", "rms_norm_eps", "model.norm_eps"),
    ("Transformers", "layer_norm_epsilon", "model.norm_eps"),
    ("Transformers", "tie_word_embeddings", "model.tied"),
    ("Transformers", "initializer_range", "model.init_std"),
    ("Transformers", "model_type", "model.preset"),
    ("Transformers", "hidden_act", "model.mlp"),
    ("TRL", "max_grad_norm", "finetune.grad_clip", "from scratch: `train.grad_clip`"),
    ("TRL", "max_steps", "finetune.steps", "from scratch: `train.tokens` = max_steps x tokens in a batch"),
    ("TRL", "num_train_epochs", "finetune.epochs", f"from scratch: {_EPOCHS}"),
    ("TRL", "per_device_train_batch_size", "finetune.micro_rows",
     "rows in one forward pass, 0 = as many as fit; from scratch: `train.micro_batch`"),
    ("TRL", "gradient_accumulation_steps", "finetune.batch_rows", f"{_ROWS_OF_BATCH}; from scratch: "
     "`train.batch_tokens`"),
    ("TRL", "adam_beta1", "finetune.beta1", "from scratch: `train.beta1`"),
    ("TRL", "adam_beta2", "finetune.beta2", "from scratch: `train.beta2`"),
    ("TRL", "adam_epsilon", "train.eps"),
    ("TRL", "lr_scheduler_type", "finetune.schedule", "from scratch: `train.schedule`"),
    ("TRL", "warmup_ratio", "finetune.warmup_steps", "in steps, not as a share; from scratch: `train.warmup_steps`"),
    ("TRL", "optim", "finetune.optimizer", "adamw, adamw8bit or paged_adamw8bit; from scratch: `train.optimizer`"),
    ("TRL", "logging_steps", "finetune.log_every", "from scratch: `train.log_every`"),
    ("TRL", "eval_steps", "finetune.validate_every", "from scratch: `train.validate_every`"),
    ("TRL", "save_steps", "finetune.checkpoint_every", "from scratch: `train.checkpoint_every`"),
    ("TRL", "save_total_limit", "finetune.keep_checkpoints", "from scratch: `train.keep_checkpoints`"),
    ("TRL", "gradient_checkpointing", "finetune.activation_checkpointing",
     "`auto` decides; from scratch: `train.activation_checkpointing`"),
    ("TRL", "bf16", "finetune.dtype", "`bfloat16`, or leave `auto`; from scratch: `train.dtype`"),
    ("TRL", "fp16", "finetune.dtype",
     "`auto`: bfloat16, on Turing float16 with a scaler; from scratch `train.dtype`, which has no float16"),
    ("TRL", "torch_compile", "train.compile"),
    ("TRL", "output_dir", "name", "the run's directory is runs/<name>"),
    ("TRL", "resume_from_checkpoint", None, "`smallm run` continues by itself from the last whole checkpoint"),
    ("TRL", "report_to", None, "metrics are in base/metrics.jsonl; mirrors to trackers come later"),
    ("TRL", "max_length", "finetune.max_length", "of a packed row and of the longest example; from scratch it is "
     "`model.context`"),
    ("TRL", "packing", None, "rows are always packed, and attention never crosses a document"),
    ("TRL", "eval_packing", None, "rows are always packed, and attention never crosses a document"),
    ("TRL", "completion_only_loss", "finetune.train_on", "`answers` is the default; `all` learns the prompts too"),
    ("TRL", "assistant_only_loss", "finetune.train_on", "`answers` is the default, for every template: masks are "
     "built on ids"),
    ("TRL", "auto_find_batch_size", "finetune.micro_rows", "0 takes as many rows as fit"),
    ("TRL", "neftune_noise_alpha", None, "noise on embeddings is not built"),
    ("TRL", "chat_template_path", None, "the base's own template is used, and saved with the result"),
    ("TRL", "eos_token", None, "the end tokens are read off the template, learned, and saved"),
    ("TRL", "metric_for_best_model", "finetune.keep_best", "by the validation loss"),
    ("TRL", "load_best_model_at_end", "finetune.keep_best", "the default"),
    ("TRL", "prediction_loss_only", None, "evaluation never keeps logits"),
    ("TRL", "peft_config", "finetune.method", "`lora` with `finetune.lora_r`, `finetune.lora_alpha`, …"),
    ("PEFT", "target_modules", "finetune.lora_target_modules", "`all-linear` is the default; a name that matches "
     "nothing stops"),
    ("PEFT", "modules_to_save", "finetune.lora_modules_to_save"),
    ("PEFT", "bias", None, "adapters train no biases"),
    ("PEFT", "task_type", None, "always causal language modelling"),
    ("bitsandbytes", "bnb_4bit_quant_type", None, "`finetune.load_in_4bit` is NF4"),
    ("bitsandbytes", "bnb_4bit_use_double_quant", None, "`finetune.load_in_4bit` always quantises twice"),
    ("bitsandbytes", "bnb_4bit_compute_dtype", "finetune.dtype", "`auto` takes what the card multiplies"),
    ("bitsandbytes", "load_in_8bit", None, "frozen weights are 16-bit, or 4-bit with `finetune.load_in_4bit`"),
    ("TRL", "dataset_name", "finetune.data", "`data: [hub:NAME]`; text for training from scratch: `data.sources`"),
    ("TRL", "dataset_text_field", "finetune.data", "`format: text` and `input:` of the set; from scratch: `text:` of "
     "the source"),
    ("TRL", "model_name_or_path", "finetune.model", "`train.init_from` continues pretraining"),
    ("Axolotl", "sequence_len", "finetune.max_length", "from scratch: `model.context`"),
    ("Axolotl", "base_model", "finetune.model", "`train.init_from` continues pretraining"),
    ("Axolotl", "micro_batch_size", "finetune.micro_rows", "from scratch: `train.micro_batch`"),
    ("Axolotl", "gradient_accumulation_steps", "finetune.batch_rows", _ROWS_OF_BATCH.replace(
        "per_device_train_batch_size", "micro_batch_size")),
    ("Axolotl", "num_epochs", "finetune.epochs", f"from scratch: {_EPOCHS}"),
    ("Axolotl", "lr_scheduler", "finetune.schedule", "from scratch: `train.schedule`"),
    ("Axolotl", "pretraining_dataset", "data.sources"),
    ("Axolotl", "datasets", "finetune.data", "a list of sets; their `type` is `format` here, and found by itself"),
    ("Axolotl", "chat_template", None, "the base's own template is used, and saved with the result"),
    ("Axolotl", "train_on_inputs", "finetune.train_on", "`answers` is the default; `all` is train_on_inputs: true"),
    ("Axolotl", "roles_to_train", "finetune.train_on", "`answers` are the assistant's turns"),
    ("Axolotl", "excess_length_strategy", "finetune.too_long"),
    ("Axolotl", "early_stopping_patience", "finetune.patience", "in validations"),
    ("Axolotl", "neftune_noise_alpha", None, "noise on embeddings is not built"),
    ("Axolotl", "dataset_prepared_path", None, "prepared data are artefacts of the run, skipped when unchanged"),
    ("Axolotl", "val_set_size", "finetune.validation", "a share; from scratch: `data.validation`"),
    ("Axolotl", "sample_packing", None, "rows are always packed, and attention never crosses a document"),
    ("Axolotl", "flash_attention", None, "the attention kernel is chosen by itself"),
    ("Axolotl", "adapter", "finetune.method", "`lora`; qlora is that with `finetune.load_in_4bit: true`"),
    ("Axolotl", "lora_target_linear", "finetune.lora_target_modules", "`all-linear` is the default"),
    ("Axolotl", "peft_use_dora", "finetune.use_dora"),
    ("Axolotl", "peft_use_rslora", "finetune.use_rslora"),
    ("LLaMA-Factory", "cutoff_len", "finetune.max_length", "from scratch: `model.context`"),
    ("LLaMA-Factory", "val_size", "finetune.validation", "a share; from scratch: `data.validation`"),
    ("LLaMA-Factory", "train_on_prompt", "finetune.train_on", "`answers` is the default; `all` learns prompts too"),
    ("LLaMA-Factory", "mask_history", "finetune.train_on", "`last-answer`"),
    ("LLaMA-Factory", "quantization_bit", "finetune.load_in_4bit"),
    ("LLaMA-Factory", "plot_loss", None, "the report always holds the loss curve"),
    ("LLaMA-Factory", "stage", None, "the stages of a recipe are its sections"),
    ("LLaMA-Factory", "template", None, "the base's own template is used, and saved with the result"),
    ("LLaMA-Factory", "finetuning_type", "finetune.method", "lora or full"),
    ("LLaMA-Factory", "lora_rank", "finetune.lora_r"),
    ("LLaMA-Factory", "lora_target", "finetune.lora_target_modules", "`all-linear` is `all`"),
    ("LLaMA-Factory", "max_samples", "finetune.data", "`items:` of the set; from scratch: `size:` of the source"),
    ("Unsloth", "max_seq_length", "finetune.max_length", "from scratch: `model.context`"),
    ("Unsloth", "model_name", "finetune.model", "`train.init_from` continues pretraining"),
    ("Unsloth", "full_finetuning", "finetune.method", "`full`"),
    ("Unsloth", "train_on_responses_only", "finetune.train_on", "`answers` is the default"),
    ("Unsloth", "random_state", "seed"),
    ("Unsloth", "use_gradient_checkpointing", "finetune.activation_checkpointing",
     "`auto` decides; from scratch: `train.activation_checkpointing`"),
    ("Unsloth", "r", "finetune.lora_r"),
    ("PyTorch", "lr", "train.learning_rate"),
    ("PyTorch", "betas", "train.beta1", "and `train.beta2`"),
    ("PyTorch", "num_layers", "model.layers"),
    ("PyTorch", "num_heads", "model.heads"),
    ("PyTorch", "d_model", "model.width"),
    ("PyTorch", "seq_len", "model.context"),
    ("PyTorch", "max_seq_len", "model.context"),
    ("PyTorch", "epochs", "train.tokens", "tokens = epochs x training tokens (`smallm plan` prints the epochs); "
     "fine-tuning has `finetune.epochs`"),
    ("llama2.c", "dim", "model.width"),
    ("llama2.c", "n_layers", "model.layers"),
    ("llama2.c", "n_heads", "model.heads"),
    ("llama2.c", "n_kv_heads", "model.kv_heads"),
)  # fmt: skip


def _table(rows: tuple[tuple[Any, ...], ...]) -> tuple[PeerKey, ...]:
    return tuple(PeerKey(*row) for row in rows)


PEER_KEYS = _table(_ROWS)


def peer_message(key: str, section: str = "") -> str | None:
    """What `key` of another tool is here, or None when no tool that we know has it.

    Tools differ in what a key is: of several rows the first counts whose key is in the `section` it was written in.
    """
    rows = [row for row in PEER_KEYS if row.key == key]
    if not rows:
        return None
    row = next((r for r in rows if section and (r.ours or "").startswith(f"{section}.")), rows[0])
    peers = " and ".join(dict.fromkeys(r.peer for r in rows))
    if row.ours is None:
        return f"`{key}` ({peers}) has no key here: {row.note}."
    return f"`{key}` ({peers}) is `{row.ours}` here{': ' + row.note if row.note else ''}."


def coming_from_page() -> str:
    """docs/coming-from.md: the table, tool by tool."""
    lines = [
        "# Coming from another tool",
        "",
        "<!-- Generated by `python -m smallm.core.peers`; a test holds it fresh. -->",
        "",
        "A recipe refuses the keys below with the name that they have here. Keys that are not in the table "
        "(`learning_rate`, `weight_decay`, `vocab_size`, `dropout`, `seed`; of fine-tuning `lora_r`, `lora_alpha`, "
        "`lora_dropout`, `lora_target_modules`, `load_in_4bit`, …) are called the same.",
    ]
    for peer in dict.fromkeys(row.peer for row in PEER_KEYS):
        lines += ["", f"## {peer}", "", "| there | here | |", "|---|---|---|"]
        lines += [
            f"| `{row.key}` | {f'`{row.ours}`' if row.ours else 'no key'} | {row.note} |"
            for row in PEER_KEYS
            if row.peer == peer
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(coming_from_page(), end="")
