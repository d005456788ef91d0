"""QLoRA fine-tuning on the CPU, tokens a second and peak memory: ours against PEFT + bitsandbytes, by hand and by TRL.

The base's linear layers in NF4 with double quantisation, LoRA r16 on all of them, otherwise as sft_vs_trl.py: the same
rows, steps of about 8,000 tokens (12 after 3), each side in a fresh process, the same work checked first (the loss of
the untrained quantised model too). `plain`: PEFT's prepare_model_for_kbit_training and get_peft_model, padded rows,
Transformers' own loss. `packed`: TRL's SFTTrainer on the quantised model, its adapters put back into float32 where the
processor has no bf16 (it makes them bf16 everywhere, which such a processor emulates).

    python benchmarks/qlora_vs_peft.py [--cases 30M-t0 135M-t0] [--pairs 5] [--no-record] [--tune 30M-t0]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _sft_case import Bench, did_work, parser_of, run_cases

# As in sft_vs_trl.py: the first is what runs, the others are for --tune.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ours": [{"micro": 1, "accumulate": 8}, {"micro": 2, "accumulate": 4}, {"micro": 8, "accumulate": 1}],
    "plain": [
        {"micro": 4, "accumulate": 10},
        {"micro": 8, "accumulate": 5},
        {"micro": 40, "accumulate": 1},
        {"micro": 4, "accumulate": 10, "checkpointing": True},
    ],
    "packed": [{"micro": 1, "accumulate": 8, "checkpointing": True}, {"micro": 1, "accumulate": 8}],
}
PEERS = {"plain": ("PEFT + bitsandbytes, padded", "peft"), "packed": ("TRL + bitsandbytes, packed", "trl")}
CASES = ("30M-t0", "135M-t0")


def main() -> None:
    given = parser_of(__doc__, CASES).parse_args()
    if not did_work(given):
        run_cases(Bench(Path(__file__).resolve(), PEERS, SETTINGS, given, {"load_in_4bit": True}))


if __name__ == "__main__":
    main()
