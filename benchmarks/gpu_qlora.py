"""QLoRA of Phi-3.5-mini's real shape on one GPU, tokens a second and peak memory: ours against PEFT + TRL.

3.8B random weights in NF4 (double quantisation, bf16 arithmetic), LoRA r16 on all linear layers, rows of 2,048 tokens
packed two at a time, activation checkpointing, 8-bit AdamW on both sides; TRL also with one row a forward pass twice,
where its flattened attention is smaller. Texts are words in random order (prompts and answers of like length): the
arithmetic does not read them. The tokenizer is the shrunken Phi-3.5's (its template and end tokens), ids below 32,064.
Needs the wheels that gpu_wheels.sh brings; PyTorch, Transformers, PEFT and Accelerate are the machine's.

    bash benchmarks/gpu_wheels.sh .whl                             (where there are registries)
    python benchmarks/gpu_qlora.py --folder TMP [--pairs 3]        (on the GPU machine; TMP holds 8 GB)
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from _common import Pairs, Peer, record
from _sft import Result, Work, write_rows
from _sft_case import Bench, did_work, same_work, say

# microsoft/Phi-3.5-mini-instruct, config.json.
PHI35: dict[str, Any] = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}
VOCABULARY, WINDOW, POSITIONS = 32064, 4096, 131072
LENGTH, ROWS = 2048, 2
MEDIAN_WORDS, SIGMA, LONGEST = 60, 0.6, 300  # of a prompt and of an answer: log-normal, never over LENGTH tokens
SETTINGS: dict[str, dict[str, Any]] = {
    "ours": {"side": "ours", "micro": ROWS, "accumulate": 1},
    "TRL, 2 x 1": {"side": "packed", "micro": ROWS, "accumulate": 1},
    "TRL, 1 x 2": {"side": "packed", "micro": 1, "accumulate": ROWS},
}


def make_base(folder: Path) -> Path:
    """The base as a directory of bf16 weights; made once."""
    import torch
    from transformers import Phi3ForCausalLM

    from smallm.finetune.shrunken import make_config, make_tokenizer

    path = folder / "phi35"
    if (path / "done").exists():
        return path
    tokenizer = make_tokenizer(path)
    config = make_config(tokenizer, window=WINDOW, **PHI35)
    config.vocab_size, config.max_position_embeddings = VOCABULARY, POSITIONS
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Phi3ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(path)
    (path / "done").touch()
    return path


def make_rows(count: int) -> list[dict[str, str]]:
    """Prompts and answers of random words of log-normal lengths."""
    from smallm.finetune.shrunken import WORDS

    draw, words = random.Random(0), [w for w in WORDS.split() if w.isalpha()]

    def text() -> str:
        length = min(LONGEST, max(3, int(random.Random.lognormvariate(draw, 0.0, SIGMA) * MEDIAN_WORDS)))
        return " ".join(draw.choice(words) for _ in range(length))

    return [{"prompt": text(), "completion": text()} for _ in range(count)]


def planned() -> dict[str, int]:
    """What the plan says that a step takes, before anything loads (bytes; its context is not the allocator's)."""
    from smallm.core.config import FinetuneConfig
    from smallm.plan.shapes import shape_of_config
    from smallm.plan.tune_memory import tune_memory

    config = {"model_type": "phi3", "vocab_size": VOCABULARY, "tie_word_embeddings": False, **PHI35}
    tune = FinetuneConfig(load_in_4bit=True, lora_r=16, max_length=LENGTH, optimizer="paged_adamw8bit")
    return tune_memory(shape_of_config(config), tune, rows=ROWS, half=True, cuda=True, checkpointing=True).as_dict()


def measure(work: Work, given: argparse.Namespace) -> None:
    """Ours and TRL's two settings in turn; the better of those is the peer."""
    bench = Bench(Path(__file__).resolve(), {"packed": ("PEFT + TRL", "trl")}, {}, given)
    same = same_work(work, str(Path(given.folder) / "first.jsonl"), bench)
    found: dict[str, list[Result]] = {name: [] for name in SETTINGS}
    for i in range(given.pairs):
        for name, setting in SETTINGS.items():
            r = bench.run(Work(**(asdict(work) | setting)))
            found[name].append(r)
            say(f"{i + 1}/{given.pairs} {name}: {r.tokens_per_second:.0f} tokens/s, {r.notes}, loss {r.loss:.3f}")
    peer = Peer("PEFT + TRL + bitsandbytes", version("trl"))
    plan = planned()
    for unit in ("tokens/s", "GB"):
        values = {name: [value_of(r, unit) for r in results] for name, results in found.items()}
        theirs = {name: v for name, v in values.items() if name != "ours"}
        best = (max if unit == "tokens/s" else min)(theirs, key=lambda name: sum(theirs[name]))
        extra: dict[str, Any] = {"settings": SETTINGS, "best_of_theirs": best, "processed": counts(found)}
        if unit == "GB":
            estimate = (plan["total"] - plan["context"]) / 1e9
            extra |= {"planned_gb": round(estimate, 2), "planned_over_measured": round(estimate / values["ours"][0], 3)}
        record(
            "gpu_qlora",
            case=f"Phi-3.5-mini's shape, QLoRA r16, {ROWS} x {LENGTH}, {'speed' if unit != 'GB' else 'peak, whole'}",
            unit=unit,
            pairs=Pairs(values["ours"], theirs[best]),
            peer=peer,
            same_work=same,
            extra=extra,
        )


def value_of(r: Result, unit: str) -> float:
    return r.tokens_per_second if unit == "tokens/s" else r.notes["peak_total_mb"] / 1e3


def counts(found: dict[str, list[Result]]) -> dict[str, Any]:
    return {name: {"tokens": r[-1].tokens, "trained": r[-1].trained} for name, r in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--no-record", dest="record", action="store_false")
    parser.add_argument("--plan", action="store_true", help="print the plan's estimate and stop")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plan:
        print(json.dumps(planned(), indent=2))
        return
    if did_work(given):
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = make_rows(400)
    write_rows(given.folder / "first.jsonl", rows[:16])
    path = write_rows(given.folder / "rows.jsonl", rows)
    work = Work(
        "ours", str(make_base(given.folder)), path, str(given.folder / "out"), ROWS, 1, given.steps, given.warm_up,
        checkpointing=True, load_in_4bit=True, dtype="bfloat16", max_length=LENGTH, optimizer="paged_adamw8bit",
    )  # fmt: skip
    measure(work, given)


if __name__ == "__main__":
    main()
