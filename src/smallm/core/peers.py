"""Keys that users bring from other tools, and what they are here: one table.

`core/recipe.py` refuses such a key with ours; `coming_from_page` makes docs/coming-from.md of it.
A row whose `ours` is None names something that has no key here (yet), and says why.
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
_LATER = "comes with fine-tuning, which is not built yet"

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
    ("TRL", "max_grad_norm", "train.grad_clip"),
    ("TRL", "max_steps", "train.tokens", "tokens = max_steps x tokens in a batch"),
    ("TRL", "num_train_epochs", "train.tokens",
     "tokens = epochs x training tokens (`smallm plan` prints the epochs)"),
    ("TRL", "per_device_train_batch_size", "train.micro_batch",
     "rows in one forward pass; the batch is `train.batch_tokens`, over all devices"),
    ("TRL", "adam_beta1", "train.beta1"),
    ("TRL", "adam_beta2", "train.beta2"),
    ("TRL", "adam_epsilon", "train.eps"),
    ("TRL", "lr_scheduler_type", "train.schedule"),
    ("TRL", "warmup_ratio", "train.warmup_steps", "in steps, not as a share"),
    ("TRL", "optim", "train.optimizer"),
    ("TRL", "logging_steps", "train.log_every"),
    ("TRL", "eval_steps", "train.validate_every"),
    ("TRL", "save_steps", "train.checkpoint_every"),
    ("TRL", "save_total_limit", "train.keep_checkpoints"),
    ("TRL", "gradient_checkpointing", "train.activation_checkpointing"),
    ("TRL", "bf16", "train.dtype", "`bfloat16`, or leave `auto`"),
    ("TRL", "fp16", "train.dtype", "`auto`: bfloat16 where the hardware has it, else float32"),
    ("TRL", "torch_compile", "train.compile"),
    ("TRL", "output_dir", "name", "the run's directory is runs/<name>"),
    ("TRL", "resume_from_checkpoint", None, "`smallm run` continues by itself from the last whole checkpoint"),
    ("TRL", "report_to", None, "metrics are in base/metrics.jsonl; mirrors to trackers come later"),
    ("TRL", "max_length", None, f"`finetune.max_length` {_LATER}; from scratch it is `model.context`"),
    ("TRL", "packing", None, "rows are always packed, and attention never crosses a document"),
    ("TRL", "dataset_name", "data.sources", "`sources: [hub:NAME]`"),
    ("TRL", "dataset_text_field", "data.sources", "`text:` of the source"),
    ("TRL", "model_name_or_path", "train.init_from", f"continues pretraining; fine-tuning {_LATER}"),
    ("Axolotl", "sequence_len", "model.context", f"`finetune.max_length` {_LATER}"),
    ("Axolotl", "base_model", "train.init_from", f"continues pretraining; fine-tuning {_LATER}"),
    ("Axolotl", "micro_batch_size", "train.micro_batch"),
    ("Axolotl", "num_epochs", "train.tokens", "tokens = epochs x training tokens"),
    ("Axolotl", "lr_scheduler", "train.schedule"),
    ("Axolotl", "pretraining_dataset", "data.sources"),
    ("Axolotl", "datasets", "data.sources"),
    ("Axolotl", "dataset_prepared_path", None, "prepared data are artefacts of the run, skipped when unchanged"),
    ("Axolotl", "val_set_size", "data.validation"),
    ("Axolotl", "sample_packing", None, "rows are always packed, and attention never crosses a document"),
    ("Axolotl", "flash_attention", None, "the attention kernel is chosen by itself"),
    ("Axolotl", "adapter", None, _LATER),
    ("Axolotl", "lora_r", None, _LATER),
    ("Axolotl", "lora_alpha", None, _LATER),
    ("Axolotl", "lora_dropout", None, _LATER),
    ("Axolotl", "lora_target_modules", None, _LATER),
    ("Axolotl", "load_in_4bit", None, _LATER),
    ("LLaMA-Factory", "cutoff_len", "model.context", f"`finetune.max_length` {_LATER}"),
    ("LLaMA-Factory", "val_size", "data.validation"),
    ("LLaMA-Factory", "plot_loss", None, "the report always holds the loss curve"),
    ("LLaMA-Factory", "stage", None, "the stages of a recipe are its sections"),
    ("LLaMA-Factory", "template", None, _LATER),
    ("LLaMA-Factory", "finetuning_type", None, _LATER),
    ("LLaMA-Factory", "lora_rank", None, _LATER),
    ("LLaMA-Factory", "lora_target", None, _LATER),
    ("LLaMA-Factory", "max_samples", "data.sources", "`size:` of the source, in bytes"),
    ("Unsloth", "max_seq_length", "model.context", f"`finetune.max_length` {_LATER}"),
    ("Unsloth", "model_name", "train.init_from", f"continues pretraining; fine-tuning {_LATER}"),
    ("Unsloth", "random_state", "seed"),
    ("Unsloth", "use_gradient_checkpointing", "train.activation_checkpointing"),
    ("Unsloth", "r", None, _LATER),
    ("PyTorch", "lr", "train.learning_rate"),
    ("PyTorch", "betas", "train.beta1", "and `train.beta2`"),
    ("PyTorch", "num_layers", "model.layers"),
    ("PyTorch", "num_heads", "model.heads"),
    ("PyTorch", "d_model", "model.width"),
    ("PyTorch", "seq_len", "model.context"),
    ("PyTorch", "max_seq_len", "model.context"),
    ("PyTorch", "epochs", "train.tokens", "tokens = epochs x training tokens (`smallm plan` prints the epochs)"),
    ("llama2.c", "dim", "model.width"),
    ("llama2.c", "n_layers", "model.layers"),
    ("llama2.c", "n_heads", "model.heads"),
    ("llama2.c", "n_kv_heads", "model.kv_heads"),
)  # fmt: skip


def _table(rows: tuple[tuple[Any, ...], ...]) -> tuple[PeerKey, ...]:
    return tuple(PeerKey(*row) for row in rows)


PEER_KEYS = _table(_ROWS)


def peer_message(key: str) -> str | None:
    """What `key` of another tool is here, or None when no tool that we know has it."""
    rows = [row for row in PEER_KEYS if row.key == key]
    if not rows:
        return None
    row = rows[0]
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
        "(`learning_rate`, `weight_decay`, `vocab_size`, `dropout`, `seed`, …) are called the same.",
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
